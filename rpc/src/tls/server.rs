//! A listener's side.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::files::{Kept, Pem, Texts};
use super::signatures::Signatures;
use super::{Error, Terms};

/// What is asked of clients, by the names of Go (`client_auth_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientPolicy {
    /// `NoClientCert`: nothing.
    #[default]
    None,
    /// `RequestClientCert`: a certificate, of whomever, or none.
    Request,
    /// `RequireAnyClientCert`: a certificate, of whomever.
    RequireAny,
    /// `VerifyClientCertIfGiven`: none, or one that an authority has signed.
    VerifyIfGiven,
    /// `RequireAndVerifyClientCert`: one that an authority has signed.
    RequireAndVerify,
}

impl ClientPolicy {
    const NAMES: [(&str, ClientPolicy); 7] = [
        ("", ClientPolicy::None),
        ("NoClientCert", ClientPolicy::None),
        ("RequestClientCert", ClientPolicy::Request),
        ("RequireClientCert", ClientPolicy::RequireAny),
        ("RequireAnyClientCert", ClientPolicy::RequireAny),
        ("VerifyClientCertIfGiven", ClientPolicy::VerifyIfGiven),
        ("RequireAndVerifyClientCert", ClientPolicy::RequireAndVerify),
    ];

    /// Reads a name; `key` is for the error.
    pub fn parse(key: String, name: &str) -> Result<ClientPolicy, Error> {
        let found = ClientPolicy::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, policy)| *policy).ok_or_else(|| {
            let known: Vec<&str> = ClientPolicy::NAMES[1..].iter().map(|known| known.0).collect();
            let problem = format!("{name:?} is not one of {}", known.join(", "));
            Error::Setting { key, problem }
        })
    }

    /// Whether certificates are held against authorities.
    pub fn verifies(self) -> bool {
        matches!(self, ClientPolicy::VerifyIfGiven | ClientPolicy::RequireAndVerify)
    }
}

/// What a listener shows and asks for.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The block of the configuration: names it in errors, logs and metrics.
    pub block: &'static str,
    /// The chain, its own certificate first.
    pub certificate: Pem,
    /// Its key.
    pub key: Pem,
    /// Authorities of clients, for the policies that verify.
    pub client_authorities: Option<Pem>,
    /// What is asked of clients.
    pub policy: ClientPolicy,
    /// Versions and suites.
    pub terms: Terms,
    /// The block of those.
    pub terms_block: &'static str,
    /// Protocols in order of preference, as ALPN names them.
    pub protocols: &'static [&'static str],
}

impl ServerSettings {
    /// What is wrong without a look at any file.
    pub fn check(&self) -> Result<(), Error> {
        let problem = match (self.policy, &self.client_authorities) {
            (ClientPolicy::None, Some(_)) => {
                Some("client CA's have been configured without a Client Auth Policy")
            }
            (policy, None) if policy.verifies() => {
                Some("needs client_ca_file: without it no client could be verified")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            let key = format!("{}.client_auth_type", self.block);
            return Err(Error::Setting { key, problem: problem.to_owned() });
        }
        self.terms.provider(self.terms_block)?;
        self.terms.versions(self.terms_block).map(|_| ())
    }
}

/// Takes connections over TLS. Clones share what was read.
#[derive(Clone)]
pub struct ServerTls(Arc<Kept<ServerConfig>>);

impl ServerTls {
    /// Reads the files.
    pub fn open(settings: ServerSettings) -> Result<ServerTls, Error> {
        settings.check()?;
        let mut files = vec![settings.certificate.clone(), settings.key.clone()];
        files.extend(settings.client_authorities.clone());
        let block = settings.block;
        let kept = Kept::open(block, files, move |texts| build(&settings, texts))?;
        Ok(ServerTls(Arc::new(kept)))
    }

    /// The server's part of a handshake, with the files as they are now. How long it may take is
    /// the caller's to say.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.0.newest().await).accept(stream).await
    }
}

fn build(settings: &ServerSettings, texts: &Texts) -> Result<ServerConfig, Error> {
    let refused = |source| Error::Refused { block: settings.block.to_owned(), source };
    let provider = settings.terms.provider(settings.terms_block)?;
    let versions = settings.terms.versions(settings.terms_block)?;
    let roots = match (&settings.client_authorities, texts.get(2)) {
        (Some(pem), Some(text)) => pem.authorities(text)?,
        _ => RootCertStore::empty(),
    };
    let verifier = verifier(settings, roots, &provider)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(refused)?;
    let chain = settings.certificate.chain(&texts[0])?;
    let key = settings.key.private_key(&texts[1])?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(refused)?;
    config.alpn_protocols = protocols(settings.protocols);
    Ok(config)
}

/// As the library takes them.
pub(super) fn protocols(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn verifier(
    settings: &ServerSettings,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let signatures = Signatures(provider.clone());
    let any = |is_required| Arc::new(AnyClient { signatures, is_required });
    let builder = match settings.policy {
        ClientPolicy::None => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientPolicy::Request => return Ok(any(false)),
        ClientPolicy::RequireAny => return Ok(any(true)),
        ClientPolicy::VerifyIfGiven | ClientPolicy::RequireAndVerify => {
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        }
    };
    let builder = match settings.policy {
        ClientPolicy::VerifyIfGiven => builder.allow_unauthenticated(),
        _ => builder,
    };
    builder.build().map(|built| built as Arc<dyn ClientCertVerifier>).map_err(|error| {
        let key = format!("{}.client_ca_file", settings.block);
        Error::Content { key, problem: error.to_string() }
    })
}

/// Takes any certificate whose key the client has.
#[derive(Debug)]
struct AnyClient {
    signatures: Signatures,
    is_required: bool,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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
