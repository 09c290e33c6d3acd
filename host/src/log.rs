//! What is logged, and from which level on: always to standard error, since standard output is the protocol's.

use std::{
    fmt,
    io::{IsTerminal, Write},
    str::FromStr,
    sync::OnceLock,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Registry, filter::Targets, layer::SubscriberExt, reload};

use crate::secrets;

/// Levels to log from: one for all (`warn`), or some for parts of the program (`warn,perennial::supervisor=debug`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Levels(String);

impl Levels {
    /// The level that `-v`, `-vv`, `-vvv` or `-q` ask for; without them these.
    #[must_use]
    pub fn adjusted(self, verbose: u8, quiet: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Self("error".into()),
            (false, 0) => self,
            (false, 1) => Self("info".into()),
            (false, 2) => Self("debug".into()),
            (false, _) => Self("trace".into()),
        }
    }

    fn targets(&self) -> Targets {
        // A word alone would be the name of a part to `Targets`, and misspelt levels would trace a part called `wran`.
        self.0.split(',').fold(Targets::new(), |targets, part| match part.split_once('=') {
            Some((part, level)) => targets.with_target(part.trim(), parse_level(level).unwrap_or(LevelFilter::WARN)),
            None => targets.with_default(parse_level(part).unwrap_or(LevelFilter::WARN)),
        })
    }
}

/// Starts logging. Filters are plain comparisons: the usual ones with regular expressions would delay every start.
pub fn start(levels: &Levels) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Redacting).with_ansi(colour).log_internal_errors(false);
    let (filter, handle) = reload::Layer::new(levels.targets());
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    // Somebody who embeds this crate may have set up logging before.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Standard error without the values that servers were given. What is logged comes in whole lines.
struct Redacting;

impl Write for Redacting {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match secrets::known() {
            Some(known) => {
                let line = String::from_utf8_lossy(line);
                std::io::stderr().write_all(known.text(&line).as_bytes())?;
            }
            None => std::io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Logs from these levels on instead.
pub fn adjust(levels: &Levels) {
    if let Some(filter) = FILTER.get() {
        let _ = filter.reload(levels.targets());
    }
}

/// The filter of the one subscriber that a process can have.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

fn parse_level(text: &str) -> Result<LevelFilter, String> {
    let text = text.trim();
    let level = text.parse().ok().filter(|_| text.starts_with(|first: char| first.is_ascii_alphabetic()));
    level.ok_or_else(|| {
        format!("unknown variant `{text}`, expected one of `off`, `error`, `warn`, `info`, `debug`, `trace`")
    })
}

impl FromStr for Levels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        for part in text.split(',') {
            parse_level(part.split_once('=').map_or(part, |(_, level)| level))?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Levels {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self("warn".into())
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn parts_have_levels_of_their_own() {
        let levels: Levels = "warn, perennial::supervisor = debug".parse().unwrap();
        let targets = levels.targets();
        assert!(targets.would_enable("perennial::supervisor::sidecar", &Level::DEBUG));
        assert!(!targets.would_enable("perennial", &Level::INFO));
        assert!(targets.would_enable("anything", &Level::WARN));
    }

    #[test]
    fn a_misspelt_level_is_no_part() {
        assert!("wran".parse::<Levels>().is_err());
        assert!("perennial=loud".parse::<Levels>().is_err());
        assert!("3".parse::<Levels>().is_err());
    }
}
