//! Which parsed labels a query needs.

use super::columns::Text;
use super::names::NameId;

/// What parsers extract. Names are those of the leaf, so their numbers are small and fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything.
    All,
    /// These names; `stop` = a parser leaves a line when it has them all, so that a mistake after
    /// that is no error (contract 6.11).
    Some {
        /// By name number.
        names: Vec<bool>,
        /// Only for metric queries.
        stop: bool,
    },
}

impl Wanted {
    /// Whether a label is extracted.
    #[inline]
    pub(crate) fn takes(&self, name: NameId) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Some { names, .. } => names.get(name as usize).copied().unwrap_or(false),
        }
    }

    /// Whether a label counts for having them all.
    #[inline]
    pub(crate) fn counts(&self, name: NameId) -> bool {
        matches!(self, Wanted::Some { stop: true, .. }) && self.takes(name)
    }

    /// How many are missing on a row that has `labels`; never zero where it does not matter.
    #[inline]
    pub(crate) fn missing(&self, labels: &[(NameId, Text)]) -> usize {
        match self {
            Wanted::Some { names, stop: true } => {
                let all = names.iter().filter(|&&wanted| wanted).count();
                all - labels.iter().filter(|label| !label.1.is_set() && self.takes(label.0)).count()
            }
            _ => usize::MAX,
        }
    }
}
