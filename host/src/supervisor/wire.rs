//! What host and sidecar say to each other on the lifeline, a JSON text a line; the host's end of file says "kill all".

use std::{
    collections::BTreeMap,
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::ExitCause;

/// Sent by the host: SIGTERM to the whole tree.
pub(super) const TERMINATE: u8 = b't';

/// The first line, from the host: what to start. The reading end of the child's stdin comes with it, if it has one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: PathBuf,
}

/// A line from the sidecar.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The program runs.
    Started { pid: i32 },
    /// It does not, and nothing was left behind.
    NotStarted { errno: i32, reason: String },
    /// The main process ended; what it left is being killed, and the sidecar ends when nothing is left.
    Ended(ExitCause),
}

/// Sends `order`, and `stdin` with its first bytes; blocks while the sidecar does not read.
pub(super) fn send_order(mut lifeline: &UnixStream, order: &Order, stdin: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = stdin.as_slice();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let sent = sendmsg(lifeline, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
    lifeline.write_all(&line[sent..])
}

/// Waits for the order; none when the host is gone before it was whole.
pub(super) fn receive_order(lifeline: impl AsFd) -> io::Result<Option<(Order, Option<OwnedFd>)>> {
    let (mut line, mut stdin) = (Vec::new(), None);
    let mut chunk = [0; 4096];
    while line.last() != Some(&b'\n') {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message =
            match recvmsg(&lifeline, &mut [IoSliceMut::new(&mut chunk)], &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
        for rights in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = rights {
                stdin = descriptors.last().or(stdin);
            }
        }
        if message.bytes == 0 {
            return Ok(None);
        }
        line.extend_from_slice(&chunk[..message.bytes]);
    }
    Ok(Some((serde_json::from_slice(&line)?, stdin)))
}

/// Sends a report; a host that is gone is no error, since the end of its lifeline says the same.
pub(super) fn send_report(lifeline: impl AsFd, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = rustix::net::send(lifeline, &line, SendFlags::NOSIGNAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_arrives_whole_with_its_descriptor() {
        let (host, sidecar) = UnixStream::pair().unwrap();
        let big = "x".repeat(1 << 20);
        let order = Order {
            program: "/bin/true".into(),
            args: vec![big.clone(), "a\nb".into()],
            env: BTreeMap::from([("A".into(), "é".into())]),
            cwd: "/".into(),
        };
        let (reader, mut writer) = io::pipe().unwrap();
        let sending = std::thread::spawn(move || send_order(&host, &order, Some(reader.as_fd())).unwrap());
        let (order, stdin) = receive_order(&sidecar).unwrap().unwrap();
        sending.join().unwrap();
        assert_eq!(order.args, [big, "a\nb".into()]);
        assert_eq!(order.env["A"], "é");
        writer.write_all(b"hello").unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(std::fs::File::from(stdin.unwrap())).unwrap(), "hello");
    }

    #[test]
    fn no_order_when_the_host_is_gone() {
        let (host, sidecar) = UnixStream::pair().unwrap();
        (&host).write_all(b"{\"program\":").unwrap();
        drop(host);
        assert!(receive_order(&sidecar).unwrap().is_none());
    }
}
