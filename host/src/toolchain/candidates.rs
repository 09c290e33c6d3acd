use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use perennial_sdk::Program;

use super::probe::numbers;

/// Matches of a place with `*` in it that are tried.
const MAX_MATCHES: usize = 5;

/// Variables that a version switcher needs to find its own files.
const SWITCHERS: &[&str] = &["PYENV_", "ASDF_", "MISE_", "VOLTA_", "NVM_", "FNM_", "RUSTUP_", "CARGO_HOME"];

/// What a search for programs starts from.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Further variables that probes get, such as `PYENV_ROOT`.
    pub variables: BTreeMap<String, String>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let switchers = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| SWITCHERS.iter().any(|prefix| name.starts_with(prefix)) || name == "SYSTEMROOT");
        Self {
            path: std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect(),
            home: etcetera::home_dir().ok(),
            variables: switchers.collect(),
        }
    }

    /// The environment of a probe: it runs the user's own programs as the user would, shims among them, but without what
    /// else is set.
    pub(super) fn probe_environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.variables.clone();
        if let Some(path) = std::env::join_paths(&self.path).ok().and_then(|path| path.into_string().ok()) {
            environment.insert("PATH".into(), path);
        }
        if let Some(home) = self.home.as_ref().and_then(|home| home.to_str()) {
            environment.insert("HOME".into(), home.into());
        }
        environment
    }

    /// Every file that may be the program, the best guess first, none twice.
    pub(super) fn candidates(&self, program: &Program) -> Vec<PathBuf> {
        let mut folders = self.path.clone();
        folders.extend(program.places.iter().flat_map(|place| self.expand(place)));
        if cfg!(target_os = "macos") {
            // These are stand-ins that open a dialog when the developer tools are not installed.
            folders.sort_by_key(|folder| folder == Path::new("/usr/bin"));
        }
        let mut candidates: Vec<PathBuf> = Vec::new();
        let mut offer = |path: PathBuf| {
            if is_program(&path) && !candidates.contains(&path) {
                candidates.push(path);
            }
        };
        for name in &program.candidates {
            if name.contains(['/', '\\']) {
                self.expand(name).into_iter().for_each(&mut offer);
            }
        }
        let names: Vec<String> = program
            .candidates
            .iter()
            .filter(|name| !name.contains(['/', '\\']))
            .map(|name| format!("{name}{}", std::env::consts::EXE_SUFFIX))
            .collect();
        let (on_path, elsewhere) = folders.split_at(self.path.len());
        for folders in [on_path, elsewhere] {
            for name in &names {
                folders.iter().for_each(|folder| offer(folder.join(name)));
            }
        }
        candidates
    }

    /// The paths that a place with `~` and `*` stands for, those with the highest version first.
    fn expand(&self, place: &str) -> Vec<PathBuf> {
        let mut paths = match (place.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => vec![(home.clone(), rest)],
            (Some(_), None) => return Vec::new(),
            (None, _) => vec![(PathBuf::from("/"), place.trim_start_matches('/'))],
        };
        let (mut found, rest) = match paths.pop() {
            Some((start, rest)) => (vec![start], rest),
            None => return Vec::new(),
        };
        for part in rest.split('/') {
            found = match part.contains('*') {
                false => found.into_iter().map(|path| path.join(part)).collect(),
                true => found.iter().flat_map(|folder| matching(folder, part)).collect(),
            };
        }
        found
    }
}

/// The entries of a folder that match a pattern with one `*`, the highest versions first.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let fits = |name: &str| name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end);
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| fits(name)).collect();
    names.sort_by_key(|name| std::cmp::Reverse((numbers(name), name.clone())));
    names.truncate(MAX_MATCHES);
    names.into_iter().map(|name| folder.join(name)).collect()
}

fn is_program(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    #[cfg(unix)]
    let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let executable = true;
    metadata.is_file() && executable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program_file(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn path_comes_first_then_the_highest_version_of_a_place() {
        let home = tempfile::tempdir().unwrap();
        for version in ["3.9.18", "3.12.1", "3.10.2"] {
            program_file(&home.path().join("versions").join(version).join("bin/python3"));
        }
        program_file(&home.path().join("bin/python3"));
        std::fs::write(home.path().join("bin/python"), "not executable").unwrap();
        let surroundings = Surroundings {
            path: vec![home.path().join("bin")],
            home: Some(home.path().into()),
            variables: BTreeMap::new(),
        };
        let mut program = Program::new("python", ["python3", "python"]);
        program.places = vec!["~/versions/*/bin".into()];
        let found: Vec<String> = surroundings
            .candidates(&program)
            .iter()
            .map(|path| path.strip_prefix(home.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(
            found,
            [
                "bin/python3",
                "versions/3.12.1/bin/python3",
                "versions/3.10.2/bin/python3",
                "versions/3.9.18/bin/python3"
            ]
        );
    }

    #[test]
    fn a_chosen_path_is_not_searched_for() {
        let home = tempfile::tempdir().unwrap();
        program_file(&home.path().join("mine/python"));
        let surroundings = Surroundings { home: Some(home.path().into()), ..Surroundings::default() };
        let program = Program::new("python", ["~/mine/python"]);
        assert_eq!(surroundings.candidates(&program), [home.path().join("mine/python")]);
    }
}
