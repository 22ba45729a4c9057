//! One attempt at several members at once (B3): the first of the list must answer, the others may.
//!
//! A call is a task of its own: when the first majority of the list has answered the client is
//! answered too, and the calls of the others come to their ends behind it. They change nothing but
//! what is known of their peers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::{Batch, Clock};
use rpc::ingester::IngesterError;
use tokio::sync::mpsc;

use crate::deliver::acknowledged;
use crate::peers::Peer;

/// After this a member is late. Only how soon somebody else is asked depends on it.
const LATE: Duration = Duration::from_millis(250);

/// Why an attempt acknowledged nothing.
pub(crate) struct Trouble {
    pub(crate) failed: Vec<(Arc<Peer>, IngesterError)>,
    /// Had not answered in time, and there are others.
    pub(crate) late: Vec<Arc<Peer>>,
    /// Hold this attempt: none of them is late any more.
    pub(crate) prompt: Vec<Arc<Peer>>,
}

/// What a call came to.
type Said = Result<(), IngesterError>;

/// Calls under way.
struct Calls<'a> {
    peers: &'a [Arc<Peer>],
    /// What each of them said.
    said: Vec<Option<Said>>,
    /// Members at the beginning of the list that must say yes.
    needed: usize,
}

/// Sends `batches` to all of `peers`, which are the list of this attempt. Returns when the first
/// `needed` of them hold it, or cannot any more, or are late and `can_do_without` them, given those
/// who have answered.
pub(crate) async fn replicate(
    peers: &[Arc<Peer>],
    needed: usize,
    batches: &[Batch],
    attempt: u32,
    clock: &Arc<dyn Clock>,
    can_do_without: impl Fn(&[Arc<Peer>], &[Arc<Peer>]) -> bool,
) -> Result<(), Trouble> {
    let (tell, mut told) = mpsc::channel(peers.len());
    let is_acked = Arc::new(AtomicBool::new(false));
    for (index, peer) in peers.iter().enumerate() {
        let (peer, batches, tell) = (peer.clone(), batches.to_vec(), tell.clone());
        let (is_acked, clock) = (is_acked.clone(), clock.clone());
        base::task::spawn("append to a member", async move {
            let said = call(&peer, batches, attempt, &is_acked, &*clock).await;
            if let Err(unheard) = tell.send((index, said)).await
                && let (_, Err(error)) = unheard.0
            {
                peer.mark(&error, &*clock);
            }
        });
    }
    drop(tell);
    let mut calls = Calls { peers, said: vec![None; peers.len()], needed };
    let late = tokio::time::sleep(LATE);
    tokio::pin!(late);
    let mut is_late = false;
    loop {
        tokio::select! {
            biased;
            heard = told.recv() => match heard {
                Some((index, said)) => calls.hear(index, said, &mut told),
                // What did not say anything has panicked.
                None => calls.end(),
            },
            () = &mut late, if !is_late => is_late = true,
        }
        if calls.are_acked() {
            is_acked.store(true, Ordering::Relaxed);
            // From here on calls mark their peers themselves.
            told.close();
            calls.hear_waiting(&mut told);
            for (peer, error) in calls.failed() {
                peer.mark(&error, &**clock);
            }
            return Ok(());
        }
        let is_over = calls.said.iter().all(Option::is_some);
        let (failed, late, prompt) = (calls.failed(), calls.silent(), calls.prompt());
        if is_over || (is_late && can_do_without(&calls.passed_over(), &prompt)) {
            return Err(Trouble { failed, late, prompt });
        }
        if is_late && calls.has_failed() {
            // Nobody is there for the late ones: they are asked again.
            return Err(Trouble { failed, late: Vec::new(), prompt });
        }
    }
}

/// One call to its end. A member that is slower than those who were enough is passed over then.
async fn call(
    peer: &Peer,
    batches: Vec<Batch>,
    attempt: u32,
    is_acked: &AtomicBool,
    clock: &dyn Clock,
) -> Result<(), IngesterError> {
    let count = batches.len();
    let append = peer.append(batches);
    tokio::pin!(append);
    let appended = tokio::select! {
        biased;
        appended = &mut append => appended,
        () = tokio::time::sleep(LATE) => {
            if is_acked.load(Ordering::Relaxed) {
                let text = "it was slower than the others".to_owned();
                peer.mark(&IngesterError::Unavailable(text), clock);
            }
            append.await
        }
    };
    appended.map_err(|refused| refused.error).and_then(|a| acknowledged(&a, count, attempt))
}

impl Calls<'_> {
    /// Takes in an answer, and those that are there already.
    fn hear(&mut self, index: usize, said: Said, told: &mut mpsc::Receiver<(usize, Said)>) {
        self.said[index] = Some(said);
        self.hear_waiting(told);
    }

    fn hear_waiting(&mut self, told: &mut mpsc::Receiver<(usize, Said)>) {
        while let Ok((index, said)) = told.try_recv() {
            self.said[index] = Some(said);
        }
    }

    fn are_acked(&self) -> bool {
        self.said[..self.needed].iter().all(|said| matches!(said, Some(Ok(()))))
    }

    /// Whether the beginning of the list cannot be whole any more.
    fn has_failed(&self) -> bool {
        self.said[..self.needed].iter().any(|said| matches!(said, Some(Err(_))))
    }

    fn end(&mut self) {
        for said in self.said.iter_mut().filter(|said| said.is_none()) {
            let text = "the call of an ingester panicked".to_owned();
            *said = Some(Err(IngesterError::Internal(text)));
        }
    }

    fn failed(&self) -> Vec<(Arc<Peer>, IngesterError)> {
        let said = self.peers.iter().zip(&self.said);
        let failed = said.filter_map(|(peer, said)| match said {
            Some(Err(error)) => Some((peer.clone(), error.clone())),
            _ => None,
        });
        failed.collect()
    }

    fn prompt(&self) -> Vec<Arc<Peer>> {
        let said = self.peers.iter().zip(&self.said);
        said.filter(|(_, said)| matches!(said, Some(Ok(())))).map(|(p, _)| p.clone()).collect()
    }

    fn silent(&self) -> Vec<Arc<Peer>> {
        let said = self.peers.iter().zip(&self.said);
        said.filter(|(_, said)| said.is_none()).map(|(peer, _)| peer.clone()).collect()
    }

    /// Whoever failed or has not answered.
    fn passed_over(&self) -> Vec<Arc<Peer>> {
        let said = self.peers.iter().zip(&self.said);
        said.filter(|(_, said)| !matches!(said, Some(Ok(())))).map(|(p, _)| p.clone()).collect()
    }
}
