//! Every metric of the process: name, kind, help, buckets. Names are Loki's where its dashboards
//! or alerts use them and the thing exists here (a chunk is a sealed unit).

use rpc::http::metrics as http;

use super::{BUILD_INFO, LOG_MESSAGES, LOG_MESSAGES_OLD};
use crate::listen;

/// What Prometheus is told about a metric.
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

/// Counter, gauge, or histogram with its upper bounds.
#[derive(Clone, Copy)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

use Kind::{Counter, Gauge, Histogram};

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

/// In the order of the crates.
pub const TABLE: &[Metric] = &[
    metric(BUILD_INFO, Gauge, "What this binary was built from."),
    metric(LOG_MESSAGES, Counter, "Lines written to the log, by level."),
    metric(LOG_MESSAGES_OLD, Counter, "Lines written to the log, by level (older name)."),
    metric(listen::TCP_CONNECTIONS, Gauge, "Open connections."),
    metric(listen::TCP_CONNECTIONS_LIMIT, Gauge, "Most connections that may be open."),
    metric(
        http::REQUEST_DURATION,
        Histogram(&http::DURATION_BUCKETS),
        "Time to serve a request, seconds.",
    ),
    metric(http::INFLIGHT_REQUESTS, Gauge, "Requests being served."),
    metric(http::REQUEST_BYTES, Histogram(&http::BYTES_BUCKETS), "Size of request bodies."),
    metric(http::RESPONSE_BYTES, Histogram(&http::BYTES_BUCKETS), "Size of response bodies."),
    metric(http::PANICS, Counter, "Panics of handlers that were answered with 500."),
];
