use std::{
    process::Command,
    time::{Duration, Instant},
};

use perennial_sdk::{Error, Result};
use serde_json::{Value, json};

use super::Case;
use crate::{
    client::Client,
    peers::{PYTHON_SERVER, Peers},
    report::{Report, Target},
    samples::{Samples, median},
};

/// A server that is created again and again, and never twice with the same code: nothing that was built comes back.
pub(super) struct Subject {
    pub(super) language: &'static str,
    pub(super) code: &'static str,
    pub(super) comment: &'static str,
    pub(super) dependencies: Value,
}

/// How long what is installed for a server may take.
const LONGEST_BUILD: Duration = Duration::from_secs(900);

const PYTHON: Subject =
    Subject { language: "python", code: PYTHON_SERVER, comment: "#", dependencies: Value::Array(Vec::new()) };

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let mut host = Client::connect(peers.host())?;
    let first = PYTHON.create(&mut host, 0)?;
    report.note(Case::Create, "Python, the first one of a session", first.as_secs_f64() * 1e3, "ms");
    let rounds = if quick { 10 } else { 60 };
    against_bare(Case::Create, "Python", &PYTHON, &mut host, || peers.python(), rounds, 1.3, report)
}

/// Creates the subject and starts the same source bare, in turns.
#[expect(clippy::too_many_arguments, reason = "each is a fact about one comparison")]
pub(super) fn against_bare(
    case: Case,
    name: &str,
    subject: &Subject,
    host: &mut Client,
    bare: impl Fn() -> Command,
    rounds: usize,
    most: f64,
    report: &mut Report,
) -> Result<()> {
    let (mut created, mut started, mut ratios) = (Samples::default(), Samples::default(), Vec::new());
    // the files of the bare server are read from the disk once, too
    start(bare())?;
    for round in 1..=rounds {
        let alone = start(bare())?;
        let ready = subject.create(host, round)?;
        created.push(ready);
        started.push(alone);
        ratios.push(ready.as_secs_f64() / alone.as_secs_f64());
    }
    let what = format!("{name}, against the bare server's start, p50");
    report.judge(case, what, median(ratios), "times", Target::AtMost(most));
    let quiet = created.quantile_us(0.1) / started.quantile_us(0.1);
    report.note(case, format!("{name}, the same of the quickest tenths"), quiet, "times");
    report.note(case, format!("{name}, request to ready, p50"), created.median_us() / 1e3, "ms");
    report.note(case, format!("{name}, request to ready, p90"), created.quantile_us(0.9) / 1e3, "ms");
    report.note(case, format!("{name}, the bare server, spawn to its tools, p50"), started.median_us() / 1e3, "ms");
    Ok(())
}

/// From the spawn of a server to its tools.
pub(super) fn start(command: Command) -> Result<Duration> {
    let begun = Instant::now();
    let mut child = Client::connect(command)?;
    child.request("tools/list", json!({}))?;
    let took = begun.elapsed();
    child.end()?;
    Ok(took)
}

impl Subject {
    /// Creates it for the first time: what it depends on is installed then, however long that takes.
    pub(super) fn install(&self, host: &mut Client) -> Result<Duration> {
        let begun = Instant::now();
        let created = host.tool("create-server-from-template", self.arguments(0))?;
        let id = json!({ "serverId": created["serverId"] });
        let mut state = created;
        while state["state"] != "ready" {
            if begun.elapsed() > LONGEST_BUILD || state["state"] == "failed" {
                return Err(Error::unavailable(format!("the server was not built: {state}")));
            }
            std::thread::sleep(Duration::from_millis(50));
            state = host.tool("get-server", id.clone())?;
        }
        let took = begun.elapsed();
        host.tool("delete-server", id)?;
        Ok(took)
    }

    /// From the request to a server that answers. It is deleted again.
    pub(super) fn create(&self, host: &mut Client, round: usize) -> Result<Duration> {
        let arguments = self.arguments(round);
        let begun = Instant::now();
        let created = host.tool("create-server-from-template", arguments)?;
        let ready = begun.elapsed();
        if created["state"] != "ready" {
            return Err(Error::internal(format!("the server is not ready: {created}")));
        }
        host.tool("delete-server", json!({ "serverId": created["serverId"] }))?;
        Ok(ready)
    }

    fn arguments(&self, round: usize) -> Value {
        let code = format!("{}\n{} {round}\n", self.code, self.comment);
        json!({ "language": self.language, "code": code, "dependencies": self.dependencies })
    }
}
