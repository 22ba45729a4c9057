use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use base::random::{Random, SeededRandom};
use base::{StoreId, TenantId};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, CommittedLeaderId, EntryPayload};
use ring::{Command, Expect};
use ulid::Ulid;

use super::*;
use crate::api::{Contact, Envelope, Proposal, Update, WatchRequest};
use crate::codec::{Answer, Message};
use crate::error::Error;
use crate::log::Owner;
use crate::types::{Entry, LogId, Membership, NodeId, SnapshotMeta, StoredMembership, Vote};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// One file per format and version: today's reader reads it, today's writer writes it byte for
/// byte. `GOLDEN=write` in the environment makes missing files.
fn golden(dir: &str, name: &str, written: &[u8]) -> Vec<u8> {
    let path = root().join(dir).join(name);
    if std::env::var_os("GOLDEN").is_some_and(|mode| mode == "write") && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, written).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert_eq!(golden, written, "{name} is not what today's writer writes");
    golden
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, NodeId::from(term)), index)
}

fn membership() -> Membership {
    let set = |numbers: &[u64]| numbers.iter().map(|&n| NodeId::from(n)).collect::<BTreeSet<_>>();
    let node = |n: u64| (NodeId::from(n), BasicNode::new(format!("10.0.0.{n}:9095")));
    let nodes: BTreeMap<NodeId, BasicNode> = (1..=4).map(node).collect();
    Membership::new(vec![set(&[1, 2, 3]), set(&[1, 2, 4])], nodes)
}

fn entries() -> Vec<Entry> {
    let put = Command::PutOverride {
        tenant: TenantId::new("team-a").unwrap(),
        expect: Expect::Any,
        bytes: "a: 1".into(),
    };
    vec![
        Entry { log_id: id(3, 300), payload: EntryPayload::Blank },
        Entry { log_id: id(3, 301), payload: EntryPayload::Normal(put) },
        Entry { log_id: id(4, 302), payload: EntryPayload::Membership(membership()) },
    ]
}

fn kept() -> Kept {
    let meta = SnapshotMeta {
        last_log_id: Some(id(3, 300)),
        last_membership: StoredMembership::new(Some(id(2, 20)), membership()),
        snapshot_id: "3-300".to_owned(),
    };
    Kept { meta, state: Arc::new(ring::State::new(Ulid(7)).encode()) }
}

fn messages() -> Vec<Message> {
    let vote = Vote::new_committed(4, NodeId::from(4));
    let kept = kept();
    vec![
        Message::Append(AppendEntriesRequest {
            vote,
            prev_log_id: Some(id(3, 299)),
            entries: entries(),
            leader_commit: None,
        }),
        Message::Vote(VoteRequest { vote: Vote::new(5, NodeId::from(1)), last_log_id: None }),
        Message::Snapshot(InstallSnapshotRequest {
            vote,
            meta: kept.meta,
            offset: 1 << 20,
            data: kept.state.to_vec(),
            done: true,
        }),
    ]
}

fn answers() -> Vec<Answer> {
    let vote = Vote::new_committed(4, NodeId::from(4));
    vec![
        Answer::Append(AppendEntriesResponse::Success),
        Answer::Append(AppendEntriesResponse::PartialSuccess(Some(id(3, 7)))),
        Answer::Append(AppendEntriesResponse::Conflict),
        Answer::Append(AppendEntriesResponse::HigherVote(vote)),
        Answer::Vote(VoteResponse { vote, vote_granted: false, last_log_id: Some(id(4, 7)) }),
        Answer::Snapshot(InstallSnapshotResponse { vote }),
        Answer::Restart,
    ]
}

#[test]
fn messages_and_answers_are_read_and_written_as_in_version_1() {
    for (index, message) in messages().into_iter().enumerate() {
        let bytes = golden("golden", &format!("message-{index}-v1.bin"), &message.encode());
        assert_eq!(Message::decode(&bytes).unwrap().encode(), bytes);
    }
    for (index, answer) in answers().into_iter().enumerate() {
        let bytes = golden("golden", &format!("answer-{index}-v1.bin"), &answer.encode());
        assert_eq!(Answer::decode(&bytes).unwrap().encode(), bytes);
    }
}

#[test]
fn calls_are_read_and_written_as_in_version_1() {
    let from = Contact { store: StoreId(Ulid(1)), address: "10.0.0.1:9095".to_owned() };
    let cluster = Ulid(7);
    let requests = [
        Request::Raft(Envelope {
            cluster,
            from: from.clone(),
            to: StoreId(Ulid(2)),
            payload: messages()[1].encode().into(),
        }),
        Request::Propose(Proposal { cluster, command: Command::Gone { store: StoreId(Ulid(2)) } }),
        Request::Watch(WatchRequest {
            cluster,
            from: from.clone(),
            known: 300,
            wait: std::time::Duration::from_secs(1),
        }),
    ];
    for (index, request) in requests.into_iter().enumerate() {
        let bytes = golden("golden", &format!("request-{index}-v1.bin"), &request.encode());
        assert_eq!(Request::decode(&bytes).unwrap().encode(), bytes);
    }
    let update = Update {
        leader: Some(Contact { store: StoreId(Ulid(2)), ..from.clone() }),
        from,
        voters: vec![StoreId(Ulid(1)), StoreId(Ulid(2))],
        state: Some(kept().state.to_vec().into()),
    };
    let replies = [
        Ok(wire::Answer::Raft(answers()[0].encode().into())),
        Ok(wire::Answer::Propose(ring::Outcome::Done { version: 300 })),
        Ok(wire::Answer::Watch(update)),
        Err(Error::ForeignCluster { own: Ulid(7), theirs: Ulid(8) }),
        Err(Error::OtherStore { own: StoreId(Ulid(1)), wanted: StoreId(Ulid(2)) }),
        Err(Error::NoLeader),
        Err(Error::NotLeader { leader: StoreId(Ulid(2)), address: "10.0.0.2:9095".to_owned() }),
        Err(Error::Unanswered("late".to_owned())),
        Err(Error::Busy { limit: 256 }),
    ];
    for (index, reply) in replies.into_iter().enumerate() {
        let written = wire::Answer::encode(&reply);
        let bytes = golden("golden", &format!("reply-{index}-v1.bin"), &written);
        let back = wire::Answer::decode(&bytes).unwrap();
        assert_eq!(wire::Answer::encode(&back), bytes);
        let of = |reply: Result<wire::Answer, Error>| {
            reply.map_err(|error| (error.kind(), error.to_string()))
        };
        assert_eq!(of(back), of(reply));
    }
}

#[test]
fn a_log_and_a_snapshot_are_read_and_written_as_in_version_1() {
    let owner = Owner::new(Ulid(7), StoreId(Ulid(1)));
    let mut image = Image::recovered(owner, Vote::new(4, NodeId::from(4)), id(3, 299));
    for entry in entries() {
        image.append(entry);
    }
    let bytes = golden("golden", "log-v1.bin", &image.encode());
    assert_eq!(Image::of(&[&bytes]), Ok(Some(image)));
    let mut file = Vec::new();
    frame::put(&mut file, 0, 0, &bytes);
    let at = file.len() as u64;
    frame::put(&mut file, at, at, &crate::log::vote_record(&Vote::new(9, NodeId::from(1))));
    let file = golden("golden", "file-v1.log", &file);
    assert_eq!(frame::read(&file).unwrap().len(), 2);
    let bytes = golden("golden", "snapshot-v1.bin", &kept().encode(&owner));
    assert_eq!(Kept::decode(&bytes).unwrap().1.meta, kept().meta);
}

/// Replays the corpus of `target` and the golden files, then seeded mutations of them all.
fn replay(target: &str, fuzz: fn(&[u8])) {
    let mut inputs = vec![Vec::new()];
    for dir in [root().join("fuzz/corpus").join(target), root().join("golden")] {
        let Ok(files) = std::fs::read_dir(dir) else { continue };
        let mut paths: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        inputs.extend(paths.iter().map(|path| std::fs::read(path).unwrap()));
    }
    assert!(inputs.len() > 5, "the golden files are there");
    inputs.iter().for_each(|input| fuzz(input));
    let random = SeededRandom::new(7);
    for _ in 0..4000 {
        let mut input = inputs[random.next_u64() as usize % inputs.len()].clone();
        for _ in 0..=random.next_u64() % 4 {
            mutate(&mut input, &random);
        }
        fuzz(&input);
    }
}

fn mutate(input: &mut Vec<u8>, random: &SeededRandom) {
    let at = random.next_u64() as usize % (input.len() + 1);
    match random.next_u64() % 5 {
        0 => input.truncate(at),
        1 => input.insert(at, random.next_u64() as u8),
        2 if at < input.len() => input[at] = [0, 0x7f, 0x80, 0xff][at % 4],
        3 if at < input.len() => input[at] ^= 1 << (random.next_u64() % 8),
        _ => {
            let end = (at + 8).min(input.len());
            let copied = input[at..end].to_vec();
            input.extend(copied);
        }
    }
}

#[test]
fn no_message_breaks_the_reader() {
    replay("fuzz_message", fuzz_message);
}

#[test]
fn no_call_breaks_the_reader() {
    replay("fuzz_call", fuzz_call);
}

#[test]
fn no_answer_breaks_the_reader() {
    replay("fuzz_answer", fuzz_answer);
}

#[test]
fn no_log_breaks_the_reader() {
    replay("fuzz_log", fuzz_log);
}

#[test]
fn no_snapshot_breaks_the_reader() {
    replay("fuzz_snapshot", fuzz_snapshot);
}
