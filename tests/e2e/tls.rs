//! TLS on every port and between all processes, with certificates that are made here.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::harness::{Role, START_NS, Shape, Site, binary, in_one_and_in_separate_processes};
use crate::http::Connection;

in_one_and_in_separate_processes!(
    every_port_asks_for_certificates_and_serves_who_has_one,
    a_certificate_that_is_replaced_is_shown_to_the_next_connection,
);

/// Signs certificates. Its folder holds its own, and one of a host with its key.
pub struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("a certificate");
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("ca.pem"), own.pem()).expect("write");
        let authority = Authority { dir, issuer: Issuer::new(params, key) };
        authority.issue(authority.dir.path());
        authority
    }

    /// Writes a new certificate and its key where processes look for theirs.
    fn issue(&self, folder: &Path) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names.to_vec()).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(folder.join("host.pem"), certificate.pem()).expect("write");
        std::fs::write(folder.join("host.key"), key.serialize_pem()).expect("write");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Both ports of a process show a certificate and ask for one, and its calls show it.
    pub fn flags(&self) -> Vec<String> {
        let file = |name: &str| self.path(name).display().to_string();
        let (ca, cert, key) = (file("ca.pem"), file("host.pem"), file("host.key"));
        let mut flags = Vec::new();
        for port in ["http", "grpc"] {
            flags.extend([
                format!("-server.{port}-tls-cert-path={cert}"),
                format!("-server.{port}-tls-key-path={key}"),
                format!("-server.{port}-tls-ca-path={ca}"),
                format!("-server.{port}-tls-client-auth=RequireAndVerifyClientCert"),
            ]);
        }
        for client in ["ingester.client", "querier.frontend-client"] {
            flags.extend([
                format!("-{client}.tls-enabled"),
                format!("-{client}.tls-cert-path={cert}"),
                format!("-{client}.tls-key-path={key}"),
                format!("-{client}.tls-ca-path={ca}"),
            ]);
        }
        flags
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(self.path("ca.pem")).expect("its certificate");
        roots.add(own).expect("an authority");
        roots
    }

    /// A client that trusts this authority, and shows a certificate of `of`.
    fn client_of(&self, of: Option<&Authority>) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let builder = builder.with_root_certificates(self.roots());
        let Some(of) = of else { return Arc::new(builder.with_no_client_auth()) };
        let chain = CertificateDer::from_pem_file(of.path("host.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(of.path("host.key")).expect("a key");
        Arc::new(builder.with_client_auth_cert(vec![chain], key).expect("a pair"))
    }

    /// A client that is what clients should be.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client_of(Some(self))
    }
}

/// Whether a request over such a connection is answered.
fn answers(address: &str, config: Arc<ClientConfig>) -> bool {
    let connection = Connection::open_tls(address, config);
    connection.and_then(|mut c| c.request("GET", "/ready", &[], b"")).is_ok_and(|r| r.status == 200)
}

/// `runelog WORDS`, without the settings of whoever runs the tests.
fn runelog(words: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(words).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOKI_")) {
        command.env_remove(name);
    }
    command.output().expect("run the binary")
}

fn every_port_asks_for_certificates_and_serves_who_has_one(shape: Shape) {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let site = Site::new(shape).with_flags(&ours.flags()).over_tls(ours.client());
    let cluster = site.start();
    cluster.push_lines("safe", (0..100).map(|n| (START_NS + n, format!("line {n}"))));
    assert_eq!(cluster.lines(r#"{app="safe"}"#).len(), 100);
    cluster.flush();
    assert_eq!(cluster.number(r#"sum(count_over_time({app="safe"}[3h]))"#), 100.0);

    let (ingester, frontend) =
        (cluster.process(Role::Ingester(0)), cluster.process(Role::Frontend));
    let (http, grpc) = (&frontend.http, &ingester.grpc);
    assert!(answers(http, ours.client()));
    assert!(!answers(http, ours.client_of(None)), "without a certificate");
    assert!(!answers(http, ours.client_of(Some(&foreign))), "with one that nobody here signed");
    assert!(!answers(http, foreign.client()), "a client that trusts others");
    let mut plain = TcpStream::connect(http).expect("connect");
    plain.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("Client sent an HTTP request to an HTTPS server.\n"), "{answer}");
    // No call begins on the gRPC port either: the other side hangs up.
    for config in [ours.client_of(None), ours.client_of(Some(&foreign))] {
        let called = Connection::open_tls(grpc, config)
            .and_then(|mut connection| connection.request("GET", "/", &[], b""));
        assert!(called.is_err(), "{called:?}");
    }

    let url = format!("https://localhost:{}", http.rsplit(':').next().expect("a port"));
    let file = |name: &str| ours.path(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("host.pem"), file("host.key"));
    let query = ["query", r#"{app="safe"}"#, "--from", "1714550000", "--to", "1714570000"];
    let known = ["--url", &url, "--ca-cert", &ca, "--limit", "1000", "--quiet"];
    let shown = ["--cert", &cert, "--key", &key];
    let answered = runelog(&[&query[..], &known, &shown].concat());
    let (out, said) = (&answered.stdout, String::from_utf8_lossy(&answered.stderr));
    assert!(answered.status.success(), "{said}");
    assert_eq!(out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count(), 100);
    let unknown = runelog(&[&query[..], &known].concat());
    assert!(!unknown.status.success(), "{unknown:?}");
    let mut health = Command::new(binary());
    health.args(["-health", &format!("-health.url={url}/ready")]);
    assert!(!health.output().expect("run the binary").status.success());
    health.envs([("LOKI_CA_CERT_PATH", &ca), ("LOKI_CLIENT_CERT_PATH", &cert)]);
    let healthy = health.env("LOKI_CLIENT_KEY_PATH", &key).output().expect("run the binary");
    assert!(healthy.status.success(), "{}", String::from_utf8_lossy(&healthy.stderr));
    assert!(!runelog(&[&query[..], &["--url", &url], &shown].concat()).status.success());
}

fn a_certificate_that_is_replaced_is_shown_to_the_next_connection(shape: Shape) {
    let (ours, next) = (Authority::new("ours"), Authority::new("next"));
    // Clients of both are taken for as long as one takes the place of the other.
    let both = [ours.path("ca.pem"), next.path("ca.pem")];
    let both = both.map(|path| std::fs::read(path).expect("a certificate")).concat();
    std::fs::write(ours.path("ca.pem"), &both[..]).expect("write");
    let site = Site::new(shape).with_flags(&ours.flags()).over_tls(ours.client());
    let cluster = site.start();
    let http = cluster.process(Role::Frontend).http.clone();
    let trusts_next = next.client_of(Some(&ours));
    assert!(!answers(&http, trusts_next.clone()));
    let mut kept = cluster.connect();
    assert_eq!(kept.request("GET", "/ready", &[], b"").expect("an answer").status, 200);

    next.issue(ours.dir.path());
    assert!(answers(&http, trusts_next.clone()), "the new one is shown");
    assert!(!answers(&http, ours.client_of(Some(&ours))), "and the old one is not");
    let still = kept.request("GET", "/ready", &[], b"");
    assert_eq!(still.expect("an open connection stays").status, 200);

    // What cannot be used changes nothing, and is told of once.
    std::fs::write(ours.path("host.pem"), "no certificate").expect("write");
    for _ in 0..3 {
        assert!(answers(&http, trusts_next.clone()));
    }
    let metrics = kept.request("GET", "/metrics", &[], b"").expect("metrics").text();
    let failed = "runelog_tls_reload_failures_total{block=\"server.http_tls_config\"} 1";
    assert!(metrics.contains(failed), "{metrics}");
    assert!(site.log().contains("server.http_tls_config.cert_file"), "{}", site.log());
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out() {
    let ours = Authority::new("ours");
    let flags = [ours.flags(), vec!["-server.http-conn-limit=16".to_owned()]].concat();
    let site = Site::new(Shape::One).with_flags(&flags).over_tls(ours.client());
    let cluster = site.start();
    let address = cluster.push_address();
    // More than there is room for: they hold half of it, until others come.
    let silent: Vec<TcpStream> = (0..64)
        .map(|number| {
            let mut stream = TcpStream::connect(address).expect("connect");
            if number % 2 == 0 {
                stream.write_all(b"\x16\x03\x01").expect("half a greeting");
            }
            stream
        })
        .collect();
    assert!(answers(address, ours.client()));
    drop(silent);
}
