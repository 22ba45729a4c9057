//! A caller's side.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::files::{Kept, Pem, Texts};
use super::server::protocols;
use super::signatures::Signatures;
use super::{Error, Terms};

/// How another process is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// The block of the configuration: names it in errors, logs and metrics.
    pub block: &'static str,
    /// Chain and key that are shown to servers that ask for them.
    pub identity: Option<(Pem, Pem)>,
    /// Authorities of servers; those of this system where there is none.
    pub authorities: Option<Pem>,
    /// The name that a server's certificate must have; empty is the host that is called.
    pub server_name: String,
    /// Takes every certificate.
    pub skips_verification: bool,
    /// Versions and suites.
    pub terms: Terms,
}

impl ClientSettings {
    /// What is wrong without a look at any file.
    pub fn check(&self) -> Result<(), Error> {
        if !self.server_name.is_empty() {
            name_of(&self.server_name).ok_or_else(|| Error::Setting {
                key: format!("{}.tls_server_name", self.block),
                problem: format!("{:?} is no name of a server", self.server_name),
            })?;
        }
        self.terms.provider(self.block)?;
        self.terms.versions(self.block).map(|_| ())
    }
}

/// Makes connections over TLS that speak HTTP/2. Clones share what was read.
#[derive(Clone)]
pub struct ClientTls {
    settings: Arc<ClientSettings>,
    kept: Arc<Kept<ClientConfig>>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &ClientTls) -> bool {
        self.settings == other.settings
    }
}

impl Eq for ClientTls {}

impl ClientTls {
    /// Reads the files.
    pub fn open(settings: ClientSettings) -> Result<ClientTls, Error> {
        settings.check()?;
        let mut files = Vec::new();
        if let Some((certificate, key)) = &settings.identity {
            files.extend([certificate.clone(), key.clone()]);
        }
        files.extend(settings.authorities.clone());
        let settings = Arc::new(settings);
        let asked = settings.clone();
        let kept = Kept::open(settings.block, files, move |texts| build(&asked, texts))?;
        Ok(ClientTls { settings, kept: Arc::new(kept) })
    }

    /// The name that the certificate of whoever is called at `host` must have.
    pub fn server_name(&self, host: &str) -> Option<ServerName<'static>> {
        match self.settings.server_name.as_str() {
            "" => name_of(host),
            own => name_of(own),
        }
    }

    /// The client's part of a handshake, with the files as they are now. How long it may take is
    /// the caller's to say.
    pub async fn connect<S>(
        &self,
        name: ServerName<'static>,
        stream: S,
    ) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsConnector::from(self.kept.newest().await).connect(name, stream).await
    }
}

fn name_of(host: &str) -> Option<ServerName<'static>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).ok()
}

fn build(settings: &ClientSettings, texts: &Texts) -> Result<ClientConfig, Error> {
    let refused = |source| Error::Refused { block: settings.block.to_owned(), source };
    let provider = settings.terms.provider(settings.block)?;
    let versions = settings.terms.versions(settings.block)?;
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(refused)?;
    let builder = match settings.skips_verification {
        true => {
            let verifier = Arc::new(AnyServer { signatures: Signatures(provider) });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
        false => builder.with_root_certificates(roots(settings, texts)?),
    };
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificate.chain(&texts[0])?;
            let key = key.private_key(&texts[1])?;
            builder.with_client_auth_cert(chain, key).map_err(refused)?
        }
    };
    config.alpn_protocols = protocols(&["h2"]);
    Ok(config)
}

fn roots(settings: &ClientSettings, texts: &Texts) -> Result<RootCertStore, Error> {
    if let (Some(pem), Some(text)) = (&settings.authorities, texts.last()) {
        return pem.authorities(text);
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (known, _) = roots.add_parsable_certificates(found.certs);
    if known == 0 {
        let key = format!("{}.tls_ca_path", settings.block);
        let problem = "is empty, and this system has no authorities of its own".to_owned();
        return Err(Error::Setting { key, problem });
    }
    Ok(roots)
}

/// Takes any certificate whose key the server has.
#[derive(Debug)]
struct AnyServer {
    signatures: Signatures,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes()
    }
}
