use std::collections::HashSet;

use perennial_sdk::{Error, Result, Summary, Version};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BuiltIn, Call, Effect};
use crate::{
    library::shortened,
    mcp::{Reply, Said},
    trust::{Withheld, in_words},
};

pub(super) struct ListSavedServers;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// Only servers whose name, id, language, description or tools contain every one of these words.
    #[serde(default)]
    query: Option<String>,
    /// How many to show: 1 to 200, 50 when left out.
    #[serde(default)]
    limit: Option<usize>,
    /// The `cursor` of the answer before, for those that were saved earlier.
    #[serde(default)]
    cursor: Option<String>,
}

/// The part of a library that one answer shows, in the order of saving.
struct Part {
    servers: Vec<Summary>,
    total: usize,
    in_library: usize,
    earlier: usize,
    cursor: Option<String>,
    searched: bool,
}

/// That part in words and as facts.
struct Shown {
    text: String,
    facts: Value,
}

/// How many servers are shown when nobody says.
const USUAL: usize = 50;
/// How many servers are shown at most.
const MOST: usize = 200;
/// How many tools of a server are named.
const MOST_TOOLS: usize = 20;

impl BuiltIn for ListSavedServers {
    const NAME: &'static str = "list-saved-servers";
    const TITLE: &'static str = "List the saved servers";
    const DESCRIPTION: &'static str = "Lists the servers in the library: name, id, language and when each was saved. A large \
        library comes in pages, those saved last first; `query` searches it.";
    const EFFECT: Effect = Effect::Reads;
    const DOING: &'static str = "list the saved servers";
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let limit = arguments.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(Error::invalid(format!("`limit` is {limit}")).hint(format!("it may be 1 to {MOST}")));
        }
        let (cx, library) = (call.cx(), &call.host.library);
        let part = part(library.list(&cx).await?, &Arguments { limit: Some(limit), ..arguments });
        let pending = library.pending(&cx, &part.servers).await;
        let Shown { text, facts } = show(&part, &pending);
        Ok(Said::new(text, facts).into())
    }
}

/// A page is in the order of saving, as the guide's listing is, and the first page has what was saved last.
fn part(mut saved: Vec<Summary>, arguments: &Arguments) -> Part {
    let in_library = saved.len();
    if let Some(query) = &arguments.query {
        let words: Vec<_> = query.split_whitespace().map(str::to_lowercase).collect();
        saved.retain(|summary| fits(summary, &words));
    }
    let total = saved.len();
    saved.sort_by_cached_key(position);
    if let Some(cursor) = &arguments.cursor {
        saved.retain(|summary| position(summary) < *cursor);
    }
    let earlier = saved.len().saturating_sub(arguments.limit.unwrap_or(USUAL));
    let cursor = saved.get(earlier).filter(|_| earlier > 0).map(position);
    let servers = saved.split_off(earlier);
    Part { servers, total, in_library, earlier, cursor, searched: arguments.query.is_some() }
}

/// The servers in `pending` wait for an approval.
fn show(part: &Part, pending: &HashSet<String>) -> Shown {
    let Part { servers, total, in_library, earlier, cursor, searched } = part;
    let mut text = String::from(if servers.is_empty() { "📂 No saved servers found" } else { "📂 Saved servers:" });
    for summary in servers {
        text.push('\n');
        text.push_str(&line(summary, pending.contains(&summary.server_id)));
    }
    if servers.is_empty() && *in_library > 0 {
        text.push_str(&format!("\n   none of {in_library} fits"));
    }
    if let Some(cursor) = cursor {
        let found = if *searched { " that fit" } else { "" };
        let shown = servers.len();
        text.push_str(&format!(
            "\n\n{shown} of {total}{found}; {earlier} were saved earlier: `cursor` \"{cursor}\" shows them, `query` searches"
        ));
    }
    let servers: Vec<_> = servers.iter().map(|one| facts(one, pending.contains(&one.server_id))).collect();
    Shown { text, facts: json!({ "servers": servers, "total": total, "cursor": cursor }) }
}

/// The place in the order of saving, as text. Those that cannot be read have no time and must not hide on the last page.
fn position(summary: &Summary) -> String {
    let first = if summary.damage.is_some() { "~" } else { "" };
    format!("{first}{}~{}", shortened(&summary.saved_at), summary.server_id)
}

fn fits(summary: &Summary, words: &[String]) -> bool {
    let tools = summary.tools.iter().map(|tool| tool.name.as_str());
    let ids = summary.aliases.iter().map(|alias| alias.as_str());
    let texts = [&summary.name, &summary.language, &summary.server_id].map(String::as_str);
    let texts: Vec<String> = texts
        .into_iter()
        .chain(summary.description.as_deref())
        .chain(ids)
        .chain(tools)
        .map(str::to_lowercase)
        .collect();
    words.iter().all(|word| texts.iter().any(|text| text.contains(word)))
}

fn line(summary: &Summary, pending: bool) -> String {
    let Summary { name, server_id, language, saved_at, .. } = summary;
    let [name, language, saved_at] = [name, language, saved_at].map(|text| shortened(text));
    let mut line = format!("📄 {name} (ID: {server_id}, Language: {language}, Saved: {saved_at})");
    if summary.version > Version(1) {
        line.push_str(&format!("\n   version {}", summary.version));
    }
    if pending {
        let (asked, remedy) = (in_words(&summary.permissions), Withheld::remedy(server_id));
        line.push_str(&format!("\n   approval pending: {asked}: `{remedy}`"));
    }
    if let Some(damage) = &summary.damage {
        line.push_str(&format!("\n   cannot be loaded: {}", shortened(damage)));
    }
    line
}

fn facts(one: &Summary, pending: bool) -> Value {
    json!({
        "savedServerId": one.server_id,
        "name": shortened(&one.name),
        "language": shortened(&one.language),
        "savedAt": shortened(&one.saved_at),
        "savedBy": one.saved_by,
        "version": one.version,
        "tools": one.tools.iter().take(MOST_TOOLS).map(|tool| shortened(&tool.name)).collect::<Vec<_>>(),
        "approvalPending": pending,
        "damage": one.damage.as_deref().map(shortened),
    })
}

#[cfg(test)]
mod tests {
    use perennial_sdk::Permissions;

    use super::*;

    fn show(saved: Vec<Summary>, arguments: &Arguments) -> Shown {
        super::show(&part(saved, arguments), &HashSet::new())
    }

    fn library(size: usize) -> Vec<Summary> {
        let summary = |number: usize| Summary {
            name: format!("Server number {number}"),
            language: if number.is_multiple_of(3) { "rust" } else { "python" }.into(),
            server_id: format!("server-{:012x}", number * 7919 % size),
            // several in the same moment
            saved_at: format!("2025-01-01T00:{:02}:{:02}.000Z", number / 60 % 60, number % 60 / 4 * 4),
            version: Version(1 + (number % 2) as u64),
            ..Summary::default()
        };
        (0..size).map(summary).collect()
    }

    #[test]
    fn pages_show_every_server_once_from_the_last_saved_on() {
        let all = library(1237);
        let mut arguments = Arguments { limit: Some(100), ..Arguments::default() };
        let (mut seen, mut last) = (Vec::new(), None::<String>);
        loop {
            let Shown { text, facts } = show(all.clone(), &arguments);
            let servers = facts["servers"].as_array().unwrap().clone();
            assert_eq!(text.matches("📄").count(), servers.len());
            let times: Vec<_> = servers.iter().map(|one| one["savedAt"].as_str().unwrap().to_owned()).collect();
            assert!(times.is_sorted() && last.is_none_or(|last| *times.last().unwrap() <= last));
            last = times.first().cloned();
            seen.extend(servers.iter().map(|one| one["savedServerId"].as_str().unwrap().to_owned()));
            assert_eq!(facts["total"], 1237);
            match facts["cursor"].as_str() {
                Some(cursor) => arguments.cursor = Some(cursor.to_owned()),
                None => break,
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1237);
    }

    #[test]
    fn a_large_library_is_shown_in_part_and_can_be_searched() {
        let all = library(10_000);
        let shown = show(all.clone(), &Arguments { limit: Some(3), ..Arguments::default() });
        insta::assert_snapshot!(shown.text);
        assert!(show(all.clone(), &Arguments::default()).text.len() < 8_000);
        let query = Some("RUST number 9998".into());
        let none = show(all.clone(), &Arguments { query: query.clone(), ..Arguments::default() });
        assert_eq!(none.text, "📂 No saved servers found\n   none of 10000 fits");
        let query = query.map(|query| query.replace('8', "9"));
        let one = show(all, &Arguments { query, ..Arguments::default() });
        assert_eq!(one.text.lines().count(), 3, "{}", one.text);
    }

    #[test]
    fn what_a_hand_wrote_stays_one_line() {
        let name = "a\n📄 b (ID: server-x, Language: python, Saved: now)";
        let odd = Summary { name: name.into(), version: Version(1), ..Summary::default() };
        let long = Summary { name: "n".repeat(5_000_000), version: Version(1), ..Summary::default() };
        let damaged = Summary { damage: Some("not\nJSON".into()), version: Version(1), ..Summary::default() };
        let text = show(vec![damaged, odd, long], &Arguments::default()).text;
        assert_eq!((text.lines().count(), text.len() < 2_000), (5, true), "{text}");
        assert!(text.ends_with("cannot be loaded: not\u{fffd}JSON"));
        assert_eq!(show(Vec::new(), &Arguments::default()).text, "📂 No saved servers found");
    }

    #[test]
    fn what_waits_for_an_approval_is_told_below_its_line() {
        let permissions = Permissions { env: vec!["TOKEN".into()], ..Permissions::default() };
        let mut all = library(2);
        all[0].permissions = permissions;
        let pending = HashSet::from([all[0].server_id.clone()]);
        let Shown { text, facts } = super::show(&part(all, &Arguments::default()), &pending);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("📄 Server number 0 (ID: server-000000000000, Language: rust, Saved: "), "{text}");
        assert_eq!(lines[2], "   approval pending: env TOKEN: `perennial approve server-000000000000`");
        assert_eq!(text.matches("approval").count(), 1);
        let waits: Vec<_> = facts["servers"].as_array().unwrap().iter().map(|one| &one["approvalPending"]).collect();
        assert_eq!(waits, [true, false]);
    }
}
