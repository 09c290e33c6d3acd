//! Which `Host` and `Origin` a request may have: a web page whose name was made to point at this machine has others.

use std::net::SocketAddr;

use hyper::{
    HeaderMap, Uri,
    header::{HOST, ORIGIN},
    http::uri::Authority,
};
use url::Url;

use crate::config;

/// What is allowed.
pub(super) struct Origins {
    hosts: Vec<(String, Option<u16>)>,
    origins: Vec<String>,
}

impl Origins {
    /// What the configuration allows, beside the loopback names and the address itself.
    pub(super) fn new(config: &config::Http, bound: SocketAddr) -> Self {
        let mut hosts: Vec<_> = ["localhost", "127.0.0.1", "::1"].map(|name| (name.to_owned(), None)).into();
        if !bound.ip().is_unspecified() {
            hosts.push((bound.ip().to_string(), None));
        }
        hosts.extend(config.allowed_hosts.iter().filter_map(|host| Some(parts(&host.parse().ok()?))));
        Self { hosts, origins: config.allowed_origins.iter().map(|origin| origin.to_ascii_lowercase()).collect() }
    }

    /// The origin of the web page that asks; none when none does.
    ///
    /// # Errors
    /// What is not allowed, in words for whoever sent it or set this up.
    pub(super) fn check<'h>(&self, uri: &Uri, headers: &'h HeaderMap) -> Result<Option<&'h str>, String> {
        let mut given = headers.get_all(HOST).iter();
        let host = match (given.next(), given.next()) {
            (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
            (None, _) => uri.authority().cloned(),
            _ => None,
        };
        let host = host.filter(|host| !host.as_str().contains('@')).ok_or("the `Host` of the request is none")?;
        let asked = parts(&host);
        let fits = |(name, port): &(String, Option<u16>)| *name == asked.0 && (port.is_none() || *port == asked.1);
        if !self.hosts.iter().any(fits) {
            return Err(format!(
                "the `Host` `{host:.100}` is not allowed: if this host is to be reached by that name, write it in \
                 `[http] allowed_hosts`"
            ));
        }
        let mut given = headers.get_all(ORIGIN).iter();
        let Some(origin) = given.next() else { return Ok(None) };
        let origin =
            origin.to_str().ok().filter(|_| given.next().is_none()).ok_or("the `Origin` of the request is none")?;
        if self.origins.contains(&origin.to_ascii_lowercase()) || is_of(origin, &host) {
            return Ok(Some(origin));
        }
        Err(format!(
            "the `Origin` `{origin:.100}` is not allowed: if web pages of it are to use this host, write it in `[http] \
             allowed_origins`"
        ))
    }
}

/// Whether a page of this origin came from the host that it asks.
fn is_of(origin: &str, host: &Authority) -> bool {
    let page = Url::parse(origin).ok().filter(|page| ["http", "https"].contains(&page.scheme()));
    page.is_some_and(|page| {
        let asked = Url::parse(&format!("{}://{host}", page.scheme())).ok();
        asked.is_some_and(|asked| asked.origin() == page.origin() && origin == page.origin().ascii_serialization())
    })
}

fn parts(host: &Authority) -> (String, Option<u16>) {
    (host.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase(), host.port_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Origins {
        let config = config::Http {
            allowed_hosts: vec!["perennial.example.com".into(), "proxy.example.com:8443".into()],
            allowed_origins: vec!["https://chat.example.com".into()],
            ..config::Http::default()
        };
        Origins::new(&config, "127.0.0.1:8747".parse().unwrap())
    }

    fn check(host: &str, origin: Option<&str>) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        origin.map(|origin| headers.insert(ORIGIN, origin.parse().unwrap()));
        origins().check(&Uri::from_static("/mcp"), &headers).map(|origin| origin.map(str::to_owned))
    }

    #[test]
    fn names_that_were_made_to_point_here_are_not_ours() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8747",
            "[::1]:8747",
            "perennial.example.com",
            "proxy.example.com:8443",
        ] {
            assert_eq!(check(host, None), Ok(None), "{host}");
        }
        for host in
            ["evil.example.com", "localhost.evil.example.com", "proxy.example.com", "localhost@evil.example.com", ""]
        {
            assert!(check(host, None).is_err(), "{host}");
        }
        assert!(check("evil.example.com", None).unwrap_err().contains("allowed_hosts"));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        for (host, origin) in [
            ("localhost:8747", "http://localhost:8747"),
            ("perennial.example.com", "https://perennial.example.com"),
            ("localhost:8747", "https://chat.example.com"),
        ] {
            assert_eq!(check(host, Some(origin)), Ok(Some(origin.to_owned())));
        }
        for origin in [
            "null",
            "http://localhost:3000",
            "http://evil.example.com",
            "file://localhost:8747",
            "http://localhost:8747/x",
        ] {
            assert!(check("localhost:8747", Some(origin)).is_err(), "{origin}");
        }
    }

    #[test]
    fn two_of_a_header_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, "localhost".parse().unwrap());
        headers.append(HOST, "evil.example.com".parse().unwrap());
        assert!(origins().check(&Uri::from_static("/mcp"), &headers).is_err());
    }
}
