//! TLS: what listeners show, and how other processes are called. Names are those of Loki and of Go.

use std::time::Duration;

use anyhow::{Result, bail};
use base::ByteSize;
use rpc::tls::{ClientPolicy, ClientSettings, Pem, ServerSettings, Terms};

use super::accepted::Accepted;
use super::blocks::blocks;
use super::root::RawConfig;
use super::scalar::Secret;
use super::server::ServerConfig;

blocks! {
    /// `server.http_tls_config`, `server.grpc_tls_config`
    pub struct TlsServerConfig {
        /// The certificate itself, with those that lead to its authority behind it, as PEM.
        cert: String = "", flag "-cert";
        /// Its private key, as PEM.
        key: Secret = "", flag "-key";
        /// Authorities of clients, as PEM.
        client_ca: String = "", flag "-ca";
        /// File with the certificate. Each new connection gets what stands in it then.
        cert_file: String = "", flag "-cert-path";
        /// File with its private key, read anew as the certificate is.
        key_file: String = "", flag "-key-path";
        /// What is asked of clients: `NoClientCert`, `RequestClientCert`, `RequireAnyClientCert`,
        /// `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`.
        client_auth_type: String = "", flag "-client-auth";
        /// File with the authorities of clients, read anew as the certificate is.
        client_ca_file: String = "", flag "-ca-path";
    }

    /// `grpc_client_config` and its like
    pub struct GrpcClientConfig {
        /// Whether calls go over TLS.
        tls_enabled: bool = "false";
        /// File with the certificate that is shown to servers. Each new connection is made with
        /// what stands in it then.
        tls_cert_path: String = "";
        /// File with its private key, read anew as the certificate is.
        tls_key_path: String = "";
        /// File with the authorities of servers, read anew as the certificate is; empty: those of
        /// this system.
        tls_ca_path: String = "";
        /// The name that certificates of servers must have; empty: the host that is called, which is
        /// an IP address where the ring or `dns+` has found it.
        tls_server_name: String = "";
        /// Whether any certificate is taken: then nobody knows who answers.
        tls_insecure_skip_verify: bool = "false";
        /// Suites that are offered beside those of TLS 1.3, with commas; empty: those that are
        /// thought safe.
        tls_cipher_suites: String = "";
        /// `VersionTLS12` or `VersionTLS13`; older ones are not spoken.
        tls_min_version: String = "";
        /// Largest message taken.
        max_recv_msg_size: ByteSize = "100MB", flag ".grpc-max-recv-msg-size",
            ignored "sizes are those of server.grpc_server_max_recv_msg_size";
        /// Largest message sent.
        max_send_msg_size: ByteSize = "100MB", flag ".grpc-max-send-msg-size",
            ignored "sizes are those of server.grpc_server_max_send_msg_size";
        /// Compression of messages.
        grpc_compression: String = "", ignored "messages are not compressed";
        /// Calls a second.
        rate_limit: f64 = "0", flag ".grpc-client-rate-limit",
            ignored "calls are bounded in number, not in rate";
        /// The same at once.
        rate_limit_burst: u32 = "0", flag ".grpc-client-rate-limit-burst",
            ignored "calls are bounded in number, not in rate";
        /// Whether a call that was limited is made again.
        backoff_on_ratelimits: bool = "false", ignored "limits of others are passed on";
        /// Pauses.
        backoff_config: Accepted = "backoff", flag ".", ignored "pauses are fixed";
        /// Window of HTTP/2.
        initial_stream_window_size: ByteSize = "65535", ignored "windows are fixed";
        /// Window of HTTP/2.
        initial_connection_window_size: ByteSize = "65535", ignored "windows are fixed";
        /// How long making a connection may take.
        connect_timeout: Duration = "5s", ignored "a connection is made within 2 seconds";
        /// Pause after a connect that failed.
        connect_backoff_base_delay: Duration = "1s", ignored "pauses are fixed";
        /// The longest pause.
        connect_backoff_max_delay: Duration = "5s", ignored "pauses are fixed";
        /// Whether calls name the cluster they are meant for.
        cluster_validation: ClusterValidationConfig;
    }

    /// `cluster_validation`
    pub struct ClusterValidationConfig {
        /// Its name.
        label: String = "", ignored "rings tell their clusters apart by themselves";
    }
}

/// What both listeners have, or not.
fn listener(
    block: &'static str,
    tls: &TlsServerConfig,
    server: &ServerConfig,
    protocols: &'static [&'static str],
) -> Result<Option<ServerSettings>> {
    let certificate = pem(block, ("cert_file", &tls.cert_file), ("cert", &tls.cert))?;
    let key = pem(block, ("key_file", &tls.key_file), ("key", &tls.key.0))?;
    let authorities =
        pem(block, ("client_ca_file", &tls.client_ca_file), ("client_ca", &tls.client_ca))?;
    let policy = ClientPolicy::parse(format!("{block}.client_auth_type"), &tls.client_auth_type)?;
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) if authorities.is_none() && policy == ClientPolicy::None => return Ok(None),
        // Serving in plain text what was meant to be behind certificates is worse than not starting.
        _ => bail!("{block}: needs both cert_file and key_file"),
    };
    let settings = ServerSettings {
        block,
        certificate,
        key,
        client_authorities: authorities,
        policy,
        terms: Terms {
            min_version: server.tls_min_version.clone(),
            cipher_suites: server.tls_cipher_suites.clone(),
        },
        terms_block: "server",
        protocols,
    };
    settings.check()?;
    Ok(Some(settings))
}

fn pem(block: &str, file: (&str, &str), text: (&str, &str)) -> Result<Option<Pem>> {
    if !file.1.is_empty() && !text.1.is_empty() {
        bail!("{block}: {} and {} are two ways to say one thing", file.0, text.0);
    }
    let in_file = Pem::file(format!("{block}.{}", file.0), file.1);
    Ok(in_file.or_else(|| Pem::text(format!("{block}.{}", text.0), text.1)))
}

/// TLS of the HTTP listener.
pub fn http(raw: &RawConfig) -> Result<Option<ServerSettings>> {
    let server = &raw.server;
    let protocols = &["h2", "http/1.1"];
    listener("server.http_tls_config", &server.http_tls_config, server, protocols)
}

/// TLS of the gRPC listener.
pub fn grpc(raw: &RawConfig) -> Result<Option<ServerSettings>> {
    let server = &raw.server;
    listener("server.grpc_tls_config", &server.grpc_tls_config, server, &["h2"])
}

/// TLS of calls to ingesters, the ring's among them.
pub fn ingesters(raw: &RawConfig) -> Result<Option<ClientSettings>> {
    let block = "ingester_client.grpc_client_config";
    caller(block, &raw.ingester_client.grpc_client_config)
}

/// TLS of a querier's calls to query frontends: the block that Loki has for them, or the older one
/// for all that a querier calls.
pub fn frontends(raw: &RawConfig) -> Result<Option<ClientSettings>> {
    let worker = &raw.frontend_worker;
    let is_scheduler = worker.frontend_address.is_empty() && !worker.scheduler_address.is_empty();
    let (block, own) = match is_scheduler {
        true => {
            ("frontend_worker.query_scheduler_grpc_client", &worker.query_scheduler_grpc_client)
        }
        false => ("frontend_worker.query_frontend_grpc_client", &worker.query_frontend_grpc_client),
    };
    match own.tls_enabled {
        true => caller(block, own),
        false => caller("frontend_worker.grpc_client_config", &worker.grpc_client_config),
    }
}

fn caller(block: &'static str, tls: &GrpcClientConfig) -> Result<Option<ClientSettings>> {
    if !tls.tls_enabled {
        return Ok(None);
    }
    let file = |name: &str, path: &str| Pem::file(format!("{block}.{name}"), path);
    let certificate = file("tls_cert_path", &tls.tls_cert_path);
    let identity = match (certificate, file("tls_key_path", &tls.tls_key_path)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => bail!("{block}: tls_cert_path is set and tls_key_path is not"),
        (None, Some(_)) => bail!("{block}: tls_key_path is set and tls_cert_path is not"),
    };
    let settings = ClientSettings {
        block,
        identity,
        authorities: file("tls_ca_path", &tls.tls_ca_path),
        server_name: tls.tls_server_name.clone(),
        skips_verification: tls.tls_insecure_skip_verify,
        terms: Terms {
            min_version: tls.tls_min_version.clone(),
            cipher_suites: tls.tls_cipher_suites.clone(),
        },
    };
    settings.check()?;
    Ok(Some(settings))
}

/// What is wrong without a look at any file.
pub fn check(raw: &RawConfig) -> Result<()> {
    http(raw)?;
    grpc(raw)?;
    ingesters(raw)?;
    frontends(raw)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn raw(text: &str) -> RawConfig {
        load::from_text(text).expect("known keys").raw
    }

    fn wrong(text: &str) -> String {
        format!("{:#}", check(&raw(text)).expect_err(text))
    }

    #[test]
    fn nothing_is_plain_text() {
        let raw = raw("");
        assert!(http(&raw).unwrap().is_none() && grpc(&raw).unwrap().is_none());
        assert!(ingesters(&raw).unwrap().is_none() && frontends(&raw).unwrap().is_none());
    }

    #[test]
    fn what_is_meant_to_be_safe_and_is_not_is_named() {
        for (block, expected) in [
            ("{cert_file: a}", "needs both cert_file and key_file"),
            ("{client_auth_type: RequireAndVerifyClientCert}", "needs both"),
            ("{cert_file: a, key_file: b, client_auth_type: Yes}", "RequireAndVerifyClientCert"),
            ("{cert_file: a, key_file: b, client_ca_file: c}", "without a Client Auth Policy"),
            (
                "{cert_file: a, key_file: b, client_auth_type: VerifyClientCertIfGiven}",
                "needs client_ca_file",
            ),
            ("{cert_file: a, cert: b, key_file: c}", "two ways"),
        ] {
            for listener in ["http_tls_config", "grpc_tls_config"] {
                let error = wrong(&format!("server: {{{listener}: {block}}}"));
                assert!(error.contains(expected) && error.contains(listener), "{error}");
            }
        }
        let error = wrong("server: {tls_min_version: x, http_tls_config: {cert: a, key: b}}");
        assert!(error.contains("server.tls_min_version"), "{error}");
        let error =
            wrong("ingester_client: {grpc_client_config: {tls_enabled: true, tls_key_path: a}}");
        assert!(error.contains("tls_cert_path is not"), "{error}");
    }

    #[test]
    fn frontends_are_called_by_their_own_block_or_by_the_older_one() {
        let block = |text: &str| frontends(&raw(text)).unwrap().map(|settings| settings.block);
        let all = "grpc_client_config: {tls_enabled: true}";
        assert_eq!(
            block(&format!("frontend_worker: {{{all}}}")),
            Some("frontend_worker.grpc_client_config")
        );
        let own = "query_frontend_grpc_client: {tls_enabled: true}";
        assert_eq!(
            block(&format!("frontend_worker: {{{all}, {own}}}")),
            Some("frontend_worker.query_frontend_grpc_client")
        );
        let other = "scheduler_address: 'a:1', query_scheduler_grpc_client: {tls_enabled: true}";
        assert_eq!(
            block(&format!("frontend_worker: {{{all}, {own}, {other}}}")),
            Some("frontend_worker.query_scheduler_grpc_client")
        );
    }

    #[test]
    fn flags_are_those_of_loki() {
        for (flag, path) in [
            ("server.http-tls-cert-path", "server.http_tls_config.cert_file"),
            ("server.grpc-tls-client-auth", "server.grpc_tls_config.client_auth_type"),
            ("server.grpc-tls-ca-path", "server.grpc_tls_config.client_ca_file"),
            ("ingester.client.tls-enabled", "ingester_client.grpc_client_config.tls_enabled"),
            (
                "ingester.client.backoff-min-period",
                "ingester_client.grpc_client_config.backoff_config.min_period",
            ),
            (
                "querier.frontend-client.tls-ca-path",
                "frontend_worker.grpc_client_config.tls_ca_path",
            ),
        ] {
            let key = crate::config::reference::by_flag(flag);
            assert_eq!(key.map(|key| key.path.as_str()), Some(path), "{flag}");
        }
    }
}
