//! Steps of tails.

use std::sync::Arc;

use base::shutdown::Shutdown;
use base::{Incarnation, StoreId};
use catalog::IdSet;
use logql::engine::Partial;
use logql::engine::portable::PortablePartial;
use logql::plan::{Leaf, Origin};
use proto::columns::{TextList, check_ends, column, exactly, texts, ulid, ulid_bytes, values};
use proto::convert::{required, tenant};
use proto::v1::{self, tail_answer};
use proto::{Wire, WireError};
use ulid::Ulid;

use crate::ingester::IngesterError;
use crate::querier::QuerierError;
use crate::tail::{After, Cursor, Place, Rows, TailAnswer, TailJob, TailRequest, Tailed};

fn batch_ids(ids: &IdSet) -> v1::BatchIds {
    let (mut incarnations, mut owners) = (Vec::new(), Vec::new());
    let (mut ends, mut first, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (incarnation, owner, ranges) in ids.iter() {
        incarnations.push(incarnation.0.0);
        owners.push(owner.0.0);
        for (from, to) in ranges.iter() {
            first.push(from);
            last.push(to);
        }
        ends.push(first.len() as u32);
    }
    v1::BatchIds {
        incarnations: column(incarnations.into_iter()),
        owners: column(owners.into_iter()),
        range_ends: column(ends.into_iter()),
        first: column(first.into_iter()),
        last: column(last.into_iter()),
    }
}

fn read_batch_ids(message: &v1::BatchIds) -> Result<IdSet, WireError> {
    const MESSAGE: &str = "BatchIds";
    let incarnations: Vec<u128> = values(MESSAGE, "incarnations", &message.incarnations)?;
    let owners: Vec<u128> = exactly(MESSAGE, "owners", &message.owners, incarnations.len())?;
    let ends: Vec<u32> = exactly(MESSAGE, "range_ends", &message.range_ends, owners.len())?;
    let first: Vec<u64> = values(MESSAGE, "first", &message.first)?;
    let last: Vec<u64> = exactly(MESSAGE, "last", &message.last, first.len())?;
    check_ends(MESSAGE, "range_ends", &ends, first.len())?;
    let mut ids = IdSet::default();
    let mut at = 0;
    for ((incarnation, owner), end) in incarnations.iter().zip(&owners).zip(ends) {
        let (incarnation, owner) = (Incarnation(Ulid(*incarnation)), StoreId(Ulid(*owner)));
        let mut before = None;
        for range in at..end as usize {
            let (from, to) = (first[range], last[range]);
            // Ascending, so that putting them in takes no more than a step each.
            let ascends = from <= to && before.is_none_or(|before| before < from);
            proto::ensure!(ascends, MESSAGE, "ranges do not ascend");
            before = Some(to);
            ids.insert_range(incarnation, owner, from, to);
        }
        at = end as usize;
    }
    Ok(ids)
}

/// A [`TailRequest`]; its `cancel` does not travel.
pub fn tail_request(request: &TailRequest) -> v1::TailRequest {
    let mut message = v1::TailRequest {
        tenant: request.tenant.as_str().to_owned(),
        leaf: Some(request.leaf.origin().to_wire()),
        ..v1::TailRequest::default()
    };
    match &request.after {
        After::Now { view } => message.view = *view,
        After::Place { process, order } => {
            (message.process, message.place) = (ulid_bytes(*process), *order);
        }
        After::Batches { seen, view } => {
            (message.view, message.seen) = (*view, Some(batch_ids(seen)));
        }
    }
    message
}

/// Reads what [`tail_request`] wrote, and plans the leaf.
pub fn read_tail_request(
    message: v1::TailRequest,
    cancel: Shutdown,
) -> Result<TailRequest, IngesterError> {
    const MESSAGE: &str = "TailRequest";
    let after = match (message.process.is_empty(), &message.seen) {
        (false, _) => {
            let process = ulid(MESSAGE, "process", &message.process)?;
            After::Place { process, order: message.place }
        }
        (true, None) => After::Now { view: message.view },
        (true, Some(seen)) => {
            After::Batches { seen: Arc::new(read_batch_ids(seen)?), view: message.view }
        }
    };
    let leaf = Origin::from_wire(required(MESSAGE, "leaf", message.leaf)?)?.leaf()?;
    if !leaf.is_log() {
        return Err(WireError::new(MESSAGE, "the leaf is not of a log query").into());
    }
    Ok(TailRequest { tenant: tenant(MESSAGE, &message.tenant)?, leaf, after, cancel })
}

/// A [`TailAnswer`].
pub fn tail_answer(answer: &TailAnswer) -> v1::TailAnswer {
    let answer = match answer {
        TailAnswer::Behind { floor } => tail_answer::Answer::Behind(*floor),
        TailAnswer::Stranger => tail_answer::Answer::Stranger(tail_answer::Stranger {}),
        TailAnswer::Rows(rows) => tail_answer::Answer::Rows(tail_answer::Rows {
            process: ulid_bytes(rows.process),
            place: rows.place,
            batches: Some(batch_ids(&rows.batches)),
            partial: Some(rows.partial.to_portable().to_wire()),
            is_all: rows.is_all,
        }),
    };
    v1::TailAnswer { answer: Some(answer) }
}

/// Reads the answer to a request for `leaf`.
pub fn read_tail_answer(leaf: &Leaf, message: v1::TailAnswer) -> Result<TailAnswer, IngesterError> {
    const MESSAGE: &str = "TailAnswer";
    Ok(match required(MESSAGE, "answer", message.answer)? {
        tail_answer::Answer::Behind(floor) => TailAnswer::Behind { floor },
        tail_answer::Answer::Stranger(_) => TailAnswer::Stranger,
        tail_answer::Answer::Rows(rows) => {
            let partial = PortablePartial::from_wire(required(MESSAGE, "partial", rows.partial)?)?;
            TailAnswer::Rows(Rows {
                process: ulid(MESSAGE, "process", &rows.process)?,
                place: rows.place,
                batches: read_batch_ids(&rows.batches.unwrap_or_default())?,
                partial: Partial::from_portable(leaf, partial)?,
                is_all: rows.is_all,
            })
        }
    })
}

fn cursor(cursor: &Cursor) -> v1::TailCursor {
    let places = &cursor.places;
    v1::TailCursor {
        ingesters: Some(texts(places.iter().map(|place| place.ingester.as_str()))),
        processes: column(places.iter().map(|place| place.process.0)),
        places: column(places.iter().map(|place| place.order)),
        views: column(places.iter().map(|place| place.view)),
        seen: Some(batch_ids(&cursor.seen)),
        view: cursor.view,
    }
}

fn read_cursor(message: v1::TailCursor) -> Result<Cursor, WireError> {
    const MESSAGE: &str = "TailCursor";
    let ingesters = TextList::new(MESSAGE, "ingesters", message.ingesters.as_ref())?;
    let processes: Vec<u128> = exactly(MESSAGE, "processes", &message.processes, ingesters.len())?;
    let orders: Vec<u64> = exactly(MESSAGE, "places", &message.places, ingesters.len())?;
    let views: Vec<u64> = exactly(MESSAGE, "views", &message.views, ingesters.len())?;
    let places = ingesters.iter().zip(processes).zip(orders.into_iter().zip(views));
    let places = places.map(|((ingester, process), (order, view))| Place {
        ingester: ingester.to_owned(),
        process: Ulid(process),
        order,
        view,
    });
    Ok(Cursor {
        places: places.collect(),
        seen: read_batch_ids(&message.seen.unwrap_or_default())?,
        view: message.view,
    })
}

/// A [`TailJob`].
pub fn tail_job(job: &TailJob) -> v1::TailJob {
    v1::TailJob {
        tenant: job.tenant.as_str().to_owned(),
        leaf: Some(job.leaf.origin().to_wire()),
        cursor: job.cursor.as_ref().map(cursor),
    }
}

/// Reads what [`tail_job`] wrote, and plans the leaf.
pub fn read_tail_job(message: v1::TailJob) -> Result<TailJob, QuerierError> {
    const MESSAGE: &str = "TailJob";
    let leaf = Origin::from_wire(required(MESSAGE, "leaf", message.leaf)?)?.leaf()?;
    if !leaf.is_log() {
        return Err(WireError::new(MESSAGE, "the leaf is not of a log query").into());
    }
    let cursor = message.cursor.map(read_cursor).transpose()?;
    Ok(TailJob { tenant: tenant(MESSAGE, &message.tenant)?, leaf, cursor })
}

/// A [`Tailed`].
pub fn tailed(tailed: &Tailed) -> v1::Tailed {
    v1::Tailed {
        partial: Some(tailed.partial.to_portable().to_wire()),
        cursor: Some(cursor(&tailed.cursor)),
        is_all: tailed.is_all,
        silent: Some(texts(tailed.silent.iter().map(String::as_str))),
    }
}

/// Reads the answer to a job for `leaf`.
pub fn read_tailed(leaf: &Leaf, message: v1::Tailed) -> Result<Tailed, QuerierError> {
    const MESSAGE: &str = "Tailed";
    let partial = PortablePartial::from_wire(required(MESSAGE, "partial", message.partial)?)?;
    let silent = TextList::new(MESSAGE, "silent", message.silent.as_ref())?;
    Ok(Tailed {
        partial: Partial::from_portable(leaf, partial)?,
        cursor: read_cursor(required(MESSAGE, "cursor", message.cursor)?)?,
        is_all: message.is_all,
        silent: silent.iter().map(str::to_owned).collect(),
    })
}
