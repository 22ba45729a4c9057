use super::*;
use crate::limits::PushLimits;

fn detector() -> Detector {
    let limits = PushLimits::default();
    Detector::new(&limits.log_level_fields, limits.log_level_from_json_max_depth)
}

/// Recorded from Loki.
#[test]
fn lines_tell_their_level_as_recorded() {
    let detector = detector();
    for (level, lines) in [
        (Level::Trace, &["trace", r#"severity="Trace" x"#][..]),
        (Level::Debug, &["level=DBG", "debug info", "level=debug x #3"]),
        (
            Level::Info,
            &[
                "INFO starting #0",
                r#"{"msg":"x","Severity":"info"}"#,
                r#"{"level": "info", "msg": "error"}"#,
                r#" {"level":"info"}"#,
                "info warn error",
            ],
        ),
        (
            Level::Warn,
            &[
                r#"{"level":"WARN"}"#,
                "warn",
                "[WARN] low disk #1",
                "WARNING deprecated #14",
                r#"{"lvl":"wrn"}"#,
                r#"{"LEVEL":"Warn"}"#,
            ],
        ),
        (
            Level::Error,
            &[
                r#"{"a":{"level":"error"}}"#,
                r#"{"a":{"b":{"level":"error"}}}"#,
                "an error occurred",
                "ERROR",
                "[err]",
                "level = error",
                "level=err",
                "error warn info",
                "error: boom #2",
                "lvl=err a=b #36",
                "err #47",
                "\x1b[31mERROR\x1b[0m something \x1b[1;33mbroke\x1b[0m level=error n=0",
                r#"{"log":{"level":"error"}}"#,
                r#"{"pod":"p-3","container":"main","_entry":"level=error code=55"}"#,
                "2024-05-01 11:21:52.925 UTC [114] ERROR:  duplicate key value",
                r#"ts=2024-05-01T11:09:00Z level=error msg="retry in 5s" user="dan b" level=dup"#,
            ],
        ),
        (Level::Critical, &["critical", "critical failure #34"]),
        (Level::Fatal, &["LEVEL=fatal", "FATAL", r#"level="Fatal" y #46"#, "FATAL crash #29"]),
        (
            Level::Unknown,
            &[
                "",
                " ",
                r#"{"level":5}"#,
                r#"{"lvl":"crit"}"#,
                "errors",
                "xerrorx",
                "debugging",
                "information",
                "level:error",
                "time=x level=notice",
                r#"level="""#,
                "level=W",
                "level=panic",
                "CRIT",
                "panic",
                "exception",
                "\x1b[32mINFO\x1b[0m all fine n=1",
                "v=-Inf i=8",
                "dbg verbose #43",
                "Information: hi #38",
                "no errors found #41",
                "level=unknownlvl #48",
            ],
        ),
    ] {
        for line in lines {
            assert_eq!(detector.line(line.as_bytes()), level, "{line}");
        }
    }
}

#[test]
fn fields_are_found_past_what_looks_like_them() {
    let detector = detector();
    for (line, level) in [
        (r#"{"msg":"\"level\":\"debug\"","level":"warn"}"#, Level::Warn),
        (r#"{"list":[{"level":"debug"}],"level":"warn"}"#, Level::Warn),
        (r#"{"level":{"level":"debug"},"x":1}"#, Level::Debug),
        (r#"{"a":{"b":{"x":"}"}},"severity":"ERROR"}"#, Level::Error),
        (r#"{"level":"info""#, Level::Info),
        (r#"msg="level=debug" level=warn"#, Level::Warn),
        (r#"msg="say \"level=debug\"" lvl=warn"#, Level::Warn),
        ("q=a&level=debug lvl=error", Level::Error),
        (r#"msg="open level=debug"#, Level::Debug),
    ] {
        assert_eq!(detector.line(line.as_bytes()), level, "{line}");
    }
}

#[test]
fn depth_zero_is_any_depth() {
    let fields = PushLimits::default().log_level_fields;
    let line = br#"{"a":{"b":{"c":{"level":"fatal"}}},"msg":"an error"}"#;
    assert_eq!(Detector::new(&fields, 0).line(line), Level::Fatal);
    assert_eq!(Detector::new(&fields, 2).line(line), Level::Fatal);
    let line = br#"{"msg":"an error","a":{"b":{"c":{"level":"fatal"}}}}"#;
    assert_eq!(Detector::new(&fields, 0).line(line), Level::Fatal);
    assert_eq!(Detector::new(&fields, 2).line(line), Level::Error);
}

#[test]
fn the_search_for_words_agrees_with_looking_everywhere() {
    let fast = words::Words::new();
    let alphabet = b"erRoOwaAnN iInNfFo[]:=\"tTcCdDbuUgGlL";
    let mut state = 7u64;
    for _ in 0..20_000 {
        let mut line = Vec::new();
        for _ in 0..state % 60 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            line.push(alphabet[(state >> 40) as usize % alphabet.len()]);
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if state.is_multiple_of(3) {
            line.extend_from_slice(b" Error ");
        }
        let slow = words::Words::slow();
        assert_eq!(fast.find(&line), slow.find(&line), "{:?}", String::from_utf8_lossy(&line));
    }
}
