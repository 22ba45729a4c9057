use super::*;

const NOW: UnixNanos = UnixNanos(2_000_000_000_000_000_000);
const SECOND: i64 = 1_000_000_000;

fn form(query: &str) -> Form {
    Form::parse(query, b"").unwrap()
}

fn range(query: &str) -> Result<RangeQuery, String> {
    RangeQuery::parse(&form(query), NOW).map_err(|error| error.0)
}

fn refused(query: &str) -> String {
    range(query).unwrap_err()
}

const RANGE: &str = "start=1714557600&end=1714564800";

#[test]
fn everything_has_lokis_default() {
    let query = range("").unwrap();
    assert_eq!(query.end, NOW);
    assert_eq!(query.start.0, NOW.0 - 3600 * SECOND);
    assert_eq!(query.step_ns, 14 * SECOND);
    assert_eq!((query.limit, query.interval_ns), (100, 0));
    assert_eq!(query.direction, Direction::Backward);
    let instant = InstantQuery::parse(&form("query=1"), NOW).unwrap();
    assert_eq!((instant.time, instant.limit), (NOW, 100));
}

#[test]
fn timestamps_are_read_by_their_form() {
    for (text, ns) in [
        ("1714557600", 1_714_557_600 * SECOND),
        ("-1", -SECOND),
        ("1714557600.5", 1_714_557_600 * SECOND + SECOND / 2),
        ("1714558200.0004", 1_714_558_200 * SECOND),
        ("1714558800.0016", 1_714_558_800 * SECOND + 2_000_000),
        ("1714558200000", 1_714_558_200_000),
        ("1714558200000000001", 1_714_558_200_000_000_001),
        ("2024-05-01T12:10:00+02:00", 1_714_558_200 * SECOND),
        ("2024-05-01T10:10:00.25Z", 1_714_558_200 * SECOND + SECOND / 4),
        ("", NOW.0),
    ] {
        assert_eq!(timestamp(text, NOW), Ok(UnixNanos(ns)), "{text}");
    }
    for text in ["abc", "2024-05-01", "now", "1e9", "1714557600,5", "2024-13-01T00:00:00Z"] {
        let want = format!("strconv.ParseInt: parsing \"{text}\": invalid syntax");
        assert_eq!(timestamp(text, NOW), Err(want));
    }
    let want = "strconv.ParseInt: parsing \"99999999999999999999\": value out of range";
    assert_eq!(timestamp("99999999999999999999", NOW), Err(want.to_owned()));
}

#[test]
fn since_counts_back_from_the_end_or_from_now() {
    let query = range("end=1714561200&since=1h30m").unwrap();
    assert_eq!(query.start.0, (1_714_561_200 - 5400) * SECOND);
    let query = range("end=2000000600&since=10m").unwrap();
    assert_eq!(query.start.0, NOW.0 - 600 * SECOND, "an end in the future does not count");
    let query = range("start=1714561000&end=1714561200&since=1h").unwrap();
    assert_eq!(query.start.0, 1_714_561_000 * SECOND, "an explicit start wins");
    let since = "could not parse 'since' parameter: ";
    for (text, error) in [
        ("abc", "not a valid duration string: \"abc\""),
        ("5", "not a valid duration string: \"5\""),
        ("1x", "unknown unit \"x\" in duration \"1x\""),
    ] {
        assert_eq!(refused(&format!("since={text}")), format!("{since}{error}"));
    }
}

#[test]
fn a_range_is_validated_in_lokis_order() {
    let first = |queries: &[(&str, &str)]| {
        // Each text is what remains when all earlier mistakes are corrected.
        for (query, text) in queries {
            assert_eq!(refused(query), *text, "{query}");
        }
    };
    first(&[
        (
            "since=x&end=x&start=x&limit=x",
            "could not parse 'since' parameter: not a valid duration string: \"x\"",
        ),
        (
            "end=x&start=x&limit=x",
            "could not parse 'end' parameter: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "end=5&start=x&limit=x",
            "could not parse 'start' parameter: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        ("end=5&start=6&limit=x", "end timestamp must not be before or equal to start time"),
        ("end=6&start=5&limit=x&direction=x&step=x", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("end=6&start=5&limit=0&direction=x&step=x", "limit must be a positive value"),
        (
            "end=6&start=5&limit=4294967296&direction=x",
            "limit value 4294967296 is out of range [0, 4294967295]",
        ),
        ("end=6&start=5&direction=x&step=x", "invalid direction 'x'"),
        ("end=6&start=5&step=x&interval=x", "cannot parse \"x\" to a valid duration"),
        ("end=6&start=5&step=1e400&interval=x", "cannot parse \"1e400\" to a valid duration"),
        (
            "end=6&start=5&step=1e300&interval=x",
            "cannot parse \"1e300\" to a valid duration. It overflows int64",
        ),
        ("end=6&start=5&interval=x", "cannot parse \"x\" to a valid duration"),
        ("end=6&start=5&interval=-5", "interval must be >= 0"),
        ("end=6&start=5&interval=NaN", "interval must be >= 0"),
    ]);
}

#[test]
fn steps_are_positive_and_leave_at_most_11000_points() {
    for step in ["0", "-5", "0s", "NaN"] {
        let text = refused(&format!("{RANGE}&step={step}"));
        assert!(text.starts_with("zero or negative query resolution"), "{step}: {text}");
    }
    for step in ["0.65", "0.0001", "1ms"] {
        let text = refused(&format!("{RANGE}&step={step}"));
        assert!(text.starts_with("exceeded maximum resolution of 11,000"), "{step}: {text}");
    }
    for (step, ns) in [
        ("0.7", 700_000_000),
        ("600", 600 * SECOND),
        ("7200ms", 7200 * 1_000_000),
        ("1m0s", 60 * SECOND),
        ("1d", 86_400 * SECOND),
        ("", 28 * SECOND),
    ] {
        assert_eq!(range(&format!("{RANGE}&step={step}")).unwrap().step_ns, ns, "{step}");
    }
}

#[test]
fn instant_queries_check_limit_then_time_then_direction() {
    let refused = |query: &str| InstantQuery::parse(&form(query), NOW).unwrap_err().0;
    assert_eq!(refused("limit=0&time=x&direction=x"), "limit must be a positive value");
    let time = "strconv.ParseInt: parsing \"x\": invalid syntax";
    assert_eq!(refused("time=x&direction=x"), time);
    assert_eq!(refused("direction=sideways"), "invalid direction 'sideways'");
}

#[test]
fn directions_ignore_case_but_not_spaces() {
    for (text, want) in [
        ("FORWARD", Direction::Forward),
        ("Forward", Direction::Forward),
        ("Backward", Direction::Backward),
        ("", Direction::Backward),
    ] {
        assert_eq!(direction(&form(&format!("direction={text}"))), Ok(want));
    }
    let error = direction(&form("direction=%20forward")).unwrap_err();
    assert_eq!(error.0, "invalid direction ' forward'");
}
