use clap::{Args, Subcommand};
use serde_json::json;

use super::{Common, output};
use crate::{
    config::{Config, Directories, EXAMPLE, Request, Setting, SettingOrigin},
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
    /// `${env:…}` and `${file:…}` are shown as they are written, and passwords, tokens and keys not at all.
    Show(Show),
    /// Print the JSON Schema of the file, for editors that complete and explain keys
    ///
    /// Keep it beside the file, and name it in the file's first line: `#:schema perennial.schema.json`
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
    /// Setting by setting, each with where it comes from: default, file, environment variable or flag
    #[arg(long, conflicts_with = "defaults")]
    origin: bool,
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
        if self.json {
            return Ok(output::json(&json!({ "file": config.file() }))?);
        }
        let subject = config.file().map_or_else(|| "no file, all defaults".into(), |file| file.display().to_string());
        Ok(format!("{subject}: nothing wrong\n"))
    }
}

impl Show {
    fn text(self, common: &Common) -> Result<String, Failure> {
        if self.defaults {
            return Ok(EXAMPLE.to_owned());
        }
        let config = crate::config::load(&Request { resolve: false, ..common.request() })?;
        if self.origin {
            let settings = settings(&config, common);
            return if self.json { Ok(output::json(&settings)?) } else { Ok(table(&settings)) };
        }
        if self.json {
            return Ok(output::json(&config.shown())?);
        }
        let source = config.file().map_or_else(|| "# no file\n".into(), |file| format!("# {}\n", file.display()));
        Ok(source + &toml::to_string(&config.shown()).map_err(perennial_sdk::Error::from)?)
    }
}

/// The settings of the file and the environment, and the one that a flag decides.
fn settings(config: &Config, common: &Common) -> Vec<Setting> {
    let mut settings = config.settings();
    let flag = match common {
        Common { quiet: true, .. } => "--quiet",
        Common { verbose: 1.., .. } => "--verbose",
        _ => return settings,
    };
    for setting in settings.iter_mut().filter(|setting| setting.key == "log.level") {
        setting.value = config.log.level.clone().adjusted(common.verbose, common.quiet).to_string().into();
        setting.origin = SettingOrigin::Flag(flag.into());
    }
    settings
}

fn table(settings: &[Setting]) -> String {
    let row = |setting: &Setting| vec![setting.key.clone(), setting.value.to_string(), setting.origin.to_string()];
    output::table(&settings.iter().map(row).collect::<Vec<_>>())
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
