//! The bucket: `object_store` behind our names, errors and metrics.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use base::Clock;
use base::disk::{Disk, OsDisk};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};

use crate::config::{AzureConfig, BucketConfig, GcsConfig, S3Config};
use crate::error::Error;
use crate::metrics::{DURATION, FAILURES, FETCHED, OPERATIONS};

/// All objects of one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    store: Arc<dyn ObjectStore>,
    /// Parts of a local bucket are read with pread.
    local: Option<Arc<LocalFileSystem>>,
    clock: Arc<dyn Clock>,
}

/// What [`Bucket::create`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object is there now, with these bytes.
    Now,
    /// An object of this name was there already; it is unchanged.
    Exists,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub path: String,
    /// Its length.
    pub len_bytes: u64,
}

impl Bucket {
    /// Connects to the bucket, or makes its directory. Sends no request.
    pub fn open(config: &BucketConfig, clock: Arc<dyn Clock>) -> Result<Bucket, Error> {
        match config {
            BucketConfig::Filesystem { dir } => open_filesystem(dir, clock),
            BucketConfig::S3(config) => {
                let name = format!("s3://{}", config.bucket);
                let store = build_s3(config).map_err(|source| rejected(&name, &source))?;
                Ok(Bucket::new(name, with_prefix(store, config.prefix.as_deref()), clock))
            }
            BucketConfig::Azure(config) => {
                let name = format!("azure://{}/{}", config.account, config.container);
                let store = build_azure(config).map_err(|source| rejected(&name, &source))?;
                Ok(Bucket::new(name, with_prefix(store, config.prefix.as_deref()), clock))
            }
            BucketConfig::Gcs(config) => {
                let name = format!("gs://{}", config.bucket);
                let store = build_gcs(config).map_err(|source| rejected(&name, &source))?;
                Ok(Bucket::new(name, with_prefix(store, config.prefix.as_deref()), clock))
            }
            BucketConfig::InMemory => {
                Ok(Bucket::new("memory://".to_owned(), Arc::new(InMemory::new()), clock))
            }
        }
    }

    /// A bucket over any store; tests hand in faulty ones.
    pub fn new(name: String, store: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Bucket {
        Bucket { inner: Arc::new(Inner { name, store, local: None, clock }) }
    }

    /// What error texts call this bucket. Holds no secret.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The whole object; [`Error::NotFound`] if there is none, [`Error::Damaged`] if it is longer
    /// than `max_bytes`.
    pub async fn get(&self, path: &str, max_bytes: u64) -> Result<Bytes, Error> {
        let location = self.location(path)?;
        let work = async {
            let answer = self.inner.store.get(&location).await?;
            let len = answer.meta.size;
            if len > max_bytes {
                return Ok(Err(len));
            }
            answer.bytes().await.map(Ok)
        };
        match self.timed("get", path, work).await? {
            Ok(bytes) => {
                metrics::counter!(FETCHED, "operation" => "get").increment(bytes.len() as u64);
                Ok(bytes)
            }
            Err(len) => {
                Err(self.damaged(path, format!("{len} bytes are over the limit of {max_bytes}")))
            }
        }
    }

    /// The whole object, or `None` if there is none.
    pub async fn find(&self, path: &str, max_bytes: u64) -> Result<Option<Bytes>, Error> {
        match self.get(path, max_bytes).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ranges of an object, each exactly as long as asked for. Close ones share a request.
    pub async fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let location = self.location(path)?;
        // Stores refuse to read nothing.
        let wanted: Vec<Range<u64>> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
        let mut read = Vec::new();
        if !wanted.is_empty() {
            let work = self.inner.store.get_ranges(&location, &wanted);
            read = self.timed("get_range", path, work).await?;
        }
        let mut answers = Vec::with_capacity(ranges.len());
        let (mut read, mut total) = (read.into_iter(), 0);
        for range in ranges {
            let bytes = if range.is_empty() { Some(Bytes::new()) } else { read.next() };
            let bytes = bytes.unwrap_or_default();
            if bytes.len() as u64 != range.end.saturating_sub(range.start) {
                return Err(self.damaged(path, format!("range {range:?} is cut short")));
            }
            total += bytes.len() as u64;
            answers.push(bytes);
        }
        metrics::counter!(FETCHED, "operation" => "get_range").increment(total);
        Ok(answers)
    }

    /// Puts an object, whatever was there before. After an error it is unknown whether it was put.
    pub async fn put(&self, path: &str, chunks: Vec<Bytes>) -> Result<(), Error> {
        let location = self.location(path)?;
        let len: usize = chunks.iter().map(Bytes::len).sum();
        let work = self.inner.store.put(&location, self.payload(chunks));
        self.timed("upload", path, work).await?;
        metrics::counter!(FETCHED, "operation" => "upload").increment(len as u64);
        Ok(())
    }

    /// Begins an upload in pieces.
    pub(crate) async fn begin_multipart(
        &self,
        path: &str,
    ) -> Result<Box<dyn MultipartUpload>, Error> {
        let location = self.location(path)?;
        self.timed("upload", path, self.inner.store.put_multipart(&location)).await
    }

    /// Uploads the next piece.
    pub(crate) async fn put_piece(
        &self,
        path: &str,
        upload: &mut dyn MultipartUpload,
        chunks: Vec<Bytes>,
    ) -> Result<(), Error> {
        let len: usize = chunks.iter().map(Bytes::len).sum();
        self.timed("upload", path, upload.put_part(self.payload(chunks))).await?;
        metrics::counter!(FETCHED, "operation" => "upload").increment(len as u64);
        Ok(())
    }

    /// Makes the object of all pieces visible.
    pub(crate) async fn complete_multipart(
        &self,
        path: &str,
        upload: &mut dyn MultipartUpload,
    ) -> Result<(), Error> {
        self.timed("upload", path, upload.complete()).await.map(|_| ())
    }

    fn payload(&self, chunks: Vec<Bytes>) -> PutPayload {
        match self.inner.local {
            Some(_) => PutPayload::from_iter(chunks.iter().flat_map(pieces)),
            None => PutPayload::from_iter(chunks),
        }
    }

    /// Puts an object if there is none of this name. After an error it is unknown whether it was
    /// put; after [`Created::Exists`] it may be our own earlier try.
    pub async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error> {
        let location = self.location(path)?;
        let len = bytes.len() as u64;
        let options = PutOptions::from(PutMode::Create);
        let work = async {
            match self.inner.store.put_opts(&location, bytes.into(), options).await {
                Ok(_) => Ok(Created::Now),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
                Err(object_store::Error::Precondition { .. }) => Ok(Created::Exists),
                Err(error) => Err(error),
            }
        };
        let created = self.timed("upload", path, work).await?;
        metrics::counter!(FETCHED, "operation" => "upload").increment(len);
        Ok(created)
    }

    /// Puts an object in the place of one whose bytes are still `expected`. `false`: they are not,
    /// or somebody else is at it; nothing was changed. After an error it is unknown.
    pub async fn replace(&self, path: &str, expected: &[u8], bytes: Bytes) -> Result<bool, Error> {
        let Some(file) = self.local_path(path)? else {
            return self.replace_remote(path, expected, bytes).await;
        };
        // A directory knows no conditional put: writers of this object take turns, and a lock ends
        // with its process.
        let lock = file.with_added_extension("lock");
        let locked = base::task::blocking("lock-object", move || OsDisk.lock(&lock)).await;
        let _turn = match locked.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
            Ok(turn) => turn,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(source) => {
                let (store, path) = (self.inner.name.clone(), path.to_owned());
                return Err(Error::File { store, path, source });
            }
        };
        let found = self.find(path, expected.len() as u64).await;
        if !matches!(found, Ok(Some(found)) if found == expected) {
            return Ok(false);
        }
        self.put(path, vec![bytes]).await?;
        Ok(true)
    }

    async fn replace_remote(
        &self,
        path: &str,
        expected: &[u8],
        bytes: Bytes,
    ) -> Result<bool, Error> {
        let location = self.location(path)?;
        let read = async {
            let answer = self.inner.store.get(&location).await?;
            let version = (answer.meta.e_tag.clone(), answer.meta.version.clone());
            let is_expected =
                answer.meta.size == expected.len() as u64 && answer.bytes().await? == expected;
            Ok(is_expected.then_some(version))
        };
        let version = match self.timed("get", path, read).await {
            Ok(Some((e_tag, version))) => UpdateVersion { e_tag, version },
            Ok(None) | Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let options = PutOptions::from(PutMode::Update(version));
        let work = async {
            match self.inner.store.put_opts(&location, bytes.into(), options).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::Precondition { .. }) => Ok(false),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.timed("upload", path, work).await
    }

    /// Shows `visit` every object under `prefix`, in no order, a page of the listing at a time.
    pub async fn walk(&self, prefix: &str, mut visit: impl FnMut(Listed)) -> Result<(), Error> {
        let location = self.location(prefix)?;
        let mut listing = self.inner.store.list(Some(&location));
        let work = async {
            while let Some(meta) = listing.try_next().await? {
                visit(Listed { path: meta.location.to_string(), len_bytes: meta.size });
            }
            Ok(())
        };
        self.timed("iter", prefix, work).await
    }

    /// Objects under `prefix` with names after `after`, in name order.
    pub async fn list(&self, prefix: &str, after: &str) -> Result<Vec<Listed>, Error> {
        let (location, offset) = (self.location(prefix)?, self.location(after)?);
        let work = self.inner.store.list_with_offset(Some(&location), &offset).try_collect();
        let found: Vec<object_store::ObjectMeta> = self.timed("iter", prefix, work).await?;
        let listed = |meta: object_store::ObjectMeta| Listed {
            path: meta.location.to_string(),
            len_bytes: meta.size,
        };
        let mut found: Vec<Listed> = found.into_iter().map(listed).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Deletes an object; one that does not exist is deleted.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        let location = self.location(path)?;
        match self.timed("delete", path, self.inner.store.delete(&location)).await {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Makes the names under `prefix` that can be seen durable. A remote store's are; in a local
    /// directory one may be seen whose maker died before its fsync.
    pub(crate) async fn make_durable(&self, prefix: &str) -> Result<(), Error> {
        let Some(dir) = self.local_path(prefix)? else { return Ok(()) };
        let synced = base::task::blocking("sync-directory", move || OsDisk.sync_dir(&dir)).await;
        synced.unwrap_or_else(|panic| Err(std::io::Error::other(panic))).map_err(|source| {
            let (store, path) = (self.inner.name.clone(), prefix.to_owned());
            Error::File { store, path, source }
        })
    }

    /// Whether the bucket is a directory.
    pub(crate) fn is_local(&self) -> bool {
        self.inner.local.is_some()
    }

    /// The file that is this object, if the bucket is a directory.
    pub(crate) fn local_path(&self, path: &str) -> Result<Option<PathBuf>, Error> {
        let Some(local) = &self.inner.local else { return Ok(None) };
        let location = self.location(path)?;
        let found = local.path_to_filesystem(&location);
        found.map(Some).map_err(|source| self.error("open", path, source))
    }

    /// An error that says that `path` is damaged, and the metric.
    pub(crate) fn damaged(&self, path: &str, problem: String) -> Error {
        Error::Damaged { store: self.inner.name.clone(), path: path.to_owned(), problem }
    }

    pub(crate) fn catalog_error(&self, path: &str, source: catalog::Error) -> Error {
        Error::Catalog { store: self.inner.name.clone(), path: path.to_owned(), source }
    }

    pub(crate) fn not_found(&self, path: &str) -> Error {
        Error::NotFound { store: self.inner.name.clone(), path: path.to_owned() }
    }

    fn location(&self, path: &str) -> Result<Path, Error> {
        Path::parse(path).map_err(|source| self.error("name", path, source.into()))
    }

    fn error(&self, operation: &'static str, path: &str, source: object_store::Error) -> Error {
        let (store, path) = (self.inner.name.clone(), path.to_owned());
        match source {
            object_store::Error::NotFound { .. } => Error::NotFound { store, path },
            source => Error::Store { store, operation, path, source: source.into() },
        }
    }

    /// Counts and times one request.
    async fn timed<T>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Error> {
        let began_ns = self.inner.clock.monotonic_ns();
        metrics::counter!(OPERATIONS, "operation" => operation).increment(1);
        let answer = work.await;
        let took_ns = self.inner.clock.monotonic_ns().saturating_sub(began_ns);
        metrics::histogram!(DURATION, "operation" => operation).record(took_ns as f64 / 1e9);
        answer.map_err(|source| {
            if !matches!(source, object_store::Error::NotFound { .. }) {
                metrics::counter!(FAILURES, "operation" => operation).increment(1);
            }
            self.error(operation, path, source)
        })
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.inner.name)
    }
}

/// Files are written in pieces: on ext4 of Linux 6.18 a `write` of more than 64 KiB costs seven times
/// the CPU per byte, because the page cache then looks for huge pages.
fn pieces(bytes: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    const PIECE_BYTES: usize = 64 << 10;
    (0..bytes.len())
        .step_by(PIECE_BYTES)
        .map(|from| bytes.slice(from..bytes.len().min(from + PIECE_BYTES)))
}

fn open_filesystem(dir: &std::path::Path, clock: Arc<dyn Clock>) -> Result<Bucket, Error> {
    let name = dir.display().to_string();
    let failed = |problem: String| Error::Config { store: name.clone(), problem };
    let made = OsDisk.create_dir_all(dir);
    made.map_err(|error| failed(format!("make the directory: {error}")))?;
    // A commit that is answered must survive power loss: fsync of file and directory.
    let local = LocalFileSystem::new_with_prefix(dir).map_err(|error| failed(error.to_string()))?;
    let local = Arc::new(local.with_fsync(true));
    let store: Arc<dyn ObjectStore> = Arc::clone(&local) as Arc<dyn ObjectStore>;
    Ok(Bucket { inner: Arc::new(Inner { name, store, local: Some(local), clock }) })
}

fn build_s3(config: &S3Config) -> object_store::Result<impl ObjectStore> {
    install_tls();
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&config.bucket)
        .with_virtual_hosted_style_request(!config.path_style);
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    let mut plain = config.insecure;
    if let Some(endpoint) = &config.endpoint {
        let url = with_scheme(endpoint, config.insecure);
        plain = url.starts_with("http://");
        // Virtual-hosted style wants the bucket in the endpoint's host.
        let url = match config.path_style || url.contains(&format!("://{}.", config.bucket)) {
            true => url,
            false => url.replacen("://", &format!("://{}.", config.bucket), 1),
        };
        builder = builder.with_endpoint(url);
    }
    builder = builder.with_client_options(ClientOptions::new().with_allow_http(plain));
    if let (Some(id), Some(secret)) = (&config.access_key_id, &config.secret_access_key) {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    if let Some(token) = &config.session_token {
        builder = builder.with_token(token);
    }
    builder.build()
}

fn build_azure(config: &AzureConfig) -> object_store::Result<impl ObjectStore> {
    install_tls();
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(&config.container);
    if config.emulator {
        return builder.with_use_emulator(true).build();
    }
    builder = builder.with_account(&config.account);
    let mut plain = config.insecure;
    if let Some(endpoint) = &config.endpoint {
        let url = with_scheme(endpoint, config.insecure);
        plain = url.starts_with("http://");
        builder = builder.with_endpoint(url);
    }
    builder = builder.with_client_options(ClientOptions::new().with_allow_http(plain));
    if let Some(key) = &config.account_key {
        builder = builder.with_access_key(key);
    }
    if let Some(id) = &config.client_id {
        builder = builder.with_client_id(id);
    }
    if let Some(secret) = &config.client_secret {
        builder = builder.with_client_secret(secret);
    }
    if let Some(tenant) = &config.tenant_id {
        builder = builder.with_tenant_id(tenant);
    }
    builder.build()
}

fn build_gcs(config: &GcsConfig) -> object_store::Result<impl ObjectStore> {
    install_tls();
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&config.bucket);
    if let Some(account) = &config.service_account {
        builder = builder.with_service_account_key(account);
    }
    if let Some(endpoint) = &config.endpoint {
        // A stand-in asks for no signature.
        let options = ClientOptions::new().with_allow_http(endpoint.starts_with("http://"));
        builder = builder.with_base_url(endpoint).with_client_options(options);
        builder = builder.with_skip_signature(config.service_account.is_none());
    }
    builder.build()
}

/// The HTTP client is built without a TLS provider of its own.
fn install_tls() {
    // An error means that one is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn with_scheme(endpoint: &str, insecure: bool) -> String {
    if endpoint.contains("://") {
        return endpoint.to_owned();
    }
    let scheme = if insecure { "http" } else { "https" };
    format!("{scheme}://{endpoint}")
}

fn with_prefix(store: impl ObjectStore, prefix: Option<&str>) -> Arc<dyn ObjectStore> {
    match prefix.map(|prefix| prefix.trim_matches('/')).filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => Arc::new(PrefixStore::new(store, prefix)),
        None => Arc::new(store),
    }
}

fn rejected(name: &str, source: &object_store::Error) -> Error {
    Error::Config { store: name.to_owned(), problem: source.to_string() }
}

#[cfg(test)]
mod tests;
