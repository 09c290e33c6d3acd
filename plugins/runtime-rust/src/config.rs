use serde::Deserialize;

/// `[plugins.rust] config = { … }`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The compiler to use: an absolute path, or a name on `PATH`.
    pub rustc: Option<String>,
    /// The cargo to use: an absolute path, or a name on `PATH`.
    pub cargo: Option<String>,
    /// The edition that servers are written in.
    pub edition: Edition,
    /// How much the compiler optimises a server's own crate. Without it that is a little (1), and nothing (0) for servers
    /// on tokio, whose crates take ten times longer to compile otherwise.
    pub optimize: Option<OptLevel>,
}

/// An edition of Rust.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Edition {
    /// Of 2021.
    #[serde(rename = "2021")]
    Of2021,
    /// Of 2024, what `cargo new` takes.
    #[default]
    #[serde(rename = "2024")]
    Of2024,
}

/// `-C opt-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct OptLevel(u8);

impl Edition {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Of2021 => "2021",
            Self::Of2024 => "2024",
        }
    }
}

impl OptLevel {
    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for OptLevel {
    type Error = &'static str;

    fn try_from(level: u8) -> Result<Self, Self::Error> {
        if level <= 3 { Ok(Self(level)) } else { Err("not a level from 0 to 3") }
    }
}
