//! Bytes of the entry at hand that are not as the body has them.

/// A growing buffer whose spare room is always initialised, so that eight bytes can be written
/// where fewer count. Reused.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    bytes: Vec<u8>,
    len: usize,
}

impl Arena {
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Forgets everything after the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        assert!(len <= self.len);
        self.len = len;
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// At least `bytes` bytes after what counts, to be written. [`Arena::advance`] makes them
    /// count.
    #[inline]
    pub(crate) fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.bytes.len() - self.len < bytes {
            self.grow(bytes);
        }
        &mut self.bytes[self.len..]
    }

    #[inline]
    pub(crate) fn advance(&mut self, bytes: usize) {
        assert!(self.len + bytes <= self.bytes.len());
        self.len += bytes;
    }

    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        self.room(1)[0] = byte;
        self.len += 1;
    }

    pub(crate) fn extend(&mut self, more: &[u8]) {
        self.room(more.len())[..more.len()].copy_from_slice(more);
        self.len += more.len();
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let wanted = (self.len + more).max(self.bytes.len() * 2).max(1024);
        self.bytes.resize(wanted, 0);
    }
}
