//! Which object store, out of the four places in which Loki's configuration can name one.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::root::RawConfig;
use super::scalar::{Secret, SecretUrl};
use super::stores::{AzureConfig, GcsConfig, ObjectAzureConfig, ObjectGcsConfig, S3Config};

/// The object store, ready to be opened.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// A local directory.
    Filesystem {
        /// Its path.
        directory: PathBuf,
    },
    /// S3 and what speaks its protocol. `s3` is empty: its parts were moved to the other keys.
    S3(S3Config),
    /// Google Cloud Storage.
    Gcs(GcsConfig),
    /// Azure Blob Storage.
    Azure(AzureConfig),
}

impl StoreConfig {
    /// The store of the last schema period, else the one that is filled in.
    pub fn derive(raw: &RawConfig) -> Result<StoreConfig> {
        let named = raw.schema_config.configs.last().map(|period| period.object_store.as_str());
        let kind = match named.filter(|name| !name.is_empty()) {
            Some(kind) => kind,
            None => first_filled(raw),
        };
        match kind {
            "filesystem" => Ok(StoreConfig::Filesystem { directory: filesystem(raw) }),
            "aws" | "s3" => Ok(StoreConfig::S3(s3(raw)?)),
            "gcs" => {
                let newer = from_object_gcs(&raw.storage_config.object_store.gcs);
                let found = [&newer, &raw.storage_config.gcs, &raw.common.storage.gcs]
                    .into_iter()
                    .find(|config| !config.bucket_name.is_empty());
                let Some(config) = found else {
                    bail!("storage_config.gcs.bucket_name is required: object_store is gcs");
                };
                Ok(StoreConfig::Gcs(config.clone()))
            }
            "azure" => {
                let newer = from_object_azure(&raw.storage_config.object_store.azure);
                let found = [&newer, &raw.storage_config.azure, &raw.common.storage.azure]
                    .into_iter()
                    .find(|config| !config.container_name.is_empty());
                let Some(config) = found else {
                    bail!("storage_config.azure.container_name is required: object_store is azure");
                };
                Ok(StoreConfig::Azure(config.clone()))
            }
            other => bail!(
                "schema_config.configs: object_store {other:?} is not supported \
                 (filesystem, s3, gcs, azure)"
            ),
        }
    }
}

fn first_filled(raw: &RawConfig) -> &'static str {
    let (own, common) = (&raw.storage_config, &raw.common.storage);
    let s3_filled = |s3: &S3Config| !s3.s3.0.is_empty() || !s3.bucketnames.is_empty();
    if s3_filled(&own.aws) || s3_filled(&common.s3) || !own.object_store.s3.bucket_name.is_empty() {
        "s3"
    } else if [&own.gcs.bucket_name, &common.gcs.bucket_name, &own.object_store.gcs.bucket_name]
        .iter()
        .any(|name| !name.is_empty())
    {
        "gcs"
    } else if [
        &own.azure.container_name,
        &common.azure.container_name,
        &own.object_store.azure.container_name,
    ]
    .iter()
    .any(|name| !name.is_empty())
    {
        "azure"
    } else {
        "filesystem"
    }
}

fn from_object_gcs(gcs: &ObjectGcsConfig) -> GcsConfig {
    GcsConfig {
        bucket_name: gcs.bucket_name.clone(),
        service_account: gcs.service_account.clone(),
        ..GcsConfig::default()
    }
}

fn from_object_azure(azure: &ObjectAzureConfig) -> AzureConfig {
    AzureConfig {
        account_name: azure.account_name.clone(),
        account_key: azure.account_key.clone(),
        container_name: azure.container_name.clone(),
        connection_string: azure.connection_string.clone(),
        endpoint_suffix: azure.endpoint_suffix.clone(),
        user_assigned_id: azure.user_assigned_id.clone(),
        client_id: azure.client_id.clone(),
        client_secret: azure.client_secret.clone(),
        tenant_id: azure.az_tenant_id.clone(),
        ..AzureConfig::default()
    }
}

fn filesystem(raw: &RawConfig) -> PathBuf {
    let places = [
        &raw.storage_config.object_store.filesystem.dir,
        &raw.storage_config.filesystem.directory,
        &raw.common.storage.filesystem.chunks_directory,
    ];
    match places.into_iter().find(|place| !place.is_empty()) {
        Some(place) => PathBuf::from(place),
        None => PathBuf::from(&raw.common.path_prefix).join("chunks"),
    }
}

fn s3(raw: &RawConfig) -> Result<S3Config> {
    let newer = &raw.storage_config.object_store.s3;
    if !newer.bucket_name.is_empty() {
        return Ok(S3Config {
            s3: SecretUrl::default(),
            bucketnames: newer.bucket_name.clone(),
            endpoint: newer.endpoint.clone(),
            region: newer.region.clone(),
            access_key_id: newer.access_key_id.clone(),
            secret_access_key: newer.secret_access_key.clone(),
            session_token: newer.session_token.clone(),
            insecure: newer.insecure,
            s3forcepathstyle: true,
            ..S3Config::default()
        });
    }
    let filled = |s3: &&S3Config| !s3.s3.0.is_empty() || !s3.bucketnames.is_empty();
    let found = [&raw.storage_config.aws, &raw.common.storage.s3].into_iter().find(filled);
    let Some(config) = found else {
        bail!("storage_config.aws.bucketnames is required: object_store is s3");
    };
    let mut config = config.clone();
    if let Some(first) = config.bucketnames.split(',').next() {
        config.bucketnames = first.trim().to_owned();
    }
    let url = std::mem::take(&mut config.s3).0;
    if !url.is_empty() {
        merge_url(&mut config, &url)?;
    }
    if config.bucketnames.is_empty() {
        bail!("storage_config.aws: neither bucketnames nor s3 names a bucket");
    }
    Ok(config)
}

/// `s3://key:secret@host-or-region/bucket`: fills the keys that are not set on their own.
fn merge_url(config: &mut S3Config, url: &str) -> Result<()> {
    let Some(rest) = url.strip_prefix("s3://").or_else(|| url.strip_prefix("https://")) else {
        bail!("storage_config.aws.s3: must begin with s3://");
    };
    let rest = match rest.rsplit_once('@') {
        Some((user, rest)) => {
            let (key, secret) = user.split_once(':').unwrap_or((user, ""));
            if config.access_key_id.is_empty() {
                config.access_key_id = key.to_owned();
                config.secret_access_key = Secret(secret.to_owned());
            }
            rest
        }
        None => rest,
    };
    let (host, bucket) = match rest.split_once('/') {
        Some((host, path)) => (host, path.trim_matches('/')),
        None => ("", rest),
    };
    if config.bucketnames.is_empty() {
        config.bucketnames = bucket.to_owned();
    }
    // A host has a dot or a port, a region has neither.
    if host.contains(['.', ':']) {
        if config.endpoint.is_empty() {
            config.endpoint = host.to_owned();
        }
    } else if config.region.is_empty() {
        config.region = host.to_owned();
    }
    Ok(())
}
