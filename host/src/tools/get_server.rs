use perennial_sdk::Result;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BuiltIn, Call, Effect, standing, target};
use crate::{
    catalog::Phase,
    library::Shelf,
    mcp::{Reply, Said},
};

pub(super) struct GetServer;

/// How many versions of a saved server are shown.
const MOST_VERSIONS: usize = 10;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arguments {
    /// A running server, a saved one (it is started), or a name that only one server has.
    server_id: String,
}

impl BuiltIn for GetServer {
    const NAME: &'static str = "get-server";
    const TITLE: &'static str = "Look at a server";
    const DESCRIPTION: &'static str = "Shows a server's state and how far its build is, its source, dependencies, \
        permissions and limits, the versions that were saved and what changed in each, how its process ended last, what \
        it wrote to standard error, and what it printed on standard output that is no MCP; what it was granted, what is \
        enforced, and what it was denied. A saved server is started for it.";
    const EFFECT: Effect = Effect::Adds;
    const DOING: &'static str = "show the server";
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let server = target::running(&call, &arguments.server_id).await?;
        let status = server.status();
        let (error, stderr, pid) = match &status.phase {
            Phase::Ready(instance) => (Value::Null, instance.stderr_tail(40), Some(instance.process.pid())),
            Phase::Failed(error) => (json!(error), String::new(), None),
            Phase::Stopped(error) => (json!(error), String::new(), None),
            Phase::Building | Phase::Restarting => (Value::Null, String::new(), None),
        };
        let stray = match (&status.phase, &status.death) {
            (Phase::Ready(instance), _) => json!({ "count": instance.stray_total(), "lines": instance.stray_tail(20) }),
            (_, Some(death)) => json!({ "lines": death.stray }),
            _ => Value::Null,
        };
        let doing = matches!(status.phase, Phase::Building | Phase::Restarting)
            .then(|| server.progress().borrow().as_ref().map(|step| step.message.clone()))
            .flatten();
        let death = status
            .death
            .as_ref()
            .map(|death| json!({ "cause": death.cause, "at": death.at.to_rfc3339(), "stderr": death.stderr }));
        let history = match &status.shelf {
            // whoever asks again and again how far a build is wants no history each time
            Some(shelf) if doing.is_none() => history(&call, shelf).await,
            _ => Value::Null,
        };
        let (withheld, drift) = (standing::withheld(&status), standing::drift(&status));
        let mut facts = json!({
            "serverId": server.id,
            "name": status.name,
            "state": status.phase.word(),
            "doing": doing,
            "error": error,
            "language": status.spec.language,
            "code": status.spec.code,
            "files": status.spec.files,
            "dependencies": status.spec.dependencies,
            "permissions": status.spec.permissions,
            "withheld": withheld,
            "limits": status.spec.limits,
            "tools": status.tools.names().collect::<Vec<_>>(),
            "toolNotes": status.tools.notes(),
            "drift": drift,
            "saved": status.shelf.map(|shelf| json!({ "savedServerId": shelf.id, "version": shelf.version, "name": shelf.name })),
            "history": history,
            "createdAt": server.created_at.to_rfc3339(),
            "pid": pid,
            "lastExit": death,
            "stderr": stderr,
            "strayOutput": stray,
            "failedUpdate": status.failed_update,
            "notes": status.notes,
        });
        if let Phase::Ready(instance) = &status.phase {
            for (name, fact) in instance.rights.facts(instance.process.enforced()) {
                facts[name] = fact;
            }
            facts["denied"] = json!(instance.rights.denied_since(0));
        }
        Ok(Said::new(serde_json::to_string_pretty(&facts)?, facts).into())
    }
}

/// The versions of the saved server, told briefly; a storage that does not answer must not hide the server.
async fn history(call: &Call, shelf: &Shelf) -> Value {
    match call.host.library.history(&call.cx(), &shelf.id, MOST_VERSIONS).await {
        Ok(history) => json!(history),
        Err(error) => json!({ "savedServerId": shelf.id, "error": error.to_string() }),
    }
}
