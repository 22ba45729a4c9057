//! Raft's messages on their way to another node.

use std::sync::Arc;

use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, SnapshotMismatch,
    Unreachable,
};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, SnapshotSegmentId};

use crate::api::Envelope;
use crate::codec::{Answer, Message};
use crate::error::Error;
use crate::peers::Peers;
use crate::types::{NodeId, Types};

/// Makes [`Link`]s.
pub(crate) struct Links(pub Arc<Peers>);

/// The way to one node.
pub(crate) struct Link {
    peers: Arc<Peers>,
    to: NodeId,
    /// Where it was when it became a node, for whoever knows nothing newer.
    first_address: String,
}

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> Link {
        Link { peers: Arc::clone(&self.0), to: target, first_address: node.addr.clone() }
    }
}

type Failed<E> = RPCError<NodeId, BasicNode, RaftError<NodeId, E>>;

impl Link {
    async fn send(&self, message: &Message) -> Result<Answer, Error> {
        let address = self.peers.address(self.to.0);
        let address = address.unwrap_or_else(|| self.first_address.clone());
        let envelope = Envelope {
            cluster: self.peers.cluster,
            from: self.peers.own.clone(),
            to: self.to.0,
            payload: message.encode().into(),
        };
        let answer = self.peers.dial(&address).raft(envelope).await?;
        Ok(Answer::decode(&answer)?)
    }
}

/// An unreachable peer is asked again after a pause, a lost message at once.
fn failed<E: std::error::Error>(error: &Error) -> Failed<E> {
    match error {
        Error::Unanswered(_) => RPCError::Network(NetworkError::new(error)),
        _ => RPCError::Unreachable(Unreachable::new(error)),
    }
}

fn unexpected<E: std::error::Error>() -> Failed<E> {
    failed(&Error::Unreachable {
        address: String::new(),
        problem: "the answer is not one to the message".to_owned(),
    })
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Failed<openraft::error::Infallible>> {
        match self.send(&Message::Append(request)).await {
            Ok(Answer::Append(answer)) => Ok(answer),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, Failed<InstallSnapshotError>> {
        let got =
            SnapshotSegmentId { id: request.meta.snapshot_id.clone(), offset: request.offset };
        match self.send(&Message::Snapshot(request)).await {
            Ok(Answer::Snapshot(answer)) => Ok(answer),
            Ok(Answer::Restart) => {
                let expect = SnapshotSegmentId { id: got.id.clone(), offset: 0 };
                let mismatch = SnapshotMismatch { expect, got };
                let mismatch =
                    RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch));
                Err(RPCError::RemoteError(RemoteError::new(self.to, mismatch)))
            }
            Ok(_) => Err(unexpected()),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<NodeId>,
        _: RPCOption,
    ) -> Result<VoteResponse<NodeId>, Failed<openraft::error::Infallible>> {
        match self.send(&Message::Vote(request)).await {
            Ok(Answer::Vote(answer)) => Ok(answer),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(failed(&error)),
        }
    }
}
