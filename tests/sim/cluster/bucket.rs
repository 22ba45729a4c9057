//! The bucket as one process sees it: slow, losing requests and answers, and at the rarest moments
//! stalling or killing whoever asks.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::task::sim::Process;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::breaks::Sight;
use super::history::History;
use super::world::{Chance, World, event};

/// What the world calls it.
pub const NAME: &str = "bucket";
/// How long a client waits for an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Stalls at a PUT; the longest are longer than anything is kept for.
const STALLS_S: [u64; 6] = [1, 20, 90, 600, 7_200, 93_600];

/// One process's way to the bucket.
pub struct Client {
    pub world: Arc<World>,
    pub history: Arc<History>,
    pub process: Process,
    pub node: String,
    pub chance: Chance,
    /// Commits are answered before they are there.
    pub tells_early: bool,
    /// The floor of the log is never found.
    pub hides_floor: bool,
    /// Commits that say which uploads nobody named are answered and not done.
    pub drops_orphans: bool,
    /// Tables of claimed ids are found empty.
    pub hides_ids: bool,
    /// What it is found of the log depends on it.
    pub sight: Option<Arc<Sight>>,
}

/// What becomes of a PUT.
enum Fate {
    Served,
    RequestLost,
    AnswerLost,
    Doubled,
    Late,
}

impl Client {
    async fn travel(&self) -> Result<()> {
        tokio::time::sleep(self.chance.latency()).await;
        let (to, back) = (self.is_cut(true), self.is_cut(false));
        if to || back {
            tokio::time::sleep(PATIENCE).await;
            return Err(lost());
        }
        Ok(())
    }

    fn is_cut(&self, there: bool) -> bool {
        match there {
            true => self.world.is_cut(&self.node, NAME),
            false => self.world.is_cut(NAME, &self.node),
        }
    }

    fn is_part_or_commit(path: &Path) -> bool {
        let path = path.as_ref();
        ["log/", "parts/", "bundles/"].iter().any(|prefix| path.starts_with(prefix))
    }

    /// The rarest moments: just before and just after a PUT of a part or commit.
    async fn strike(&self, path: &Path, when: &str) {
        let (world, profile) = (&self.world, &self.world.profile);
        if !Client::is_part_or_commit(path) {
            return;
        }
        if world.strikes(&self.chance, profile.stalls_at_put) {
            let longest = if profile.long { STALLS_S.len() } else { STALLS_S.len() - 2 };
            let seconds = *self.chance.pick(&STALLS_S[..longest]);
            event!(world, self.process.name(), "strikes {when} PUT {path}");
            world.stall(&self.process, Duration::from_secs(seconds));
            // From the next poll on the process stands still.
            tokio::task::yield_now().await;
        } else if world.strikes(&self.chance, profile.kills_at_put) {
            event!(world, self.process.name(), "is killed {when} PUT {path}");
            world.fault(Duration::ZERO);
            self.process.kill();
            std::future::pending::<()>().await;
        }
    }

    /// Whether it is a commit that nobody looks for.
    fn is_out_of_sight(&self, path: &Path) -> bool {
        let is_commit = path.as_ref().starts_with("log/") && path.as_ref() != catalog::paths::FLOOR;
        is_commit && self.sight.as_ref().is_some_and(|sight| !sight.is_open())
    }

    fn fate(&self) -> Fate {
        let (world, profile) = (&self.world, &self.world.profile);
        if world.strikes(&self.chance, profile.lost_puts) {
            return if self.chance.happens(500) { Fate::RequestLost } else { Fate::AnswerLost };
        }
        if world.strikes(&self.chance, profile.late_puts) {
            return Fate::Late;
        }
        if world.strikes(&self.chance, profile.doubled_puts) {
            return Fate::Doubled;
        }
        Fate::Served
    }

    /// The request arrives when nobody waits for it any more.
    fn put_late(&self, path: &Path, payload: PutPayload, options: PutOptions) {
        let after = self.chance.seconds(1, 900);
        let (world, history, path) = (self.world.clone(), self.history.clone(), path.clone());
        let who = self.process.name().to_owned();
        world.fault(after);
        base::task::sim::outside(async move {
            tokio::time::sleep(after).await;
            let done = history.put(&who, &path, payload, options).await;
            event!(
                world,
                &who,
                "late PUT {path} {}",
                if done.is_ok() { "done" } else { "refused" }
            );
        });
    }
}

/// Whether it is a commit that takes uploads for orphans.
fn removes_orphans(path: &Path, payload: &PutPayload) -> bool {
    let bytes: Vec<u8> = payload.iter().flat_map(|chunk| chunk.iter().copied()).collect();
    let number = catalog::paths::number_of(path.as_ref()).unwrap_or_default();
    let is_commit = path.as_ref().starts_with(catalog::paths::LOG);
    let commit = is_commit.then(|| catalog::Commit::decode(number, &bytes));
    let is_orphan = |removed: &catalog::PartRef| removed.day == base::Day(i32::MIN);
    commit.is_some_and(|commit| commit.is_ok_and(|commit| commit.removed.iter().any(is_orphan)))
}

fn lost() -> object_store::Error {
    object_store::Error::Generic { store: NAME, source: "no answer".into() }
}

#[async_trait]
impl ObjectStore for Client {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.strike(path, "before").await;
        self.travel().await?;
        let (history, who) = (&self.history, self.process.name());
        if self.tells_early && path.as_ref().starts_with("log/") {
            self.put_late(path, payload, options);
            return Ok(PutResult { e_tag: None, version: None, extensions: Default::default() });
        }
        if self.drops_orphans && removes_orphans(path, &payload) {
            return Ok(PutResult { e_tag: None, version: None, extensions: Default::default() });
        }
        let fate = self.fate();
        let result = match fate {
            Fate::Served => history.put(who, path, payload, options).await,
            Fate::RequestLost => {
                event!(self.world, who, "PUT {path}: the request is lost");
                Err(lost())
            }
            Fate::AnswerLost => {
                event!(self.world, who, "PUT {path}: the answer is lost");
                let _ = history.put(who, path, payload, options).await;
                Err(lost())
            }
            Fate::Doubled => {
                event!(self.world, who, "PUT {path} twice");
                let _ = history.put(who, path, payload.clone(), options.clone()).await;
                history.put(who, path, payload, options).await
            }
            Fate::Late => {
                event!(self.world, who, "PUT {path} will be late");
                self.put_late(path, payload, options);
                Err(lost())
            }
        };
        if !matches!(fate, Fate::Served) {
            self.world.fault(PATIENCE);
        }
        if matches!(fate, Fate::RequestLost | Fate::AnswerLost | Fate::Late) {
            tokio::time::sleep(PATIENCE).await;
        }
        self.strike(path, "after").await;
        result
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(object_store::Error::NotImplemented {
            operation: "multipart".to_owned(),
            implementer: NAME.to_owned(),
        })
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.travel().await?;
        if self.world.strikes(&self.chance, self.world.profile.failed_gets) {
            event!(self.world, self.process.name(), "GET {path} fails");
            self.world.fault(PATIENCE);
            return Err(lost());
        }
        let is_floor = self.hides_floor && path.as_ref() == catalog::paths::FLOOR;
        if is_floor || self.is_out_of_sight(path) {
            let source = "hidden".into();
            return Err(object_store::Error::NotFound { path: path.to_string(), source });
        }
        if self.hides_ids && path.as_ref().starts_with(catalog::paths::ID_TABLES) {
            let version = catalog::paths::number_of(path.as_ref()).unwrap_or_default();
            let empty = InMemory::new();
            let table = catalog::IdTable::default().encode(version);
            empty.put(path, table.into()).await?;
            return empty.get_opts(path, options).await;
        }
        let answer = self.history.inner.get_opts(path, options).await;
        if let (Some(sight), Err(object_store::Error::NotFound { .. })) = (&self.sight, &answer) {
            // Of the log: that is its head. Anything else: the log has gone on.
            match path.as_ref().starts_with("log/") {
                true if path.as_ref() != catalog::paths::FLOOR => sight.close(),
                true => {}
                false => sight.open(),
            }
        }
        let mut answer = answer?;
        answer.meta.last_modified = self.history.put_at(path.as_ref());
        Ok(answer)
    }

    /// Parts are read where nobody can wait: at once.
    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fails = self.world.strikes(&self.chance, self.world.profile.failed_gets);
        if fails || self.is_cut(true) || self.is_cut(false) {
            event!(self.world, self.process.name(), "GET {path} fails");
            self.world.fault(PATIENCE);
            return Err(lost());
        }
        let answer = self.history.inner.get_ranges(path, ranges).await;
        if let (Some(sight), Err(_)) = (&self.sight, &answer) {
            sight.open();
        }
        answer
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (history, who) = (self.history.clone(), self.process.name().to_owned());
        let is_cut = self.is_cut(true) || self.is_cut(false);
        paths
            .then(move |path| {
                let (history, who) = (history.clone(), who.clone());
                async move {
                    let path = path?;
                    if is_cut {
                        return Err(lost());
                    }
                    history.delete(&who, &path).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let fails = self.is_cut(true)
            || self.is_cut(false)
            || self.world.strikes(&self.chance, self.world.profile.failed_gets);
        if fails {
            self.world.fault(PATIENCE);
            return futures::stream::once(async { Err(lost()) }).boxed();
        }
        self.history.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.travel().await?;
        self.history.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let payload = self.history.inner.get_opts(from, GetOptions::default()).await?;
        let _ = options;
        let bytes: Vec<Bytes> = payload.into_stream().try_collect().await?;
        let options = PutOptions::default();
        self.history.put(self.process.name(), to, bytes.into_iter().collect(), options).await?;
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.node)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated bucket of {}", self.node)
    }
}
