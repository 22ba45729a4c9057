//! Limits of single tenants, changed while the process runs: [`files`](Overrides), the ring
//! ([`layers`]), the files in the ring ([`import`]), and the routes that change what the ring holds
//! ([`api`]).
//!
//! `runtime_config.file` is read again and again here.
//!
//! A start fails where a file cannot be read or has a mistake; later such a file is left out, and
//! what counted before goes on counting. What decides is the content, not the time of a file.

pub mod api;
pub mod import;
pub mod layers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base::shutdown::Shutdown;
use base::task;
use metrics::gauge;

use crate::config::{Config, runtime};
use layers::Layers;

/// Gauge: 1 if what the files say now is what counts, 0 if it has a mistake.
pub const LAST_RELOAD_SUCCESSFUL: &str = "loki_runtime_config_last_reload_successful";

/// Brings what the files say to the limits.
pub struct Overrides {
    files: Vec<PathBuf>,
    period: Duration,
    layers: Arc<Layers>,
    /// What the last look found: texts of the files, or why they cannot be read.
    seen: Result<Vec<(PathBuf, String)>, String>,
}

/// What a look at the files brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// They say what they said.
    Unchanged,
    /// They say something else, and that counts now.
    Loaded,
    /// They have a mistake; what counted goes on.
    Failed,
}

impl Overrides {
    /// Reads the files for the first time.
    pub fn start(config: &Config, layers: Arc<Layers>) -> Result<Overrides> {
        let mut overrides = Overrides {
            files: config.runtime_files.clone(),
            period: config.runtime_period,
            layers,
            seen: Ok(Vec::new()),
        };
        let texts = runtime::read_files(&overrides.files)?;
        overrides.layers.set_files(&texts)?;
        overrides.seen = Ok(texts);
        gauge!(LAST_RELOAD_SUCCESSFUL).set(1.0);
        Ok(overrides)
    }

    /// Reads the files; if they say something new, it counts when this returns.
    pub fn look(&mut self) -> Look {
        let found = runtime::read_files(&self.files).map_err(|error| format!("{error:#}"));
        if found == self.seen {
            return Look::Unchanged;
        }
        self.seen = found.clone();
        let taken = match &found {
            Ok(texts) => self.layers.set_files(texts),
            Err(text) => Err(anyhow::anyhow!("{text}")),
        };
        match taken {
            Ok(()) => {
                gauge!(LAST_RELOAD_SUCCESSFUL).set(1.0);
                Look::Loaded
            }
            Err(error) => {
                gauge!(LAST_RELOAD_SUCCESSFUL).set(0.0);
                tracing::error!("runtime config is not reloaded, the limits stay: {error:#}");
                Look::Failed
            }
        }
    }

    /// Looks again and again; cancelling `shutdown` ends it, an error is a panic in a look.
    pub async fn run(self, shutdown: Shutdown) -> Result<()> {
        let mut ticks = tokio::time::interval(self.period);
        ticks.tick().await;
        let mut this = self;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return Ok(()),
            }
            let look = task::blocking("runtime config", move || {
                this.look();
                this
            });
            this = look.await.context("looking at the runtime config")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use base::TenantId;

    use super::*;
    use crate::config::{Source, load_file};
    use crate::limits::ConfigLimits;

    fn series(limits: &ConfigLimits, tenant: &str) -> u64 {
        limits.tenant(&TenantId::new(tenant).unwrap()).config.max_query_series
    }

    fn write(path: &std::path::Path, text: &str) {
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn what_changed_counts_when_the_look_returns() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one.yaml"), dir.path().join("two.yaml"));
        write(&one, "overrides: {a: {max_query_series: 1, max_line_size: 1KB}}\n");
        write(&two, "overrides: {b: {max_query_series: 2}}\n");
        let main = dir.path().join("c.yaml");
        let (shown, second) = (one.display(), two.display());
        write(
            &main,
            &format!(
                "limits_config: {{max_query_series: 9}}\nruntime_config: {{file: '{shown},{second}'}}\n"
            ),
        );
        let config = load_file(&main).unwrap();
        let limits = Arc::new(ConfigLimits::new(&config));
        let layers = Arc::new(Layers::new(limits.clone()));
        let mut overrides = Overrides::start(&config, layers).unwrap();
        let now = |limits: &ConfigLimits| ["a", "b", "c"].map(|tenant| series(limits, tenant));
        assert_eq!(now(&limits), [1, 2, 9]);
        let looks: Vec<Look> = (0..3).map(|_| overrides.look()).collect();
        assert_eq!(looks, [Look::Unchanged; 3]);

        let before = limits.tenant(&TenantId::new("a").unwrap());
        write(&two, "overrides: {a: {max_query_series: 5}, c: {max_query_series: 6}}\n");
        assert_eq!(overrides.look(), Look::Loaded);
        assert_eq!(now(&limits), [5, 9, 6]);
        let after = limits.tenant(&TenantId::new("a").unwrap());
        assert_eq!(after.config.max_line_size, base::ByteSize(1024));
        assert_eq!(before.config.max_query_series, 1, "who asked before keeps what he was told");

        // A mistake, also a missing file, is told of once and changes nothing.
        write(&two, "overrides: {a: {max_query_serie: 7}}\n");
        assert_eq!([overrides.look(), overrides.look()], [Look::Failed, Look::Unchanged]);
        assert_eq!(now(&limits), [5, 9, 6]);
        std::fs::remove_file(&two).unwrap();
        assert_eq!([overrides.look(), overrides.look()], [Look::Failed, Look::Unchanged]);
        assert_eq!(now(&limits), [5, 9, 6]);
        write(&two, "");
        assert_eq!(overrides.look(), Look::Loaded);
        assert_eq!(now(&limits), [1, 9, 9]);
    }

    #[test]
    fn each_service_sees_the_limits_of_the_tenant() {
        let config = crate::config::Config::load(&Source::default()).unwrap();
        let limits = ConfigLimits::new(&config);
        let text = "overrides: {a: {out_of_order_window: 5s, per_stream_rate_limit: 7KB, \
                    max_streams_per_user: 3, max_line_size: 8, required_labels: [x], \
                    block_ingestion_until: 2030-01-01T00:00:00Z}}";
        let files = [(PathBuf::from("o.yaml"), text.to_owned())];
        limits.replace(runtime::parse(&files, limits.base()).unwrap());
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        assert_eq!(ingester::Limits::out_of_order_window(&limits, &a), Duration::from_secs(5));
        assert_eq!(ingester::Limits::out_of_order_window(&limits, &b), Duration::ZERO);
        assert_eq!(ingester::Limits::per_stream_rate_bytes(&limits, &a), 7 << 10);
        assert_eq!(ingester::Limits::max_streams(&limits, &a), 3);
        let push = distributor::Limits::push(&limits, &a);
        assert_eq!(push.max_line_size, 8);
        assert!(push.block_ingestion_until.is_some());
        let again = distributor::Limits::push(&limits, &a);
        assert!(Arc::ptr_eq(&push, &again), "nothing is worked out for a push");
        assert_eq!(query_frontend::Limits::required_labels(&limits, &a), ["x"]);
        assert!(query_frontend::Limits::required_labels(&limits, &b).is_empty());
    }

    #[test]
    fn a_start_with_a_mistake_fails_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (main, file) = (dir.path().join("c.yaml"), dir.path().join("o.yaml"));
        write(
            &main,
            &format!("limits_config: {{per_tenant_override_config: {}}}\n", file.display()),
        );
        let config = load_file(&main).unwrap();
        assert!(config.notices.iter().any(|n| n.key.ends_with("per_tenant_override_config")));
        let start = || {
            let limits = Arc::new(ConfigLimits::new(&config));
            let layers = Arc::new(Layers::new(limits));
            Overrides::start(&config, layers).map(|_| ()).map_err(|error| format!("{error:#}"))
        };
        assert!(start().unwrap_err().contains("o.yaml"));
        write(&file, "overrides:\n  a: {nosuch: 1}\n");
        let error = start().unwrap_err();
        assert!(error.contains("o.yaml") && error.contains("line 2"), "{error}");
        write(&file, "overrides: {}\n");
        assert_eq!(start(), Ok(()));
    }
}
