//! Which streams have rows, and what their lines look like: what the label, series and patterns
//! endpoints answer from. Only footers are read, but for parts without templates. Held is what is
//! asked for, each text once, and no more of it than [`LISTED_BYTES_MAX`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::shutdown::Shutdown;
use base::{Bitmap, ErrorKind, HashSet, Labels};
use futures::future::try_join_all;
use logql::plan::{Leaf, QueryError};
use metrics::counter;
use part::{Footer, Template};
use rpc::ingester::{StreamsAnswer, StreamsRequest};
use rpc::querier::{ListJob, Listed, Listing};
use store::PartRecord;
use store::scan::Scan;

use crate::error::Error;
use crate::known::Known;
use crate::metrics::{CORRUPT, REPEATS};
use crate::peers::{Gone, Versioned};
use crate::querier::Querier;
use crate::select::{MAX_ATTEMPTS, check_damage};
use crate::templates;

/// Most bytes of a list, in memory: some hundred thousand streams.
const LISTED_BYTES_MAX: usize = 256 << 20;
/// Bytes that an item takes besides its text, about.
const ITEM_BYTES: usize = 64;

impl Querier {
    /// What is asked for of streams with rows around the range: each once, sorted, but for
    /// templates, which are folded.
    pub(crate) async fn listed(&self, query: &ListJob) -> Result<Listed, Error> {
        let found = self.found(query).await?;
        let wants_streams = query.listing == Listing::Streams;
        let of_templates = query.listing == Listing::Templates;
        let list = self.blocking(move || {
            Ok(match wants_streams {
                true => Listed::Streams(sorted(found.streams)),
                false if of_templates => Listed::Texts(templates::folded(found.templates)),
                false => Listed::Texts(sorted(found.texts)),
            })
        });
        list.await
    }

    async fn found(&self, query: &ListJob) -> Result<Found, Error> {
        let cancel = Shutdown::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        if query.start > query.end {
            return Ok(Found::default());
        }
        let filter = Arc::new(Filter::new(query)?);
        let mut gone = Gone::default();
        let mut known = self.look().await?;
        for _ in 0..MAX_ATTEMPTS {
            check_damage(&known.log, &query.tenant, query.start, query.end)?;
            let recent = self.recent_streams(query, &filter, &known, &mut gone).await?;
            let Some(recent) = recent else {
                counter!(REPEATS, "reason" => "behind").increment(1);
                known = self.look().await?;
                continue;
            };
            let records = known.log.parts(&query.tenant, query.start, query.end);
            match self.stored_streams(&filter, records, recent, &cancel).await {
                Ok(found) => return Ok(found),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    known = self.look_without_part(&known, error).await?;
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

    /// What ingesters hold; `None` when one of them dropped rows of a later commit, or has left.
    async fn recent_streams(
        &self,
        query: &ListJob,
        filter: &Filter,
        known: &Known,
        gone: &mut Gone,
    ) -> Result<Option<Found>, Error> {
        let request = StreamsRequest {
            tenant: query.tenant.clone(),
            selectors: query.selectors.clone(),
            from_ns: query.start.0,
            to_ns: query.end.0.saturating_add(1),
            view: known.log.version(),
            asked: Vec::new(),
            store: None,
            templates: query.listing == Listing::Templates,
        };
        let ask = self.peers.ask(gone, &known.ring, |peer, store, asked| {
            let request = StreamsRequest { asked, store: Some(store), ..request.clone() };
            Box::pin(async move { peer.api.streams(request).await })
        });
        let mut found = Found::default();
        let Some(answers) = ask.await? else { return Ok(None) };
        for answer in answers {
            match answer {
                StreamsAnswer::Behind { .. } => return Ok(None),
                StreamsAnswer::Streams { streams, templates, .. } => {
                    for labels in &streams {
                        filter.take(labels, &mut found)?;
                    }
                    found.templates.extend(templates.into_iter().map(templates::of_ingester));
                }
            }
        }
        Ok(Some(found))
    }

    /// What the parts hold, added to what is found already. All jobs add to the same lists, so that
    /// these are all that is held.
    async fn stored_streams(
        &self,
        filter: &Arc<Filter>,
        records: Vec<Arc<PartRecord>>,
        found: Found,
        cancel: &Shutdown,
    ) -> Result<Found, Error> {
        let jobs = self.config.scan_threads.min(records.len()).max(1);
        let each = records.len().div_ceil(jobs).max(1);
        let found = Arc::new(Mutex::new(found));
        let mut opens = Vec::with_capacity(jobs);
        for records in records.chunks(each) {
            let (records, parts) = (records.to_vec(), self.parts.clone());
            let (filter, cancel, found) = (filter.clone(), cancel.clone(), found.clone());
            opens.push(self.blocking(move || {
                let mut templates = Vec::new();
                for record in records {
                    if cancel.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    templates.extend(filter.look_at(&parts.open(&record)?, &found)?);
                }
                Ok(templates)
            }));
        }
        let templates = try_join_all(opens).await?;
        let mut found = std::mem::take(&mut *lock(&found));
        found.templates.extend(templates.into_iter().flatten());
        Ok(found)
    }
}

/// What sources hold of what is asked for.
#[derive(Default)]
struct Found {
    streams: HashSet<Labels>,
    /// Names or values of labels.
    texts: HashSet<String>,
    /// Of streams and texts, about.
    bytes: usize,
    /// In the order of sources.
    templates: Vec<Template>,
}

/// Whoever panicked while holding it ended the query.
fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Found {
    fn stream(&mut self, labels: &Labels) -> Result<(), Error> {
        if self.streams.contains(labels) {
            return Ok(());
        }
        self.streams.insert(labels.clone());
        self.count(labels.text_bytes())
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        if self.texts.contains(text) {
            return Ok(());
        }
        self.texts.insert(text.to_owned());
        self.count(text.len())
    }

    fn count(&mut self, text_bytes: usize) -> Result<(), Error> {
        self.bytes += text_bytes + ITEM_BYTES;
        if self.bytes <= LISTED_BYTES_MAX {
            return Ok(());
        }
        let items = self.streams.len() + self.texts.len();
        Err(Error::Query(QueryError::Limited(format!(
            "the list would be larger than {LISTED_BYTES_MAX} bytes: {items} items so far; consider \
             a narrower selector or reducing the time range",
        ))))
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
    listing: Listing,
    start_ns: i64,
    end_ns: i64,
}

impl Filter {
    fn new(query: &ListJob) -> Result<Filter, Error> {
        let leaves = query.selectors.iter().map(|matchers| Leaf::of_selector(matchers));
        let leaves = leaves.collect::<Result<_, _>>()?;
        let listing = query.listing.clone();
        Ok(Filter { leaves, listing, start_ns: query.start.0, end_ns: query.end.0 })
    }

    /// Adds what a part holds; returns its templates. Blocking.
    fn look_at(&self, scan: &Scan, found: &Mutex<Found>) -> Result<Vec<Template>, Error> {
        let footer = scan.footer();
        let mut selected = self.selected(footer);
        for (number, stream) in footer.streams().iter().enumerate() {
            if !self.covers(stream.min_ns, stream.max_ns) {
                selected.clear(number);
            }
        }
        if self.listing != Listing::Templates {
            let (labels, mut found) = (footer.labels(), lock(found));
            selected.iter().try_for_each(|number| self.take(&labels[number], &mut found))?;
        } else if !selected.is_none() {
            let (from_ns, to_ns) = (self.start_ns, self.end_ns.saturating_add(1));
            let templates = scan.templates(&selected, from_ns, to_ns)?;
            return Ok(templates.into_iter().map(templates::without_streams).collect());
        }
        Ok(Vec::new())
    }

    /// Streams of a part that any selector selects; matchers are asked once per value.
    fn selected(&self, footer: &Footer) -> Bitmap {
        let streams = footer.streams().len();
        if self.leaves.is_empty() {
            return Bitmap::all(streams);
        }
        let mut selected = Bitmap::none(streams);
        for leaf in &self.leaves {
            let mut of_leaf = Bitmap::all(streams);
            for (index, matcher) in leaf.matchers().iter().enumerate() {
                let accepts = &mut |value: &str| leaf.accepts(index, value);
                footer.select(&mut of_leaf, &matcher.name, accepts);
            }
            selected.or(&of_leaf);
        }
        selected
    }

    /// Adds what is asked for of a selected stream.
    fn take(&self, labels: &Labels, found: &mut Found) -> Result<(), Error> {
        match &self.listing {
            Listing::Streams => found.stream(labels),
            Listing::Names => labels.iter().try_for_each(|(name, _)| found.text(name)),
            Listing::Values(name) => labels.get(name).map_or(Ok(()), |value| found.text(value)),
            Listing::Templates => Ok(()),
        }
    }

    fn covers(&self, min_ns: i64, max_ns: i64) -> bool {
        min_ns <= self.end_ns && max_ns >= self.start_ns
    }
}

fn sorted<T: Ord>(items: HashSet<T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_unstable();
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_what_is_asked_for_once_and_no_more_than_its_limit() {
        let filter =
            |listing: Listing| Filter { leaves: Vec::new(), listing, start_ns: 0, end_ns: 1 };
        let streams: Vec<Labels> = (0..1000)
            .map(|n| Labels::from_pairs([("app", format!("a{}", n % 7)), ("pod", n.to_string())]))
            .collect();
        for (listing, held) in [
            (Listing::Streams, 1000),
            (Listing::Names, 2),
            (Listing::Values("app".to_owned()), 7),
            (Listing::Values("none".to_owned()), 0),
            (Listing::Templates, 0),
        ] {
            let filter = filter(listing);
            let mut found = Found::default();
            streams.iter().for_each(|labels| filter.take(labels, &mut found).unwrap());
            let bytes = found.bytes;
            streams.iter().for_each(|labels| filter.take(labels, &mut found).unwrap());
            assert_eq!(found.streams.len() + found.texts.len(), held, "{:?}", filter.listing);
            assert_eq!(found.bytes, bytes, "what is there costs nothing again");
            assert!(bytes >= held * ITEM_BYTES);
        }
        let mut full = Found { bytes: LISTED_BYTES_MAX - ITEM_BYTES, ..Found::default() };
        full.text("").unwrap();
        let error = full.text("one more").unwrap_err().to_string();
        assert!(
            error.starts_with("the list would be larger than 268435456 bytes: 2 items"),
            "{error}"
        );
    }
}
