//! A selection of rows: one bit per row of a page.

/// Which rows of a page are still in. Operators clear bits, in words where they can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// `len` rows, none selected.
    pub fn none(len: usize) -> Bitmap {
        Bitmap { words: vec![0; len.div_ceil(64)], len }
    }

    /// `len` rows, all selected.
    pub fn all(len: usize) -> Bitmap {
        let mut map = Bitmap::none(len);
        map.set_range(0, len);
        map
    }

    /// Makes this `len` rows with none selected, keeping the allocation.
    pub fn reset_none(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
    }

    /// Makes this `len` rows with all selected, keeping the allocation.
    pub fn reset_all(&mut self, len: usize) {
        self.reset_none(len);
        self.set_range(0, len);
    }

    /// Number of rows (not of selected rows).
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether row `row` is selected.
    #[inline]
    pub fn get(&self, row: usize) -> bool {
        debug_assert!(row < self.len);
        self.words[row / 64] >> (row % 64) & 1 == 1
    }

    /// Selects row `row`.
    #[inline]
    pub fn set(&mut self, row: usize) {
        debug_assert!(row < self.len);
        self.words[row / 64] |= 1 << (row % 64);
    }

    /// Deselects row `row`.
    #[inline]
    pub fn clear(&mut self, row: usize) {
        debug_assert!(row < self.len);
        self.words[row / 64] &= !(1 << (row % 64));
    }

    /// Selects rows `from..to`.
    pub fn set_range(&mut self, from: usize, to: usize) {
        self.for_words(from, to, |word, mask| *word |= mask);
    }

    /// Deselects rows `from..to`.
    pub fn clear_range(&mut self, from: usize, to: usize) {
        self.for_words(from, to, |word, mask| *word &= !mask);
    }

    fn for_words(&mut self, from: usize, to: usize, apply: impl Fn(&mut u64, u64)) {
        assert!(from <= to && to <= self.len, "range {from}..{to} outside {} rows", self.len);
        let mut at = from;
        while at < to {
            let end = to.min((at / 64 + 1) * 64);
            let width = end - at;
            let mask = if width == 64 { u64::MAX } else { ((1u64 << width) - 1) << (at % 64) };
            apply(&mut self.words[at / 64], mask);
            at = end;
        }
    }

    /// Keeps only rows that are also in `other`.
    pub fn and(&mut self, other: &Bitmap) {
        assert_eq!(self.len, other.len);
        for (word, with) in self.words.iter_mut().zip(&other.words) {
            *word &= with;
        }
    }

    /// Drops the rows that are in `other`.
    pub fn and_not(&mut self, other: &Bitmap) {
        assert_eq!(self.len, other.len);
        for (word, with) in self.words.iter_mut().zip(&other.words) {
            *word &= !with;
        }
    }

    /// Adds the rows of `other`.
    pub fn or(&mut self, other: &Bitmap) {
        assert_eq!(self.len, other.len);
        for (word, with) in self.words.iter_mut().zip(&other.words) {
            *word |= with;
        }
    }

    /// Number of selected rows.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Number of selected rows in `from..to`.
    pub fn count_range(&self, from: usize, to: usize) -> usize {
        assert!(from <= to && to <= self.len);
        let mut count = 0;
        let mut at = from;
        while at < to {
            let end = to.min((at / 64 + 1) * 64);
            let width = end - at;
            let mask = if width == 64 { u64::MAX } else { ((1u64 << width) - 1) << (at % 64) };
            count += (self.words[at / 64] & mask).count_ones() as usize;
            at = end;
        }
        count
    }

    /// Whether no row is selected.
    pub fn is_none(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Whether every row is selected.
    pub fn is_all(&self) -> bool {
        self.count() == self.len
    }

    /// The first selected row at or after `from`.
    #[inline]
    pub fn next(&self, from: usize) -> Option<usize> {
        if from >= self.len {
            return None;
        }
        let mut index = from / 64;
        let mut word = self.words[index] & (u64::MAX << (from % 64));
        loop {
            if word != 0 {
                return Some(index * 64 + word.trailing_zeros() as usize);
            }
            index += 1;
            if index == self.words.len() {
                return None;
            }
            word = self.words[index];
        }
    }

    /// The selected rows in ascending order.
    pub fn iter(&self) -> Ones<'_> {
        Ones { words: &self.words, index: 0, word: self.words.first().copied().unwrap_or(0) }
    }

    /// The 64-row words; bits past `len` are zero.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

/// Iterator over selected rows.
#[derive(Clone, Debug)]
pub struct Ones<'a> {
    words: &'a [u64],
    index: usize,
    word: u64,
}

impl Iterator for Ones<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.word == 0 {
            self.index += 1;
            self.word = *self.words.get(self.index)?;
        }
        let bit = self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(self.index * 64 + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_and_iteration_agree_with_a_vec_of_bools(
            len in 1usize..300,
            ops in prop::collection::vec((0usize..300, 0usize..300, any::<bool>()), 0..12),
        ) {
            let mut map = Bitmap::none(len);
            let mut plain = vec![false; len];
            for (a, b, on) in ops {
                let (from, to) = (a.min(b).min(len), a.max(b).min(len));
                if on { map.set_range(from, to) } else { map.clear_range(from, to) }
                plain[from..to].fill(on);
                prop_assert_eq!(
                    map.count_range(from, to),
                    plain[from..to].iter().filter(|&&x| x).count()
                );
            }
            let ones: Vec<usize> = (0..len).filter(|&i| plain[i]).collect();
            prop_assert_eq!(map.count(), ones.len());
            prop_assert_eq!(&map.iter().collect::<Vec<_>>(), &ones);
            let mut walked = Vec::new();
            let mut at = 0;
            while let Some(row) = map.next(at) {
                walked.push(row);
                at = row + 1;
            }
            prop_assert_eq!(walked, ones);
        }
    }
}
