//! Calls of [`MetaApi`] as bytes: a transport carries one request and one answer, and need not know
//! what they say. `docs/formats/raft.md` has the layout.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{ErrorKind, StoreId};
use bytes::Bytes;
use ring::codec::{Reader, Writer};
use ring::{Command, Outcome};

use crate::api::{Contact, Envelope, MetaApi, Proposal, Update, WatchRequest};
use crate::codec::{MAX_COMMAND_BYTES, MAX_SNAPSHOT_BYTES, VERSION};
use crate::error::Error;

/// Most bytes of a message of Raft: entries of one read, or a piece of a snapshot.
const MAX_PAYLOAD_BYTES: usize = 4 << 20;
/// Most bytes of an error's text.
const MAX_TEXT_BYTES: usize = 4096;

type Decoded<T> = std::result::Result<T, ring::Error>;

/// Carries one request to one member, and its answer back. It maps a failed connection to
/// [`Error::Unreachable`] and a lost answer to [`Error::Unanswered`].
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// One call.
    async fn carry(&self, request: Bytes) -> Result<Bytes, Error>;
}

/// A member at the other end of a [`Carrier`].
#[derive(Clone)]
pub struct Remote(Arc<dyn Carrier>);

impl Remote {
    /// Calls over `carrier`.
    pub fn new(carrier: Arc<dyn Carrier>) -> Remote {
        Remote(carrier)
    }

    async fn call(&self, request: &Request) -> Result<Answer, Error> {
        let answer = self.0.carry(request.encode().into()).await?;
        Answer::decode(&answer)?
    }
}

/// Answers a request at the member's end. What it cannot read is answered with an error.
pub async fn serve(api: &dyn MetaApi, request: &[u8]) -> Bytes {
    let answer = match Request::decode(request) {
        Err(error) => Err(error.into()),
        Ok(Request::Raft(envelope)) => api.raft(envelope).await.map(Answer::Raft),
        Ok(Request::Propose(proposal)) => api.propose(proposal).await.map(Answer::Propose),
        Ok(Request::Watch(request)) => api.watch(request).await.map(Answer::Watch),
    };
    Answer::encode(&answer).into()
}

/// The answer of a process that cannot ask a member: `error`, whatever the question was.
pub fn refuse(error: &Error) -> Bytes {
    put_refusal(error).into()
}

fn unexpected() -> Error {
    Error::Remote { kind: ErrorKind::Corrupt, text: "an answer to another question".to_owned() }
}

#[async_trait]
impl MetaApi for Remote {
    async fn raft(&self, envelope: Envelope) -> Result<Bytes, Error> {
        match self.call(&Request::Raft(envelope)).await? {
            Answer::Raft(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    async fn propose(&self, proposal: Proposal) -> Result<Outcome, Error> {
        match self.call(&Request::Propose(proposal)).await? {
            Answer::Propose(outcome) => Ok(outcome),
            _ => Err(unexpected()),
        }
    }

    async fn watch(&self, request: WatchRequest) -> Result<Update, Error> {
        match self.call(&Request::Watch(request)).await? {
            Answer::Watch(update) => Ok(update),
            _ => Err(unexpected()),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Request {
    Raft(Envelope),
    Propose(Proposal),
    Watch(WatchRequest),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Raft(Bytes),
    Propose(Outcome),
    Watch(Update),
}

fn put_contact(out: &mut Writer, contact: &Contact) {
    out.store(contact.store);
    out.text(&contact.address);
}

fn contact(input: &mut Reader<'_>) -> Decoded<Contact> {
    let store = input.store("store")?;
    Ok(Contact { store, address: input.text("address", ring::MAX_TEXT_BYTES)?.to_owned() })
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.uvarint(VERSION);
        match self {
            Request::Raft(envelope) => {
                out.u8(1);
                out.ulid(envelope.cluster);
                put_contact(&mut out, &envelope.from);
                out.store(envelope.to);
                out.bytes(&envelope.payload);
            }
            Request::Propose(proposal) => {
                out.u8(2);
                out.ulid(proposal.cluster);
                out.bytes(&proposal.command.encode());
            }
            Request::Watch(request) => {
                out.u8(3);
                out.ulid(request.cluster);
                put_contact(&mut out, &request.from);
                out.uvarint(request.known);
                out.uvarint(request.wait.as_millis() as u64);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Request> {
        let mut input = Reader::new("ring request", bytes);
        input.version(VERSION)?;
        let kind = input.u8("kind")?;
        let cluster = input.ulid("cluster")?;
        let request = match kind {
            1 => {
                let from = contact(&mut input)?;
                let to = input.store("receiver")?;
                let payload = input.bytes("payload", MAX_PAYLOAD_BYTES)?;
                let payload = Bytes::copy_from_slice(payload);
                Request::Raft(Envelope { cluster, from, to, payload })
            }
            2 => {
                let command = Command::decode(input.bytes("command", MAX_COMMAND_BYTES)?)?;
                Request::Propose(Proposal { cluster, command })
            }
            3 => {
                let from = contact(&mut input)?;
                let known = input.uvarint("known version")?;
                let wait = Duration::from_millis(input.uvarint("wait")?);
                Request::Watch(WatchRequest { cluster, from, known, wait })
            }
            _ => return Err(input.bad("kind", "unknown")),
        };
        input.end()?;
        Ok(request)
    }
}

impl Answer {
    pub(crate) fn encode(answer: &Result<Answer, Error>) -> Vec<u8> {
        let mut out = Writer::default();
        out.uvarint(VERSION);
        match answer {
            Ok(Answer::Raft(payload)) => {
                out.u8(1);
                out.bytes(payload);
            }
            Ok(Answer::Propose(outcome)) => {
                out.u8(2);
                out.bytes(&outcome.encode());
            }
            Ok(Answer::Watch(update)) => {
                out.u8(3);
                put_update(&mut out, update);
            }
            Err(error) => return put_refusal(error),
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Result<Answer, Error>> {
        let mut input = Reader::new("ring answer", bytes);
        input.version(VERSION)?;
        let answer = match input.u8("kind")? {
            1 => {
                let payload = input.bytes("payload", MAX_PAYLOAD_BYTES)?;
                Ok(Answer::Raft(Bytes::copy_from_slice(payload)))
            }
            2 => {
                // Lists of stores are the longest of it.
                let outcome = input.bytes("outcome", 32 + 16 * ring::MAX_INSTANCES)?;
                Ok(Answer::Propose(Outcome::decode(outcome)?))
            }
            3 => Ok(Answer::Watch(update(&mut input)?)),
            4 => Err(error(&mut input)?),
            _ => return Err(input.bad("kind", "unknown")),
        };
        input.end()?;
        Ok(answer)
    }
}

fn put_refusal(error: &Error) -> Vec<u8> {
    let mut out = Writer::default();
    out.uvarint(VERSION);
    out.u8(4);
    put_error(&mut out, error);
    out.finish()
}

fn put_update(out: &mut Writer, update: &Update) {
    put_contact(out, &update.from);
    out.flag(update.leader.is_some());
    if let Some(leader) = &update.leader {
        put_contact(out, leader);
    }
    out.stores(update.voters.iter());
    out.flag(update.state.is_some());
    if let Some(state) = &update.state {
        out.bytes(state);
    }
}

fn update(input: &mut Reader<'_>) -> Decoded<Update> {
    let from = contact(input)?;
    let leader = if input.flag("leader")? { Some(contact(input)?) } else { None };
    let voters: Vec<StoreId> = input.stores("voters", ring::MAX_INSTANCES)?;
    let mut state = None;
    if input.flag("state")? {
        state = Some(Bytes::copy_from_slice(input.bytes("state", MAX_SNAPSHOT_BYTES)?));
    }
    Ok(Update { from, leader, voters, state })
}

/// What a caller acts upon travels whole; of all else the kind and the text.
fn put_error(out: &mut Writer, error: &Error) {
    match error {
        Error::ForeignCluster { own, theirs } => {
            out.u8(1);
            out.ulid(*own);
            out.ulid(*theirs);
        }
        Error::OtherStore { own, wanted } => {
            out.u8(2);
            out.store(*own);
            out.store(*wanted);
        }
        Error::NoLeader => out.u8(3),
        Error::NotLeader { leader, address } => {
            out.u8(4);
            out.store(*leader);
            out.text(address);
        }
        // Whether what it had begun to write comes back with its disk, nobody knows.
        Error::Unanswered(text) | Error::Stopped(text) => {
            out.u8(5);
            out.text(cut(text));
        }
        other => {
            out.u8(6);
            out.u8(KINDS.iter().position(|&kind| kind == other.kind()).unwrap_or(0) as u8);
            out.text(cut(&other.to_string()));
        }
    }
}

/// Kinds by their number on the wire.
const KINDS: [ErrorKind; 8] = [
    ErrorKind::Internal,
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::Limited,
    ErrorKind::Conflict,
    ErrorKind::Unavailable,
    ErrorKind::Timeout,
    ErrorKind::Corrupt,
];

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES.min(text.len()))]
}

fn error(input: &mut Reader<'_>) -> Decoded<Error> {
    Ok(match input.u8("error")? {
        1 => Error::ForeignCluster { own: input.ulid("own")?, theirs: input.ulid("theirs")? },
        2 => Error::OtherStore { own: input.store("own")?, wanted: input.store("wanted")? },
        3 => Error::NoLeader,
        4 => {
            let leader = input.store("leader")?;
            let address = input.text("address", ring::MAX_TEXT_BYTES)?.to_owned();
            Error::NotLeader { leader, address }
        }
        5 => Error::Unanswered(input.text("text", MAX_TEXT_BYTES)?.to_owned()),
        6 => {
            let kind = KINDS.get(usize::from(input.u8("error kind")?)).copied();
            let kind = kind.ok_or(input.bad("error kind", "unknown"))?;
            Error::Remote { kind, text: input.text("text", MAX_TEXT_BYTES)?.to_owned() }
        }
        _ => return Err(input.bad("error", "unknown")),
    })
}
