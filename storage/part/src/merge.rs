//! Parts in, one part out.

use base::{Day, TenantId};

use crate::{Error, Footer, Image, Options, RangeRead};

/// A part to merge.
pub struct Input<'a, E> {
    /// Its footer.
    pub footer: &'a Footer,
    /// Its bytes.
    pub reader: &'a dyn RangeRead<Error = E>,
}

/// Merges sorted parts of one tenant and day into one, and drops rows that are in several.
///
/// Rows of one instant come in the order of `inputs`. Holds one page of lines and one row group of
/// small columns per input, and the output. `None` when there are no rows.
pub fn merge<E: From<Error>>(
    _tenant: &TenantId,
    _day: Day,
    _inputs: &[Input<'_, E>],
    _options: &Options,
) -> Result<Option<Image>, E> {
    unimplemented!()
}
