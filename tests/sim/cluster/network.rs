//! Calls between processes: slow, lost on the way there or back, doubled, late, cut; and they run in
//! the process they reach, which may stall or die meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::task::JoinHandle;
use base::task::sim::Process;

use super::world::{Chance, World, event};

/// How long a caller waits: the deadline of a call.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a node's service is found while it runs. It outlives its processes.
pub struct Port<T: ?Sized> {
    pub node: String,
    open: Mutex<Option<(Process, Arc<T>)>>,
}

impl<T: ?Sized + Send + Sync + 'static> Port<T> {
    pub fn new(node: &str) -> Arc<Port<T>> {
        Arc::new(Port { node: node.to_owned(), open: Mutex::default() })
    }

    pub fn open(&self, process: &Process, api: Arc<T>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some((process.clone(), api));
    }

    pub fn close(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The process that serves here.
    pub fn server(&self) -> Option<(Process, Arc<T>)> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clone().filter(|(process, _)| !process.is_dead())
    }
}

/// One node's way to another one.
pub struct Link<T: ?Sized> {
    pub world: Arc<World>,
    pub from: String,
    pub port: Arc<Port<T>>,
    chance: Chance,
}

type Work<T, R> = Arc<dyn Fn(Arc<T>) -> Pin<Box<dyn Future<Output = R> + Send>> + Send + Sync>;

impl<T: ?Sized + Send + Sync + 'static> Link<T> {
    pub fn new(world: &Arc<World>, from: &str, port: &Arc<Port<T>>, start: u64) -> Link<T> {
        let chance = world.chance(&format!("{from} {start} calls {}", port.node));
        Link { world: world.clone(), from: from.to_owned(), port: port.clone(), chance }
    }

    /// Runs `work` on the other side. An error says nothing about whether it was done.
    pub async fn call<R, F>(
        &self,
        what: &str,
        work: impl Fn(Arc<T>) -> F + Send + Sync + 'static,
    ) -> Result<R, String>
    where
        R: Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        let work: Work<T, R> = Arc::new(move |api| Box::pin(work(api)));
        let (world, profile, node) = (&self.world, &self.world.profile, &self.port.node);
        tokio::time::sleep(self.chance.latency()).await;
        let is_lost = world.strikes(&self.chance, profile.lost_calls);
        let answer_is_lost = is_lost && self.chance.happens(500);
        if world.is_cut(&self.from, node) || (is_lost && !answer_is_lost) {
            event!(world, &self.from, "{what} to {node}: no way there");
            return self.give_up().await;
        }
        if world.strikes(&self.chance, profile.late_calls) {
            let after = self.chance.seconds(5, 1_200);
            event!(world, &self.from, "{what} to {node} arrives in {} s", after.as_secs());
            world.fault(after);
            self.deliver(work, after);
            return self.give_up().await;
        }
        if world.strikes(&self.chance, profile.doubled_calls) {
            event!(world, &self.from, "{what} to {node} twice");
            self.deliver(work.clone(), self.chance.seconds(0, 20));
        }
        let Some((process, api)) = self.port.server() else {
            return Err(format!("{node} refuses connections"));
        };
        let back = self.chance.latency();
        let answer = process.spawn(async move {
            let answer = work(api).await;
            tokio::time::sleep(back).await;
            answer
        });
        // A server may or may not notice that its caller is gone.
        let mut answer = Call { is_cancelled: self.chance.happens(500), answer };
        let answer = match tokio::time::timeout(PATIENCE, &mut answer.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Err(format!("the connection to {node} broke")),
            Err(_) => {
                event!(world, &self.from, "{what} to {node}: gives up");
                world.fault(Duration::ZERO);
                return Err(format!("{node} does not answer"));
            }
        };
        if answer_is_lost || world.is_cut(node, &self.from) {
            event!(world, &self.from, "{what} to {node}: no way back");
            return self.give_up().await;
        }
        Ok(answer)
    }

    async fn give_up<R>(&self) -> Result<R, String> {
        self.world.fault(PATIENCE);
        tokio::time::sleep(PATIENCE).await;
        Err(format!("{} does not answer", self.port.node))
    }

    /// Does it later, for nobody.
    fn deliver<R: Send + 'static>(&self, work: Work<T, R>, after: Duration) {
        let port = self.port.clone();
        base::task::sim::outside(async move {
            tokio::time::sleep(after).await;
            if let Some((process, api)) = port.server() {
                let done = process.spawn(async move { drop(work(api).await) });
                drop(done);
            }
        });
    }
}

/// A call under way.
struct Call<R> {
    answer: JoinHandle<R>,
    is_cancelled: bool,
}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        if self.is_cancelled {
            self.answer.abort();
        }
    }
}
