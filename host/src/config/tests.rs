use std::{fs, path::PathBuf};

use perennial_sdk::{Error, ErrorCode, Opened};
use serde_json::json;

use super::*;

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_into(&tempfile::tempdir().unwrap(), text, variables)
}

fn load_into(folder: &tempfile::TempDir, text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = folder.path().join("perennial.toml");
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join("token"), "s3cr3t\n").unwrap();
    fs::write(folder.path().join("certificates.pem"), "").unwrap();
    let request =
        Request { file: Some(file), variables: Variables::from_iter(variables.iter().copied()), resolve: true };
    load(&request)
}

/// A rendered error without the temporary folder.
fn render(error: &ConfigError) -> String {
    let text = format!("{error}\n{}", error.render(false));
    let mut lines = Vec::new();
    for line in text.lines() {
        let start = line.find("[/").map_or(0, |at| at + 1);
        match line.find("perennial.toml:") {
            Some(end) => lines.push(format!("{}{}", &line[..start], &line[end..])),
            None => lines.push(line.trim_end().to_owned()),
        }
    }
    lines.join("\n")
}

fn registration(id: &'static str, provides: &'static [&'static str]) -> Registration {
    fn open(
        _: serde_json::Value,
        _: perennial_sdk::Home,
    ) -> perennial_sdk::BoxFuture<'static, perennial_sdk::Result<Opened>> {
        Box::pin(async { Err(Error::unsupported("not opened in this test")) })
    }
    Registration { id, version: "1.0.0", provides, open }
}

fn checked(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let config = load_into(&folder, text, variables)?;
    let (json, python) = (registration("json", &["storage"]), registration("python", &["runtime"]));
    let s3 = registration("s3", &["storage"]);
    config.check(&[&json, &python, &s3])?;
    Ok(config)
}

#[test]
fn the_example_is_the_defaults() {
    let mut example = load_text(EXAMPLE, &[]).unwrap();
    example.origin = source::Origin::default();
    assert_eq!(example, Config::default());
}

/// What the example takes from the environment.
const VARIABLES: &[(&str, &str)] = &[
    ("ADA_TOKEN", "0123456789abcdef0123456789abcdef"),
    ("PROXY_PASSWORD", "pass"),
    ("STORAGE_KEY_ID", "key"),
    ("STORAGE_SECRET", "s3cr3t"),
];

#[test]
fn the_examples_comments_are_valid_too() {
    let uncommented: Vec<_> = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let config = checked(&uncommented.join("\n"), VARIABLES).unwrap();
    assert_eq!(config.plugins.len(), 6);
    assert_eq!(config.third_party().len(), 2);
    assert_eq!(config.http.tokens.len(), 1);
    assert_eq!(config.instances().collect::<Vec<_>>(), [("archive", "json")]);
    assert_eq!(config.plugin_config("s3")["access_key_id"], "key");
    assert_eq!(config.registries.proxy.unwrap().as_str(), "http://user:pass@proxy.example.com:3128");
}

#[test]
fn mistakes_are_shown_at_their_place() {
    let files = [
        "[limits]\ncall_timeot_s = 30\n",
        "[limit]\ncpu = 1\n",
        "schema_version = 1\n\n[limits]\npids = \"many\"\n",
        "[limits]\ncall_timeout_s = 0\n",
        "[policy]\nnetwork = \"hots\"\n",
        "[policy]\nread = \"/srv\"\n",
        "[storage\nuse = \"json\"\n",
        "[log]\n# niveau très bavard\nlevel = \"verbose\"\n",
        "[plugins.My_Plugin]\nconfig = {}\n",
        "[plugins.json.config]\ntoken = \"é ${env:TOKEN}\"\n",
        "schema_version = 2\nnew_key = true\n",
        "[registries]\npypi = \"ftp://packages.example.com\"\n",
        "[registries]\nnpm = \"npm.example.com\"\n",
        "[registries]\ncrates-io = \"sparse+ftp://crates.example.com\"\n",
        "[registries]\ncrates-io = \"https://user@crates.example.com/index/\"\n",
        "[registries]\ncrates = \"https://crates.example.com/index/\"\n",
        "[registries]\nca = \"/nonexistent/ca.pem\"\n",
        "[storage]\nuse = \"jsn\"\n",
        "[policy]\nnetwork = [\"hosts\", \"https://db.example.com\"]\n",
        "[policy]\nnetwork = [\"db.example.com:99999\"]\n",
        "[policy]\nnetwork = 443\n",
        "[policy]\nenv = [\"A\", \"B=c\"]\n",
        "[registries]\nhosts = [\"files.example.com\"]\n",
        "[plugins.deno]\npath = \"libdeno.so\"\nsha256 = \"00\"\n",
        "[plugins.deno]\npath = { linux-x86_64 = \"libdeno.so\" }\nsha256 = { linux-x86_64 = \"zz\" }\n",
        "[plugins.deno]\npath = [\"libdeno.so\"]\n",
        "[plugins.deno]\npath = \"libdeno.so\"\n",
        "[plugins.deno]\npath = \"libdeno.so\"\ncommand = [\"deno\", \"run\"]\n",
        "[plugins.deno]\ncommand = []\n",
        "[plugins.deno]\ntrust = \"unpinned\"\ncommand = [\"deno\"]\n",
        "[plugins.deno]\npath = \"libdeno.so\"\ntrust = \"unpinned\"\nenv = { A = \"b\" }\n",
        "[plugins.deno]\ncommand = [\"deno\"]\nline_mb = 0\n",
        "[plugins.archive]\nconfig = {}\n",
        "[plugins.pyton]\nconfig = { x = 1 }\n",
        "[plugins.archive]\nplugin = \"jsn\"\n",
        "[plugins.archive]\nplugin = \"json\"\npath = \"libarchive.so\"\n",
        "[plugins.s3]\nplugin = \"json\"\n",
        "[plugins.other]\nplugin = \"python\"\n",
        "[storage]\nuse = \"archve\"\n[plugins.archive]\nplugin = \"json\"\n",
        "[log]\nlevel = \"info\"\nlevel = \"warn\"\n",
    ];
    let mut shown = String::new();
    for file in files {
        let error = checked(file, &[]).unwrap_err();
        assert!(error.position().is_some(), "{error}");
        shown += &format!("{}\n\n", render(&error));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn mistakes_in_variables_name_the_variable() {
    let variables = [
        ("PERENNIAL_LIMITS_PIDS", "0"),
        ("PERENNIAL_LIMITS_PIDS", "many"),
        ("PERENNIAL_POLICY_NETWORK", "10.0.0.1:80"),
        ("PERENNIAL_POLICY_SANDBOX", "of"),
        ("PERENNIAL_LIMITS_CALL_TIMEOT_S", "30"),
        ("PERENNIAL_STORAGE_USE", "jsno"),
        ("PERENNIAL_LOG", "perennial=loud"),
    ];
    let shown: Vec<_> = variables.into_iter().map(|each| checked("", &[each]).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn variables_go_before_the_file_and_strangers_are_let_be() {
    let variables = [
        ("PERENNIAL_LIMITS_CALL_TIMEOUT_S", "2.5"),
        ("PERENNIAL_LIMITS_PIDS", "7"),
        ("PERENNIAL_POLICY_NETWORK", "none"),
        ("PERENNIAL_LIMITS_CPU", ""),
        ("PERENNIAL_SERVICE_HOST", "10.0.0.1"),
        ("PERENNIAL_STORAGE_PORT", "tcp://10.0.0.1:80"),
    ];
    let config = checked("[limits]\npids = 9\ncpu = 2\n", &variables).unwrap();
    assert_eq!(config.limits.call_timeout_s.duration().as_millis(), 2500);
    assert_eq!(config.limits.pids.get(), 7);
    assert_eq!(config.limits.cpu.get(), 2.0);
    assert_eq!(config.policy.network, NetworkCeiling::None);
}

#[test]
fn a_plugins_mistake_is_shown_at_its_line_without_its_secrets() {
    let text =
        "[plugins.s3]\nconfig = { bucket = \"b\", keys = [{ id = 1 },\n  { id = \"${file:token}\" }], buckt = 2 }\n";
    let config = load_text(text, &[]).unwrap();
    assert_eq!(config.plugin_config("s3"), json!({"bucket": "b", "keys": [{"id": 1}, {"id": "s3cr3t"}], "buckt": 2}));
    assert_eq!(config.plugin_config("json"), serde_json::Value::Null);

    let mut wrong = Error::invalid("invalid type: string \"s3cr3t\", expected u64");
    wrong.data = json!({"path": ["keys", 1, "id"]});
    let unknown = Error::invalid("unknown field `buckt`, expected `bucket` or `keys`");
    let lost = Error::invalid("missing field `region`");
    let shown: Vec<_> = [wrong, unknown, lost].iter().map(|error| render(&config.config_error("s3", error))).collect();
    insta::assert_snapshot!(shown.join("\n\n"));
    assert!(!format!("{config:?}").contains("s3cr3t"));
}

#[test]
fn a_mistake_beside_a_secret_does_not_show_it() {
    let text = "[plugins.s3.config]\nsecret_access_key = \"hunter2\"\nbucket = 1\n[limits]\ncpu = 0\n";
    let error = load_text(text, &[]).unwrap_err();
    assert!(!render(&error).contains("hunter2"), "{}", render(&error));
    let config = load_text(&text.replace("cpu = 0", ""), &[]).unwrap();
    let mut wrong = Error::invalid("invalid type: string \"hunter2\", expected u64");
    wrong.data = json!({"path": ["secret_access_key"]});
    let shown = render(&config.config_error("s3", &wrong));
    assert!(shown.contains("takes a whole number, not \"(hidden)\"") && !shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("perennial.toml:2:21"), "{shown}");
}

#[tokio::test]
async fn a_built_in_plugins_mistake_carries_its_path() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[expect(dead_code, reason = "only parsed")]
        keys: Vec<u64>,
    }
    struct Plugin;
    impl perennial_sdk::Plugin for Plugin {
        type Config = Settings;
        async fn init(_: Settings, _: perennial_sdk::Home) -> perennial_sdk::Result<Self> {
            Ok(Self)
        }
    }
    let config = load_text("[plugins.x.config]\nkeys = [1,\n  \"2\"]\n", &[]).unwrap();
    let home = perennial_sdk::Home { data_dir: PathBuf::new() };
    let error = perennial_sdk::open_plugin::<Plugin>(config.plugin_config("x"), home).await.err().unwrap();
    assert_eq!(error.code, ErrorCode::Invalid);
    let error = config.config_error("x", &error);
    assert_eq!(error.position(), Some((3, 3)));
    assert_eq!(error.message(), "`plugins.x.config.keys[1]` takes a whole number, not \"2\"");
}

#[test]
fn strings_may_stand_for_variables_and_files() {
    let text = "[plugins.json.config]\na = \"x${env:A}y$${env:A}${file:token}\"\nb = [\"${env:A}\"]\nc = 1979-05-27\n\
                [plugins.s3.config]\nfile = \"${folder}/token\"\n";
    let config = load_text(text, &[("A", "1")]).unwrap();
    assert_eq!(config.plugin_config("json"), json!({"a": "x1y${env:A}s3cr3t", "b": ["1"], "c": "1979-05-27"}));
    let file = PathBuf::from(config.plugin_config("s3")["file"].as_str().unwrap());
    assert_eq!(file, config.file().unwrap().with_file_name("token"));
    for broken in ["${env:A", "${nothing:A}", "${}", "${file:missing}"] {
        let error = load_text(&format!("[plugins.json.config]\na = \"{broken}\"\n"), &[("A", "1")]).unwrap_err();
        assert_eq!(error.position(), Some((2, 6)), "{error}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let missing = PathBuf::from("/nonexistent/perennial.toml");
    let by_flag = Request { file: Some(missing.clone()), variables: Variables::default(), resolve: true };
    assert!(load(&by_flag).unwrap_err().to_string().contains("--config"));
    let variables = Variables::from_iter([("PERENNIAL_CONFIG", missing.as_os_str())]);
    let by_variable = Request { file: None, variables, resolve: true };
    assert!(load(&by_variable).unwrap_err().to_string().contains("PERENNIAL_CONFIG"));
}

#[test]
fn bytes_that_are_no_text_have_a_place_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("perennial.toml");
    fs::write(&file, b"[log]\nlevel = \"\xff\"\n").unwrap();
    let request = Request { file: Some(file), variables: Variables::default(), resolve: true };
    let error = load(&request).unwrap_err();
    assert_eq!(error.position(), Some((2, 10)), "{error}");
}

#[test]
fn folders_are_named_by_variables() {
    let find =
        |variables: &[(&str, &str)]| Directories::find(&Variables::from_iter(variables.iter().copied())).unwrap();
    let all = find(&[
        ("MCP_CREATE_DATA_DIR", "/app/data"),
        ("PERENNIAL_DATA_DIR", "/data"),
        ("PERENNIAL_CACHE_DIR", "/cache"),
        ("PERENNIAL_STATE_DIR", "/state"),
        ("PERENNIAL_RUNTIME_DIR", "relative"),
    ]);
    assert_eq!(all.data, Path::new("/app/data"));
    assert_eq!(all.cache, Path::new("/cache"));
    assert_eq!(all.state, Path::new("/state"));
    assert!(all.runtime.is_absolute() && all.runtime.ends_with("relative"));
    assert_eq!(find(&[("PERENNIAL_DATA_DIR", "/data")]).data, Path::new("/data"));
}
