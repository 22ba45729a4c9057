//! Handshakes in memory, with certificates that are made here.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key of a host.
    fn issue(&self) -> (String, String) {
        let params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

struct Site {
    dir: TempDir,
    authority: Authority,
}

impl Site {
    fn new() -> Site {
        let site = Site { dir: tempfile::tempdir().unwrap(), authority: Authority::new() };
        site.write("ca.pem", &site.authority.pem);
        site.renew(&site.authority);
        site
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// A new certificate in the place of the old one.
    fn renew(&self, authority: &Authority) {
        let (certificate, key) = authority.issue();
        self.write("host.pem", &certificate);
        self.write("host.key", &key);
    }

    fn file(&self, name: &str) -> Pem {
        Pem::File { key: format!("test.{name}"), path: self.path().join(name) }
    }

    fn server(&self, policy: ClientPolicy) -> ServerSettings {
        let has_authorities = policy != ClientPolicy::None;
        ServerSettings {
            block: "test",
            certificate: self.file("host.pem"),
            key: self.file("host.key"),
            client_authorities: has_authorities.then(|| self.file("ca.pem")),
            policy,
            terms: Terms::default(),
            terms_block: "test",
            protocols: &["h2", "http/1.1"],
        }
    }

    fn client(&self, shows_certificate: bool) -> ClientSettings {
        let identity = shows_certificate.then(|| (self.file("host.pem"), self.file("host.key")));
        ClientSettings {
            block: "test",
            identity,
            authorities: Some(self.file("ca.pem")),
            server_name: String::new(),
            skips_verification: false,
            terms: Terms::default(),
        }
    }
}

/// A handshake and one byte there and back; else what both sides say.
async fn talk(client: &ClientTls, server: &ServerTls, host: &str) -> Result<(), String> {
    let (near, far) = tokio::io::duplex(64 << 10);
    let name = client.server_name(host).unwrap();
    let ask = async {
        let mut stream = client.connect(name, near).await?;
        stream.write_all(b"?").await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    let answer = async {
        let mut stream = server.accept(far).await?;
        let byte = stream.read_u8().await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        Ok::<u8, std::io::Error>(byte)
    };
    let (answered, asked) = tokio::join!(ask, answer);
    match (asked, answered) {
        (Ok(b'?'), Ok(b'!')) => Ok(()),
        (asked, answered) => Err(format!("server: {asked:?}, client: {answered:?}")),
    }
}

#[tokio::test]
async fn a_policy_takes_the_clients_that_it_names() {
    use ClientPolicy::{None, Request, RequireAndVerify, RequireAny, VerifyIfGiven};
    let (site, foreign) = (Site::new(), Site::new());
    // Trusts the site's authority and shows a certificate of another.
    let stranger =
        ClientSettings { authorities: Some(site.file("ca.pem")), ..foreign.client(true) };
    let clients = [site.client(false), stranger, site.client(true)];
    let clients = clients.map(|settings| ClientTls::open(settings).unwrap());
    for (policy, takes) in [
        (None, [true, true, true]),
        (Request, [true, true, true]),
        (RequireAny, [false, true, true]),
        (VerifyIfGiven, [true, false, true]),
        (RequireAndVerify, [false, false, true]),
    ] {
        let server = ServerTls::open(site.server(policy)).unwrap();
        for (client, takes) in clients.iter().zip(takes) {
            let talked = talk(client, &server, "host.example").await;
            assert_eq!(talked.is_ok(), takes, "{policy:?} {client:?}: {talked:?}");
        }
    }
}

#[tokio::test]
async fn a_server_must_have_a_name_and_an_authority_that_the_client_knows() {
    let (site, foreign) = (Site::new(), Site::new());
    let server = ServerTls::open(site.server(ClientPolicy::None)).unwrap();
    let open = |settings| ClientTls::open(settings).unwrap();
    let client = open(site.client(false));
    assert!(talk(&client, &server, "host.example").await.is_ok());
    let other = talk(&client, &server, "other.example").await.unwrap_err();
    assert!(other.contains("NotValidForName"), "{other}");
    let named = ClientSettings { server_name: "host.example".to_owned(), ..site.client(false) };
    assert!(talk(&open(named), &server, "10.0.0.1").await.is_ok());
    assert!(talk(&open(foreign.client(false)), &server, "host.example").await.is_err());
    let careless = ClientSettings { skips_verification: true, ..foreign.client(false) };
    assert!(talk(&open(careless), &server, "other.example").await.is_ok());
}

#[tokio::test]
async fn both_sides_use_the_files_as_they_are_now() {
    let (site, next) = (Site::new(), Site::new());
    let server = ServerTls::open(site.server(ClientPolicy::RequireAndVerify)).unwrap();
    let client = ClientTls::open(site.client(true)).unwrap();
    assert_eq!(talk(&client, &server, "host.example").await, Ok(()));
    // Another authority in place of the first: both sides show and expect what it signed.
    site.write("ca.pem", &next.authority.pem);
    site.renew(&next.authority);
    assert_eq!(talk(&client, &server, "host.example").await, Ok(()));
    let late = ClientTls::open(next.client(true)).unwrap();
    assert_eq!(talk(&late, &server, "host.example").await, Ok(()));
}

#[tokio::test]
async fn files_that_cannot_be_used_change_nothing() {
    let site = Site::new();
    let server = ServerTls::open(site.server(ClientPolicy::RequireAndVerify)).unwrap();
    let client = ClientTls::open(site.client(true)).unwrap();
    // Only the first of two files is replaced yet: they do not go together.
    let (certificate, key) = site.authority.issue();
    site.write("host.pem", &certificate);
    assert_eq!(talk(&client, &server, "host.example").await, Ok(()));
    site.write("host.key", &key);
    assert_eq!(talk(&client, &server, "host.example").await, Ok(()));
    for broken in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x"] {
        site.write("ca.pem", broken);
        assert_eq!(talk(&client, &server, "host.example").await, Ok(()), "{broken}");
    }
    std::fs::remove_file(site.path().join("host.key")).unwrap();
    assert_eq!(talk(&client, &server, "host.example").await, Ok(()));
}

#[test]
fn a_start_with_files_that_cannot_be_used_names_key_and_file() {
    let site = Site::new();
    let open = |settings| match ServerTls::open(settings) {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    };
    site.write("host.key", "nothing");
    let error = open(site.server(ClientPolicy::None));
    assert!(error.contains("test.host.key: no private key"), "{error}");
    site.renew(&Authority::new());
    site.write("host.key", &site.authority.issue().1);
    let error = open(site.server(ClientPolicy::None));
    assert!(error.starts_with("test: "), "{error}");
    std::fs::remove_file(site.path().join("host.pem")).unwrap();
    let error = open(site.server(ClientPolicy::None));
    assert!(error.contains("test.host.pem: opening") && error.contains("host.pem"), "{error}");
    site.write("ca.pem", &"x".repeat(2 << 20));
    let error = ClientTls::open(site.client(false)).unwrap_err().to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}
