use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use perennial::supervisor::{Caps, Confinement, Enforced, ProcessSpec, Supervisor};
use perennial_sdk::{Error, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use tokio::io::AsyncReadExt;

use super::{Case::Confine, arguments, call};
use crate::{
    client::Request,
    echo,
    peers::Peers,
    report::{Report, Target},
    samples::{Samples, median},
};

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(peers, quick, report))?;
    calls(peers, quick, report)
}

/// A call of a confined server against one of a free server, all on one core: on several, a call takes twice as long or half
/// as long by where the scheduler once put its processes.
fn calls(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let everywhere = sched_getaffinity(None)?;
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    sched_setaffinity(None, &here)?;
    let compared = compared(peers, quick, report);
    sched_setaffinity(None, &everywhere)?;
    compared
}

fn compared(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let ((mut host, id), (mut free_host, free_id)) = (peers.host_with_echo()?, peers.free_host_with_echo()?);
    let mut request = Request::through_host(&id, echo::TOOL, &arguments(32));
    let mut free_request = Request::through_host(&free_id, echo::TOOL, &arguments(32));
    let mut ratios = Vec::new();
    for _ in 0..if quick { 10 } else { 100 } {
        let free = call::block(&mut free_host, &mut free_request, 50)?;
        let confined = call::block(&mut host, &mut request, 50)?;
        ratios.push(confined.median_us() / free.median_us());
    }
    report.note(Confine, "`execute-tool` of 32 B on one core, confined against free, p50", median(ratios), "times");
    Ok(())
}

async fn measure(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let supervisor = Supervisor::with_sidecar(peers.new_folder("confined")?, peers.binary().to_owned());
    let own = peers.new_folder("own")?;
    let begun = Instant::now();
    supervisor.explore().await;
    report.note(Confine, "finding out what the machine has, once", begun.elapsed().as_secs_f64() * 1e3, "ms");
    let caps = Caps {
        memory_bytes: Some(512 << 20),
        cpu: Some(1.0),
        pids: Some(64),
        files: Some(1024),
        disk_bytes: Some(1 << 30),
    };
    let confinement = Confinement { write: vec![own.clone()], caps, ..Confinement::default() };
    let (mut free, mut confined, mut added) = (Samples::default(), Samples::default(), Vec::new());
    let mut enforced = Enforced::default();
    for _ in 0..if quick { 10 } else { 100 } {
        let (took_free, _) = up(&supervisor, &own, None).await?;
        let (took_confined, now) = up(&supervisor, &own, Some(confinement.clone())).await?;
        free.push(took_free);
        confined.push(took_confined);
        added.push((took_confined.as_secs_f64() - took_free.as_secs_f64()) * 1e3);
        enforced = now;
    }
    let by = told(&enforced);
    report.judge(Confine, format!("added to a start by {by}, p50"), median(added), "ms", Target::AtMost(6.0));
    report.note(Confine, "a start to its first line, confined, p50", confined.median_us() / 1e3, "ms");
    report.note(Confine, "a start to its first line, free, p50", free.median_us() / 1e3, "ms");
    Ok(())
}

/// Starts a shell and waits until it has said something; how long that took.
async fn up(
    supervisor: &Arc<Supervisor>,
    cwd: &Path,
    confinement: Option<Confinement>,
) -> Result<(Duration, Enforced)> {
    let spec = ProcessSpec {
        label: "bench".into(),
        program: "/bin/sh".into(),
        args: vec!["-c".into(), "echo up; exec cat".into()],
        env: [("PATH".into(), "/usr/bin:/bin".into())].into(),
        cwd: cwd.into(),
        confinement,
    };
    let begun = Instant::now();
    let mut child = supervisor.spawn(spec).await?;
    let mut line = [0; 3];
    child.stdout.read_exact(&mut line).await?;
    let took = begun.elapsed();
    let enforced = child.process.enforced().clone();
    child.process.kill();
    child.process.exited().await;
    if &line == b"up\n" { Ok((took, enforced)) } else { Err(Error::internal("a shell said something else")) }
}

fn told(enforced: &Enforced) -> String {
    let files = enforced.measures.iter().find(|measure| measure.what == "files");
    files.and_then(|files| files.by.clone()).unwrap_or_else(|| "nothing".into())
}
