use std::{
    io::{IsTerminal, Read, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use perennial_sdk::Error;
use serde_json::json;

use super::{Common, output};
use crate::{
    config::{Config, Directories},
    exit::{Exit, Failure},
    secrets::{Secret, Secrets},
};

/// Values that servers are given by name, and nobody is shown
///
/// A server gets the value of a secret as an environment variable when it asks for the name and `[policy] env` lists it.
/// They are kept in `secrets.json` in the data folder, which only this account can read.
#[derive(Subcommand)]
#[command(after_help = "Examples:\n  perennial secret set API_TOKEN < token.txt\n  \
                        docker exec -i perennial perennial secret set API_TOKEN < token.txt")]
pub(super) enum Command {
    /// Keep a value, from standard input unless a file is named; a terminal does not show it
    Set(Set),
    /// List the names
    #[command(visible_alias = "ls")]
    List(List),
    /// Forget a value
    Rm(Rm),
}

#[derive(Args)]
pub(super) struct Set {
    /// Name of the variable that servers get it as
    name: String,
    /// Read the value from this file
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct List {
    /// As a JSON array, one object each
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Rm {
    /// Its name
    name: String,
}

impl Command {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, request) = common.load()?;
        let secrets = Secrets::in_folder(&Directories::find(&request.variables)?.data);
        match self {
            Self::Set(set) => set.run(&config, &secrets),
            Self::List(List { json }) => {
                let names: Vec<_> = secrets.all()?.into_keys().collect();
                output::print(&render(&config, &names, json)?)?;
                Ok(Exit::Done)
            }
            Self::Rm(Rm { name }) => match secrets.remove(&name)? {
                true => {
                    output::print(&output::plain(&format!(
                        "removed `{name}`; servers that run keep it until they end\n"
                    )))?;
                    Ok(Exit::Done)
                }
                false => Err(Error::not_found(format!("there is no secret `{name}`"))
                    .hint("`perennial secret list` shows the names")
                    .into()),
            },
        }
    }
}

impl Set {
    fn run(self, config: &Config, secrets: &Secrets) -> Result<Exit, Failure> {
        let Self { name, from_file } = self;
        if !crate::bounds::is_variable(&name) {
            // somebody may have typed NAME=VALUE, which must not be repeated
            return Err(Failure::Usage(Error::invalid("that is no name of a variable").hint(
                "give the name alone, such as `API_TOKEN`, and the value on standard input: others can see a command's \
                 arguments",
            )));
        }
        let text = match &from_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| Error::from(error).context(format!("failed to read `{}`", file.display())))?,
            None => typed(&name)?,
        };
        let secret = Secret::new(&text).map_err(|error| error.context(format!("`{name}` is not set")))?;
        let is_short = secret.expose().len() < Secret::SHORTEST_KNOWN;
        let replaced = secrets.set(&name, secret)?;
        let mut said =
            format!("{} `{name}` in `{}`\n", if replaced { "replaced" } else { "set" }, secrets.file().display());
        if replaced {
            said += "servers that run keep the former value until they start again\n";
        }
        if is_short {
            said += &format!(
                "it is shorter than {} bytes: it cannot be told from other text, and is not kept out of what servers say\n",
                Secret::SHORTEST_KNOWN
            );
        }
        if !is_listed(config, &name) {
            let mut names: Vec<_> = config.policy.env.iter().map(|name| name.as_str()).collect();
            names.push(&name);
            let place =
                config.file().map_or_else(|| "the configuration".into(), |file| format!("`{}`", file.display()));
            said += &format!("no server may have it yet: to allow it, write in {place}\n[policy]\nenv = {names:?}\n");
        }
        output::print(&output::plain(&said))?;
        Ok(Exit::Done)
    }
}

fn is_listed(config: &Config, name: &str) -> bool {
    config.policy.env.iter().any(|listed| listed.as_str() == name)
}

fn render(config: &Config, names: &[String], json: bool) -> Result<String, Error> {
    if json {
        return output::json(&names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>());
    }
    if names.is_empty() {
        return Ok("no secrets\n".into());
    }
    let row = |name: &String| vec![name.clone(), if is_listed(config, name) { "yes" } else { "no" }.to_owned()];
    let headings = vec!["NAME".to_owned(), "SERVERS MAY HAVE IT".to_owned()];
    Ok(output::table(&std::iter::once(headings).chain(names.iter().map(row)).collect::<Vec<_>>()))
}

/// What is on standard input: all of it, or the line that somebody types.
fn typed(name: &str) -> Result<String, Error> {
    let stdin = std::io::stdin();
    let mut text = String::new();
    if !stdin.is_terminal() {
        let most = Secret::LONGEST as u64 + 16;
        stdin
            .lock()
            .take(most)
            .read_to_string(&mut text)
            .map_err(|error| Error::from(error).context("failed to read the value"))?;
        return Ok(text);
    }
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "value of {name}: ").and_then(|()| stderr.flush());
    let silence = Silence::begin();
    let read = stdin.read_line(&mut text);
    drop(silence);
    let _ = writeln!(stderr);
    read?;
    Ok(text)
}

/// A terminal that does not show what is typed, until it is dropped.
struct Silence {
    before: Option<rustix::termios::Termios>,
}

impl Silence {
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let stdin = rustix::stdio::stdin();
        let Ok(before) = tcgetattr(stdin) else { return Self { before: None } };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let silenced = tcsetattr(stdin, OptionalActions::Flush, &silent).is_ok();
        Self { before: silenced.then_some(before) }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), rustix::termios::OptionalActions::Now, before);
        }
    }
}
