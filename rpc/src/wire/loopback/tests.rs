//! A call through bytes is the call: requests arrive, answers and errors come back, unchanged.

use base::rows::RowsBuilder;
use base::time::{DAY_NS, Day};
use base::{BatchId, Incarnation, Labels, Rows, Run, StoreId, StreamKey, TenantId, UnixNanos};
use logql::engine::overlap::{Overlaps, StreamRange};
use logql::plan::{Leaf, QueryError};
use logql::syntax::{MatchOp, Matcher};
use proptest::prelude::*;
use ulid::Ulid;

use super::*;
use crate::ingester::{LineTemplate, ReadStats, RejectReason, Rejection};
use crate::querier::Listing;
use crate::stats::{IngesterStats, PartStats, QueryStats};
use crate::testing::{Fake, FakeFrontend, Reply, job_text, leaf, partial, select_text, set};

const QUERIES: &[&str] = &[
    r#"{app=~".+"}"#,
    r#"{app="a"} |= "x" | logfmt"#,
    r#"count_over_time({app=~".+"}[5m])"#,
    r#"sum by (app) (bytes_over_time({app=~".+"}[1m]))"#,
    r#"sum(rate({app=~".+"} | logfmt | n > 1 [1m]))"#,
];

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "é", "say \"x\"\n", "a-much-longer-value-than-others"])
        .prop_map(str::to_owned)
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::vec(("[a-d]{1,2}", text()), 0..4).prop_map(Labels::from_pairs)
}

fn tenants() -> impl Strategy<Value = TenantId> {
    "[a-z0-9]{1,20}".prop_map(|id| TenantId::new(&id).unwrap())
}

fn stores() -> impl Strategy<Value = Vec<StoreId>> {
    prop::collection::vec(any::<u128>().prop_map(|id| StoreId(Ulid(id))), 0..4)
}

prop_compose! {
    fn rows(streams: u32, day: Day)(
        rows in prop::collection::vec(
            (0..streams, 0..DAY_NS, prop::collection::vec(any::<u8>(), 0..40),
             prop::collection::vec((0usize..3, 0u16..600), 0..3)),
            0..60),
    ) -> Rows {
        let mut builder = RowsBuilder::default();
        for (stream, ts_ns, line, metadata) in rows {
            builder.push(stream, day.start_ns() + ts_ns, &line);
            let mut seen = [false; 3];
            for (name, value) in metadata {
                if !std::mem::replace(&mut seen[name], true) {
                    let value = if name == 0 { value } else { value % 3 };
                    builder.metadata(["a", "é", "trace"][name], &value.to_le_bytes());
                }
            }
        }
        builder.finish()
    }
}

prop_compose! {
    fn batch()(
        ids in (any::<u128>(), any::<u128>(), any::<u64>()),
        (attempt, factor) in (any::<u32>(), 1u8..),
        mut members in stores(),
        tenant in tenants(),
        streams in prop::collection::vec(labels(), 1..5),
        (day, rows) in (-400i32..40_000)
            .prop_flat_map(|day| (Just(Day(day)), rows(1, Day(day)))),
    ) -> Batch {
        let (incarnation, owner) = (Incarnation(Ulid(ids.0)), StoreId(Ulid(ids.1)));
        members.push(owner);
        let id = BatchId { incarnation, owner, sequence: ids.2 };
        Batch { id, attempt, members, factor, tenant, day, streams, rows }
    }
}

/// Runs that cover `rows` rows, cut by `cuts`.
fn runs(rows: u32, cuts: &[(u32, u32)], streams: u32) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = 0;
    for &(stream, length) in cuts {
        if at < rows {
            at = (at + length).min(rows);
            runs.push(Run { stream: stream % streams, end: at });
        }
    }
    if at < rows {
        runs.push(Run { stream: 0, end: rows });
    }
    runs
}

prop_compose! {
    fn admit_request()(
        tenant in tenants(),
        streams in prop::collection::vec(labels(), 1..5),
        rows in prop::collection::vec((any::<i64>(), any::<u32>()), 0..50),
        cuts in prop::collection::vec((any::<u32>(), 1u32..9), 0..20),
    ) -> AdmitRequest {
        let runs = runs(rows.len() as u32, &cuts, streams.len() as u32);
        let (ts_ns, sizes) = rows.into_iter().unzip();
        AdmitRequest { tenant, streams, runs, ts_ns, sizes }
    }
}

fn reason() -> impl Strategy<Value = RejectReason> {
    prop_oneof![
        any::<i64>().prop_map(|oldest_ns| RejectReason::TooFarBehind { oldest_ns }),
        any::<(u64, u64)>().prop_map(|(limit_bytes, request_bytes)| RejectReason::StreamRate {
            limit_bytes,
            request_bytes
        }),
        Just(RejectReason::StreamLimit),
    ]
}

/// An admission that fits the request.
fn admission(request: &AdmitRequest, reasons: &[Option<RejectReason>]) -> Admission {
    let mut rejected: Vec<Rejection> = Vec::new();
    for (row, reason) in reasons.iter().enumerate().take(request.ts_ns.len()) {
        let run = request.runs.iter().find(|run| row < run.end as usize).unwrap();
        let Some(reason) = reason else { continue };
        match rejected.iter_mut().find(|rejection| rejection.stream == run.stream) {
            Some(rejection) => rejection.rows.push((row as u32, *reason)),
            None => {
                let rows = vec![(row as u32, *reason)];
                rejected.push(Rejection { stream: run.stream, rows });
            }
        }
    }
    Admission { rejected }
}

prop_compose! {
    fn read_stats()(counts in any::<[u64; 7]>()) -> ReadStats {
        let [rows, line_bytes, metadata_bytes, stored_bytes, pages, pages_pruned, rows_selected] =
            counts;
        ReadStats {
            rows, line_bytes, metadata_bytes, stored_bytes, pages, pages_pruned, rows_selected,
        }
    }
}

prop_compose! {
    fn query_stats()(
        parts in any::<[u64; 6]>(),
        ingester in any::<[u64; 3]>(),
        reads in (read_stats(), read_stats()),
        whole in any::<(u64, u64, bool)>(),
    ) -> QueryStats {
        let [count, groups, groups_read, streams, scan_ns, requests] = parts;
        let parts = PartStats {
            parts: count, groups, groups_read, streams, read: reads.0, scan_ns, requests,
        };
        QueryStats {
            parts,
            ingester: IngesterStats {
                reached: ingester[0], calls: ingester[1], streams: ingester[2], read: reads.1,
            },
            exec_ns: whole.0,
            entries_returned: whole.1,
            reads_metadata: whole.2,
        }
    }
}

fn ranges() -> impl Strategy<Value = Vec<StreamRange>> {
    let range = any::<(u64, i64, i64)>().prop_map(|(stream, min_ns, max_ns)| StreamRange {
        stream: StreamKey(stream),
        min_ns,
        max_ns,
    });
    prop::collection::vec(range, 0..10)
}

fn overlaps() -> impl Strategy<Value = Overlaps> {
    let intervals = prop::collection::vec((any::<i64>(), 0i64..100), 0..4);
    prop::collection::vec((0u64..5, intervals), 0..4).prop_map(|streams| {
        let streams = streams.into_iter().map(|(stream, intervals)| {
            let end = |(from, length): (i64, i64)| (from, from.saturating_add(length));
            (StreamKey(stream), intervals.into_iter().map(end).collect())
        });
        streams.collect()
    })
}

fn matchers() -> impl Strategy<Value = Vec<Vec<Matcher>>> {
    let op = prop::sample::select(vec![
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]);
    let matcher = (text(), op, text()).prop_map(|(name, op, value)| Matcher { name, op, value });
    prop::collection::vec(prop::collection::vec(matcher, 0..4), 0..4)
}

/// A leaf of some query, maybe a piece of it.
fn leaves() -> impl Strategy<Value = Arc<Leaf>> {
    let shard =
        (0u32..4, 1u32..5).prop_map(|(index, of)| logql::plan::Shard { index: index % of, of });
    (prop::sample::select(QUERIES), -100i64..100, 1i64..2_000, shard).prop_map(
        |(query, from_ns, length, shard)| {
            let range = logql::plan::TimeRange { from_ns, to_ns: from_ns + length };
            leaf(query).piece(range, shard)
        },
    )
}

fn query_error() -> impl Strategy<Value = QueryError> {
    let kinds =
        [QueryError::Invalid, QueryError::Unsupported, QueryError::Limited, QueryError::Internal];
    (prop::sample::select(kinds.to_vec()), text()).prop_map(|(kind, text)| kind(text))
}

fn ingester_error() -> impl Strategy<Value = IngesterError> {
    let kinds = [
        IngesterError::Misplaced,
        IngesterError::Forgotten,
        IngesterError::Unavailable,
        IngesterError::Corrupt,
        IngesterError::Internal,
    ];
    prop_oneof![
        query_error().prop_map(IngesterError::Query),
        Just(IngesterError::Cancelled),
        (prop::sample::select(kinds.to_vec()), text()).prop_map(|(kind, text)| kind(text)),
    ]
}

fn querier_error() -> impl Strategy<Value = QuerierError> {
    let kinds = [QuerierError::Unavailable, QuerierError::Corrupt, QuerierError::Internal];
    prop_oneof![
        query_error().prop_map(QuerierError::Query),
        Just(QuerierError::Timeout),
        Just(QuerierError::Cancelled),
        (prop::sample::select(kinds.to_vec()), text()).prop_map(|(kind, text)| kind(text)),
    ]
}

/// Everything here is ready at once.
fn now<F: std::future::Future>(future: F) -> F::Output {
    use futures::FutureExt;
    future.now_or_never().expect("nothing waits")
}

fn shown<T: std::fmt::Debug>(value: &T) -> String {
    format!("{value:?}")
}

proptest! {
    #[test]
    fn appends_arrive_and_are_answered(
        batches in prop::collection::vec(batch(), 0..4),
        error in ingester_error(),
    ) {
        let fake = Fake::new();
        let api = Loopback::new(fake.clone());
        let attempts = batches.iter().map(|batch| batch.attempt).collect();
        let answer = Appended { attempts };
        set(&fake.append, Reply::Answer(answer.clone()));
        prop_assert_eq!(now(api.append(batches.clone())).unwrap(), answer);
        prop_assert_eq!(&*fake.batches.lock().unwrap(), &batches);
        set(&fake.append, Reply::Fail(error.clone()));
        let failed = now(api.append(batches.clone())).unwrap_err();
        prop_assert_eq!(shown(&failed.error), shown(&error));
        prop_assert_eq!(failed.batches, batches);
    }

    #[test]
    fn admissions_arrive_and_are_answered(
        request in admit_request(),
        reasons in prop::collection::vec(prop::option::of(reason()), 50),
        error in ingester_error(),
    ) {
        let fake = Fake::new();
        let api = Loopback::new(fake.clone());
        let answer = admission(&request, &reasons);
        set(&fake.admit, Reply::Answer(answer.clone()));
        prop_assert_eq!(shown(&now(api.admit(request.clone())).unwrap()), shown(&answer));
        prop_assert_eq!(fake.asked(), shown(&request));
        set(&fake.admit, Reply::Fail(error.clone()));
        prop_assert_eq!(shown(&now(api.admit(request)).unwrap_err()), shown(&error));
    }

    #[test]
    fn selections_of_ingesters_arrive_and_are_answered(
        tenant in tenants(),
        leaf in leaves(),
        view in any::<u64>(),
        asked in stores(),
        overlaps in overlaps(),
        ranges in ranges(),
        stats in read_stats(),
        error in ingester_error(),
    ) {
        let fake = Fake::new();
        let api = Loopback::new(fake.clone());
        let cancel = base::shutdown::Shutdown::new();
        let overlaps = Arc::new(overlaps);
        let (store, leaf_of) = (asked.last().copied(), leaf.clone());
        let request =
            SelectRequest { tenant, leaf: leaf_of, view, asked, overlaps, store, cancel };
        let held = partial(&leaf);
        let (partial, of_streams) = (held.clone(), ranges.clone());
        let answer = SelectAnswer::Rows { ranges: of_streams, partial, stats, ring: view };
        set(&fake.select, Reply::Answer(answer));
        let got = now(IngesterApi::select(&api, request.clone())).unwrap();
        prop_assert_eq!(fake.asked(), select_text(&request));
        let SelectAnswer::Rows { ranges: got_ranges, partial: got, stats: got_stats, ring } = got
        else {
            panic!("rows were answered")
        };
        prop_assert_eq!((got_ranges, got_stats, ring), (ranges, stats, view));
        prop_assert_eq!(got.to_portable(), held.to_portable());
        set(&fake.select, Reply::Answer(SelectAnswer::Behind { floor: view }));
        let got = now(IngesterApi::select(&api, request.clone())).unwrap();
        let is_behind = matches!(got, SelectAnswer::Behind { floor } if floor == view);
        prop_assert!(is_behind);
        set(&fake.select, Reply::Fail(error.clone()));
        prop_assert_eq!(shown(&now(IngesterApi::select(&api, request)).unwrap_err()), shown(&error));
    }

    #[test]
    fn streams_and_identities_arrive_and_are_answered(
        tenant in tenants(),
        selectors in matchers(),
        times in any::<(i64, i64, u64)>(),
        asked in stores(),
        streams in prop::collection::vec(labels(), 0..6),
        templates in prop::collection::vec((text(), text(), any::<u64>()), 0..4),
        zone in text(),
        error in ingester_error(),
    ) {
        let fake = Fake::new();
        let api = Loopback::new(fake.clone());
        let (from_ns, to_ns, view) = times;
        let store = asked.first().copied();
        let wants = !templates.is_empty();
        let request = StreamsRequest {
            tenant,
            selectors,
            from_ns,
            to_ns,
            view,
            asked,
            store,
            templates: wants,
        };
        let template = |(level, text, rows)| LineTemplate { level, text, rows };
        let templates = templates.into_iter().map(template).collect();
        let answer = StreamsAnswer::Streams { streams, templates, ring: view };
        set(&fake.streams, Reply::Answer(answer.clone()));
        prop_assert_eq!(shown(&now(api.streams(request.clone())).unwrap()), shown(&answer));
        prop_assert_eq!(fake.asked(), shown(&request));
        let answer = StreamsAnswer::Behind { floor: view };
        set(&fake.streams, Reply::Answer(answer.clone()));
        prop_assert_eq!(shown(&now(api.streams(request)).unwrap()), shown(&answer));
        let identity = Identity { store: StoreId(Ulid(u128::from(view) << 64)), zone };
        set(&fake.identify, Reply::Answer(identity.clone()));
        prop_assert_eq!(now(api.identify()).unwrap(), identity);
        set(&fake.identify, Reply::Fail(error.clone()));
        prop_assert_eq!(shown(&now(api.identify()).unwrap_err()), shown(&error));
    }

    #[test]
    fn jobs_arrive_and_are_answered(
        tenant in tenants(),
        leaf in leaves(),
        stats in query_stats(),
        warnings in prop::collection::vec(text(), 0..3),
        selectors in matchers(),
        times in any::<(i64, i64)>(),
        streams in prop::collection::vec(labels(), 0..6),
        error in querier_error(),
    ) {
        let fake = Fake::new();
        let api = Loopback::new(fake.clone());
        let job = SelectJob { tenant: tenant.clone(), leaf: leaf.clone() };
        let answer = Selected { partial: partial(&leaf), stats, warnings: warnings.clone() };
        set(&fake.selected, Reply::Answer(answer.clone()));
        let got = now(QuerierApi::select(&api, job.clone())).unwrap();
        prop_assert_eq!(fake.asked(), job_text(&job));
        prop_assert_eq!(got.partial.to_portable(), answer.partial.to_portable());
        prop_assert_eq!((got.stats, got.warnings), (answer.stats, answer.warnings));
        set(&fake.selected, Reply::Fail(error.clone()));
        prop_assert_eq!(shown(&now(QuerierApi::select(&api, job)).unwrap_err()), shown(&error));

        let name = warnings.first().cloned().unwrap_or_default();
        for (listing, answer) in [
            (Listing::Streams, Listed::Streams(streams)),
            (Listing::Names, Listed::Texts(warnings)),
            (Listing::Values(name), Listed::Texts(Vec::new())),
        ] {
            let (start, end) = (UnixNanos(times.0), UnixNanos(times.1));
            let (tenant, selectors) = (tenant.clone(), selectors.clone());
            let job = ListJob { tenant, listing, selectors, start, end };
            set(&fake.listed, Reply::Answer(answer.clone()));
            prop_assert_eq!(now(api.list(job.clone())).unwrap(), answer);
            prop_assert_eq!(fake.asked(), shown(&job));
        }
    }
}

#[tokio::test]
async fn a_worker_gets_its_jobs_through_bytes() {
    let frontend = Arc::new(FakeFrontend::default());
    let api = Loopback::new(frontend.clone());
    let fake = Fake::new();
    set(&fake.listed, Reply::Answer(Listed::Texts(vec!["app".to_owned()])));
    let worker = Worker { querier: "q-1".to_owned() };
    let stay = api.work(worker.clone(), fake.clone());
    let (ended, ()) = tokio::join!(stay, async {
        let (came, querier) = frontend.worker().await;
        assert_eq!(came, worker);
        let (start, end) = (UnixNanos(0), UnixNanos(1));
        let tenant = crate::testing::tenant();
        let job = ListJob { tenant, listing: Listing::Names, selectors: Vec::new(), start, end };
        assert_eq!(querier.list(job).await.unwrap(), Listed::Texts(vec!["app".to_owned()]));
        frontend.stopping.cancel();
    });
    ended.unwrap();
    let unwelcome = Worker { querier: "unwelcome".to_owned() };
    let error = api.work(unwelcome, fake).await.unwrap_err();
    assert_eq!(shown(&error), "Unavailable(\"not you\")");
}

#[test]
fn an_admission_of_rows_that_were_not_asked_for_is_refused() {
    let fake = Fake::new();
    let api = Loopback::new(fake.clone());
    let tenant = crate::testing::tenant();
    let request = AdmitRequest {
        tenant,
        streams: vec![Labels::empty()],
        runs: vec![Run { stream: 0, end: 1 }],
        ts_ns: vec![1],
        sizes: vec![1],
    };
    for (stream, row) in [(1, 0), (0, 1)] {
        let rows = vec![(row, RejectReason::StreamLimit)];
        let admission = Admission { rejected: vec![Rejection { stream, rows }] };
        set(&fake.admit, Reply::Answer(admission));
        let error = now(api.admit(request.clone())).unwrap_err();
        assert!(matches!(error, IngesterError::Corrupt(_)), "{error:?}");
    }
}
