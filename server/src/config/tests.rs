use super::*;

fn from(text: &str) -> Result<Config> {
    Config::derive(load::from_text(text)?)
}

fn refusal(text: &str) -> String {
    format!("{:#}", from(text).unwrap_err())
}

#[test]
fn no_file_is_a_single_node_and_an_empty_file_is_loki() {
    let alone = Config::load(&Source::default()).unwrap();
    assert_eq!(alone.raw.server.http_listen_address, "127.0.0.1");
    assert!(!alone.raw.auth_enabled && !alone.limits().reject_old_samples);
    assert_eq!(alone.limits().out_of_order_window, Some(Duration::ZERO));
    assert_eq!(alone.limits().ingestion_rate_mb, f64::INFINITY);
    assert_eq!(alone.wal_dir, Path::new("data/wal"));
    assert!(alone.notices.is_empty(), "{:?}", alone.notices);
    for text in ["", "# nothing\n\n", "limits_config:\n"] {
        let loki = from(text).unwrap();
        assert!(loki.raw.auth_enabled && loki.limits().reject_old_samples);
        assert_eq!(loki.limits().ingestion_rate_mb, 4.0);
        assert_eq!(loki.limits().out_of_order_window, None);
        assert_eq!(loki.raw.server.http_listen_port, 3100);
        assert_eq!(loki.limits().max_query_length, Duration::from_secs(721 * 3600));
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let error = refusal("server:\n  http_listen_port: 1\n  http_listen_prot: 2\n");
    assert!(error.contains("http_listen_prot") && error.contains("line 3"), "{error}");
    let error = refusal("nonsense: 1\n");
    assert!(error.contains("nonsense") && error.contains("line 1"), "{error}");
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_its_line() {
    let table = [
        ("server:\n  http_listen_port: many\n", "line 2"),
        ("auth_enabled: 7\n", "line 1"),
        ("limits_config:\n  query_timeout: soon\n", "line 2"),
        ("limits_config:\n\n  max_line_size: big\n", "line 3"),
        ("server: 5\n", "line 1"),
        ("server: [\n", "line"),
    ];
    for (text, line) in table {
        let error = refusal(text);
        assert!(error.contains(line), "{text:?} gives {error}");
    }
}

#[test]
fn scalars_are_read_as_written() {
    let config = from(
        "target: all\nno_auth_tenant: on\nserver: {http_server_idle_timeout: 1m30s}\n\
         limits_config:\n  retention_period: 1w\n  max_line_size: 1MB\n  ingestion_rate_mb: 0.5\n\
         \x20 discover_service_name: [a, b]\n  log_level_fields: []\n",
    )
    .unwrap();
    assert_eq!(config.no_auth_tenant.as_str(), "on");
    assert_eq!(config.raw.server.http_server_idle_timeout, Duration::from_secs(90));
    let limits = config.limits();
    assert_eq!(limits.retention_period, Duration::from_secs(7 * 86_400));
    assert_eq!((limits.max_line_size.0, limits.ingestion_rate_mb), (1 << 20, 0.5));
    assert_eq!(limits.discover_service_name, ["a", "b"]);
    assert!(limits.log_level_fields.is_empty());
}

#[test]
fn what_is_printed_reads_back_and_shows_no_secret() {
    let text = "storage_config:\n  aws:\n    bucketnames: b\n    access_key_id: id\n\
                \x20   secret_access_key: very-secret\nschema_config:\n  configs:\n\
                \x20 - from: 2024-01-01\n    object_store: s3\n    schema: v13\n\
                \x20 - {from: 2024-06-01, object_store: s3, index: {prefix: index_, period: 24h}}\n";
    let config = from(text).unwrap();
    let dump = config.dump();
    assert!(!dump.contains("very-secret") && dump.contains("********"));
    let again = from(&dump).unwrap();
    assert_eq!(again.dump(), dump);
    assert_eq!(again.raw.schema_config.configs[1].index.prefix, "index_");
    let default = from("").unwrap().dump();
    assert_eq!(from(&default).unwrap().dump(), default);
}

#[test]
fn flags_win_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.yaml");
    std::fs::write(&path, "server:\n  http_listen_port: 1\n").unwrap();
    let mut source = Source { file: Some(path.clone()), ..Source::default() };
    source.overrides.push(("server.http_listen_port".to_owned(), "0".to_owned()));
    let config = Config::load(&source).unwrap();
    assert_eq!(config.raw.server.http_listen_port, 0);
    source.overrides.push(("server.nosuch".to_owned(), "0".to_owned()));
    assert!(Config::load(&source).is_err());
    std::fs::write(&path, "bad: 1\n").unwrap();
    let error = format!("{:#}", load_file(&path).unwrap_err());
    assert!(error.contains("c.yaml") && error.contains("bad"), "{error}");
}

#[test]
fn keys_without_effect_are_told() {
    // What is switched off is not missed: `cache_volume_results` is on in Loki.
    let text = "ingester: {wal: {enabled: false}}\n\
                pattern_ingester: {enabled: true, retain_for: 1h}\n\
                common: {replication_factor: 3}\nquery_range: {cache_volume_results: false}\n";
    let notices = from(text).unwrap().notices;
    let keys: Vec<_> = notices.iter().map(|n| (n.key.as_str(), n.error)).collect();
    let told = [
        ("ingester.wal.enabled", false),
        ("pattern_ingester.retain_for", false),
        ("common.replication_factor", true),
    ];
    assert_eq!(keys, told);
}

#[test]
fn the_object_store_is_found_in_each_of_its_places() {
    let period = |kind: &str| {
        format!("schema_config: {{configs: [{{from: 2024-01-01, object_store: {kind}}}]}}\n")
    };
    let store = |text: String| from(&text).map(|config| config.store);
    let text = period("aws")
        + "storage_config: {aws: {s3: 's3://AK:SE@us-east-1/logs', s3forcepathstyle: true}}";
    let Ok(StoreConfig::S3(s3)) = store(text) else { panic!("not S3") };
    assert_eq!((s3.bucketnames.as_str(), s3.region.as_str()), ("logs", "us-east-1"));
    assert_eq!((s3.access_key_id.as_str(), s3.secret_access_key.0.as_str()), ("AK", "SE"));
    let text = "storage_config: {object_store: {s3: {bucket_name: b, endpoint: 'h:9000'}}}";
    let Ok(StoreConfig::S3(s3)) = store(text.to_owned()) else { panic!("not S3") };
    assert_eq!((s3.bucketnames.as_str(), s3.endpoint.as_str()), ("b", "h:9000"));
    let text = period("azure") + "common: {storage: {azure: {container_name: c}}}";
    assert!(matches!(store(text), Ok(StoreConfig::Azure(azure)) if azure.container_name == "c"));
    let text = period("gcs") + "storage_config: {gcs: {bucket_name: g}}";
    assert!(matches!(store(text), Ok(StoreConfig::Gcs(gcs)) if gcs.bucket_name == "g"));
    let text = period("filesystem") + "common: {path_prefix: /p}";
    let Ok(StoreConfig::Filesystem { directory }) = store(text) else { panic!("not files") };
    assert_eq!(directory, Path::new("/p/chunks"));
    for bad in ["s3", "gcs", "azure", "swift"] {
        assert!(store(period(bad)).is_err(), "{bad}");
    }
}

#[test]
fn schema_periods_must_ascend_and_the_first_bounds_what_is_taken() {
    let text = |a: &str, b: &str| {
        format!(
            "schema_config: {{configs: [{{from: {a}, object_store: filesystem}}, \
             {{from: {b}, object_store: filesystem}}]}}"
        )
    };
    let config = from(&text("2020-10-24", "2024-01-01")).unwrap();
    assert_eq!(config.schema_from, Some(base::UnixNanos(1_603_497_600_000_000_000)));
    assert!(from(&text("2024-01-01", "2020-10-24")).is_err());
    assert!(from(&text("yesterday", "2020-10-24")).is_err());
}

#[test]
fn a_disk_cache_is_off_without_a_directory_and_is_not_tiny() {
    assert_eq!(from("").unwrap().raw.storage_config.disk_cache.directory, "");
    let text = "storage_config:\n  disk_cache:\n    directory: /c\n    size: ";
    let set = from(&format!("{text}64MB\n")).unwrap().raw.storage_config.disk_cache;
    assert_eq!((set.directory.as_str(), set.size.0), ("/c", 64 << 20));
    let error = refusal(&format!("{text}63MB\n"));
    assert!(error.contains("storage_config.disk_cache.size: 63MB is below 64MB"), "{error}");
    assert!(from("storage_config:\n  disk_cache:\n    size: 1MB\n").is_ok(), "it is off");
}
