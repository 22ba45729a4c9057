//! What the server tells this crate. Plain values: the server reads YAML and flags.

use std::path::PathBuf;

/// Where the bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketConfig {
    /// A directory of the local file system; it is made if it is missing.
    Filesystem {
        /// The directory.
        dir: PathBuf,
    },
    /// Amazon S3 and what speaks like it.
    S3(S3Config),
    /// Azure Blob Storage.
    Azure(AzureConfig),
    /// Google Cloud Storage.
    Gcs(GcsConfig),
    /// Memory of this process; for tests.
    InMemory,
}

/// S3. What is `None` comes from the environment or the instance, as the AWS tools do it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Config {
    /// Bucket name.
    pub bucket: String,
    /// Region; some endpoints need none.
    pub region: Option<String>,
    /// `https://host[:port]`, or `host[:port]` with the scheme from `insecure`.
    pub endpoint: Option<String>,
    /// Access key id.
    pub access_key_id: Option<String>,
    /// Its secret.
    pub secret_access_key: Option<String>,
    /// Session token of temporary credentials.
    pub session_token: Option<String>,
    /// Plain HTTP.
    pub insecure: bool,
    /// `host/bucket/key` instead of `bucket.host/key`.
    pub path_style: bool,
    /// Prefix of all objects.
    pub prefix: Option<String>,
}

/// Azure Blob Storage.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AzureConfig {
    /// Storage account.
    pub account: String,
    /// Its key; `None`: environment or managed identity.
    pub account_key: Option<String>,
    /// Container name.
    pub container: String,
    /// The whole endpoint, `https://account.host`; `None`: Azure's own.
    pub endpoint: Option<String>,
    /// Plain HTTP.
    pub insecure: bool,
    /// The local emulator with its well-known account.
    pub emulator: bool,
    /// Tenant of a service principal.
    pub tenant_id: Option<String>,
    /// Client of a service principal or of a user-assigned identity.
    pub client_id: Option<String>,
    /// Secret of a service principal.
    pub client_secret: Option<String>,
    /// Prefix of all objects.
    pub prefix: Option<String>,
}

/// Google Cloud Storage.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GcsConfig {
    /// Bucket name.
    pub bucket: String,
    /// The service account's JSON; `None`: the application default credentials.
    pub service_account: Option<String>,
    /// Base URL of a stand-in.
    pub endpoint: Option<String>,
    /// Prefix of all objects.
    pub prefix: Option<String>,
}

/// How the catalog is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogConfig {
    /// A checkpoint is due when the log has grown by this many commits. More of them make a
    /// restart cheaper; each costs one PUT per changed tenant and day, and two.
    pub checkpoint_every: u64,
}

impl Default for CatalogConfig {
    fn default() -> CatalogConfig {
        CatalogConfig { checkpoint_every: 64 }
    }
}

/// Secrets are never printed.
macro_rules! debug_without_secrets {
    ($type:ident: $($field:ident),+) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut out = f.debug_struct(stringify!($type));
                $(out.field(stringify!($field), &self.$field);)+
                out.finish_non_exhaustive()
            }
        }
    };
}

debug_without_secrets!(S3Config: bucket, region, endpoint, insecure, path_style, prefix);
debug_without_secrets!(AzureConfig: account, container, endpoint, insecure, emulator, prefix);
debug_without_secrets!(GcsConfig: bucket, endpoint, prefix);
