use std::path::{Path, PathBuf};

use perennial_sdk::{Error, ErrorCode, Result};
use serde::Serialize;

use super::{as_written, save};
use crate::{
    config::{
        Config, PluginName, Request,
        edit::{Edit, NewPlugin, NewSource},
    },
    exit::Failure,
    plugins::{Pin, inspect},
};

/// A plugin that the configuration now has.
#[derive(Debug, Serialize)]
pub struct Added {
    /// Its name.
    pub plugin: String,
    /// The configuration.
    pub file: PathBuf,
    /// Whether the configuration was made for it.
    pub created: bool,
    /// The library, or program and arguments, as they are written.
    pub from: Vec<String>,
    /// The hash of the library.
    pub sha256: Option<String>,
    /// What its author should know.
    pub notes: Vec<String>,
}

/// Adds a plugin to the configuration: the library `path` is looked at and pinned, or else `command` is written down. The
/// file is made when there is none.
///
/// # Errors
/// There is a plugin of that name; what is wrong with the library; the file cannot be written.
pub fn add_plugin(
    request: &Request,
    name: &PluginName,
    path: Option<&Path>,
    command: &[String],
    settings: toml::Table,
) -> Result<Added, Failure> {
    let Some(file) = request.path() else {
        return Err(Error::not_found("there is no home folder for the configuration")
            .hint("name the file with `--config`")
            .into());
    };
    // a link that leads nowhere is no file to begin, and loading it tells so
    let config = if file.symlink_metadata().is_ok() { as_written(request)? } else { Config::default() };
    if config.plugins.contains_key(name) {
        let hint = format!(
            "`perennial plugin pin {name}` takes its file as it is now; `perennial plugin remove {name}` removes it"
        );
        let what = format!("`{}` has a plugin `{name}` already", file.display());
        return Err(Error::new(ErrorCode::Conflict, what).hint(hint).into());
    }
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut notes = Vec::new();
    if perennial_sdk::registrations().iter().any(|plugin| plugin.id == name.as_str()) {
        notes.push(format!("it takes the place of the built-in plugin `{name}`"));
    }
    let mut sha256 = None;
    let from = match path {
        Some(path) => {
            let (library, written) = placed(path, folder)?;
            let inspected = inspect(&library, &Pin::Unpinned).map_err(named_here)?;
            let manifest = inspected.choose(name.as_str())?;
            if manifest.provides.iter().any(|kind| kind == "storage") {
                notes.push(format!("saved servers go there once `storage.use` is \"{name}\""));
            }
            sha256 = Some(inspected.sha256.clone());
            NewSource::Library { path: written, sha256: inspected.sha256 }
        }
        None => NewSource::Command(placed_command(command, folder, &mut notes)?),
    };
    let written = match &from {
        NewSource::Library { path, .. } => vec![path.clone()],
        NewSource::Command(command) => command.clone(),
    };
    let mut edit = Edit::open(&file)?;
    edit.add(&NewPlugin { name: name.clone(), from, config: settings })?;
    save(&edit, &file, request, Some(name))?;
    Ok(Added { plugin: name.to_string(), created: edit.is_new(), file, from: written, sha256, notes })
}

/// A path of the command line, and as it is written in a file of `folder`: relative to that when it is below it.
fn placed(path: &Path, folder: &Path) -> Result<(PathBuf, String)> {
    let absolute = std::path::absolute(path)?;
    let written = absolute.strip_prefix(folder).unwrap_or(&absolute);
    let written = written.to_str().map(str::to_owned);
    let written = written.ok_or_else(|| Error::unsupported(format!("`{}` is not UTF-8", absolute.display())))?;
    Ok((absolute, written))
}

/// The hint of an inspection is about what a file says.
fn named_here(error: Error) -> Error {
    match error.code {
        ErrorCode::NotFound => error.hint("build it first; the path is relative to the current folder"),
        _ => error,
    }
}

/// A command as it is run in `folder`: the program by its full path when it is named by one.
fn placed_command(command: &[String], folder: &Path, notes: &mut Vec<String>) -> Result<Vec<String>> {
    let Some((program, args)) = command.split_first().filter(|(program, _)| !program.is_empty()) else {
        return Err(Error::invalid("the command names no program"));
    };
    let mut placed_command = vec![program.clone()];
    if program.contains('/') {
        let (absolute, written) = placed(Path::new(program), folder)?;
        // a bare name would be looked for on `PATH`
        placed_command[0] = if written.contains('/') { written } else { format!("./{written}") };
        if !absolute.is_file() {
            notes.push(format!("there is no `{}` yet", absolute.display()));
        }
    }
    for argument in args {
        let relative = Path::new(argument);
        if relative.is_relative() && relative.exists() && !folder.join(relative).exists() {
            notes.push(format!(
                "`{argument}` is looked for in `{}`, where the process runs: give its full path to mean the file here",
                folder.display()
            ));
        }
        placed_command.push(argument.clone());
    }
    Ok(placed_command)
}
