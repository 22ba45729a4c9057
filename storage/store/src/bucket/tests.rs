use base::ErrorKind;
use base::time::ManualClock;

use super::*;

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::default())
}

fn buckets(dir: &std::path::Path) -> [Bucket; 2] {
    let directory = BucketConfig::Filesystem { dir: dir.join("a b/c%20d") };
    [&directory, &BucketConfig::InMemory].map(|config| Bucket::open(config, clock()).unwrap())
}

#[tokio::test]
async fn a_name_is_created_once_and_put_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    for bucket in buckets(dir.path()) {
        let path = "log/00000000000000000001";
        assert_eq!(bucket.find(path, 10).await.unwrap(), None);
        assert_eq!(bucket.create(path, "one".into()).await.unwrap(), Created::Now);
        assert_eq!(bucket.create(path, "two".into()).await.unwrap(), Created::Exists);
        assert_eq!(bucket.get(path, 10).await.unwrap(), "one");
        bucket.put(path, vec!["th".into(), "ree".into()]).await.unwrap();
        assert_eq!(bucket.get(path, 10).await.unwrap(), "three");
        bucket.delete(path).await.unwrap();
        bucket.delete(path).await.unwrap();
        assert_eq!(bucket.get(path, 10).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_listing_is_in_order_and_begins_after_a_name() {
    let dir = tempfile::tempdir().unwrap();
    for bucket in buckets(dir.path()) {
        assert_eq!(bucket.list("log", "log/1").await.unwrap(), []);
        for name in ["log/3", "log/1", "log/2", "other/4"] {
            bucket.put(name, vec![Bytes::from_static(b"xy")]).await.unwrap();
        }
        let listed = bucket.list("log", "log/1").await.unwrap();
        let names: Vec<&str> = listed.iter().map(|object| object.path.as_str()).collect();
        assert_eq!(names, ["log/2", "log/3"]);
        assert_eq!(listed[0].len_bytes, 2);
    }
}

#[tokio::test]
async fn an_object_over_the_limit_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    for bucket in buckets(dir.path()) {
        bucket.put("big", vec![vec![0; 11].into()]).await.unwrap();
        let error = bucket.get("big", 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("big"), "{error}");
    }
}

#[tokio::test]
async fn a_percent_in_a_name_is_that_name_on_disk_too() {
    let dir = tempfile::tempdir().unwrap();
    let [bucket, _] = buckets(dir.path());
    bucket.put("parts/a%2Ab/x", vec!["1".into()]).await.unwrap();
    let file = bucket.local_path("parts/a%2Ab/x").unwrap().unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"1");
    assert!(file.ends_with("c%20d/parts/a%2Ab/x"), "{}", file.display());
    assert_eq!(bucket.list("parts", "parts/a").await.unwrap()[0].path, "parts/a%2Ab/x");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let config = BucketConfig::Filesystem { dir: file.join("bucket") };
    let error = Bucket::open(&config, clock()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("file/bucket"), "{error}");
}

#[test]
fn remote_buckets_are_built_from_their_settings_without_a_request() {
    let s3 = S3Config {
        bucket: "logs".into(),
        endpoint: Some("127.0.0.1:1".into()),
        insecure: true,
        path_style: true,
        access_key_id: Some("key".into()),
        secret_access_key: Some("hidden-secret".into()),
        prefix: Some("/a/b/".into()),
        ..S3Config::default()
    };
    let azure = AzureConfig {
        account: "account".into(),
        container: "logs".into(),
        account_key: Some("aGlkZGVuLXNlY3JldA==".into()),
        ..AzureConfig::default()
    };
    let gcs = GcsConfig {
        bucket: "logs".into(),
        endpoint: Some("http://127.0.0.1:1".into()),
        ..GcsConfig::default()
    };
    for (config, name) in [
        (BucketConfig::S3(s3), "s3://logs"),
        (BucketConfig::Azure(azure), "azure://account/logs"),
        (BucketConfig::Gcs(gcs), "gs://logs"),
    ] {
        assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
        assert_eq!(Bucket::open(&config, clock()).unwrap().name(), name);
    }
}
