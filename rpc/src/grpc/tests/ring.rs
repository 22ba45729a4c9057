//! The ring's calls.

use ::ring::{Command, Outcome};
use async_trait::async_trait;
use base::StoreId;
use bytes::Bytes;
use meta::{Contact, Dialer, Envelope, Error, MetaApi, Proposal, Update, WatchRequest};
use tokio::sync::Notify;
use ulid::Ulid;

use super::*;
use crate::grpc::{RingDialer, RingDoor, serve_ring};

/// A member that has a large state and never answers Raft.
#[derive(Default)]
struct Fake {
    asked: Notify,
}

const STATE_BYTES: usize = 20 << 20;

fn contact() -> Contact {
    Contact { store: StoreId(Ulid(7)), address: "a:1".to_owned() }
}

#[async_trait]
impl MetaApi for Fake {
    async fn raft(&self, _: Envelope) -> Result<Bytes, Error> {
        self.asked.notify_one();
        std::future::pending().await
    }

    async fn propose(&self, proposal: Proposal) -> Result<Outcome, Error> {
        match proposal.command {
            Command::Leave { store } => {
                Err(Error::NotLeader { leader: store, address: "b:2".into() })
            }
            _ => Ok(Outcome::Done { version: 9 }),
        }
    }

    async fn watch(&self, _: WatchRequest) -> Result<Update, Error> {
        let state = Some(Bytes::from(vec![1; STATE_BYTES]));
        Ok(Update { from: contact(), leader: None, voters: Vec::new(), state })
    }
}

fn proposal(command: Command) -> Proposal {
    Proposal { cluster: Ulid(1), command }
}

fn envelope() -> Envelope {
    let (from, to) = (contact(), StoreId(Ulid(8)));
    Envelope { cluster: Ulid(1), from, to, payload: Bytes::new() }
}

fn dialer() -> RingDialer {
    RingDialer::new(&patient(), Arc::new(SystemClock))
}

#[tokio::test]
async fn a_member_answers_from_when_it_is_there_and_before_it_says_that_nothing_was_done() {
    let door = RingDoor::default();
    let (address, _stop) = serve(Routes::new(serve_ring(door.clone()))).await;
    let member = dialer().dial(&address.to_string());
    let put = || proposal(Command::Voters { most: 3 });
    assert!(matches!(member.propose(put()).await, Err(Error::NoLeader)));
    door.open(Arc::new(Fake::default()));
    assert_eq!(member.propose(put()).await.unwrap(), Outcome::Done { version: 9 });
    let leave = proposal(Command::Leave { store: StoreId(Ulid(3)) });
    let error = member.propose(leave).await.unwrap_err();
    assert!(matches!(&error, Error::NotLeader { address, .. } if address == "b:2"), "{error}");
    let wait = Duration::from_secs(1);
    let request = WatchRequest { cluster: Ulid(1), from: contact(), known: 0, wait };
    let update = member.watch(request).await.unwrap();
    assert_eq!(update.state.map(|state| state.len()), Some(STATE_BYTES));
}

#[tokio::test]
async fn who_was_never_reached_did_nothing_and_of_who_was_nobody_knows() {
    let door = RingDoor::default();
    let fake = Arc::new(Fake::default());
    door.open(fake.clone());
    let (address, _stop) = serve(Routes::new(serve_ring(door))).await;
    let (address, relay) = Relay::start(address).await;
    let dialer = dialer();
    let member = dialer.dial(&address);
    let call = task::spawn("call", async move { member.raft(envelope()).await });
    fake.asked.notified().await;
    relay.cut();
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Unanswered(text) if text.contains(&address)), "{error}");
    // Nobody listens there, and what is no address is nobody's.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    for nobody in [free.as_str(), "nonsense"] {
        let error = dialer.dial(nobody).raft(envelope()).await.unwrap_err();
        assert!(
            matches!(&error, Error::Unreachable { address, .. } if address == nobody),
            "{error}"
        );
    }
    // A process of another kind does not know the call.
    let (other, _stop) = serve(Routes::default()).await;
    let error = dialer.dial(&other.to_string()).raft(envelope()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(dialer.resolve("dns+127.0.0.1:9").await, ["127.0.0.1:9"]);
    assert!(dialer.resolve("nonsense").await.is_empty());
}
