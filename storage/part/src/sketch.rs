//! Skip sketches: which pages cannot contain a text (protocols.md S1-S3).

/// Text that a line must contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needle<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Letter case does not matter, with Unicode's simple folds (`k` finds the Kelvin sign).
    pub ignore_case: bool,
}
