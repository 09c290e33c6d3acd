use std::process::Command;

/// A program that runs without any network, the machine's own loopback included.
///
/// # Panics
/// When this account may not make a network namespace.
pub fn without_network(command: &Command) -> Command {
    apart("--net", &[], command)
}

/// A program that has mounts of its own, which this shell script makes.
///
/// # Panics
/// When this account may not make a mount namespace.
pub fn with_mounts(command: &Command, mounts: &str) -> Command {
    apart("--mount", &["sh", "-ec", &format!("{mounts}; exec \"$@\""), "sh"], command)
}

fn apart(namespace: &str, before: &[&str], command: &Command) -> Command {
    let unshare = |options: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(options);
        unshare
    };
    let (as_root, as_user) = ([namespace], ["--user", "--map-root-user", namespace]);
    let options = [&as_root[..], &as_user]
        .into_iter()
        .find(|options| unshare(options).arg("true").output().is_ok_and(|output| output.status.success()))
        .unwrap_or_else(|| panic!("`unshare {namespace}` does not work, as root or in a user namespace"));
    let mut isolated = unshare(options);
    isolated.args(before).arg(command.get_program()).args(command.get_args()).env_clear();
    isolated.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    isolated.current_dir(command.get_current_dir().unwrap());
    isolated
}
