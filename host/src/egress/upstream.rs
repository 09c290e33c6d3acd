//! The operator's own proxy, where there is one: connections leave through it.

use std::collections::BTreeMap;

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::Host;

/// The proxies that variables such as `HTTPS_PROXY` name.
#[derive(Debug)]
pub struct Upstream(Matcher);

impl Upstream {
    /// By the variables that every client knows, in capitals or not.
    pub fn of(variables: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| -> String {
            let names = [name.to_uppercase(), name.to_owned()];
            names
                .iter()
                .find_map(|name| variables.get(name).filter(|value| !value.trim().is_empty()))
                .cloned()
                .unwrap_or_default()
        };
        let builder = Matcher::builder().all(get("all_proxy")).http(get("http_proxy")).https(get("https_proxy"));
        Self(builder.no(get("no_proxy")).build())
    }

    /// The proxy for a connection, if it goes through one.
    pub(super) fn towards(&self, scheme: &str, host: &Host, port: u16) -> Option<Intercept> {
        let uri = format!("{scheme}://{host}:{port}/").parse::<Uri>().ok()?;
        self.0.intercept(&uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_it_and_exceptions() {
        let variables = [("HTTPS_PROXY", "http://me:s3cret@proxy:3128"), ("no_proxy", "mirror.corp,10.0.0.0/8")];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let upstream = Upstream::of(&variables);
        let host = |text: &str| Host::parse(text).unwrap();
        let found = upstream.towards("https", &host("pypi.org"), 443).unwrap();
        assert_eq!(found.uri().port_u16(), Some(3128));
        assert!(found.basic_auth().is_some());
        assert!(upstream.towards("http", &host("pypi.org"), 80).is_none());
        assert!(upstream.towards("https", &host("mirror.corp"), 443).is_none());
        assert!(upstream.towards("https", &host("10.1.2.3"), 443).is_none());
        assert!(!format!("{upstream:?}").contains("s3cret"));
    }
}
