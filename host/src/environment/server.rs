//! The server's own files and its command.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

use perennial_sdk::{Error, File, Plan, Result};

use super::placeholders::Placeholders;
use crate::{blocking::blocking, supervisor::ProcessSpec};

/// Makes a state folder with a temporary one inside.
pub(super) async fn make_state(state_dir: &Path) -> Result<()> {
    let temporary = state_dir.join("tmp");
    blocking(move || Ok(std::fs::create_dir_all(temporary)?)).await
}

/// Writes the files of a server.
///
/// # Errors
/// `invalid` for a path that is not plainly below the server's folder.
pub(super) async fn write(server_dir: &Path, files: &[File]) -> Result<()> {
    let (server, files) = (server_dir.to_path_buf(), placed(server_dir, files)?);
    blocking(move || {
        std::fs::create_dir_all(server)?;
        put(&files)
    })
    .await
}

/// Writes files below a folder.
///
/// # Errors
/// `invalid` for a path that is not plainly below it.
pub(super) async fn write_files(folder: &Path, files: &[File]) -> Result<()> {
    let files = placed(folder, files)?;
    blocking(move || put(&files)).await
}

fn placed(folder: &Path, files: &[File]) -> Result<Vec<(PathBuf, String)>> {
    files.iter().map(|file| Ok((below(folder, &file.path)?, file.contents.clone()))).collect()
}

fn put(files: &[(PathBuf, String)]) -> Result<()> {
    files.iter().try_for_each(|(path, contents)| {
        let written = std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| std::fs::write(path, contents));
        written.map_err(|error| Error::from(error).context(format!("failed to write `{}`", path.display())))
    })
}

/// Makes the links of a plan in the server's folder; whatever is there already is an error, so that no file of the server
/// hides a package or is written where a link leads.
pub(super) async fn link(server_dir: &Path, plan: &Plan, places: &Placeholders) -> Result<()> {
    for (path, target) in &plan.links {
        let (path, target) = (below(server_dir, path)?, PathBuf::from(places.expand(target)?));
        blocking(move || {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            link_folder(&target, &path)
                .map_err(|error| Error::from(error).context(format!("failed to link `{}`", path.display())))
        })
        .await?;
    }
    Ok(())
}

#[cfg(unix)]
fn link_folder(target: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn link_folder(target: &Path, path: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, path)
}

/// The command of a server: its own home and temporary folder, a universal locale, and nothing of the host's environment
/// but the time zone.
pub(super) fn process(plan: &Plan, places: &Placeholders, state_dir: &Path) -> Result<ProcessSpec> {
    let (program, args, env) = places.command(&plan.run)?;
    let mut environment = std::collections::BTreeMap::from([
        ("PATH".to_string(), search_path(&program)),
        ("HOME".to_string(), state_dir.to_string_lossy().into_owned()),
        ("TMPDIR".to_string(), state_dir.join("tmp").to_string_lossy().into_owned()),
        ("LANG".to_string(), "C.UTF-8".to_string()),
    ]);
    if let Ok(zone) = std::env::var("TZ") {
        environment.insert("TZ".into(), zone);
    }
    environment.extend(env);
    Ok(ProcessSpec {
        label: "server".into(),
        program,
        args,
        env: environment,
        cwd: state_dir.to_path_buf(),
        confinement: None,
    })
}

/// Removes scratch folders that hosts left behind which were killed a day ago or earlier: no step takes that long.
pub(super) fn sweep(folder: &Path) {
    let old = |entry: &std::fs::DirEntry| {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|modified| modified.elapsed());
        matches!(age, Ok(Ok(age)) if age > Duration::from_secs(24 * 60 * 60))
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().filter(old) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::debug!(folder = %entry.path().display(), %error, "a leftover was not removed");
        }
    }
}

/// The folder of the program itself and those of the system.
pub(super) fn search_path(program: &Path) -> String {
    let own = program.parent().unwrap_or(Path::new("/usr/bin")).to_string_lossy();
    format!("{own}:/usr/local/bin:/usr/bin:/bin")
}

fn below(folder: &Path, path: &str) -> Result<PathBuf> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !plain || path.contains('\\') || path.chars().any(char::is_control) || path.len() > 255 {
        let shown: String = path.chars().take(80).flat_map(char::escape_debug).collect();
        return Err(Error::invalid(format!("`{shown}` is no path of a file of the server"))
            .hint("use a relative path with `/`, such as `lib/words.txt`"));
    }
    Ok(folder.join(path))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("../main.py")]
    #[case("/etc/passwd")]
    #[case("a/../../b")]
    #[case("./a")]
    #[case("")]
    #[case("a\\b")]
    #[case("a\nb")]
    #[case("a\0b")]
    fn paths_stay_below(#[case] path: &str) {
        assert!(below(Path::new("/server"), path).is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_takes_the_place_of_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut places = Placeholders::new(&perennial_sdk::Toolchain::default()).unwrap();
        places.set("env", folder.path()).unwrap();
        let plan = Plan::default().link("lib/packages", "{env}");
        link(&folder.path().join("server"), &plan, &places).await.unwrap();
        assert_eq!(std::fs::read_link(folder.path().join("server/lib/packages")).unwrap(), folder.path());
        assert!(link(&folder.path().join("server"), &plan, &places).await.is_err());
    }

    #[tokio::test]
    async fn files_are_written_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = File { path: "lib/a.py".into(), contents: "x = '{env}'\r\n".into() };
        write(&folder.path().join("server"), std::slice::from_ref(&file)).await.unwrap();
        make_state(&folder.path().join("state")).await.unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("server/lib/a.py")).unwrap(), file.contents);
        assert!(folder.path().join("state/tmp").is_dir());
    }
}
