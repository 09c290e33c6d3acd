use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use perennial_sdk::{Cx, Error, Program, ProgramHome, Result, Tool};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::supervisor::{ProcessSpec, Supervisor};

/// A shim that starts another interpreter to find out what to start takes a tenth of this on a slow machine.
const LIMIT: Duration = Duration::from_secs(10);

/// Programs that stand in for others, found behind a symlink of another name.
const SWITCHERS: &[&str] = &["mise", "asdf", "rtx", "volta", "volta-shim", "pyenv", "proto", "proto-shim", "rustup"];

/// What a probe that answers in JSON says of itself.
#[derive(Deserialize)]
struct Told {
    version: String,
    path: PathBuf,
    #[serde(default)]
    roots: Vec<PathBuf>,
}

/// Runs a program with its probe's arguments.
pub(super) async fn ask(
    supervisor: &Arc<Supervisor>,
    program: &Program,
    candidate: &Path,
    environment: BTreeMap<String, String>,
    folder: &Path,
) -> Result<Tool> {
    if is_of_corepack(candidate) {
        return Err(Error::unavailable("it is a stand-in by Corepack, which would download the program"));
    }
    let environment = with_neighbours(environment, candidate);
    let run = async |path: PathBuf, args: &[String]| {
        let spec = ProcessSpec {
            label: format!("probe {}", program.name),
            program: path,
            args: args.to_vec(),
            env: environment.clone(),
            cwd: folder.to_path_buf(),
            confinement: None,
        };
        supervisor.run(&Cx::detached(), spec, LIMIT, |_| ()).await
    };
    let mut home = None;
    if let Some(ProgramHome { ask, args, path }) = &program.home {
        let ask = candidate.with_file_name(format!("{ask}{}", std::env::consts::EXE_SUFFIX));
        if let Ok(finished) = run(ask, args).await {
            home = home_in(&finished.stdout, path);
        }
    }
    let (candidate, root) = match &home {
        Some((path, root)) => (path.as_path(), Some(root)),
        None => (candidate, None),
    };
    let finished = run(candidate.to_path_buf(), &program.probe).await?;
    if !finished.exit.success() {
        let why = finished.tail.lines().last().unwrap_or("it says nothing").to_string();
        return Err(Error::unavailable(format!("it {}: {why}", finished.exit)));
    }
    let text = String::from_utf8_lossy(&finished.stdout);
    match serde_json::from_str::<Value>(text.trim()) {
        Ok(facts @ Value::Object(_)) => told(facts),
        _ => {
            let mut tool = read_off(candidate, &format!("{text}\n{}", finished.tail))?;
            tool.roots.extend(root.cloned());
            Ok(tool)
        }
    }
}

/// The program below a folder that was printed, and the folder.
fn home_in(printed: &[u8], path: &str) -> Option<(PathBuf, PathBuf)> {
    let text = String::from_utf8_lossy(printed);
    let folders = text.lines().map(|line| PathBuf::from(line.trim())).filter(|folder| folder.is_absolute());
    let mut programs = folders.map(|folder| (folder.join(format!("{path}{}", std::env::consts::EXE_SUFFIX)), folder));
    programs.find(|(program, _)| program.is_file())
}

/// A program that is a script, such as npm, finds its interpreter beside it when `PATH` leads nowhere near.
fn with_neighbours(mut environment: BTreeMap<String, String>, candidate: &Path) -> BTreeMap<String, String> {
    if let Some(folder) = candidate.parent().and_then(Path::to_str) {
        let path = environment.entry("PATH".into()).or_default();
        *path = if path.is_empty() { folder.to_string() } else { format!("{path}:{folder}") };
    }
    environment
}

/// The numbers of a version: `3.12.1` and `v3.12.1-beta` are both 3, 12, 1.
pub(super) fn numbers(version: &str) -> Vec<u64> {
    let start = version.find(|c: char| c.is_ascii_digit()).unwrap_or(version.len());
    let end = version[start..].find(|c: char| c != '.' && !c.is_ascii_digit()).map_or(version.len(), |end| start + end);
    version[start..end].split('.').filter_map(|part| part.parse().ok()).collect()
}

fn told(facts: Value) -> Result<Tool> {
    let told: Told = serde_json::from_value(facts.clone())
        .map_err(|error| Error::unavailable(format!("its probe's answer cannot be used: {error}")))?;
    let absolute = told.roots.iter().chain([&told.path]).all(|path| path.is_absolute());
    if !absolute || !told.path.is_file() {
        return Err(Error::unavailable(format!("it says that it is `{}`, which is no file", told.path.display())));
    }
    if is_shim(&told.path) {
        return Err(Error::unavailable("it is a shim that does not tell what it starts"));
    }
    Ok(Tool { path: told.path, version: told.version, roots: told.roots, facts })
}

/// A program that only tells its version is itself all that it needs.
fn read_off(candidate: &Path, text: &str) -> Result<Tool> {
    let path = candidate.canonicalize()?;
    if is_shim(&path) || is_shim(candidate) {
        return Err(Error::unavailable("it is a shim that does not tell what it starts"));
    }
    let is_version = |word: &&str| {
        let word = word.trim_start_matches('v');
        word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit())
    };
    let Some(version) = text.split([' ', '\n', '\t', '(', ')', ',']).find(is_version) else {
        return Err(Error::unavailable("it does not tell its version"));
    };
    let version = version.trim_start_matches('v').to_string();
    Ok(Tool { roots: vec![path.clone()], path, version, facts: json!({ "said": text.trim() }) })
}

/// Whether a file leads to Corepack, which downloads whatever is missing as soon as it is asked for anything.
fn is_of_corepack(path: &Path) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    real.components().any(|part| part.as_os_str() == "corepack")
}

fn is_shim(path: &Path) -> bool {
    let in_shims = path.parent().and_then(Path::file_name).is_some_and(|name| name == "shims");
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    in_shims || real.file_stem().and_then(|name| name.to_str()).is_some_and(|name| SWITCHERS.contains(&name))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("3.12.1", &[3, 12, 1])]
    #[case("v22.19.0", &[22, 19, 0])]
    #[case("cpython-3.13.0-linux-x86_64", &[3, 13, 0])]
    #[case("3.14.0rc1", &[3, 14, 0])]
    #[case("none", &[])]
    fn reads_numbers(#[case] text: &str, #[case] expected: &[u64]) {
        assert_eq!(numbers(text), expected);
    }

    #[test]
    fn a_version_is_read_off_any_text() {
        let tool = read_off(Path::new("/bin/sh"), "uv 0.13.9 (x86_64-unknown-linux-gnu)\n").unwrap();
        assert_eq!(tool.version, "0.13.9");
        assert_eq!(tool.roots, std::slice::from_ref(&tool.path));
        assert!(read_off(Path::new("/bin/sh"), "hello").is_err());
    }

    #[test]
    fn the_real_program_is_in_the_folder_that_was_printed() {
        let folder = tempfile::tempdir().unwrap();
        let printed = format!("{}\n", folder.path().display());
        assert_eq!(home_in(printed.as_bytes(), "tool"), None);
        std::fs::write(folder.path().join("tool"), "").unwrap();
        assert_eq!(home_in(printed.as_bytes(), "tool"), Some((folder.path().join("tool"), folder.path().into())));
        assert_eq!(home_in(b"lib\n", "tool"), None);
    }

    #[test]
    #[cfg(unix)]
    fn a_stand_in_by_corepack_is_known_by_where_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("node_modules/corepack/dist/pnpm.js");
        std::fs::create_dir_all(script.parent().unwrap()).unwrap();
        std::fs::write(&script, "").unwrap();
        let link = folder.path().join("pnpm");
        std::os::unix::fs::symlink(&script, &link).unwrap();
        assert!(is_of_corepack(&link) && !is_of_corepack(Path::new("/bin/sh")));
    }

    #[test]
    fn a_shim_is_known_by_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let shim = folder.path().join("shims/uv");
        std::fs::create_dir_all(shim.parent().unwrap()).unwrap();
        std::fs::write(&shim, "").unwrap();
        assert!(read_off(&shim, "uv 0.13.9").unwrap_err().message.contains("shim"));
    }
}
