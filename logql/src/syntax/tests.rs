//! Every recorded query parses or fails as recorded.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::*;

/// A recorded request: its name, query, status and body.
struct Case {
    name: String,
    path: String,
    query: String,
    status: u64,
    body: String,
}

fn recorded() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance/cases");
    let mut cases = Vec::new();
    let files = std::fs::read_dir(&folder).expect("the conformance cases are in the tree");
    for file in files {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let json: Json = serde_json::from_str(&text).unwrap();
        for case in json["cases"].as_array().unwrap() {
            let query = ["params", "form"].iter().find_map(|from| case[from]["query"].as_str());
            let Some(query) = query else { continue };
            let body = match &case["body_json"] {
                Json::Null => case["body_text"].as_str().unwrap_or_default().to_owned(),
                json => json.to_string(),
            };
            cases.push(Case {
                name: case["name"].as_str().unwrap().to_owned(),
                path: case["path"].as_str().unwrap().to_owned(),
                query: query.to_owned(),
                status: case["status"].as_u64().unwrap(),
                body,
            });
        }
    }
    assert!(cases.len() > 1_000, "{} recorded queries", cases.len());
    cases
}

#[test]
fn every_recorded_query_parses_or_fails_as_recorded() {
    let mut wrong = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for case in recorded() {
        if !case.path.ends_with("/query_range") && !case.path.ends_with("/query") {
            continue;
        }
        let ours = parse(&case.query).err().map(|error| error.text);
        // Stage errors are found later, when a stream matches.
        let refused = case.status == 400
            && case.body.starts_with("parse error")
            && !case.body.starts_with("parse error : stage '");
        let same = if refused {
            bad += 1;
            ours.as_deref() == Some(case.body.trim_end())
        } else {
            good += 1;
            ours.is_none()
        };
        if !same {
            let body: String = case.body.chars().take(300).collect();
            wrong.push(format!("{}: {}\n  {body}\n  {ours:?}", case.name, case.query));
        }
    }
    assert!(good > 1_000 && bad > 200, "{good} {bad}");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
