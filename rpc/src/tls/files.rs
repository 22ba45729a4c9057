//! PEM texts, and what is made of them, kept as long as they stay the same.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ::metrics::counter;
use arc_swap::ArcSwap;
use base::task;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Error, metrics};

/// Largest file: a bundle of every public authority is a quarter of this.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a PEM text stands, and the key of the configuration that says so.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In a file, which may change while the process runs.
    File {
        /// `block.key`.
        key: String,
        /// As configured.
        path: PathBuf,
    },
    /// In the configuration itself.
    Text {
        /// `block.key`.
        key: String,
        /// May be a private key: it is never printed.
        text: String,
    },
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File { key, path } => write!(f, "{key}={}", path.display()),
            Pem::Text { key, .. } => f.write_str(key),
        }
    }
}

impl Pem {
    /// The key `key`, whose value is a path; nothing if it is empty.
    pub fn file(key: String, path: &str) -> Option<Pem> {
        (!path.is_empty()).then(|| Pem::File { key, path: PathBuf::from(path) })
    }

    /// The key `key`, whose value is the text; nothing if it is empty.
    pub fn text(key: String, text: &str) -> Option<Pem> {
        (!text.is_empty()).then(|| Pem::Text { key, text: text.to_owned() })
    }

    fn key(&self) -> &str {
        match self {
            Pem::File { key, .. } | Pem::Text { key, .. } => key,
        }
    }

    fn read(&self) -> Result<Vec<u8>, Error> {
        let (key, path) = match self {
            Pem::Text { text, .. } => return Ok(text.clone().into_bytes()),
            Pem::File { key, path } => (key, path),
        };
        let failed = |source| Error::File { key: key.clone(), path: path.clone(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let path = path.display();
            return Err(self.wrong(format!("{path} has more than {MAX_FILE_BYTES} bytes")));
        }
        Ok(bytes)
    }

    fn wrong(&self, problem: String) -> Error {
        Error::Content { key: self.key().to_owned(), problem }
    }

    /// The certificates in `bytes`; at least one.
    pub(super) fn chain(&self, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        let found = found.map_err(|error| self.wrong(format!("no certificates: {error}")))?;
        if found.is_empty() {
            return Err(self.wrong("holds no certificate".to_owned()));
        }
        Ok(found)
    }

    /// The private key in `bytes`.
    pub(super) fn private_key(&self, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(bytes)
            .map_err(|error| self.wrong(format!("no private key: {error}")))
    }

    /// The authorities in `bytes`; at least one.
    pub(super) fn authorities(&self, bytes: &[u8]) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in self.chain(bytes)? {
            let added = roots.add(certificate);
            added.map_err(|error| self.wrong(format!("no authority: {error}")))?;
        }
        Ok(roots)
    }
}

/// The texts of some files at one moment, in the order of the files.
pub(super) type Texts = Vec<Vec<u8>>;

/// How a `T` is made of texts.
type Build<T> = Box<dyn Fn(&Texts) -> Result<T, Error> + Send + Sync>;

/// What is made of files, made anew when they say something else.
pub(super) struct Kept<T> {
    /// Names the block of the configuration in logs and metrics.
    block: &'static str,
    files: Vec<Pem>,
    build: Build<T>,
    current: ArcSwap<T>,
    /// What was tried last: texts, or why there were none. Whoever looks holds it.
    tried: Mutex<Result<Texts, String>>,
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// Reads the files for the first time: here an error is one.
    pub fn open(
        block: &'static str,
        files: Vec<Pem>,
        build: impl Fn(&Texts) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Kept<T>, Error> {
        let texts = read(&files)?;
        let current = ArcSwap::from_pointee(build(&texts)?);
        Ok(Kept { block, files, build: Box::new(build), current, tried: Mutex::new(Ok(texts)) })
    }

    /// What the files say now, or said when they could last be used.
    pub async fn newest(self: &Arc<Self>) -> Arc<T> {
        let kept = self.clone();
        if task::blocking("tls-files", move || kept.look()).await.is_err() {
            tracing::error!(block = self.block, "reading the files of TLS had panicked");
        }
        self.current.load_full()
    }

    fn look(&self) {
        // Whoever panicked while holding it left texts that were read whole.
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = read(&self.files).map_err(|error| error.to_string());
        if *tried == texts {
            return;
        }
        let built = match &texts {
            Ok(texts) => (self.build)(texts).map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        match built {
            Ok(built) => {
                self.current.store(Arc::new(built));
                counter!(metrics::RELOADS, "block" => self.block).increment(1);
                tracing::info!(block = self.block, "files of TLS have changed and were taken");
            }
            Err(error) => {
                counter!(metrics::RELOAD_FAILURES, "block" => self.block).increment(1);
                tracing::error!(
                    block = self.block,
                    error,
                    "files of TLS have changed and cannot be used: the last good ones stay"
                );
            }
        }
        *tried = texts;
    }
}

fn read(files: &[Pem]) -> Result<Texts, Error> {
    files.iter().map(Pem::read).collect()
}
