use proptest::prelude::*;
use serde_json::json;

use super::super::{Entry, Fault};
use super::*;

/// What a decoder finds, owned.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    streams: Vec<Vec<(String, String)>>,
    entries: Vec<Row>,
}

type Row = (i64, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

impl Sink for Found {
    fn stream(&mut self, raw: RawLabels<'_>) -> Result<(), Fault> {
        let RawLabels::Json(raw) = raw else { panic!("JSON labels") };
        self.streams.push(labels(raw)?);
        Ok(())
    }
    fn entry(&mut self, entry: &Entry<'_>) {
        let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
        let metadata = entry.metadata.iter().map(owned).collect();
        self.entries.push((entry.ts_ns, entry.line.to_vec(), metadata));
    }
    fn restart(&mut self) {
        *self = Found::default();
    }
}

fn found(body: &[u8]) -> Result<Found, Error> {
    let mut found = Found::default();
    // Twice with the same pieces: nothing of the first may show in the second.
    let mut pieces = Pieces::default();
    decode(body, None, &mut pieces, &mut found)?;
    let once = std::mem::take(&mut found);
    decode(body, None, &mut pieces, &mut found)?;
    assert_eq!(found, once);
    Ok(once)
}

/// `text` as JSON, with every `nth` character as a `\\u` escape.
fn escaped(text: &str, nth: usize) -> String {
    let mut out = String::from("\"");
    for (index, character) in text.chars().enumerate() {
        if nth > 0 && index % nth == 0 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            let quoted = serde_json::to_string(&character.to_string()).unwrap();
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    out.push('"');
    out
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        rows in prop::collection::vec((any::<i64>(), ".{0,60}", prop::collection::vec((".{0,9}", ".{0,9}"), 0..3)), 0..6),
        nth in 0usize..5,
        values_first in any::<bool>(),
    ) {
        let written: Vec<String> = rows
            .iter()
            .map(|(ts, line, metadata)| {
                let pairs: Vec<String> = metadata
                    .iter()
                    .map(|(name, value)| format!("{}: {}", escaped(name, nth), escaped(value, nth)))
                    .collect();
                format!(r#"[ "{ts}" ,{}, {{{}}}]"#, escaped(line, nth), pairs.join(" , "))
            })
            .collect();
        let labels = r#""stream":{"b":"2","a":"1"}"#;
        let values = format!(r#""values":[{}]"#, written.join(","));
        let (first, second) =
            if values_first { (values.as_str(), labels) } else { (labels, values.as_str()) };
        let body = format!(r#"{{"streams":[{{{first},{second}}}]}}"#);
        let found = found(body.as_bytes()).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        prop_assert_eq!(found.streams, [vec![pair("a", "1"), pair("b", "2")]]);
        let want: Vec<Row> = rows
            .iter()
            .map(|(ts, line, metadata)| {
                let bytes = |text: &String| text.clone().into_bytes();
                let pairs = metadata.iter().map(|(name, value)| (bytes(name), bytes(value)));
                (*ts, bytes(line), pairs.collect())
            })
            .collect();
        prop_assert_eq!(found.entries, want);
    }

    #[test]
    fn a_body_that_is_cut_anywhere_is_refused(cut in 0usize..1000) {
        let body = json!({"x": [1.5, null, {"y": []}], "streams": [{
            "stream": {"a": "b", "c": 5},
            "values": [["1", "line \" \\ ž", {"k": "v"}, true], null, ["2"]],
        }]});
        let body = body.to_string();
        let cut = cut % body.len();
        prop_assert!(found(&body.as_bytes()[..cut]).is_err(), "{}", &body[..cut.min(body.len())]);
        prop_assert!(found(body.as_bytes()).is_ok());
    }
}

#[test]
fn a_body_whose_encoding_broke_off_is_told_in_the_encodings_words() {
    let read = |body: &str, cut| {
        decode(body.as_bytes(), Some(cut), &mut Pieces::default(), &mut Found::default())
    };
    let whole = r#"{"streams":[{"stream":{},"values":[["1","x"]]}]}"#;
    assert_eq!(read(whole, "unexpected EOF"), Ok(1), "nobody reads on after the last brace");
    for end in 1..whole.len() {
        let error = read(&whole[..end], "unexpected EOF").unwrap_err();
        assert_eq!(error, Error::new(400, "unexpected EOF"), "{}", &whole[..end]);
    }
    assert_eq!(read("", "flate: corrupt input before offset 5"), Err(Error::new(400, "EOF")));
    assert_ne!(read("[]", "unexpected EOF").unwrap_err().text, "unexpected EOF");
}
