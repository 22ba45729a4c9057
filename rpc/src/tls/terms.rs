//! What both sides must agree on: versions and suites, by Go's names.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{CipherSuite, SupportedProtocolVersion, version};

use super::Error;

/// Go's names of versions; the older two are not offered by anybody here.
const VERSIONS: [&str; 4] = ["VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"];

static NEWEST: [&SupportedProtocolVersion; 1] = [&version::TLS13];
static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// Go's names of the suites that are offered.
const SUITES: [(&str, CipherSuite); 11] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    // Older names of the two before.
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Suites that Go knows and nobody offers here: without forward secrecy, or with ciphers that leak.
const WEAK: [&str; 13] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

/// Versions and suites, as texts of the configuration; empty is what is thought safe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The oldest version, such as `VersionTLS12`.
    pub min_version: String,
    /// Suites with commas between them. Those of TLS 1.3 are offered whether they are listed or
    /// not, as Go does it.
    pub cipher_suites: String,
}

impl Terms {
    /// The suites, with everything else that the cryptography is made of.
    pub(super) fn provider(&self, block: &str) -> Result<Arc<CryptoProvider>, Error> {
        let mut provider = ring::default_provider();
        let names: Vec<&str> = self.cipher_suites.split(',').map(str::trim).collect();
        let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Ok(Arc::new(provider));
        }
        let key = || format!("{block}.tls_cipher_suites");
        let mut listed: Vec<CipherSuite> = Vec::new();
        for name in names {
            match SUITES.iter().find(|(known, _)| *known == name) {
                Some((_, suite)) => listed.push(*suite),
                None if WEAK.contains(&name) => {
                    tracing::warn!(block, name, "a cipher suite is too weak to be offered");
                }
                None => {
                    let problem = format!("there is no cipher suite {name}");
                    return Err(Error::Setting { key: key(), problem });
                }
            }
        }
        if listed.is_empty() {
            let problem = "none of the suites is safe enough to be offered".to_owned();
            return Err(Error::Setting { key: key(), problem });
        }
        let is_newest = |suite| SUITES[..3].iter().any(|(_, newest)| *newest == suite);
        let is_offered = |suite| listed.contains(&suite) || is_newest(suite);
        provider.cipher_suites.retain(|suite| is_offered(suite.suite()));
        Ok(Arc::new(provider))
    }

    /// The versions that are offered.
    pub(super) fn versions(
        &self,
        block: &str,
    ) -> Result<&'static [&'static SupportedProtocolVersion], Error> {
        match self.min_version.as_str() {
            "VersionTLS13" => Ok(&NEWEST),
            name if name.is_empty() || VERSIONS.contains(&name) => Ok(&BOTH),
            name => {
                let key = format!("{block}.tls_min_version");
                let problem = format!("{name:?} is not one of {}", VERSIONS.join(", "));
                Err(Error::Setting { key, problem })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(min_version: &str, cipher_suites: &str) -> Terms {
        let (min_version, cipher_suites) = (min_version.to_owned(), cipher_suites.to_owned());
        Terms { min_version, cipher_suites }
    }

    fn offered(suites: &str) -> Result<Vec<CipherSuite>, String> {
        let provider = terms("", suites).provider("server").map_err(|error| error.to_string())?;
        Ok(provider.cipher_suites.iter().map(|suite| suite.suite()).collect())
    }

    #[test]
    fn suites_are_those_that_are_listed_and_those_of_the_newest_version() {
        assert_eq!(offered("").unwrap().len(), 9);
        let one = CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
        let listed = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_RC4_128_SHA,";
        let suites = offered(listed).unwrap();
        assert!(suites.contains(&one) && suites.len() == 4, "{suites:?}");
        assert_eq!(offered("TLS_AES_128_GCM_SHA256").unwrap().len(), 3);
        for (_, suite) in SUITES {
            assert!(offered("").unwrap().contains(&suite), "{suite:?}");
        }
    }

    #[test]
    fn a_suite_or_a_version_that_does_not_exist_is_named_with_its_key() {
        let error = offered("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA257").unwrap_err();
        assert!(error.contains("server.tls_cipher_suites") && error.contains("SHA257"), "{error}");
        let error = offered("TLS_RSA_WITH_RC4_128_SHA").unwrap_err();
        assert!(error.contains("none of the suites"), "{error}");
        let error = terms("TLS1.2", "").versions("server").unwrap_err();
        assert!(error.to_string().contains("server.tls_min_version"), "{error}");
        assert_eq!(error.kind(), base::ErrorKind::Invalid);
    }

    #[test]
    fn the_oldest_version_is_at_least_1_2() {
        for (name, count) in
            [("", 2), ("VersionTLS10", 2), ("VersionTLS12", 2), ("VersionTLS13", 1)]
        {
            assert_eq!(terms(name, "").versions("server").unwrap().len(), count, "{name}");
        }
    }
}
