//! `server`: listeners and logging.

use std::time::Duration;

use base::ByteSize;

use super::accepted::Accepted;
use super::blocks::blocks;
use super::tls::TlsServerConfig;

blocks! {
    /// `server`
    pub struct ServerConfig {
        /// Address of the HTTP listener; empty is every interface.
        http_listen_address: String = "";
        /// Port of the HTTP listener; 0 takes a free one, printed as `listening http=ADDR`.
        http_listen_port: u16 = "3100";
        /// Connections that are open at the same time; 0 is no limit. Further ones wait.
        http_listen_conn_limit: u64 = "0", flag "server.http-conn-limit";
        /// How long a client may take to send the head of a request.
        http_server_read_timeout: Duration = "30s", flag "server.http-read-timeout";
        /// The longest a request may take; then it is answered with 504.
        http_server_write_timeout: Duration = "30s", flag "server.http-write-timeout";
        /// How long an idle connection stays open.
        http_server_idle_timeout: Duration = "2m", flag "server.http-idle-timeout";
        /// How long open requests may take to end after SIGTERM.
        graceful_shutdown_timeout: Duration = "30s";
        /// Memory that request bodies and what is decompressed from them may hold together; 0 is
        /// an eighth of the memory of this process, at most 256MB. Over it: 503 while others hold
        /// it, 413 for a body that could never fit.
        http_body_budget: ByteSize = "0";
        /// `debug`, `info`, `warn` or `error`.
        log_level: String = "info", flag "log.level";
        /// `logfmt` or `json`.
        log_format: String = "logfmt", flag "log.format";
        /// Address of the gRPC listener; empty is every interface.
        grpc_listen_address: String = "";
        /// Port of the gRPC listener; 0 takes a free one, printed as `grpc=ADDR`.
        grpc_listen_port: u16 = "9095";
        /// Largest gRPC message taken.
        grpc_server_max_recv_msg_size: ByteSize = "4MB",
            flag "server.grpc-max-recv-msg-size-bytes";
        /// Largest gRPC message sent.
        grpc_server_max_send_msg_size: ByteSize = "4MB",
            flag "server.grpc-max-send-msg-size-bytes";
        /// Calls that one gRPC connection may have open; 0 is no limit.
        grpc_server_max_concurrent_streams: u32 = "100",
            flag "server.grpc-max-concurrent-streams";
        /// How long Loki keeps an idle gRPC connection.
        grpc_server_max_connection_idle: Duration = "0s",
            ignored "a gRPC connection stays until one of its sides closes it",
            flag "server.grpc.keepalive.max-connection-idle";
        /// At which age Loki closes a gRPC connection.
        grpc_server_max_connection_age: Duration = "0s",
            ignored "a gRPC connection stays until one of its sides closes it",
            flag "server.grpc.keepalive.max-connection-age";
        /// What open calls get in Loki once their connection is too old.
        grpc_server_max_connection_age_grace: Duration = "0s",
            ignored "a gRPC connection stays until one of its sides closes it",
            flag "server.grpc.keepalive.max-connection-age-grace";
        /// A silent gRPC client is asked whether it lives after so long.
        grpc_server_keepalive_time: Duration = "2h", flag "server.grpc.keepalive.time";
        /// A client that does not answer that within so long is cut.
        grpc_server_keepalive_timeout: Duration = "20s", flag "server.grpc.keepalive.timeout";
        /// TLS of the HTTP listener.
        http_tls_config: TlsServerConfig, flag "server.http-tls";
        /// TLS of the gRPC listener.
        grpc_tls_config: TlsServerConfig, flag "server.grpc-tls";
        /// What every HTTP route begins with.
        http_path_prefix: String = "", later "routes have no prefix", flag "server.path-prefix";
        /// How clients of a proxy are told apart.
        proxy_protocol_enabled: bool = "false", later "the proxy protocol is not spoken";
        /// How often a client may ask whether this process lives.
        grpc_server_min_time_between_pings: Duration = "10s",
            ignored "clients may ask as often as HTTP/2 lets them",
            flag "server.grpc.keepalive.min-time-between-pings";
        /// The same for clients without open calls.
        grpc_server_ping_without_stream_allowed: bool = "true",
            ignored "clients may ask at any time",
            flag "server.grpc.keepalive.ping-without-stream-allowed";
        /// gRPC connections that are open at the same time.
        grpc_listen_conn_limit: u64 = "0", flag "server.grpc-conn-limit",
            ignored "gRPC is between our own processes: their number is small";
        /// Network of the HTTP listener.
        http_listen_network: String = "tcp", ignored "the address says which network it is";
        /// Network of the gRPC listener.
        grpc_listen_network: String = "tcp", ignored "the address says which network it is";
        /// How long a client may take to send the head of a request.
        http_server_read_header_timeout: Duration = "0s",
            flag "server.http-read-header-timeout",
            ignored "http_server_read_timeout is for the head of a request";
        /// Metrics of routes.
        register_instrumentation: bool = "true", ignored "metrics are always served";
        /// Metrics of gRPC codes.
        report_grpc_codes_in_instrumentation_label_enabled: bool = "false",
            flag "server.report-grpc-codes-in-instrumentation-label-enabled",
            ignored "metrics of calls always name the code";
        /// Threads of Go's gRPC server.
        grpc_server_num_workers: u32 = "0", flag "server.grpc.num-workers",
            ignored "calls run on the threads of the process";
        /// Statistics of Go's gRPC server.
        grpc_server_stats_tracking_enabled: bool = "true",
            flag "server.grpc.stats-tracking-enabled", ignored "calls are always counted";
        /// Buffers of Go's gRPC server.
        grpc_server_recv_buffer_pools_enabled: bool = "false",
            flag "server.grpc.recv-buffer-pools-enabled", ignored "there are no pools of buffers";
        /// Metrics of connections.
        grpc_collect_max_streams_by_conn: bool = "true",
            flag "server.grpc.collect-max-streams-by-conn",
            ignored "connections are not told apart in metrics";
        /// Suites that TLS offers beside those of TLS 1.3, with commas; empty: those that are
        /// thought safe.
        tls_cipher_suites: String = "";
        /// `VersionTLS12` or `VersionTLS13`; older ones are not spoken.
        tls_min_version: String = "";
        /// Whether addresses of clients are logged.
        log_source_ips_enabled: bool = "false", later "addresses of clients are not logged";
        /// Whether all of them are.
        log_source_ips_full: bool = "false", later "addresses of clients are not logged";
        /// Header they are taken from.
        log_source_ips_header: String = "", later "addresses of clients are not logged";
        /// What is taken of it.
        log_source_ips_regex: String = "", later "addresses of clients are not logged";
        /// Whether headers of requests are logged.
        log_request_headers: bool = "false", later "headers are not logged";
        /// Which are not.
        log_request_exclude_headers_list: String = "", ignored "headers are not logged";
        /// Whether requests are logged at `info`.
        log_request_at_info_level_enabled: bool = "false", later "requests are logged at debug";
        /// Whether connections that a client left without an answer are logged.
        http_log_closed_connections_without_response_enabled: bool = "false",
            ignored "a client that leaves is counted, not logged";
        /// Headers that are put in traces.
        trace_request_headers: bool = "false", later "headers are not in traces";
        /// Which are not.
        trace_request_exclude_headers_list: String = "", ignored "headers are not in traces";
        /// How a route's throughput is told of.
        throughput: ThroughputConfig;
        /// Whether requests must name the cluster they are meant for.
        cluster_validation: Accepted = "cluster_validation",
            later "callers of another cluster are not refused";
    }

    /// `server.throughput`
    pub struct ThroughputConfig {
        /// Slowest requests that are told of.
        latency_cutoff: Duration = "0s", ignored "metrics of routes show it";
        /// Their unit.
        unit: String = "samples_processed", ignored "metrics of routes show it";
    }
}
