use std::collections::HashMap;

use indexmap::IndexMap;
use perennial_sdk::{ServerId, ToolDefinition};

use super::{
    Ceiling, Mode, Saved,
    choices::{Choice, Choices},
    names,
};

/// Which tools stand in the list, and where a call of each goes.
#[derive(Debug, Default, PartialEq)]
pub struct Shown {
    tools: IndexMap<String, Route>,
    /// The servers whose tools these are, with what stands for each in names.
    servers: IndexMap<ServerId, String>,
    /// Tools that the list had no room for.
    pub left_out: usize,
}

/// Where a call of a shown tool goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The saved server.
    pub server: ServerId,
    /// What the server calls the tool.
    pub tool: String,
    /// The tool as the list has it.
    pub definition: ToolDefinition,
}

impl Shown {
    /// Chooses among the tools of saved servers. Whole servers are shown or left out, those that were saved last first;
    /// what somebody asked for by name goes before the others.
    pub(super) fn choose(servers: &[Saved], choices: &mut Choices, mode: Mode, ceiling: Ceiling) -> Self {
        let mut candidates: Vec<_> = servers
            .iter()
            .filter_map(|saved| {
                let chosen = choices.servers.get(&saved.id);
                let wanted = match (chosen, mode) {
                    (Some(Choice::Hidden), _) | (_, Mode::None) | (None, Mode::Listed) => return None,
                    (Some(Choice::Tools(tools)), _) => Some(tools.clone()),
                    (Some(Choice::Shown) | None, _) => None,
                };
                Some((chosen.is_some(), saved, wanted))
            })
            .collect();
        candidates.sort_by(|(one_chosen, one, _), (other_chosen, other, _)| {
            let one = (one_chosen, &one.saved_at, &one.id);
            (other_chosen, &other.saved_at, &other.id).cmp(&one)
        });
        let (mut tools, mut bytes, mut left_out) = (HashMap::new(), 0, 0);
        let mut servers = IndexMap::new();
        for (_, saved, wanted) in candidates {
            let slug = choices.slug(&saved.id, &saved.name);
            let mut routes = saved.routes(&slug, wanted.as_deref());
            let differing = choices.differing(&saved.id, &saved.saved_at);
            routes.retain(|(_, route)| !differing.contains(&route.tool));
            let size: usize = routes.iter().map(|(_, route)| size(&route.definition)).sum();
            if tools.len() + routes.len() > ceiling.tools || bytes + size > ceiling.bytes {
                left_out += routes.len();
                continue;
            }
            bytes += size;
            servers.insert(saved.id.clone(), slug);
            for (name, route) in routes {
                tools.entry(name).or_insert(route);
            }
        }
        let mut tools: IndexMap<_, _> = tools.into_iter().collect();
        tools.sort_unstable_keys();
        servers.sort_unstable_keys();
        Self { tools, servers, left_out }
    }

    /// All the tools of one saved server, as it calls them and in its order.
    pub(super) fn only(servers: &[Saved], server: &ServerId) -> Self {
        let tools = servers.iter().filter(|saved| saved.id == *server).flat_map(|saved| &*saved.tools);
        let route = |tool: &ToolDefinition| {
            let route = Route { server: server.clone(), tool: tool.name.clone(), definition: tool.clone() };
            (tool.name.clone(), route)
        };
        let alone = IndexMap::from([(server.clone(), String::new())]);
        Self { tools: tools.map(route).collect(), servers: alone, left_out: 0 }
    }

    /// Where a call goes.
    pub fn route(&self, name: &str) -> Option<&Route> {
        self.tools.get(name)
    }

    /// The definitions, in the order of their names.
    pub fn definitions(&self) -> impl Iterator<Item = &ToolDefinition> {
        self.tools.values().map(|route| &route.definition)
    }

    /// The servers that are shown, with what stands for each in names.
    pub fn servers(&self) -> impl Iterator<Item = (&ServerId, &str)> {
        self.servers.iter().map(|(server, slug)| (server, slug.as_str()))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }

    /// What the tools of a server are called in the list.
    pub fn names_of(&self, server: &ServerId) -> Vec<&str> {
        self.tools.iter().filter(|(_, route)| route.server == *server).map(|(name, _)| name.as_str()).collect()
    }

    /// What a tool of a server is called in the list, if it is there.
    pub fn name_of(&self, server: &ServerId, tool: &str) -> Option<&str> {
        let found = self.tools.iter().find(|(_, route)| route.server == *server && route.tool == tool);
        found.map(|(name, _)| name.as_str())
    }
}

impl Saved {
    fn routes(&self, slug: &str, wanted: Option<&[String]>) -> Vec<(String, Route)> {
        let wanted = |tool: &ToolDefinition| wanted.is_none_or(|wanted| wanted.contains(&tool.name));
        let route = |tool: &ToolDefinition| {
            let name = names::name(slug, &tool.name);
            let definition = ToolDefinition { name: name.clone(), ..tool.clone() };
            (name, Route { server: self.id.clone(), tool: tool.name.clone(), definition })
        };
        self.tools.iter().filter(|tool| wanted(tool)).map(route).collect()
    }
}

fn size(definition: &ToolDefinition) -> usize {
    serde_json::to_string(definition).map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn saved(id: &str, saved_at: &str, tools: usize) -> Saved {
        let tool = |number| serde_json::from_value(json!({ "name": format!("tool_{number}") })).unwrap();
        Saved {
            id: id.parse().unwrap(),
            name: id.to_owned(),
            saved_at: saved_at.to_owned(),
            language: "python".to_owned(),
            tools: (0..tools).map(tool).collect::<Vec<_>>().into(),
        }
    }

    fn names(servers: &[Saved], choices: &mut Choices, mode: Mode, tools: usize) -> Vec<String> {
        let ceiling = Ceiling { tools, bytes: usize::MAX };
        Shown::choose(servers, choices, mode, ceiling).names().map(str::to_owned).collect()
    }

    #[test]
    fn one_alone_is_shown_by_its_own_names() {
        let shown = Shown::only(&[saved("a", "2024", 1), saved("b", "2025", 2)], &"b".parse().unwrap());
        assert_eq!(shown.names().collect::<Vec<_>>(), ["tool_0", "tool_1"]);
        assert_eq!(shown.route("tool_1").unwrap().server.to_string(), "b");
    }

    #[test]
    fn what_was_saved_last_comes_in_first_and_the_list_is_sorted() {
        let servers = [saved("a", "2024", 2), saved("b", "2026", 2), saved("c", "2025", 1)];
        let mut choices = Choices::default();
        assert_eq!(names(&servers, &mut choices, Mode::Auto, 3), ["b__tool_0", "b__tool_1", "c__tool_0"]);
        let shown = Shown::choose(&servers, &mut choices, Mode::Auto, Ceiling { tools: 3, bytes: usize::MAX });
        assert_eq!((shown.left_out, &shown.route("b__tool_1").unwrap().tool), (2, &"tool_1".to_owned()));
        choices.servers.insert("a".parse().unwrap(), Choice::Tools(vec!["tool_1".into()]));
        choices.servers.insert("b".parse().unwrap(), Choice::Hidden);
        assert_eq!(names(&servers, &mut choices, Mode::All, 9), ["a__tool_1", "c__tool_0"]);
        assert_eq!(names(&servers, &mut choices, Mode::Auto, 1), ["a__tool_1"], "who was named goes first");
        assert_eq!(names(&servers, &mut choices, Mode::Listed, 9), ["a__tool_1"]);
        assert!(names(&servers, &mut choices, Mode::None, 9).is_empty());
    }

    #[test]
    fn what_differs_from_the_record_is_not_shown_until_it_is_saved_again() {
        let mut choices = Choices::default();
        choices.differ(&"a".parse().unwrap(), "2024", vec!["tool_1".into()]);
        assert_eq!(names(&[saved("a", "2024", 2)], &mut choices, Mode::All, 9), ["a__tool_0"]);
        assert_eq!(names(&[saved("a", "2025", 2)], &mut choices, Mode::All, 9), ["a__tool_0", "a__tool_1"]);
    }

    #[test]
    fn the_ceiling_is_one_of_bytes_too() {
        let servers = [saved("a", "2024", 2), saved("b", "2025", 40)];
        let shown = Shown::choose(&servers, &mut Choices::default(), Mode::All, Ceiling { tools: 99, bytes: 200 });
        assert_eq!(shown.names().collect::<Vec<_>>(), ["a__tool_0", "a__tool_1"]);
    }
}
