//! Blocking reads of parts: pread from local files, a bridge to remote stores.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use catalog::{PartId, PartRecord};
use futures::future::try_join_all;
use object_store::OBJECT_STORE_COALESCE_DEFAULT;
use part::{Footer, RangeRead};
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use tokio::runtime::Handle;

use crate::bucket::Bucket;
use crate::cache::Cache;
use crate::disk_cache::DiskCache;
use crate::error::Error;
use crate::metrics::CORRUPT;
use crate::pages::{Hold, Pages};
use crate::scan::Scan;

/// Requests of a read that one call of the store makes; it runs as many at a time. A read of more is
/// several calls at once: rows of the id filters of 64 row groups are one round trip.
const REQUESTS_EACH: usize = 10;

/// Opens parts for scanning; keeps footers, and pieces of parts that are not local files. Share it
/// as `Arc<Parts>`.
pub struct Parts {
    bucket: Bucket,
    runtime: Handle,
    footers: Cache<PartId, Footer>,
    pages: Option<Arc<Pages>>,
    page_cache_bytes: u64,
}

/// Counts requests to the object store; reads of local files are none. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<AtomicU64>);

/// Whether a range that begins after `end` shares a request with what ends there.
fn is_close(end: u64, range: &Range<u64>) -> bool {
    range.start.saturating_sub(end) <= OBJECT_STORE_COALESCE_DEFAULT
}

impl Requests {
    /// Requests so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one read of these ranges: close ones share a request.
    fn add(&self, ranges: &[Range<u64>]) {
        let mut ranges: Vec<&Range<u64>> = ranges.iter().filter(|r| !r.is_empty()).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let (mut count, mut end) = (0, None);
        for range in ranges {
            count += u64::from(!end.is_some_and(|end| is_close(end, range)));
            end = end.max(Some(range.end));
        }
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

/// Reads one part. Blocking: use it from `base::task::blocking` threads only.
pub struct PartReader {
    bucket: Bucket,
    path: String,
    /// Where the part lies in its object.
    section: Range<u64>,
    source: Source,
    /// Where pieces of it are kept, if they are.
    kept: Option<(PartId, Hold, Arc<Pages>)>,
    requests: Requests,
}

enum Source {
    File(File),
    /// A remote store, or memory, whose futures run on this runtime.
    Object(Handle),
}

impl Parts {
    /// Footers take at most `footer_cache_bytes`, other pieces of parts at most
    /// `page_cache_bytes`. Call it within the runtime that remote reads shall run on.
    pub fn new(bucket: Bucket, footer_cache_bytes: u64, page_cache_bytes: u64) -> Parts {
        let footers = Cache::new("part-footer", footer_cache_bytes);
        let pages = (page_cache_bytes > 0).then(|| Arc::new(Pages::new(page_cache_bytes, None)));
        Parts { bucket, runtime: Handle::current(), footers, pages, page_cache_bytes }
    }

    /// [`Parts::new`], and what is read of an object store is kept in `disk` too.
    pub fn with_disk_cache(self, disk: DiskCache) -> Parts {
        let pages = Pages::new(self.page_cache_bytes, Some(disk));
        Parts { pages: Some(Arc::new(pages)), ..self }
    }

    /// Opens a part: one read, none if its footer is held. Blocking.
    ///
    /// # Errors
    /// [`Error::NotFound`]: it was merged or expired; read the catalog and repeat the split whole.
    pub fn open(&self, record: &PartRecord) -> Result<Scan, Error> {
        self.open_counting(record, &Requests::default())
    }

    /// [`Parts::open`], and `requests` counts what is read of the part.
    pub fn open_counting(&self, record: &PartRecord, requests: &Requests) -> Result<Scan, Error> {
        let mut reader = self.reader(record)?;
        reader.requests = requests.clone();
        let keep = |hold| match reader.is_near() {
            true => None,
            false => self.pages.clone().map(|pages| (record.id, hold, pages)),
        };
        // The footer is held decoded.
        let (of_footer, of_pieces) = (keep(Hold::Nothing), keep(Hold::Pieces));
        reader.kept = of_footer;
        let footer = match self.footers.get(&record.id) {
            Some(footer) => footer,
            None => {
                let footer = Arc::new(reader.read_footer(record)?);
                self.footers.insert(record.id, Arc::clone(&footer), footer.memory_bytes() as u64);
                footer
            }
        };
        reader.kept = of_pieces;
        let (store, path) = (self.bucket.name().to_owned(), reader.path.clone());
        let scan = Scan::new(footer, Arc::new(reader));
        // Parts arrived when their ids were drawn, near enough for the order of equal instants.
        Ok(scan.with_name(&store, &path).with_order(record.id.0.timestamp_ms()))
    }

    /// Waits until all that was read is on the disk, or cannot be.
    #[cfg(test)]
    pub(crate) fn settle(&self) {
        self.pages.iter().for_each(|pages| pages.settle());
    }

    /// Whether parts are files of this machine.
    pub fn is_near(&self) -> bool {
        self.bucket.is_local()
    }

    /// A reader of the part's bytes, without opening its footer. Blocking.
    pub fn reader(&self, record: &PartRecord) -> Result<PartReader, Error> {
        PartReader::open(&self.bucket, &self.runtime, record)
    }
}

impl PartReader {
    /// Opens the part's file, if the bucket is a directory. Blocking.
    pub fn open(
        bucket: &Bucket,
        runtime: &Handle,
        record: &PartRecord,
    ) -> Result<PartReader, Error> {
        let path = record.path();
        let source = match bucket.local_path(&path)? {
            Some(file) => Source::File(File::open(file).map_err(|source| {
                if source.kind() == std::io::ErrorKind::NotFound {
                    return bucket.not_found(&path);
                }
                file_error(bucket, &path, source)
            })?),
            None => Source::Object(runtime.clone()),
        };
        let section = record.offset()..record.offset() + record.len_bytes;
        let requests = Requests::default();
        Ok(PartReader { bucket: bucket.clone(), path, section, source, kept: None, requests })
    }

    /// The object that holds the part.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads and checks the footer. Blocking.
    pub fn read_footer(&self, record: &PartRecord) -> Result<Footer, Error> {
        let len = record.len_bytes;
        let tail = len - u64::from(record.footer_bytes)..len;
        let read = self.read_ranges(std::slice::from_ref(&tail))?;
        let opened = Footer::open(&read[0], len).map_err(|source| {
            let (store, path) = (self.bucket.name().to_owned(), self.path.clone());
            Error::NamedPart { store, path, source }
        });
        let opened = opened.and_then(|footer| match is_of(&footer, record) {
            true => Ok(footer),
            false => Err(self.bucket.damaged(&self.path, format!("it is not part {}", record.id))),
        });
        opened.inspect_err(|error| {
            metrics::counter!(CORRUPT, "object" => "part").increment(1);
            tracing::error!(%error, part = %record.id, "a part cannot be opened");
        })
    }

    /// As many requests at once as `ranges`, which ascend, take.
    async fn get_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let mut reads = Vec::new();
        let (mut rest, mut requests) = (ranges, 0);
        let mut ends_call = |pair: &[Range<u64>]| {
            requests += usize::from(!is_close(pair[0].end, &pair[1]));
            let is_full = requests == REQUESTS_EACH;
            requests *= usize::from(!is_full);
            is_full
        };
        while let Some(last) = rest.windows(2).position(&mut ends_call) {
            let (now, later) = rest.split_at(last + 1);
            reads.push(self.bucket.get_ranges(&self.path, now));
            rest = later;
        }
        reads.push(self.bucket.get_ranges(&self.path, rest));
        Ok(try_join_all(reads).await?.concat())
    }

    fn read_file(&self, file: &File, range: &Range<u64>) -> Result<Bytes, Error> {
        let len = (range.end - range.start) as usize;
        // Not zeroed: what is read would be written twice.
        let mut buffer = Vec::with_capacity(len);
        while buffer.len() < len {
            let at = range.start + buffer.len() as u64;
            match pread(file, spare_capacity(&mut buffer), at) {
                Ok(0) => {
                    let problem = format!("it ends before {}", range.end);
                    return Err(self.bucket.damaged(&self.path, problem));
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(source) => return Err(file_error(&self.bucket, &self.path, source.into())),
            }
        }
        buffer.truncate(len);
        Ok(buffer.into())
    }
}

impl RangeRead for PartReader {
    type Error = Error;

    fn is_near(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let (len, start) = (self.section.end - self.section.start, self.section.start);
        if let Some(range) = ranges.iter().find(|r| r.start > r.end || r.end > len) {
            let problem = format!("{range:?} is outside the part of {len} bytes");
            return Err(self.bucket.damaged(&self.path, problem));
        }
        let in_object = |range: &Range<u64>| start + range.start..start + range.end;
        match &self.source {
            Source::File(file) => {
                part::read_joined(ranges, |range| self.read_file(file, &in_object(&range)))
            }
            Source::Object(runtime) => {
                let fetch = |ranges: &[Range<u64>]| {
                    let ranges: Vec<Range<u64>> = ranges.iter().map(in_object).collect();
                    self.requests.add(&ranges);
                    base::task::block_on(runtime, self.get_ranges(&ranges))
                };
                match &self.kept {
                    Some((part, hold, pages)) => pages.read(*part, ranges, *hold, fetch),
                    None => fetch(ranges),
                }
            }
        }
    }
}

/// Whether the catalog and the part agree: nobody reads another tenant's rows because of a mix-up.
fn is_of(footer: &Footer, record: &PartRecord) -> bool {
    let range = (record.min_ts.0, record.max_ts.0);
    footer.tenant() == &record.tenant
        && footer.day() == record.day
        && footer.rows() == record.rows
        && footer.time_range() == range
}

fn file_error(bucket: &Bucket, path: &str, source: std::io::Error) -> Error {
    Error::File { store: bucket.name().to_owned(), path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
