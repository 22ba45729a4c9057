//! Stores that fail on purpose, and rules that can be switched off.

/// Rules that a test switches off to see that it would notice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Knobs {
    /// Put without comparing the draft with earlier commits (C2).
    pub skip_compare: bool,
    /// Believe a PUT without reading `log/floor` after it (C3).
    pub skip_floor_check: bool,
}
