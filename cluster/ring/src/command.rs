//! What may be done to a state.

use base::{StoreId, TenantId};
use bytes::Bytes;

use crate::codec::{Reader, Writer};
use crate::error::Error;
use crate::instance::{Roles, decode_roles, decode_tokens, encode_tokens};
use crate::{MAX_OVERRIDE_BYTES, MAX_TEXT_BYTES};

const VERSION: u64 = 1;

/// An instance as it presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its store; see [`crate::Instance::store`].
    pub store: StoreId,
    /// See [`crate::Instance::id`].
    pub id: String,
    /// `host:port` that others dial.
    pub grpc_address: String,
    /// `host:port` of its HTTP API.
    pub http_address: String,
    /// Its zone; empty where there are none.
    pub zone: String,
    /// What it does.
    pub roles: Roles,
    /// An ingester's places on the ring, ascending.
    pub tokens: Vec<u32>,
}

/// What must stand there for a change to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything, or nothing.
    Any,
    /// Nothing.
    Absent,
    /// This version (ETag).
    Version(u64),
}

/// A change of the state. The order in which commands are applied is Raft's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// An instance is there: a new one, one that came back, or one with another address or zone.
    /// A new store of a known instance id means that the old store is gone (B6).
    Register(Registration),
    /// A joining ingester takes its share.
    Activate {
        /// Whose.
        store: StoreId,
    },
    /// It takes nothing new and goes when it is cleared. Without rows it goes at once.
    Leave {
        /// Whose.
        store: StoreId,
    },
    /// It is dead. Without rows it is removed at once.
    Gone {
        /// Whose.
        store: StoreId,
    },
    /// `by` holds no unclaimed batch whose list names `of`, and durably takes none any more (R1b).
    /// Of itself: its own WAL is empty.
    Cleared {
        /// Who says it.
        by: StoreId,
        /// Of whom.
        of: StoreId,
        /// [`crate::Departure::since`] of that departure: one that came back is not cleared by what
        /// was said before.
        since: u64,
    },
    /// An operator knows that no batch had its majority on this gone store and on others that are
    /// lost: queries need no word of it any more, it never comes back, and it is removed when all
    /// others have cleared it, but for those that are forgotten, too.
    Forget {
        /// Whose.
        store: StoreId,
    },
    /// The leader began or ceased to hear from it.
    Health {
        /// Whose.
        store: StoreId,
        /// Whether it is heard.
        is_up: bool,
    },
    /// An ingester follows the state at least to this version.
    Seen {
        /// Who.
        by: StoreId,
        /// The version.
        version: u64,
    },
    /// Every unclaimed batch that an ingester holds was acknowledged under this replication factor
    /// or a higher one, and it durably takes no other, unless a later state asks for less.
    Factor {
        /// Who.
        by: StoreId,
        /// The factor.
        factor: u8,
        /// The version of the state that asked for it: what was said before the factor was lowered
        /// means nothing after it.
        since: u64,
    },
    /// The replication factor of new batches.
    Replicate {
        /// The factor.
        factor: u8,
    },
    /// Most voters: 1, 3 or 5.
    Voters {
        /// How many.
        most: u8,
    },
    /// Replaces a tenant's overrides.
    PutOverride {
        /// Whose.
        tenant: TenantId,
        /// What must stand there.
        expect: Expect,
        /// The overrides as text.
        bytes: Bytes,
    },
    /// Removes a tenant's overrides.
    DeleteOverride {
        /// Whose.
        tenant: TenantId,
        /// What must stand there.
        expect: Expect,
    },
    /// Takes a lease that is free or whose holder is down. It spreads work and protects nothing.
    TakeLease {
        /// Of what.
        name: String,
        /// By whom.
        holder: StoreId,
    },
    /// Gives a lease back.
    ReleaseLease {
        /// Of what.
        name: String,
        /// By whom.
        holder: StoreId,
        /// The sequence under which it was taken.
        sequence: u64,
    },
}

impl Command {
    /// As bytes: `docs/formats/ring.md`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.uvarint(VERSION);
        match self {
            Command::Register(registration) => encode_registration(registration, &mut out),
            Command::Activate { store } => tagged(&mut out, 2, *store),
            Command::Leave { store } => tagged(&mut out, 3, *store),
            Command::Gone { store } => tagged(&mut out, 4, *store),
            Command::Cleared { by, of, since } => {
                tagged(&mut out, 5, *by);
                out.store(*of);
                out.uvarint(*since);
            }
            Command::Forget { store } => tagged(&mut out, 6, *store),
            Command::Health { store, is_up } => {
                tagged(&mut out, 7, *store);
                out.flag(*is_up);
            }
            Command::Seen { by, version } => {
                tagged(&mut out, 8, *by);
                out.uvarint(*version);
            }
            Command::Factor { by, factor, since } => {
                tagged(&mut out, if *since == 0 { 9 } else { 16 }, *by);
                out.u8(*factor);
                if *since > 0 {
                    out.uvarint(*since);
                }
            }
            Command::Replicate { factor } => {
                out.u8(10);
                out.u8(*factor);
            }
            Command::Voters { most } => {
                out.u8(11);
                out.u8(*most);
            }
            Command::PutOverride { tenant, expect, bytes } => {
                out.u8(12);
                encode_expected(tenant, *expect, &mut out);
                out.bytes(bytes);
            }
            Command::DeleteOverride { tenant, expect } => {
                out.u8(13);
                encode_expected(tenant, *expect, &mut out);
            }
            Command::TakeLease { name, holder } => {
                tagged(&mut out, 14, *holder);
                out.text(name);
            }
            Command::ReleaseLease { name, holder, sequence } => {
                tagged(&mut out, 15, *holder);
                out.text(name);
                out.uvarint(*sequence);
            }
        }
        out.finish()
    }

    /// Reads what [`Command::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Command, Error> {
        let mut input = Reader::new("command", bytes);
        input.version(VERSION)?;
        let command = Command::read(&mut input)?;
        input.end()?;
        Ok(command)
    }

    fn read(input: &mut Reader<'_>) -> Result<Command, Error> {
        Ok(match input.u8("kind")? {
            1 => Command::Register(decode_registration(input)?),
            2 => Command::Activate { store: input.store("store")? },
            3 => Command::Leave { store: input.store("store")? },
            4 => Command::Gone { store: input.store("store")? },
            5 => Command::Cleared {
                by: input.store("by")?,
                of: input.store("of")?,
                since: input.uvarint("since")?,
            },
            6 => Command::Forget { store: input.store("store")? },
            7 => Command::Health { store: input.store("store")?, is_up: input.flag("up")? },
            8 => Command::Seen { by: input.store("by")?, version: input.uvarint("version")? },
            // Said by a process that does not name the version.
            9 => Command::Factor { by: input.store("by")?, factor: input.u8("factor")?, since: 0 },
            10 => Command::Replicate { factor: input.u8("factor")? },
            11 => Command::Voters { most: input.u8("voters")? },
            12 => {
                let (tenant, expect) = decode_expected(input)?;
                let bytes = input.bytes("override", MAX_OVERRIDE_BYTES)?;
                Command::PutOverride { tenant, expect, bytes: Bytes::copy_from_slice(bytes) }
            }
            13 => {
                let (tenant, expect) = decode_expected(input)?;
                Command::DeleteOverride { tenant, expect }
            }
            14 => {
                let holder = input.store("holder")?;
                Command::TakeLease { name: input.text("lease", MAX_TEXT_BYTES)?.to_owned(), holder }
            }
            15 => {
                let holder = input.store("holder")?;
                let name = input.text("lease", MAX_TEXT_BYTES)?.to_owned();
                Command::ReleaseLease { name, holder, sequence: input.uvarint("sequence")? }
            }
            16 => {
                let (by, factor) = (input.store("by")?, input.u8("factor")?);
                let since = input.uvarint("since")?;
                if since == 0 {
                    return Err(input.bad("since", "zero"));
                }
                Command::Factor { by, factor, since }
            }
            _ => return Err(input.bad("kind", "unknown")),
        })
    }
}

fn tagged(out: &mut Writer, kind: u8, store: StoreId) {
    out.u8(kind);
    out.store(store);
}

fn encode_registration(registration: &Registration, out: &mut Writer) {
    tagged(out, 1, registration.store);
    out.text(&registration.id);
    out.text(&registration.grpc_address);
    out.text(&registration.http_address);
    out.text(&registration.zone);
    out.u8(registration.roles.bits());
    encode_tokens(&registration.tokens, out);
}

fn decode_registration(input: &mut Reader<'_>) -> Result<Registration, Error> {
    Ok(Registration {
        store: input.store("store")?,
        id: input.text("instance id", MAX_TEXT_BYTES)?.to_owned(),
        grpc_address: input.text("gRPC address", MAX_TEXT_BYTES)?.to_owned(),
        http_address: input.text("HTTP address", MAX_TEXT_BYTES)?.to_owned(),
        zone: input.text("zone", MAX_TEXT_BYTES)?.to_owned(),
        roles: decode_roles(input)?,
        tokens: decode_tokens(input)?,
    })
}

fn encode_expected(tenant: &TenantId, expect: Expect, out: &mut Writer) {
    out.text(tenant.as_str());
    match expect {
        Expect::Any => out.u8(0),
        Expect::Absent => out.u8(1),
        Expect::Version(version) => {
            out.u8(2);
            out.uvarint(version);
        }
    }
}

fn decode_expected(input: &mut Reader<'_>) -> Result<(TenantId, Expect), Error> {
    let tenant = input.tenant()?;
    let expect = match input.u8("expectation")? {
        0 => Expect::Any,
        1 => Expect::Absent,
        2 => Expect::Version(input.uvarint("expected version")?),
        _ => return Err(input.bad("expectation", "unknown")),
    };
    Ok((tenant, expect))
}
