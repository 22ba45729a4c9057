//! Which streams have rows: what the label and series endpoints answer from. Only stream tables
//! are read, never rows.

use std::sync::Arc;

use base::shutdown::Shutdown;
use base::{ErrorKind, HashSet, Labels};
use futures::future::try_join_all;
use logql::plan::Leaf;
use metrics::counter;
use rpc::ingester::{StreamsAnswer, StreamsRequest};
use rpc::querier::ListJob;
use store::{PartRecord, Snapshot};

use crate::error::Error;
use crate::metrics::{CORRUPT, REPEATS};
use crate::peers::{Gone, Versioned};
use crate::querier::Querier;
use crate::select::{MAX_ATTEMPTS, check_damage};

impl Querier {
    /// Streams with rows around the range, each once, sorted.
    pub(crate) async fn streams(&self, query: &ListJob) -> Result<Vec<Labels>, Error> {
        let cancel = Shutdown::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        if query.start > query.end {
            return Ok(Vec::new());
        }
        let filter = Arc::new(Filter::new(query)?);
        let mut gone = Gone::default();
        let mut view = self.catalog.follow().await?;
        for _ in 0..MAX_ATTEMPTS {
            check_damage(&view, &query.tenant, query.start, query.end)?;
            let Some(recent) = self.recent_streams(query, &view, &mut gone).await? else {
                counter!(REPEATS, "reason" => "behind").increment(1);
                view = self.catalog.follow().await?;
                continue;
            };
            let records = view.parts(&query.tenant, query.start, query.end);
            match self.stored_streams(&filter, records, &cancel).await {
                Ok(stored) => {
                    let mut all: HashSet<Labels> = recent.into_iter().collect();
                    all.extend(stored);
                    let mut all: Vec<Labels> = all.into_iter().collect();
                    all.sort_unstable();
                    return Ok(all);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    view = self.view_without_part(&view, error).await?;
                }
                Err(error) => {
                    if error.kind() == ErrorKind::Corrupt {
                        counter!(CORRUPT).increment(1);
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::Unstable { attempts: MAX_ATTEMPTS })
    }

    /// Streams held by ingesters; `None` when one of them dropped rows of a later commit.
    async fn recent_streams(
        &self,
        query: &ListJob,
        view: &Snapshot,
        gone: &mut Gone,
    ) -> Result<Option<Vec<Labels>>, Error> {
        let request = StreamsRequest {
            tenant: query.tenant.clone(),
            selectors: query.selectors.clone(),
            from_ns: query.start.0,
            to_ns: query.end.0.saturating_add(1),
            view: view.version(),
            asked: Vec::new(),
            store: None,
        };
        let ask = self.peers.ask(gone, |peer, store, asked| {
            let request = StreamsRequest { asked, store: Some(store), ..request.clone() };
            Box::pin(async move { peer.api.streams(request).await })
        });
        let mut found = Vec::new();
        for answer in ask.await? {
            match answer {
                StreamsAnswer::Behind { .. } => return Ok(None),
                StreamsAnswer::Streams { streams, .. } => found.extend(streams),
            }
        }
        Ok(Some(found))
    }

    /// Streams of the parts.
    async fn stored_streams(
        &self,
        filter: &Arc<Filter>,
        records: Vec<Arc<PartRecord>>,
        cancel: &Shutdown,
    ) -> Result<HashSet<Labels>, Error> {
        let jobs = self.config.scan_threads.min(records.len()).max(1);
        let each = records.len().div_ceil(jobs).max(1);
        let mut opens = Vec::with_capacity(jobs);
        for records in records.chunks(each) {
            let (records, parts) = (records.to_vec(), self.parts.clone());
            let (filter, cancel) = (filter.clone(), cancel.clone());
            opens.push(self.blocking(move || {
                let mut found = HashSet::default();
                for record in records {
                    if cancel.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    let scan = parts.open(&record)?;
                    let footer = scan.footer();
                    for (labels, stream) in footer.labels().iter().zip(footer.streams()) {
                        if filter.covers(stream.min_ns, stream.max_ns)
                            && !found.contains(labels)
                            && filter.selects(labels)
                        {
                            found.insert(labels.clone());
                        }
                    }
                }
                Ok(found)
            }));
        }
        let mut all = HashSet::default();
        for found in try_join_all(opens).await? {
            all.extend(found);
        }
        Ok(all)
    }
}

impl Versioned for StreamsAnswer {
    fn ring(&self) -> u64 {
        match self {
            StreamsAnswer::Streams { ring, .. } => *ring,
            StreamsAnswer::Behind { .. } => 0,
        }
    }
}

/// Compiled selectors and the time range.
struct Filter {
    leaves: Vec<Arc<Leaf>>,
    start_ns: i64,
    end_ns: i64,
}

impl Filter {
    fn new(query: &ListJob) -> Result<Filter, Error> {
        let leaves = query.selectors.iter().map(|matchers| Leaf::of_selector(matchers));
        let leaves = leaves.collect::<Result<_, _>>()?;
        Ok(Filter { leaves, start_ns: query.start.0, end_ns: query.end.0 })
    }

    fn covers(&self, min_ns: i64, max_ns: i64) -> bool {
        min_ns <= self.end_ns && max_ns >= self.start_ns
    }

    fn selects(&self, labels: &Labels) -> bool {
        self.leaves.is_empty() || self.leaves.iter().any(|leaf| leaf.selects(labels))
    }
}
