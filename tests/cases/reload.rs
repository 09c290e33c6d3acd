//! SIGHUP: the configuration is read again, and otherwise the host ends.

use crate::support::TestHome;

#[test]
fn a_file_that_is_gone_changes_nothing() {
    let home = TestHome::new();
    let folder = home.path().join("config/perennial");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("perennial.toml"), "[limits]\ncall_timeout_s = 5\n").unwrap();
    let host = home.start();
    std::fs::remove_dir_all(&folder).unwrap();
    host.hang_up();
    host.wait_for_stderr("perennial.toml` is gone");
    assert!(host.close().success());
}

#[test]
fn a_hang_up_ends_a_host_that_has_no_file() {
    let home = TestHome::new();
    let mut host = home.start();
    host.hang_up();
    assert!(host.wait().success());
}
