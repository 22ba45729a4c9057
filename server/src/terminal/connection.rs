//! Which server a subcommand talks to, as whom, and how its answers are read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Identity, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::version::VERSION;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is held in memory; a batch of lines is far smaller.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// Longest error text that is shown.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Flags and environment of logcli, so that what people have set up already works.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub struct Connect {
    /// Where the server is
    #[arg(
        long,
        visible_alias = "addr",
        env = "LOKI_ADDR",
        default_value = "http://127.0.0.1:3100"
    )]
    pub url: String,
    /// Tenant, sent as X-Scope-OrgID
    #[arg(long, visible_alias = "org-id", env = "LOKI_ORG_ID")]
    pub tenant: Option<String>,
    /// User of basic authentication
    #[arg(long, env = "LOKI_USERNAME")]
    pub username: Option<String>,
    /// Password of basic authentication
    #[arg(long, env = "LOKI_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Bearer token
    #[arg(long, env = "LOKI_BEARER_TOKEN", hide_env_values = true, conflicts_with = "username")]
    pub bearer_token: Option<String>,
    /// File that holds the bearer token
    #[arg(long, env = "LOKI_BEARER_TOKEN_FILE", conflicts_with_all = ["username", "bearer_token"])]
    pub bearer_token_file: Option<PathBuf>,
    /// PEM file with the authority that signed the server's certificate
    #[arg(long, env = "LOKI_CA_CERT_PATH")]
    pub ca_cert: Option<PathBuf>,
    /// PEM file with the certificate that is shown to a server that asks for one
    #[arg(long, env = "LOKI_CLIENT_CERT_PATH", requires = "key")]
    pub cert: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(long, env = "LOKI_CLIENT_KEY_PATH", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long, env = "LOKI_TLS_SKIP_VERIFY")]
    pub tls_skip_verify: bool,
}

/// A server's API.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    base: Url,
    credentials: Credentials,
}

#[derive(Clone)]
enum Credentials {
    None,
    Basic(String, Option<String>),
    Bearer(String),
}

/// The frame around every answer of a query route.
#[derive(Deserialize)]
struct Framed<T> {
    data: Option<T>,
}

/// What `query` and `query_range` answer.
#[derive(Deserialize)]
pub struct QueryAnswer {
    /// `streams`, `matrix`, `vector` or `scalar`.
    #[serde(rename = "resultType")]
    pub kind: String,
    /// By kind.
    pub result: Box<RawValue>,
    /// What the query cost.
    #[serde(default)]
    pub stats: serde_json::Value,
}

impl Connect {
    /// A client with these settings. Connects when the first request is made.
    pub fn open(&self) -> Result<Connection> {
        // An error means that a provider is installed already, which is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut base = self.url.clone();
        if !base.contains("://") {
            base.insert_str(0, "http://");
        }
        if !base.ends_with('/') {
            base.push('/');
        }
        let base = Url::parse(&base).with_context(|| format!("the address {:?}", self.url))?;
        let client = Client::builder()
            .user_agent(format!("runelog/{VERSION}"))
            .default_headers(self.headers()?)
            .connect_timeout(CONNECT_TIMEOUT)
            .tls_danger_accept_invalid_certs(self.tls_skip_verify);
        let identity = self.cert.as_deref().zip(self.key.as_deref());
        let client = with_files(client, self.ca_cert.as_deref(), identity)?;
        let client = client.build().context("making the HTTP client")?;
        Ok(Connection { client, base, credentials: self.credentials()? })
    }

    fn headers(&self) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if let Some(tenant) = self.tenant.as_deref().filter(|tenant| !tenant.is_empty()) {
            let value = HeaderValue::from_str(tenant).context("the tenant")?;
            headers.insert("X-Scope-OrgID", value);
        }
        Ok(headers)
    }

    fn credentials(&self) -> Result<Credentials> {
        if let Some(user) = &self.username {
            return Ok(Credentials::Basic(user.clone(), self.password.clone()));
        }
        let token = match &self.bearer_token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                Some(text.with_context(|| format!("read {}", path.display()))?)
            }
            None => self.bearer_token.clone(),
        };
        Ok(token.map_or(Credentials::None, |token| Credentials::Bearer(token.trim().to_owned())))
    }
}

/// A client that trusts the authorities in a PEM file, beside those of this system, and shows the
/// certificate and key of two others.
pub fn with_files(
    mut client: ClientBuilder,
    authorities: Option<&Path>,
    identity: Option<(&Path, &Path)>,
) -> Result<ClientBuilder> {
    if let Some(path) = authorities {
        let bundle = reqwest::Certificate::from_pem_bundle(&file(path)?)
            .with_context(|| format!("{} holds no certificate", path.display()))?;
        client = client.tls_certs_merge(bundle);
    }
    if let Some((cert, key)) = identity {
        let pem = [file(key)?, file(cert)?].join(&b'\n');
        let identity = Identity::from_pem(&pem).with_context(|| {
            format!("{} and {} are no certificate and key", cert.display(), key.display())
        })?;
        client = client.identity(identity);
    }
    Ok(client)
}

fn file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}

impl Connection {
    /// Where `path` (without a leading slash) of the server is.
    pub fn url(&self, path: &str, params: &[(&str, String)]) -> Result<Url> {
        let mut url = self.base.join(path).with_context(|| format!("the address of {path}"))?;
        if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(params);
        }
        Ok(url)
    }

    /// A request to post to `path`.
    pub fn post(&self, path: &str) -> Result<RequestBuilder> {
        self.post_with(path, &[])
    }

    /// The same with parameters.
    pub fn post_with(&self, path: &str, params: &[(&str, String)]) -> Result<RequestBuilder> {
        Ok(self.request(Method::POST, self.url(path, params)?))
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.credentials {
            Credentials::None => request,
            Credentials::Basic(user, password) => request.basic_auth(user, password.as_ref()),
            Credentials::Bearer(token) => request.bearer_auth(token),
        }
    }

    /// The `data` of a query route's answer; [`None`] where the server left it out.
    pub async fn get<T>(&self, path: &str, params: &[(&str, String)]) -> Result<Option<T>>
    where
        T: for<'a> Deserialize<'a>,
    {
        let url = self.url(path, params)?;
        let asked = url.origin().ascii_serialization();
        let response = self.request(Method::GET, url).send().await;
        let response = response.with_context(|| format!("no answer from {asked}"))?;
        let status = response.status();
        if !status.is_success() {
            let text = error_text(response).await;
            bail!("{asked} answered {}: {text}", show(status));
        }
        let body = read(response, MAX_ANSWER_BYTES).await?;
        let framed: Framed<T> = serde_json::from_slice(&body)
            .with_context(|| format!("the answer of {asked} is not what Loki's API says"))?;
        Ok(framed.data)
    }

    /// The answer of an operational route, which has no frame.
    pub async fn plain<T: for<'a> Deserialize<'a>>(&self, path: &str) -> Result<T> {
        let url = self.url(path, &[])?;
        let asked = url.origin().ascii_serialization();
        let request = self.request(Method::GET, url).header("Accept", "application/json");
        let response = request.send().await;
        let response = response.with_context(|| format!("no answer from {asked}"))?;
        let status = response.status();
        if !status.is_success() {
            bail!("{asked} answered {}: {}", show(status), error_text(response).await);
        }
        let body = read(response, MAX_ANSWER_BYTES).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{asked}: /{path} is not what it says"))
    }

    /// The answer of `query` or `query_range`.
    pub async fn query(&self, path: &str, params: &[(&str, String)]) -> Result<QueryAnswer> {
        self.get(path, params).await?.context("the server's answer has no data")
    }
}

/// `429 Too Many Requests`.
pub fn show(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// The text of an answer that is an error.
pub async fn error_text(mut response: Response) -> String {
    let mut text = Vec::new();
    while text.len() < MAX_ERROR_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        text.extend_from_slice(&chunk);
    }
    text.truncate(MAX_ERROR_BYTES);
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the answer was cut off")? {
        if body.len() + chunk.len() > limit {
            bail!("the answer is over {} MiB; ask with a smaller --batch", limit >> 20);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
