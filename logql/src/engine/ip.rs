//! `ip("...")`: an address, a CIDR prefix or a range `a-b`, in lines and label values.

use std::net::IpAddr;

/// What addresses are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IpFilter {
    /// `10.0.0.1`
    One(IpAddr),
    /// `10.0.0.0/8`: network and length.
    Prefix(IpAddr, u32),
    /// `10.0.0.1-10.0.0.9`, both included.
    Range(IpAddr, IpAddr),
}

impl IpFilter {
    /// Reads the operand. The error is Loki's.
    pub(crate) fn new(pattern: &str) -> Result<IpFilter, String> {
        read(pattern).ok_or_else(|| format!("ip: invalid pattern: {}", base::quote::quote(pattern)))
    }

    /// Whether the address is meant. A v4 address and its v6-mapped form are two.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match *self {
            IpFilter::One(one) => one == address,
            IpFilter::Range(from, to) => {
                from.is_ipv4() == address.is_ipv4() && from <= address && address <= to
            }
            IpFilter::Prefix(network, bits) => match (network, address) {
                (IpAddr::V4(network), IpAddr::V4(address)) => {
                    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                    u32::from(network) & mask == u32::from(address) & mask
                }
                (IpAddr::V6(network), IpAddr::V6(address)) => {
                    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                    u128::from(network) & mask == u128::from(address) & mask
                }
                _ => false,
            },
        }
    }

    /// Whether `text` holds an address that is meant. Looks where one may begin: a digit with a
    /// point within three, or hexadecimal digits with a colon within four (or `::` and a digit);
    /// the run of address characters from there is one candidate.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let length = if begins_v4(rest) {
                span(rest, |byte| byte.is_ascii_digit() || byte == b'.')
            } else if begins_v6(rest) {
                span(rest, |byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.')
            } else {
                at += 1;
                continue;
            };
            let candidate = std::str::from_utf8(&rest[..length]).ok();
            if candidate.and_then(|text| text.parse().ok()).is_some_and(|ip| self.contains(ip)) {
                return true;
            }
            at += length + 1;
        }
        false
    }
}

fn span(text: &[u8], part: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&byte| !part(byte)).unwrap_or(text.len())
}

fn begins_v4(text: &[u8]) -> bool {
    text.len() > 3 && text[0].is_ascii_digit() && text[1..4].contains(&b'.')
}

fn begins_v6(text: &[u8]) -> bool {
    if text.len() <= 4 {
        // Loki looks at five characters; `::1` at the very end is found by looking at fewer.
        return text.starts_with(b"::") && text.len() > 2 && text[2].is_ascii_hexdigit();
    }
    if text.starts_with(b"::") {
        return text[2].is_ascii_hexdigit();
    }
    let digits = span(&text[..4], |byte| byte.is_ascii_hexdigit());
    digits > 0 && text[digits] == b':'
}

fn read(pattern: &str) -> Option<IpFilter> {
    if let Some((network, bits)) = pattern.split_once('/') {
        let network: IpAddr = network.parse().ok()?;
        let plain = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u32 = bits.parse().ok().filter(|_| plain)?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        return (bits <= most).then_some(IpFilter::Prefix(network, bits));
    }
    if let Some((from, to)) = pattern.split_once('-') {
        let (from, to): (IpAddr, IpAddr) = (from.parse().ok()?, to.parse().ok()?);
        let ordered = from.is_ipv4() == to.is_ipv4() && from <= to;
        return ordered.then_some(IpFilter::Range(from, to));
    }
    let one: IpAddr = pattern.parse().ok()?;
    Some(IpFilter::One(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_lines() {
        let cases: &[(&str, &str, bool)] = &[
            ("192.168.1.10", "conn src=192.168.1.10 dst=1.1.1.1", true),
            ("192.168.1.10", "conn src=192.168.1.100", false),
            ("192.168.0.0/16", "a 192.168.4.7:80 b", true),
            ("10.0.0.0/8", "v1.2.3.4 11.0.0.1", false),
            ("0.0.0.0/0", "nothing 1.2 here 3.4.5", false),
            ("10.0.0.1-10.0.0.9", "x 10.0.0.9", true),
            ("10.0.0.1-10.0.0.9", "x 10.0.0.10", false),
            ("2001:db8::/32", "src=2001:db8:0:0:0:0:0:ff dst", true),
            ("::1", "src=::1 dst=10.0.0.1", true),
            ("::1", "src=::1", true),
            ("::/0", "10.0.0.1", false),
            ("::ffff:192.168.1.77", "src=::ffff:192.168.1.77 d", true),
            ("192.168.1.77", "src=::ffff:192.168.1.77 d", false),
            ("0.0.0.0/0", "", false),
        ];
        for &(pattern, text, want) in cases {
            let filter = IpFilter::new(pattern).unwrap();
            assert_eq!(filter.is_match(text.as_bytes()), want, "{pattern} in {text}");
        }
    }

    #[test]
    fn bad_patterns_give_lokis_text() {
        for pattern in
            ["bogus", "10.0.0.0/33", "10.0.0.9-10.0.0.1", "", "1.2.3.4-::1", "1.1.1.1/+8"]
        {
            let error = format!("ip: invalid pattern: {}", base::quote::quote(pattern));
            assert_eq!(IpFilter::new(pattern), Err(error));
        }
    }
}
