use clap::CommandFactory;
use perennial_sdk::{
    Capabilities, Checked, ClientIdentity, Collected, CollectedServer, Dependencies, Finding, FindingKind,
    HostIdentity, Permissions, SavedBy, SavedServer, Summary, ToolDefinition, Version,
};
use serde_json::json;

use super::*;
use crate::{
    app::{
        Checkup, FolderCheck, Installed, LanguageCheck, Listed, MeasureCheck, ProgramCheck, Restored, SandboxCheck,
        StorageCheck, Warmed,
    },
    environment::{Entry, Kind, Pruned},
    library::{Changes, History, HistoryEntry, Lines, VersionState},
    moving::{CopiedServer, Copy, Moved, Outcome, Tally},
    plugins::{
        Inspection,
        trial::{Tried, TriedLanguage, TriedStorage},
    },
};

fn record() -> SavedServer {
    let tool = |name: &str| -> ToolDefinition { serde_json::from_value(json!({ "name": name })).unwrap() };
    SavedServer {
        name: "Mon serveur de calcul v1.0".into(),
        code: "#!/usr/bin/env python3\nprint('\u{1b}[31mred')\n".into(),
        language: "python".into(),
        saved_at: "2024-01-15T10:30:00.000Z".into(),
        server_id: "server-abc123".into(),
        version: Version(2),
        dependencies: Dependencies::List(vec!["requests>=2.31".into()]),
        files: [("lib.py".to_owned(), "x = 1\n".to_owned())].into(),
        permissions: Permissions { env: vec!["TOKEN".into()], ..Permissions::default() },
        tools: vec![tool("echo"), tool("add")],
        ..SavedServer::default()
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn config_is_taken_before_and_after_every_subcommand() {
    let commands: [&[&str]; 27] = [
        &["serve"],
        &["tour"],
        &["list"],
        &["show", "x"],
        &["call", "x", "echo"],
        &["approve", "x", "--yes"],
        &["history", "x", "--diff", "1", "2"],
        &["copy", "--from", "json", "--to", "json:path=/a"],
        &["export", "x"],
        &["import", "-"],
        &["rm", "x"],
        &["fsck", "--repair"],
        &["gc", "--dry-run"],
        &["audit", "--event", "denial"],
        &["expose", "x", "--hide"],
        &["warm"],
        &["doctor", "python"],
        &["cache", "ls"],
        &["cache", "prune", "--older-than", "30d"],
        &["config", "check"],
        &["plugin", "list"],
        &["plugin", "new", "x", "--kind", "tools"],
        &["plugin", "inspect", "x.so"],
        &["plugin", "check", "x", "--set", "a=b"],
        &["plugin", "add", "x", "--path", "x.so"],
        &["plugin", "pin", "x"],
        &["plugin", "remove", "x"],
    ];
    for command in commands {
        let before = [&["perennial", "--config", "a.toml"], command].concat();
        let after = [&["perennial"], command, &["--config", "a.toml"]].concat();
        for line in [before, after] {
            let arguments = Arguments::try_parse_from(&line).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(arguments.common.config.as_deref(), Some(std::path::Path::new("a.toml")), "{line:?}");
        }
    }
}

#[test]
fn the_help_is_worth_reading() {
    let mut shown = String::new();
    let mut command = Arguments::command();
    command.build();
    for path in [
        "",
        "serve",
        "call",
        "show",
        "approve",
        "history",
        "copy",
        "expose",
        "export",
        "import",
        "fsck",
        "gc",
        "audit",
        "config",
        "token",
        "token create",
        "warm",
        "doctor",
        "cache",
        "cache prune",
        "plugin",
        "plugin list",
        "plugin inspect",
        "plugin check",
        "plugin add",
        "plugin pin",
        "plugin remove",
        "plugin new",
    ] {
        let find = |command, name: &str| clap::Command::find_subcommand_mut(command, name).unwrap();
        let command = path.split_whitespace().fold(&mut command, find);
        shown += &format!("{}\n=====\n", command.clone().term_width(100).render_long_help());
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_listing_is_one_line_each_whatever_the_names() {
    let damaged = Summary {
        name: "名前\u{1b}[2J\n\u{202e}evil".into(),
        server_id: "server-x".into(),
        version: Version(1),
        damage: Some("not JSON".into()),
        ..Summary::default()
    };
    let long = Summary { name: "n".repeat(5_000), server_id: "server-y".into(), ..Summary::default() };
    let text =
        list::render(&[record().summary(), damaged, long].map(|summary| Listed { summary, approval_pending: false }));
    assert_eq!(text.lines().count(), 4);
    insta::assert_snapshot!(text);
    assert_eq!(list::render(&[]), "no saved servers\n");
}

#[test]
fn a_saved_server_is_shown_whole() {
    insta::assert_snapshot!(show::render(&record(), &[Version(1), Version(2)], None));
}

#[test]
fn a_deletion_names_what_is_gone() {
    let text = rm::render(&record().summary(), Version(3));
    let told = "deleted \"Mon serveur de calcul v1.0\" (server-abc123) as of version 3\n\
                to undo it: perennial history server-abc123 --restore 2\n";
    assert_eq!(text, told);
}

#[test]
fn a_history_tells_who_did_what() {
    let by = |user: &str| SavedBy {
        host: HostIdentity { id: "h".into(), name: Some("lovelace".into()), user: Some(user.into()) },
        client: Some(ClientIdentity::new("chat\u{1b}[2J", "1.0")),
    };
    let entry = |version: u64, state, changes| HistoryEntry {
        version: Version(version),
        state,
        name: (state == VersionState::Saved).then(|| "calc".into()),
        saved_at: Some(format!("2025-01-0{version}T00:00:00.000Z")),
        saved_by: (state == VersionState::Saved).then(|| by("ada")),
        changes,
        damage: (state == VersionState::Damaged).then(|| "its checksum does not match".into()),
    };
    let changes = Changes { code: Some(Lines { added: 3, removed: 1 }), ..Changes::default() };
    let history = History {
        saved_server_id: "server-abc123".parse().unwrap(),
        total: 9,
        versions: vec![
            entry(4, VersionState::Deleted, None),
            entry(3, VersionState::Damaged, None),
            entry(2, VersionState::Saved, Some(changes)),
            entry(1, VersionState::Saved, None),
        ],
    };
    insta::assert_snapshot!(history::render(&history));
}

#[test]
fn a_restored_version_is_a_new_one() {
    let restored = |version| Restored {
        server_id: "server-abc123".parse().unwrap(),
        name: "calc".into(),
        from: Version(2),
        version: Version(version),
    };
    assert_eq!(history::render_restored(&restored(5)), "restored version 2 of \"calc\" (server-abc123) as version 5\n");
    assert!(history::render_restored(&restored(2)).contains("is the newest already"));
}

#[test]
fn a_copy_tells_what_it_did_and_what_not() {
    let server = |id: &str, outcome, versions: u64, problems: &[&str]| CopiedServer {
        server_id: id.into(),
        name: "calc".into(),
        deleted: versions == 1,
        outcome,
        moved: (1..=versions).map(|n| Moved { from: Version(n), to: Version(n) }).collect(),
        problems: problems.iter().map(ToString::to_string).collect(),
    };
    let copied = Copy {
        from: "/a/saved_servers.json".into(),
        to: "s3://team/library".into(),
        dry_run: false,
        tally: Tally { servers: 5, versions: 4, copied: 2, unchanged: 1, conflicts: 1, failed: 1 },
        servers: vec![
            server("server-1", Some(Outcome::New), 3, &[]),
            server("server-2", Some(Outcome::Updated), 1, &[]),
            server("server-3", Some(Outcome::Unchanged), 0, &[]),
            server("server-4", Some(Outcome::Conflict), 0, &["the target has other versions of it, up to 2"]),
            server("server-5", None, 0, &["the store does not answer"]),
        ],
        notes: vec!["the source cannot list what was deleted there: it is not copied".into()],
    };
    insta::assert_snapshot!(copy::render(&copied));
}

#[test]
fn a_check_tells_what_is_wrong_and_what_to_do() {
    let finding = |kind, place: &str| Finding::new(kind, place, "it cannot be\u{1b}[2J read").hint("look at it");
    let mut checked = Checked { servers: 3, versions: 12, blobs: 1, findings: Vec::new() };
    assert_eq!(fsck::render(&checked), "3 servers, 12 versions and 1 large text read: all is well\n");
    assert!(checked.is_well());
    let index = Finding { repaired: Some("made anew".into()), ..finding(FindingKind::WrongIndex, "index.json") };
    checked.findings = vec![index, finding(FindingKind::DamagedVersion, "s/server-a/0000000001.json")];
    insta::assert_snapshot!(fsck::render(&checked));
    assert!(!checked.is_well());
}

#[test]
fn a_collection_tells_what_went() {
    let server = |id: &str, deleted, versions: &[u64]| CollectedServer {
        server_id: id.parse().unwrap(),
        deleted,
        versions: versions.iter().copied().map(Version).collect(),
    };
    let servers = vec![server("server-a", false, &[1]), server("server-b", true, &[1, 2, 3])];
    let shown = [
        gc::render(&Collected { servers, blobs: 2, bytes: 1_250_000 }, false),
        gc::render(&Collected::default(), true),
    ];
    insta::assert_snapshot!(shown.join("=====\n"));
}

#[test]
fn a_result_is_shown_as_text() {
    let result =
        json!({"content": [{"type": "text", "text": "a\nb"}, {"type": "image", "data": "aGk=", "mimeType": "x"}]});
    assert_eq!(call::render(&result), "a\nb\n{\"type\":\"image\",\"data\":\"aGk=\",\"mimeType\":\"x\"}\n");
    assert_eq!(call::render(&json!({"content": [], "structuredContent": {"a": 1}})), "{\"a\":1}\n");
}

#[test]
fn plugins_that_cannot_be_loaded_are_listed_with_the_reason() {
    let row = |name: &str, version: Option<&str>, from: &str, problem: Option<&str>| Installed {
        name: name.into(),
        version: version.map(str::to_owned),
        provides: version.iter().map(|_| "storage".to_owned()).collect(),
        from: from.into(),
        problem: problem.map(str::to_owned),
    };
    let text = plugin::render(&[
        row("json", Some("0.1.0"), "built in", None),
        row("deno", None, "/plugins/deno.so", Some("`/plugins/deno.so` is a text file\nnot a library")),
    ]);
    insta::assert_snapshot!(text, @r"
    NAME  VERSION  PROVIDES  FROM              STATE
    json  0.1.0    storage   built in          ready
    deno                     /plugins/deno.so  not loaded: `/plugins/deno.so` is a text file not a library
    ");
}

#[test]
fn a_plugin_that_was_tried_is_shown_with_what_is_wrong() {
    let library = Inspection {
        file: "/plugins/all.so".into(),
        sha256: "0f".repeat(32),
        bytes: 16_384,
        platform: "linux-x86_64".into(),
        abi: 1,
        plugins: Vec::new(),
    };
    let all = Tried {
        name: "all".into(),
        version: "1.2.0".into(),
        from: "/plugins/all.so".into(),
        library: Some(library),
        provides: ["runtime", "storage", "tools"].map(str::to_owned).into(),
        languages: vec![
            TriedLanguage { name: "lua".into(), aliases: vec!["luajit".into()], templates: 2 },
            TriedLanguage { name: "fennel".into(), aliases: Vec::new(), templates: 1 },
        ],
        programs: vec!["lua".into(), "luarocks".into()],
        storage: Some(TriedStorage {
            location: "/library".into(),
            capabilities: Capabilities { shared: true, versions: false },
            trial_record: Some("server-abc123".into()),
        }),
        tools: vec![serde_json::from_value(json!({ "name": "echo" })).unwrap()],
        problems: vec!["the tool `echo` has \u{1b}[31mno description".into(), "more".into()],
    };
    let bare = Tried { from: "python3 all.py".into(), library: None, problems: Vec::new(), ..all.clone() };
    insta::assert_snapshot!(plugin::render_tried(&[all, Tried { storage: None, ..bare }]));
}

fn entry(kind: Kind, requirements: &[&str], bytes: u64, in_use: bool) -> Entry {
    Entry {
        id: "0f3a".into(),
        kind,
        runtime: "python".into(),
        requirements: requirements.iter().map(ToString::to_string).collect(),
        bytes,
        used_at: std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000),
        in_use,
        path: "/cache/environments/0f3a".into(),
        guard: "/cache/environments/0f3a/guard".into(),
    }
}

#[test]
fn the_cache_is_listed_with_what_it_is_for() {
    let entries = [
        entry(Kind::Environment, &["requests>=2.31", "numpy"], 62_400_000, true),
        entry(Kind::Environment, &["a-package-with-a-long-name>=1.0.0"; 4], 1_900, false),
        entry(Kind::Downloads, &[], 1_250_000_000, false),
        entry(Kind::Leftover, &[], 12, false),
    ];
    let pruned =
        Pruned { removed: entries[2..].to_vec(), freed_bytes: 1_250_000_012, left_bytes: 62_401_900, forgotten: 2 };
    let shown = [
        cache::render(&entries, 10_000_000_000, "/cache".as_ref()),
        cache::render(&[], 500_000_000, "/cache".as_ref()),
        cache::render_pruned(&pruned, true),
        cache::render_pruned(&Pruned::default(), false),
        output::json(&entries[0]).unwrap(),
    ];
    insta::assert_snapshot!(shown.join("=====\n"));
}

#[test]
fn an_age_has_a_unit() {
    let parse = |age: &str| Arguments::try_parse_from(["perennial", "cache", "prune", "--older-than", age]).is_ok();
    assert!(parse("30d") && parse("12h") && parse("2w"));
    assert!(!parse("30") && !parse("d") && !parse("-1d") && !parse("99999999999999999999w"));
}

#[test]
fn a_checkup_tells_what_is_missing_and_how_to_get_it() {
    let program = |name: &str, required| ProgramCheck {
        name: name.into(),
        required,
        path: None,
        version: None,
        problem: Some(format!("`{name}` was not found")),
        hint: Some(format!("install {name}")),
    };
    let python = ProgramCheck {
        path: Some("/usr/bin/python3.12".into()),
        version: Some("3.12.1".into()),
        problem: None,
        hint: None,
        ..program("python", true)
    };
    let measure = |what: &str, by: Option<&str>, short_of: Option<&str>| MeasureCheck {
        what: what.into(),
        by: by.map(Into::into),
        short_of: short_of.map(Into::into),
    };
    let mut checkup = Checkup {
        file: None,
        wanted: Vec::new(),
        runtimes: vec![
            LanguageCheck {
                languages: vec!["python".into()],
                usable: true,
                programs: vec![python, program("uv", false)],
            },
            LanguageCheck { languages: vec!["rust".into()], usable: false, programs: vec![program("cargo", true)] },
        ],
        sandbox: SandboxCheck {
            setting: "best-effort",
            measures: vec![
                measure("files", Some("landlock"), None),
                measure("memory", Some("rlimit and watchdog"), Some("bounded, not capped")),
                measure("network", None, Some("TCP goes everywhere")),
            ],
            without: Some("`bwrap` (bubblewrap) is not installed".into()),
            problem: None,
        },
        folders: vec![
            FolderCheck { name: "data", path: "/data".into(), problem: None },
            FolderCheck { name: "cache", path: "/cache".into(), problem: Some("Permission denied".into()) },
        ],
        storage: StorageCheck { plugin: "json".into(), location: "/data".into(), servers: Some(3), problem: None },
    };
    insta::assert_snapshot!(doctor::render(&checkup));
    assert!(!checkup.is_well());
    checkup.folders.pop();
    assert!(checkup.is_well());
    checkup.wanted = vec!["python".into()];
    assert!(checkup.is_well());
    checkup.wanted.push("rust".into());
    assert!(!checkup.is_well());
    checkup.wanted.clear();
    checkup.sandbox.problem = Some("this machine cannot confine it wholly".into());
    assert!(!checkup.is_well());
}

#[test]
fn what_was_warmed_is_a_line_each() {
    let warmed = |packages: &[&str], outcome| Warmed {
        language: "python".into(),
        packages: packages.iter().map(ToString::to_string).collect(),
        outcome,
        took: std::time::Duration::from_millis(1234),
    };
    let lines = [
        warmed(&[], Ok(false)),
        warmed(&["mcp >=2"], Ok(true)),
        warmed(&["x"], Err(perennial_sdk::Error::unavailable("`node` was not found"))),
    ];
    insta::assert_snapshot!(warm::render(&lines));
}
