//! Which hosts the packages of a registry come from.

use std::collections::{BTreeMap, BTreeSet};

use crate::egress::{Endpoint, Host};

/// Where the registries of the world are, and where they keep their files.
const OF_REGISTRIES: &[(&str, &[&str])] = &[
    ("pypi", &["pypi.org:443", "files.pythonhosted.org:443"]),
    ("npm", &["registry.npmjs.org:443"]),
    ("crates-io", &["index.crates.io:443", "static.crates.io:443", "crates.io:443"]),
];

/// Those that everybody uses, and those of URLs in the settings.
pub(super) fn of(registry: &str, settings: &BTreeMap<String, String>, files: &[String]) -> BTreeSet<Endpoint> {
    let known = OF_REGISTRIES.iter().filter(|(name, _)| *name == registry).flat_map(|(_, hosts)| *hosts);
    let mut hosts: BTreeSet<Endpoint> = known.filter_map(|host| host.parse().ok()).collect();
    let settings = settings.iter().filter(|(name, _)| !crate::egress::names_a_proxy(name));
    let values = settings.flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    for text in values.chain(files.iter().map(String::as_str)) {
        hosts.extend(in_urls(text));
    }
    hosts
}

/// The hosts of all URLs in a text.
fn in_urls(text: &str) -> Vec<Endpoint> {
    let mut hosts = Vec::new();
    for (at, _) in text.match_indices("://") {
        let usual = match &text[..at] {
            before if before.ends_with("https") => 443,
            before if before.ends_with("http") => 80,
            _ => continue,
        };
        let rest = &text[at + 3..];
        let end = rest.find(['/', '?', '#', ' ', ',', '"', '\'', '\n']).unwrap_or(rest.len());
        let authority = rest[..end].rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, Some(usual)),
        };
        if let (Ok(host @ (Host::Name(_) | Host::Address(_))), Some(port)) = (Host::parse(host), port) {
            hosts.push(Endpoint { host, port: Some(port) });
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_hosts_in_many_ways() {
        let settings = [
            ("UV_INDEX", "https://a.example.com/simple http://me:p%40ss@b.example.com:8080/simple"),
            ("PIP_FIND_LINKS", "/wheels https://[2606:2800::1]/links"),
            ("npm_config_@me:registry", "https://c.example.com"),
            ("HTTPS_PROXY", "http://proxy.example.com:3128"),
            ("CARGO_NET_RETRY", "2"),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let files = ["[source.mirror]\nregistry = \"sparse+https://d.example.com/index/\"\n".to_owned()];
        let hosts: Vec<_> = of("crates-io", &settings, &files).iter().map(ToString::to_string).collect();
        let expected = [
            "a.example.com:443",
            "b.example.com:8080",
            "c.example.com:443",
            "crates.io:443",
            "d.example.com:443",
            "index.crates.io:443",
            "static.crates.io:443",
            "[2606:2800::1]:443",
        ];
        assert_eq!(hosts, expected);
        assert_eq!(of("jsr", &BTreeMap::new(), &[]).len(), 0);
    }
}
