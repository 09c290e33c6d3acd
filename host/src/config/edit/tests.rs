use std::fs;

use rstest::rstest;

use super::*;

const HASH: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn edit(text: &str, change: impl FnOnce(&mut Edit) -> Result<()>) -> Result<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("perennial.toml");
    fs::write(&file, text).unwrap();
    let mut edit = Edit::open(&file)?;
    change(&mut edit)?;
    edit.save()?;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
    Ok(fs::read_to_string(&file).unwrap())
}

fn pinned(text: &str) -> String {
    let hash = Hash { platform: "linux-x86_64", sha256: HASH };
    let pin = |edit: &mut Edit| edit.pin(&PluginName::built_in("x"), &hash).map(drop);
    edit(text, pin).unwrap().replace(HASH, "NEW")
}

fn without(text: &str) -> String {
    edit(text, |edit| edit.remove(&PluginName::built_in("x"))).unwrap()
}

#[rstest]
#[case::in_place_of_trust(
    "# a\n[plugins.x] # b\npath = 'x.so' # c\ntrust = \"unpinned\" # d\n# e\nconfig = { a = 1 }\n\n# f\n",
    "# a\n[plugins.x] # b\npath = 'x.so' # c\nsha256 = \"NEW\" # d\n# e\nconfig = { a = 1 }\n\n# f\n"
)]
#[case::a_new_hash(
    "[plugins.x]\nsha256   =   'old' # c\npath='x.so'\n[log]\n",
    "[plugins.x]\nsha256   =   \"NEW\" # c\npath='x.so'\n[log]\n"
)]
#[case::none_before(
    "[plugins.x]\npath = 'x.so'\nconfig = {}\n\n[plugins.x.env]\na = 'b'\n",
    "[plugins.x]\npath = 'x.so'\nsha256 = \"NEW\"\nconfig = {}\n\n[plugins.x.env]\na = 'b'\n"
)]
#[case::by_platform(
    "[plugins.x]\npath = { linux-x86_64 = 'x.so', macos-aarch64 = 'x.dylib' }\nsha256 = { macos-aarch64 = 'm', linux-x86_64 = 'l' }\n",
    "[plugins.x]\npath = { linux-x86_64 = 'x.so', macos-aarch64 = 'x.dylib' }\nsha256 = { macos-aarch64 = 'm', linux-x86_64 = \"NEW\" }\n"
)]
#[case::the_first_platform(
    "[plugins.x]\npath = { linux-x86_64 = 'x.so', macos-aarch64 = 'x.dylib' }\ntrust = 'unpinned'\n",
    "[plugins.x]\npath = { linux-x86_64 = 'x.so', macos-aarch64 = 'x.dylib' }\nsha256 = { linux-x86_64 = \"NEW\" }\n"
)]
#[case::one_hash_for_two(
    "[plugins.x]\npath = { linux-x86_64 = 'x.so', macos-aarch64 = 'x.dylib' }\nsha256 = 'old'\n",
    "[plugins.x]\npath = { linux-x86_64 = 'x.so', macos-aarch64 = 'x.dylib' }\nsha256 = { linux-x86_64 = \"NEW\", macos-aarch64 = \"old\" }\n"
)]
#[case::a_table_of_hashes(
    "[plugins.x.sha256]\nmacos-aarch64 = 'm' # m\n[plugins.x]\npath = 'x.so'\n",
    "[plugins.x.sha256]\nmacos-aarch64 = 'm' # m\nlinux-x86_64 = \"NEW\"\n[plugins.x]\npath = 'x.so'\n"
)]
#[case::inline(
    "plugins = { x = { path = 'x.so', trust = 'unpinned' }, y = {} } # z\n",
    "plugins = { x = { path = 'x.so', sha256 = \"NEW\" }, y = {} } # z\n"
)]
#[case::dotted(
    "[plugins]\n# one\nx.path = 'x.so'\n  x.trust = 'unpinned' # two\nx.config.a = 1\n",
    "[plugins]\n# one\nx.path = 'x.so'\n  x.sha256 = \"NEW\" # two\nx.config.a = 1\n"
)]
#[case::ends_of_lines(
    "\u{feff}# a\r\n[plugins.x]\r\npath = 'x.so'\r\ntrust = 'unpinned'\r\n# b\n[log]\r\n",
    "\u{feff}# a\r\n[plugins.x]\r\npath = 'x.so'\r\nsha256 = \"NEW\"\r\n# b\n[log]\r\n"
)]
#[case::no_end_of_the_last_line(
    "[plugins.x]\npath = 'x.so'\ntrust = 'unpinned'",
    "[plugins.x]\npath = 'x.so'\nsha256 = \"NEW\"\n"
)]
fn a_pin_changes_its_line_alone(#[case] before: &str, #[case] after: &str) {
    assert_eq!(pinned(before), after);
}

#[rstest]
#[case::the_only_one("[plugins.x]\npath = 'x.so'\n", "")]
#[case::with_its_comment(
    "[log] # a\nlevel = 'info'\n\n# of x\n[plugins.x]\npath = 'x.so' # c\n\n[plugins.x.config]\na = 1\n\n# of y\n[plugins.y]\n",
    "[log] # a\nlevel = 'info'\n\n# of y\n[plugins.y]\n"
)]
#[case::not_the_head_of_the_file(
    "# The team's file.\n\n# of x\n[plugins.x]\npath = 'x.so'\n\n[log]\n",
    "# The team's file.\n\n[log]\n"
)]
#[case::the_last_one(
    "[log]\n\n# Plugins\n\n[plugins.x]\npath = 'x.so'\n# the end\n",
    "[log]\n\n# Plugins\n# the end\n"
)]
#[case::inline("plugins = { x = { path = 'x.so' }, y = {} } # z\n", "plugins = { y = {} } # z\n")]
#[case::dotted("[plugins]\nx.path = 'x.so'\n# y\ny.path = 'y.so'\n", "[plugins]\n# y\ny.path = 'y.so'\n")]
#[case::ends_of_lines("[log]\r\n\r\n[plugins.x]\r\npath = 'x.so'\r\n", "[log]\r\n")]
fn a_removal_takes_a_table_and_its_comment(#[case] before: &str, #[case] after: &str) {
    assert_eq!(without(before), after);
}

#[test]
fn what_is_added_comes_last() {
    let plugin = NewPlugin {
        name: PluginName::built_in("x"),
        from: NewSource::Command(vec!["python3".into(), "a \"b\".py".into()]),
        config: toml::from_str("b = 'é'\na.c = [1, 2.5]").unwrap(),
    };
    let add = |text: &str| edit(text, |edit| edit.add(&plugin)).unwrap();
    let table = "[plugins.x]\ncommand = [\"python3\", 'a \"b\".py']\nconfig = { a = { c = [1, 2.5] }, b = \"é\" }\n";
    assert_eq!(add(""), table);
    assert_eq!(add("# a\n[plugins.y]\n# b\n"), format!("# a\n[plugins.y]\n# b\n\n{table}"));
    assert_eq!(add("[log] # a"), format!("[log] # a\n\n{table}"));
    assert_eq!(add("[log]\r\n"), format!("[log]\r\n\r\n{}", table.replace('\n', "\r\n")));
    let inline = add("plugins = { y = {} } # z\n");
    assert!(inline.starts_with("plugins = { y = {}, x = { command = [") && inline.ends_with("} # z\n"), "{inline}");
}

#[test]
fn what_is_not_there_is_not_changed() {
    let error = edit("[log]\n", |edit| edit.remove(&PluginName::built_in("x"))).unwrap_err();
    assert!(error.message.contains("no table `[plugins.x]`"), "{error}");
    let error = edit("[log\n", |edit| edit.remove(&PluginName::built_in("x"))).unwrap_err();
    assert!(error.message.contains("is no TOML"), "{error}");
}

#[test]
fn a_file_that_somebody_else_changed_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("perennial.toml");
    fs::write(&file, "[plugins.x]\n").unwrap();
    let mut edit = Edit::open(&file).unwrap();
    edit.remove(&PluginName::built_in("x")).unwrap();
    fs::write(&file, "# theirs\n").unwrap();
    assert!(edit.save().unwrap_err().message.contains("changed by somebody else"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "# theirs\n");
}
