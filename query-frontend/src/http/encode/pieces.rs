//! What bodies that are written a piece at a time are made of.

use std::vec::IntoIter;

/// A body that is written a piece at a time.
pub trait Written: Send + 'static {
    /// Appends to `out` until it holds `enough` bytes or a little more. `true`: that was the rest.
    fn write(&mut self, out: &mut Vec<u8>, enough: usize) -> bool;
}

/// Items of an array that are not written yet.
pub(super) struct Left<T> {
    items: IntoIter<T>,
    is_first: bool,
}

impl<T> Left<T> {
    pub(super) fn of(items: Vec<T>) -> Left<T> {
        Left { items: items.into_iter(), is_first: true }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.as_slice().is_empty()
    }

    /// The next item, with the comma before it written.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Option<T> {
        let item = self.items.next()?;
        if !self.is_first {
            out.push(b',');
        }
        self.is_first = false;
        Some(item)
    }

    /// Puts more items in the array, all of which so far are written.
    pub(super) fn go_on(&mut self, items: Vec<T>) {
        assert!(self.is_empty(), "what is left would be lost");
        self.items = items.into_iter();
    }
}
