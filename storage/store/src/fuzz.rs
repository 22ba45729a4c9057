//! One plain function per decoder of stored bytes.

use crate::cluster::Cluster;

/// `cluster.json`: it must not panic, and what it accepts must survive writing and reading again.
pub fn fuzz_cluster(data: &[u8]) {
    if let Ok(cluster) = Cluster::parse(data) {
        assert_eq!(Cluster::parse(&cluster.encode()), Ok(cluster));
    }
}

/// A segment of the disk cache.
pub fn fuzz_disk_cache(data: &[u8]) {
    crate::disk_cache::fuzz(data);
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use base::random::{Random, SeededRandom};

    /// The committed inputs of a target, and four thousand that differ from one of them in a few
    /// places.
    fn replay(target: &str, fuzz: fn(&[u8])) -> Vec<Vec<u8>> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let inputs: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        inputs.iter().for_each(|input| fuzz(input));
        let random = SeededRandom::new(3);
        for _ in 0..4000 {
            let mut input = inputs[random.next_u64() as usize % inputs.len()].clone();
            for _ in 0..=random.next_u64() % 3 {
                let at = random.next_u64() as usize % input.len().max(1);
                match random.next_u64() % 3 {
                    0 => input.truncate(at),
                    1 => input.insert(at, random.next_u64() as u8),
                    _ => {
                        input.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (at % 8));
                    }
                }
            }
            fuzz(&input);
        }
        inputs
    }

    #[test]
    fn no_text_breaks_the_reader_of_the_cluster() {
        let inputs = replay("fuzz_cluster", super::fuzz_cluster);
        assert!(inputs.iter().any(|input| super::Cluster::parse(input).is_ok()));
    }

    #[test]
    fn no_bytes_break_the_reader_of_a_segment() {
        replay("fuzz_disk_cache", super::fuzz_disk_cache);
    }
}
