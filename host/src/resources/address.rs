use std::{fmt, str::FromStr};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use perennial_sdk::Error;

/// Where a resource of the host is: `perennial://servers/{server}/{part}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A running server, a saved one, or a name that only one server has.
    pub server: String,
    /// What of it.
    pub part: Part,
}

/// What of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its code.
    Source,
    /// What it wrote to standard error.
    Logs,
    /// The definitions of its tools.
    Tools,
    /// The versions that were saved.
    History,
}

const PREFIX: &str = "perennial://servers/";

impl Part {
    /// Every part there is.
    pub const ALL: [Self; 4] = [Self::Source, Self::Logs, Self::Tools, Self::History];

    /// As in addresses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Logs => "logs",
            Self::Tools => "tools",
            Self::History => "history",
        }
    }

    /// For people and models.
    pub fn description(self) -> &'static str {
        match self {
            Self::Source => "The code of the server",
            Self::Logs => "What the server wrote to standard error, its latest lines",
            Self::Tools => "The definitions of the server's tools",
            Self::History => "The versions of the server that were saved, and what changed in each",
        }
    }

    /// The addresses of this part of every server, as RFC 6570 writes them.
    pub fn template(self) -> String {
        format!("{PREFIX}{{server}}/{}", self.word())
    }
}

impl Address {
    /// Whether a URI can only be one of these.
    pub fn is_meant_by(uri: &str) -> bool {
        uri.starts_with(PREFIX)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KEPT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
        write!(f, "{PREFIX}{}/{}", utf8_percent_encode(&self.server, KEPT), self.part.word())
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = || {
            let (server, word) = text.strip_prefix(PREFIX)?.split_once('/')?;
            let part = Part::ALL.into_iter().find(|part| part.word() == word)?;
            let server = percent_decode_str(server).decode_utf8().ok().filter(|server| !server.is_empty())?;
            Some(Self { server: server.into_owned(), part })
        };
        parsed().ok_or_else(|| {
            let shown: String = text.chars().take(200).collect();
            Error::not_found(format!("no resource `{shown}`"))
                .hint(format!("`{PREFIX}<id or name>/` is followed by `source`, `logs`, `tools` or `history`"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_from_its_text() {
        let address = Address { server: "Grüße, / Welt".into(), part: Part::History };
        let text = address.to_string();
        assert_eq!(text, "perennial://servers/Gr%C3%BC%C3%9Fe%2C%20%2F%20Welt/history");
        assert_eq!(text.parse::<Address>().unwrap(), address);
    }

    #[test]
    fn others_are_told_what_there_is() {
        for text in
            ["perennial://servers//source", "perennial://servers/a/b", "file:///etc/passwd", "perennial://servers/a"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error.to_string(), format!("no resource `{text}`"));
        }
    }
}
