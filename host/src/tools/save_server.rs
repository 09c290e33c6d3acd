use perennial_sdk::{Cx, Error, ErrorCode, Result, Version};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{BuiltIn, Call, Effect, target};
use crate::{
    audit::Event,
    blocking::blocking,
    bounds,
    catalog::{Server, Status},
    library::{Manuscript, Saved, Shelf},
    mcp::{Reply, Said},
    secrets::{self, Redactor, Secrets},
    trust::in_words,
};

pub(super) struct SaveServer;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arguments {
    /// The running server.
    server_id: String,
    /// The name under which it is kept.
    name: String,
}

impl BuiltIn for SaveServer {
    const NAME: &'static str = "save-server";
    const TITLE: &'static str = "Save a server";
    const DESCRIPTION: &'static str = "Keeps a server in the library under a name, so that it is there in every later \
        session. Saving it again adds a version; the earlier ones stay.";
    const EFFECT: Effect = Effect::Adds;
    const DOING: &'static str = "save the server";
    const AUDITED: Option<Event> = Some(Event::Save);
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let name = bounds::name(&arguments.name)?;
        let server = target::running(&call, &arguments.server_id).await?;
        // a save that has begun must end, and be remembered, whether its caller still listens or not
        let saving = tokio::spawn(async move { save(&call, &server, name).await });
        saving.await.map_err(|error| Error::internal("the save ended early").caused_by(&error))?
    }
}

async fn save(call: &Call, server: &Server, name: String) -> Result<Reply> {
    let _saving = server.saving.lock().await;
    let (status, library) = (server.status(), &call.host.library);
    let manuscript = Manuscript {
        id: &server.id,
        spec: &status.spec,
        tools: status.tools.definitions(),
        shelf: status.shelf.as_ref(),
        withheld: status.provenance.withheld.as_ref().map(|withheld| &withheld.permissions),
        client: &call.client,
    };
    let (file, written, called) = (call.host.secrets.clone(), status.clone(), name.clone());
    blocking(move || holds_no_secret(&file, &written, &called)).await?;
    let saved = library.save(&Cx::detached(), &manuscript, &name).await;
    let Saved { shelf, revived, unapproved, record } = saved.map_err(|error| contested(error, server, &name))?;
    let mut text =
        format!("✅ Server {} saved as \"{name}\"\nversion {}, saved server {}", server.id, shelf.version, shelf.id);
    if revived {
        text.push_str("\nit had been deleted meanwhile, and is there again now");
    }
    if let Some(withheld) = &status.provenance.withheld {
        text.push_str(&format!(
            "\nit goes on to ask for what is withheld from it ({}), which nobody has approved: `perennial approve {}`",
            in_words(&withheld.permissions),
            shelf.id
        ));
    }
    if let Some(error) = &unapproved {
        text.push_str(&format!(
            "\nits permissions could not be noted as approved ({error}): `perennial approve {}` does it",
            shelf.id
        ));
    }
    let facts = json!({
        "serverId": server.id,
        "savedServerId": shelf.id,
        "name": name,
        "version": shelf.version,
        "revived": revived,
        "approvalPending": status.provenance.withheld.is_some() || unapproved.is_some(),
        "location": library.location(),
    });
    server.record(status.tools, &shelf.id);
    server.shelve(shelf);
    server.tell_offers().await;
    call.host.exposure.saved(&record).await;
    Ok(Said::new(text, facts).into())
}

/// Sees to it that nothing that is kept holds the value of a secret: records are read by others, and copied.
fn holds_no_secret(secrets: &Secrets, status: &Status, name: &str) -> Result<()> {
    // a file that cannot be read has told nobody its values; those that servers were given are known all the same
    let redactors = [secrets.all().ok().and_then(Redactor::of), secrets::known()];
    let spec = &status.spec;
    let tools = serde_json::to_string(status.tools.definitions())?;
    let packages = serde_json::to_string(&spec.dependencies)?;
    let files = spec.files.iter().map(|(path, text)| (format!("the file `{path}`"), text.as_str()));
    let parts = [("the code", &*spec.code), ("the name", name), ("the tools", &tools), ("the dependencies", &packages)];
    for (what, text) in parts.into_iter().map(|(what, text)| (what.to_owned(), text)).chain(files) {
        if let Some(secret) = redactors.iter().flatten().find_map(|redactor| redactor.first_in(text)) {
            let message =
                format!("{what} of the server holds the value of the secret `{secret}`, which is never saved");
            return Err(Error::new(ErrorCode::Denied, message).hint(format!(
                "read it from the environment variable `{secret}` instead, which `permissions` with {{\"env\": \
                 [\"{secret}\"]}} asks for; `update-server` changes the code, then save again"
            )));
        }
    }
    Ok(())
}

/// Somebody else saved first. Having been told, the caller may put its own version on top by saving again, or part from
/// the other by another name.
fn contested(error: Error, server: &Server, name: &str) -> Error {
    let current = error.data.get("current").and_then(serde_json::Value::as_u64).map(Version);
    match (error.code == ErrorCode::Conflict, current, server.status().shelf) {
        (true, Some(version), Some(shelf)) => {
            let hint = format!(
                "nothing is lost; there are three ways on: `load-saved-server` with {{\"savedServerId\": \"{}\", \"version\": \
                 {version}}} brings the other one up beside this one; `save-server` again as \"{}\" puts this one on top of \
                 it as the next version; `save-server` under another name keeps this one as a saved server of its own",
                shelf.id, name
            );
            server.shelve(Shelf { version, contested: Some(name.to_owned()), ..shelf });
            error.hint(hint)
        }
        _ => error,
    }
}
