//! How clients call and services answer.

use std::sync::Arc;
use std::time::Duration;

use base::ByteSize;
use base::time::Clock;

use crate::tls::ClientTls;

/// How large messages may be. A larger one is an error that names the limit; the connection and
/// its other calls live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// Of a message that comes in.
    pub max_recv: ByteSize,
    /// Of a message that goes out.
    pub max_send: ByteSize,
}

impl Default for MessageLimits {
    /// 100 MiB: an append carries what one push brought, an answer what a query may hold.
    fn default() -> MessageLimits {
        MessageLimits { max_recv: ByteSize(100 << 20), max_send: ByteSize(100 << 20) }
    }
}

/// How calls to one peer are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// How large messages may be.
    pub limits: MessageLimits,
    /// Deadline of an append, an admission, an identification (`ingester_client.remote_timeout`).
    pub remote_timeout: Duration,
    /// Deadline of a read: what the query may take.
    pub query_timeout: Duration,
    /// Deadline of making a connection.
    pub connect_timeout: Duration,
    /// A connection that is silent for this long is asked whether it lives.
    pub keepalive_time: Duration,
    /// How long it may take to answer that.
    pub keepalive_timeout: Duration,
    /// Calls at one time on one connection; more of them wait.
    pub concurrency: usize,
    /// Pause after the first connect that failed; doubles with each further one.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// Most attempts of a read, the first included.
    pub read_attempts: u32,
    /// Attempts that reads may fail in a row before none is tried again; each success gives back
    /// a tenth of one.
    pub retry_tokens: u32,
    /// Speaks TLS with these files; nothing is plain text.
    pub tls: Option<ClientTls>,
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        ClientConfig {
            limits: MessageLimits::default(),
            remote_timeout: Duration::from_secs(5),
            query_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(2),
            keepalive_time: Duration::from_secs(2),
            keepalive_timeout: Duration::from_secs(5),
            concurrency: 256,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            read_attempts: 3,
            retry_tokens: 10,
            tls: None,
        }
    }
}

/// What every service needs to answer.
#[derive(Clone)]
pub struct Serving {
    /// How large messages may be.
    pub limits: MessageLimits,
    /// For the durations in metrics.
    pub clock: Arc<dyn Clock>,
}
