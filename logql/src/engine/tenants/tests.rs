use std::sync::Arc;

use base::Labels;
use proptest::prelude::*;

use super::*;
use crate::engine::overlap::Overlaps;
use crate::engine::tests::{TestRow, evaluate, feed, pages, params, show};
use crate::engine::{Answer, StreamSource};
use crate::plan::{Direction, Params, Plan};
use crate::syntax::parse;

const S: i64 = 1_000_000_000;
const TENANTS: [&str; 2] = ["acme", "globex"];

/// Answers as if the tenant were a label of every stream, but that no stage of a pipeline sees it and
/// that a range function's own grouping does not take it away.
const QUERIES: [&str; 19] = [
    "{app=~\".+\"}",
    "{app=~\".+\"} |= \"1\"",
    "{app=~\".+\"} | line_format \"same\"",
    "{app=~\".+\"} | logfmt | n != 3",
    "count_over_time({app=~\".+\"}[20s])",
    "sum(count_over_time({app=~\".+\"}[20s]))",
    "sum by (app) (rate({app=~\".+\"}[20s]))",
    "sum by (__tenant_id__) (bytes_over_time({app=~\".+\"}[20s]))",
    "sum without (app) (count_over_time({app=~\".+\"} |= \"2\" [20s]))",
    "sum without (__tenant_id__) (count_over_time({app=~\".+\"}[20s]))",
    "count(sum by (app) (rate({app=~\".+\"}[20s])))",
    "count(count_over_time({app=~\".+\"}[20s]))",
    "topk by (__tenant_id__) (1, sum by (app, __tenant_id__) (count_over_time({app=~\".+\"}[20s])))",
    "absent_over_time({app=\"a\"}[2s])",
    "quantile_over_time(0.5, {app=~\".+\"} | logfmt | unwrap n [20s])",
    "max(max_over_time({app=~\".+\"} | logfmt | unwrap n [20s]))",
    "first_over_time({app=~\".+\"} | logfmt | unwrap n [20s])",
    "sum(rate({app=~\".+\"}[9s])) / sum by (app) (rate({app=\"a\"}[9s]))",
    "count_over_time({app=\"a\"}[9s]) / on (__tenant_id__, app) count_over_time({app=\"a\"}[20s])",
];

fn streams() -> Vec<Labels> {
    ["a", "b", "c"].map(|app| Labels::from_pairs([("app", app)])).to_vec()
}

/// Of whom, and which row.
type Owned = (usize, TestRow);

/// Evaluates each tenant's rows for themselves and merges, in the order that `first` says.
fn over_tenants(query: &str, params: &Params, rows: &[Owned], first: usize) -> Answer {
    let plan = Plan::new(&parse(query).unwrap(), params).unwrap();
    let source = StreamSource { streams: streams(), order: 0 };
    let mut partials = Vec::new();
    for leaf in plan.leaves() {
        let mut whole = leaf.empty();
        for tenant in [first, 1 - first] {
            let own: Vec<TestRow> =
                rows.iter().filter(|(of, _)| *of == tenant).map(|(_, row)| row.clone()).collect();
            let overlaps = Arc::new(Overlaps::none());
            let mut worker = leaf.worker(Arc::clone(&overlaps));
            worker.source(&source).unwrap();
            feed(leaf, &mut worker, &pages(&own, 3), &overlaps).unwrap();
            whole.merge(worker.finish().of_tenant(leaf, TENANTS[tenant]).unwrap()).unwrap();
        }
        partials.push(whole);
    }
    plan.finish(partials).unwrap()
}

/// Evaluates over one tenant whose streams have the label.
fn over_labels(query: &str, params: &Params, rows: &[Owned]) -> Answer {
    let labelled =
        |tenant: &str| streams().into_iter().map(move |s| with_tenant(&s, tenant)).collect();
    let all: Vec<Labels> =
        TENANTS.iter().flat_map(|&tenant| -> Vec<Labels> { labelled(tenant) }).collect();
    let row = |(tenant, row): &Owned| TestRow { stream: row.stream + 3 * tenant, ..row.clone() };
    let rows: Vec<TestRow> = rows.iter().map(row).collect();
    evaluate(query, params, &all, &rows).unwrap().0
}

fn row() -> impl Strategy<Value = Owned> {
    (0..2usize, 0..3usize, 0..40i64, 0..6u32).prop_map(|(tenant, stream, at, n)| {
        (tenant, TestRow { stream, ts_ns: at * S, line: format!("n={n}"), metadata: Vec::new() })
    })
}

proptest! {
    #[test]
    fn tenants_are_as_a_label_of_every_stream(
        mut rows in prop::collection::vec(row(), 0..40),
        query in prop::sample::select(&QUERIES),
        first in 0..2usize,
        backward in any::<bool>(),
        step in prop_oneof![Just(0), Just(7 * S)],
    ) {
        rows.sort();
        rows.dedup(); // equal rows of a stream are one
        // Rows of one page are in order of streams.
        rows.sort_by_key(|(tenant, row)| (*tenant, row.stream, row.ts_ns));
        let mut params = params(if step == 0 { 40 * S } else { S }, 40 * S, step);
        if query.starts_with('{') {
            params.start.0 = 0;
            params.end.0 = 40 * S;
        }
        if backward {
            params.direction = Direction::Backward;
        }
        let got = over_tenants(query, &params, &rows, first);
        let want = over_labels(query, &params, &rows);
        prop_assert_eq!(show(&got), show(&want), "{}", query);
    }
}

#[test]
fn a_label_of_that_name_is_kept_beside_the_tenant() {
    let labels = Labels::from_pairs([("__tenant_id__", "mine"), ("app", "a")]);
    let want = "{__tenant_id__=\"acme\", app=\"a\", original___tenant_id__=\"mine\"}";
    assert_eq!(with_tenant(&labels, "acme").to_string(), want);
}

#[test]
fn no_stage_sees_the_tenant_and_a_functions_own_grouping_keeps_it() {
    let row = |tenant, line: &str| {
        (tenant, TestRow { stream: 0, ts_ns: S, line: line.to_owned(), metadata: Vec::new() })
    };
    let rows = [row(0, "n=1"), row(1, "n=2")];
    let lines = "{app=\"a\"} | line_format \"[{{.__tenant_id__}}]\"";
    assert_eq!(
        show(&over_tenants(lines, &params(0, 9 * S, 0), &rows, 0)),
        [
            "{__tenant_id__=\"acme\", app=\"a\"} [1000000000 []]",
            "{__tenant_id__=\"globex\", app=\"a\"} [1000000000 []]",
        ]
    );
    let max = "max_over_time({app=\"a\"} | logfmt | unwrap n [9s]) by (app)";
    assert_eq!(
        show(&over_tenants(max, &params(9 * S, 9 * S, 0), &rows, 1)),
        ["{__tenant_id__=\"acme\", app=\"a\"} 1", "{__tenant_id__=\"globex\", app=\"a\"} 2"]
    );
}

#[test]
fn equal_rows_of_two_tenants_are_two() {
    let row = |tenant| {
        (tenant, TestRow { stream: 1, ts_ns: S, line: "x".to_owned(), metadata: Vec::new() })
    };
    let sum = "sum(count_over_time({app=\"b\"}[9s]))";
    let answer = over_tenants(sum, &params(9 * S, 9 * S, 0), &[row(0), row(1)], 0);
    assert_eq!(show(&answer), ["{} 2"]);
}
