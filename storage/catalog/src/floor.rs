//! `log/floor`: numbers at or below it are gone for ever, whatever object bears them (C3).

use crate::codec::{self, Kind, Writer};
use crate::error::Error;

pub(crate) const KIND: Kind = Kind { name: "log floor", magic: *b"RLfl", version: 1 };

/// The content of `log/floor`. A missing object is floor 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Floor(pub u64);

impl Floor {
    /// The bytes of the object.
    pub fn encode(self) -> Vec<u8> {
        let mut body = Writer::default();
        body.u64(self.0);
        codec::seal(&KIND, body)
    }

    /// Reads the object.
    pub fn decode(bytes: &[u8]) -> Result<Floor, Error> {
        Ok(Floor(codec::open(&KIND, bytes)?.u64("floor")?))
    }
}
