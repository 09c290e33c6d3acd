//! Where packages come from: the operator's mirrors, proxies and certificates reach the steps that need them in spite of
//! their scrubbed environment, and never a server.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use perennial_sdk::File;

use super::{
    cargo::{self, CargoSettings},
    npmrc,
};
use crate::egress::Endpoint;

/// Variables that every installer understands.
pub(super) const COMMON: &[&str] = &[
    "ALL_PROXY",
    "CURL_CA_BUNDLE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Variables of pip that say where packages are and how to get there; others would change what is installed.
const PIP: &[&str] = &[
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_PROXY",
    "PIP_RETRIES",
    "PIP_TRUSTED_HOST",
];

/// The same of uv; `UV_INDEX_` also carries the credentials of named indexes.
const UV: &[&str] = &[
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_",
    "UV_INDEX",
    "UV_INSECURE_HOST",
    "UV_NATIVE_TLS",
    "UV_NO_INDEX",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
];

/// The same of cargo, credentials of named registries among them.
const CARGO: &[&str] = &["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_"];

/// What reaches the steps that talk to a registry.
#[derive(Debug, Default)]
pub struct Registries {
    variables: BTreeMap<String, String>,
    mirrors: BTreeMap<String, String>,
    pub(super) settled: BTreeMap<String, String>,
    pub(super) hosts: Vec<Endpoint>,
    pip_files: Vec<PathBuf>,
    pypi: OnceLock<BTreeMap<String, String>>,
    crates: OnceLock<CargoSettings>,
}

impl Registries {
    /// As this process' environment and the user's pip configuration have them. Files are read when they are needed.
    pub fn of_this_process() -> Self {
        let variables = std::env::vars_os();
        Self::of(variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))))
    }

    /// As these variables have them, `PIP_CONFIG_FILE` among them.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter().collect();
        Self { pip_files: pip_files(&variables), variables, ..Self::default() }
    }

    /// Takes all packages of a registry, such as `pypi`, from this URL.
    #[must_use]
    pub fn mirror(mut self, registry: impl Into<String>, url: impl Into<String>) -> Self {
        self.mirrors.insert(registry.into(), url.into());
        self
    }

    /// Reaches every registry through this proxy.
    #[must_use]
    pub fn proxy(mut self, url: &str) -> Self {
        let names = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy", "PIP_PROXY"];
        let names = names.into_iter().chain(["npm_config_https_proxy", "npm_config_proxy"]);
        self.settled.extend(names.map(|name| (name.to_string(), url.to_string())));
        self
    }

    /// Trusts registries by the certificates in this file, in PEM form, instead of the system's.
    #[must_use]
    pub fn authorities(mut self, file: &Path) -> Self {
        let names = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"];
        let others = ["NODE_EXTRA_CA_CERTS", "npm_config_cafile", "CARGO_HTTP_CAINFO"];
        let file = file.to_string_lossy();
        self.settled.extend(names.into_iter().chain(others).map(|name| (name.to_string(), file.to_string())));
        self
    }

    /// Lets installers connect to these places, too: registries may send them on.
    #[must_use]
    pub fn hosts(mut self, places: impl IntoIterator<Item = Endpoint>) -> Self {
        self.hosts.extend(places);
        self
    }

    /// The variables for a step that talks to a registry.
    pub(super) fn environment(&self, registry: &str) -> BTreeMap<String, String> {
        let mut environment = self.passed(COMMON);
        if registry == "pypi" {
            environment.extend(self.pypi.get_or_init(|| self.pypi()).clone());
        }
        if registry == "crates-io" {
            environment.extend(self.crates().variables.clone());
        }
        if registry == "npm" {
            // what all other installers read, and Node does not
            if let Some(file) = self.variables.get("SSL_CERT_FILE") {
                environment.insert("NODE_EXTRA_CA_CERTS".into(), file.clone());
            }
            environment.extend(npmrc::settings(&self.variables, self.mirrors.get(registry).map(String::as_str)));
        }
        environment.extend(self.settled.clone());
        if registry == "npm" {
            environment.extend(npmrc::for_pnpm(&environment));
        }
        environment
    }

    /// The settings that fit into no variable, as files for the folder that a step works in. Later steps that share the
    /// folder see them too.
    pub(super) fn files(&self, registry: &str) -> Vec<File> {
        let cargo = (registry == "crates-io").then(|| self.crates().file.clone()).flatten();
        cargo.map(|contents| File { path: ".cargo/config.toml".into(), contents }).into_iter().collect()
    }

    fn crates(&self) -> &CargoSettings {
        self.crates.get_or_init(|| {
            let folder = cargo::folder(&self.variables).unwrap_or_default();
            CargoSettings::read(&folder, &self.passed(CARGO), self.mirrors.get("crates-io").map(String::as_str))
        })
    }

    pub(super) fn passed(&self, names: &[&str]) -> BTreeMap<String, String> {
        let passes =
            |name: &str| names.iter().any(|known| name == *known || known.ends_with('_') && name.starts_with(known));
        self.variables
            .iter()
            .filter(|(name, _)| passes(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// pip's settings from files and variables, and uv's: its own, and pip's in its terms where it has none.
    fn pypi(&self) -> BTreeMap<String, String> {
        let mut pip = BTreeMap::new();
        for file in &self.pip_files {
            pip.extend(read_pip_file(&std::fs::read_to_string(file).unwrap_or_default()));
        }
        pip.extend(self.passed(PIP));
        let mut uv = self.passed(UV);
        uv.extend(self.passed(&["UV_INDEX_"]));
        if let Some(url) = self.mirrors.get("pypi") {
            pip.insert("PIP_INDEX_URL".into(), url.clone());
            uv.remove("UV_INDEX_URL");
            uv.insert("UV_DEFAULT_INDEX".into(), url.clone());
        }
        let mut translated = in_terms_of_uv(&pip);
        if uv.contains_key("UV_INDEX_URL") {
            translated.remove("UV_DEFAULT_INDEX");
        }
        if self.variables.contains_key("SSL_CERT_FILE") {
            translated.remove("SSL_CERT_FILE");
        }
        translated.extend(uv);
        if let Some(url) = translated.get("UV_DEFAULT_INDEX").or(translated.get("UV_INDEX_URL")) {
            pip.entry("PIP_INDEX_URL".into()).or_insert_with(|| url.clone());
        }
        translated.extend(pip);
        translated.insert("PIP_CONFIG_FILE".into(), if cfg!(windows) { "nul" } else { "/dev/null" }.into());
        translated
    }
}

/// uv does not read pip's settings: <https://docs.astral.sh/uv/pip/compatibility/>.
fn in_terms_of_uv(pip: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut uv = BTreeMap::new();
    let mut translate = |from: &str, to: &[&str], form: fn(&str) -> String| {
        if let Some(value) = pip.get(from).filter(|value| !value.trim().is_empty()) {
            uv.extend(to.iter().map(|name| (name.to_string(), form(value))));
        }
    };
    let same = |value: &str| value.trim().to_string();
    let spaced = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
    let commas = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(",");
    translate("PIP_INDEX_URL", &["UV_DEFAULT_INDEX"], same);
    translate("PIP_EXTRA_INDEX_URL", &["UV_INDEX"], spaced);
    translate("PIP_FIND_LINKS", &["UV_FIND_LINKS"], commas);
    translate("PIP_TRUSTED_HOST", &["UV_INSECURE_HOST"], spaced);
    translate("PIP_CERT", &["SSL_CERT_FILE"], same);
    translate("PIP_DEFAULT_TIMEOUT", &["UV_HTTP_TIMEOUT"], same);
    translate("PIP_PROXY", &["HTTPS_PROXY", "HTTP_PROXY"], same);
    let off = ["0", "false", "no", "off"];
    if pip.get("PIP_NO_INDEX").is_some_and(|value| !off.contains(&value.to_lowercase().as_str())) {
        uv.insert("UV_NO_INDEX".into(), "1".into());
    }
    uv
}

/// The files that pip reads, those that count most last: <https://pip.pypa.io/en/stable/topics/configuration/>.
fn pip_files(variables: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let chosen = variable("PIP_CONFIG_FILE");
    if chosen.as_deref().is_some_and(|file| file == Path::new("/dev/null") || file == Path::new("nul")) {
        return Vec::new();
    }
    let home = etcetera::home_dir().ok();
    let mut files = vec![PathBuf::from("/etc/xdg/pip/pip.conf"), PathBuf::from("/etc/pip.conf")];
    if cfg!(target_os = "macos") {
        files.push("/Library/Application Support/pip/pip.conf".into());
        files.extend(home.as_ref().map(|home| home.join("Library/Application Support/pip/pip.conf")));
    }
    files.extend(home.as_ref().map(|home| home.join(".pip/pip.conf")));
    let settings = variable("XDG_CONFIG_HOME").or_else(|| home.map(|home| home.join(".config")));
    files.extend(settings.map(|settings| settings.join("pip/pip.conf")));
    files.extend(variable("APPDATA").map(|settings| settings.join("pip/pip.ini")));
    files.extend(variable("VIRTUAL_ENV").map(|environment| environment.join("pip.conf")));
    files.extend(chosen);
    files
}

/// The settings of one file as the variables that mean the same; `[install]` counts more than `[global]`.
fn read_pip_file(text: &str) -> BTreeMap<String, String> {
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let (mut section, mut last) = (String::new(), None::<String>);
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            (section, last) = (name.trim().to_string(), None);
        } else if line.starts_with([' ', '\t']) && last.is_some() {
            let values = sections.entry(section.clone()).or_default();
            if let Some(value) = last.as_ref().and_then(|name| values.get_mut(name)) {
                value.push(' ');
                value.push_str(content);
            }
        } else if let Some((name, value)) = content.split_once(['=', ':']) {
            let name = format!("PIP_{}", name.trim().replace('-', "_").to_uppercase());
            last = Some(name.clone());
            sections.entry(section.clone()).or_default().insert(name, value.trim().to_string());
        }
    }
    let mut settings = sections.remove("global").unwrap_or_default();
    settings.extend(sections.remove("install").unwrap_or_default());
    if let Some(timeout) = settings.remove("PIP_TIMEOUT") {
        settings.entry("PIP_DEFAULT_TIMEOUT".into()).or_insert(timeout);
    }
    settings.retain(|name, _| PIP.contains(&name.as_str()));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries(variables: &[(&str, &str)], file: &str) -> (tempfile::TempDir, Registries) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pip.conf");
        std::fs::write(&path, file).unwrap();
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        (folder, Registries { variables, pip_files: vec![path], ..Registries::default() })
    }

    #[test]
    fn secrets_stay_behind() {
        let (_folder, registries) = registries(&[("AWS_SECRET_ACCESS_KEY", "x"), ("HTTPS_PROXY", "http://p")], "");
        let environment = registries.environment("npm");
        assert_eq!(environment.into_iter().collect::<Vec<_>>(), [("HTTPS_PROXY".to_string(), "http://p".to_string())]);
    }

    #[test]
    fn pip_settings_reach_uv() {
        let file = "[global]\nindex-url = https://mirror.example.com/simple\ncert=/etc/ca.pem\nuser = yes\n\
                    [install]\nextra-index-url =\n    https://a.example.com\n    https://b.example.com\n";
        let (_folder, registries) = registries(&[("PIP_FIND_LINKS", "/wheels /more")], file);
        let environment = registries.environment("pypi");
        assert_eq!(environment["UV_DEFAULT_INDEX"], "https://mirror.example.com/simple");
        assert_eq!(environment["PIP_INDEX_URL"], "https://mirror.example.com/simple");
        assert_eq!(environment["UV_INDEX"], "https://a.example.com https://b.example.com");
        assert_eq!(environment["UV_FIND_LINKS"], "/wheels,/more");
        assert_eq!(environment["SSL_CERT_FILE"], "/etc/ca.pem");
        assert!(!environment.contains_key("PIP_USER"));
    }

    #[test]
    fn what_the_operator_set_goes_before_all() {
        let variables = [("HTTPS_PROXY", "http://other"), ("SSL_CERT_FILE", "/other.pem"), ("NO_PROXY", "localhost")];
        let (_folder, registries) = registries(&variables, "[global]\nproxy = http://third\ncert = /third.pem\n");
        let registries = registries.proxy("http://proxy").authorities(Path::new("/ca.pem"));
        let environment = registries.environment("pypi");
        for name in ["HTTPS_PROXY", "http_proxy", "PIP_PROXY"] {
            assert_eq!(environment[name], "http://proxy", "{name}");
        }
        for name in ["SSL_CERT_FILE", "PIP_CERT"] {
            assert_eq!(environment[name], "/ca.pem", "{name}");
        }
        assert_eq!(environment["NO_PROXY"], "localhost");
        let npm = registries.environment("npm");
        assert_eq!(npm["NODE_EXTRA_CA_CERTS"], "/ca.pem");
        assert_eq!(
            (&npm["pnpm_config_https_proxy"], &npm["pnpm_config_cafile"]),
            (&"http://proxy".into(), &"/ca.pem".into())
        );
    }

    #[test]
    fn one_file_of_authorities_serves_every_installer() {
        let ca = ("SSL_CERT_FILE", "/ca.pem");
        let (_folder, registries) = registries(&[ca], "");
        assert_eq!(registries.environment("npm")["NODE_EXTRA_CA_CERTS"], "/ca.pem");
        let (_folder, registries) = self::registries(&[ca, ("NODE_EXTRA_CA_CERTS", "/node.pem")], "");
        assert_eq!(registries.environment("npm")["NODE_EXTRA_CA_CERTS"], "/node.pem");
    }

    #[test]
    fn settings_of_uv_come_first_and_a_mirror_before_all() {
        let variables = [("UV_INDEX_URL", "https://uv.example.com"), ("PIP_INDEX_URL", "https://pip.example.com")];
        let (_folder, registries) = registries(&variables, "");
        let environment = registries.environment("pypi");
        assert!(!environment.contains_key("UV_DEFAULT_INDEX"));
        assert_eq!(environment["PIP_INDEX_URL"], "https://pip.example.com");
        let (_folder, registries) = self::registries(&variables, "");
        let environment = registries.mirror("pypi", "https://mirror.example.com").environment("pypi");
        assert_eq!(environment["UV_DEFAULT_INDEX"], "https://mirror.example.com");
        assert_eq!(environment["PIP_INDEX_URL"], "https://mirror.example.com");
    }
}
