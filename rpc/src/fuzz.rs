//! Fuzz targets: plain functions that panic when something does not hold.

use std::sync::Arc;
use std::sync::OnceLock;

use base::UnixNanos;
use base::shutdown::Shutdown;
use bytes::Bytes;
use logql::plan::{Direction, Leaf, Params, Plan};
use proto::{Message, Wire, WireError, v1};

use crate::frontend::Worker;
use crate::ingester::{
    Admission, AdmitRequest, Appended, Identity, IngesterError, StreamsAnswer, StreamsRequest,
};
use crate::querier::{ListJob, Listed, QuerierError};
use crate::wire::error::WireErrorDetail;
use crate::wire::{ingester, querier, tail};

fn read<M: Message + Default>(data: &[u8]) -> Result<M, WireError> {
    proto::decode("Fuzzed", Bytes::copy_from_slice(data))
}

fn again<T: Wire>(value: &T) {
    let bytes = proto::encode(&value.to_wire());
    let message = proto::decode("Fuzzed", bytes.clone()).expect("what is written can be read");
    let second = T::from_wire(message).expect("what was read is whole");
    assert_eq!(proto::encode(&second.to_wire()), bytes);
}

fn one<T: Wire>(data: &[u8]) {
    if let Ok(value) = read(data).and_then(T::from_wire) {
        again(&value);
    }
}

/// What services are asked.
pub fn fuzz_request(data: &[u8]) {
    one::<AdmitRequest>(data);
    one::<StreamsRequest>(data);
    one::<ListJob>(data);
    one::<Worker>(data);
    if let Ok(batches) = read(data).and_then(ingester::read_append_request) {
        let message = ingester::append_request(&batches);
        assert_eq!(ingester::read_append_request(message), Ok(batches));
    }
    if let Ok(message) = read::<v1::SelectRequest>(data)
        && let Ok(request) = ingester::read_select_request(message, Shutdown::new())
    {
        let bytes = proto::encode(&ingester::select_request(&request));
        let second = read(&bytes).expect("what is written can be read");
        let second = ingester::read_select_request(second, Shutdown::new());
        let second = second.expect("what was read is whole");
        assert_eq!(second.leaf.origin(), request.leaf.origin());
    }
    if let Ok(message) = read::<v1::SelectJob>(data)
        && let Ok(job) = querier::read_select_job(message)
    {
        let second = querier::read_select_job(querier::select_job(&job));
        assert_eq!(second.expect("it was read").leaf.origin(), job.leaf.origin());
    }
    if let Ok(message) = read::<v1::TailRequest>(data)
        && let Ok(request) = tail::read_tail_request(message, Shutdown::new())
    {
        let second = tail::read_tail_request(tail::tail_request(&request), Shutdown::new());
        assert_eq!(second.expect("it was read").leaf.origin(), request.leaf.origin());
    }
    if let Ok(message) = read::<v1::TailJob>(data)
        && let Ok(job) = tail::read_tail_job(message)
    {
        let second = tail::read_tail_job(tail::tail_job(&job)).expect("it was read");
        assert_eq!(second.cursor, job.cursor);
    }
    drop(read::<v1::ToWorker>(data));
    drop(read::<v1::FromWorker>(data));
}

/// What services answer, to a log query and to a metric query.
pub fn fuzz_answer(data: &[u8]) {
    one::<Admission>(data);
    one::<Appended>(data);
    one::<Identity>(data);
    one::<Listed>(data);
    one::<StreamsAnswer>(data);
    for leaf in leaves() {
        if let Ok(message) = read::<v1::SelectAnswer>(data)
            && let Ok(answer) = ingester::read_select_answer(leaf, message)
        {
            let message = ingester::select_answer(&answer);
            ingester::read_select_answer(leaf, message).expect("what was read is whole");
        }
        if let Ok(message) = read::<v1::TailAnswer>(data)
            && let Ok(answer) = tail::read_tail_answer(leaf, message)
        {
            let message = tail::tail_answer(&answer);
            tail::read_tail_answer(leaf, message).expect("what was read is whole");
        }
        if let Ok(message) = read::<v1::Tailed>(data)
            && let Ok(tailed) = tail::read_tailed(leaf, message)
        {
            let second = tail::read_tailed(leaf, tail::tailed(&tailed));
            assert_eq!(second.expect("what was read is whole").cursor, tailed.cursor);
        }
        if let Ok(message) = read::<v1::Selected>(data)
            && let Ok(selected) = querier::read_selected(leaf, message)
        {
            let message = querier::selected(&selected);
            querier::read_selected(leaf, message).expect("what was read is whole");
        }
    }
    if let Ok(detail) = read::<v1::ErrorDetail>(data) {
        drop(IngesterError::from_detail(detail.clone()).to_string());
        drop(QuerierError::from_detail(detail).to_string());
    }
}

/// One of each kind.
fn leaves() -> &'static [Arc<Leaf>] {
    static LEAVES: OnceLock<Vec<Arc<Leaf>>> = OnceLock::new();
    LEAVES.get_or_init(|| {
        let params = Params {
            start: UnixNanos(0),
            end: UnixNanos(1_000),
            step_ns: 100,
            interval_ns: 0,
            limit: 100,
            direction: Direction::Backward,
            max_series: 500,
            max_memory_bytes: 1 << 20,
            categorize: false,
            now: UnixNanos(0),
        };
        let queries = ["{app=~\".+\"}", "sum(count_over_time({app=~\".+\"}[1m]))"];
        let leaf = |query| {
            let expr = logql::syntax::parse(query).expect("a query");
            let plan = Plan::new(&expr, &params).expect("a plan");
            plan.leaves()[0].clone()
        };
        queries.into_iter().map(leaf).collect()
    })
}

#[cfg(test)]
mod tests;
