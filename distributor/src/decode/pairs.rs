//! Structured metadata of one entry: its own pairs, and those that it shares with others.

use super::Span;

/// Pairs of one entry that are kept. A pair takes two bytes of a body and 48 here: what no limit of
/// a tenant allows is only counted, so that it can be refused with its numbers.
pub(crate) const MAX_PAIRS: usize = 64 << 10;

/// Where pairs lie.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    list: Vec<[Span; 2]>,
    rest: Rest,
}

/// Pairs that were counted and not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rest {
    pairs: u64,
    bytes: u64,
}

impl Spans {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.rest = Rest::default();
    }

    #[inline]
    pub(crate) fn push(&mut self, pair: [Span; 2]) {
        if self.list.len() < MAX_PAIRS {
            self.list.push(pair);
        } else {
            self.count((pair[0].len() + pair[1].len()) as u64);
        }
    }

    /// Counts a pair of `bytes` that is not kept.
    #[cold]
    pub(crate) fn count(&mut self, bytes: u64) {
        self.rest.pairs += 1;
        self.rest.bytes += bytes;
    }

    /// The pairs that are kept.
    pub(crate) fn list(&self) -> &[[Span; 2]] {
        &self.list
    }

    /// Whether all pairs are kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.rest == Rest::default()
    }

    /// Bytes allocated.
    pub(crate) fn capacity(&self) -> usize {
        self.list.capacity() * size_of::<[Span; 2]>()
    }
}

/// Pairs that entries one after the other share: looked at once.
#[derive(Debug, Default)]
pub(crate) struct Common {
    spans: Spans,
    bytes: u64,
    /// Tells different lists of one body apart; 0: none.
    number: u64,
    drawn: u64,
}

/// How far a list went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    kept: usize,
    rest: Rest,
    bytes: u64,
    number: u64,
}

impl Common {
    pub(crate) fn mark(&self) -> Mark {
        let (kept, rest) = (self.spans.list.len(), self.spans.rest);
        Mark { kept, rest, bytes: self.bytes, number: self.number }
    }

    /// Forgets what came after `mark`.
    pub(crate) fn back(&mut self, mark: Mark) {
        self.spans.list.truncate(mark.kept);
        (self.spans.rest, self.bytes, self.number) = (mark.rest, mark.bytes, mark.number);
    }

    /// Where pairs are added; [`Common::added`] follows.
    pub(crate) fn spans(&mut self) -> &mut Spans {
        &mut self.spans
    }

    /// Takes in what was added after `mark`.
    pub(crate) fn added(&mut self, mark: Mark) {
        let kept = &self.spans.list[mark.kept..];
        let bytes: usize = kept.iter().map(|[name, value]| name.len() + value.len()).sum();
        self.bytes += bytes as u64 + (self.spans.rest.bytes - mark.rest.bytes);
        if !kept.is_empty() {
            self.drawn += 1;
            self.number = self.drawn;
        }
    }

    pub(crate) fn shared(&self) -> Shared<'_> {
        Shared(Some(self))
    }
}

/// A look at [`Common`] pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<'a>(Option<&'a Common>);

impl<'a> Shared<'a> {
    #[inline]
    pub(crate) fn none() -> Shared<'static> {
        Shared(None)
    }

    #[inline]
    fn list(self) -> &'a [[Span; 2]] {
        self.0.map_or(&[], |common| &common.spans.list)
    }

    /// Pairs that are not kept.
    #[inline]
    fn rest(self) -> u64 {
        self.0.map_or(0, |common| common.spans.rest.pairs)
    }

    /// Bytes of all of them.
    #[inline]
    fn bytes(self) -> u64 {
        self.0.map_or(0, |common| common.bytes)
    }

    #[inline]
    fn number(self) -> u64 {
        self.0.map_or(0, |common| common.number)
    }
}

/// Structured metadata of one entry, in the order of the body, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs<'a> {
    body: &'a [u8],
    arena: &'a [u8],
    own: &'a Spans,
    shared: Shared<'a>,
}

impl<'a> Pairs<'a> {
    #[inline]
    pub(crate) fn new(
        body: &'a [u8],
        arena: &'a [u8],
        own: &'a Spans,
        shared: Shared<'a>,
    ) -> Pairs<'a> {
        Pairs { body, arena, own, shared }
    }

    /// Number of pairs, those that are not kept among them.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        let kept = self.own.list.len() + self.shared.list().len();
        kept as u64 + self.own.rest.pairs + self.shared.rest()
    }

    /// Whether all pairs are kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.own.rest.pairs + self.shared.rest() == 0
    }

    /// Bytes of all names and values.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        let own: usize = self.own.list.iter().map(|[name, value]| name.len() + value.len()).sum();
        own as u64 + self.own.rest.bytes + self.shared.bytes()
    }

    /// The pairs of the entry alone.
    #[inline]
    pub(crate) fn own(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.texts(&self.own.list)
    }

    /// The pairs that it shares; they stand behind its own.
    #[inline]
    pub(crate) fn shared(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.texts(self.shared.list())
    }

    /// Tells different shared pairs of one body apart; 0: there are none.
    #[inline]
    pub(crate) fn shared_number(&self) -> u64 {
        self.shared.number()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.own().chain(self.shared())
    }

    #[inline]
    fn texts(
        &self,
        spans: &'a [[Span; 2]],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let (body, arena) = (self.body, self.arena);
        spans.iter().map(move |[name, value]| (name.of(body, arena), value.of(body, arena)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_beyond_the_cap_are_counted_with_their_bytes() {
        let body = [b'x'; 8];
        let mut spans = Spans::default();
        for _ in 0..MAX_PAIRS + 10 {
            spans.push([Span::body(0, 3), Span::body(3, 8)]);
        }
        assert_eq!(spans.list().len(), MAX_PAIRS);
        let pairs = Pairs::new(&body, &[], &spans, Shared::none());
        assert_eq!((pairs.len(), pairs.bytes()), (MAX_PAIRS as u64 + 10, pairs.len() * 8));
        assert!(!pairs.is_whole());
    }

    #[test]
    fn shared_pairs_have_a_number_for_each_list_and_go_back_to_it() {
        let mut common = Common::default();
        let start = common.mark();
        common.added(start);
        assert_eq!(common.shared().number(), 0, "nothing was added");
        common.spans().push([Span::body(0, 1), Span::body(1, 3)]);
        common.added(start);
        let resource = common.mark();
        let mut numbers = vec![common.shared().number()];
        for _ in 0..2 {
            common.spans().push([Span::body(0, 1), Span::body(1, 1)]);
            common.spans().count(100);
            common.added(resource);
            let shared = common.shared();
            assert_eq!((shared.bytes(), shared.rest(), shared.list().len()), (104, 1, 2));
            numbers.push(shared.number());
            common.back(resource);
            assert_eq!((common.shared().bytes(), common.shared().number()), (3, numbers[0]));
        }
        assert_eq!(numbers, [1, 2, 3]);
    }
}
