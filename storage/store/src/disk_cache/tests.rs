//! The cache over a disk that is simulated, fails, is slow, or is the system's.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use base::disk::sim::{Fault, SimDisk};
use base::disk::{DiskFile, DiskLock, OsDisk, Space};
use base::random::{Random, SeededRandom};
use base::time::ManualClock;
use catalog::PartId;
use ulid::Ulid;

use super::record::record_bytes;
use super::*;

const DIR: &str = "cache";
/// 16 segments of 64 KiB.
const LIMIT: u64 = 1 << 20;

fn open(disk: Arc<dyn Disk>, dir: &Path, clock: &ManualClock) -> DiskCache {
    let config = DiskCacheConfig { dir: dir.to_owned(), limit_bytes: LIMIT };
    DiskCache::open(config, disk, Arc::new(clock.clone())).unwrap()
}

fn sim(disk: &SimDisk) -> DiskCache {
    open(Arc::new(disk.clone()), Path::new(DIR), &ManualClock::default())
}

/// Piece `number`, of `len` bytes that no other piece has.
fn piece(number: u64, len: usize) -> (Key, Bytes) {
    let word = SeededRandom::new(number).next_u64().to_le_bytes();
    let bytes: Vec<u8> = word.into_iter().cycle().take(len).collect();
    let start = number * 1000;
    ((PartId(Ulid(u128::from(number))), start, start + len as u64), bytes.into())
}

/// Offers a piece and waits until it is written.
fn keep(cache: &DiskCache, number: u64, len: usize) {
    cache.offer(vec![piece(number, len)]);
    cache.settle();
}

/// Whether the piece is there; if so, it must be the right one.
fn is_kept(cache: &DiskCache, number: u64, len: usize) -> bool {
    let (key, bytes) = piece(number, len);
    let read = cache.read(&key);
    assert!(read.as_ref().is_none_or(|read| *read == bytes), "piece {number} is another one");
    read.is_some()
}

fn files(dir: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let name = |entry: &std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut files: Vec<(String, u64)> =
        entries.map(|entry| (name(&entry), entry.metadata().unwrap().len())).collect();
    files.sort();
    files
}

#[test]
fn pieces_are_there_after_a_restart_and_other_files_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1.pieces"), "of somebody else").unwrap();
    let clock = ManualClock::default();
    for start in 0..3 {
        let cache = open(Arc::new(OsDisk), dir.path(), &clock);
        cache.settle();
        let kept = (0..60).filter(|&number| is_kept(&cache, number, 3000)).count();
        assert_eq!(kept, start * 20);
        let begin = start as u64 * 20;
        cache.offer((begin..begin + 20).map(|number| piece(number, 3000)).collect());
        cache.settle();
        assert!((begin..begin + 20).all(|number| is_kept(&cache, number, 3000)));
    }
    let foreign = std::fs::read(dir.path().join("1.pieces")).unwrap();
    assert_eq!(foreign, b"of somebody else");
}

#[test]
fn the_files_never_exceed_the_limit_and_what_is_used_stays() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::default();
    let cache = open(Arc::new(OsDisk), dir.path(), &clock);
    let random = SeededRandom::new(1);
    let lens: Vec<usize> = (0..400).map(|_| 1000 + random.next_u64() as usize % 20_000).collect();
    for (number, &len) in lens.iter().enumerate() {
        keep(&cache, number as u64, len);
        let bytes: u64 = files(dir.path()).iter().map(|file| file.1).sum();
        assert!(bytes <= LIMIT, "{bytes} after piece {number}");
        assert!(is_kept(&cache, 0, lens[0]), "used, but gone after piece {number}");
    }
    let kept = |cache: &DiskCache| {
        let is_kept = |number: &u64| is_kept(cache, *number, lens[*number as usize]);
        (0..400).filter(is_kept).collect::<Vec<u64>>()
    };
    let before = kept(&cache);
    assert!(before.len() > 40 && before.ends_with(&[397, 398, 399]), "{before:?}");
    drop(cache);

    let cache = open(Arc::new(OsDisk), dir.path(), &clock);
    cache.settle();
    assert_eq!(kept(&cache), before, "a restart loses nothing");
    drop(cache);

    // More with a higher limit, and with the lower one again the oldest go.
    let limited = |limit_bytes| {
        let config = DiskCacheConfig { dir: dir.path().to_owned(), limit_bytes };
        DiskCache::open(config, Arc::new(OsDisk), Arc::new(clock.clone()))
    };
    let cache = limited(2 * LIMIT).unwrap();
    (1000..1200).for_each(|number| keep(&cache, number, 15_000));
    drop(cache);
    let total = || files(dir.path()).iter().map(|file| file.1).sum::<u64>();
    assert!(total() > LIMIT && total() <= 2 * LIMIT, "{}", total());
    let cache = limited(LIMIT).unwrap();
    cache.settle();
    assert!(total() <= LIMIT && is_kept(&cache, 1199, 15_000), "{}", total());
    assert!(limited(LIMIT - 1).is_err());
}

#[test]
fn small_pieces_take_a_bounded_index() {
    let disk = SimDisk::new();
    let cache = sim(&disk);
    for number in 0..1000 {
        keep(&cache, number, 10);
        let entries = cache.shared.index().entries() as u64;
        assert!(entries <= LIMIT / (16 << 10), "{entries}");
    }
    assert!(is_kept(&cache, 999, 10) && !is_kept(&cache, 0, 10));
}

#[test]
fn a_piece_that_does_not_fit_is_not_kept_and_one_that_is_there_is_not_written_again() {
    let disk = SimDisk::new();
    let cache = sim(&disk);
    keep(&cache, 1, 40 << 10);
    assert!(!is_kept(&cache, 1, 40 << 10));
    keep(&cache, 2, 500);
    let written = disk.operations();
    keep(&cache, 2, 500);
    assert_eq!(disk.operations(), written);
    assert!(is_kept(&cache, 2, 500));
}

#[test]
fn damaged_records_are_misses_and_a_torn_one_ends_its_segment() {
    let record = record_bytes(&piece(0, 500).0) as usize;
    // A flipped bit in the bytes, and one in the header.
    for (offset, after_restart) in [(record + 300, 4), (record + 9, 2)] {
        let disk = SimDisk::new();
        let cache = sim(&disk);
        cache.offer((0..4).map(|number| piece(number, 500)).collect());
        cache.settle();
        disk.flip(Path::new("cache/0000000000.pieces"), offset, 0x10);
        let kept = |cache: &DiskCache| (0..4).filter(|&number| is_kept(cache, number, 500)).count();
        assert_eq!(kept(&cache), 3);
        assert_eq!(cache.shared.index().entries(), 3, "it is not tried again");
        // It is read, and kept, anew.
        keep(&cache, 1, 500);
        assert_eq!(kept(&cache), 4);
        drop(cache);
        let cache = sim(&disk);
        cache.settle();
        assert_eq!(kept(&cache), after_restart);
    }
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::default();
    let cache = open(Arc::new(OsDisk), dir.path(), &clock);
    cache.offer((0..4).map(|number| piece(number, 500)).collect());
    cache.settle();
    drop(cache);
    let segment = dir.path().join("0000000000.pieces");
    let whole = std::fs::read(&segment).unwrap();
    for (len, kept) in [(record * 4 - 1, 3), (record * 2 + 20, 2), (record, 1), (7, 0)] {
        std::fs::write(&segment, &whole[..len]).unwrap();
        let cache = open(Arc::new(OsDisk), dir.path(), &clock);
        cache.settle();
        let found = (0..4).filter(|&number| is_kept(&cache, number, 500)).count();
        assert_eq!(found, kept, "cut to {len}");
    }
}

#[test]
fn a_power_cut_leaves_a_cache_that_works() {
    use base::disk::sim::Keep;
    for keep_what in [Keep::Synced, Keep::Written, Keep::PageCache] {
        let disk = SimDisk::new();
        let cache = sim(&disk);
        cache.offer((0..30).map(|number| piece(number, 5000)).collect());
        cache.settle();
        let disk = disk.crash(keep_what);
        let cache = sim(&disk);
        cache.settle();
        (0..30).for_each(|number| _ = is_kept(&cache, number, 5000));
        keep(&cache, 100, 5000);
        assert!(is_kept(&cache, 100, 5000));
    }
}

#[test]
fn a_disk_that_fails_at_any_write_costs_pieces_and_heals() {
    let writes = {
        let disk = SimDisk::new();
        let cache = sim(&disk);
        (0..100).for_each(|number| keep(&cache, number, 100));
        disk.operations()
    };
    assert!(writes > 100, "segments are made and removed too");
    for at in (0..writes).step_by(3) {
        for fault in [Fault::Eio, Fault::NoSpace] {
            let (disk, clock) = (SimDisk::new(), ManualClock::default());
            disk.fail_at(at, fault);
            let cache = open(Arc::new(disk.clone()), Path::new(DIR), &clock);
            let mut lost = 0;
            for number in 0..100 {
                keep(&cache, number, 100);
                let is_lost = !is_kept(&cache, number, 100);
                lost += u64::from(is_lost);
                // One failure, one pause.
                clock.advance(if is_lost { PAUSE_NS as i64 } else { 0 });
            }
            assert!(lost <= 2, "{lost} pieces for a failure at {at}");
            drop(cache);
            let cache = open(Arc::new(disk), Path::new(DIR), &clock);
            cache.settle();
            let kept = (0..100).filter(|&number| is_kept(&cache, number, 100)).count();
            assert!(kept > 40, "{kept} after a failure at {at}");
        }
    }
}

#[test]
fn nothing_is_written_while_the_disk_rests() {
    let (disk, clock) = (SimDisk::new(), ManualClock::default());
    let cache = open(Arc::new(disk.clone()), Path::new(DIR), &clock);
    keep(&cache, 1, 500);
    disk.fail_at(disk.operations(), Fault::NoSpace);
    keep(&cache, 2, 500);
    let operations = disk.operations();
    keep(&cache, 3, 500);
    assert_eq!(disk.operations(), operations);
    assert!(is_kept(&cache, 1, 500), "what is there is still read");
    clock.advance(PAUSE_NS as i64);
    keep(&cache, 3, 500);
    assert!(is_kept(&cache, 3, 500));
}

#[test]
fn a_nearly_full_disk_takes_nothing_and_old_segments_give_way() {
    let (disk, clock) = (SimDisk::new(), ManualClock::default());
    let cache = open(Arc::new(disk.clone()), Path::new(DIR), &clock);
    (0..20).for_each(|number| keep(&cache, number, 12_000));
    disk.set_free_bytes(Some(1 << 20));
    (20..24).for_each(|number| keep(&cache, number, 12_000));
    let names = disk.list(Path::new(DIR)).unwrap();
    assert!(!names.iter().any(|name| name.ends_with(".pieces")), "{names:?}");
    assert_eq!(cache.shared.index().entries(), 0);
    disk.heal();
    clock.advance(PAUSE_NS as i64);
    keep(&cache, 30, 12_000);
    assert!(is_kept(&cache, 30, 12_000));
}

#[test]
fn one_process_has_the_directory_and_the_next_one_gets_it() {
    let (disk, clock) = (SimDisk::new(), ManualClock::default());
    let first = open(Arc::new(disk.clone()), Path::new(DIR), &clock);
    keep(&first, 1, 500);
    let second = open(Arc::new(disk), Path::new(DIR), &clock);
    keep(&second, 2, 500);
    assert!(!is_kept(&second, 1, 500) && !is_kept(&second, 2, 500));
    drop(first);
    clock.advance(PAUSE_NS as i64);
    keep(&second, 2, 500);
    assert!(is_kept(&second, 1, 500) && is_kept(&second, 2, 500));
}

/// A disk whose reads fail, or whose appends wait, when a test says so.
#[derive(Clone, Default)]
struct Troubled {
    disk: SimDisk,
    reads_fail: Arc<AtomicBool>,
    appends: Arc<Mutex<()>>,
}

struct TroubledFile(Box<dyn DiskFile>, Troubled);

impl Disk for Troubled {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(TroubledFile(self.disk.create(path)?, self.clone())))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(TroubledFile(self.disk.open(path)?, self.clone())))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.disk.space(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }
}

impl DiskFile for TroubledFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let _free = self.1.appends.lock().unwrap();
        self.0.append(bytes)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.reads_fail.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.0.read_at(offset, buffer)
    }
    fn sync_data(&self) -> io::Result<()> {
        panic!("nothing is synced")
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

#[test]
fn reads_that_fail_are_misses_for_a_while() {
    let (disk, clock) = (Troubled::default(), ManualClock::default());
    let cache = open(Arc::new(disk.clone()), Path::new(DIR), &clock);
    keep(&cache, 1, 500);
    disk.reads_fail.store(true, Ordering::SeqCst);
    assert!(!is_kept(&cache, 1, 500));
    disk.reads_fail.store(false, Ordering::SeqCst);
    assert!(!is_kept(&cache, 1, 500), "not asked again so soon");
    clock.advance(PAUSE_NS as i64);
    assert!(is_kept(&cache, 1, 500));
}

#[test]
fn a_slow_disk_is_not_waited_for_and_takes_what_it_can() {
    let disk = Troubled::default();
    let cache = open(Arc::new(disk.clone()), Path::new(DIR), &ManualClock::default());
    let busy = disk.appends.lock().unwrap();
    let (len, most) = (8 << 10, QUEUE_BYTES / (8 << 10));
    let offered = most as u64 + 100;
    cache.offer((0..offered).map(|number| piece(number, len)).collect());
    {
        let queue = cache.shared.queue();
        assert!(queue.bytes <= QUEUE_BYTES && queue.pieces.len() >= most - 1);
    }
    drop(busy);
    cache.settle();
    let taken = (0..offered).rev().find(|&number| is_kept(&cache, number, len)).unwrap();
    // The writer may have had one piece in its hands.
    assert!((most as u64 - 1..=most as u64).contains(&taken), "{taken}");
}

#[test]
fn records_are_those_of_version_1() {
    let golden = include_bytes!("../../fuzz/corpus/fuzz_disk_cache/whole");
    let pieces: [(u128, u64, Vec<u8>); 3] = [
        (1 << 90 | 7, 4096, b"a piece of a part".to_vec()),
        (2, 0, Vec::new()),
        (3, 1 << 40, (0..100).collect()),
    ];
    let mut written = Vec::new();
    for (part, start, bytes) in pieces {
        let key = (PartId(Ulid(part)), start, start + bytes.len() as u64);
        record::encode(&key, &bytes, &mut written);
    }
    assert_eq!(written, golden);
}
