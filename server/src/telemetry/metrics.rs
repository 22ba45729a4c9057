//! The recorder of the `metrics` facade: help texts, buckets, and the page that is scraped.

mod table;

use std::time::Duration;

use anyhow::{Context, Result};
use base::shutdown::Shutdown;
use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::process::ProcessFigures;
use crate::version;
use table::{Kind, TABLE};

/// Counter {level}: lines logged.
pub const LOG_MESSAGES: &str = "loki_internal_log_messages_total";
/// Counter {level}: the same under the name older dashboards read.
pub const LOG_MESSAGES_OLD: &str = "loki_log_messages_total";
/// Gauge, always 1 {version, revision, branch, goversion, goos, goarch, tags}.
pub const BUILD_INFO: &str = "loki_build_info";

/// Loki's names that `promtool check metrics` rejects (a counter that ends in `_count`, a unit that
/// is not the base unit): left out, so that the page stays clean for those who lint it.
const HIDDEN: [&str; 2] = ["loki_distributor_push_stats_count", "loki_ingester_chunk_bounds_hours"];

/// How often samples move from the recorder's queues into buckets: it bounds their memory.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// Renders `/metrics`. Cheap to clone.
#[derive(Clone)]
pub struct Exporter(PrometheusHandle);

impl Exporter {
    /// Installs the recorder of this process; possible once.
    pub fn install() -> Result<Exporter> {
        let mut builder = PrometheusBuilder::new();
        for metric in TABLE {
            if let Kind::Histogram(buckets) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                builder = builder.set_buckets_for_metric(name, buckets)?;
            }
        }
        let handle = builder.install_recorder().context("installing the metrics recorder")?;
        for metric in TABLE {
            match metric.kind {
                Kind::Counter => describe_counter!(metric.name, metric.help),
                Kind::Gauge => describe_gauge!(metric.name, metric.help),
                Kind::Histogram(_) => describe_histogram!(metric.name, metric.help),
            }
        }
        let labels = [
            ("version", version::VERSION),
            ("revision", version::REVISION),
            ("branch", version::BRANCH),
            ("goversion", ""),
            ("goos", std::env::consts::OS),
            ("goarch", std::env::consts::ARCH),
            ("tags", ""),
        ];
        gauge!(BUILD_INFO, &labels).set(1.0);
        Ok(Exporter(handle))
    }

    /// The page in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut page = without_hidden(&self.0.render());
        if let Some(figures) = ProcessFigures::read() {
            figures.write(&mut page);
        }
        page
    }

    /// Keeps the recorder small until `shutdown`.
    pub async fn upkeep(self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(UPKEEP_PERIOD);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.0.run_upkeep(),
                () = shutdown.cancelled() => return,
            }
        }
    }
}

fn without_hidden(page: &str) -> String {
    let is_hidden = |line: &&str| {
        let line = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        HIDDEN.iter().any(|name| line.starts_with(name))
    };
    page.split_inclusive('\n').filter(|line| !is_hidden(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_metrics_leave_no_line_behind() {
        let page = "# HELP a x\n# TYPE a counter\na 1\n\n\
                    # HELP loki_ingester_chunk_bounds_hours x\n\
                    # TYPE loki_ingester_chunk_bounds_hours histogram\n\
                    loki_ingester_chunk_bounds_hours_bucket{le=\"1\"} 1\n\
                    loki_ingester_chunk_bounds_hours_sum 1\n\nb 2\n";
        assert_eq!(without_hidden(page), "# HELP a x\n# TYPE a counter\na 1\n\n\nb 2\n");
    }
}
