//! What can be wrong with a part.

use base::ErrorKind;

/// Why a part cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stored bytes are damaged, cut off, or were never a part.
    #[error("part is damaged at byte {offset}: {what}")]
    Corrupt {
        /// What does not fit.
        what: &'static str,
        /// Where, from the start of the part.
        offset: u64,
    },
    /// The footer does not lie within the bytes that were given; read `need` bytes from the end.
    #[error("the part's footer takes {need} bytes, {have} were read")]
    Short {
        /// Bytes from the end of the part that hold the footer.
        need: u64,
        /// Bytes that were given.
        have: u64,
    },
    /// Written by a newer program.
    #[error("part format version {found} is not known (this program reads {known})")]
    Version {
        /// Version in the trailer.
        found: u16,
        /// Newest version known here.
        known: u16,
    },
    /// A column that must be understood to render rows is of a kind that is not known here.
    #[error("part column kind {kind} is not known")]
    Column {
        /// The kind's tag.
        kind: u8,
    },
    /// Rows or parts of different tenants or days cannot be in one part.
    #[error("part of tenant {found_tenant} day {found_day} cannot go into {tenant} day {day}")]
    Foreign {
        /// Tenant of the part that is written.
        tenant: String,
        /// Day of the part that is written.
        day: base::Day,
        /// Tenant of the input.
        found_tenant: String,
        /// Day of the input.
        found_day: base::Day,
    },
    /// A limit of the format was reached.
    #[error("{what} takes {found} bytes, a part holds at most {limit}")]
    TooLarge {
        /// Which piece.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The compression library refused to work.
    #[error("compression failed: {0}")]
    Codec(String),
}

impl Error {
    /// Who can do something about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Corrupt { .. } | Error::Version { .. } | Error::Column { .. } => {
                ErrorKind::Corrupt
            }
            Error::Short { .. } | Error::Foreign { .. } | Error::Codec(_) => ErrorKind::Internal,
            Error::TooLarge { .. } => ErrorKind::Limited,
        }
    }

    pub(crate) fn corrupt(what: &'static str, offset: u64) -> Error {
        Error::Corrupt { what, offset }
    }
}
