//! Queries as guides show them, with their answers or with Loki's error (`testdata/seed-queries.txt`).

use super::*;

const FILE: &str = include_str!("../../../testdata/seed-queries.txt");
const MS: i64 = 1_000_000;

fn streams() -> Vec<Labels> {
    let service = |level: &str| {
        let pairs = [("service", "aegisx-api"), ("level", level), ("complianceLevel", "HIPAA")];
        Labels::from_pairs(pairs)
    };
    let job = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    vec![
        service("error"),
        job(&[("service", "aegisx-api"), ("level", "info")]),
        job(&[("job", "fraiseql-app"), ("level", "error")]),
        job(&[("job", "fraiseql-app")]),
        job(&[("job", "postgresql")]),
        job(&[("job", "fraiseql-errors")]),
        job(&[("job", "fraiseql"), ("env", "production")]),
        job(&[("job", "oversight-app")]),
        job(&[("job", "nginx")]),
        job(&[("job", "audit")]),
        job(&[("container", "oversight-api")]),
    ]
}

/// Rows of each stream above, a second apart.
const LINES: &[&[&str]] = &[
    &[
        "AUDIT: login of admin failed",
        r#"{"method":"POST","statusCode":500,"errorMessage":"boom","responseTime":1500,"correlationId":"30da77f5-faef-490b-9218-1db2628d4764"}"#,
        r#"{"method":"GET","statusCode":404,"errorMessage":"gone","responseTime":"12"}"#,
    ],
    &[
        "HTTP Request Completed",
        r#"{"method":"POST","statusCode":200,"responseTime":20,"level":"debug","correlationId":"your-correlation-id-here"}"#,
        "user Login",
    ],
    &[
        r#"{"level":"error","exception_type":"DatabaseConnectionError","trace_id":"abc123def456","context":{"user_id":"user_789","tenant_id":7}}"#,
        "authentication failed for bob",
    ],
    &[
        r#"{"level":"error","exception_type":"TimeoutError","context":{"tenant_id":"t2"}}"#,
        r#"{"level":"info","context":{"tenant_id":"t2"}}"#,
    ],
    &["duration: 1500.25 ms  statement: select 1", "checkpoint"],
    &[r#"{"fingerprint":"f1"}"#, r#"{"fingerprint":"f1"}"#, r#"{"fingerprint":"f2"}"#],
    &[
        r#"{"user_id":"123","level":"error","error_message":"no","trace_id":"abc123"}"#,
        r#"{"user_id":"456","level":"info"}"#,
    ],
    &[
        r#"{"level":"error","timestamp":"10:00","service":"pay","message":"card error"}"#,
        r#"{"msg":"Database Query","method":"GET","path":"/q","duration":2000,"slow":"true","query":"select 2"}"#,
        r#"{"msg":"login failed","timestamp":"10:01","ip":"10.0.0.1","username":"eve"}"#,
        "plain HTTP Request error",
    ],
    &[r#"{"status":200}"#, r#"{"status":200}"#, r#"{"status":502}"#],
    &[r#"{"action":"CREATE","user":"ann","resource":"r1"}"#, "access denied"],
    &[r#"{"level":"ERROR","msg":"it broke"}"#, r#"{"level":"info","msg":"fine"}"#],
];

fn rows() -> Vec<TestRow> {
    let mut rows = Vec::new();
    for (stream, lines) in LINES.iter().enumerate() {
        for (at, line) in lines.iter().enumerate() {
            let ts_ns = (at as i64 + 1) * 1_000 * MS;
            rows.push(TestRow { stream, ts_ns, line: (*line).to_owned(), metadata: Vec::new() });
        }
    }
    rows
}

fn answer(query: &str) -> Vec<String> {
    let expr = match syntax::parse(query) {
        Ok(expr) => expr,
        Err(error) => return vec![format!("! {error}")],
    };
    let (end, step) = (10_000 * MS, 10_000 * MS);
    let params = match expr {
        syntax::Expr::Log(_) => params(0, end, 0),
        syntax::Expr::Metric(_) => params(end, end, step),
    };
    match evaluate(query, &params, &streams(), &rows()) {
        Ok((answer, _)) => show(&answer),
        Err(error) => vec![format!("! {}", error.to_string().replace('\n', "\\n"))],
    }
}

#[test]
fn every_query_that_guides_show_is_answered_or_fails_as_in_loki() {
    let mut have = String::new();
    for line in FILE.lines().filter(|line| line.starts_with(['#', '?']) || line.is_empty()) {
        have.push_str(line);
        have.push('\n');
        if let Some(query) = line.strip_prefix("? ") {
            for line in answer(query) {
                have.push_str(&line);
                have.push('\n');
            }
        }
    }
    for (have, want) in have.lines().zip(FILE.lines()) {
        assert_eq!(have, want);
    }
    assert_eq!(have, FILE);
}
