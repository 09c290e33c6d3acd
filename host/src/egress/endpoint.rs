use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use url::Host as Parsed;

use super::public;

/// A host and a port that something may connect to: `api.example.com:443`, `93.184.216.34:80`, `[2606:2800::1]:443`,
/// `*.example.com:443`.
///
/// Names are kept in lower case and, where they are international, in punycode: what a client asks for and what was
/// granted are then equal when they mean the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The port; none means every one, which only an operator can say, as `:*`.
    pub port: Option<u16>,
}

/// A host, or several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// One name.
    Name(String),
    /// Every name below this one, but not the name itself: `*.example.com`.
    Below(String),
    /// An address.
    Address(IpAddr),
}

/// Why a text is no endpoint, and what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoEndpoint {
    /// Fits after the text in backticks.
    pub why: &'static str,
    /// What to write instead.
    pub meant: Option<String>,
}

impl Endpoint {
    /// An endpoint as an operator may write it: with `*` as its port, too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_operator(text: &str) -> Result<Self, NoEndpoint> {
        match text.strip_suffix(":*") {
            Some(host) => Ok(Self { host: Host::parse(host)?, port: None }),
            None => text.parse(),
        }
    }

    /// Whether all of `other` is in it.
    pub fn covers(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (Host::Below(own), Host::Name(name)) => is_below(name, own),
            (Host::Below(own), Host::Below(name)) => name == own || is_below(name, own),
            (own, host) => own == host,
        };
        host && (self.port.is_none() || self.port == other.port)
    }

    /// Whether it can only be meant for everybody: no name or address of a private network, of this machine or of a
    /// cloud's inside. What a name resolves to is looked at when somebody connects.
    pub fn is_public(&self) -> bool {
        match &self.host {
            Host::Name(name) => public::is_public_name(name),
            Host::Address(address) => public::is_public(*address),
            Host::Below(_) => false,
        }
    }
}

impl Host {
    /// The host of a URL or a `CONNECT`, as clients write it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NoEndpoint> {
        if let Some(name) = text.strip_prefix("*.") {
            return match Self::parse(name)? {
                Self::Name(name) if name.contains('.') => Ok(Self::Below(name)),
                _ => Err(NoEndpoint::new("has a `*` before what is no domain")),
            };
        }
        if text.contains('*') {
            return Err(NoEndpoint::new("has a `*` elsewhere than as its first part"));
        }
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if inner.is_none() && text.contains(':') {
            return Err(NoEndpoint {
                why: "has an IPv6 address without brackets",
                meant: text.parse::<IpAddr>().ok().map(|address| format!("[{address}]")),
            });
        }
        // the end of a name that is written out in full means nothing here
        match Parsed::parse(text.strip_suffix('.').unwrap_or(text)) {
            Ok(Parsed::Domain(name)) if is_name(&name) => Ok(Self::Name(name)),
            // forms such as `0x7f.1` and `2130706433` are addresses to some and names to others
            Ok(Parsed::Ipv4(address)) if address.to_string() == text => Ok(Self::Address(address.into())),
            Ok(Parsed::Ipv4(address)) => {
                Err(NoEndpoint { why: "is an unusual way to write an address", meant: Some(address.to_string()) })
            }
            Ok(Parsed::Ipv6(address)) => Ok(Self::Address(address.into())),
            _ => Err(NoEndpoint::new("has no valid host name")),
        }
    }
}

impl Host {
    /// Whether clouds tell a machine its credentials there.
    pub fn is_of_a_cloud(&self) -> bool {
        match self {
            Self::Name(name) => name == "metadata.google.internal" || name == "metadata.goog",
            Self::Address(address) => public::is_link_local(*address),
            Self::Below(_) => false,
        }
    }
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&part.len()) && part.bytes().all(fits) && !part.starts_with('-') && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        if let Some((scheme, rest)) = text.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let usual = if scheme.eq_ignore_ascii_case("http") { "80" } else { "443" };
            let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let meant = if has_port { authority.to_owned() } else { format!("{authority}:{usual}") };
            let meant = Some(meant).filter(|meant| meant.parse::<Self>().is_ok());
            return Err(NoEndpoint { why: "is a URL", meant });
        }
        if text.contains(['/', '?', '#', '@']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(NoEndpoint::new("is more than a host and a port"));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => {
                let meant = Host::parse(text).ok().map(|_| format!("{text}:443"));
                return Err(NoEndpoint { why: "has no port", meant });
            }
        };
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Err(NoEndpoint { why: "has no port", meant: Some(format!("[{address}]:443")) });
        }
        let host = Host::parse(host).map_err(|error| NoEndpoint {
            meant: error.meant.map(|host| format!("{host}:{port}")).filter(|meant| meant.parse::<Self>().is_ok()),
            ..error
        })?;
        let plain = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
        match port.parse::<u16>().ok().filter(|port| plain && *port > 0) {
            Some(port) => Ok(Self { host, port: Some(port) }),
            None => Err(NoEndpoint::new("has no port between 1 and 65535")),
        }
    }
}

impl NoEndpoint {
    fn new(why: &'static str) -> Self {
        Self { why, meant: None }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}:*", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("api.example.com:443", "api.example.com:443")]
    #[case("API.Example.COM:443", "api.example.com:443")]
    #[case("bücher.example:8080", "xn--bcher-kva.example:8080")]
    #[case("example.com.:443", "example.com:443")]
    #[case("93.184.216.34:80", "93.184.216.34:80")]
    #[case("[2606:2800:220:1::0]:443", "[2606:2800:220:1::]:443")]
    #[case("*.example.com:443", "*.example.com:443")]
    fn what_is_one(#[case] text: &str, #[case] kept: &str) {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), kept);
    }

    #[rstest]
    #[case("example.com", Some("example.com:443"))]
    #[case("https://example.com/a?b", Some("example.com:443"))]
    #[case("http://example.com", Some("example.com:80"))]
    #[case("http://example.com:8080/", Some("example.com:8080"))]
    #[case("2606:2800::1", Some("[2606:2800::1]:443"))]
    #[case("2606:2800::beef:zz", None)]
    #[case("[2606:2800::1]", Some("[2606:2800::1]:443"))]
    #[case("2130706433:80", Some("127.0.0.1:80"))]
    #[case("0x7f.1:80", Some("127.0.0.1:80"))]
    #[case("127.1:80", Some("127.0.0.1:80"))]
    #[case("example.com:0", None)]
    #[case("example.com:65536", None)]
    #[case("example.com:+80", None)]
    #[case("example.com:080", None)]
    #[case("example.com:", None)]
    #[case("example.com:https", None)]
    #[case("user@example.com:443", None)]
    #[case("example.com:443/path", None)]
    #[case("a..b:443", None)]
    #[case("-a.example:443", None)]
    #[case("a b:443", None)]
    #[case("a\r\nb:443", None)]
    #[case("*:443", None)]
    #[case("*.com:443", None)]
    #[case("a.*.com:443", None)]
    #[case("*.1.2.3.4:443", None)]
    #[case("example.com:*", None)]
    #[case("", None)]
    fn what_is_none(#[case] text: &str, #[case] meant: Option<&str>) {
        let error = text.parse::<Endpoint>().unwrap_err();
        assert_eq!(error.meant.as_deref(), meant, "{text}: {error:?}");
    }

    #[rstest]
    #[case("example.com:443", "example.com:443", true)]
    #[case("example.com:443", "example.com:80", false)]
    #[case("example.com:*", "example.com:80", true)]
    #[case("*.example.com:443", "api.example.com:443", true)]
    #[case("*.example.com:443", "a.b.example.com:443", true)]
    #[case("*.example.com:443", "example.com:443", false)]
    #[case("*.example.com:443", "evilexample.com:443", false)]
    #[case("*.example.com:443", "*.example.com:443", true)]
    #[case("*.example.com:443", "*.api.example.com:443", true)]
    #[case("*.api.example.com:443", "*.example.com:443", false)]
    #[case("api.example.com:443", "*.example.com:443", false)]
    fn covering(#[case] own: &str, #[case] other: &str, #[case] covered: bool) {
        assert_eq!(Endpoint::of_operator(own).unwrap().covers(&other.parse().unwrap()), covered);
    }
}
