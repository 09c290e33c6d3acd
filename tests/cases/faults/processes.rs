//! Every process of a server is gone within three seconds of any end, whatever it does against it.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use crate::support::{TestHome, TestHost, carrying, misbehaving_server, wait_until, wait_until_gone, with_mark};

#[derive(Clone, Copy)]
enum End {
    StdinClosed,
    Sigterm,
    Sigkill,
    Deleted,
}

#[rstest]
fn fault_26_no_descendant_of_any_kind_outlives_its_server(
    #[values(End::StdinClosed, End::Sigterm, End::Sigkill, End::Deleted)] end: End,
) {
    end_of("family", end);
}

#[rstest]
fn fault_28_a_server_that_ignores_sigterm_is_killed(
    #[values(End::StdinClosed, End::Sigterm, End::Sigkill, End::Deleted)] end: End,
) {
    end_of("ignores_everything", end);
}

#[rstest]
fn fault_34_a_server_that_spins_at_the_end_of_its_input_is_killed(
    #[values(End::StdinClosed, End::Sigterm, End::Sigkill, End::Deleted)] end: End,
) {
    end_of("spins", end);
}

fn end_of(mode: &str, end: End) {
    let home = TestHome::new();
    let mut host = home.start();
    let before = carrying(&home.mark()).len();
    let id = start_family(&home, &mut host, mode);
    match end {
        End::StdinClosed => assert!(host.close().success()),
        End::Sigterm => assert!(host.terminate().success()),
        End::Sigkill => host.kill(),
        End::Deleted => {
            host.call("delete-server", json!({"serverId": id})).ok();
            let gone = wait_until(Duration::from_secs(3), || carrying(&home.mark()).len() <= before);
            assert!(gone, "{:#?}", carrying(&home.mark()));
            return;
        }
    }
    wait_until_gone(&home.mark());
}

/// Creates a server of this mode and lets it start whatever it starts.
fn start_family(home: &TestHome, host: &mut TestHost, mode: &str) -> String {
    let before = carrying(&home.mark()).len();
    let id = host.create_python(&with_mark(&misbehaving_server(mode), &home.mark()));
    host.execute(&id, "echo", json!({"message": "start"})).ok();
    let expected = before + if mode == "family" { 5 } else { 1 };
    let started = wait_until(Duration::from_secs(5), || carrying(&home.mark()).len() >= expected);
    assert!(started, "{:#?}", carrying(&home.mark()));
    id
}
