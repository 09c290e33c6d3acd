//! The least that can stand between a client and a server: it reads nothing of what passes.

use std::{
    io::{Read, Write, stdin, stdout},
    process::Stdio,
};

use perennial_sdk::{Error, Result};

use crate::peers;

/// The hidden argument that makes this program the relay, with [`crate::echo`] behind it.
pub(crate) const WORD: &str = "__relay";

/// Passes everything on in both directions until standard input ends.
pub(crate) fn run() -> Result<()> {
    let mut child = peers::ourselves(crate::echo::WORD)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(mut to_child), Some(from_child)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Error::internal("the pipes are missing"));
    };
    let back = std::thread::spawn(move || pass(from_child, &mut stdout().lock()));
    pass(stdin().lock(), &mut to_child)?;
    drop(to_child);
    child.wait()?;
    back.join().map_err(|_| Error::internal("the way back panicked"))?
}

fn pass(mut from: impl Read, to: &mut impl Write) -> Result<()> {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            read => {
                to.write_all(&chunk[..read])?;
                to.flush()?;
            }
        }
    }
}
