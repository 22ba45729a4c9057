//! Names and values of many label sets, as numbers.

use base::{HashMap, Labels};

/// Numbers texts by first appearance.
#[derive(Default)]
pub(crate) struct Texts<'a> {
    index: HashMap<&'a str, u32>,
    /// Those of the newest label set: the next one has mostly the same names, at the same places,
    /// and if label sets ascend, the same values.
    newest: Vec<(&'a str, u32)>,
}

impl<'a> Texts<'a> {
    /// The number of `text`.
    pub(crate) fn number(&mut self, text: &'a str) -> u32 {
        let next = self.index.len() as u32;
        *self.index.entry(text).or_insert(next)
    }

    /// Appends the numbers of names and values in turn.
    pub(crate) fn number_labels(&mut self, labels: &'a Labels, out: &mut Vec<u32>) {
        for (at, text) in labels.iter().flat_map(|(name, value)| [name, value]).enumerate() {
            if self.newest.get(at).is_none_or(|(known, _)| *known != text) {
                let number = self.number(text);
                match self.newest.get_mut(at) {
                    Some(newest) => *newest = (text, number),
                    None => self.newest.push((text, number)),
                }
            }
            out.push(self.newest[at].1);
        }
    }

    /// All texts in ascending order, and for each number the place of its text among them.
    pub(crate) fn sorted(&self) -> (Vec<&'a str>, Vec<u32>) {
        let mut sorted: Vec<(&str, u32)> = self.index.iter().map(|(t, n)| (*t, *n)).collect();
        sorted.sort_unstable();
        let mut places = vec![0; sorted.len()];
        for (place, (_, number)) in sorted.iter().enumerate() {
            places[*number as usize] = place as u32;
        }
        (sorted.into_iter().map(|(text, _)| text).collect(), places)
    }
}
