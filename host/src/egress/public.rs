//! Which addresses and names are everybody's, and not a private network's, this machine's or a cloud's inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Last parts of names that no public server has: <https://www.iana.org/assignments/special-use-domain-names>, and what
/// networks and clouds call their inside.
const PRIVATE_ENDS: &[&str] = &[
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "onion",
    "private",
    "test",
];

/// Whether a name, in lower case, may be a public server's.
pub(super) fn is_public_name(name: &str) -> bool {
    match name.rsplit_once('.') {
        Some((_, end)) => !PRIVATE_ENDS.contains(&end) && name != "metadata.goog",
        None => false,
    }
}

/// Whether an address can be reached from anywhere: <https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_4(address),
        IpAddr::V6(address) => is_public_6(address),
    }
}

/// Whether an address is given out to whoever asks on the same wire: there clouds tell a machine its credentials.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || address == Ipv4Addr::new(100, 100, 100, 200),
        IpAddr::V6(address) => {
            address.to_ipv4_mapped().is_some_and(|inner| is_link_local(inner.into()))
                || address.segments()[0] & 0xffc0 == 0xfe80
                || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || address == Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

fn is_public_4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let whole = matches!(a, 0 | 10 | 127 | 224..);
    let private = matches!((a, b), (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168) | (198, 18 | 19));
    let special = matches!((a, b, c), (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113));
    !(whole || private || special)
}

fn is_public_6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // addresses of version 4 in the clothes of version 6
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, benchmarking, ORCHID, documentation
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("93.184.216.34", true)]
    #[case("8.8.8.8", true)]
    #[case("172.32.0.1", true)]
    #[case("100.128.0.1", true)]
    #[case("2606:2800:220:1::1", true)]
    #[case("64:ff9b::808:808", true)]
    #[case("0.0.0.0", false)]
    #[case("10.1.2.3", false)]
    #[case("127.0.0.1", false)]
    #[case("100.64.0.1", false)]
    #[case("169.254.169.254", false)]
    #[case("172.16.0.1", false)]
    #[case("192.168.1.1", false)]
    #[case("192.0.2.1", false)]
    #[case("198.18.0.1", false)]
    #[case("224.0.0.1", false)]
    #[case("255.255.255.255", false)]
    #[case("::", false)]
    #[case("::1", false)]
    #[case("::127.0.0.1", false)]
    #[case("::ffff:10.0.0.1", false)]
    #[case("::ffff:8.8.8.8", true)]
    #[case("64:ff9b::a00:1", false)]
    #[case("2002:7f00:1::", false)]
    #[case("2001::1", false)]
    #[case("2001:db8::1", false)]
    #[case("fe80::1", false)]
    #[case("fec0::1", false)]
    #[case("fd00:ec2::254", false)]
    #[case("ff02::1", false)]
    fn addresses(#[case] address: &str, #[case] public: bool) {
        assert_eq!(is_public(address.parse().unwrap()), public);
    }

    #[rstest]
    #[case("api.example.com", true)]
    #[case("xn--bcher-kva.de", true)]
    #[case("localhost", false)]
    #[case("a.localhost", false)]
    #[case("intranet", false)]
    #[case("printer.local", false)]
    #[case("metadata.google.internal", false)]
    #[case("router.home.arpa", false)]
    fn names(#[case] name: &str, #[case] public: bool) {
        assert_eq!(is_public_name(name), public);
    }

    #[rstest]
    #[case("169.254.169.254", true)]
    #[case("::ffff:169.254.169.254", true)]
    #[case("fe80::1", true)]
    #[case("fd00:ec2::254", true)]
    #[case("10.0.0.1", false)]
    #[case("fd00::1", false)]
    fn where_clouds_tell_credentials(#[case] address: &str, #[case] link_local: bool) {
        assert_eq!(is_link_local(address.parse().unwrap()), link_local);
    }
}
