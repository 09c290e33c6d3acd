//! Which hosts the packages of a registry come from, and how to get there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Registries, registry::COMMON};
use crate::egress::{Endpoint, Host, Upstream};

/// Where the registries of the world are, and where they keep their files.
const OF_REGISTRIES: &[(&str, &[&str])] = &[
    ("pypi", &["pypi.org:443", "files.pythonhosted.org:443"]),
    ("npm", &["registry.npmjs.org:443"]),
    ("crates-io", &["index.crates.io:443", "static.crates.io:443", "crates.io:443"]),
];

/// Variables that name certificates.
const AUTHORITIES: &[&str] = &["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"];

impl Registries {
    /// The places that the steps of a registry may connect to.
    pub(super) fn places(&self, registry: &str) -> Vec<Endpoint> {
        let files: Vec<String> = self.files(registry).into_iter().map(|file| file.contents).collect();
        let mut places = of(registry, &self.environment(registry), &files);
        places.extend(self.hosts.iter().cloned());
        places.into_iter().collect()
    }

    /// The operator's own proxy, by which the steps of a registry get out.
    pub(super) fn upstream(&self, registry: &str) -> Upstream {
        let mut variables = self.environment(registry);
        // what an installer's own settings say counts as what all say
        for (own, common) in [
            ("PIP_PROXY", ["HTTPS_PROXY", "HTTP_PROXY"]),
            ("CARGO_HTTP_PROXY", ["HTTPS_PROXY", "HTTP_PROXY"]),
            ("npm_config_proxy", ["HTTPS_PROXY", "HTTP_PROXY"]),
            ("npm_config_http_proxy", ["HTTPS_PROXY", "HTTP_PROXY"]),
            ("npm_config_https_proxy", ["HTTPS_PROXY", "HTTPS_PROXY"]),
            ("npm_config_noproxy", ["NO_PROXY", "NO_PROXY"]),
        ] {
            if let Some(value) = variables.get(own).cloned() {
                variables.extend(common.map(|name| (name.to_owned(), value.clone())));
            }
        }
        Upstream::of(&variables)
    }

    /// The operator's own proxy, by which everything else gets out.
    pub fn way_out(&self) -> Upstream {
        let mut variables = self.passed(COMMON);
        variables.extend(self.settled.clone());
        Upstream::of(&variables)
    }

    /// The certificates that the operator trusts others by, as the variables that say so: nothing of them is secret.
    pub fn authorities_of_servers(&self) -> BTreeMap<String, String> {
        let mut variables = self.passed(AUTHORITIES);
        variables.extend(
            self.settled
                .iter()
                .filter(|(name, _)| AUTHORITIES.contains(&name.as_str()))
                .map(|(name, file)| (name.clone(), file.clone())),
        );
        if let Some(file) = variables.get("SSL_CERT_FILE").cloned() {
            for name in ["REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
                variables.entry(name.into()).or_insert_with(|| file.clone());
            }
        }
        variables
    }
}

/// Those that everybody uses, and those of URLs in the settings.
fn of(registry: &str, settings: &BTreeMap<String, String>, files: &[String]) -> BTreeSet<Endpoint> {
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
