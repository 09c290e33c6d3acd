//! The ways in which a machine can confine: each test runs in all that this one has, and says which it has not.

use std::{os::unix::fs::PermissionsExt, path::Path};

use super::*;

/// Whoever has no rights.
const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups --";

/// The same in a user namespace that refuses to have further ones.
const NOBODY_WITHOUT_NAMESPACES: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups -- \
     unshare --user --map-root-user -- sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"' sh \
     setpriv --bounding-set=-all --inh-caps=-all --";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The account of the tests, with whatever bubblewrap there is.
    Own,
    /// Without bubblewrap.
    OwnBare,
    /// An ordinary user, when the tests run as root.
    User,
    /// An ordinary user on a machine without user namespaces.
    UserBare,
}

/// A host whose sidecars run in that way, or none and a word to the reader of the log.
pub(super) async fn host(way: Way) -> Option<TestHost> {
    let root = rustix::process::geteuid().is_root();
    let host = match way {
        Way::Own | Way::OwnBare => TestHost::new(),
        Way::User | Way::UserBare if !root => return skip(way, "the tests do not run as root"),
        Way::User => as_other(NOBODY),
        Way::UserBare => as_other(NOBODY_WITHOUT_NAMESPACES),
    };
    let folder = host.folder.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    for (name, mode) in [("own", 0o777), ("outside", 0o777)] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    if matches!(way, Way::User | Way::UserBare) {
        let works = host.supervisor.run(&Cx::detached(), host.shell("exit 0"), Duration::from_secs(60), |_| ()).await;
        if !works.is_ok_and(|finished| finished.exit.success()) {
            return skip(way, "no process can be started as `nobody` here");
        }
    }
    match way {
        Way::OwnBare => host.supervisor.ground.set(Ground::default()).unwrap(),
        Way::Own | Way::User | Way::UserBare => host.supervisor.explore().await,
    }
    let ground = host.supervisor.ground.get().unwrap();
    match (way, &ground.bubblewrap, &ground.without) {
        (Way::Own | Way::User, None, reason) => {
            skip(way, &format!("bubblewrap does not work: {}", reason.as_deref().unwrap_or("?")))
        }
        (Way::UserBare, Some(_), _) => panic!("namespaces within a user namespace that has none"),
        _ => Some(host),
    }
}

fn skip(way: Way, reason: &str) -> Option<TestHost> {
    eprintln!("skipped {way:?}: {reason}");
    None
}

/// A host whose sidecars are started through `prefix`.
fn as_other(prefix: &str) -> TestHost {
    let mut host = TestHost::new();
    let sidecar = host.folder.path().join("sidecar");
    fs::write(&sidecar, format!("#!/bin/sh\nexec {prefix} {} \"$@\"\n", TestHost::program().display())).unwrap();
    fs::set_permissions(&sidecar, fs::Permissions::from_mode(0o755)).unwrap();
    host.supervisor = Supervisor::with_sidecar(host.folder.path().to_owned(), sidecar);
    host
}

impl TestHost {
    pub(super) fn own(&self) -> PathBuf {
        self.folder.path().join("own")
    }

    pub(super) fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    /// A confined program that may write its own folder.
    pub(super) fn confined(
        &self,
        program: impl AsRef<Path>,
        args: &[&str],
        change: impl FnOnce(&mut Confinement),
    ) -> ProcessSpec {
        let mut confinement = Confinement { write: vec![self.own()], ..Confinement::default() };
        change(&mut confinement);
        ProcessSpec {
            program: program.as_ref().into(),
            args: args.iter().map(ToString::to_string).collect(),
            cwd: self.own(),
            confinement: Some(confinement),
            ..self.shell("")
        }
    }

    pub(super) async fn finished(&self, spec: ProcessSpec) -> Finished {
        self.supervisor.run(&Cx::detached(), spec, Duration::from_secs(60), |_| ()).await.unwrap()
    }
}

/// A Python that every user may start.
pub(super) const PYTHON: &str = "/usr/bin/python3";

/// What Python says of `code`: `done`, or `refused` and the number of the error.
pub(super) async fn attempt(host: &TestHost, spec: impl FnOnce(&str) -> ProcessSpec, code: &str) -> String {
    let body: String = code.lines().map(|line| format!("    {line}\n")).collect();
    let script =
        format!("{PRELUDE}\ntry:\n{body}    print('done')\nexcept OSError as e:\n    print('refused', e.errno)\n");
    let finished = host.finished(spec(&script)).await;
    let said = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    if said.is_empty() { format!("{} {}", finished.exit, finished.tail) } else { said }
}

const PRELUDE: &str = "
import ctypes, mmap, os, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *args):
    got = libc.syscall(ctypes.c_long(number), *[a if isinstance(a, bytes) else ctypes.c_long(a) for a in args])
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got
";
