use perennial_sdk::{Cx, Error, ServerId, Version};
use serde_json::json;

use super::{Library, Shelf, changes::shortened};

impl Library {
    /// A save that came second, told with both versions: the one that it was made from and the one that is there now.
    /// `data` holds the facts: `current`, `base`, and `name`, `savedAt` and `savedBy` of the current one.
    pub(super) async fn contested(&self, cx: &Cx, error: Error, id: &ServerId, base: Option<&Shelf>) -> Error {
        let Some(current) = error.data.get("current").and_then(serde_json::Value::as_u64).map(Version) else {
            return error;
        };
        let theirs = self.get(cx, id, Some(current)).await.ok();
        let base = base.map(|shelf| shelf.version);
        let mut message = format!("somebody else saved `{id}` meanwhile: version {current} is the newest now");
        if let Some(theirs) = &theirs {
            message += &format!(" (\"{}\", saved {}", shortened(&theirs.name), shortened(&theirs.saved_at));
            message += &theirs.saved_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            message.push(')');
        }
        if let Some(base) = base {
            message += &format!(", and yours was made from version {base}");
        }
        let mut data = json!({ "savedServerId": id, "current": current, "base": base });
        if let Some(theirs) = theirs {
            data["name"] = shortened(&theirs.name).into();
            data["savedAt"] = shortened(&theirs.saved_at).into();
            data["savedBy"] = json!(theirs.saved_by);
        }
        Error { data, ..Error::conflict(message, None) }
    }
}
