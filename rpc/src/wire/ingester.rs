//! Calls to ingesters.

use std::sync::Arc;

use base::shutdown::Shutdown;
use base::{Batch, Run, StoreId};
use bytes::Bytes;
use logql::engine::Partial;
use logql::engine::overlap::Overlaps;
use logql::engine::portable::PortablePartial;
use logql::plan::{Leaf, Origin};
use proto::columns::{
    TextList, check_ends, column, exactly, read_stores, stores, texts, ulid, ulid_bytes, values,
};
use proto::convert::{
    label_sets, matchers, ranges, read_label_sets, read_matchers, read_ranges, read_runs, required,
    tenant,
};
use proto::v1::{self, select_answer, streams_answer};
use proto::{Wire, WireError};

use crate::ingester::{
    Admission, AdmitRequest, Appended, Identity, IngesterError, LineTemplate, ReadStats,
    RejectReason, Rejection, SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};

impl Wire for Identity {
    type Message = v1::Identity;

    fn to_wire(&self) -> v1::Identity {
        v1::Identity { store: ulid_bytes(self.store.0), zone: self.zone.clone() }
    }

    fn from_wire(message: v1::Identity) -> Result<Identity, WireError> {
        let store = base::StoreId(ulid("Identity", "store", &message.store)?);
        Ok(Identity { store, zone: message.zone })
    }
}

impl Wire for AdmitRequest {
    type Message = v1::AdmitRequest;

    fn to_wire(&self) -> v1::AdmitRequest {
        v1::AdmitRequest {
            tenant: self.tenant.as_str().to_owned(),
            streams: Some(label_sets(&self.streams)),
            run_streams: column(self.runs.iter().map(|run: &Run| run.stream)),
            run_ends: column(self.runs.iter().map(|run| run.end)),
            ts_ns: column(self.ts_ns.iter().copied()),
            sizes: column(self.sizes.iter().copied()),
        }
    }

    fn from_wire(message: v1::AdmitRequest) -> Result<AdmitRequest, WireError> {
        const MESSAGE: &str = "AdmitRequest";
        let streams = read_label_sets(message.streams.as_ref())?;
        let ts_ns: Vec<i64> = values(MESSAGE, "ts_ns", &message.ts_ns)?;
        let sizes = exactly(MESSAGE, "sizes", &message.sizes, ts_ns.len())?;
        let runs = read_runs(MESSAGE, &message.run_streams, &message.run_ends, ts_ns.len())?;
        let known = runs.iter().all(|run| (run.stream as usize) < streams.len());
        proto::ensure!(known, MESSAGE, "a run names a stream that is not in the table");
        Ok(AdmitRequest { tenant: tenant(MESSAGE, &message.tenant)?, streams, runs, ts_ns, sizes })
    }
}

impl Wire for Admission {
    type Message = v1::Admission;

    fn to_wire(&self) -> v1::Admission {
        let mut row_ends = Vec::with_capacity(self.rejected.len());
        let (mut rows, mut reasons) = (Vec::new(), Vec::new());
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for rejection in &self.rejected {
            for &(row, reason) in &rejection.rows {
                let (kind, one, two) = match reason {
                    RejectReason::TooFarBehind { oldest_ns } => (0, oldest_ns as u64, 0),
                    RejectReason::StreamRate { limit_bytes, request_bytes } => {
                        (1, limit_bytes, request_bytes)
                    }
                    RejectReason::StreamLimit => (2, 0, 0),
                };
                rows.push(row);
                reasons.push(kind);
                first.push(one);
                second.push(two);
            }
            row_ends.push(rows.len() as u32);
        }
        v1::Admission {
            streams: column(self.rejected.iter().map(|rejection| rejection.stream)),
            row_ends: column(row_ends.into_iter()),
            rows: column(rows.into_iter()),
            reasons: reasons.into(),
            first: column(first.into_iter()),
            second: column(second.into_iter()),
        }
    }

    /// Whether streams and rows are of the request is checked by [`fits`].
    fn from_wire(message: v1::Admission) -> Result<Admission, WireError> {
        const MESSAGE: &str = "Admission";
        let streams: Vec<u32> = values(MESSAGE, "streams", &message.streams)?;
        let ends: Vec<u32> = exactly(MESSAGE, "row_ends", &message.row_ends, streams.len())?;
        let rows: Vec<u32> = values(MESSAGE, "rows", &message.rows)?;
        check_ends(MESSAGE, "row_ends", &ends, rows.len())?;
        let kinds: Vec<u8> = exactly(MESSAGE, "reasons", &message.reasons, rows.len())?;
        let first: Vec<u64> = exactly(MESSAGE, "first", &message.first, rows.len())?;
        let second: Vec<u64> = exactly(MESSAGE, "second", &message.second, rows.len())?;
        let mut rejected = Vec::with_capacity(streams.len());
        let mut from = 0;
        for (stream, end) in streams.into_iter().zip(ends) {
            let mut of_stream = Vec::with_capacity(end as usize - from);
            for at in from..end as usize {
                let reason = match kinds[at] {
                    0 => RejectReason::TooFarBehind { oldest_ns: first[at] as i64 },
                    1 => RejectReason::StreamRate {
                        limit_bytes: first[at],
                        request_bytes: second[at],
                    },
                    2 => RejectReason::StreamLimit,
                    other => return Err(WireError::new(MESSAGE, format_args!("reason {other}"))),
                };
                of_stream.push((rows[at], reason));
            }
            let ascends = of_stream.windows(2).all(|pair| pair[0].0 < pair[1].0);
            proto::ensure!(ascends, MESSAGE, "rejected rows do not ascend");
            from = end as usize;
            rejected.push(Rejection { stream, rows: of_stream });
        }
        Ok(Admission { rejected })
    }
}

/// Whether an admission speaks of `streams` and `rows` that the request has.
pub fn fits(admission: &Admission, streams: usize, rows: usize) -> Result<(), WireError> {
    let known = admission.rejected.iter().all(|rejection| {
        let last = rejection.rows.last().is_none_or(|&(row, _)| (row as usize) < rows);
        (rejection.stream as usize) < streams && last
    });
    proto::ensure!(known, "Admission", "a row or stream that the request does not have");
    Ok(())
}

/// The request of an append.
pub fn append_request(batches: &[Batch]) -> v1::AppendRequest {
    v1::AppendRequest { batches: batches.iter().map(Batch::to_wire).collect() }
}

/// Reads what [`append_request`] wrote.
pub fn read_append_request(message: v1::AppendRequest) -> Result<Vec<Batch>, WireError> {
    message.batches.into_iter().map(Batch::from_wire).collect()
}

impl Wire for Appended {
    type Message = v1::Appended;

    fn to_wire(&self) -> v1::Appended {
        v1::Appended { attempts: column(self.attempts.iter().copied()) }
    }

    fn from_wire(message: v1::Appended) -> Result<Appended, WireError> {
        Ok(Appended { attempts: values("Appended", "attempts", &message.attempts)? })
    }
}

/// Whether there is an attempt for each of `batches`.
pub fn answers_all(appended: &Appended, batches: usize) -> Result<(), WireError> {
    let answered = appended.attempts.len();
    proto::ensure!(answered == batches, "Appended", "{answered} attempts for {batches} batches");
    Ok(())
}

/// A [`SelectRequest`]; its `cancel` does not travel.
pub fn select_request(request: &SelectRequest) -> v1::SelectRequest {
    v1::SelectRequest {
        tenant: request.tenant.as_str().to_owned(),
        leaf: Some(request.leaf.origin().to_wire()),
        view: request.view,
        asked: stores(&request.asked),
        overlaps: Some(request.overlaps.to_wire()),
        store: asked(request.store),
    }
}

/// Reads what [`select_request`] wrote, and plans the leaf.
pub fn read_select_request(
    message: v1::SelectRequest,
    cancel: Shutdown,
) -> Result<SelectRequest, IngesterError> {
    const MESSAGE: &str = "SelectRequest";
    let origin = Origin::from_wire(required(MESSAGE, "leaf", message.leaf)?)?;
    let overlaps = Overlaps::from_wire(message.overlaps.unwrap_or_default())?;
    Ok(SelectRequest {
        tenant: tenant(MESSAGE, &message.tenant)?,
        leaf: origin.leaf()?,
        view: message.view,
        asked: read_stores(MESSAGE, "asked", &message.asked)?,
        overlaps: Arc::new(overlaps),
        store: read_asked(MESSAGE, &message.store)?,
        cancel,
    })
}

/// The store that a query is meant for; empty = none.
fn asked(store: Option<StoreId>) -> Bytes {
    store.map(|store| ulid_bytes(store.0)).unwrap_or_default()
}

fn read_asked(message: &'static str, bytes: &[u8]) -> Result<Option<StoreId>, WireError> {
    match bytes {
        [] => Ok(None),
        bytes => Ok(Some(StoreId(ulid(message, "store", bytes)?))),
    }
}

/// A [`SelectAnswer`].
pub fn select_answer(answer: &SelectAnswer) -> v1::SelectAnswer {
    let answer = match answer {
        SelectAnswer::Behind { floor } => select_answer::Answer::Behind(*floor),
        SelectAnswer::Rows { ranges: of_streams, partial, stats, ring } => {
            select_answer::Answer::Evaluated(select_answer::Evaluated {
                ranges: Some(ranges(of_streams)),
                partial: Some(partial.to_portable().to_wire()),
                stats: Some(stats.to_wire()),
                ring: *ring,
            })
        }
    };
    v1::SelectAnswer { answer: Some(answer) }
}

/// Reads the answer to a request for `leaf`.
pub fn read_select_answer(
    leaf: &Leaf,
    message: v1::SelectAnswer,
) -> Result<SelectAnswer, IngesterError> {
    const MESSAGE: &str = "SelectAnswer";
    match required(MESSAGE, "answer", message.answer)? {
        select_answer::Answer::Behind(floor) => Ok(SelectAnswer::Behind { floor }),
        select_answer::Answer::Evaluated(rows) => {
            let partial = required(MESSAGE, "partial", rows.partial)?;
            let partial = PortablePartial::from_wire(partial)?;
            Ok(SelectAnswer::Rows {
                ranges: read_ranges(rows.ranges.as_ref())?,
                partial: Partial::from_portable(leaf, partial)?,
                stats: ReadStats::from_wire(rows.stats.unwrap_or_default())?,
                ring: rows.ring,
            })
        }
    }
}

impl Wire for StreamsRequest {
    type Message = v1::StreamsRequest;

    fn to_wire(&self) -> v1::StreamsRequest {
        v1::StreamsRequest {
            tenant: self.tenant.as_str().to_owned(),
            selectors: Some(matchers(&self.selectors)),
            from_ns: self.from_ns,
            to_ns: self.to_ns,
            view: self.view,
            asked: stores(&self.asked),
            store: asked(self.store),
            templates: self.templates,
        }
    }

    fn from_wire(message: v1::StreamsRequest) -> Result<StreamsRequest, WireError> {
        const MESSAGE: &str = "StreamsRequest";
        Ok(StreamsRequest {
            tenant: tenant(MESSAGE, &message.tenant)?,
            selectors: read_matchers(message.selectors.as_ref())?,
            from_ns: message.from_ns,
            to_ns: message.to_ns,
            view: message.view,
            asked: read_stores(MESSAGE, "asked", &message.asked)?,
            store: read_asked(MESSAGE, &message.store)?,
            templates: message.templates,
        })
    }
}

fn templates(templates: &[LineTemplate]) -> v1::Templates {
    v1::Templates {
        texts: Some(texts(templates.iter().map(|template| template.text.as_str()))),
        levels: Some(texts(templates.iter().map(|template| template.level.as_str()))),
        rows: column(templates.iter().map(|template| template.rows)),
    }
}

fn read_templates(message: Option<v1::Templates>) -> Result<Vec<LineTemplate>, WireError> {
    const MESSAGE: &str = "Templates";
    let v1::Templates { texts, levels, rows } = message.unwrap_or_default();
    let texts = TextList::new(MESSAGE, "texts", texts.as_ref())?;
    let levels = TextList::new(MESSAGE, "levels", levels.as_ref())?;
    let rows: Vec<u64> = exactly(MESSAGE, "rows", &rows, texts.len())?;
    proto::ensure!(levels.len() == rows.len(), MESSAGE, "{} levels", levels.len());
    let told = texts.iter().zip(levels.iter()).zip(rows);
    let template = |((text, level), rows): ((&str, &str), u64)| LineTemplate {
        level: level.to_owned(),
        text: text.to_owned(),
        rows,
    };
    Ok(told.map(template).collect())
}

impl Wire for StreamsAnswer {
    type Message = v1::StreamsAnswer;

    fn to_wire(&self) -> v1::StreamsAnswer {
        match self {
            StreamsAnswer::Behind { floor } => {
                let answer = Some(streams_answer::Answer::Behind(*floor));
                v1::StreamsAnswer { answer, ring: 0, templates: None }
            }
            StreamsAnswer::Streams { streams, templates: found, ring } => v1::StreamsAnswer {
                answer: Some(streams_answer::Answer::Streams(label_sets(streams))),
                ring: *ring,
                templates: (!found.is_empty()).then(|| templates(found)),
            },
        }
    }

    fn from_wire(message: v1::StreamsAnswer) -> Result<StreamsAnswer, WireError> {
        Ok(match required("StreamsAnswer", "answer", message.answer)? {
            streams_answer::Answer::Behind(floor) => StreamsAnswer::Behind { floor },
            streams_answer::Answer::Streams(streams) => {
                let streams = read_label_sets(Some(&streams))?;
                let templates = read_templates(message.templates)?;
                StreamsAnswer::Streams { streams, templates, ring: message.ring }
            }
        })
    }
}
