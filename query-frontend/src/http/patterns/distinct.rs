//! Which patterns are worth telling. Each is counted by itself, so a line may count for several: a
//! pattern whose lines others tell better is left out.

use std::collections::BTreeMap;

/// Pairs of patterns that are compared at most; above it all are told.
const MAX_PAIRS: usize = 4 << 20;

/// The patterns to tell and their lines. `sets` = lines by the patterns that they match, ascending.
///
/// Left out are those of fewer than `least` lines, all but the longest of those with the same lines,
/// and those of which fewer than `least` lines are not of a pattern with fewer lines of the same.
pub(super) fn telling(
    sets: &BTreeMap<Vec<u32>, u64>,
    texts: &[String],
    least: u64,
) -> Vec<(u32, u64)> {
    let mut lines = vec![0u64; texts.len()];
    for (set, count) in sets {
        set.iter().for_each(|&pattern| lines[pattern as usize] += count);
    }
    let of = |pattern: u32| lines[pattern as usize];
    let enough = (0..texts.len() as u32).filter(|&pattern| of(pattern) >= least);
    let enough: Vec<u32> = enough.collect();
    let pairs: usize = sets.keys().map(|set| set.len() * set.len()).sum();
    if pairs > MAX_PAIRS {
        return enough.into_iter().map(|pattern| (pattern, of(pattern))).collect();
    }
    let mut shared: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for (set, count) in sets {
        for (at, &a) in set.iter().enumerate() {
            for &b in &set[at + 1..] {
                *shared.entry((a, b)).or_default() += count;
            }
        }
    }
    let shared = |a: u32, b: u32| shared.get(&(a.min(b), a.max(b))).copied().unwrap_or(0);
    // Whether all lines of `b` are lines of `a`, and it is `b` that says more of them.
    let says_more = |b: u32, a: u32| {
        let length = |pattern: u32| (texts[pattern as usize].len(), std::cmp::Reverse(pattern));
        let is_part = of(b) >= least && shared(a, b) == of(b);
        is_part && (of(b) < of(a) || length(b) > length(a))
    };
    let mut alone = vec![0u64; texts.len()];
    for (set, count) in sets {
        for &a in set {
            if !set.iter().any(|&b| b != a && says_more(b, a)) {
                alone[a as usize] += count;
            }
        }
    }
    let kept = enough.into_iter().filter(|&pattern| alone[pattern as usize] >= least);
    kept.map(|pattern| (pattern, of(pattern))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sets: &[(&[u32], u64)], texts: &[&str]) -> Vec<(u32, u64)> {
        let sets = sets.iter().map(|(set, lines)| (set.to_vec(), *lines)).collect();
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        telling(&sets, &texts, 30)
    }

    #[test]
    fn of_patterns_with_the_same_lines_the_longest_is_told() {
        assert_eq!(told(&[(&[0, 1, 2], 40)], &["<_> b", "a <_> b", "a <_> <_>"]), [(2, 40)]);
        assert_eq!(told(&[(&[0, 1], 40)], &["a <_>", "<_> a"]), [(0, 40)]);
    }

    #[test]
    fn a_pattern_is_left_out_when_others_tell_its_lines() {
        let texts = ["done <_>", "job done <_>", "copy done <_>"];
        let both = [(&[0, 1][..], 50), (&[0, 2][..], 60)];
        assert_eq!(told(&both, &texts), [(1, 50), (2, 60)]);
        // Lines of its own are a reason.
        let own = [(&[0][..], 31), (&[0, 1][..], 50), (&[0, 2][..], 60)];
        assert_eq!(told(&own, &texts), [(0, 141), (1, 50), (2, 60)]);
        // What is too rare tells nothing.
        assert_eq!(told(&[(&[0, 1], 29), (&[0], 2)], &texts), [(0, 31)]);
        // A part of two counts for both.
        let crossed = [(&[0][..], 40), (&[1][..], 40), (&[0, 1][..], 1)];
        assert_eq!(told(&crossed, &texts), [(0, 41), (1, 41)]);
    }

    #[test]
    fn few_lines_are_not_told() {
        assert_eq!(told(&[(&[0], 29), (&[1], 30)], &["a", "b"]), [(1, 30)]);
        assert_eq!(told(&[], &["a"]), []);
    }
}
