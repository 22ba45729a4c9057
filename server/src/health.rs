//! `-health`: asks a running process whether it is ready, for containers that have no shell.

use std::time::Duration;

use anyhow::{Context, Result, bail};

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
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let answer = client.get(url).send().await.with_context(|| format!("asking {url}"))?;
    let status = answer.status();
    if !status.is_success() {
        let text = answer.text().await.unwrap_or_default();
        bail!("{url} answered {status}: {}", text.trim());
    }
    Ok(())
}
