//! How this process goes. SIGTERM alone is a restart: the store comes back, and the ring waits for
//! it. An end that flushes leaves:
//!
//! 1. The ring takes the store as leaving: no stream is placed there any more.
//! 2. The ingester is emptied while its port still answers: appends are refused (their senders know
//!    another one), queries are not; it flushes what it is first to flush, and sees the others flush
//!    the rest, because they clear it.
//! 3. With an empty log it is drained and says that it holds nothing. When all others have said that they hold
//!    nothing that names it, the ring removes it; it need not be there for that.
//! 4. The directory becomes a new store: the old one never comes back.
//!
//! The last ingester does not leave. If any step fails, what is in the log stays there, and the next
//! start is the same store again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::disk::Disk;
use base::shutdown::Shutdown;
use ingester::Ingester;
use ring::{Command, Refusal};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{Membership, raft_dir};

/// How long the ring is asked to take a change at the end. It is not waited for longer: whoever
/// stops a process wants it to stop.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for a process without a store: nothing depends on it.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// How long others may take to flush what they are first to flush of what it holds.
const EMPTY_PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether they have.
const EMPTY_PERIOD: Duration = Duration::from_millis(200);
/// How often it is looked whether the voters have changed.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// The log of an ingester, to be made a new store.
#[derive(Clone)]
pub struct Log {
    /// Where it is.
    pub disk: Arc<dyn Disk>,
    /// Its configuration.
    pub config: wal::Config,
    /// For the next store's id.
    pub env: wal::Env,
}

/// The end of this process's part.
pub struct Leaving {
    ring: Membership,
    ingester: Option<(Arc<Ingester>, Log)>,
    is_leaving: Arc<AtomicBool>,
    /// The ring has taken it as leaving.
    has_begun: AtomicBool,
    /// The ring has no place for the store any more.
    removed: Shutdown,
    /// Whether the ring knows that the store is empty.
    has_said: Mutex<bool>,
    /// Whether the directory is a new store.
    is_another: AtomicBool,
}

impl Leaving {
    /// `is_leaving` tells the attendant, `removed` is told by it.
    pub fn new(
        ring: Membership,
        ingester: Option<(Arc<Ingester>, Log)>,
        is_leaving: Arc<AtomicBool>,
        removed: Shutdown,
    ) -> Leaving {
        Leaving {
            ring,
            ingester,
            is_leaving,
            has_begun: AtomicBool::new(false),
            removed,
            has_said: Mutex::new(false),
            is_another: AtomicBool::new(false),
        }
    }

    /// Whether the next start in the directory is a new store.
    pub fn is_another(&self) -> bool {
        self.is_another.load(Ordering::SeqCst)
    }

    /// Steps 1 and 2. Whether the ring takes the store as leaving now.
    pub async fn begin(&self) -> bool {
        let leaves = self.announce().await;
        // One that is drained has nothing to empty any more.
        if leaves
            && let Some((ingester, _)) = &self.ingester
            && !ingester.is_stopping()
        {
            self.empty(ingester).await;
        }
        leaves
    }

    async fn announce(&self) -> bool {
        self.is_leaving.store(true, Ordering::SeqCst);
        let store = self.ring.own().store;
        let leaves = match timeout(PATIENCE, self.ring.propose(Command::Leave { store })).await {
            Ok(Ok(outcome)) => match outcome.version() {
                Ok(version) => {
                    let mut states = self.ring.watch();
                    let known = states.wait_for(|state| state.version >= version);
                    timeout(PATIENCE, known).await.is_ok()
                }
                // It has left: a call that came later does not bring it back.
                Err(Refusal::Retired(_) | Refusal::Unknown(_)) => true,
                Err(Refusal::Last(_)) => {
                    tracing::info!("the last ingester does not leave the ring");
                    false
                }
                Err(refusal) => {
                    tracing::warn!(%refusal, "ends without leaving the ring");
                    false
                }
            },
            Ok(Err(error)) => {
                tracing::warn!(%error, "ends without leaving the ring");
                false
            }
            Err(_) => {
                tracing::warn!(after = ?PATIENCE, "ends without leaving the ring: no answer");
                false
            }
        };
        // Once begun it is not taken back by a later call that was not heard.
        let leaves = self.has_begun.fetch_or(leaves, Ordering::SeqCst) || leaves;
        self.is_leaving.store(leaves, Ordering::SeqCst);
        leaves
    }

    async fn empty(&self, ingester: &Ingester) {
        let state = self.ring.newest();
        let own = self.ring.of(&state);
        let Some((store, departure)) =
            own.and_then(|own| Some((own.store, own.departure.clone()?)))
        else {
            return;
        };
        let emptied = async {
            loop {
                match ingester.clear(store, departure.since).await {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "could not flush everything yet"),
                }
                tokio::time::sleep(EMPTY_PERIOD).await;
            }
        };
        if timeout(EMPTY_PATIENCE, emptied).await.is_err() {
            tracing::error!(
                "others did not flush what they share with this store: it stays in the log"
            );
        }
    }

    /// Step 3, if the ingester was drained and is empty.
    pub async fn say(&self) {
        let mut has_said = self.has_said.lock().await;
        let Some((ingester, _)) = &self.ingester else { return };
        let state = self.ring.newest();
        if *has_said || !ingester.is_emptied() {
            return;
        }
        let Some(own) = self.ring.of(&state) else {
            *has_said = state.retired.contains_key(&self.ring.own().store);
            return;
        };
        // Also of one that was taken for gone: it does not come back, and others may wait for this.
        let Some(departure) = &own.departure else { return };
        let store = own.store;
        let cleared = Command::Cleared { by: store, of: store, since: departure.since };
        match timeout(PATIENCE, self.ring.propose(cleared)).await {
            Ok(Ok(outcome)) if outcome.version().is_ok() => *has_said = true,
            Ok(Ok(outcome)) => {
                tracing::warn!(?outcome, "the ring does not take the store as empty")
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the ring does not know that the store is empty")
            }
            Err(_) => tracing::warn!("the ring does not know that the store is empty: no answer"),
        }
    }

    /// All steps that apply, and the end of the part.
    pub async fn end(&self) {
        match &self.ingester {
            None => self.end_watching().await,
            Some((ingester, log)) => self.end_ingester(ingester, log).await,
        }
    }

    async fn end_watching(&self) {
        self.is_leaving.store(true, Ordering::SeqCst);
        let store = self.ring.own().store;
        // Without an answer the leader forgets it by its silence.
        let leave = self.ring.propose(Command::Leave { store });
        let _in_time = timeout(SHORT_PATIENCE, leave).await;
        self.ring.stop().await;
    }

    async fn end_ingester(&self, ingester: &Ingester, log: &Log) {
        let is_removed = self.removed.is_cancelled();
        let wants = ingester.flushes_at_the_end() && !ingester.is_stopping();
        if is_removed || (wants && self.begin().await) {
            // `false`: a route has begun it, and it has ended by now or the end does not wait.
            let _began_here = ingester.drain(true).await;
        }
        self.say().await;
        // One that others have cleared already need not say anything: it only had to be emptied.
        let has_said = *self.has_said.lock().await;
        let is_emptied = has_said || (is_removed && ingester.is_emptied());
        let becomes_another = is_emptied && self.is_without_voice().await;
        self.ring.stop().await;
        if becomes_another {
            self.retire(log).await;
        }
    }

    /// Waits until the leader has taken this store's voice. One that ends with it, and is the only
    /// one or the last of a majority, leaves a ring that nobody leads; with its directory it could
    /// come back and give it away.
    async fn is_without_voice(&self) -> bool {
        let store = self.ring.own().store;
        let taken = async {
            while self.ring.has_voice() {
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        };
        let is_taken = timeout(PATIENCE, taken).await.is_ok();
        if !is_taken {
            tracing::error!(%store, "still has a voice in the ring: start it again to give it away");
        }
        is_taken
    }

    /// Step 4.
    async fn retire(&self, log: &Log) {
        let (log, cluster, store) = (log.clone(), self.ring.cluster(), self.ring.own().store);
        let work = move || -> Result<(), wal::Error> {
            let dir = raft_dir(&*log.disk, &log.config.dir, cluster, store);
            wal::retire(&log.config, &log.env)?;
            // The next store does not look there: what stays only takes room.
            for name in log.disk.list(&dir).unwrap_or_default() {
                if let Err(error) = log.disk.remove(&dir.join(&name)) {
                    tracing::warn!(%error, file = name, "a file of the ring's old log stays");
                }
            }
            Ok(())
        };
        match base::task::blocking("retire-store", work).await {
            Ok(Ok(())) => {
                self.is_another.store(true, Ordering::SeqCst);
                tracing::info!(%store, "left the ring; the directory is a new store");
            }
            Ok(Err(error)) => {
                tracing::error!(%store, %error, "the store left the ring and is still in its directory");
            }
            Err(_) => tracing::error!(%store, "making the directory a new store panicked"),
        }
    }
}
