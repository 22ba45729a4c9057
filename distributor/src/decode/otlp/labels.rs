//! Labels that attributes give to a stream.

use base::hash::hash64;
use base::quote::quote_into;
use hashbrown::HashTable;

use super::super::{Fault, malformed};

/// Labels of one stream that are read. Far more than any tenant's limit on labels, which tells of
/// them, and few enough to be held.
const MAX_LABELS: usize = 4096;

/// Names with their values, in the order in which the names came first.
#[derive(Default)]
pub(super) struct LabelSet {
    pairs: Vec<(String, String)>,
    index: HashTable<u32>,
}

impl LabelSet {
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.index.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// A later value of a name counts.
    pub(super) fn set(&mut self, name: String, value: String) -> Result<(), Fault> {
        if let Some(at) = self.place(&name) {
            self.pairs[at].1 = value;
            return Ok(());
        }
        if self.pairs.len() == MAX_LABELS {
            return Err(malformed(format!("attributes give more than {MAX_LABELS} labels")));
        }
        let (hash, pairs) = (hash64(name.as_bytes()), &self.pairs);
        let hash_of = |&at: &u32| hash64(pairs[at as usize].0.as_bytes());
        self.index.insert_unique(hash, pairs.len() as u32, hash_of);
        self.pairs.push((name, value));
        Ok(())
    }

    fn place(&self, name: &str) -> Option<usize> {
        let is_it = |&at: &u32| self.pairs[at as usize].0 == name;
        self.index.find(hash64(name.as_bytes()), is_it).map(|&at| at as usize)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.place(name).map(|at| self.pairs[at].1.as_str())
    }

    /// These and `more`, whose values count, as Prometheus writes them.
    pub(super) fn text_with(&self, more: &LabelSet) -> String {
        let of_these = self.pairs.iter().map(|(name, value)| {
            let value = if more.is_empty() { None } else { more.get(name) }.unwrap_or(value);
            (name.as_str(), value)
        });
        let of_more = more.pairs.iter().filter(|(name, _)| self.place(name).is_none());
        let of_more = of_more.map(|(name, value)| (name.as_str(), value.as_str()));
        let mut text = String::from("{");
        for (index, (name, value)) in of_these.chain(of_more).enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(name);
            text.push('=');
            quote_into(&mut text, value);
        }
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> LabelSet {
        let mut labels = LabelSet::default();
        for &(name, value) in pairs {
            labels.set(name.to_owned(), value.to_owned()).unwrap();
        }
        labels
    }

    #[test]
    fn the_last_value_of_a_name_counts_in_the_place_of_the_first() {
        let of_resource = set(&[("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(of_resource.text_with(&LabelSet::default()), r#"{a="3", b="2"}"#);
        let of_record = set(&[("c", "4"), ("b", "5")]);
        assert_eq!(of_resource.text_with(&of_record), r#"{a="3", b="5", c="4"}"#);
    }

    #[test]
    fn labels_have_an_end() {
        let mut labels = LabelSet::default();
        for n in 0..MAX_LABELS {
            labels.set(format!("n{n}"), String::new()).unwrap();
        }
        labels.set("n7".to_owned(), "again".to_owned()).unwrap();
        let error = labels.set("one more".to_owned(), String::new()).unwrap_err();
        assert_eq!(error.text, "attributes give more than 4096 labels");
    }
}
