//! `ring`: who this process is to others, and where it finds them.

use anyhow::{Context, Result, bail};

use super::blocks::blocks;

blocks! {
    /// `ring`
    pub struct RingConfig {
        /// Name of this process. A new store under a known name takes the place of the old one,
        /// so that no two processes may share one. Empty: host name and gRPC port.
        instance_id: String = "";
        /// `host:port` at which other processes call this one. Empty: the address and port of the
        /// gRPC listener; where that is every interface, the address from which this host sends.
        instance_addr: String = "";
        /// Availability zone. Replicas of a row are in different zones. Empty: a zone of its own.
        instance_zone: String = "";
        /// Members of the ring, which are ingesters, as `host:port`, `dns+host:port` for every
        /// address of a name; this process may be among them. Any one of them that answers is
        /// enough: the others are learnt from it. Empty: an ingester is a ring of its own, other
        /// processes are in none.
        join: Vec<String> = "";
        /// Places of an ingester on the ring, drawn when its log's directory is made. More: more
        /// even shares, slower look-ups.
        tokens: u32 = "128";
    }
}

/// What the ring would refuse later.
pub fn check(ring: &RingConfig) -> Result<()> {
    let most = ::ring::MAX_TEXT_BYTES;
    let texts = [
        ("instance_id", &ring.instance_id),
        ("instance_addr", &ring.instance_addr),
        ("instance_zone", &ring.instance_zone),
    ];
    for (key, text) in texts {
        if text.len() > most {
            bail!("ring.{key}: {} bytes, at most {most} are allowed", text.len());
        }
    }
    if !ring.instance_addr.is_empty() {
        rpc::grpc::check_address(&ring.instance_addr).context("ring.instance_addr")?;
        if ring.instance_addr.starts_with("dns+") {
            bail!("ring.instance_addr: one address, not a name for several");
        }
    }
    for entry in super::split(&ring.join.join(",")) {
        rpc::grpc::check_address(&entry).context("ring.join")?;
    }
    if ring.tokens == 0 || ring.tokens as usize > ::ring::MAX_TOKENS {
        bail!("ring.tokens: {} is not between 1 and {}", ring.tokens, ::ring::MAX_TOKENS);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, load};

    fn derive(text: &str) -> Result<Config, String> {
        let loaded = load::from_text(text).map_err(|error| format!("{error:#}"))?;
        Config::derive(loaded).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn join_is_a_list_or_a_text_with_commas() {
        for text in ["ring: {join: [a:1, 'dns+b:2']}", "ring: {join: 'a:1, dns+b:2'}"] {
            assert_eq!(derive(text).unwrap().ring_join, ["a:1", "dns+b:2"], "{text}");
        }
        let config = derive("").unwrap();
        assert!(config.ring_join.is_empty() && config.replication_factor.is_none());
        let config = derive("common: {replication_factor: 3}").unwrap();
        assert_eq!(config.replication_factor, Some(3));
    }

    #[test]
    fn what_the_ring_would_refuse_is_named() {
        let long = "x".repeat(257);
        for (text, key) in [
            ("ring: {join: [a]}", "ring.join"),
            ("ring: {instance_addr: 'a'}", "ring.instance_addr"),
            ("ring: {instance_addr: 'dns+a:1'}", "ring.instance_addr"),
            ("ring: {tokens: 0}", "ring.tokens"),
            ("ring: {tokens: 513}", "ring.tokens"),
            ("common: {replication_factor: 10}", "common.replication_factor"),
            (&format!("ring: {{instance_zone: {long}}}"), "ring.instance_zone"),
        ] {
            let error = derive(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
