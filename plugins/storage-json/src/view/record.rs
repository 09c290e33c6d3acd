use perennial_sdk::{SavedServer, ServerId, Version};
use serde_json::{Value, value::RawValue};

use super::script;

/// A record as it stands in the file, or as the library holds it, and what can be made of it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) text: Box<RawValue>,
    /// None when it has not the fields of a saved server.
    pub(super) server: Option<SavedServer>,
    /// Has the five fields of the guide and no other.
    pub(super) bare: bool,
}

impl Record {
    /// The object under the key `id`; none when the text is none.
    pub(super) fn read(id: &ServerId, text: &str) -> Option<Self> {
        let text = RawValue::from_string(text.into()).ok().filter(|text| text.get().starts_with('{'))?;
        let fields = serde_json::from_str::<Value>(text.get()).ok();
        let bare = fields.as_ref().and_then(Value::as_object).is_some_and(|fields| {
            fields.keys().all(|key| ["name", "code", "language", "savedAt", "serverId"].contains(&key.as_str()))
        });
        let server = fields.and_then(|mut fields| {
            fields["serverId"] = id.as_str().into();
            serde_json::from_value(fields).ok()
        });
        Some(Self { text, server, bare })
    }

    /// The version that it says it is; 0 when it does not say.
    pub(super) fn version(&self) -> Version {
        self.server.as_ref().map_or(Version::default(), |server| server.version)
    }

    /// Whether two records say the same, whatever number they bear and however they are written.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (&self.server, &other.server) {
            (Some(one), Some(two)) => content(one) == content(two),
            (None, None) => self.text.get() == other.text.get(),
            _ => false,
        }
    }

    /// Whether this is what the old program leaves of `full`: it keeps five fields.
    pub(super) fn is_rest_of(&self, full: &Self) -> bool {
        match (&self.server, &full.server) {
            (Some(one), Some(two)) if self.bare => {
                (&one.name, &one.code, &one.language, &one.saved_at)
                    == (&two.name, &two.code, &two.language, &two.saved_at)
            }
            _ => false,
        }
    }

    /// What the old program made of a server that had more: it keeps what it needs to run, and no permissions, for
    /// nobody saw them being granted to the new code.
    pub(super) fn inherit(&self, before: &Self) -> Option<SavedServer> {
        let (new, old) = (self.server.as_ref()?, before.server.as_ref()?);
        let tools = if new.code == old.code { old.tools.clone() } else { Vec::new() };
        Some(SavedServer {
            aliases: old.aliases.clone(),
            dependencies: old.dependencies.clone(),
            lock: old.lock.clone(),
            files: old.files.clone(),
            limits: old.limits.clone(),
            description: old.description.clone(),
            tools,
            ..new.clone()
        })
    }

    /// The record as the file shows it.
    pub(super) fn render(self, version: Version) -> String {
        match self.server {
            Some(server) => {
                let server = SavedServer { version, sha256: None, ..server };
                script::stringify(&serde_json::to_value(server).expect("a record always serializes"), 1)
            }
            None => Box::<str>::from(self.text).into(),
        }
    }
}

fn content(server: &SavedServer) -> Value {
    let server = SavedServer { version: Version::default(), sha256: None, ..server.clone() };
    script::rounded(serde_json::to_value(server).expect("a record always serializes"))
}
