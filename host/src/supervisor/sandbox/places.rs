use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::supervisor::Confinement;

/// What every program of the system needs to read and execute, as far as it is there. None of it tells of a user.
const SYSTEM: [&str; 9] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"];

/// Read by programs that want to know how many processors there are, and done without where it is missing.
pub(super) const PROCESSORS: &str = "/sys/devices/system/cpu";

/// Where programs look for settings of the machine.
pub(super) const SETTINGS: &str = "/etc";

/// What of it is for everybody: loader, names, certificates, time, interpreters.
const ETC: [&str; 32] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "ld-musl-aarch64.path",
    "ld-musl-x86_64.path",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ld.so.preload",
    "localtime",
    "locale.alias",
    "locale.conf",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "perl",
    "pki",
    "protocols",
    "resolv.conf",
    "rpc",
    "services",
    "ssl",
    "timezone",
];

/// Devices that hold nothing and lead nowhere.
pub(super) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Folders in memory that a process inside namespaces has for itself; elsewhere they are everybody's, and closed.
pub(super) const SCRATCH: [&str; 2] = ["/tmp", "/dev/shm"];

/// Where processes and the kernel are seen; read only.
pub(super) const PROCESSES: &str = "/proc";

/// What may be read and executed, by the names that it is asked for; whether it is there or not, and a link or not.
pub(super) fn named(confinement: &Confinement) -> impl Iterator<Item = PathBuf> {
    system().chain(settings()).chain(confinement.read.iter().cloned())
}

/// What may be read and executed. Paths that do not exist are left out, and what a link leads to is added.
pub(super) fn readable(confinement: &Confinement) -> Vec<PathBuf> {
    existing(system().chain(settings()), confinement)
}

/// [`readable`] with all of the machine's settings.
pub(super) fn readable_and_settings(confinement: &Confinement) -> Vec<PathBuf> {
    // Each of them, too: some are links to elsewhere, as `resolv.conf` often is.
    existing(system().chain([PathBuf::from(SETTINGS)]).chain(settings()), confinement)
}

fn existing(paths: impl Iterator<Item = PathBuf>, confinement: &Confinement) -> Vec<PathBuf> {
    let links = [Path::new("/"), Path::new(SETTINGS)].map(|folder| (folder, folder.is_symlink()));
    // Every start looks at some of them: where the folder is no link, one look tells what is there.
    let one = |path: PathBuf| match fs::symlink_metadata(&path) {
        Err(_) => Vec::new(),
        Ok(found)
            if !found.is_symlink() && links.iter().any(|(folder, link)| !link && path.parent() == Some(folder)) =>
        {
            vec![path]
        }
        Ok(_) => real(path),
    };
    paths.flat_map(one).chain(confinement.read.iter().cloned().flat_map(real)).collect()
}

fn system() -> impl Iterator<Item = PathBuf> {
    SYSTEM.iter().map(PathBuf::from)
}

/// Those of the machine's settings that are for every program.
fn settings() -> impl Iterator<Item = PathBuf> {
    ETC.iter().map(|name| Path::new(SETTINGS).join(name)).chain(interpreters())
}

/// What may be written, and everything that may be done in it.
pub(super) fn writable(confinement: &Confinement) -> Vec<PathBuf> {
    confinement.write.iter().cloned().flat_map(real).collect()
}

/// Whether a path lies in what may be read or written; the root itself is there for everybody.
pub(in crate::supervisor) fn shows(confinement: &Confinement, path: &Path, inside: bool) -> bool {
    // What is not there is below something that is hidden by a folder in memory.
    let scratch = SCRATCH.iter().filter(|_| inside && path.exists()).map(PathBuf::from);
    let own = confinement.read.iter().chain(&confinement.write).cloned();
    path == Path::new("/")
        // Most are where they are said to be, which is known without a look at all the others.
        || system().chain(own).any(|place| path.starts_with(&place) && place.exists())
        || readable(confinement).into_iter().chain(writable(confinement)).chain(scratch).any(|place| path.starts_with(place))
}

/// Debian's Python reads `/etc/python3.N/sitecustomize.py` at every start.
fn interpreters() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(SETTINGS).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"python")).map(|entry| entry.path())
}

fn real(path: PathBuf) -> Vec<PathBuf> {
    match fs::canonicalize(&path) {
        Ok(real) if real == path => vec![path],
        Ok(real) => vec![path, real],
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_setting_links_to_is_readable_with_all_of_them() {
        let paths = readable_and_settings(&Confinement::default());
        for setting in settings().filter_map(|setting| fs::canonicalize(setting).ok()) {
            assert!(paths.iter().any(|path| setting.starts_with(path)), "{}", setting.display());
        }
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().canonicalize().unwrap().join("target"));
        fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let nothing = Confinement::default();
        assert_eq!(existing([link.clone(), folder.path().join("missing")].into_iter(), &nothing), [link, target]);
    }
}
