use std::path::{Component, Path, PathBuf};

use super::{Protected, Refusal};
use crate::config::Policy;

/// Folders and files that one server may name.
const MOST_PATHS: usize = 50;

/// What a server may read: what lies in a folder that others may write may be read, too.
pub(super) fn read(
    policy: &Policy,
    asked: &[String],
    protected: &Protected,
    refused: &mut Vec<Refusal>,
) -> Vec<PathBuf> {
    judge("read", &[&policy.read, &policy.write], asked, protected, refused)
}

/// What a server may write.
pub(super) fn write(
    policy: &Policy,
    asked: &[String],
    protected: &Protected,
    refused: &mut Vec<Refusal>,
) -> Vec<PathBuf> {
    let mut folders = judge("write", &[&policy.write], asked, protected, refused);
    folders.retain(|folder| {
        let is_folder = folder.is_dir();
        if !is_folder {
            refused.push(
                Refusal::invalid("write", &folder.to_string_lossy(), "is no folder")
                    .instead("name the folder that it lies in"),
            );
        }
        is_folder
    });
    folders
}

fn judge(
    kind: &'static str,
    lists: &[&Vec<PathBuf>],
    asked: &[String],
    protected: &Protected,
    refused: &mut Vec<Refusal>,
) -> Vec<PathBuf> {
    if asked.is_empty() {
        return Vec::new();
    }
    let listed: Vec<PathBuf> =
        lists.iter().flat_map(|list| list.iter()).map(|path| real(&at_home(path, protected))).collect();
    let mut granted = Vec::new();
    for (number, text) in asked.iter().enumerate() {
        if number == MOST_PATHS {
            refused.push(Refusal::invalid(kind, text, format!("comes after {MOST_PATHS} others, which is the most")));
            break;
        }
        match one(kind, &listed, text, protected) {
            Ok(path) if granted.contains(&path) => {}
            Ok(path) => granted.push(path),
            Err(refusal) => refused.push(*refusal),
        }
    }
    granted
}

fn one(kind: &'static str, listed: &[PathBuf], text: &str, protected: &Protected) -> Result<PathBuf, Box<Refusal>> {
    let path = at_home(Path::new(text), protected);
    let plain =
        path.is_absolute() && path.components().all(|part| part != Component::ParentDir) && !text.contains('\0');
    if !plain {
        let refusal = Refusal::invalid(kind, text, "is no path from the root");
        return Err(Box::new(refusal.instead("write whole paths without `..`, such as `/data/books` or `~/books`")));
    }
    let denied = |why: &str| Box::new(Refusal::denied(kind, text, why, path.display().to_string()));
    let below = |path: &Path| listed.iter().any(|folder| path.starts_with(folder));
    // where links lead is what counts, both ways
    let Ok(place) = path.canonicalize() else {
        // what is there beyond the ceiling is nobody's business
        return Err(match below(&real(&path)) {
            true => Box::new(Refusal::invalid(kind, text, "does not exist")),
            false => denied(outside(kind)),
        });
    };
    if !below(&place) {
        return Err(denied(outside(kind)));
    }
    if listed.contains(&place) {
        return Ok(place);
    }
    if protected.home.as_ref().is_some_and(|home| real(home).starts_with(&place)) {
        return Err(denied("is the user's home, or has it in it, which must be listed as such"));
    }
    let own = protected.own.iter().map(|folder| real(folder));
    if own.into_iter().any(|own| own.starts_with(&place) || place.starts_with(&own)) {
        return Err(denied("has what Perennial itself keeps in it, which must be listed as such"));
    }
    Ok(place)
}

fn outside(kind: &str) -> &'static str {
    match kind {
        "read" => "is not in a folder that the operator lets servers read",
        _ => "is not in a folder that the operator lets servers write",
    }
}

fn at_home(path: &Path, protected: &Protected) -> PathBuf {
    match (path.strip_prefix("~"), &protected.home) {
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => home.clone(),
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

/// Where a path leads, as far as there is something.
fn real(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let Ok(there) = above.canonicalize() {
            return match path.strip_prefix(above) {
                Ok(rest) if !rest.as_os_str().is_empty() => there.join(rest),
                _ => there,
            };
        }
    }
    path.to_path_buf()
}
