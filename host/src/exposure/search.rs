use perennial_sdk::{ServerId, ToolDefinition};

use super::Saved;

/// A tool of a saved server that a search found.
#[derive(Debug)]
pub struct Found<'a> {
    /// The saved server.
    pub server: &'a ServerId,
    /// What it is called.
    pub server_name: &'a str,
    /// The tool.
    pub tool: &'a ToolDefinition,
    score: usize,
}

/// The tools whose names, descriptions or servers have the most of the query's words, the best ones first.
pub(super) fn search<'a>(servers: &'a [Saved], query: &str, most: usize) -> Vec<Found<'a>> {
    let words: Vec<_> = words(query).collect();
    let mut found: Vec<_> = servers
        .iter()
        .flat_map(|saved| saved.tools.iter().map(move |tool| (saved, tool)))
        .filter_map(|(saved, tool)| {
            let texts = [
                (tool.name.as_str(), 8),
                (saved.name.as_str(), 4),
                (tool.description.as_deref().unwrap_or_default(), 2),
            ];
            let weigh = |word: &String| texts.iter().map(|(text, weight)| weight * fits(text, word)).max().unwrap_or(0);
            let score = words.iter().map(weigh).sum();
            let all = Found { server: &saved.id, server_name: &saved.name, tool, score };
            (score > 0 || words.is_empty()).then_some(all)
        })
        .collect();
    found.sort_by(|one, other| {
        let place = |found: &Found<'a>| (found.server_name, found.server, found.tool.name.as_str());
        other.score.cmp(&one.score).then_with(|| place(one).cmp(&place(other)))
    });
    found.truncate(most);
    found
}

/// 2 for a word of the text, 1 for a part of one.
fn fits(text: &str, word: &str) -> usize {
    match words(text).any(|one| one == *word) {
        true => 2,
        false => usize::from(text.to_lowercase().contains(word)),
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_best_come_first() {
        let tool = |name: &str, description: &str| {
            serde_json::from_value(json!({ "name": name, "description": description })).unwrap()
        };
        let servers = [Saved {
            id: "server-1".parse().unwrap(),
            name: "Weather".into(),
            saved_at: String::new(),
            language: "python".into(),
            tools: vec![tool("get_forecast", "Tomorrow's weather"), tool("forecasts", "All of them"), tool("echo", "")]
                .into(),
        }];
        let names = |query: &str, most| -> Vec<_> {
            search(&servers, query, most).iter().map(|found| found.tool.name.as_str()).collect()
        };
        assert_eq!(names("FORECAST", 9), ["get_forecast", "forecasts"]);
        assert_eq!(names("weather tomorrow", 9), ["get_forecast", "echo", "forecasts"]);
        assert_eq!(names("", 2).len(), 2);
        assert!(names("sum", 9).is_empty());
    }
}
