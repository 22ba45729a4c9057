//! The ring's calls over gRPC: bytes there and bytes back. What they say is `meta::wire`'s.
//!
//! Connections are the ring's own, so that no vote waits behind an append.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::time::Clock;
use bytes::Bytes;
use meta::wire::{self, Carrier, Remote};
use meta::{Dialer, Error, MetaApi};
use proto::v1::RingMessage;
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status};

use super::address::resolve;
use super::config::ClientConfig;
use super::connection::Connection;
use super::status::is_connect_failure;
use super::v1::ring_client::RingClient as Stub;
use super::v1::ring_server::{Ring, RingServer};

/// Largest request: a message of Raft, or an override that is put.
const MAX_REQUEST_BYTES: usize = 8 << 20;
/// Largest answer: a state at its cap of 64 MiB, and what is around it.
const MAX_ANSWER_BYTES: usize = 65 << 20;
/// The longest a call may take. Callers have shorter limits of their own; this one is for a peer that
/// stops in the middle of an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A member that came up is found again within this.
const BACKOFF_MAX: Duration = Duration::from_millis(200);
/// Addresses whose connections are kept: all members of a large ring, each of whom moved once.
const MAX_CONNECTIONS: usize = 2048;

/// The way to members of the ring by their addresses. A connection is made when it is first used.
pub struct RingDialer {
    config: ClientConfig,
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<String, Arc<Connection>>>,
}

impl RingDialer {
    /// Nothing is connected yet.
    pub fn new(config: &ClientConfig, clock: Arc<dyn Clock>) -> RingDialer {
        let config = ClientConfig {
            backoff_max: BACKOFF_MAX.min(config.backoff_max),
            backoff_min: config.backoff_min.min(BACKOFF_MAX),
            ..config.clone()
        };
        RingDialer { config, clock, known: Mutex::default() }
    }

    fn connection(&self, address: &str) -> Result<Arc<Connection>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = known.get(address) {
            return Ok(connection.clone());
        }
        let made = Connection::new(address, &self.config, self.clock.clone());
        let connection = Arc::new(made.map_err(|error| unreachable(address, &error))?);
        if known.len() >= MAX_CONNECTIONS {
            // Calls that are under way keep theirs.
            known.clear();
        }
        known.insert(address.to_owned(), connection.clone());
        Ok(connection)
    }
}

#[async_trait]
impl Dialer for RingDialer {
    fn dial(&self, address: &str) -> Arc<dyn MetaApi> {
        Arc::new(Remote::new(Arc::new(Way(self.connection(address)))))
    }

    async fn resolve(&self, entry: &str) -> Vec<String> {
        match resolve(std::slice::from_ref(&entry.to_owned())).await {
            Ok(found) => found,
            // A name may be announced only when somebody is ready; the ring asks again.
            Err(error) => {
                tracing::debug!(%error, "an entry of ring.join stands for nobody now");
                Vec::new()
            }
        }
    }
}

/// One member; or why its address is none.
struct Way(Result<Arc<Connection>, Error>);

fn unreachable(address: &str, problem: &dyn std::fmt::Display) -> Error {
    Error::Unreachable { address: address.to_owned(), problem: problem.to_string() }
}

#[async_trait]
impl Carrier for Way {
    async fn carry(&self, bytes: Bytes) -> Result<Bytes, Error> {
        let connection = self.0.as_ref().map_err(Clone::clone)?;
        let address = connection.address();
        let mut request = Request::new(RingMessage { bytes });
        request.set_timeout(CALL_TIMEOUT);
        let send = async |channel, request| {
            let stub = Stub::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
            stub.max_encoding_message_size(MAX_REQUEST_BYTES).call(request).await
        };
        let answered = timeout(CALL_TIMEOUT, connection.send(request, send)).await;
        let status = match answered {
            Err(_) => return Err(Error::Unanswered(format!("{address}: not in time"))),
            Ok(Ok(answer)) => return Ok(answer.into_inner().bytes),
            Ok(Err(status)) => status,
        };
        // Whoever does not know the call did nothing of it either.
        let is_untouched = is_connect_failure(&status) || status.code() == Code::Unimplemented;
        Err(match is_untouched {
            true => unreachable(address, &status),
            false => Error::Unanswered(format!("{address}: {status}")),
        })
    }
}

/// Where the ring's calls come in from the moment the port is open. Until the member is there, and
/// for ever in a process that is none, they are answered with an error that says that nothing was
/// done. Clones are the same door.
#[derive(Clone, Default)]
pub struct RingDoor(Arc<OnceLock<Arc<dyn MetaApi>>>);

impl RingDoor {
    /// From now on `member` answers. Only the first one counts.
    pub fn open(&self, member: Arc<dyn MetaApi>) {
        let _is_first = self.0.set(member).is_ok();
    }
}

/// The ring behind gRPC.
pub struct RingService(RingDoor);

/// Puts the ring on a port.
pub fn serve_ring(door: RingDoor) -> RingServer<RingService> {
    RingServer::new(RingService(door))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES)
}

#[async_trait]
impl Ring for RingService {
    // Not measured as other calls are: most of them wait for news until their time is over.
    async fn call(&self, request: Request<RingMessage>) -> Result<Response<RingMessage>, Status> {
        let request = request.into_inner().bytes;
        let bytes = match self.0.0.get() {
            Some(member) => wire::serve(&**member, &request).await,
            None => wire::refuse(&Error::NoLeader),
        };
        Ok(Response::new(RingMessage { bytes }))
    }
}
