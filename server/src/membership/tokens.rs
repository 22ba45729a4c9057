//! The file `tokens` of a log's directory: the seed of the store's places on the ring, drawn once.

use std::io;
use std::path::Path;

use base::disk::Disk;
use base::random::Random;

/// The file's name.
const NAME: &str = "tokens";
/// 16 hex digits of the seed, a space, 16 of its hash, a line feed.
const FILE_BYTES: usize = 34;

/// `count` tokens of the store in `dir`. The seed is durable when this returns; one that cannot be
/// read is drawn anew, which moves streams and loses nothing.
pub fn open(
    disk: &dyn Disk,
    dir: &Path,
    random: &dyn Random,
    count: usize,
) -> io::Result<Vec<u32>> {
    let path = dir.join(NAME);
    let is_there = disk.list(dir)?.iter().any(|name| name == NAME);
    if is_there {
        if let Some(seed) = read(disk, &path)? {
            return Ok(ring::tokens::generate(seed, count));
        }
        tracing::error!(file = %path.display(), "the tokens are damaged and are drawn anew");
        disk.remove(&path)?;
    }
    let seed = random.next_u64();
    let mut file = disk.create(&path)?;
    file.append(encode(seed).as_bytes())?;
    file.sync_data()?;
    disk.sync_dir(dir)?;
    Ok(ring::tokens::generate(seed, count))
}

fn encode(seed: u64) -> String {
    format!("{seed:016x} {:016x}\n", base::hash::hash64(&seed.to_le_bytes()))
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<u64>> {
    let file = disk.open(path)?;
    let mut bytes = [0; FILE_BYTES + 1];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(length as u64, &mut bytes[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(decode(&bytes[..length]))
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let seed = u64::from_str_radix(text.get(..16)?, 16).ok()?;
    (encode(seed).as_bytes() == bytes).then_some(seed)
}

#[cfg(test)]
mod tests {
    use base::disk::SimDisk;
    use base::disk::sim::Keep;
    use base::random::SeededRandom;

    use super::*;

    #[test]
    fn tokens_are_drawn_once_and_survive_a_power_cut() {
        let disk = SimDisk::new();
        let dir = Path::new("wal");
        disk.create_dir_all(dir).unwrap();
        let first = open(&disk, dir, &SeededRandom::new(1), 128).unwrap();
        assert_eq!(first.len(), 128);
        let disk = disk.crash(Keep::Synced);
        assert_eq!(open(&disk, dir, &SeededRandom::new(2), 128).unwrap(), first);
        // Fewer of the same.
        let fewer = open(&disk, dir, &SeededRandom::new(2), 64).unwrap();
        assert!(fewer.len() == 64 && fewer.iter().all(|token| first.contains(token)));
        disk.flip(&dir.join(NAME), 3, 1);
        let anew = open(&disk, dir, &SeededRandom::new(3), 128).unwrap();
        assert_ne!(anew, first);
        assert_eq!(open(&disk, dir, &SeededRandom::new(4), 128).unwrap(), anew);
        assert_eq!(encode(7).len(), FILE_BYTES);
    }
}
