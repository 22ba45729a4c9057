//! One set of metrics per request, also for a client that went away, and one log line for those
//! that take long enough (`log_queries_longer_than`).

use std::sync::Arc;

use base::units::format_go_duration;
use http::HeaderMap;
use logql::syntax::Expr;
use rpc::http::{HttpError, Tenants};
use tracing::info;

use super::params::{InstantQuery, RangeQuery};
use crate::blocked::query_type;
use crate::frontend::Frontend;
use crate::metrics::Outcome;
use crate::query::{Evaluated, PieceStats};
use rpc::stats::QueryStats;

/// Longest query text in the log, bytes: a query may have 128 KiB.
const MAX_LOGGED_BYTES: usize = 4096;
/// Clients say with it what a query is for.
const TAGS_HEADER: &str = "x-query-tags";
/// Status of a request nobody waits for any more.
const CLIENT_CLOSED: u16 = 499;

/// Watches one request from its parameters to its answer. Dropped unfinished, it reports that the
/// client went away.
pub(super) struct Watch {
    frontend: Arc<Frontend>,
    tenant: String,
    began_ns: u64,
    query: String,
    tags: String,
    query_type: &'static str,
    range_type: &'static str,
    length_ns: i64,
    step_ns: i64,
    limit: usize,
    finished: bool,
}

impl Watch {
    /// A request that is not a query: `labels` or `series`.
    pub fn new(
        frontend: &Arc<Frontend>,
        tenants: &Tenants,
        headers: &HeaderMap,
        query_type: &'static str,
    ) -> Watch {
        Watch {
            frontend: frontend.clone(),
            tenant: tenants.name(),
            began_ns: frontend.clock().monotonic_ns(),
            query: String::new(),
            tags: tags(headers),
            query_type,
            range_type: "range",
            length_ns: 0,
            step_ns: 0,
            limit: 0,
            finished: false,
        }
    }

    /// Remembers a parsed range query.
    pub fn range(&mut self, expr: &Expr, asked: &RangeQuery) {
        self.query_type = query_type(expr);
        self.text(&asked.query);
        self.length_ns = asked.end.0.saturating_sub(asked.start.0);
        self.step_ns = asked.step_ns;
        self.limit = asked.limit;
    }

    /// Remembers a parsed instant query.
    pub fn instant(&mut self, expr: &Expr, asked: &InstantQuery) {
        self.query_type = query_type(expr);
        self.range_type = "instant";
        self.text(&asked.query);
        self.limit = asked.limit;
    }

    /// Remembers what was asked.
    pub fn text(&mut self, text: &str) {
        let mut cut = text.len().min(MAX_LOGGED_BYTES);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        text[..cut].clone_into(&mut self.query);
    }

    /// Reports a query and stamps its time into the stats of the answer.
    pub fn finish(mut self, result: Result<Evaluated, HttpError>) -> Result<Evaluated, HttpError> {
        match result {
            Ok(mut evaluated) => {
                evaluated.stats.exec_ns = self.elapsed_ns();
                self.report(200, &evaluated.stats, &evaluated.pieces);
                Ok(evaluated)
            }
            Err(error) => {
                self.report_error(&error);
                Err(error)
            }
        }
    }

    /// Reports a request that is not a query.
    pub fn finish_list<T>(self, result: Result<Vec<T>, HttpError>) -> Result<Vec<T>, HttpError> {
        self.finish_with(result, Vec::len)
    }

    /// The same; `length` says how much is answered.
    pub fn finish_with<T>(
        mut self,
        result: Result<T, HttpError>,
        length: impl FnOnce(&T) -> usize,
    ) -> Result<T, HttpError> {
        match &result {
            Ok(answer) => {
                let exec_ns = self.elapsed_ns();
                let entries_returned = length(answer) as u64;
                let stats = QueryStats { exec_ns, entries_returned, ..QueryStats::default() };
                self.report(200, &stats, &PieceStats::default());
            }
            Err(error) => self.report_error(error),
        }
        result
    }

    fn report_error(&mut self, error: &HttpError) {
        let stats = QueryStats { exec_ns: self.elapsed_ns(), ..QueryStats::default() };
        self.report(error.status().as_u16(), &stats, &PieceStats::default());
    }

    fn elapsed_ns(&self) -> u64 {
        self.frontend.clock().monotonic_ns().saturating_sub(self.began_ns)
    }

    fn report(&mut self, status: u16, stats: &QueryStats, pieces: &PieceStats) {
        self.finished = true;
        let outcome = Outcome {
            tenant: &self.tenant,
            query_type: self.query_type,
            range_type: self.range_type,
            status,
            exec_ns: stats.exec_ns,
        };
        outcome.record(stats, pieces);
        let longer_than = self.frontend.config().log_queries_longer_than;
        if longer_than.is_none_or(|least| u128::from(stats.exec_ns) < least.as_nanos()) {
            return;
        }
        let ns = |value: u64| format_go_duration(i64::try_from(value).unwrap_or(i64::MAX));
        info!(
            component = "frontend",
            org_id = self.tenant,
            latency = outcome.latency_type(),
            query = self.query,
            query_type = self.query_type,
            range_type = self.range_type,
            length = format_go_duration(self.length_ns),
            step = format_go_duration(self.step_ns),
            duration = ns(stats.exec_ns),
            status,
            limit = self.limit,
            total_bytes = stats.bytes(),
            total_lines = stats.rows(),
            post_filter_lines = stats.rows_selected(),
            total_entries = stats.entries_returned,
            queue_time = ns(pieces.queue_ns),
            splits = pieces.splits,
            shards = pieces.shards,
            subqueries = pieces.subqueries,
            store_requests = stats.parts.requests,
            pages = stats.parts.read.pages + stats.ingester.read.pages,
            tags = self.tags,
        );
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.finished {
            let stats = QueryStats { exec_ns: self.elapsed_ns(), ..QueryStats::default() };
            self.report(CLIENT_CLOSED, &stats, &PieceStats::default());
        }
    }
}

/// `X-Query-Tags`; runs of characters that could forge a log line become `_`.
pub(super) fn tags(headers: &HeaderMap) -> String {
    let Some(value) = headers.get(TAGS_HEADER) else { return String::new() };
    let mut out = String::new();
    let mut replaced = false;
    for c in String::from_utf8_lossy(value.as_bytes()).chars().take(MAX_LOGGED_BYTES) {
        let plain = c.is_ascii_alphanumeric() || "-=.@, ".contains(c);
        if plain {
            out.push(c);
        } else if !replaced {
            out.push('_');
        }
        replaced = !plain;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_cannot_forge_a_log_line() {
        let mut headers = HeaderMap::new();
        assert_eq!(tags(&headers), "");
        let value = "Source=grafana,Feature=\"x\" msg=\\evil".parse();
        headers.insert(TAGS_HEADER, value.unwrap());
        assert_eq!(tags(&headers), "Source=grafana,Feature=_x_ msg=_evil");
    }
}
