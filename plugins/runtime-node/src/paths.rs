//! Paths of a server's files, always with `/`.

/// The path that `specifier` means in a file in `folder`; none when it leads out of the server.
pub(crate) fn resolve(folder: &str, specifier: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in specifier.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// How a file in `folder` names the file `path`.
pub(crate) fn relative(folder: &str, path: &str) -> String {
    let from: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<&str> = path.split('/').collect();
    let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
    let up = if common == from.len() { "./".into() } else { "../".repeat(from.len() - common) };
    up + &to[common..].join("/")
}

/// The folder of a file; empty at the top.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A path without its extension, and the extension without its dot.
pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') && !stem.is_empty() => (stem, extension),
        _ => (path, ""),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "./a.js", Some("a.js"))]
    #[case("lib", "../a.js", Some("a.js"))]
    #[case("lib/deep", "../b/./a", Some("lib/b/a"))]
    #[case("lib", "..", Some(""))]
    #[case("", "../a.js", None)]
    fn resolves(#[case] folder: &str, #[case] specifier: &str, #[case] path: Option<&str>) {
        assert_eq!(resolve(folder, specifier).as_deref(), path);
    }

    #[rstest]
    #[case("", "a.js", "./a.js")]
    #[case("lib", "a.js", "../a.js")]
    #[case("lib", "lib/a.js", "./a.js")]
    #[case("lib/deep", "other/a.js", "../../other/a.js")]
    fn names(#[case] folder: &str, #[case] path: &str, #[case] name: &str) {
        assert_eq!(relative(folder, path), name);
    }
}
