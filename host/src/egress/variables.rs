use std::collections::BTreeMap;

/// Whom clients of a gate say they are.
pub(super) const USER: &str = "perennial";

/// Variables of clients that take a proxy's URL.
const PROXY: &[&str] = &[
    "ALL_PROXY",
    "CARGO_HTTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "PIP_PROXY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "npm_config_http_proxy",
    "npm_config_https_proxy",
    "npm_config_proxy",
    "pnpm_config_http_proxy",
    "pnpm_config_https_proxy",
    "pnpm_config_proxy",
];

/// Variables of exceptions, which there are none of.
const NO_PROXY: &[&str] = &["NO_PROXY", "no_proxy", "npm_config_noproxy", "pnpm_config_noproxy"];

/// The environment of a process behind a gate; `{gate}` is where it is.
pub(super) fn of(token: &str) -> BTreeMap<String, String> {
    let url = format!("http://{USER}:{token}@{{gate}}");
    let proxies = PROXY.iter().map(|name| ((*name).to_owned(), url.clone()));
    let none = NO_PROXY.iter().map(|name| ((*name).to_owned(), String::new()));
    // Node's own `fetch` and `https` look at the others only when they are told to
    proxies.chain(none).chain([("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned())]).collect()
}

/// Whether a variable, in capitals or not, says how to get out.
pub fn names_a_proxy(name: &str) -> bool {
    PROXY.iter().chain(NO_PROXY).chain(&["NODE_USE_ENV_PROXY"]).any(|known| known.eq_ignore_ascii_case(name))
}
