use std::io::Write;

use clap::{Args, Subcommand};
use perennial_sdk::Error;
use serde_json::json;

use super::{Common, output};
use crate::{
    config::Directories,
    exit::{Exit, Failure},
    tokens::{Kept, TokenFile, TokenName},
};

/// Who may use this host over HTTP
///
/// `perennial serve --http` answers requests that bring a token: `Authorization: Bearer TOKEN`. A token has a name, which
/// stands in the audit log and in the versions that are saved with it. What is made or revoked here counts at once.
#[derive(Subcommand)]
#[command(after_help = "Examples:\n  perennial token create ada-laptop\n  perennial token revoke ada-laptop")]
pub(super) enum Command {
    /// Make a token and print it, this once: only its hash is kept
    Create(Name),
    /// List the names; tokens in the configuration's `[http] tokens` are not among them
    #[command(visible_alias = "ls")]
    List(List),
    /// Make a token worthless
    #[command(visible_alias = "rm")]
    Revoke(Name),
}

#[derive(Args)]
pub(super) struct Name {
    /// Its name: letters, digits, `.`, `_` and `-`
    name: String,
}

#[derive(Args)]
pub(super) struct List {
    /// As a JSON array, one object each
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (_, request) = common.load()?;
        let tokens = TokenFile::in_folder(&Directories::find(&request.variables)?.state);
        match self {
            Self::Create(Name { name }) => {
                let token = tokens.create(&parsed(&name)?)?;
                // alone, for scripts; what is to be known of it goes to people
                output::print(&format!("{token}\n"))?;
                let _ = writeln!(
                    std::io::stderr(),
                    "keep it: it is not shown again. Clients send it as `Authorization: Bearer …`"
                );
                Ok(Exit::Done)
            }
            Self::List(List { json }) => {
                output::print(&render(&tokens.all()?, json)?)?;
                Ok(Exit::Done)
            }
            Self::Revoke(Name { name }) => {
                let name = parsed(&name)?;
                match tokens.revoke(&name)? {
                    true => {
                        output::print(&format!("revoked `{name}`\n"))?;
                        Ok(Exit::Done)
                    }
                    false => Err(Error::not_found(format!("there is no token `{name}`"))
                        .hint("`perennial token list` shows the names; one of `[http] tokens` is removed from the file")
                        .into()),
                }
            }
        }
    }
}

fn parsed(name: &str) -> Result<TokenName, Failure> {
    name.parse().map_err(Failure::Usage)
}

fn render(tokens: &[Kept], json: bool) -> Result<String, Error> {
    if json {
        let facts = |kept: &Kept| json!({ "name": kept.name, "created": kept.created });
        return output::json(&tokens.iter().map(facts).collect::<Vec<_>>());
    }
    if tokens.is_empty() {
        return Ok("no tokens\n".into());
    }
    let rows = tokens.iter().map(|kept| vec![kept.name.to_string(), kept.created.clone()]);
    let headings = vec!["NAME".to_owned(), "CREATED".to_owned()];
    Ok(output::table(&std::iter::once(headings).chain(rows).collect::<Vec<_>>()))
}
