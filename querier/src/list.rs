//! Which streams have rows, and what their lines look like: what the label, series and patterns
//! endpoints answer from. Only footers are read, but for parts without templates.

use std::sync::Arc;

use base::shutdown::Shutdown;
use base::{Bitmap, ErrorKind, HashSet, Labels};
use futures::future::try_join_all;
use logql::plan::Leaf;
use metrics::counter;
use part::Template;
use rpc::ingester::{StreamsAnswer, StreamsRequest};
use rpc::querier::{ListJob, Listing};
use store::scan::Scan;
use store::{PartRecord, Snapshot};

use crate::error::Error;
use crate::metrics::{CORRUPT, REPEATS};
use crate::peers::{Gone, Versioned};
use crate::querier::Querier;
use crate::select::{MAX_ATTEMPTS, check_damage};
use crate::templates;

impl Querier {
    /// Streams with rows around the range, each once, sorted.
    pub(crate) async fn streams(&self, query: &ListJob) -> Result<Vec<Labels>, Error> {
        let mut streams: Vec<Labels> = self.found(query).await?.streams.into_iter().collect();
        streams.sort_unstable();
        Ok(streams)
    }

    /// What the lines of streams with rows around the range look like.
    pub(crate) async fn templates(&self, query: &ListJob) -> Result<Vec<String>, Error> {
        let found = self.found(query).await?;
        let folded = self.blocking(move || Ok(templates::folded(found.templates)));
        folded.await
    }

    async fn found(&self, query: &ListJob) -> Result<Found, Error> {
        let cancel = Shutdown::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        if query.start > query.end {
            return Ok(Found::default());
        }
        let filter = Arc::new(Filter::new(query)?);
        let mut gone = Gone::default();
        let mut view = self.catalog.follow().await?;
        for _ in 0..MAX_ATTEMPTS {
            check_damage(&view, &query.tenant, query.start, query.end)?;
            let Some(mut recent) = self.recent_streams(query, &view, &mut gone).await? else {
                counter!(REPEATS, "reason" => "behind").increment(1);
                view = self.catalog.follow().await?;
                continue;
            };
            let records = view.parts(&query.tenant, query.start, query.end);
            match self.stored_streams(&filter, records, &cancel).await {
                Ok(stored) => {
                    recent.add(stored);
                    return Ok(recent);
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

    /// What ingesters hold; `None` when one of them dropped rows of a later commit.
    async fn recent_streams(
        &self,
        query: &ListJob,
        view: &Snapshot,
        gone: &mut Gone,
    ) -> Result<Option<Found>, Error> {
        let request = StreamsRequest {
            tenant: query.tenant.clone(),
            selectors: query.selectors.clone(),
            from_ns: query.start.0,
            to_ns: query.end.0.saturating_add(1),
            view: view.version(),
            asked: Vec::new(),
            store: None,
            templates: query.listing == Listing::Templates,
        };
        let ask = self.peers.ask(gone, |peer, store, asked| {
            let request = StreamsRequest { asked, store: Some(store), ..request.clone() };
            Box::pin(async move { peer.api.streams(request).await })
        });
        let mut found = Found::default();
        for answer in ask.await? {
            match answer {
                StreamsAnswer::Behind { .. } => return Ok(None),
                StreamsAnswer::Streams { streams, templates, .. } => {
                    found.streams.extend(streams);
                    found.templates.extend(templates.into_iter().map(templates::of_ingester));
                }
            }
        }
        Ok(Some(found))
    }

    /// What the parts hold.
    async fn stored_streams(
        &self,
        filter: &Arc<Filter>,
        records: Vec<Arc<PartRecord>>,
        cancel: &Shutdown,
    ) -> Result<Found, Error> {
        let jobs = self.config.scan_threads.min(records.len()).max(1);
        let each = records.len().div_ceil(jobs).max(1);
        let mut opens = Vec::with_capacity(jobs);
        for records in records.chunks(each) {
            let (records, parts) = (records.to_vec(), self.parts.clone());
            let (filter, cancel) = (filter.clone(), cancel.clone());
            opens.push(self.blocking(move || {
                let mut found = Found::default();
                for record in records {
                    if cancel.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    filter.look_at(&parts.open(&record)?, &mut found)?;
                }
                Ok(found)
            }));
        }
        let mut all = Found::default();
        for found in try_join_all(opens).await? {
            all.add(found);
        }
        Ok(all)
    }
}

/// What sources hold.
#[derive(Default)]
struct Found {
    streams: HashSet<Labels>,
    /// In the order of sources.
    templates: Vec<Template>,
}

impl Found {
    fn add(&mut self, more: Found) {
        self.streams.extend(more.streams);
        self.templates.extend(more.templates);
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

/// Compiled selectors, the time range, and what is wanted.
struct Filter {
    leaves: Vec<Arc<Leaf>>,
    of_templates: bool,
    start_ns: i64,
    end_ns: i64,
}

impl Filter {
    fn new(query: &ListJob) -> Result<Filter, Error> {
        let leaves = query.selectors.iter().map(|matchers| Leaf::of_selector(matchers));
        let leaves = leaves.collect::<Result<_, _>>()?;
        let of_templates = query.listing == Listing::Templates;
        Ok(Filter { leaves, of_templates, start_ns: query.start.0, end_ns: query.end.0 })
    }

    /// Adds what a part holds. Blocking.
    fn look_at(&self, scan: &Scan, found: &mut Found) -> Result<(), Error> {
        let footer = scan.footer();
        let mut selected = Bitmap::none(footer.streams().len());
        for (number, (labels, stream)) in footer.labels().iter().zip(footer.streams()).enumerate() {
            if !self.covers(stream.min_ns, stream.max_ns) {
                continue;
            }
            if self.of_templates {
                if self.selects(labels) {
                    selected.set(number);
                }
            } else if !found.streams.contains(labels) && self.selects(labels) {
                found.streams.insert(labels.clone());
            }
        }
        if !selected.is_none() {
            let (from_ns, to_ns) = (self.start_ns, self.end_ns.saturating_add(1));
            let templates = scan.templates(&selected, from_ns, to_ns)?;
            found.templates.extend(templates.into_iter().map(templates::without_streams));
        }
        Ok(())
    }

    fn covers(&self, min_ns: i64, max_ns: i64) -> bool {
        min_ns <= self.end_ns && max_ns >= self.start_ns
    }

    fn selects(&self, labels: &Labels) -> bool {
        self.leaves.is_empty() || self.leaves.iter().any(|leaf| leaf.selects(labels))
    }
}
