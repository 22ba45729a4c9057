//! Follows the leader: takes newer states from it, and is heard by it.

use std::sync::Arc;
use std::time::Duration;

use base::random::Random;
use base::shutdown::Shutdown;

use crate::api::{Contact, MAX_WAIT, Update, WatchRequest};
use crate::error::Error;
use crate::peers::Peers;

/// How long a question waits at the leader for something new.
const WAIT: Duration = Duration::from_secs(1);
/// Pause after a round in which nobody knew a leader: half of it and a random part of it.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks `address` what is newer than what is known.
pub(crate) async fn ask(peers: &Peers, address: &str, wait: Duration) -> Result<Update, Error> {
    let request = WatchRequest {
        cluster: peers.cluster,
        from: peers.own.clone(),
        known: peers.publisher.newest().version,
        wait,
    };
    let api = peers.dial(address);
    let update = tokio::time::timeout(wait + MAX_WAIT, api.watch(request)).await;
    let update = update.map_err(|_| Error::Unanswered(address.to_owned()))??;
    peers.take(&update)?;
    Ok(update)
}

/// Follows until the end.
pub(crate) async fn run(peers: Arc<Peers>, random: Arc<dyn Random>, shutdown: Shutdown) {
    loop {
        let round = async {
            match peers.leader() {
                Some(leader) if leader.store == peers.own.store => pause(&*random).await,
                Some(leader) => follow_leader(&peers, &leader, &*random).await,
                None => seek(&peers, &*random).await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = round => {}
        }
    }
}

async fn pause(random: &dyn Random) {
    let half = PAUSE / 2;
    let part = random.next_u64() % (half.as_millis() as u64);
    tokio::time::sleep(half + Duration::from_millis(part)).await;
}

async fn follow_leader(peers: &Peers, leader: &Contact, random: &dyn Random) {
    // An answer with nothing new was waited for. One that came at once is not asked for at once.
    let pace = tokio::time::sleep(PAUSE / 2);
    match ask(peers, &leader.address, WAIT).await {
        Ok(Update { from, leader: Some(next), state, .. }) if from.store == leader.store => {
            if next.store != leader.store {
                peers.forget_leader(leader.store);
                peers.hear_leader(next.store);
            }
            if state.is_none() {
                pace.await;
            }
        }
        // It does not lead, the address belongs to another one, or nobody is there.
        Ok(_) | Err(_) => {
            peers.forget_leader(leader.store);
            pause(random).await;
        }
    }
}

/// Asks everybody in turn, until somebody knows who leads.
async fn seek(peers: &Peers, random: &dyn Random) {
    for address in peers.others().await {
        match ask(peers, &address, Duration::ZERO).await {
            Ok(Update { leader: Some(leader), .. }) => peers.hear_leader(leader.store),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "nothing learnt of the ring from {address}"),
        }
        if peers.leader().is_some() {
            return;
        }
    }
    pause(random).await;
}
