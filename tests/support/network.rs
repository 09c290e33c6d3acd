use std::process::Command;

/// A program that runs without any network, the machine's own loopback included.
///
/// # Panics
/// When this account may not make a network namespace.
pub fn without_network(command: &Command) -> Command {
    let unshare = |options: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(options);
        unshare
    };
    let options = [&["--net"][..], &["--user", "--map-root-user", "--net"]]
        .into_iter()
        .find(|options| unshare(options).arg("true").output().is_ok_and(|output| output.status.success()))
        .expect("`unshare --net` works, as root or in a user namespace");
    let mut isolated = unshare(options);
    isolated.arg(command.get_program()).args(command.get_args()).env_clear();
    isolated.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    isolated.current_dir(command.get_current_dir().unwrap());
    isolated
}
