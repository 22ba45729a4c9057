//! `-health`: asks a running process whether it is ready, for containers that have no shell. Where it
//! speaks TLS, the environment names the files as it does for the commands of the terminal.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::terminal::connection::with_files;

/// What is asked when `-health.url` does not say.
pub const DEFAULT_URL: &str = "http://localhost:3100/ready";

/// A process that does not answer within so long is not well.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns if `url` answers with success; else the error says what it answered.
pub fn check(url: &str) -> Result<()> {
    // An error means that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(ask(url))
}

async fn ask(url: &str) -> Result<()> {
    // There already is one if a command of the terminal asked before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let path = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let authorities = path("LOKI_CA_CERT_PATH");
    let identity = path("LOKI_CLIENT_CERT_PATH").zip(path("LOKI_CLIENT_KEY_PATH"));
    let identity = identity.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let client = with_files(client, authorities.as_deref(), identity)?.build()?;
    let answer = client.get(url).send().await.with_context(|| format!("asking {url}"))?;
    let status = answer.status();
    if !status.is_success() {
        let text = answer.text().await.unwrap_or_default();
        bail!("{url} answered {status}: {}", text.trim());
    }
    Ok(())
}
