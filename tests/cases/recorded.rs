//! The methods as the first SDK wrote them: what was recorded then is still read, and still means the same.
//!
//! `tests/fixtures/compat/methods` holds parameters and result of each, with every member set, and again with as few as may
//! be. A new member that its readers can do without changes nothing here.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use perennial_sdk::{
    Capabilities, Checked, ClientIdentity, Collected, CollectedServer, CommandLine, Dependencies, Description,
    Environment, Error, ErrorCode, Expected, File, Finding, FindingKind, Hint, Home, HostIdentity, Language, Limits,
    Listing, Network, Page, Permissions, Plan, Program, ProgramHome, Progress, Resolve, Retention, SavedBy,
    SavedServer, ServerSpec, Stage, Step, Summary, Template, Tool, ToolDefinition, Toolchain, Version,
    method::{self, Initialised, StorageDescription, Tools},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::support::tests_dir;

/// Reads a value as the type that this program has for it, and writes it again.
type Through = fn(&Value) -> Result<Value, String>;

/// A method, its types, and values in which every member is set.
struct Method {
    file: &'static str,
    params: (Through, Value),
    result: (Through, Value),
}

#[test]
fn what_the_first_sdk_wrote_means_the_same() {
    for Method { file, params, result } in methods() {
        let recorded = recorded(file);
        for (part, (through, full)) in [("params", params), ("result", result)] {
            let (then, least) = (&recorded[part], &recorded["least"][part]);
            let read = through(then).unwrap_or_else(|error| panic!("{part} of {file}: {error}"));
            assert_eq!(missing(then, &read), None, "{part} of {file} lose a member, or change it, when they are read");
            assert_eq!(missing(then, &full), None, "{part} of {file} are written otherwise than they were");
            through(least).unwrap_or_else(|error| panic!("fewest {part} of {file}: {error}"));
        }
    }
}

/// Where a member that nobody knows is not ignored: in maps with names of somebody's own, and in what a server may do,
/// where to ignore one would be to do something else than was asked. This list may become shorter, never longer.
#[test]
fn members_of_a_later_version_are_ignored() {
    let mut refused = Vec::new();
    for Method { file, params, result } in methods() {
        let recorded = recorded(file);
        for (part, (through, _)) in [("params", params), ("result", result)] {
            for place in objects(&recorded[part]) {
                let mut later = recorded[part].clone();
                let object = later.pointer_mut(&place).and_then(Value::as_object_mut).unwrap();
                object.insert("ofALaterVersion".into(), json!([1, { "a": null }]));
                if through(&later).is_err() {
                    refused.push(format!("{file} {part}{place}"));
                }
            }
        }
    }
    insta::assert_snapshot!(refused.join("\n"));
}

/// `PERENNIAL_RECORD=1` writes the files anew: only for a method that was not there before.
fn recorded(file: &str) -> Value {
    let path = folder().join(file).with_extension("json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn folder() -> PathBuf {
    tests_dir().join("fixtures/compat/methods")
}

#[test]
fn every_method_is_recorded() {
    let methods = methods();
    if std::env::var_os("PERENNIAL_RECORD").is_some() {
        for Method { file, params, result } in &methods {
            let path = folder().join(file).with_extension("json");
            let least =
                fs::read_to_string(&path).map(|text| serde_json::from_str::<Value>(&text).unwrap()["least"].clone());
            let least = least.unwrap_or_else(|_| json!({ "params": params.1, "result": result.1 }));
            let text = json!({ "params": params.1, "result": result.1, "least": least });
            fs::write(path, format!("{}\n", serde_json::to_string_pretty(&text).unwrap())).unwrap();
        }
    }
    let documented = fs::read_to_string(tests_dir().join("../docs/plugins.md")).unwrap();
    let rows = documented.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|row| row.0);
    // the same page has a table of commands
    let rows = rows.filter(|name| !name.contains(' '));
    let mut named: Vec<_> = rows.map(|name| name.replace('/', "-")).collect();
    named.extend(["tools-call", "plugin-log", "plugin-progress", "error"].map(str::to_owned));
    named.sort();
    let mut known: Vec<_> = methods.iter().map(|method| method.file.to_owned()).collect();
    known.sort();
    assert_eq!(known, named);
}

/// The first place at which `there` does not hold what `wanted` holds; it may hold more.
fn missing(wanted: &Value, there: &Value) -> Option<String> {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => wanted.iter().find_map(|(key, value)| {
            let found = there.get(key).map_or(Some(String::new()), |there| missing(value, there));
            found.map(|place| format!("/{key}{place}"))
        }),
        (Value::Array(wanted), Value::Array(there)) if wanted.len() == there.len() => {
            let mut pairs = wanted.iter().zip(there).enumerate();
            pairs.find_map(|(index, (wanted, there))| missing(wanted, there).map(|place| format!("/{index}{place}")))
        }
        _ => (wanted != there).then(|| format!(": {there} instead of {wanted}")),
    }
}

/// Where in `value` objects are, as JSON pointers.
fn objects(value: &Value) -> Vec<String> {
    let inside = |key: &str, value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        objects(value).into_iter().map(move |place| format!("/{key}{place}"))
    };
    match value {
        Value::Object(fields) => {
            let below = fields.iter().flat_map(|(key, value)| inside(key, value));
            std::iter::once(String::new()).chain(below).collect()
        }
        Value::Array(items) => items.iter().enumerate().flat_map(|(at, item)| inside(&at.to_string(), item)).collect(),
        _ => Vec::new(),
    }
}

fn typed<T: Serialize + DeserializeOwned>(full: T) -> (Through, Value) {
    let through = |value: &Value| {
        let read: T = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        serde_json::to_value(read).map_err(|error| error.to_string())
    };
    (through, serde_json::to_value(full).unwrap())
}

fn methods() -> Vec<Method> {
    let method = |file, params, result| Method { file, params, result };
    let id = || "server-0123456789ab".parse().unwrap();
    let listing = || Listing { items: vec![summary()], next: Some("server-0123456789ab".into()), remembered: true };
    let page = || Page { cursor: Some("server-0".into()), limit: 50, fresh: true };
    let nothing = || typed(());
    vec![
        method(
            "plugin-init",
            typed(method::Init { config: json!({ "folder": "a" }), home: Home { data_dir: "/data".into() } }),
            typed(Initialised { id: "a-b".into(), version: "1.2.3".into(), provides: vec!["tools".into()] }),
        ),
        method("plugin-shutdown", nothing(), nothing()),
        method(
            "storage-describe",
            nothing(),
            typed(StorageDescription {
                capabilities: Capabilities { shared: true, versions: true },
                location: "s3://servers".into(),
            }),
        ),
        method("storage-list", typed(page()), typed(listing())),
        method(
            "storage-get",
            typed(json_of::<method::Get<'static>>(json!({ "id": "server-0123456789ab", "version": 7 }))),
            typed(record()),
        ),
        method(
            "storage-put",
            typed(json_of::<method::Put<'static>>(json!({
                "record": record(), "expected": Expected::At(Version(7)), "put_id": "put-1",
            }))),
            typed(Version(8)),
        ),
        method(
            "storage-versions",
            typed(json_of::<method::Id<'static>>(json!({ "id": "server-0123456789ab" }))),
            typed(vec![Version(1), Version(2)]),
        ),
        method(
            "storage-delete",
            typed(json_of::<method::Delete<'static>>(json!({ "id": "server-0123456789ab", "expected": "any" }))),
            typed(Version(9)),
        ),
        method("storage-deleted", typed(page()), typed(listing())),
        method(
            "storage-check",
            typed(method::Check { repair: true }),
            typed(Checked {
                servers: 1,
                versions: 2,
                blobs: 3,
                findings: vec![Finding {
                    repaired: Some("removed".into()),
                    ..Finding::new(FindingKind::StrayObject, "s/a", "nobody has put it there")
                        .of(&id(), Version(2))
                        .hint("look")
                }],
            }),
        ),
        method(
            "storage-collect",
            typed(Retention {
                versions: Some(5),
                replaced: Some(Duration::from_secs(60)),
                deleted: Duration::new(3600, 5),
                dry_run: true,
            }),
            typed(Collected {
                servers: vec![CollectedServer { server_id: id(), deleted: true, versions: vec![Version(1)] }],
                blobs: 2,
                bytes: 3,
            }),
        ),
        method("runtime-describe", nothing(), typed(description())),
        method(
            "runtime-plan",
            typed(json_of::<method::PlanFor<'static>>(json!({ "spec": spec(), "toolchain": toolchain() }))),
            typed(plan()),
        ),
        method("tools-list", nothing(), typed(Tools { tools: vec![definition()] })),
        method(
            "tools-call",
            typed(json_of::<method::ToolCall<'static>>(json!({ "name": "add", "arguments": { "a": 1 } }))),
            typed(
                json!({ "content": [{ "type": "text", "text": "2" }], "structuredContent": { "sum": 2 }, "isError": false }),
            ),
        ),
        method("plugin-progress", typed(Progress { done: 1.0, total: Some(2.0), message: "half".into() }), nothing()),
        method(
            "plugin-log",
            typed(json!({ "level": "warn", "target": "a::b", "message": "slow", "seconds": 5 })),
            nothing(),
        ),
        method("error", typed(error()), nothing()),
    ]
}

fn json_of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn error() -> Error {
    let mut error = Error::conflict("somebody was first", Some(7)).hint("read it again");
    error.retryable = true;
    error.source = vec!["the store said so".into()];
    Error { code: ErrorCode::Other("quota".into()), ..error }
}

fn definition() -> ToolDefinition {
    let rest =
        Map::from_iter([("title".to_owned(), json!("Add")), ("outputSchema".to_owned(), json!({ "type": "object" }))]);
    ToolDefinition {
        name: "add".into(),
        description: Some("Adds".into()),
        input_schema: json!({ "type": "object" }),
        rest,
    }
}

fn dependencies() -> Dependencies {
    json_of(json!({ "requests": ">=2.31", "rich": "*" }))
}

fn permissions() -> Permissions {
    Permissions {
        network: Network::Hosts(vec!["api.example.org:443".into()]),
        read: vec!["/srv/a".into()],
        write: vec!["/srv/b".into()],
        env: vec!["TOKEN".into()],
    }
}

fn limits() -> Limits {
    Limits {
        memory_mb: Some(256),
        cpu: Some(0.5),
        pids: Some(16),
        files: Some(64),
        disk_mb: Some(1024),
        call_timeout_s: Some(30.0),
    }
}

fn signature() -> SavedBy {
    SavedBy {
        host: HostIdentity { id: "h-1".into(), name: Some("desk".into()), user: Some("ada".into()) },
        client: Some(ClientIdentity { name: "client".into(), version: "1.0".into() }),
    }
}

fn files() -> BTreeMap<String, String> {
    BTreeMap::from([("lib/a.py".to_owned(), "A = 1\n".to_owned())])
}

fn record() -> SavedServer {
    SavedServer {
        name: "Adder".into(),
        code: "print()".into(),
        language: "python".into(),
        saved_at: "2026-01-02T03:04:05.678Z".into(),
        server_id: "server-0123456789ab".into(),
        version: Version(7),
        sha256: Some("ab".repeat(32)),
        aliases: vec!["server-abc123".parse().unwrap()],
        dependencies: dependencies(),
        lock: Some("requests==2.32.0".into()),
        files: files(),
        permissions: permissions(),
        limits: limits(),
        description: Some("adds".into()),
        tools: vec![definition()],
        saved_by: Some(signature()),
        extra: Map::from_iter([("ofAnother".to_owned(), json!({ "a": [1] }))]),
    }
}

fn summary() -> Summary {
    Summary {
        name: "Adder".into(),
        language: "python".into(),
        saved_at: "2026-01-02T03:04:05.678Z".into(),
        server_id: "server-0123456789ab".into(),
        version: Version(7),
        aliases: vec!["server-abc123".parse().unwrap()],
        description: Some("adds".into()),
        permissions: permissions(),
        tools: vec![definition()],
        saved_by: Some(signature()),
        damage: Some("its checksum does not match".into()),
    }
}

fn spec() -> ServerSpec {
    ServerSpec {
        language: "python".into(),
        code: "print()".into(),
        files: files(),
        dependencies: Dependencies::List(vec!["requests>=2.31".into()]),
        lock: Some("requests==2.32.0".into()),
        permissions: Permissions { network: Network::All, ..permissions() },
        limits: limits(),
    }
}

fn toolchain() -> Toolchain {
    let tool = Tool {
        path: "/usr/bin/python3".into(),
        version: "3.12.1".into(),
        roots: vec!["/usr".into()],
        facts: json!({ "said": "Python 3.12.1" }),
    };
    Toolchain { tools: BTreeMap::from([("python".to_owned(), tool)]), platform: "linux-x86_64-gnu".into() }
}

fn description() -> Description {
    let program = Program {
        places: vec!["~/.local/bin".into()],
        probe: vec!["-V".into()],
        home: Some(ProgramHome { ask: "rustc".into(), args: vec!["--print".into()], path: "bin/cargo".into() }),
        minimum: Some("3.9".into()),
        required: true,
        install_hint: Some("install it".into()),
        ..Program::new("python", ["python3"])
    };
    let template = Template { code: "print()".into(), dependencies: dependencies() };
    Description {
        languages: vec![Language::new("python", template).alias("py")],
        programs: vec![program],
        hints: vec![Hint { when: "No matching".into(), hint: "look the name up".into() }],
        noise: vec!["warning:".into()],
    }
}

fn plan() -> Plan {
    let command = CommandLine::new("{python}").arg("-u").env("A", "b");
    let step = |stage| Step {
        files: vec![File { path: "in.txt".into(), contents: "requests\n".into() }],
        network: Some("pypi".into()),
        writes: vec!["{cache}".into()],
        ..Step::new(stage, command.clone(), 600)
    };
    Plan {
        environment: Some(Environment {
            requirements: "requests>=2.31".into(),
            resolve: Resolve { steps: vec![step(Stage::Resolving)], output: "lock.txt".into() },
            install: vec![step(Stage::Installing)],
        }),
        files: vec![File { path: "main.py".into(), contents: "print()".into() }],
        links: BTreeMap::from([("node_modules".to_owned(), "{env}/node_modules".to_owned())]),
        build: vec![step(Stage::Compiling)],
        keep: true,
        resolve_again: true,
        run: command.clone(),
        read: vec!["{env}".into()],
        notes: vec!["pinned".into()],
    }
}
