//! What came of a command.

use base::StoreId;

use crate::MAX_INSTANCES;
use crate::codec::{Reader, Writer};
use crate::error::Error;

const VERSION: u64 = 1;

/// What came of a command. The version is that of the state after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The state changed. The version is also the ETag of an override that was put and the
    /// sequence of a lease that was taken.
    Done {
        /// Of the state.
        version: u64,
    },
    /// It was so already.
    Unchanged {
        /// Of the state.
        version: u64,
    },
    /// The state does not allow it.
    Refused(Refusal),
}

/// Why the state does not allow a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field is empty, too long or makes no sense.
    #[error("the command's {0} is not valid")]
    Invalid(String),
    /// A bound of the state.
    #[error("the ring holds no more {0}")]
    Full(String),
    /// No such instance, override or lease.
    #[error("the ring has no {0}")]
    Unknown(String),
    /// The store was removed: whoever has its directory must make a new one.
    #[error("store {0} was removed from the ring: its directory must be replaced")]
    Retired(StoreId),
    /// The store is on its way out, and others have cleared it already.
    #[error("store {0} is being cleared by others: it must be drained and replaced")]
    Departing(StoreId),
    /// These stores have to say or see something first.
    #[error("waits for {}", list(.0))]
    Waiting(Vec<StoreId>),
    /// The phase does not fit.
    #[error("store {0} is not in a phase for that")]
    Phase(StoreId),
    /// The last active ingester cannot leave: nobody could take its streams.
    #[error("store {0} is the last active ingester")]
    Last(StoreId),
    /// Another version stands there.
    #[error("the version is {found} now")]
    Version {
        /// What stands there; 0 = nothing.
        found: u64,
    },
    /// Another holds the lease.
    #[error("store {0} holds the lease")]
    Held(StoreId),
}

fn list(stores: &[StoreId]) -> String {
    let names: Vec<String> = stores.iter().map(StoreId::to_string).collect();
    names.join(", ")
}

impl Outcome {
    /// The version of the state after a command that was not refused.
    pub fn version(&self) -> Result<u64, Refusal> {
        match self {
            Outcome::Done { version } | Outcome::Unchanged { version } => Ok(*version),
            Outcome::Refused(refusal) => Err(refusal.clone()),
        }
    }

    /// As bytes: `docs/formats/ring.md`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.uvarint(VERSION);
        match self {
            Outcome::Done { version } => {
                out.u8(0);
                out.uvarint(*version);
            }
            Outcome::Unchanged { version } => {
                out.u8(1);
                out.uvarint(*version);
            }
            Outcome::Refused(refusal) => encode_refusal(refusal, &mut out),
        }
        out.finish()
    }

    /// Reads what [`Outcome::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Outcome, Error> {
        let mut input = Reader::new("outcome", bytes);
        input.version(VERSION)?;
        let outcome = match input.u8("kind")? {
            0 => Outcome::Done { version: input.uvarint("version")? },
            1 => Outcome::Unchanged { version: input.uvarint("version")? },
            kind => Outcome::Refused(decode_refusal(kind, &mut input)?),
        };
        input.end()?;
        Ok(outcome)
    }
}

fn encode_refusal(refusal: &Refusal, out: &mut Writer) {
    let mut texted = |kind: u8, text: &str| {
        out.u8(kind);
        out.text(text);
    };
    match refusal {
        Refusal::Invalid(what) => return texted(2, what),
        Refusal::Full(what) => return texted(3, what),
        Refusal::Unknown(what) => return texted(4, what),
        _ => {}
    }
    let (kind, store) = match refusal {
        Refusal::Retired(store) => (5, store),
        Refusal::Departing(store) => (6, store),
        Refusal::Phase(store) => (7, store),
        Refusal::Last(store) => (8, store),
        Refusal::Held(store) => (9, store),
        Refusal::Version { found } => {
            out.u8(10);
            return out.uvarint(*found);
        }
        Refusal::Waiting(stores) => {
            out.u8(11);
            return out.stores(stores.iter());
        }
        Refusal::Invalid(_) | Refusal::Full(_) | Refusal::Unknown(_) => return,
    };
    out.u8(kind);
    out.store(*store);
}

fn decode_refusal(kind: u8, input: &mut Reader<'_>) -> Result<Refusal, Error> {
    const MAX_WHAT_BYTES: usize = 1024;
    Ok(match kind {
        2 => Refusal::Invalid(input.text("what", MAX_WHAT_BYTES)?.to_owned()),
        3 => Refusal::Full(input.text("what", MAX_WHAT_BYTES)?.to_owned()),
        4 => Refusal::Unknown(input.text("what", MAX_WHAT_BYTES)?.to_owned()),
        5 => Refusal::Retired(input.store("store")?),
        6 => Refusal::Departing(input.store("store")?),
        7 => Refusal::Phase(input.store("store")?),
        8 => Refusal::Last(input.store("store")?),
        9 => Refusal::Held(input.store("store")?),
        10 => Refusal::Version { found: input.uvarint("version")? },
        11 => Refusal::Waiting(input.stores("stores", MAX_INSTANCES)?),
        _ => return Err(input.bad("kind", "unknown")),
    })
}
