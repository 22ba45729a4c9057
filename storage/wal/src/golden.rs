//! The committed file of each format version: today's reader reads it, today's writer makes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::disk::{Disk, SimDisk};
use base::time::ManualClock;
use base::{Batch, StoreId};

use crate::index::Index;
use crate::log::{Append, Log, append_bytes};
use crate::reader::read_full;
use crate::segment;
use crate::testing::{batch, store};
use crate::{Config, Env, Recovered, Verdict, Wal};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1.wal")
}

fn batches() -> Vec<Batch> {
    let mut second = batch(2, 12);
    second.attempt = 3;
    second.members = vec![store(4), store(1)];
    vec![batch(1, 0), second]
}

fn config() -> Config {
    Config { dir: PathBuf::from("wal"), ..Config::default() }
}

fn written() -> Vec<u8> {
    let disk = SimDisk::new();
    let mut index = Index::default();
    index.set_segment(6, 1_234, 2_000);
    let (at, clock) = (Arc::new(disk.clone()), Arc::new(ManualClock::default()));
    let mut log = Log::new(config(), at, clock, store(1), (index, 7));
    let batches = Arc::new(batches());
    let bytes = append_bytes(&batches);
    log.commit(vec![Append { batches, bytes, done: Box::new(|result| result.unwrap()) }]);
    let file = disk.open(&config().dir.join(segment::name(7))).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    read_full(&*file, 0, &mut bytes).unwrap();
    bytes
}

#[test]
fn the_writer_makes_the_committed_segment() {
    assert!(written() == std::fs::read(golden()).unwrap(), "the format changed: a new version?");
}

#[test]
fn the_reader_reads_the_committed_segment() {
    let disk = SimDisk::new();
    let mut file = disk.create(&config().dir.join(segment::name(7))).unwrap();
    file.append(&std::fs::read(golden()).unwrap()).unwrap();
    let env = Env {
        disk: Arc::new(disk),
        clock: Arc::new(base::time::ManualClock::default()),
        random: Arc::new(base::random::SeededRandom::new(1)),
    };
    let mut read = Vec::new();
    let keep = |recovered| {
        if let Recovered::Batch(batch, _) = recovered {
            read.push(batch);
        }
        Verdict::Keep
    };
    let (wal, replayed) = Wal::open(config(), env, keep).unwrap();
    assert_eq!(wal.store(), StoreId(ulid::Ulid(1)), "a directory takes the id of its segments");
    assert_eq!(replayed.corruptions.len(), 0);
    assert_eq!(read, batches());
}

/// Writes the file; run by hand when a version is added.
#[test]
#[ignore = "writes files"]
fn write_golden() {
    std::fs::write(golden(), written()).unwrap();
}
