//! Configurations as people have them (`testdata/configs`): each is read, and what of it does
//! nothing is told once.

use std::path::{Path, PathBuf};

use super::load;
use super::store::StoreConfig;
use super::*;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/configs").join(name)
}

fn read(name: &str) -> Config {
    load_file(&path(name)).unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

fn told(config: &Config, error: bool) -> Vec<&str> {
    let of_kind = config.notices.iter().filter(|notice| notice.error == error);
    of_kind.map(|notice| notice.key.as_str()).collect()
}

#[test]
fn every_file_is_read_and_each_key_without_meaning_is_told_once() {
    let folder = path("");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.push("../../../tests/conformance/loki.yaml".to_owned());
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let config = read(&name);
        let mut keys: Vec<&str> = config.notices.iter().map(|n| n.key.as_str()).collect();
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all, "{name}: {:?}", config.notices);
        assert!(config.notices.iter().all(|notice| !notice.text.is_empty()), "{name}");
        let dump = config.dump();
        let again = Config::derive(load::from_text(&dump).unwrap()).unwrap();
        assert_eq!(again.dump(), dump, "{name}");
    }
}

#[test]
fn a_single_node_on_the_local_disk() {
    let config = read("single-filesystem.yaml");
    assert_eq!(config.raw.server.grpc_listen_port, 9096);
    let StoreConfig::Filesystem { directory } = &config.store else { panic!("not files") };
    assert_eq!(directory, Path::new("/tmp/loki/chunks"));
    assert_eq!(config.wal_dir, Path::new("/tmp/loki/wal"));
    let warned = [
        "common.instance_addr",
        "common.ring.kvstore.store",
        "frontend.encoding",
        "query_range.results_cache.cache.embedded_cache.enabled",
        "query_range.results_cache.cache.embedded_cache.max_size_mb",
        "schema_config.configs[].store",
        "schema_config.configs[].schema",
        "schema_config.configs[].index.prefix",
        "schema_config.configs[].index.period",
        "compactor.working_directory",
        "analytics.reporting_enabled",
    ];
    assert_eq!(told(&config, false), warned);
    let missing = ["common.storage.filesystem.rules_directory", "ruler"];
    assert_eq!(told(&config, true), missing);
}

#[test]
fn three_replicas_on_s3() {
    let config = read("production-s3.yaml");
    let StoreConfig::S3(s3) = &config.store else { panic!("not S3") };
    assert_eq!((s3.bucketnames.as_str(), s3.region.as_str()), ("your-loki-bucket", "us-east-1"));
    let warned = told(&config, false);
    for key in [
        "common.ring.kvstore.store",
        "common.ring.kvstore.consul.host",
        "memberlist.join_members",
        "table_manager.retention_deletes_enabled",
        "compactor.shared_store",
        "storage_config.gcs.chunk_buffer_size",
    ] {
        assert!(warned.contains(&key), "{key} is not in {warned:?}");
    }
    assert!(told(&config, true).contains(&"limits_config.retention_stream"));
    assert_eq!(config.limits().retention_stream[0].period, Duration::from_secs(72 * 3600));
}

#[test]
fn tls_that_is_not_there_stops_the_start_and_names_the_file() {
    let config = read("secure.yaml");
    assert_eq!(config.limits().max_query_length, Duration::from_secs(721 * 3600));
    let Err(error) = crate::tls::Tls::open(&config) else { panic!("there are no such files") };
    let error = format!("{error:#}");
    assert!(error.contains("/etc/loki/tls/server-cert.pem"), "{error}");
    assert!(error.contains("server.http_tls_config.cert_file"), "{error}");
    let plain = crate::tls::Tls::open(&read("single-filesystem.yaml")).unwrap();
    assert!(plain.http.is_none() && plain.frontends.is_none());
}

#[test]
fn azure_takes_its_secrets_from_the_environment() {
    let config = read("distributed-azure.yaml");
    let StoreConfig::Azure(azure) = &config.store else { panic!("not Azure") };
    assert_eq!(azure.container_name, "loki-chunks");
    // Nothing is expanded unless it is asked for.
    assert_eq!(azure.account_name, "${STORAGE_ACCOUNT}");
    assert!(!config.dump().contains("STORAGE_KEY"), "the key is a secret");
    let source = Source {
        file: Some(path("distributed-azure.yaml")),
        expand_env: true,
        ..Source::default()
    };
    let StoreConfig::Azure(azure) = Config::load(&source).unwrap().store else {
        panic!("{source:?}")
    };
    assert_eq!(azure.account_name, "");
    let missing = [
        "query_range.cache_results",
        "query_range.align_queries_with_step",
        "ruler",
        "common.replication_factor",
    ];
    assert_eq!(told(&config, true), missing);
    assert!(told(&config, false).contains(&"ingester.max_transfer_retries"));
    read("security-tenant.yaml");
}
