use super::*;
use crate::decode::Entry;

/// What the sink was told, as text.
#[derive(Default)]
struct Told(Vec<String>);

impl Sink for Told {
    fn stream(&mut self, labels: RawLabels<'_>) -> Result<(), Fault> {
        let (kind, text) = match labels {
            RawLabels::Text(text) => ("stream", text),
            RawLabels::Named(text) => ("named stream", text),
            RawLabels::Json(text) => ("json stream", text),
        };
        self.0.push(format!("{kind} {}", String::from_utf8_lossy(text)));
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut told = format!("{} {}", entry.ts_ns, text(entry.line));
        for (name, value) in entry.metadata.iter() {
            told.push_str(&format!(" {}={}", text(name), text(value)));
        }
        self.0.push(told);
    }

    fn restart(&mut self) {
        self.0.clear();
    }
}

fn told_by(json: &str, rules: &Rules) -> Result<Vec<String>, String> {
    let mut message = Vec::new();
    to_protobuf(json.as_bytes(), &mut message).map_err(|error| error.text)?;
    let (mut pieces, mut told) = (Pieces::default(), Told::default());
    let limits = PushLimits { otlp: rules.clone(), ..PushLimits::default() };
    decode(&message, &limits, UnixNanos(77), &mut pieces, &mut told).map_err(|error| error.text)?;
    Ok(told.0)
}

fn told(json: &str) -> Vec<String> {
    told_by(json, &Rules::default()).unwrap()
}

/// One record with these fields under a resource with these attributes.
fn one(resource: &str, record: &str) -> String {
    format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{resource}]}},
           "scopeLogs":[{{"logRecords":[{{{record}}}]}}]}}]}}"#
    )
}

fn text_attribute(name: &str, value: &str) -> String {
    format!(r#"{{"key":"{name}","value":{{"stringValue":"{value}"}}}}"#)
}

#[test]
fn resources_give_labels_and_metadata_to_all_their_records() {
    let json = r#"{"resourceLogs":[
        {"scopeLogs":[
            {"logRecords":[{"timeUnixNano":"5","body":{"stringValue":"one"}},
                           {"observedTimeUnixNano":6,"body":{"stringValue":"two"}}],
             "scope":{"name":"lib","attributes":[{"key":"s","value":{"stringValue":"t"}}],
                      "droppedAttributesCount":2}},
            {"logRecords":[{"body":{"stringValue":"three"}}]}],
         "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},
                                   {"key":"host.name","value":{"stringValue":"h"}},
                                   {"key":"cloud.region","value":{"stringValue":"eu"}}]}},
        {"resource":{}, "scopeLogs":[{"logRecords":[{"timeUnixNano":9}]}]},
        {"resource":{}, "scopeLogs":[]}]}"#;
    assert_eq!(
        told(json),
        [
            r#"named stream {service_name="shop", cloud_region="eu"}"#,
            "5 one host.name=h s=t scope_name=lib scope_dropped_attributes_count=2",
            "6 two host.name=h s=t scope_name=lib scope_dropped_attributes_count=2",
            "77 three host.name=h",
            "stream {}",
            "9 ",
        ]
    );
}

#[test]
fn fields_of_a_record_become_metadata_behind_its_attributes() {
    let json = one(
        "",
        r#""timeUnixNano":"5","observedTimeUnixNano":"6","severityNumber":"SEVERITY_NUMBER_WARN2",
           "severityText":"Warn","droppedAttributesCount":3,"flags":1,
           "traceId":"0102030405060708090A0B0C0D0E0F10","spanId":"0102030405060708",
           "eventName":"born","body":{"stringValue":"x"},"unknown":[1,{"a":null}],
           "attributes":[{"key":"event.name","value":{"stringValue":"hidden"}},
                         {"key":"n","value":{"intValue":"-5"}}]"#,
    );
    assert_eq!(
        told(&json)[1],
        "5 x n=-5 observed_timestamp=6 severity_number=14 severity_text=Warn \
         dropped_attributes_count=3 flags=1 trace_id=0102030405060708090a0b0c0d0e0f10 \
         span_id=0102030405060708 event_name=born"
    );
    let json = one("", r#""traceId":"00000000000000000000000000000000","observedTimeUnixNano":6"#);
    assert_eq!(told(&json)[1], "6 ", "an id of zeroes is none, nor is a second timestamp");
}

#[test]
fn values_are_written_as_the_collector_writes_them() {
    for (value, want) in [
        (r#"{"stringValue":"a b"}"#, "a b"),
        (r#"{"boolValue":true}"#, "true"),
        (r#"{"intValue":"9223372036854775807"}"#, "9223372036854775807"),
        (r#"{"intValue":-3}"#, "-3"),
        (r#"{"doubleValue":1.5}"#, "1.5"),
        (r#"{"doubleValue":3}"#, "3"),
        (r#"{"doubleValue":1e21}"#, "1e+21"),
        (r#"{"doubleValue":1.5e-7}"#, "1.5e-7"),
        (r#"{"doubleValue":"NaN"}"#, "json: unsupported value: NaN"),
        (r#"{"doubleValue":"-Infinity"}"#, "json: unsupported value: -Inf"),
        (r#"{"bytesValue":"AQID"}"#, "AQID"),
        (r#"{}"#, ""),
        (r#"{"arrayValue":{"values":[]}}"#, "[]"),
        (
            r#"{"arrayValue":{"values":[{"stringValue":"<q\"\n>"},{"intValue":1},{"boolValue":false},{}]}}"#,
            r#"["\u003cq\"\n\u003e",1,false,null]"#,
        ),
        (
            r#"{"kvlistValue":{"values":[{"key":"b","value":{"intValue":1}},
                {"key":"a","value":{"kvlistValue":{"values":[]}}},
                {"key":"b","value":{"intValue":2}}]}}"#,
            r#"{"a":{},"b":2}"#,
        ),
        (r#"{"arrayValue":{"values":[{"doubleValue":"NaN"}]}}"#, ""),
    ] {
        let json = one("", &format!(r#""timeUnixNano":1,"body":{value}"#));
        assert_eq!(told(&json)[1], format!("1 {want}"), "{value}");
    }
}

#[test]
fn maps_are_laid_flat_under_joined_names() {
    let map = r#"{"key":"obj","value":{"kvlistValue":{"values":[
        {"key":"x","value":{"stringValue":"1"}},
        {"key":"in","value":{"kvlistValue":{"values":[{"key":"y.z","value":{"intValue":2}}]}}}]}}}"#;
    let json = one(map, r#""timeUnixNano":1"#);
    assert_eq!(told(&json)[1], "1  obj_x=1 obj_in_y.z=2");
    let mut rules = Rules::default();
    rules.resource.push(Rule { action: Action::IndexLabel, of: Match::regex("ob.").unwrap() });
    let labels = &told_by(&json, &rules).unwrap()[0];
    assert_eq!(labels, r#"stream {obj_x="1", obj_in_y_z="2"}"#);
}

#[test]
fn a_tenants_rules_decide_and_the_first_counts() {
    let rule = |action, pattern: &str| Rule { action, of: Match::regex(pattern).unwrap() };
    let names = |action, names: &[&str]| Rule {
        action,
        of: Match::Names(names.iter().map(|&name| name.to_owned()).collect()),
    };
    let rules = Rules {
        resource: vec![names(Action::Drop, &["secret"]), rule(Action::IndexLabel, "s.*")],
        scope: vec![],
        log: vec![names(Action::IndexLabel, &["code"]), rule(Action::Drop, "tmp_.+")],
        severity_text_as_label: true,
    };
    let resource = [text_attribute("secret", "1"), text_attribute("site", "x")].join(",");
    let record = |code: &str, severity: &str| {
        let attributes = [text_attribute("code", code), text_attribute("tmp_a", "y")].join(",");
        format!(r#"{{"timeUnixNano":1,"severityText":"{severity}","attributes":[{attributes}]}}"#)
    };
    let records = [record("200", ""), record("200", ""), record("500", "E")].join(",");
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{resource}]}},
           "scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#
    );
    assert_eq!(
        told_by(&json, &rules).unwrap(),
        [
            r#"stream {site="x", code="200"}"#,
            "1 ",
            "1 ",
            r#"stream {site="x", code="500", severity_text="E"}"#,
            "1  severity_text=E",
        ]
    );
}

#[test]
fn what_is_no_request_is_refused_with_a_reason() {
    for (json, want) in [
        ("", "EOF while parsing a value"),
        ("[]", "invalid type: sequence, expected an object"),
        (r#"{"resourceLogs":{}}"#, "invalid type: map, expected a list"),
        (r#"{"resourceLogs":[{"resource":3}]}"#, "unexpected number 3"),
        (r#"{"resourceLogs":[]} x"#, "trailing characters"),
        (&one("", r#""timeUnixNano":"soon""#), "\"soon\" is no number"),
        (&one("", r#""traceId":"xy""#), "an id is no hexadecimal number"),
        (&one("", r#""traceId":"0102""#), "an id has 2 bytes instead of 16"),
        (&one("", r#""flags":-1"#), "-1 is out of range"),
    ] {
        let error = told_by(json, &Rules::default()).unwrap_err();
        assert!(error.contains(want), "{json}: {error}");
    }
    assert!(told("{}").is_empty() && told(r#"{"resourceLogs":null}"#).is_empty());
}

#[test]
fn values_that_nest_without_end_are_refused() {
    // Protobuf nests deeper than JSON readers go.
    let mut value = vec![0x0a, 1, b'x'];
    for _ in 0..200 {
        let mut list = vec![0x0a];
        length(&mut list, value.len());
        list.extend_from_slice(&value);
        value = vec![0x2a];
        length(&mut value, list.len());
        value.extend_from_slice(&list);
    }
    let mut message = value;
    for key in [0x2a, 0x12, 0x12, 0x0a] {
        let mut outer = vec![key];
        length(&mut outer, message.len());
        outer.extend_from_slice(&message);
        message = outer;
    }
    let (mut pieces, mut sink) = (Pieces::default(), Told::default());
    let error = decode(&message, &PushLimits::default(), UnixNanos(1), &mut pieces, &mut sink);
    assert_eq!(error.unwrap_err().text, "values nest deeper than 64");
}

fn length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// A message field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    length(&mut out, bytes.len());
    out.extend_from_slice(bytes);
    out
}

fn attribute(name: &str, value: &[u8]) -> Vec<u8> {
    [field(1, name.as_bytes()), field(2, value)].concat()
}

/// A request of one resource.
fn request(resource: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    let scope: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    field(1, &[field(1, resource), field(2, &scope)].concat())
}

/// What entries are, without a look at what they share.
#[derive(Default)]
struct Sizes(Vec<(usize, u64, u64, u64)>);

impl Sink for Sizes {
    fn stream(&mut self, _: RawLabels<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let Entry { line, line_rest, metadata, .. } = entry;
        self.0.push((line.len(), *line_rest, metadata.len(), metadata.bytes()));
    }

    fn restart(&mut self) {
        self.0.clear();
    }
}

fn sizes(message: &[u8], limits: &PushLimits) -> (Vec<(usize, u64, u64, u64)>, usize) {
    let (mut pieces, mut sizes) = (Pieces::default(), Sizes::default());
    decode(message, limits, UnixNanos(1), &mut pieces, &mut sizes).unwrap();
    (sizes.0, pieces.capacity())
}

#[test]
fn what_records_share_is_neither_copied_nor_counted_for_each_of_them() {
    // 100,000 attributes of two bytes each, and one more with a value.
    let mut resource = field(1, &[]).repeat(100_000);
    resource.extend(field(1, &attribute("name", &field(1, b"value"))));
    let records = vec![Vec::new(); 10_000];
    let (sizes, held) = sizes(&request(&resource, &records), &PushLimits::default());
    assert_eq!(sizes, vec![(0, 0, 100_001, 9); 10_000]);
    assert!(held < 10_000, "{held} bytes for the pairs of a record");
}

#[test]
fn names_that_repeat_what_stands_above_them_are_not_rendered_beyond_the_limit() {
    let leaf = |n: u8| field(1, &attribute(&format!("k{}", n % 10), &field(1, b"v")));
    let leaves: Vec<u8> = (0..100).flat_map(leaf).collect();
    let map = attribute(&"n".repeat(50_000), &field(6, &leaves));
    let records = vec![field(6, &map); 3];
    let (sizes, held) = sizes(&request(&[], &records), &PushLimits::default());
    // Joined names of 50,003 bytes: one fits, and all are counted.
    assert_eq!(sizes, vec![(0, 0, 100, 100 * 50_004); 3]);
    assert!(held < 300_000, "{held}");
}

#[test]
fn json_that_is_longer_than_a_line_may_be_is_measured_and_not_made() {
    // Six characters for each of these.
    let list = field(5, &field(1, &field(1, &[b'<'; 100_000])));
    let message = request(&[], &[field(5, &list)]);
    let limits = PushLimits { max_line_size: 1000, ..PushLimits::default() };
    let (cut, held) = sizes(&message, &limits);
    let all = 600_000 + r#"[""]"#.len() as u64;
    assert_eq!(cut, [(1001, all - 1001, 0, 0)]);
    assert!(held < 10_000, "{held}");
    let (whole, _) = sizes(&message, &PushLimits { max_line_size: 0, ..limits });
    assert_eq!(whole, [(all as usize, 0, 0, 0)]);
    // Base64, too.
    let bytes = field(7, &[7; 10_000]);
    let message = request(&[], &[field(5, &bytes)]);
    let (cut, _) = sizes(&message, &PushLimits { max_line_size: 1000, ..PushLimits::default() });
    assert_eq!(cut, [(1001, 13_336 - 1001, 0, 0)]);
}

#[test]
fn more_labels_than_any_stream_may_have_are_refused() {
    let leaves: Vec<u8> =
        (0..5_000).flat_map(|n| field(1, &attribute(&format!("k{n}"), &[]))).collect();
    let resource = field(1, &attribute("service.name", &field(6, &leaves)));
    let (mut pieces, mut sink) = (Pieces::default(), Sizes::default());
    let message = request(&resource, &[Vec::new()]);
    let error = decode(&message, &PushLimits::default(), UnixNanos(1), &mut pieces, &mut sink);
    assert_eq!(error.unwrap_err().text, "attributes give more than 4096 labels");
}
