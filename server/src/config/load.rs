//! Files and flags -> [`RawConfig`], and what is wrong with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::expand::expand;
use super::node::{At, Fault, Node};
use super::root::RawConfig;
use super::value::{Reading, Value};

/// Where a file is looked for when none is named.
pub const DEFAULT_FILES: &str = "config.yaml,config/config.yaml";
/// Largest file that is read. The largest known ones have a few hundred kilobytes.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Mistakes that are printed.
const MAX_FAULTS: usize = 20;

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `-config.file`: a comma list, the first that exists counts. `None` looks for
    /// [`DEFAULT_FILES`], and where there are none it is a single node that is easy to start.
    pub file: Option<PathBuf>,
    /// `-config.expand-env`: `${VAR}`, `${VAR:-default}` and `$VAR` in files are replaced.
    pub expand_env: bool,
    /// Keys that flags set, applied last.
    pub overrides: Vec<(String, String)>,
    /// `-print-config-stderr`
    pub print: bool,
    /// `-log-config-reverse-order`
    pub log_reversed: bool,
}

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub raw: RawConfig,
    /// The file they are from.
    pub file: Option<PathBuf>,
    /// Where each key was set; line 0 is a flag.
    pub set: BTreeMap<String, At>,
}

/// Reads the file, then the flags.
pub fn load(source: &Source) -> Result<Loaded> {
    let file = find(source.file.as_deref())?;
    let mut loaded = match file {
        None => Loaded { raw: standalone(), file: None, set: BTreeMap::new() },
        Some(path) => {
            let text = read_file(&path)?;
            let text = match source.expand_env {
                true => expand_env(&text).with_context(|| failed(&path))?,
                false => text,
            };
            let loaded = from_text(&text).with_context(|| failed(&path))?;
            Loaded { file: Some(path), ..loaded }
        }
    };
    apply(&mut loaded, &source.overrides)?;
    Ok(loaded)
}

fn failed(path: &Path) -> String {
    format!("failed parsing config: {}", path.display())
}

/// The variables of this process.
pub fn expand_env(text: &str) -> Result<String> {
    expand(text, &|name| std::env::var(name).ok()).map_err(anyhow::Error::msg)
}

/// What a file says, on Loki's defaults; an empty file is a file.
pub fn parse(text: &str) -> (RawConfig, Reading) {
    let mut raw = RawConfig::default();
    let mut reading = Reading::default();
    match Node::parse(text) {
        Ok(node) => raw.read(&node, &mut reading),
        Err(fault) => reading.faults.push(fault),
    }
    (raw, reading)
}

/// The same, where any mistake is an error.
pub fn from_text(text: &str) -> Result<Loaded> {
    let (raw, reading) = parse(text);
    if !reading.faults.is_empty() {
        bail!("{}", list(&reading.faults));
    }
    Ok(Loaded { raw, file: None, set: reading.set })
}

/// The mistakes of a file, one a line.
pub fn list(faults: &[Fault]) -> String {
    let mut out = String::from("yaml: unmarshal errors:");
    for fault in faults.iter().take(MAX_FAULTS) {
        out.push_str(&format!("\n  {fault}"));
    }
    if faults.len() > MAX_FAULTS {
        out.push_str(&format!("\n  and {} more", faults.len() - MAX_FAULTS));
    }
    out
}

fn find(named: Option<&Path>) -> Result<Option<PathBuf>> {
    let text = named.map(|path| path.to_string_lossy().into_owned());
    let list = text.as_deref().unwrap_or(DEFAULT_FILES);
    let mut paths = list.split(',').map(str::trim).filter(|path| !path.is_empty());
    match paths.find(|path| Path::new(path).exists()) {
        Some(path) => Ok(Some(PathBuf::from(path))),
        None if named.is_none() => Ok(None),
        None => bail!(
            "failed parsing config: {list} does not exist, set config.file for custom config path"
        ),
    }
}

/// Reads a file of configuration whole.
pub fn read_file(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path).with_context(|| failed(path))?.len();
    if size > MAX_FILE_BYTES {
        bail!("{}: {size} bytes, more than {MAX_FILE_BYTES}", failed(path));
    }
    std::fs::read_to_string(path).with_context(|| failed(path))
}

fn apply(loaded: &mut Loaded, overrides: &[(String, String)]) -> Result<()> {
    let mut before: BTreeMap<&str, String> = BTreeMap::new();
    for (key, text) in overrides {
        let path: Vec<&str> = key.split('.').collect();
        // A list's flag may come again and again: each adds to it.
        let all = match before.get(key.as_str()) {
            Some(earlier) if super::reference::is_list(key) => format!("{earlier},{text}"),
            _ => text.clone(),
        };
        loaded.raw.set(&path, &all).map_err(|error| {
            let flag = super::reference::key(key).map_or(key, |declared| &declared.flag);
            anyhow::anyhow!("invalid value {text:?} for flag -{flag}: {error}")
        })?;
        loaded.set.insert(key.clone(), At::default());
        before.insert(key, all);
    }
    Ok(())
}

/// What a start without a file means: reachable from this machine only, everything it needs below
/// `./data`, nothing refused that Loki would refuse to protect a cluster.
fn standalone() -> RawConfig {
    let mut raw = RawConfig { auth_enabled: false, ..RawConfig::default() };
    raw.server.http_listen_address = "127.0.0.1".to_owned();
    raw.server.grpc_listen_address = "127.0.0.1".to_owned();
    raw.common.path_prefix = "data".to_owned();
    raw.common.replication_factor = 1;
    raw.common.storage.filesystem.chunks_directory = "data/store".to_owned();
    raw.limits_config.ingestion_rate_mb = f64::INFINITY;
    raw.limits_config.ingestion_burst_size_mb = f64::INFINITY;
    raw.limits_config.per_stream_rate_limit = base::ByteSize(u64::MAX);
    raw.limits_config.per_stream_rate_limit_burst = base::ByteSize(u64::MAX);
    raw.limits_config.reject_old_samples = false;
    raw.pattern_ingester.enabled = true;
    raw.limits_config.out_of_order_window = Some(std::time::Duration::ZERO);
    raw
}
