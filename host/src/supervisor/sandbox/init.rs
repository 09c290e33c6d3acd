use std::{
    io::{self, stdin},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{ExitCode, Stdio},
};

use rustix::process::{Pid, WaitOptions, getpid, wait};

use super::{
    entry::{Entry, Site},
    open_gate,
};
use crate::supervisor::{
    start::{Channels, close_strangers_on_exec, errno, hidden, let_go_of_output, spawn, why},
    status::cause,
    wire::{Order, Received, Word, send, tell},
};

/// The first process inside bubblewrap's namespaces (`perennial __enter`): confines and starts the program, says how it
/// ended, and ends, whereupon the kernel ends everything else inside.
///
/// Descriptor 0 is the passage to the sidecar, through which the order and the program's descriptors come. To be called
/// first thing, in a process with one thread.
pub fn run_entry() -> ExitCode {
    match start() {
        Ok(Some(main)) => follow(main),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = format!("the entry failed: {error}");
            tell(stdin(), &Word::NotStarted { errno: errno(&error), reason });
            ExitCode::FAILURE
        }
    }
}

/// None when there is nothing to follow, and the sidecar knows.
fn start() -> io::Result<Option<Pid>> {
    close_strangers_on_exec();
    let mut received = Received::default();
    let Some(mut order) = received.wait::<Order>(stdin())? else { return Ok(None) };
    let mut descriptors = received.descriptors.into_iter().map(Stdio::from);
    let mut next = || descriptors.next().ok_or(io::ErrorKind::UnexpectedEof);
    let channels = Channels { stdin: next()?, stdout: next()?, stderr: next()? };
    if let Some(word) = hidden(&order, true) {
        tell(stdin(), &word);
        return Ok(None);
    }
    let confinement = order.confinement.take().unwrap_or_default();
    let gate = open_gate(&confinement.egress, &mut order.env)?;
    order.confinement = Some(confinement);
    let passage = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    // What a cgroup caps is the sidecar's to say.
    let site = Site { parent: getpid(), inside: true, capped: order.ground.capped, gate: gate.as_ref() };
    let entry = Entry::new(&order, &site, Some(passage))?;
    match spawn(&order, channels, entry, || Ok(())) {
        Ok(main) => {
            let gate = gate.map(OwnedFd::from);
            send(stdin(), &Word::Started, gate.as_ref().map(AsFd::as_fd).as_slice())?;
            let_go_of_output()?;
            Ok(Some(main))
        }
        Err(error) => {
            tell(stdin(), &Word::NotStarted { errno: errno(&error), reason: why(&order, &error) });
            Ok(None)
        }
    }
}

/// Reaps whatever ends, until the main process does.
fn follow(main: Pid) -> ExitCode {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == main => {
                tell(stdin(), &Word::Ended(cause(status)));
                return ExitCode::SUCCESS;
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}
