//! What can be wrong with stored bytes of the catalog.

use base::ErrorKind;

/// Why bytes are not the object they should be. The caller adds the object's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than the frame around every object.
    #[error("{object}: {len} bytes are less than a frame")]
    TooShort {
        /// Kind of object.
        object: &'static str,
        /// Bytes given.
        len: usize,
    },
    /// The first four bytes are of something else.
    #[error("{object}: the magic is {found:02x?}")]
    Magic {
        /// Kind of object.
        object: &'static str,
        /// First bytes given.
        found: [u8; 4],
    },
    /// A version this program does not read.
    #[error("{object}: version {version} is not known to this program")]
    Version {
        /// Kind of object.
        object: &'static str,
        /// Version in the bytes.
        version: u16,
    },
    /// The bytes were damaged.
    #[error("{object}: checksum {found:08x} does not match {computed:08x}")]
    Checksum {
        /// Kind of object.
        object: &'static str,
        /// Checksum in the bytes.
        found: u32,
        /// Checksum of the bytes.
        computed: u32,
    },
    /// The body ends within a field, or goes on after the last.
    #[error("{object}: {field} does not fit the body")]
    Truncated {
        /// Kind of object.
        object: &'static str,
        /// Field being read.
        field: &'static str,
    },
    /// A field holds a value it may not have.
    #[error("{object}: {field}: {problem}")]
    Field {
        /// Kind of object.
        object: &'static str,
        /// Field being read.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A limit on untrusted sizes was hit.
    #[error("{object}: {field}: {found} is over the limit of {limit}")]
    Cap {
        /// Kind of object.
        object: &'static str,
        /// Field being read.
        field: &'static str,
        /// Value found.
        found: u64,
        /// Value allowed.
        limit: u64,
    },
}

impl Error {
    /// Always [`ErrorKind::Corrupt`]: stored bytes do not get better by reading again.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}
