use serde::Deserialize;

/// `[plugins.python] config = { … }`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The interpreter to use: an absolute path, or a name on `PATH` such as `python3.12`.
    pub python: Option<String>,
    /// The uv to use: an absolute path, or a name on `PATH`.
    pub uv: Option<String>,
    /// What installs packages.
    pub installer: Installer,
    /// Whether a package that has no wheel may be built from its source distribution, which runs its own code: confined like
    /// every installation, but with the registry's network.
    pub sdists: bool,
}

/// What installs packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Installer {
    /// uv when there is one, and else pip.
    #[default]
    Auto,
    /// uv, and an error when there is none.
    Uv,
    /// The pip that comes with Python, about ten times slower.
    Pip,
}
