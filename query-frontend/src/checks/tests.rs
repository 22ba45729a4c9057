use logql::plan::Direction;
use logql::syntax::{Grouping, VectorAggregation, VectorOp};

use super::*;
use crate::StaticLimits;

const HOUR: i64 = 3_600_000_000_000;
const NOW: UnixNanos = UnixNanos(1_714_564_800_000_000_000);

fn tenants() -> Tenants {
    Tenants::one(TenantId::new("acme").unwrap())
}

fn matcher(name: &str) -> Matcher {
    Matcher { name: name.to_owned(), op: MatchOp::Equal, value: "x".to_owned() }
}

fn log() -> LogExpr {
    LogExpr { matchers: vec![matcher("job")], stages: vec![] }
}

fn over(op: RangeOp, hours: u64) -> MetricExpr {
    MetricExpr::Range(RangeAggregation {
        op,
        parameter: None,
        log: log(),
        unwrap: None,
        range: Duration::from_secs(hours * 3600),
        offset_ns: 0,
        grouping: None,
    })
}

fn summed(inner: MetricExpr) -> Expr {
    let grouping = Some(Grouping { without: false, labels: vec![] });
    let op = VectorOp::Sum;
    let inner = Box::new(inner);
    Expr::Metric(MetricExpr::Vector(VectorAggregation { op, parameter: None, grouping, inner }))
}

fn query(start_ns: i64, end_ns: i64, step_ns: i64) -> RangeQuery {
    RangeQuery {
        query: String::new(),
        start: UnixNanos(start_ns),
        end: UnixNanos(end_ns),
        step_ns,
        interval_ns: 0,
        limit: 100,
        direction: Direction::Backward,
    }
}

fn range_with(limits: &StaticLimits, expr: &Expr, query: &mut RangeQuery) -> Result<(), String> {
    let tenants = tenants();
    let checks = Checks { limits, tenants: &tenants, now: NOW };
    checks.range(expr, query).map_err(|refusal| refusal.0)
}

#[test]
fn the_limit_of_entries_counts_for_log_queries_only() {
    let limits = StaticLimits::default();
    let mut asked = query(NOW.0 - HOUR, NOW.0, HOUR);
    asked.limit = 5001;
    assert_eq!(
        range_with(&limits, &Expr::Log(log()), &mut asked.clone()).unwrap_err(),
        "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)"
    );
    assert_eq!(range_with(&limits, &summed(over(RangeOp::Rate, 1)), &mut asked), Ok(()));
}

#[test]
fn the_length_is_limited_for_the_request_and_for_each_piece_with_its_range() {
    let limits = StaticLimits {
        split_queries_by_interval: Duration::from_secs(86_400),
        ..StaticLimits::default()
    };
    let text = |length: &str| {
        format!("the query time range exceeds the limit (query length: {length}, limit: 30d1h)")
    };
    let logs = Expr::Log(log());
    let rate = |hours| summed(over(RangeOp::Rate, hours));
    for (expr, hours, want) in [
        (&logs, 721, Ok(())),
        (&logs, 745, Err(text("745h0m0s"))),
        (&rate(1), 721, Ok(())),
        (&rate(1), 722, Err(text("722h0m0s"))),
        (&rate(744), 2, Err(text("746h0m0.000000001s"))),
        (&rate(721), 2, Err(text("723h0m0.000000001s"))),
        (&rate(697), 24 * 30, Err(text("721h0m0.000000001s"))),
        (&rate(696), 24 * 30, Ok(())),
    ] {
        let mut asked = query(NOW.0 - hours * HOUR, NOW.0, HOUR);
        assert_eq!(range_with(&limits, expr, &mut asked), want, "{hours}");
    }
}

#[test]
fn an_instant_is_limited_by_its_range_unless_loki_would_cut_it() {
    let limits = StaticLimits::default();
    let tenants = tenants();
    let checks = Checks { limits: &limits, tenants: &tenants, now: NOW };
    assert_eq!(checks.instant(&summed(over(RangeOp::Rate, 744)), NOW), Ok(()));
    let refused = checks.instant(&summed(over(RangeOp::LastOverTime, 744)), NOW).unwrap_err();
    assert_eq!(
        refused.0,
        "the query time range exceeds the limit (query length: 744h0m0.000000001s, limit: 30d1h)"
    );
    let refused = checks.instant(&Expr::Log(log()), NOW).unwrap_err();
    assert!(refused.0.starts_with("log queries are not supported as an instant query type"));
}

#[test]
fn the_lookback_moves_the_start_and_refuses_what_lies_before_it() {
    let limits = StaticLimits {
        max_query_lookback: Duration::from_secs(7 * 86_400),
        ..StaticLimits::default()
    };
    let mut asked = query(NOW.0 - 10 * 24 * HOUR, NOW.0, HOUR);
    range_with(&limits, &Expr::Log(log()), &mut asked).unwrap();
    assert_eq!(asked.start.0, NOW.0 - 7 * 24 * HOUR);
    let mut asked = query(NOW.0 - 10 * 24 * HOUR, NOW.0 - 8 * 24 * HOUR, HOUR);
    assert_eq!(
        range_with(&limits, &Expr::Log(log()), &mut asked).unwrap_err(),
        "this data is no longer available, it is past now - max_query_lookback (1w)"
    );
    let tenants = tenants();
    let checks = Checks { limits: &limits, tenants: &tenants, now: NOW };
    let constant = Expr::Metric(MetricExpr::VectorFn(1.0));
    assert_eq!(checks.instant(&constant, UnixNanos(0)), Ok(()), "reads nothing");
    assert!(checks.instant(&summed(over(RangeOp::Rate, 1)), UnixNanos(0)).is_err());
}

#[test]
fn metric_queries_are_aligned_to_their_step() {
    let limits = StaticLimits::default();
    const S: i64 = 1_000_000_000;
    for (start, end, step, first, last) in [
        (1_714_557_600 * S, 1_714_557_601 * S, 60 * S, 1_714_557_600 * S, 1_714_557_660 * S),
        (1_714_557_601 * S, 1_714_561_201 * S, 600 * S, 1_714_557_600 * S, 1_714_561_800 * S),
        (600 * S + 1, 1200 * S + 1, 600 * S, 600 * S, 1800 * S),
        // 900.5 s; the step's part of a millisecond does not count
        (
            1_714_557_600 * S,
            1_714_564_800 * S + 5,
            900_500_000_123,
            1_714_557_403 * S,
            1_714_565_507_500_000_000,
        ),
        (1_714_557_600 * S, 1_714_557_600 * S, 3600 * S, 1_714_557_600 * S, 1_714_557_600 * S),
        (-S, S, 60 * S, -60 * S, 60 * S),
    ] {
        let mut asked = query(start, end, step);
        range_with(&limits, &summed(over(RangeOp::Rate, 1)), &mut asked).unwrap();
        assert_eq!((asked.start.0, asked.end.0), (first, last), "{start} {end} {step}");
    }
    let mut asked = query(7, 9, 60 * S);
    range_with(&limits, &Expr::Log(log()), &mut asked).unwrap();
    assert_eq!((asked.start.0, asked.end.0), (7, 9), "log queries are not");
}

#[test]
fn selectors_are_checked_in_every_leaf() {
    let expr = summed(over(RangeOp::Rate, 1));
    let refused = |limits: &StaticLimits| {
        range_with(limits, &expr, &mut query(NOW.0 - HOUR, NOW.0, HOUR)).unwrap_err()
    };
    let limits = StaticLimits { required_labels: vec!["env".to_owned()], ..Default::default() };
    assert_eq!(
        refused(&limits),
        "stream selector is missing required matchers [env], labels present in the query were [job]"
    );
    let limits = StaticLimits { minimum_labels_number: 2, ..Default::default() };
    assert_eq!(
        refused(&limits),
        "stream selector has less label matchers than required: (present: [job], \
         number_present: 1, required_number_label_matchers: 2)"
    );
    let limits = StaticLimits { max_query_range: Duration::from_secs(1800), ..Default::default() };
    assert_eq!(refused(&limits), "[interval] value exceeds limit: [1h] > [30m]");
}

#[test]
fn a_blocked_query_is_refused_before_it_is_planned() {
    let text = "sum(rate({job=\"x\"}[1m]))";
    let rule = crate::BlockedQuery { pattern: text.to_owned(), ..Default::default() };
    let limits = StaticLimits { blocked_queries: vec![rule], ..StaticLimits::default() };
    let tenants = tenants();
    let checks = Checks { limits: &limits, tenants: &tenants, now: NOW };
    let blocked = |text: &str| {
        let expr = logql::syntax::parse(text).unwrap();
        checks.blocked(Subject { text, expr: &expr, tags: "" }).map_err(|refusal| refusal.0)
    };
    assert_eq!(blocked(text), Err("query blocked by policy".to_owned()));
    assert_eq!(blocked("{job=\"x\"}"), Ok(()));
}

#[test]
fn several_tenants_have_the_smallest_limit_that_is_one() {
    let ids = ["a", "b", "c"].map(|id| TenantId::new(id).unwrap());
    let limit = |tenant: &TenantId| match tenant.as_str() {
        "a" => 0,
        "b" => 7,
        _ => 9,
    };
    let limits = StaticLimits::default();
    let of = |ids: &[TenantId]| OfAll { limits: &limits, tenants: ids }.smallest(|_, id| limit(id));
    assert_eq!(of(&ids), 7);
    assert_eq!(of(&ids[..1]), 0, "no limit at all");
    assert_eq!(of(&ids[2..]), 9);
}
