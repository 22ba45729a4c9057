use super::*;

fn admitted(raw: RawLabels<'_>, limits: &PushLimits) -> Result<Stream, Refusal> {
    let tenant = TenantId::new("t").unwrap();
    let detector = Detector::new(&limits.log_level_fields, 2);
    admit(read(raw).unwrap().unwrap(), false, &tenant, limits, &detector)
}

fn labels(json: &str) -> String {
    let limits = PushLimits::default();
    admitted(RawLabels::Json(json.as_bytes()), &limits).unwrap().labels.to_string()
}

fn refusal(json: &str, limits: &PushLimits) -> (Reason, String) {
    let refusal = admitted(RawLabels::Json(json.as_bytes()), limits).unwrap_err();
    (refusal.reason, refusal.text)
}

#[test]
fn labels_are_sorted_lose_empty_values_and_gain_a_service_name() {
    for (json, want) in [
        ("{}", r#"{service_name="unknown_service"}"#),
        (r#"{"b":"x","a":""}"#, r#"{b="x", service_name="unknown_service"}"#),
        (r#"{"job":"j","app":"api"}"#, r#"{app="api", job="j", service_name="api"}"#),
        (r#"{"service_name":"s","app":"api"}"#, r#"{app="api", service_name="s"}"#),
        (r#"{"service_name":"","job":"j"}"#, r#"{job="j", service_name="j"}"#),
        (
            r#"{"a":5,"b":true,"c":null}"#,
            r#"{a="5", b="true", c="null", service_name="unknown_service"}"#,
        ),
        (r#"{"a":"1","a":"2"}"#, r#"{a="2", service_name="unknown_service"}"#),
        (r#"{"a=\"1\",b":"2"}"#, r#"{a="1", b="2", service_name="unknown_service"}"#),
        (r#"{"\u0061":"nl\nx"}"#, r#"{a="nl\nx", service_name="unknown_service"}"#),
    ] {
        assert_eq!(labels(json), want, "{json}");
    }
    let off = PushLimits { discover_service_name: Vec::new(), ..PushLimits::default() };
    let stream = admitted(RawLabels::Text(br#"{b="x"}"#), &off).unwrap();
    assert_eq!(stream.labels.to_string(), r#"{b="x"}"#);
    let (reason, text) = refusal("{}", &off);
    assert_eq!(reason, Reason::MissingLabels);
    assert_eq!(text, "error at least one label pair is required per stream");
}

#[test]
fn labels_over_a_limit_are_refused_with_lokis_texts() {
    let limits = PushLimits {
        max_label_name_length: 3,
        max_label_value_length: 15,
        max_label_names_per_series: 2,
        discover_service_name: Vec::new(),
        enforced_labels: vec!["a".to_owned(), "z".to_owned(), "y".to_owned()],
        ..PushLimits::default()
    };
    for (json, reason, text) in [
        (
            r#"{"a":"1","b":"2","c":"3"}"#,
            Reason::MaxLabelNamesPerSeries,
            r#"entry for stream '{a="1", b="2", c="3"}' has 3 label names; limit 2"#,
        ),
        (
            r#"{"long":"1"}"#,
            Reason::LabelNameTooLong,
            r#"stream '{long="1"}' has label name too long: 'long'"#,
        ),
        (
            r#"{"a":"0123456789abcdef"}"#,
            Reason::LabelValueTooLong,
            r#"stream '{a="0123456789abcdef"}' has label value too long: '0123456789abcdef'"#,
        ),
        (
            r#"{"a":"1"}"#,
            Reason::MissingEnforcedLabels,
            r#"missing required labels 'z,y' for user 't' for stream '{a="1"}' (policy: '')"#,
        ),
    ] {
        assert_eq!(refusal(json, &limits), (reason, text.to_owned()));
    }
    let twice = admitted(RawLabels::Text(br#"{a="b",a="c"}"#), &PushLimits::default());
    let text =
        r#"stream '{a="b", a="c", service_name="unknown_service"}' has duplicate label name: 'a'"#;
    assert_eq!(twice.unwrap_err().text, text);
}

#[test]
fn a_service_name_is_not_counted() {
    let limits = PushLimits { max_label_names_per_series: 1, ..PushLimits::default() };
    assert!(admitted(RawLabels::Json(br#"{"a":"1"}"#), &limits).is_ok());
    assert!(admitted(RawLabels::Json(br#"{"a":"1","service_name":"s"}"#), &limits).is_ok());
    assert!(admitted(RawLabels::Json(br#"{"a":"1","b":"2"}"#), &limits).is_err());
}

#[test]
fn labels_may_decide_the_level() {
    let limits = PushLimits::default();
    let level = |json: &str, limits: &PushLimits| {
        let stream = admitted(RawLabels::Json(json.as_bytes()), limits).unwrap();
        stream.level.map(|level| match level {
            LabelLevel::Known(level) => String::from_utf8(level.as_bytes().to_vec()).unwrap(),
            LabelLevel::Text(text) => String::from_utf8(text.into()).unwrap(),
        })
    };
    for (json, want) in [
        (r#"{"level":"WARNING"}"#, Some("warn")),
        (r#"{"severity":"info","level":"bogus"}"#, Some("bogus")),
        (r#"{"app":"info"}"#, None),
    ] {
        assert_eq!(level(json, &limits).as_deref(), want);
    }
    let off = PushLimits { discover_log_levels: false, ..PushLimits::default() };
    assert_eq!(level(r#"{"level":"WARNING"}"#, &off), None);
}

#[test]
fn a_cache_keeps_what_is_asked_for_and_stays_bounded() {
    let cache = StreamCache::new(64);
    let stream = |n: u32| {
        let labels = Labels::from_pairs([("n", n.to_string())]);
        Arc::new(Stream { labels, level: None })
    };
    let kept = stream(0);
    cache.insert(1, b"kept", &kept);
    assert!(cache.get(2, b"kept").is_none(), "another owner");
    for n in 0..10_000u32 {
        cache.insert(1, &n.to_le_bytes(), &stream(n));
        assert!(Arc::ptr_eq(&cache.get(1, b"kept").unwrap(), &kept));
        assert_eq!(cache.get(1, &n.to_le_bytes()).unwrap().labels, stream(n).labels);
    }
    let held: usize = cache
        .shards
        .iter()
        .map(|shard| shard.lock().unwrap())
        .map(|shard| shard.young.len() + shard.old.len())
        .sum();
    assert!(held <= 64 + SHARDS, "{held}");
}
