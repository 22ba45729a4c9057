//! Raft's own things as bytes, in files and in messages: `docs/formats/raft.md`.

use std::collections::{BTreeMap, BTreeSet};

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, CommittedLeaderId, EntryPayload};
use ring::codec::{Reader, Writer};
use ring::{Command, Error};

use crate::types::{Entry, LogId, Membership, NodeId, SnapshotMeta, StoredMembership, Types, Vote};

/// The version of every message and file that is written.
pub(crate) const VERSION: u64 = 1;
/// Most bytes of an encoded command: a tenant's overrides and what is around them.
pub(crate) const MAX_COMMAND_BYTES: usize = ring::MAX_OVERRIDE_BYTES + 4096;
/// Most bytes of a snapshot: all overrides, and instances with as many tokens and marks as they may
/// have are far less than the rest.
pub(crate) const MAX_SNAPSHOT_BYTES: usize = 64 << 20;
/// Most bytes of a piece of a snapshot in one message.
pub(crate) const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;
/// Most nodes of a membership.
const MAX_NODES: usize = ring::MAX_INSTANCES;
/// Most entries of one message.
pub(crate) const MAX_ENTRIES: usize = 1024;

type Result<T> = std::result::Result<T, Error>;

pub(crate) fn put_log_id(out: &mut Writer, id: &LogId) {
    out.uvarint(id.leader_id.term);
    out.store(id.leader_id.node_id.0);
    out.uvarint(id.index);
}

pub(crate) fn log_id(input: &mut Reader<'_>) -> Result<LogId> {
    let term = input.uvarint("term")?;
    let node = NodeId(input.store("leader")?);
    Ok(LogId::new(CommittedLeaderId::new(term, node), input.uvarint("index")?))
}

pub(crate) fn put_option(out: &mut Writer, id: Option<&LogId>) {
    out.flag(id.is_some());
    if let Some(id) = id {
        put_log_id(out, id);
    }
}

pub(crate) fn option(input: &mut Reader<'_>) -> Result<Option<LogId>> {
    if input.flag("log id")? { Ok(Some(log_id(input)?)) } else { Ok(None) }
}

pub(crate) fn put_vote(out: &mut Writer, vote: &Vote) {
    out.uvarint(vote.leader_id.term);
    out.store(vote.leader_id.node_id.0);
    out.flag(vote.committed);
}

pub(crate) fn vote(input: &mut Reader<'_>) -> Result<Vote> {
    let term = input.uvarint("term")?;
    let node = NodeId(input.store("candidate")?);
    let is_committed = input.flag("committed")?;
    Ok(if is_committed { Vote::new_committed(term, node) } else { Vote::new(term, node) })
}

fn put_membership(out: &mut Writer, membership: &Membership) {
    let configs = membership.get_joint_config();
    out.count(configs.len());
    for voters in configs {
        out.count(voters.len());
        voters.iter().for_each(|node| out.store(node.0));
    }
    let nodes: Vec<_> = membership.nodes().collect();
    out.count(nodes.len());
    for (node, at) in nodes {
        out.store(node.0);
        out.text(&at.addr);
    }
}

fn membership(input: &mut Reader<'_>) -> Result<Membership> {
    // A change goes over a joint configuration of two.
    let configs = input.count("voter sets", 1, 4)?;
    let mut voters = Vec::with_capacity(configs);
    for _ in 0..configs {
        let set: BTreeSet<NodeId> =
            input.stores("voters", MAX_NODES)?.into_iter().map(NodeId).collect();
        voters.push(set);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..input.count("nodes", 17, MAX_NODES)? {
        let node = NodeId(input.store("node")?);
        if nodes.last_key_value().is_some_and(|(last, _)| *last >= node) {
            return Err(input.bad("nodes", "not in ascending order"));
        }
        let address = input.text("address", ring::MAX_TEXT_BYTES)?;
        nodes.insert(node, BasicNode::new(address));
    }
    if !voters.iter().flatten().all(|voter| nodes.contains_key(voter)) {
        return Err(input.bad("voters", "without a node"));
    }
    Ok(Membership::new(voters, nodes))
}

pub(crate) fn put_stored_membership(out: &mut Writer, stored: &StoredMembership) {
    put_option(out, stored.log_id().as_ref());
    put_membership(out, stored.membership());
}

pub(crate) fn stored_membership(input: &mut Reader<'_>) -> Result<StoredMembership> {
    let at = option(input)?;
    Ok(StoredMembership::new(at, membership(input)?))
}

pub(crate) fn put_entry(out: &mut Writer, entry: &Entry) {
    put_log_id(out, &entry.log_id);
    match &entry.payload {
        EntryPayload::Blank => out.u8(0),
        EntryPayload::Normal(command) => {
            out.u8(1);
            out.bytes(&command.encode());
        }
        EntryPayload::Membership(membership) => {
            out.u8(2);
            put_membership(out, membership);
        }
    }
}

pub(crate) fn entry(input: &mut Reader<'_>) -> Result<Entry> {
    let log_id = log_id(input)?;
    let payload = match input.u8("payload kind")? {
        0 => EntryPayload::Blank,
        1 => EntryPayload::Normal(Command::decode(input.bytes("command", MAX_COMMAND_BYTES)?)?),
        2 => EntryPayload::Membership(membership(input)?),
        _ => return Err(input.bad("payload kind", "unknown")),
    };
    Ok(Entry { log_id, payload })
}

pub(crate) fn put_meta(out: &mut Writer, meta: &SnapshotMeta) {
    put_option(out, meta.last_log_id.as_ref());
    put_stored_membership(out, &meta.last_membership);
    out.text(&meta.snapshot_id);
}

pub(crate) fn meta(input: &mut Reader<'_>) -> Result<SnapshotMeta> {
    let last_log_id = option(input)?;
    let last_membership = stored_membership(input)?;
    let snapshot_id = input.text("snapshot id", ring::MAX_TEXT_BYTES)?.to_owned();
    Ok(SnapshotMeta { last_log_id, last_membership, snapshot_id })
}

/// A message of Raft between two nodes.
#[derive(Debug)]
pub(crate) enum Message {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<NodeId>),
    Snapshot(InstallSnapshotRequest<Types>),
}

/// The answer to a [`Message`].
#[derive(Debug)]
pub(crate) enum Answer {
    Append(AppendEntriesResponse<NodeId>),
    Vote(VoteResponse<NodeId>),
    Snapshot(InstallSnapshotResponse<NodeId>),
    /// A piece came that is not the next: begin with the first.
    Restart,
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.uvarint(VERSION);
        match self {
            Message::Append(request) => {
                out.u8(1);
                put_vote(&mut out, &request.vote);
                put_option(&mut out, request.prev_log_id.as_ref());
                put_option(&mut out, request.leader_commit.as_ref());
                out.count(request.entries.len());
                request.entries.iter().for_each(|entry| put_entry(&mut out, entry));
            }
            Message::Vote(request) => {
                out.u8(2);
                put_vote(&mut out, &request.vote);
                put_option(&mut out, request.last_log_id.as_ref());
            }
            Message::Snapshot(request) => {
                out.u8(3);
                put_vote(&mut out, &request.vote);
                put_meta(&mut out, &request.meta);
                out.uvarint(request.offset);
                out.flag(request.done);
                out.bytes(&request.data);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Message> {
        let mut input = Reader::new("Raft message", bytes);
        input.version(VERSION)?;
        let message = match input.u8("kind")? {
            1 => Message::Append(append(&mut input)?),
            2 => {
                let vote = vote(&mut input)?;
                Message::Vote(VoteRequest { vote, last_log_id: option(&mut input)? })
            }
            3 => {
                let vote = vote(&mut input)?;
                let meta = meta(&mut input)?;
                // What is received is put together in memory.
                let offset = input.number("offset", MAX_SNAPSHOT_BYTES as u64)?;
                let done = input.flag("done")?;
                let data = input.bytes("piece", SNAPSHOT_CHUNK_BYTES)?.to_vec();
                Message::Snapshot(InstallSnapshotRequest { vote, meta, offset, data, done })
            }
            _ => return Err(input.bad("kind", "unknown")),
        };
        input.end()?;
        Ok(message)
    }
}

fn append(input: &mut Reader<'_>) -> Result<AppendEntriesRequest<Types>> {
    let vote = vote(input)?;
    let prev_log_id = option(input)?;
    let leader_commit = option(input)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut next = prev_log_id.map_or(0, |id| id.index.saturating_add(1));
    for _ in 0..input.count("entries", 19, MAX_ENTRIES)? {
        let entry = entry(input)?;
        if entry.log_id.index != next {
            return Err(input.bad("entries", "not in a row"));
        }
        next = next.saturating_add(1);
        entries.push(entry);
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

impl Answer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.uvarint(VERSION);
        match self {
            Answer::Append(AppendEntriesResponse::Success) => out.u8(1),
            Answer::Append(AppendEntriesResponse::PartialSuccess(id)) => {
                out.u8(2);
                put_option(&mut out, id.as_ref());
            }
            Answer::Append(AppendEntriesResponse::Conflict) => out.u8(3),
            Answer::Append(AppendEntriesResponse::HigherVote(vote)) => {
                out.u8(4);
                put_vote(&mut out, vote);
            }
            Answer::Vote(answer) => {
                out.u8(5);
                put_vote(&mut out, &answer.vote);
                out.flag(answer.vote_granted);
                put_option(&mut out, answer.last_log_id.as_ref());
            }
            Answer::Snapshot(answer) => {
                out.u8(6);
                put_vote(&mut out, &answer.vote);
            }
            Answer::Restart => out.u8(7),
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Answer> {
        let mut input = Reader::new("Raft answer", bytes);
        input.version(VERSION)?;
        let answer = match input.u8("kind")? {
            1 => Answer::Append(AppendEntriesResponse::Success),
            2 => Answer::Append(AppendEntriesResponse::PartialSuccess(option(&mut input)?)),
            3 => Answer::Append(AppendEntriesResponse::Conflict),
            4 => Answer::Append(AppendEntriesResponse::HigherVote(vote(&mut input)?)),
            5 => {
                let vote = vote(&mut input)?;
                let vote_granted = input.flag("granted")?;
                Answer::Vote(VoteResponse { vote, vote_granted, last_log_id: option(&mut input)? })
            }
            6 => Answer::Snapshot(InstallSnapshotResponse { vote: vote(&mut input)? }),
            7 => Answer::Restart,
            _ => return Err(input.bad("kind", "unknown")),
        };
        input.end()?;
        Ok(answer)
    }
}
