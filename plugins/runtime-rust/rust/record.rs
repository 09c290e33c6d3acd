// Stands between cargo and rustc while dependencies are compiled, and writes down how cargo makes the compiler find
// them: `record RUSTC ARGUMENT…`. Afterwards it removes what only cargo needs: `record --prune FOLDER`.
use std::{
    env,
    ffi::OsString,
    fs, io,
    path::Path,
    process::{exit, Command},
};

fn main() {
    let mut args = env::args_os().skip(1);
    let Some(program) = args.next() else { exit(2) };
    let rest: Vec<OsString> = args.collect();
    if program == "--prune" {
        let pruned = rest.first().map_or(Ok(()), |folder| prune(Path::new(folder)));
        return pruned.unwrap_or_else(|error| fail("the build folder cannot be pruned", &error));
    }
    if rest.windows(2).any(|pair| pair[0] == "--crate-name" && pair[1] == "perennial_environment") {
        if let Err(error) = record(&rest) {
            fail("the arguments cannot be recorded", &error);
        }
    }
    match Command::new(program).args(&rest).status() {
        Ok(status) => exit(status.code().unwrap_or(1)),
        Err(error) => fail("the compiler cannot be started", &error),
    }
}

fn record(args: &[OsString]) -> io::Result<()> {
    let Some(file) = env::var_os("PERENNIAL_ARGUMENTS") else { return Ok(()) };
    let mut lines = String::new();
    for pair in args.windows(2).filter(|pair| pair[0] == "--extern" || pair[0] == "-L") {
        for arg in pair {
            lines.push_str(arg.to_str().ok_or(io::ErrorKind::InvalidData)?);
            lines.push('\n');
        }
    }
    fs::write(file, lines)
}

/// Libraries, and what build scripts made, stay.
fn prune(target: &Path) -> io::Result<()> {
    for profile in fs::read_dir(target)?.flatten().filter(|entry| entry.path().is_dir()) {
        for name in [".fingerprint", "incremental", "examples"] {
            let _ = fs::remove_dir_all(profile.path().join(name));
        }
        for entry in fs::read_dir(profile.path())?.flatten().filter(|entry| entry.path().is_file()) {
            fs::remove_file(entry.path())?;
        }
        let libraries = fs::read_dir(profile.path().join("deps")).into_iter().flatten().flatten();
        for entry in libraries {
            let path = entry.path();
            let kept = ["rlib", "so", "dylib", "dll", "lib", "a"];
            if path.is_file() && !path.extension().is_some_and(|end| kept.iter().any(|kept| end == *kept)) {
                fs::remove_file(path)?;
            }
        }
        let scripts = fs::read_dir(profile.path().join("build")).into_iter().flatten().flatten();
        for entry in scripts.filter(|entry| !entry.path().join("out").exists()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn fail(what: &str, error: &io::Error) -> ! {
    eprintln!("{what}: {error}");
    exit(1)
}
