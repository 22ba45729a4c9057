//! A label set: what names a stream, and what a query's results are grouped by.

use std::fmt;
use std::sync::Arc;

use crate::hash;
use crate::quote::quote_into;

/// Hash of a stream's labels. The same labels give the same key in every process and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub u64);

/// Name-value pairs sorted by name, each name once. Cheap to clone.
///
/// Empty values are kept: a stream never has one (the distributor drops them), a query result may.
#[derive(Clone)]
pub struct Labels(Arc<Inner>);

struct Inner {
    /// All names and values one after the other.
    text: Box<str>,
    /// End offset in `text` of each name and each value, in turn.
    ends: Box<[u32]>,
    key: StreamKey,
}

impl Inner {
    /// Names and values in turn, from the `first` of them on.
    fn pieces(&self, first: usize) -> impl Iterator<Item = &str> {
        let mut from = if first == 0 { 0 } else { self.ends[first - 1] as usize };
        self.ends[first..].iter().map(move |&end| {
            let piece = &self.text[from..end as usize];
            from = end as usize;
            piece
        })
    }
}

impl Labels {
    /// No labels.
    pub fn empty() -> Labels {
        LabelsBuilder::default().build()
    }

    /// From pairs in any order; of equal names the last wins.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// From pairs whose names strictly ascend: no sorting, three allocations.
    ///
    /// # Panics
    /// If they do not ascend.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        let mut text = String::new();
        let mut ends = Vec::new();
        // Lengths are hashed with the bytes, so that ("ab","c") and ("a","bc") differ.
        let mut hashed = Vec::new();
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            assert!(last.is_none_or(|last| last < name), "label names ascend");
            last = Some(name);
            for piece in [name, value] {
                text.push_str(piece);
                ends.push(text.len() as u32);
                hashed.extend_from_slice(&(piece.len() as u32).to_le_bytes());
                hashed.extend_from_slice(piece.as_bytes());
            }
        }
        assert!(text.len() <= u32::MAX as usize, "label set over 4 GiB");
        let key = StreamKey(hash::hash64(&hashed));
        Labels(Arc::new(Inner { text: text.into(), ends: ends.into(), key }))
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.ends.len() / 2
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// The `index`th pair in name order.
    pub fn pair(&self, index: usize) -> (&str, &str) {
        let ends = &self.0.ends;
        let from = if index == 0 { 0 } else { ends[index * 2 - 1] as usize };
        let (name_end, value_end) = (ends[index * 2] as usize, ends[index * 2 + 1] as usize);
        (&self.0.text[from..name_end], &self.0.text[name_end..value_end])
    }

    /// The pairs in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + '_ {
        (0..self.len()).map(|index| self.pair(index))
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let (found, value) = self.pair(middle);
            match found.cmp(name) {
                std::cmp::Ordering::Equal => return Some(value),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Hash of the pairs.
    pub fn key(&self) -> StreamKey {
        self.0.key
    }

    /// Bytes of names and values together.
    pub fn text_bytes(&self) -> usize {
        self.0.text.len()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.key == other.0.key
                && self.0.ends == other.0.ends
                && self.0.text == other.0.text)
    }
}

impl Eq for Labels {}

impl std::hash::Hash for Labels {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.key.0);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    /// By pairs: name, then value, then the next pair; a prefix sorts first.
    fn cmp(&self, other: &Labels) -> std::cmp::Ordering {
        let (a, b) = (&*self.0, &*other.0);
        // While pieces are equally long they compare as the bytes they are in.
        let same = a.ends.iter().zip(&b.ends).take_while(|(a, b)| a == b).count();
        let upto = if same == 0 { 0 } else { a.ends[same - 1] as usize };
        let prefix = a.text.as_bytes()[..upto].cmp(&b.text.as_bytes()[..upto]);
        prefix.then_with(|| a.pieces(same).cmp(b.pieces(same)))
    }
}

impl fmt::Display for Labels {
    /// Loki's canonical text: `{a="b", c="d"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(self.0.text.len() + self.len() * 5 + 2);
        out.push('{');
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            out.push_str(name);
            out.push('=');
            quote_into(&mut out, value);
        }
        out.push('}');
        f.write_str(&out)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Collects pairs, then sorts them once.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Starts from existing labels.
    pub fn from_labels(labels: &Labels) -> LabelsBuilder {
        let pairs = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        LabelsBuilder { pairs }
    }

    /// Sets `name`, replacing an earlier value.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.pairs.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) {
        self.pairs.retain(|(known, _)| known != name);
    }

    /// The current value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sorts and freezes.
    pub fn build(mut self) -> Labels {
        self.pairs.sort_unstable();
        Labels::from_sorted(self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_sort_find_print_and_compare_by_content() {
        let a = Labels::from_pairs([("job", "x"), ("app", "say \"hi\"\n")]);
        let b = Labels::from_pairs([("app", "say \"hi\"\n"), ("job", "x")]);
        assert_eq!(a, b);
        assert_eq!(a.key(), b.key());
        assert_eq!(a.to_string(), r#"{app="say \"hi\"\n", job="x"}"#);
        assert_eq!(a.get("job"), Some("x"));
        assert_eq!(a.get("jo"), None);
        assert_eq!(Labels::empty().to_string(), "{}");
        assert_ne!(
            Labels::from_pairs([("ab", "c")]).key(),
            Labels::from_pairs([("a", "bc")]).key()
        );
    }

    #[test]
    fn the_key_is_stable_across_versions() {
        let labels = Labels::from_pairs([("app", "checkout"), ("env", "prod")]);
        assert_eq!(labels.key().0, STABLE_KEY);
    }
    const STABLE_KEY: u64 = 15_665_211_715_308_211_672;

    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        prop::collection::vec(("[ab]{1,2}", "[aé]{0,2}"), 0..4)
    }

    proptest! {
        #[test]
        fn labels_sort_as_their_pairs_do(a in pairs(), b in pairs()) {
            let (a, b) = (Labels::from_pairs(a), Labels::from_pairs(b));
            prop_assert_eq!(a.cmp(&b), a.iter().cmp(b.iter()));
            prop_assert_eq!(a == b, a.iter().eq(b.iter()));
        }
    }
}
