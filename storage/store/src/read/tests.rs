//! Real parts, alone and in bundles, on a directory and in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base::random::{Random, SeededRandom};
use base::time::ManualClock;
use base::{Day, ErrorKind, Labels, RowsBuilder, TenantId};
use catalog::{PartId, PartRecord, Place};

use crate::testing::{Fault, FaultyStore};
use crate::*;

fn tenant() -> TenantId {
    TenantId::new("team*a").unwrap()
}

/// A part of `rows` rows whose lines do not compress.
fn upload(random: &SeededRandom, rows: usize) -> Upload {
    let mut builder = RowsBuilder::with_capacity(rows, rows * 200);
    for row in 0..rows {
        let line: String = (0..10).map(|_| format!("{:016x}", random.next_u64())).collect();
        builder.push(0, row as i64, line.as_bytes());
    }
    let rows = builder.finish();
    let metadata = rows.metadata_views();
    let streams = [Labels::from_pairs([("app", "x")])];
    let source = part::Source { streams: &streams, pages: vec![rows.page(&metadata)] };
    let image = part::seal(&tenant(), Day(0), &[source], &part::Options::flushed());
    let id = PartId(random.ulid(&ManualClock::default()));
    Upload::of_flush(id, tenant(), Day(0), image.unwrap().unwrap())
}

async fn put(bucket: &Bucket, uploads: Vec<Upload>) -> Vec<PartRecord> {
    put_parts(bucket, &SeededRandom::new(5), &ManualClock::default(), uploads).await.unwrap()
}

fn directory(dir: &Path) -> Bucket {
    let config = BucketConfig::Filesystem { dir: dir.to_owned() };
    Bucket::open(&config, Arc::new(ManualClock::default())).unwrap()
}

fn memory() -> Bucket {
    Bucket::open(&BucketConfig::InMemory, Arc::new(ManualClock::default())).unwrap()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    base::task::blocking("test", work).await.unwrap()
}

#[tokio::test]
async fn small_parts_share_a_bundle_and_a_big_one_stands_alone() {
    let random = SeededRandom::new(1);
    let dir = tempfile::tempdir().unwrap();
    for bucket in [directory(dir.path()), memory()] {
        let uploads = vec![upload(&random, 10), upload(&random, 150_000), upload(&random, 33)];
        assert!(uploads[1].record.len_bytes >= BUNDLE_BELOW_BYTES);
        let bytes: Vec<_> = uploads.iter().map(|upload| upload.bytes.clone()).collect();
        let records = put(&bucket, uploads).await;
        assert_eq!(records[1].place, Place::Object);
        assert_eq!(records[0].path(), records[2].path());
        assert_ne!(records[0].path(), records[1].path());
        assert!(records[2].offset().is_multiple_of(16));
        let parts = Arc::new(Parts::new(bucket, 1 << 20, 1 << 20));
        for (record, bytes) in records.into_iter().zip(bytes) {
            let parts = parts.clone();
            blocking(move || {
                let scan = parts.open(&record).unwrap();
                assert_eq!(scan.footer().rows(), record.rows);
                let reader = parts.reader(&record).unwrap();
                let len = bytes.len() as u64;
                let ranges = [0..len, 3..3, 5..len / 2, len - 1..len];
                let read = part::RangeRead::read_ranges(&reader, &ranges).unwrap();
                for (range, read) in ranges.iter().zip(read) {
                    assert_eq!(read, bytes.slice(range.start as usize..range.end as usize));
                }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn one_small_part_is_an_object_of_its_own() {
    let random = SeededRandom::new(1);
    let records = put(&memory(), vec![upload(&random, 10)]).await;
    assert_eq!(records[0].place, Place::Object);
}

#[tokio::test]
async fn an_open_part_costs_no_request_for_its_footer() {
    let store = FaultyStore::new();
    let bucket = Bucket::new("b".into(), store.clone(), Arc::new(ManualClock::default()));
    let records = put(&bucket, vec![upload(&SeededRandom::new(1), 10)]).await;
    // A remote reader needs a runtime that is not busy: this one waits in `blocking`.
    let parts = Arc::new(Parts::new(bucket, 1 << 20, 1 << 20));
    let record = records[0].clone();
    blocking(move || {
        parts.open(&record).unwrap();
        store.script(BTreeMap::new(), BTreeMap::from([(0, Fault::LostAnswer)]));
        assert_eq!(parts.open(&record).unwrap().footer().rows(), 10);
        assert_eq!(store.counts(), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_range_outside_the_part_is_refused_even_if_the_bundle_goes_on() {
    let random = SeededRandom::new(1);
    let bucket = memory();
    let records = put(&bucket, vec![upload(&random, 10), upload(&random, 10)]).await;
    let parts = Parts::new(bucket, 0, 0);
    blocking(move || {
        let reader = parts.reader(&records[0]).unwrap();
        let len = records[0].len_bytes;
        let read = |range| part::RangeRead::read_ranges(&reader, &[range]);
        assert!(read(0..len).is_ok());
        assert_eq!(read(0..len + 1).unwrap_err().kind(), ErrorKind::Corrupt);
        #[allow(clippy::reversed_empty_ranges)]
        let backwards = 5..4;
        assert_eq!(read(backwards).unwrap_err().kind(), ErrorKind::Corrupt);
    })
    .await;
}

#[tokio::test]
async fn a_missing_truncated_or_exchanged_part_is_an_error_that_names_it() {
    let random = SeededRandom::new(1);
    let dir = tempfile::tempdir().unwrap();
    let bucket = directory(dir.path());
    let one = put(&bucket, vec![upload(&random, 10)]).await.remove(0);
    let other = put(&bucket, vec![upload(&random, 20)]).await.remove(0);
    let file = dir.path().join(one.path());
    let whole = std::fs::read(&file).unwrap();
    let parts = Arc::new(Parts::new(bucket, 0, 0));
    let open = |record: &PartRecord| {
        let (parts, record) = (parts.clone(), record.clone());
        blocking(move || parts.open(&record).map(|scan| scan.footer().rows()))
    };
    assert_eq!(open(&one).await.unwrap(), 10);

    let mut flipped = whole.clone();
    let at = flipped.len() - one.footer_bytes as usize / 2;
    flipped[at] ^= 1;
    std::fs::write(&file, flipped).unwrap();
    let damaged = open(&one).await.unwrap_err();
    std::fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let truncated = open(&one).await.unwrap_err();
    std::fs::copy(dir.path().join(other.path()), &file).unwrap();
    let exchanged = PartRecord {
        len_bytes: other.len_bytes,
        footer_bytes: other.footer_bytes,
        tail_bytes: other.tail_bytes,
        ..one.clone()
    };
    let exchanged = open(&exchanged).await.unwrap_err();
    std::fs::remove_file(&file).unwrap();
    let missing = open(&one).await.unwrap_err();
    for error in [&damaged, &truncated, &exchanged, &missing] {
        assert!(error.to_string().contains(&one.path()), "{error}");
    }
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    for error in [damaged, truncated, exchanged] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[tokio::test]
async fn a_lost_answer_of_an_upload_is_tried_again() {
    let store = FaultyStore::new();
    let bucket = Bucket::new("b".into(), store.clone(), Arc::new(ManualClock::default()));
    let faults = BTreeMap::from([(0, Fault::LostAnswer), (1, Fault::LostRequest)]);
    store.script(faults, BTreeMap::new());
    let record = put(&bucket, vec![upload(&SeededRandom::new(1), 10)]).await.remove(0);
    assert_eq!(bucket.get(&record.path(), 1 << 20).await.unwrap().len() as u64, record.len_bytes);
}

#[tokio::test]
async fn what_was_read_of_an_object_is_kept_and_nothing_else() {
    let (bucket, random) = (memory(), SeededRandom::new(1));
    let record = put(&bucket, vec![upload(&random, 60_000)]).await.remove(0);
    let path = record.path();
    for (page_cache_bytes, is_kept) in [(1 << 20, true), (0, false)] {
        let parts = Arc::new(Parts::new(bucket.clone(), 1 << 20, page_cache_bytes));
        let read = |ranges: Vec<std::ops::Range<u64>>| {
            let (parts, record) = (parts.clone(), record.clone());
            blocking(move || parts.open(&record).unwrap().read(&ranges))
        };
        let first = read(vec![0..100, 200..300]).await.unwrap();
        let bytes = bucket.get(&path, u64::MAX).await.unwrap();
        bucket.delete(&path).await.unwrap();
        let again = read(vec![200..300, 0..100]).await;
        match is_kept {
            true => assert_eq!(again.unwrap(), [first[1].clone(), first[0].clone()]),
            false => assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound),
        }
        let other = read(vec![0..100, 400..500]).await;
        assert_eq!(other.unwrap_err().kind(), ErrorKind::NotFound);
        bucket.put(&path, vec![bytes]).await.unwrap();
    }
}

#[tokio::test]
async fn requests_are_counted_where_they_are_made() {
    let (bucket, random) = (memory(), SeededRandom::new(1));
    let record = put(&bucket, vec![upload(&random, 60_000)]).await.remove(0);
    let parts = Arc::new(Parts::new(bucket, 1 << 20, 1 << 20));
    for expected in [2, 0] {
        let requests = Requests::default();
        let (parts, record, counted) = (parts.clone(), record.clone(), requests.clone());
        blocking(move || {
            parts.open_counting(&record, &counted)?.read(&[0..100, 200..300]).map(drop)
        })
        .await
        .unwrap();
        assert_eq!(requests.count(), expected, "the footer, and two pieces in one");
    }
    let requests = Requests::default();
    requests.add(&[5 << 20..6 << 20, 0..10, 3..3, 100..200]);
    assert_eq!(requests.count(), 2);
}

#[tokio::test]
async fn a_part_that_was_read_once_is_on_the_disk_when_the_store_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = FaultyStore::new();
    let bucket = Bucket::new("b".into(), store.clone(), Arc::new(ManualClock::default()));
    let random = SeededRandom::new(1);
    let record = put(&bucket, vec![upload(&random, 60_000)]).await.remove(0);
    let unread = put(&bucket, vec![upload(&random, 60_000)]).await.remove(0);
    let start = |page_cache_bytes| {
        let config = DiskCacheConfig { dir: dir.path().to_owned(), limit_bytes: 64 << 20 };
        let clock = Arc::new(ManualClock::default());
        let disk = DiskCache::open(config, Arc::new(base::disk::OsDisk), clock).unwrap();
        disk.settle();
        Arc::new(Parts::new(bucket.clone(), 1 << 20, page_cache_bytes).with_disk_cache(disk))
    };
    let read = |parts: &Arc<Parts>, record: &PartRecord| {
        let (parts, record) = (parts.clone(), record.clone());
        blocking(move || {
            let requests = Requests::default();
            let scan = parts.open_counting(&record, &requests)?;
            let pieces = scan.read(&[0..100, 1000..50_000])?;
            Ok::<_, Error>((scan.footer().rows(), pieces, requests.count()))
        })
    };
    let parts = start(1 << 20);
    let first = read(&parts, &record).await.unwrap();
    parts.settle();
    drop(parts);

    store.die_at(0, false);
    for page_cache_bytes in [1 << 20, 0] {
        let parts = start(page_cache_bytes);
        let (rows, pieces, requests) = read(&parts, &record).await.unwrap();
        assert_eq!((rows, &pieces, requests), (first.0, &first.1, 0));
        assert_eq!(store.requests(), 0, "not one request");
        assert!(read(&parts, &unread).await.is_err());
        store.die_at(0, false);
    }
    // A part that is gone is missing unless all that is wanted of it is kept.
    store.script(BTreeMap::new(), BTreeMap::new());
    bucket.delete(&record.path()).await.unwrap();
    bucket.delete(&unread.path()).await.unwrap();
    let parts = start(1 << 20);
    assert_eq!(read(&parts, &unread).await.unwrap_err().kind(), ErrorKind::NotFound);
    let more = {
        let (parts, record) = (parts.clone(), record.clone());
        blocking(move || parts.open(&record).unwrap().read(&[0..100, 5..7])).await
    };
    assert_eq!(more.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_read_of_many_places_makes_all_its_requests_at_once() {
    let store = FaultyStore::new();
    let bucket = Bucket::new("b".into(), store.clone(), Arc::new(ManualClock::default()));
    let mut record = put(&bucket, vec![upload(&SeededRandom::new(1), 10)]).await.remove(0);
    let object: Vec<u8> = (0..10u32 << 20).flat_map(u32::to_le_bytes).collect();
    record.len_bytes = object.len() as u64;
    bucket.put(&record.path(), vec![object.clone().into()]).await.unwrap();
    let parts = Arc::new(Parts::new(bucket, 0, 0));
    // Every third touches the one before it; all others are requests of their own.
    let place = |at: u64| (at - u64::from(at % 3 == 2)) * (3 << 19) + at % 3 * 10;
    for (count, requests, calls) in [(0, 0, 0), (1, 1, 1), (14, 10, 1), (15, 10, 1), (25, 17, 2)] {
        let ranges: Vec<_> = (0..count).map(|at| place(at)..place(at) + 10).collect();
        store.script(BTreeMap::new(), BTreeMap::new());
        let (parts, record, asked) = (parts.clone(), record.clone(), ranges.clone());
        let (read, counted) = blocking(move || {
            let reader = parts.reader(&record).unwrap();
            (part::RangeRead::read_ranges(&reader, &asked).unwrap(), reader.requests.count())
        })
        .await;
        assert_eq!(read.len(), ranges.len());
        for (range, read) in ranges.iter().zip(read) {
            assert_eq!(read, object[range.start as usize..range.end as usize]);
        }
        assert_eq!((counted, store.requests()), (requests, calls), "{count} ranges");
    }
}
