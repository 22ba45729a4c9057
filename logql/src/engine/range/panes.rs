//! Cells of one series by pane: a short sorted list at first, a dense vector when it pays.

use super::Cell;
use crate::engine::windows::Windows;

/// Cells by pane. Absent = empty.
#[derive(Clone, Debug)]
pub(crate) enum Panes<C> {
    /// Sorted by pane.
    Sparse(Vec<(u32, C)>),
    /// One per pane.
    Dense(Vec<C>),
}

impl<C> Default for Panes<C> {
    fn default() -> Panes<C> {
        Panes::Sparse(Vec::new())
    }
}

/// A list this long is never made dense before it is a quarter of the panes.
const SPARSE_MAX: usize = 8;

impl<C: Cell> Panes<C> {
    /// The cell of `pane` of `panes`.
    #[inline]
    pub(crate) fn cell(&mut self, pane: usize, panes: usize) -> &mut C {
        if let Panes::Sparse(list) = self
            && list.len() > SPARSE_MAX.max(panes / 4)
        {
            let mut dense = vec![C::default(); panes];
            for (pane, cell) in std::mem::take(list) {
                dense[pane as usize] = cell;
            }
            *self = Panes::Dense(dense);
        }
        match self {
            Panes::Dense(cells) => &mut cells[pane],
            Panes::Sparse(list) => {
                let pane = pane as u32;
                let at = match list.last() {
                    Some(last) if last.0 == pane => list.len() - 1,
                    Some(last) if last.0 > pane => {
                        let at = list.partition_point(|cell| cell.0 < pane);
                        if list[at].0 != pane {
                            list.insert(at, (pane, C::default()));
                        }
                        at
                    }
                    _ => {
                        list.push((pane, C::default()));
                        list.len() - 1
                    }
                };
                &mut list[at].1
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Panes<C>, panes: usize) {
        match other {
            Panes::Sparse(list) => {
                for (pane, cell) in list {
                    self.cell(*pane as usize, panes).merge(cell);
                }
            }
            Panes::Dense(cells) => {
                for (pane, cell) in cells.iter().enumerate() {
                    self.cell(pane, panes).merge(cell);
                }
            }
        }
    }

    /// The cells that hold something, by pane.
    pub(crate) fn present(&self) -> impl Iterator<Item = (u32, &C)> {
        let (list, dense) = match self {
            Panes::Sparse(list) => (list.as_slice(), [].as_slice()),
            Panes::Dense(cells) => ([].as_slice(), cells.as_slice()),
        };
        let list = list.iter().map(|(pane, cell)| (*pane, cell));
        list.chain((0..).zip(dense)).filter(|(_, cell)| !cell.is_empty())
    }

    /// What `value` makes of each window's cells, merged: by merging towards both sides of a
    /// border that moves on when the window has left it, so that a cell is merged twice whatever
    /// the windows' length.
    pub(crate) fn sliding(
        &self,
        windows: &Windows,
        value: impl Fn(&C) -> Option<f64>,
    ) -> Vec<Option<f64>> {
        let cells: Vec<(u32, &C)> = self.present().collect();
        // `left[i]` merges cells `i..border`, `right` merges `border..end`.
        let (mut left, mut right): (Vec<C>, C) = (Vec::new(), C::default());
        let (mut begin, mut border, mut end) = (0, 0, 0);
        let mut out = Vec::with_capacity(windows.spans().len());
        for &(from, to) in windows.spans() {
            while let Some((_, cell)) = cells.get(end).filter(|cell| cell.0 < to) {
                right.merge(cell);
                end += 1;
            }
            while begin < end && cells[begin].0 < from {
                begin += 1;
            }
            if begin >= border {
                border = end;
                right = C::default();
                left.clear();
                let mut merged = C::default();
                for (_, cell) in cells[begin..border].iter().rev() {
                    merged.merge(cell);
                    left.push(merged.clone());
                }
            }
            let mut whole = right.clone();
            if begin < border {
                whole.merge(&left[border - begin - 1]);
            }
            out.push(value(&whole));
        }
        out
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let more =
            |cells: &mut dyn Iterator<Item = &C>| cells.map(Cell::memory_bytes).sum::<usize>();
        match self {
            Panes::Sparse(list) => {
                list.capacity() * size_of::<(u32, C)>() + more(&mut list.iter().map(|cell| &cell.1))
            }
            Panes::Dense(cells) => cells.capacity() * size_of::<C>() + more(&mut cells.iter()),
        }
    }
}

/// A cell out of which earlier cells can be taken again.
pub(crate) trait Invertible: Cell + Copy {
    /// What is left when `earlier`, the sum of the panes before a window, is taken away.
    fn less(&self, earlier: &Self) -> Self;
}

impl<C: Invertible> Panes<C> {
    /// What `value` makes of each window's cells, merged: by running sums.
    pub(crate) fn running<T>(&self, windows: &Windows, value: impl Fn(&C) -> T) -> Vec<T> {
        let mut sums = Vec::with_capacity(windows.panes() + 1);
        let mut sum = C::default();
        sums.push(sum);
        let mut next = 0;
        for pane in 0..windows.panes() {
            match self {
                Panes::Dense(cells) => sum.merge(&cells[pane]),
                Panes::Sparse(list) => {
                    if let Some((_, cell)) = list.get(next).filter(|cell| cell.0 as usize == pane) {
                        sum.merge(cell);
                        next += 1;
                    }
                }
            }
            sums.push(sum);
        }
        let value = |&(from, to): &(u32, u32)| value(&sums[to as usize].less(&sums[from as usize]));
        windows.spans().iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::count::Count;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cells_keep_what_a_plain_vector_keeps(
            adds in prop::collection::vec((0usize..60, 1u64..5), 0..80),
            cut in 0usize..80,
        ) {
            let mut plain = vec![0u64; 60];
            let (mut first, mut second) = (Panes::<Count>::default(), Panes::<Count>::default());
            for (index, &(pane, count)) in adds.iter().enumerate() {
                plain[pane] += count;
                let target = if index < cut { &mut first } else { &mut second };
                target.cell(pane, 60).0 += count;
            }
            first.merge(&second, 60);
            for (pane, &count) in plain.iter().enumerate() {
                prop_assert_eq!(*first.cell(pane, 60), Count(count));
            }
        }

        #[test]
        fn sliding_windows_merge_what_running_sums_give(
            adds in prop::collection::vec((0usize..60, 1u64..5), 0..80),
            step in 1i64..20, range in 0i64..40,
        ) {
            let params = crate::engine::tests::params(0, 50, step);
            let windows = Windows::new(&params, range, 0);
            let mut cells = Panes::<Count>::default();
            for (pane, count) in adds {
                if pane < windows.panes() {
                    cells.cell(pane, windows.panes()).0 += count;
                }
            }
            let value = |cell: &Count| (cell.0 > 0).then_some(cell.0 as f64);
            prop_assert_eq!(cells.sliding(&windows, value), cells.running(&windows, value));
        }
    }
}
