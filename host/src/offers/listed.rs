use std::{collections::HashMap, sync::Arc};

use indexmap::IndexMap;
use perennial_sdk::ServerId;
use serde_json::Value;

use super::{Offers, template::fit};
use crate::exposure::name_in_list;

/// What all shown servers offer together, and where a request for each goes.
#[derive(Debug, Default, PartialEq)]
pub struct Listed {
    prompts: IndexMap<String, (Place, Value)>,
    resources: IndexMap<String, (Place, Value)>,
    templates: IndexMap<String, (Place, Value)>,
    /// By what each is called in names.
    servers: IndexMap<String, (ServerId, Arc<Offers>)>,
}

/// Something that a server offers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The saved server.
    pub server: ServerId,
    /// What the server itself calls it.
    pub own: String,
}

/// Why a request goes nowhere.
#[derive(Debug, Clone, PartialEq)]
pub enum NoPlace {
    /// No shown server is known to offer it.
    Unknown,
    /// Several servers may; these URIs name one each.
    Ambiguous(Vec<String>),
}

/// Before the name of a server and a URI of its own: the resource of just this server.
const QUALIFIED: &str = "perennial://resources/";

impl Listed {
    /// Prompts are called as tools are. A resource keeps its URI if no other server has the same; otherwise each of them
    /// stands there under its qualified one.
    pub(super) fn of(servers: impl Iterator<Item = (ServerId, String, Arc<Offers>)>) -> Self {
        let mut listed = Self::default();
        for (server, slug, offers) in servers {
            for prompt in &offers.prompts {
                let Some(own) = text(prompt, "name") else { continue };
                // one server that is all that is shown stands for itself
                let name = if slug.is_empty() { own.to_owned() } else { name_in_list(&slug, own) };
                let place = Place { server: server.clone(), own: own.to_owned() };
                listed.prompts.entry(name.clone()).or_insert((place, with(prompt, "name", name)));
            }
            listed.servers.insert(slug, (server, offers));
        }
        listed.servers.sort_unstable_keys();
        listed.resources = called_apart(&listed.servers, "uri", |offers| &offers.resources);
        listed.templates = called_apart(&listed.servers, "uriTemplate", |offers| &offers.templates);
        listed.prompts.sort_unstable_keys();
        listed.resources.sort_unstable_keys();
        listed.templates.sort_unstable_keys();
        listed
    }

    /// The prompts, in the order of their names.
    pub fn prompts(&self) -> impl Iterator<Item = &Value> {
        self.prompts.values().map(|(_, definition)| definition)
    }

    /// The resources, in the order of their URIs.
    pub fn resources(&self) -> impl Iterator<Item = &Value> {
        self.resources.values().map(|(_, definition)| definition)
    }

    /// The templates, in their order.
    pub fn templates(&self) -> impl Iterator<Item = &Value> {
        self.templates.values().map(|(_, definition)| definition)
    }

    /// Where a prompt is.
    pub fn prompt(&self, name: &str) -> Option<&Place> {
        self.prompts.get(name).map(|(place, _)| place)
    }

    /// Where a template is.
    pub fn template(&self, template: &str) -> Option<Place> {
        self.templates.get(template).map(|(place, _)| place.clone()).or_else(|| self.qualified(template))
    }

    /// Where a resource is: listed, one of a template, or else with the only server that has resources.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn resource(&self, uri: &str) -> Result<Place, NoPlace> {
        if let Some(place) = self.qualified(uri) {
            return Ok(place);
        }
        if let Some((place, _)) = self.resources.get(uri) {
            return Ok(place.clone());
        }
        let having = |has: &dyn Fn(&Offers) -> bool| -> Vec<&str> {
            self.servers.iter().filter(|(_, (_, offers))| has(offers)).map(|(slug, _)| slug.as_str()).collect()
        };
        let fits =
            |offers: &Offers| offers.templates.iter().filter_map(|one| fit(text(one, "uriTemplate")?, uri)).max();
        let best = self.servers.values().filter_map(|(_, offers)| fits(offers)).max();
        let tries: [&dyn Fn(&Offers) -> bool; 3] = [
            &|offers| offers.resources.iter().any(|one| text(one, "uri") == Some(uri)),
            &|offers| best.is_some() && fits(offers) == best,
            &|offers| !(offers.resources.is_empty() && offers.templates.is_empty()),
        ];
        let found = tries.into_iter().map(having).find(|slugs| !slugs.is_empty()).unwrap_or_default();
        match found[..] {
            [] => Err(NoPlace::Unknown),
            [slug] => Ok(Place { server: self.servers[slug].0.clone(), own: uri.to_owned() }),
            _ => Err(NoPlace::Ambiguous(found.into_iter().map(|slug| qualified(slug, uri)).collect())),
        }
    }

    /// What clients call a resource of a server.
    pub fn uri_of(&self, place: &Place) -> Option<String> {
        let listed = self.resources.iter().find(|(_, (one, _))| one == place).map(|(uri, _)| uri.clone());
        listed.or_else(|| match self.resource(&place.own) {
            Ok(found) if found == *place => Some(place.own.clone()),
            _ => {
                let slug = self.servers.iter().find(|(_, (server, _))| *server == place.server)?.0;
                Some(qualified(slug, &place.own))
            }
        })
    }

    fn qualified(&self, uri: &str) -> Option<Place> {
        let (slug, own) = uri.strip_prefix(QUALIFIED)?.split_once('/')?;
        Some(Place { server: self.servers.get(slug)?.0.clone(), own: own.to_owned() })
    }
}

/// The definitions of all servers by URIs that no two of them have.
fn called_apart(
    servers: &IndexMap<String, (ServerId, Arc<Offers>)>,
    key: &str,
    take: impl Fn(&Offers) -> &Vec<Value>,
) -> IndexMap<String, (Place, Value)> {
    let mut owners: HashMap<&str, &ServerId> = HashMap::new();
    let mut shared = std::collections::HashSet::new();
    for (server, offers) in servers.values() {
        for own in take(offers).iter().filter_map(|one| text(one, key)) {
            if owners.insert(own, server).is_some_and(|other| other != server) {
                shared.insert(own);
            }
        }
    }
    let mut listed = IndexMap::new();
    for (slug, (server, offers)) in servers {
        for definition in take(offers) {
            let Some(own) = text(definition, key) else { continue };
            let uri = if shared.contains(own) { qualified(slug, own) } else { own.to_owned() };
            let place = Place { server: server.clone(), own: own.to_owned() };
            listed.entry(uri.clone()).or_insert((place, with(definition, key, uri)));
        }
    }
    listed
}

fn qualified(slug: &str, own: &str) -> String {
    format!("{QUALIFIED}{slug}/{own}")
}

fn text<'a>(definition: &'a Value, key: &str) -> Option<&'a str> {
    definition.get(key).and_then(Value::as_str)
}

fn with(definition: &Value, key: &str, text: String) -> Value {
    let mut definition = definition.clone();
    definition[key] = text.into();
    definition
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(servers: &[(&str, Value)]) -> Listed {
        listed_of(servers.iter().map(|(name, offers)| (*name, *name, offers.clone())))
    }

    fn listed_of<'a>(servers: impl IntoIterator<Item = (&'a str, &'a str, Value)>) -> Listed {
        Listed::of(servers.into_iter().map(|(slug, server, offers)| {
            (server.parse().unwrap(), slug.to_owned(), Arc::new(serde_json::from_value(offers).unwrap()))
        }))
    }

    fn at(server: &str, own: &str) -> Place {
        Place { server: server.parse().unwrap(), own: own.into() }
    }

    #[test]
    fn prompts_are_called_as_tools_are() {
        let prompts = json!({ "prompts": [{ "name": "hi", "title": "Hi", "vendor": 1 }, { "name": "a b" }, {}] });
        let listed = listed(&[("one", prompts.clone()), ("two", prompts)]);
        assert_eq!(listed.prompts().count(), 4);
        assert!(listed.prompts().any(|one| *one == json!({ "name": "two__hi", "title": "Hi", "vendor": 1 })));
        assert_eq!(listed.prompt("one__hi"), Some(&at("one", "hi")));
        assert_eq!(listed.prompt("hi"), None);
        let alone = listed_of([("", "one", json!({ "prompts": [{ "name": "hi" }] }))]);
        assert_eq!(alone.prompt("hi"), Some(&at("one", "hi")));
    }

    #[test]
    fn a_resource_keeps_its_uri_unless_two_servers_have_it() {
        let offers = |more: &str| {
            json!({
                "resources": [{ "uri": "demo://same" }, { "uri": more }],
                "templates": [{ "uriTemplate": "demo://t/{id}" }],
            })
        };
        let listed = listed(&[("one", offers("demo://a")), ("two", offers("demo://b"))]);
        let uris: Vec<_> = listed.resources().map(|one| one["uri"].as_str().unwrap()).collect();
        let both = ["perennial://resources/one/demo://same", "perennial://resources/two/demo://same"];
        assert_eq!(uris, ["demo://a", "demo://b", both[0], both[1]]);
        assert_eq!(listed.resource("demo://b"), Ok(at("two", "demo://b")));
        assert_eq!(listed.resource(both[1]), Ok(at("two", "demo://same")));
        assert_eq!(listed.resource("perennial://resources/one/demo://b"), Ok(at("one", "demo://b")));
        assert_eq!(listed.resource("demo://same"), Err(NoPlace::Ambiguous(both.map(str::to_owned).to_vec())));
        assert!(matches!(listed.resource("demo://t/1"), Err(NoPlace::Ambiguous(_))));
        assert_eq!(listed.template("perennial://resources/two/demo://t/{id}"), Some(at("two", "demo://t/{id}")));
        assert_eq!(listed.uri_of(&at("one", "demo://a")), Some("demo://a".into()));
        assert_eq!(listed.uri_of(&at("one", "demo://same")).as_deref(), Some(both[0]));
        assert_eq!(listed.uri_of(&at("two", "demo://t/1")).unwrap(), "perennial://resources/two/demo://t/1");
    }

    #[test]
    fn what_is_not_listed_goes_where_it_must_belong() {
        let none = json!({});
        let files = json!({ "templates": [{ "uriTemplate": "file:///{+path}" }] });
        let notes = json!({ "templates": [{ "uriTemplate": "file:///notes/{id}" }] });
        let only = listed(&[("none", none.clone()), ("files", files.clone())]);
        assert_eq!(only.resource("other://x"), Ok(at("files", "other://x")), "the only one that has any");
        let both = listed(&[("none", none.clone()), ("files", files), ("notes", notes)]);
        assert_eq!(both.resource("file:///notes/1"), Ok(at("notes", "file:///notes/1")), "the closer template");
        assert_eq!(both.resource("file:///a"), Ok(at("files", "file:///a")));
        assert!(matches!(both.resource("other://x"), Err(NoPlace::Ambiguous(_))));
        assert_eq!(listed(&[("none", none)]).resource("other://x"), Err(NoPlace::Unknown));
    }
}
