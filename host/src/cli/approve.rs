use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use perennial_sdk::{Error, Version};
use serde_json::json;

use super::{Common, output};
use crate::{
    app::{Approvable, Review, Revoked},
    exit::{Exit, Failure},
    trust::{How, in_words},
};

/// Let a saved server use what it asks for
///
/// A version that came from outside - the older system, a hand edit, an import, a copy, another installation - runs under
/// default permissions until it is approved here. An approval holds for exactly that content with exactly those
/// permissions, on this installation. What this installation saves is approved by that.
#[derive(Args)]
#[command(after_help = "Examples:\n  perennial approve --list\n  perennial approve \"My server\"\n  \
                        perennial approve server-abc123 --version 2 --yes\n  perennial approve server-abc123 --revoke")]
pub(super) struct Approve {
    /// Name, when only one server has it, or id
    #[arg(value_name = "NAME|ID", required_unless_present = "list")]
    server: Option<String>,
    /// A certain version [default: the newest]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
    /// Show every saved server that asks for something, and whether it is approved
    #[arg(long, conflicts_with_all = ["server", "version", "revoke", "yes"])]
    list: bool,
    /// Take back every approval of the server, or that of the version
    #[arg(long)]
    revoke: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// As a JSON object, or an array with --list
    #[arg(long)]
    json: bool,
}

impl Approve {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let version = self.version.map(Version);
        let Some(server) = &self.server else {
            let rows = crate::app::approvable(config, directories)
                .map_err(|failure| failure.context("failed to list approvals"))?;
            output::print(&if self.json { output::json(&rows)? } else { render_list(&rows) })?;
            return Ok(Exit::Done);
        };
        if self.revoke {
            let revoked = crate::app::revoke(config, directories, server, version)
                .map_err(|failure| failure.context(format!("failed to revoke approvals of `{server}`")))?;
            output::print(&if self.json { output::json(&revoked)? } else { render_revoked(&revoked) })?;
            return Ok(Exit::Done);
        }
        let doing = format!("failed to approve `{server}`");
        let review = crate::app::review(config, directories.clone(), server, version)
            .map_err(|failure| failure.context(&doing))?;
        if review.is_open() && !self.yes {
            show(&render(&review))?;
            match agreed()? {
                Some(true) => {}
                Some(false) => {
                    show("not approved\n")?;
                    return Ok(Exit::Failed);
                }
                None => {
                    let error = Error::invalid("nobody can be asked: standard input is no terminal");
                    return Err(Failure::Usage(error.hint("`--yes` approves what is shown above")));
                }
            }
        }
        let approved = review.is_open()
            && crate::app::approve(&directories, &review).map_err(|failure| failure.context(&doing))?;
        output::print(&match self.json {
            true => {
                let mut fields = serde_json::to_value(&review).map_err(Error::from)?;
                fields["newlyApproved"] = json!(approved);
                output::json(&fields)?
            }
            false => render_outcome(&review, approved),
        })?;
        Ok(Exit::Done)
    }
}

/// What a person needs to decide.
pub(super) fn render(review: &Review) -> String {
    let facts = [
        ("name", review.name.clone()),
        ("id", review.server_id.to_string()),
        ("version", review.version.to_string()),
        ("language", review.language.clone()),
        ("saved", review.saved_at.clone()),
        ("saved by", review.saved_by.as_ref().map_or_else(|| "nobody knows".into(), |by| format!("{by}, as it says"))),
        ("asks for", in_words(&review.permissions)),
        ("source", format!("{} lines: {}", review.lines, review.show())),
        (
            "changes",
            match (&review.changes, review.compared_with) {
                (Some(changes), Some(version)) => format!("since version {version}, which was approved: {changes}"),
                _ => "no version of it was approved before".into(),
            },
        ),
    ];
    let mut text = output::table(&facts.map(|(name, value)| vec![name.to_owned(), value]));
    if let Some(diff) = review.diff.as_ref().filter(|diff| !diff.is_empty()) {
        text += &format!("\n{}", output::plain(diff));
    }
    text
}

/// What happened, for people.
pub(super) fn render_outcome(review: &Review, approved: bool) -> String {
    let what = format!("version {} of \"{}\" ({})", review.version, review.name.replace('\n', " "), review.server_id);
    output::plain(&if approved {
        format!(
            "approved {what}: {}\nload it again: an instance that runs already keeps what it was started with\n\
             to take it back: {}\n",
            in_words(&review.permissions),
            review.way_back()
        )
    } else if review.permissions.is_default() {
        format!("{what} asks for nothing that would have to be approved\n")
    } else {
        let how = match review.approved {
            Some(How::Saved) => "it was saved here",
            Some(How::Approved) => "by `perennial approve`",
            Some(How::Asked) => "in a chat client",
            None => "just now, by somebody else",
        };
        format!("{what} is approved already, {how}: {}\n", in_words(&review.permissions))
    })
}

fn render_list(rows: &[Approvable]) -> String {
    if rows.is_empty() {
        return "no saved server asks for anything\n".into();
    }
    let headings = ["APPROVAL", "NAME", "ID", "VERSION", "ASKS FOR"].map(str::to_owned).to_vec();
    let row = |row: &Approvable| {
        let state = if row.pending { "pending" } else { "approved" };
        let name = row.name.chars().take(48).collect();
        vec![state.into(), name, row.server_id.clone(), row.version.to_string(), in_words(&row.permissions)]
    };
    output::table(&std::iter::once(headings).chain(rows.iter().map(row)).collect::<Vec<_>>())
}

fn render_revoked(revoked: &Revoked) -> String {
    match revoked.revoked {
        0 => format!("nothing of {} was approved\n", revoked.server_id),
        count => format!(
            "took back {} of {}: it runs under default permissions when it is loaded again\n",
            output::count(count as u64, "approval"),
            revoked.server_id
        ),
    }
}

/// Whether the person at the terminal agrees; none when there is no terminal.
fn agreed() -> Result<Option<bool>, Error> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(None);
    }
    show("\napprove it? [y/N] ")?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
}

/// Standard output is for the outcome.
fn show(text: &str) -> Result<(), Error> {
    Ok(std::io::stderr().lock().write_all(text.as_bytes())?)
}
