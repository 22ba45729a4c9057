//! From valid rows to durable ones: admission by the owner, batches, append (B1, B2, B5).

use base::{Batch, Labels, Rows, RowsBuilder, Run};
use rpc::ingester::{Admission, AdmitRequest, IngesterError};

use crate::distributor::{Accepted, Distributor};
use crate::error::Error;
use crate::problems::Discards;
use crate::rejections::Offered;
use crate::tenants::Tenant;

impl Distributor {
    /// Has the owner admit the rows and append those it admits. The error tells what is not stored.
    pub(crate) async fn send(&self, tenant: &Tenant, mut accepted: Accepted) -> Result<(), Error> {
        let members = self.placement.members().await.map_err(failed)?;
        let owner = members[0];
        let early = self.streams_before_schema(&accepted);
        let request = AdmitRequest {
            tenant: tenant.id.clone(),
            streams: accepted.streams.clone(),
            runs: std::mem::take(&mut accepted.runs),
            ts_ns: std::mem::take(&mut accepted.ts_ns),
            sizes: std::mem::take(&mut accepted.sizes),
        };
        let admission = self.placement.owner().admit(request).await.map_err(failed)?;
        let mut told = None;
        if !admission.rejected.is_empty() || !early.is_empty() {
            told = reduce(tenant, &mut accepted, &admission, &early);
        }
        let Accepted { streams, mut parts, .. } = accepted;
        parts.retain(|(_, rows)| !rows.is_empty());
        let one = parts.len() == 1 && told.is_none();
        let mut batches = Vec::with_capacity(parts.len());
        let mut all = Some(streams);
        for (day, mut rows) in parts {
            // The streams of the only part are those of the push.
            let streams = match all.take_if(|_| one) {
                Some(streams) => streams,
                None => compact(&mut rows, all.as_deref().unwrap_or_default()),
            };
            batches.push(Batch {
                id: self.placement.next_id(owner),
                attempt: 1,
                members: members.clone(),
                tenant: tenant.id.clone(),
                day,
                streams,
                rows,
            });
        }
        if !batches.is_empty() {
            self.placement.append(batches).await.map_err(failed)?;
        }
        told.map_or(Ok(()), Err)
    }

    /// Streams whose first row lies before the schema begins: (stream, row, its time).
    fn streams_before_schema(&self, accepted: &Accepted) -> Vec<(u32, u32, i64)> {
        let mut early = Vec::new();
        let Some(from) = self.config().schema_from else { return early };
        if accepted.ts_ns.iter().all(|&ts_ns| ts_ns >= from.0) {
            return early;
        }
        let mut seen = vec![false; accepted.streams.len()];
        let mut row = 0;
        for run in &accepted.runs {
            let ts_ns = accepted.ts_ns[row as usize];
            if !std::mem::replace(&mut seen[run.stream as usize], true) && ts_ns < from.0 {
                early.push((run.stream, row, ts_ns));
            }
            row = run.end;
        }
        early
    }
}

fn failed(error: IngesterError) -> Error {
    let status = rpc::http::status_of(error.kind());
    Error::new(status.as_u16(), error.to_string())
}

/// Drops the rows that may not be stored; tells the error of the last stream that lost some.
fn reduce(
    tenant: &Tenant,
    accepted: &mut Accepted,
    admission: &Admission,
    early: &[(u32, u32, i64)],
) -> Option<Error> {
    let places = places(accepted);
    let offered = Offered { tenant: tenant.id.as_str(), accepted, places: &places };
    let mut discards = Discards::default();
    let mut told = offered.error(admission, &mut discards);
    tenant.metrics.discarded(&discards);

    let mut dropped = vec![false; places.len()];
    let mut last_told = None;
    for rejection in &admission.rejected {
        last_told = last_told.max(Some(rejection.stream));
        for &(row, _) in &rejection.rows {
            dropped[row as usize] = true;
        }
    }
    for &(stream, first, ts_ns) in early {
        // A stream that exists does not have to be made: its old rows are too far behind.
        if dropped[first as usize] {
            continue;
        }
        for (place, dropped) in places.iter().zip(&mut dropped) {
            *dropped |= place.stream == stream;
        }
        if last_told <= Some(stream) {
            (told, last_told) = (Some(no_schema(ts_ns)), Some(stream));
        }
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
