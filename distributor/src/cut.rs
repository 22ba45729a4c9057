//! From the admitted rows to what becomes batches: one per owner, tenant and day (B1).

use std::collections::BTreeMap;

use base::{Day, Labels, Rows, RowsBuilder, Run};

use crate::admit::Owners;

/// Rows of one owner and one day.
pub(crate) struct Cut {
    pub(crate) day: Day,
    pub(crate) streams: Vec<Labels>,
    pub(crate) rows: Rows,
}

/// Bytes of columns after which a share is full: with its framing an append stays well below the 100 MiB
/// that a message between processes may have.
const FULL_SHARE_BYTES: usize = 48 << 20;

/// What one owner gets in one call.
pub(crate) struct Share {
    /// The owner, by its place in the roster.
    pub(crate) owner: u16,
    /// Never empty.
    pub(crate) cuts: Vec<Cut>,
}

/// Cuts `parts`, whose runs name `streams`. `whole`: every stream has a row.
pub(crate) fn cut(
    owners: &Owners,
    streams: Vec<Labels>,
    parts: Vec<(Day, Rows)>,
    whole: bool,
) -> Vec<Share> {
    let parts: Vec<(Day, Rows)> = parts.into_iter().filter(|(_, rows)| !rows.is_empty()).collect();
    if parts.is_empty() {
        return Vec::new();
    }
    match owners {
        Owners::One(owner) => {
            let mut shares = Vec::with_capacity(1);
            fill(&mut shares, *owner, cut_days(streams, parts, whole), FULL_SHARE_BYTES);
            shares
        }
        Owners::Each(owners) => {
            let mut of_owners: BTreeMap<u16, Vec<Cut>> = BTreeMap::new();
            for (day, rows) in parts {
                for (owner, mut rows) in split(rows, owners) {
                    let streams = compact(&mut rows, &streams);
                    of_owners.entry(owner).or_default().push(Cut { day, streams, rows });
                }
            }
            let mut shares = Vec::with_capacity(of_owners.len());
            for (owner, cuts) in of_owners {
                fill(&mut shares, owner, cuts, FULL_SHARE_BYTES);
            }
            shares
        }
    }
}

/// Adds the shares of one owner: mostly one.
fn fill(shares: &mut Vec<Share>, owner: u16, cuts: Vec<Cut>, full_bytes: usize) {
    let bytes_of = |cut: &Cut| cut.rows.column_bytes();
    if cuts.iter().map(bytes_of).sum::<usize>() <= full_bytes {
        return shares.push(Share { owner, cuts });
    }
    let mut bytes = full_bytes;
    for cut in cuts {
        if bytes >= full_bytes {
            shares.push(Share { owner, cuts: Vec::new() });
            bytes = 0;
        }
        bytes += bytes_of(&cut);
        if let Some(share) = shares.last_mut() {
            share.cuts.push(cut);
        }
    }
}

fn cut_days(streams: Vec<Labels>, parts: Vec<(Day, Rows)>, whole: bool) -> Vec<Cut> {
    let one = parts.len() == 1 && whole;
    let mut cuts = Vec::with_capacity(parts.len());
    let mut all = Some(streams);
    for (day, mut rows) in parts {
        // The streams of the only part are those of the push.
        let streams = match all.take_if(|_| one) {
            Some(streams) => streams,
            None => compact(&mut rows, all.as_deref().unwrap_or_default()),
        };
        cuts.push(Cut { day, streams, rows });
    }
    cuts
}

/// The rows of each owner, in their order.
fn split(rows: Rows, owners: &[u16]) -> BTreeMap<u16, Rows> {
    let owner_of = |run: &Run| owners[run.stream as usize];
    let first = owner_of(&rows.runs[0]);
    if rows.runs.iter().all(|run| owner_of(run) == first) {
        return BTreeMap::from([(first, rows)]);
    }
    let views = rows.metadata_views();
    let page = rows.page(&views);
    let mut builders: BTreeMap<u16, RowsBuilder> = BTreeMap::new();
    let mut from = 0;
    for runs in rows.runs.chunk_by(|a, b| owner_of(a) == owner_of(b)) {
        let to = runs[runs.len() - 1].end as usize;
        let builder = builders.entry(owner_of(&runs[0])).or_default();
        builder.append(&page, from, to, |stream| stream);
        from = to;
    }
    builders.into_iter().map(|(owner, builder)| (owner, builder.finish())).collect()
}

/// The streams that `rows` has, of `all`; its runs are renumbered.
fn compact(rows: &mut Rows, all: &[Labels]) -> Vec<Labels> {
    let mut numbers = vec![u32::MAX; all.len()];
    let mut streams = Vec::new();
    for Run { stream, .. } in &mut rows.runs {
        let number = &mut numbers[*stream as usize];
        if *number == u32::MAX {
            *number = streams.len() as u32;
            streams.push(all[*stream as usize].clone());
        }
        *stream = *number;
    }
    streams
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(n: usize) -> Labels {
        Labels::from_pairs([("n", n.to_string())])
    }

    /// (labels, timestamp, line, metadata).
    type Row = (String, i64, Vec<u8>, Option<Vec<u8>>);

    fn rows_of(cut: &Cut) -> Vec<Row> {
        cut.rows.assert_consistent();
        let mut found = Vec::new();
        let mut row = 0;
        for run in &cut.rows.runs {
            for at in row..run.end as usize {
                let value = cut.rows.metadata.first().and_then(|c| c.get(at)).map(<[u8]>::to_vec);
                let labels = cut.streams[run.stream as usize].to_string();
                let line = cut.rows.lines.get(at).to_vec();
                found.push((labels, cut.rows.ts_ns[at], line, value));
            }
            row = run.end as usize;
        }
        found
    }

    #[test]
    fn every_row_goes_to_the_owner_of_its_stream_in_its_order() {
        let streams: Vec<Labels> = (0..7).map(labels).collect();
        let owners: Vec<u16> = vec![2, 0, 2, 1, 0, 0, 2];
        let mut parts = Vec::new();
        let mut expected: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for day in [0, 1] {
            let mut builder = RowsBuilder::default();
            for row in 0..40i64 {
                let stream = (row * row + row / 3) as usize % 7;
                let (ts_ns, line) =
                    (Day(day).start_ns() + row, format!("{day}/{row}").into_bytes());
                builder.push(stream as u32, ts_ns, &line);
                let value = (row % 3 == 0).then(|| format!("v{}", row % 5).into_bytes());
                if let Some(value) = &value {
                    builder.metadata("m", value);
                }
                let row = (labels(stream).to_string(), ts_ns, line, value);
                expected.entry(owners[stream]).or_default().push(row);
            }
            parts.push((Day(day), builder.finish()));
        }
        let shares = cut(&Owners::Each(owners), streams, parts, true);
        assert_eq!(shares.len(), 3);
        for share in shares {
            assert_eq!(share.cuts.iter().map(|cut| cut.day.0).collect::<Vec<_>>(), [0, 1]);
            let found: Vec<_> = share.cuts.iter().flat_map(rows_of).collect();
            assert_eq!(found, expected[&share.owner]);
        }
    }

    #[test]
    fn a_large_push_goes_in_several_calls_of_whole_batches() {
        let cuts: Vec<Cut> = (0..5)
            .map(|day| {
                let mut builder = RowsBuilder::default();
                builder.push(0, Day(day).start_ns(), &[b'x'; 84]);
                Cut { day: Day(day), streams: vec![labels(0)], rows: builder.finish() }
            })
            .collect();
        let mut shares = Vec::new();
        fill(&mut shares, 3, cuts, 150);
        let days: Vec<Vec<i32>> =
            shares.iter().map(|s| s.cuts.iter().map(|cut| cut.day.0).collect()).collect();
        assert_eq!(days, [vec![0, 1], vec![2, 3], vec![4]]);
        assert!(shares.iter().all(|share| share.owner == 3));
    }

    #[test]
    fn nothing_is_cut_from_parts_without_rows() {
        let parts = vec![(Day(0), Rows::default())];
        assert!(cut(&Owners::One(0), vec![labels(0)], parts, false).is_empty());
    }
}
