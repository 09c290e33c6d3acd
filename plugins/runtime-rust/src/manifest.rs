//! The manifest of an environment, and its short form in front of the lock.

use perennial_sdk::File;

use crate::dependency::{Dependencies, Dependency};

/// What the crate is called that has the dependencies of an environment; [`crate::environment`] looks for it.
pub(crate) const ROOT: &str = "perennial-environment";

/// Begins the lines of a lock that say which crates and features it was made for: a lock alone does not tell features.
pub(crate) const MARK: &str = "# dependency: ";

/// The profile that dependencies are compiled with.
pub(crate) const PROFILE: &str = "environment";

/// The files of the crate, without its lock.
pub(crate) fn crate_files(dependencies: &Dependencies) -> Vec<File> {
    vec![
        File { path: "Cargo.toml".into(), contents: text(ROOT, dependencies) },
        File { path: "src/main.rs".into(), contents: "fn main() {}\n".into() },
    ]
}

/// What is depended on, in canonical form as callers write it, one a line: `serde@^1 [derive]`.
pub(crate) fn requirements(dependencies: &Dependencies) -> String {
    let line = |(name, dependency): (&String, &Dependency)| {
        let no_default = (!dependency.default_features).then_some("-default");
        let features: Vec<&str> =
            no_default.into_iter().chain(dependency.features.iter().map(String::as_str)).collect();
        let features = if features.is_empty() { String::new() } else { format!(" [{}]", features.join(", ")) };
        format!("{name}@{}{features}\n", dependency.versions)
    };
    dependencies.iter().map(line).collect()
}

/// A manifest.
pub(crate) fn text(name: &str, dependencies: &Dependencies) -> String {
    let mut text = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\npublish = false\n");
    text.push_str("\n[workspace]\n\n[dependencies]\n");
    for (name, dependency) in dependencies {
        text.push_str(&format!("{name} = {dependency}\n"));
    }
    if name == ROOT {
        text.push_str(&format!("\n[profile.{PROFILE}]\ninherits = \"release\"\n"));
    }
    text
}

/// A lock with nothing locked yet: cargo keeps the lines, whatever it adds.
pub(crate) fn unlocked(dependencies: &Dependencies) -> File {
    let lines = dependencies.iter().map(|(name, dependency)| format!("{MARK}{name} = {dependency}\n"));
    File { path: "Cargo.lock".into(), contents: lines.collect() }
}
