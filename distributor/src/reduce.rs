//! Rows that the owners do not admit, or that begin a stream before the schema, leave the push.

use base::{Rows, RowsBuilder};
use rpc::ingester::Admission;

use crate::distributor::Accepted;
use crate::error::Error;
use crate::problems::Discards;
use crate::rejections::Offered;
use crate::tenants::Tenant;

/// Drops the rows that may not be stored; tells the error of the last stream that lost some.
pub(crate) fn reduce(
    tenant: &Tenant,
    accepted: &mut Accepted,
    admission: &Admission,
    early: &[(u32, u32, i64)],
) -> Option<Error> {
    let places = places(accepted);
    let offered = Offered { tenant: tenant.id.as_str(), accepted, places: &places };
    let mut discards = Discards::default();
    let mut told = offered.error(admission, &mut discards);
    tenant.metrics.discarded(accepted.format, &discards);

    let mut dropped = vec![false; places.len()];
    let mut last_told = None;
    for rejection in &admission.rejected {
        last_told = last_told.max(Some(rejection.stream));
        for &(row, _) in &rejection.rows {
            dropped[row as usize] = true;
        }
    }
    let mut is_early = vec![false; accepted.streams.len()];
    for &(stream, first, ts_ns) in early {
        // A stream that exists does not have to be made: its old rows are too far behind.
        if dropped[first as usize] {
            continue;
        }
        is_early[stream as usize] = true;
        if last_told <= Some(stream) {
            (told, last_told) = (Some(no_schema(ts_ns)), Some(stream));
        }
    }
    for (place, dropped) in places.iter().zip(&mut dropped) {
        *dropped |= is_early[place.stream as usize];
    }
    let mut kept: Vec<Vec<u32>> = accepted.parts.iter().map(|_| Vec::new()).collect();
    for (place, _) in places.iter().zip(&dropped).filter(|(_, dropped)| !**dropped) {
        kept[place.part as usize].push(place.row);
    }
    for ((_, rows), kept) in accepted.parts.iter_mut().zip(kept) {
        *rows = only(rows, &kept);
    }
    told
}

/// Loki makes a stream's index entry when the stream begins, and that needs a schema.
fn no_schema(ts_ns: i64) -> Error {
    // Milliseconds as seconds, in Go's shortest form.
    let seconds = (ts_ns / 1_000_000) as f64 / 1000.0;
    let text = format!(
        "rpc error: code = Unknown desc = failed to create stream: no schema config found for time \
         {seconds}"
    );
    Error::new(500, text)
}

/// Where a row of the push lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) part: u32,
    pub(crate) row: u32,
    pub(crate) stream: u32,
}

/// The rows of a push in the order of the body.
fn places(accepted: &Accepted) -> Vec<Place> {
    let rows: usize = accepted.parts.iter().map(|(_, rows)| rows.len()).sum();
    let mut places = Vec::with_capacity(rows);
    // Per part: the next row and the run it is in.
    let mut next = vec![(0u32, 0usize); accepted.parts.len()];
    let whole = [(0, rows as u32)];
    let order = if accepted.order.is_empty() { &whole[..] } else { &accepted.order };
    for &(part, end) in order {
        let runs = &accepted.parts[part as usize].1.runs;
        let (row, run) = &mut next[part as usize];
        while places.len() < end as usize {
            if runs[*run].end == *row {
                *run += 1;
            }
            places.push(Place { part, row: *row, stream: runs[*run].stream });
            *row += 1;
        }
    }
    places
}

/// The given rows of `rows`, ascending.
fn only(rows: &Rows, kept: &[u32]) -> Rows {
    let views = rows.metadata_views();
    let page = rows.page(&views);
    let mut builder = RowsBuilder::with_capacity(kept.len(), rows.lines.bytes.len());
    for range in kept.chunk_by(|a, b| a + 1 == *b) {
        let from = range[0] as usize;
        builder.append(&page, from, from + range.len(), |stream| stream);
    }
    builder.finish()
}
