//! A piece of a part in a segment: a header that names it, then its bytes.
//!
//! Nothing here is trusted: files are not synced, so any of them may be cut off or hold zeros after
//! a power cut, and whoever shares the disk may have written to them.

use std::io;

use base::disk::DiskFile;
use bytes::Bytes;
use catalog::PartId;
use ulid::Ulid;

/// A piece: the part, where it begins, where it ends.
pub(crate) type Key = (PartId, u64, u64);

/// First bytes of every record; the last one is the version.
const MAGIC: [u8; 4] = *b"RLP\x01";
/// Bytes of a header.
const HEADER_BYTES: usize = 44;

/// Bytes of the record of a piece.
pub(super) fn record_bytes(key: &Key) -> u64 {
    HEADER_BYTES as u64 + (key.2 - key.1)
}

/// Appends the record of a piece to `out`.
pub(super) fn encode(key: &Key, bytes: &[u8], out: &mut Vec<u8>) {
    let (part, start, end) = key;
    assert_eq!(end - start, bytes.len() as u64, "a piece is as long as its range");
    let at = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&part.0.0.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&end.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    let crc = crc32c::crc32c(&out[at + 8..]);
    out[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// What a header says: the piece, and the CRC of its bytes.
fn header(bytes: &[u8; HEADER_BYTES]) -> Option<(Key, u32)> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (crc, named) = rest.split_first_chunk()?;
    if magic != &MAGIC || u32::from_le_bytes(*crc) != crc32c::crc32c(named) {
        return None;
    }
    let (part, rest) = named.split_first_chunk()?;
    let (start, rest) = rest.split_first_chunk()?;
    let (end, rest) = rest.split_first_chunk()?;
    let crc = u32::from_le_bytes(*rest.first_chunk()?);
    let (start, end) = (u64::from_le_bytes(*start), u64::from_le_bytes(*end));
    let part = PartId(Ulid(u128::from_le_bytes(*part)));
    (start <= end).then_some(((part, start, end), crc))
}

/// The bytes of `key` in the record at `at`; `None`: it is damaged, or of another piece.
pub(super) fn read(file: &dyn DiskFile, at: u64, key: &Key) -> io::Result<Option<Bytes>> {
    let len = HEADER_BYTES + (key.2 - key.1) as usize;
    let mut record = vec![0; len];
    if fill(file, at, &mut record)? < len {
        return Ok(None);
    }
    let Some((head, bytes)) = record.split_first_chunk() else { return Ok(None) };
    let is_whole =
        header(head).is_some_and(|(named, crc)| named == *key && crc == crc32c::crc32c(bytes));
    Ok(is_whole.then(|| Bytes::from(record).slice(HEADER_BYTES..)))
}

/// The piece whose record begins at `at` and ends within the `len` bytes of the file; `None`: no
/// record does.
pub(super) fn key_at(file: &dyn DiskFile, at: u64, len: u64) -> io::Result<Option<Key>> {
    let mut head = [0; HEADER_BYTES];
    if fill(file, at, &mut head)? < HEADER_BYTES {
        return Ok(None);
    }
    let Some((key, _)) = header(&head) else { return Ok(None) };
    let left = len.saturating_sub(at + HEADER_BYTES as u64);
    Ok((key.2 - key.1 <= left).then_some(key))
}

/// Reads as much of `buffer` as there is.
fn fill(file: &dyn DiskFile, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(at + filled as u64, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Any bytes as a segment: what is read of it is what was written.
pub(crate) fn fuzz(data: &[u8]) {
    let file = Memory(data);
    let (mut at, mut out) = (0, Vec::new());
    while let Ok(Some(key)) = key_at(&file, at, data.len() as u64) {
        let end = at + record_bytes(&key);
        assert!(end <= data.len() as u64);
        if let Ok(Some(bytes)) = read(&file, at, &key) {
            out.clear();
            encode(&key, &bytes, &mut out);
            assert_eq!(out, data[at as usize..end as usize]);
        }
        at = end;
    }
}

/// Bytes as a file that is only read.
struct Memory<'a>(&'a [u8]);

impl DiskFile for Memory<'_> {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let count = buffer.len().min(self.0.len() - from);
        buffer[..count].copy_from_slice(&self.0[from..from + count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
