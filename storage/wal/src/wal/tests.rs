use std::sync::mpsc;

use base::ByteSize;
use base::disk::sim::{Fault, Keep};
use base::disk::{OsDisk, SimDisk};
use base::random::SeededRandom;
use base::time::ManualClock;

use super::*;
use crate::segment;
use crate::testing::{batch, id, store};

fn env(disk: impl Disk) -> Env {
    Env {
        disk: Arc::new(disk),
        clock: Arc::new(ManualClock::default()),
        random: Arc::new(SeededRandom::new(1)),
    }
}

fn config(dir: &Path) -> Config {
    Config { dir: dir.to_owned(), segment_size: ByteSize(2_000), ..Config::default() }
}

/// Opens and returns what was recovered.
fn open(config: &Config, env: &Env) -> (Wal, Vec<Batch>, Replayed) {
    let mut batches = Vec::new();
    let keep = |recovered| {
        if let Recovered::Batch(batch, _) = recovered {
            batches.push(batch);
        }
        Verdict::Keep
    };
    let (wal, replayed) = Wal::open(config.clone(), env.clone(), keep).unwrap();
    (wal, batches, replayed)
}

fn append(wal: &Wal, batches: Vec<Batch>) -> Result<(), Error> {
    let (tell, told) = mpsc::sync_channel(1);
    wal.append(Arc::new(batches), Box::new(move |result| tell.send(result).unwrap()));
    told.recv().unwrap()
}

#[test]
fn appends_of_many_threads_share_syncs_and_all_come_back() {
    let disk = SimDisk::new();
    let (config, env) = (config(Path::new("wal")), env(disk.clone()));
    let (wal, recovered, _) = open(&config, &env);
    assert!(recovered.is_empty());
    let before = disk.syncs();
    let (tell, told) = mpsc::sync_channel(100);
    for sequence in 1..=100 {
        let tell = tell.clone();
        let batches = Arc::new(vec![batch(sequence, 3)]);
        wal.append(batches, Box::new(move |result| tell.send(result).unwrap()));
    }
    assert!((0..100).all(|_| told.recv().unwrap().is_ok()));
    assert!(disk.syncs() - before <= 100);
    wal.close();
    assert!(matches!(append(&wal, vec![batch(101, 1)]), Err(Error::Closed)));
    drop(wal);
    let (_, recovered, replayed) = open(&config, &env);
    assert_eq!(recovered.len(), 100);
    assert!(recovered.iter().all(|got| *got == batch(got.id.sequence, 3)));
    assert_eq!((replayed.batches, replayed.corruptions.len()), (100, 0));
}

#[test]
fn a_real_directory_keeps_its_store_id_and_is_used_by_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let (config, env) = (config(&dir.path().join("a/wal")), env(OsDisk));
    let (wal, ..) = open(&config, &env);
    let store = wal.store();
    append(&wal, vec![batch(1, 10), batch(2, 20)]).unwrap();
    let second = Wal::open(config.clone(), env.clone(), |_| Verdict::Keep);
    assert!(matches!(second, Err(Error::Locked { .. })));
    wal.close();
    drop(wal);
    let (wal, recovered, _) = open(&config, &env);
    assert_eq!(wal.store(), store);
    assert_eq!(recovered, [batch(1, 10), batch(2, 20)]);
}

#[test]
fn released_batches_free_their_segments_the_open_one_too() {
    let dir = tempfile::tempdir().unwrap();
    let (config, env) = (config(dir.path()), env(OsDisk));
    let (wal, ..) = open(&config, &env);
    for sequence in 1..=6 {
        append(&wal, vec![batch(sequence, 20)]).unwrap();
    }
    let segments = || {
        let names = OsDisk.list(dir.path()).unwrap();
        names.iter().filter(|name| segment::parse_name(name).is_some()).count()
    };
    assert!(segments() >= 3, "{} segments", segments());
    assert!(wal.oldest_batches(|_| true).contains(&id(1)));
    wal.release((2..=6).map(id).collect());
    assert_eq!(wal.oldest_batches(|_| true), [id(1)]);
    assert_eq!(segments(), 1);
    wal.release(vec![id(1)]);
    assert_eq!(wal.oldest_batches(|_| true), []);
    assert_eq!((segments(), wal.size_bytes()), (0, 0));
    append(&wal, vec![batch(7, 1)]).unwrap();
    assert_eq!(wal.oldest_batches(|_| true), [id(7)]);
    assert!(wal.size_bytes() > 0);
}

#[test]
fn a_segment_that_would_not_be_deleted_goes_at_the_next_release_even_of_nothing() {
    let disk = SimDisk::new();
    let config = config(Path::new("wal"));
    let (wal, ..) = open(&config, &env(disk.clone()));
    append(&wal, vec![batch(1, 1)]).unwrap();
    let segments = || disk.list(Path::new("wal")).unwrap();
    let is_there = || segments().iter().any(|name| segment::parse_name(name).is_some());
    disk.fail_at(disk.operations(), Fault::NoSpace);
    // A look at the batches waits for the releases before it.
    wal.release(vec![id(1)]);
    assert!(wal.oldest_batches(|_| true).is_empty() && is_there());
    wal.release(Vec::new());
    assert!(wal.oldest_batches(|_| true).is_empty() && !is_there());
}

#[test]
fn past_the_hard_limit_appends_are_refused_until_something_is_released() {
    let config = Config {
        soft_limit: ByteSize(1_500),
        hard_limit: ByteSize(3_000),
        ..config(Path::new("wal"))
    };
    let (wal, ..) = open(&config, &env(SimDisk::new()));
    let mut sequence = 0;
    let refused = loop {
        sequence += 1;
        if let Err(error) = append(&wal, vec![batch(sequence, 4)]) {
            break error;
        }
    };
    assert!(wal.over_soft_limit());
    assert!(refused.to_string().contains("wal hard limit"), "{refused}");
    wal.release((1..sequence).map(id).collect());
    append(&wal, vec![batch(sequence, 4)]).unwrap();
}

#[test]
fn a_flipped_byte_is_named_and_everything_else_comes_back() {
    let disk = SimDisk::new();
    let config = Config { segment_size: ByteSize(1 << 20), ..config(Path::new("wal")) };
    let (wal, ..) = open(&config, &env(disk.clone()));
    for sequence in 1..=5 {
        append(&wal, vec![batch(sequence, 5)]).unwrap();
    }
    wal.close();
    drop(wal);
    let path = config.dir.join(segment::name(1));
    let size = disk.open(&path).unwrap().len().unwrap() as usize;
    let mut lost_one = 0;
    for offset in (0..size).step_by(7) {
        let damaged = disk.crash(Keep::PageCache);
        damaged.flip(&path, offset, 0x10);
        let (_, recovered, replayed) = open(&config, &env(damaged));
        assert!(recovered.iter().all(|got| *got == batch(got.id.sequence, 5)));
        if recovered.len() == 4 && !recovered.iter().any(|got| got.id == id(5)) {
            // The last record of the last segment cannot be told from a torn write.
            continue;
        }
        let [corruption] = &replayed.corruptions[..] else {
            panic!("offset {offset}: {:?}", replayed.corruptions);
        };
        assert_eq!(corruption.path, path);
        assert!(corruption.offset <= offset as u64);
        let header = offset < segment::HEADER_BYTES;
        assert_eq!(recovered.len(), if header { 5 } else { 4 }, "offset {offset}");
        lost_one += usize::from(!header);
    }
    assert!(lost_one > 50);
}

#[test]
fn damage_in_the_last_record_of_a_closed_segment_is_no_torn_write() {
    let disk = SimDisk::new();
    let config = Config { segment_size: ByteSize(100), ..config(Path::new("wal")) };
    let (wal, ..) = open(&config, &env(disk.clone()));
    append(&wal, vec![batch(1, 5)]).unwrap();
    append(&wal, vec![batch(2, 5)]).unwrap();
    wal.close();
    drop(wal);
    disk.flip(&config.dir.join(segment::name(1)), 150, 1);
    let (_, recovered, replayed) = open(&config, &env(disk.crash(Keep::PageCache)));
    assert_eq!(recovered, [batch(2, 5)]);
    assert_eq!(replayed.corruptions.len(), 1);
}

#[test]
fn what_a_failed_fsync_left_behind_is_refused_and_not_replayed_once_a_new_segment_follows() {
    let disk = SimDisk::new();
    let config = Config { segment_size: ByteSize(1 << 20), ..config(Path::new("wal")) };
    let (wal, ..) = open(&config, &env(disk.clone()));
    append(&wal, vec![batch(1, 5)]).unwrap();
    disk.fail_at(disk.operations() + 1, Fault::Eio);
    let error = append(&wal, vec![batch(2, 5)]).unwrap_err();
    assert!(error.to_string().starts_with("fdatasync wal/0000000000000001.wal"), "{error}");
    append(&wal, vec![batch(3, 5)]).unwrap();
    wal.close();
    drop(wal);
    let (_, recovered, replayed) = open(&config, &env(disk.crash(Keep::PageCache)));
    assert_eq!(recovered, [batch(1, 5), batch(3, 5)]);
    assert!(replayed.corruptions.is_empty());
}

#[test]
fn segments_of_another_store_are_not_taken_in() {
    let disk = SimDisk::new();
    let config = config(Path::new("wal"));
    let (wal, ..) = open(&config, &env(disk.clone()));
    append(&wal, vec![batch(1, 1)]).unwrap();
    wal.close();
    drop(wal);
    let mut bytes = Vec::new();
    let begun = base::UnixNanos(0);
    segment::Header { store: store(9), sequence: 7, previous: 0, previous_end: 0, begun }
        .encode(&mut bytes);
    let mut foreign = disk.create(&config.dir.join(segment::name(7))).unwrap();
    foreign.append(&bytes).unwrap();
    let opened = Wal::open(config, env(disk), |_| Verdict::Keep);
    assert!(matches!(opened, Err(Error::ForeignSegment { .. })));
}

#[test]
fn unreleased_batches_can_be_read_back_by_id() {
    let (config, env) = (config(Path::new("wal")), env(SimDisk::new()));
    let (wal, ..) = open(&config, &env);
    for sequence in 1..=30 {
        append(&wal, vec![batch(sequence, 9)]).unwrap();
    }
    let mut read = Vec::new();
    wal.read(&[id(25), id(3), id(99)], |batch| read.push(batch)).unwrap();
    assert_eq!(read, [batch(3, 9), batch(25, 9)]);
    assert_eq!(crate::store_id(&config, &env).unwrap(), wal.store());
}

#[test]
fn whoever_looks_into_a_directory_first_can_keep_others_out_and_is_kept_out() {
    let (config, env) = (config(Path::new("wal")), env(SimDisk::new()));
    let guard = crate::lock(&config, &env).unwrap();
    assert!(matches!(crate::lock(&config, &env), Err(Error::Locked { .. })));
    let opened = Wal::open(config.clone(), env.clone(), |_| Verdict::Keep);
    assert!(matches!(opened, Err(Error::Locked { .. })));
    drop(guard);
    let (wal, ..) = open(&config, &env);
    assert!(matches!(crate::lock(&config, &env), Err(Error::Locked { .. })));
    drop(wal);
    crate::lock(&config, &env).unwrap();
}

/// Counts the bytes that are read.
#[derive(Clone)]
struct Counted {
    disk: SimDisk,
    read: Arc<std::sync::atomic::AtomicUsize>,
}

struct CountedFile {
    file: Box<dyn base::disk::DiskFile>,
    read: Arc<std::sync::atomic::AtomicUsize>,
}

impl Disk for Counted {
    fn create_dir_all(&self, dir: &Path) -> std::io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn base::disk::DiskFile>> {
        self.disk.create(path)
    }
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn base::disk::DiskFile>> {
        Ok(Box::new(CountedFile { file: self.disk.open(path)?, read: self.read.clone() }))
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn space(&self, dir: &Path) -> std::io::Result<base::disk::Space> {
        self.disk.space(dir)
    }
    fn lock(&self, path: &Path) -> std::io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }
}

impl base::disk::DiskFile for CountedFile {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.append(bytes)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(offset, buffer)?;
        self.read.fetch_add(read, std::sync::atomic::Ordering::SeqCst);
        Ok(read)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
}

#[test]
fn reading_batches_back_reads_their_records_and_nothing_else() {
    let disk = Counted { disk: SimDisk::new(), read: Arc::default() };
    let read = disk.read.clone();
    let config = Config { segment_size: ByteSize(1 << 20), ..config(Path::new("wal")) };
    let env = env(disk);
    let (wal, ..) = open(&config, &env);
    for sequence in 1..=20 {
        append(&wal, vec![batch(2 * sequence, 30), batch(2 * sequence + 1, 5)]).unwrap();
    }
    let check = |wal: &Wal| {
        let before = read.load(std::sync::atomic::Ordering::SeqCst);
        let mut found = Vec::new();
        wal.read(&[id(9), id(30), id(99)], |batch| found.push(batch)).unwrap();
        assert_eq!(found, [batch(9, 5), batch(30, 30)]);
        let records = found.iter().map(|batch| append_bytes(std::slice::from_ref(batch)));
        let after = read.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!((after - before) as u64, records.sum::<u64>());
    };
    check(&wal);
    wal.close();
    drop(wal);
    let (wal, ..) = open(&config, &env);
    check(&wal);
}
