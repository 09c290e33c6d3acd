use clap::{Args, Subcommand};
use serde_json::json;

use super::{Common, output};
use crate::{
    config::{Directories, EXAMPLE, Request},
    exit::{Exit, Failure},
};

/// Check and show the configuration
#[derive(Subcommand)]
pub(super) enum Command {
    /// Tell what is wrong with the configuration, and what in it has no effect yet
    ///
    /// A mistake is shown with file, line and column; the exit code is then 3.
    Check(Check),
    /// Show the configuration in force: defaults, file and environment together
    ///
    /// `${env:…}` and `${file:…}` are shown as they are written.
    Show(Show),
    /// Print the JSON Schema of the file, for editors that complete and explain keys
    Schema,
    /// Show the file that is read and the folders that are used
    Path(Path),
}

#[derive(Args)]
pub(super) struct Check {
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Show {
    /// The example file instead: every key, explained, with its default
    #[arg(long, conflicts_with = "json")]
    defaults: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Path {
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let text = match self {
            Self::Check(check) => check.text(common)?,
            Self::Show(show) => show.text(common)?,
            Self::Schema => output::json(&crate::config::schema())?,
            Self::Path(path) => path.text(common)?,
        };
        output::print(&text)?;
        Ok(Exit::Done)
    }
}

impl Check {
    fn text(self, common: &Common) -> Result<String, Failure> {
        let (config, request) = common.load()?;
        config.check(&perennial_sdk::registrations())?;
        crate::app::check(config.clone(), Directories::find(&request.variables)?)?;
        let notices: Vec<_> = config.unenforced().iter().map(ToString::to_string).collect();
        if self.json {
            return Ok(output::json(&json!({ "file": config.file(), "notices": notices }))?);
        }
        let subject = config.file().map_or_else(|| "no file, all defaults".into(), |file| file.display().to_string());
        let notices: String = notices.iter().map(|notice| format!("{notice}\n")).collect();
        Ok(format!("{subject}: nothing wrong\n{notices}"))
    }
}

impl Show {
    fn text(self, common: &Common) -> Result<String, Failure> {
        if self.defaults {
            return Ok(EXAMPLE.to_owned());
        }
        let config = crate::config::load(&Request { resolve: false, ..common.request() })?;
        if self.json {
            return Ok(output::json(&config)?);
        }
        let source = config.file().map_or_else(|| "# no file\n".into(), |file| format!("# {}\n", file.display()));
        Ok(source + &toml::to_string(&config).map_err(perennial_sdk::Error::from)?)
    }
}

impl Path {
    fn text(self, common: &Common) -> Result<String, Failure> {
        let (config, request) = common.load()?;
        let Directories { data, cache, state, runtime } = Directories::find(&request.variables)?;
        if self.json {
            let all = json!({"file": config.file(), "data": data, "cache": cache, "state": state, "runtime": runtime});
            return Ok(output::json(&all)?);
        }
        let file = config.file().map_or_else(|| "none: all defaults".into(), |file| file.display().to_string());
        let mut rows = vec![vec!["file".to_owned(), file]];
        for (name, folder) in [("data", data), ("cache", cache), ("state", state), ("runtime", runtime)] {
            rows.push(vec![name.to_owned(), folder.display().to_string()]);
        }
        Ok(output::table(&rows))
    }
}
