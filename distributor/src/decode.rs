//! Push bodies -> calls of a [`Sink`] with slices that borrow from the body.
//!
//! A decoder makes no struct per line: what it knows of the entry at hand lies in [`Pieces`], as
//! positions in the body, or in the arena when an escape had to be undone. Both are reused.

mod arena;
pub mod json;
pub mod labels;
pub mod legacy;
pub mod otlp;
mod pairs;
pub mod protobuf;
mod time;

pub(crate) use arena::Arena;
pub(crate) use pairs::{Common, MAX_PAIRS, Pairs, Shared, Spans};

use crate::error::Error;

/// Takes what a decoder finds, in the order of the body.
pub(crate) trait Sink {
    /// A stream begins. The error is one of the body's, and ends the decoding.
    fn stream(&mut self, labels: RawLabels<'_>) -> Result<(), Fault>;

    /// About this many entries follow in the stream that began last.
    fn expect(&mut self, entries: usize) {
        let _ = entries;
    }

    /// An entry of the stream that began last.
    fn entry(&mut self, entry: &Entry<'_>);

    /// Forgets everything: the body is decoded again from its beginning.
    fn restart(&mut self);
}

/// Labels as a body writes them; the bytes identify the stream for a cache.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RawLabels<'a> {
    /// Prometheus' text, `{a="b"}`.
    Text(&'a [u8]),
    /// A JSON object, checked to be well-formed.
    Json(&'a [u8]),
    /// Prometheus' text, of a resource that says elsewhere which service it is: no label is sought
    /// that might name it.
    Named(&'a [u8]),
}

/// One entry, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// Nanoseconds.
    pub(crate) ts_ns: i64,
    pub(crate) line: &'a [u8],
    /// Bytes of the line behind `line`: of text that a decoder made, no more than can be stored.
    pub(crate) line_rest: u64,
    pub(crate) metadata: Pairs<'a>,
}

/// Bytes in the body or in the arena.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    from: usize,
    to: usize,
    in_arena: bool,
}

impl Span {
    pub(crate) fn body(from: usize, to: usize) -> Span {
        Span { from, to, in_arena: false }
    }

    pub(crate) fn arena(from: usize, to: usize) -> Span {
        Span { from, to, in_arena: true }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.to - self.from
    }

    #[inline]
    pub(crate) fn of<'a>(&self, body: &'a [u8], arena: &'a [u8]) -> &'a [u8] {
        let bytes = if self.in_arena { arena } else { body };
        &bytes[self.from..self.to]
    }
}

/// The entry being read. Reused for all entries of all requests.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pub(crate) ts_ns: i64,
    pub(crate) line: Span,
    pub(crate) metadata: Spans,
    /// Bytes that are not as the body has them.
    pub(crate) arena: Arena,
    /// Open brackets while a value is skipped: whether each is an object.
    pub(crate) nesting: Vec<bool>,
}

impl Pieces {
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.ts_ns = time::GO_ZERO_NS;
        self.line = Span::default();
        self.metadata.clear();
        self.arena.clear();
    }

    #[inline]
    pub(crate) fn entry<'a>(&'a self, body: &'a [u8]) -> Entry<'a> {
        Entry {
            ts_ns: self.ts_ns,
            line: self.line.of(body, self.arena.as_slice()),
            line_rest: 0,
            metadata: Pairs::new(body, self.arena.as_slice(), &self.metadata, Shared::none()),
        }
    }

    /// Bytes allocated.
    pub(crate) fn capacity(&self) -> usize {
        self.arena.capacity() + self.metadata.capacity()
    }
}

/// An error on its way out of a decoder: small, so that results travel in registers.
pub(crate) type Fault = Box<Error>;

/// A body that breaks its own format.
#[cold]
pub(crate) fn malformed(text: impl Into<String>) -> Fault {
    Box::new(Error::new(400, text))
}
