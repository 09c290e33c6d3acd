use std::fs;

use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::egress::Reach;

/// A machine with a home, and Perennial's own folders in it.
struct Machine {
    root: TempDir,
    protected: Protected,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in ["home/books", "home/.local/share/perennial", "home/.config/perennial", "data/sub", "etc"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("data/file.txt"), "").unwrap();
        std::os::unix::fs::symlink(at("etc"), at("data/leads-out")).unwrap();
        std::os::unix::fs::symlink(at("data/sub"), at("home/link")).unwrap();
        let own = vec![at("home/.local/share/perennial"), at("home/.config/perennial")];
        let protected = Protected { home: Some(at("home")), own };
        Self { root, protected }
    }

    fn path(&self, path: &str) -> String {
        self.root.path().join(path).to_str().unwrap().to_owned()
    }

    fn judge(&self, ceiling: &Ceiling, permissions: serde_json::Value, demand: Demand) -> Result<Judgement> {
        let permissions = serde_json::from_value(permissions).unwrap();
        ceiling.judge(&permissions, &Limits::default(), &self.protected, demand)
    }

    fn said(&self, error: &perennial_sdk::Error) -> String {
        let text = format!("{:?}: {error}\n{}", error.code, error.hint.as_deref().unwrap_or("(no hint)"));
        text.replace(self.root.path().to_str().unwrap(), "")
    }
}

fn ceiling(policy: &str) -> Ceiling {
    let config: Config = toml::from_str(policy).unwrap();
    Ceiling { file: Some("/etc/perennial.toml".into()), ..Ceiling::of(&config) }
}

fn hosts(hosts: &[&str]) -> serde_json::Value {
    json!({ "network": hosts })
}

#[rstest]
#[case(&["api.example.com:443"])]
#[case(&["api.example.com:443", "API.example.com:443", "93.184.216.34:8080", "bücher.de:443"])]
fn public_hosts_that_are_named_need_no_operator(#[case] asked: &[&str]) {
    let judged = Machine::new().judge(&ceiling(""), hosts(asked), Demand::Asked).unwrap();
    let Reachable::Places(rules) = judged.granted.network else { panic!("no places") };
    assert!(rules.iter().all(|rule| rule.reach == Reach::Public), "{rules:?}");
    assert!(rules.iter().any(|rule| rule.endpoint.port == Some(443)));
    assert_eq!(rules.len(), asked.len().min(3).max(usize::from(asked.len() == 1)));
}

#[test]
fn without_being_asked_nothing_is_granted() {
    let granted = Machine::new().judge(&ceiling(""), json!({}), Demand::Asked).unwrap().granted;
    assert_eq!(granted.facts(), json!({"network": "none", "read": [], "write": [], "env": []}));
    let limits = json!({
        "memory_mb": 512, "cpu": 1.0, "pids": 64, "files": 256, "disk_mb": 1024, "call_timeout_s": 60.0
    });
    assert_eq!(granted.bounds.facts(), limits);
    assert_eq!(granted.bounds.caps().memory_bytes, Some(512 * 1024 * 1024));
}

#[test]
fn every_denial_names_its_exact_remedy() {
    let machine = Machine::new();
    let listed = format!(
        "[policy]\nnetwork = [\"db.corp.example.com:5432\"]\nread = [{:?}]\nenv = [\"A\"]",
        machine.path("data")
    );
    let cases = [
        ("", hosts(&["169.254.169.254:80"])),
        ("", hosts(&["metadata.google.internal:80", "[fd00:ec2::254]:80", "localhost:8000"])),
        ("", hosts(&["*.example.com:443"])),
        ("", hosts(&["https://api.example.com/v1"])),
        ("", hosts(&["api.example.com"])),
        ("", json!({"network": "all"})),
        ("[policy]\nnetwork = \"none\"", hosts(&["api.example.com:443"])),
        ("[policy]\nnetwork = \"none\"", json!({"network": "all"})),
        (&listed, hosts(&["api.example.com:443"])),
        (&listed, json!({"read": [machine.path("etc")], "write": [machine.path("data")], "env": ["B"]})),
        ("", json!({"read": ["~/.ssh"]})),
        ("", json!({"read": ["books"]})),
        ("", json!({"env": ["API_TOKEN"]})),
        ("", json!({"env": ["PATH", "https_proxy"]})),
    ];
    let mut all = String::new();
    for (policy, asked) in cases {
        let error = machine.judge(&ceiling(policy), asked.clone(), Demand::Asked).unwrap_err();
        all.push_str(&format!(
            "{}\n{}\n\n",
            asked.to_string().replace(machine.root.path().to_str().unwrap(), ""),
            machine.said(&error)
        ));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn limits_are_the_operators_or_less() {
    let judge = |asked: serde_json::Value| {
        let limits: Limits = serde_json::from_value(asked).unwrap();
        ceiling("").judge(&Permissions::default(), &limits, &Protected::default(), Demand::Asked)
    };
    let less = judge(json!({"memory_mb": 64, "cpu": 0.5, "pids": 4, "files": 32, "disk_mb": 10, "call_timeout_s": 5}));
    let bounds = less.unwrap().granted.bounds;
    assert_eq!((bounds.memory_mb, bounds.pids, bounds.disk_mb, bounds.call_timeout.as_secs()), (64, 4, 10, 5));
    let error = judge(json!({"memory_mb": 4096, "call_timeout_s": 300.5, "pids": 0})).unwrap_err();
    insta::assert_snapshot!(Machine::new().said(&error));
    assert!(judge(json!({"cpu": -1.0})).is_err());
}

#[test]
fn what_was_granted_once_is_granted_as_far_as_the_ceiling_still_reaches() {
    let machine = Machine::new();
    let asked =
        json!({"network": ["api.example.com:443", "10.0.0.1:80"], "env": ["A", "B"], "read": [machine.path("data")]});
    let judged = machine.judge(&ceiling("[policy]\nenv = [\"B\"]"), asked, Demand::Kept).unwrap();
    assert_eq!(
        judged.granted.facts(),
        json!({"network": ["api.example.com:443"], "read": [], "write": [], "env": ["B"]})
    );
    let refused: Vec<_> = judged.refused.iter().map(|one| one.kind).collect();
    assert_eq!(refused, ["network", "read", "env"]);
}

#[test]
fn folders_are_granted_where_links_lead() {
    let machine = Machine::new();
    let policy = format!("[policy]\nread = [\"~/books\"]\nwrite = [{:?}]", machine.path("data"));
    let judge = |asked| machine.judge(&ceiling(&policy), asked, Demand::Asked);
    let granted = judge(
        json!({"read": ["~/books", "~/link", machine.path("data/file.txt")], "write": [machine.path("data/sub")]}),
    )
    .unwrap()
    .granted;
    let real = |path: &str| machine.root.path().canonicalize().unwrap().join(path);
    assert_eq!(granted.read, [real("home/books"), real("data/sub"), real("data/file.txt")]);
    assert_eq!(granted.write, [real("data/sub")]);
    for (asked, why) in [
        (json!({"read": [machine.path("data/leads-out")]}), "not in a folder"),
        (json!({"read": [machine.path("data/../etc")]}), "no path from the root"),
        (json!({"read": [machine.path("data/gone")]}), "does not exist"),
        (json!({"read": [machine.path("etc/gone")]}), "not in a folder"),
        (json!({"write": ["~/books"]}), "not in a folder"),
        (json!({"write": [machine.path("data/file.txt")]}), "is no folder"),
    ] {
        let error = judge(asked).unwrap_err();
        assert!(error.message.contains(why), "{error}");
    }
}

#[rstest]
#[case("~", false)]
#[case("~/.local", false)]
#[case("~/.local/share/perennial", false)]
#[case("~/.config/perennial", false)]
#[case("~/books", true)]
fn what_is_perennials_own_comes_with_nothing_else(#[case] asked: &str, #[case] granted: bool) {
    let machine = Machine::new();
    let root = machine.root.path().canonicalize().unwrap();
    let judge = |folders: &[&str]| {
        let policy = ceiling(&format!("[policy]\nread = {folders:?}"));
        machine.judge(&policy, json!({"read": [asked]}), Demand::Asked)
    };
    assert_eq!(judge(&[root.to_str().unwrap()]).is_ok(), granted);
    assert!(judge(&[asked]).is_ok());
}

#[rstest]
#[case("network = \"all\"", "10.0.0.1:22", Some(Reach::All))]
#[case("network = [\"10.0.0.1:22\"]", "10.0.0.1:22", Some(Reach::Private))]
#[case("network = [\"*.corp.example.com:*\"]", "db.corp.example.com:5432", Some(Reach::Private))]
#[case("network = [\"*.corp.example.com:*\"]", "*.corp.example.com:443", Some(Reach::Private))]
#[case("network = [\"10.0.0.1:22\"]", "api.example.com:443", None)]
#[case("network = [\"hosts\", \"10.0.0.1:22\"]", "api.example.com:443", Some(Reach::Public))]
#[case("network = [\"hosts\", \"10.0.0.1:22\"]", "10.0.0.2:22", None)]
#[case("network = []", "api.example.com:443", None)]
fn what_the_operator_lists_may_be_private(#[case] policy: &str, #[case] asked: &str, #[case] reach: Option<Reach>) {
    let judged = Machine::new().judge(&ceiling(&format!("[policy]\n{policy}")), hosts(&[asked]), Demand::Kept).unwrap();
    let granted = match judged.granted.network {
        Reachable::Places(rules) => Some(rules[0].reach),
        _ => None,
    };
    assert_eq!(granted, reach);
}

#[test]
fn an_update_shows_what_it_widens() {
    let permissions = |value: serde_json::Value| serde_json::from_value::<Permissions>(value).unwrap();
    let limits = |value: serde_json::Value| serde_json::from_value::<Limits>(value).unwrap();
    let (old, new) = (
        permissions(json!({"network": ["a.example.com:443"], "env": ["OLD"]})),
        permissions(json!({"network": ["a.example.com:443", "b.example.com:443"], "read": ["/data"]})),
    );
    let (few, many) = (limits(json!({"memory_mb": 64, "pids": 8})), limits(json!({"memory_mb": 128, "pids": 8})));
    insta::assert_snapshot!(Difference::between((&old, &few), (&new, &many)));
    let narrower = Difference::between((&old, &many), (&Permissions::default(), &few));
    assert!(!narrower.widened && narrower.to_string().contains("less than it could"), "{narrower}");
    assert!(Difference::between((&old, &few), (&old, &few)).is_empty());
}
