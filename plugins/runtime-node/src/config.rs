use serde::Deserialize;

/// `[plugins.node] config = { … }`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The interpreter to use: an absolute path, or a name on `PATH`.
    pub node: Option<String>,
    /// The npm to use: an absolute path, or a name on `PATH`.
    pub npm: Option<String>,
    /// The pnpm to use: an absolute path, or a name on `PATH`.
    pub pnpm: Option<String>,
    /// What installs packages. A saved server is restored by what wrote its lock, whatever stands here.
    pub installer: Installer,
}

/// What installs packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Installer {
    /// npm, which comes with Node, and pnpm where there is no npm.
    #[default]
    Auto,
    /// npm, and an error when there is none.
    Npm,
    /// pnpm, and an error when there is none.
    Pnpm,
}
