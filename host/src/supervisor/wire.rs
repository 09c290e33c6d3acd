//! What host and sidecar say to each other, and a process that the sidecar forked to it, a JSON text a line, with descriptors beside it; the host's end of file
//! says "kill all".

use std::{
    collections::BTreeMap,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Confinement, Enforced, ExitCause, Ground};

/// Sent by the host: SIGTERM to the whole tree.
pub(super) const TERMINATE: u8 = b't';

/// The first line, from the host: what to start. The reading end of the child's stdin comes with it, if it has one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: PathBuf,
    pub(super) confinement: Option<Confinement>,
    pub(super) ground: Ground,
    /// What bubblewrap is told to put around it, where there is one.
    pub(super) around: Vec<String>,
}

/// A line from the sidecar to the host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The program runs. The listening socket of its gate comes with it, if it has one.
    Started { pid: i32, enforced: Enforced },
    /// It does not, and nothing was left behind.
    NotStarted { errno: i32, reason: String },
    /// It was not started, since this machine cannot keep what was promised.
    Refused(Enforced),
    /// The main process ended; what it left is being killed, and the sidecar ends when nothing is left.
    Ended(ExitCause),
}

/// A line to the sidecar from a process that it has forked to start the program.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// From the main process, when all is in force that can be; who sent it is its pid.
    Entered(Enforced),
    /// From the main process: it will not start the program.
    Refused(Enforced),
    /// The program runs. The listening socket of its gate comes with it, if it has one.
    Started,
    /// The program could not be started.
    NotStarted { errno: i32, reason: String },
}

/// Sends a message, and `descriptors` with its first bytes; blocks while nobody reads.
pub(super) fn send<T: Serialize>(socket: impl AsFd, message: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let mut sent = 0;
    while sent < line.len() {
        match sendmsg(&socket, &[IoSlice::new(&line[sent..])], &mut control, SendFlags::NOSIGNAL) {
            Ok(more) => {
                sent += more;
                control.clear();
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// [`send`] where a receiver that is gone is no error, since the end of the stream says the same.
pub(super) fn tell<T: Serialize>(socket: impl AsFd, message: &T) {
    let _ = send(socket, message, &[]);
}

/// What was received of a stream of lines and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Received {
    pending: Vec<u8>,
    /// Bytes of it that are known to hold no end of a line.
    searched: usize,
    /// Those that came and were not taken, oldest first.
    pub(super) descriptors: Vec<OwnedFd>,
    /// Who sent the newest bytes, where the socket asks for credentials.
    pub(super) sender: Option<i32>,
}

impl Received {
    /// Reads once; false at the end.
    pub(super) fn read(&mut self, socket: impl AsFd) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut room = [IoSliceMut::new(&mut chunk)];
            match recvmsg(&socket, &mut room, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                other => break other?.bytes,
            }
        };
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmRights(descriptors) => self.descriptors.extend(descriptors),
                RecvAncillaryMessage::ScmCredentials(sender) => self.sender = Some(sender.pid.as_raw_pid()),
                _ => {}
            }
        }
        self.pending.extend_from_slice(&chunk[..received]);
        Ok(received > 0)
    }

    /// The next whole line.
    pub(super) fn take<T: DeserializeOwned>(&mut self) -> Option<io::Result<T>> {
        let Some(end) = memchr::memchr(b'\n', &self.pending[self.searched..]) else {
            self.searched = self.pending.len();
            return None;
        };
        let line: Vec<u8> = self.pending.drain(..=self.searched + end).collect();
        self.searched = 0;
        Some(serde_json::from_slice(&line).map_err(io::Error::from))
    }

    /// Waits for the next line; none when the stream ends before it is whole.
    pub(super) fn wait<T: DeserializeOwned>(&mut self, socket: impl AsFd) -> io::Result<Option<T>> {
        loop {
            if let Some(message) = self.take() {
                return message.map(Some);
            }
            if !self.read(&socket)? {
                return Ok(None);
            }
        }
    }
}

/// A socket pair on which the first end learns who sends.
pub(super) fn passage() -> io::Result<(UnixStream, UnixStream)> {
    let (near, far) = UnixStream::pair()?;
    rustix::net::sockopt::set_socket_passcred(&near, true)?;
    Ok((near, far))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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
            confinement: None,
            ground: Ground::default(),
            around: Vec::new(),
        };
        let (reader, mut writer) = io::pipe().unwrap();
        let sending = std::thread::spawn(move || send(&host, &order, &[reader.as_fd()]).unwrap());
        let mut received = Received::default();
        let order: Order = received.wait(&sidecar).unwrap().unwrap();
        sending.join().unwrap();
        assert_eq!(order.args, [big, "a\nb".into()]);
        assert_eq!(order.env["A"], "é");
        writer.write_all(b"hello").unwrap();
        drop(writer);
        let stdin = received.descriptors.pop().unwrap();
        assert_eq!(io::read_to_string(std::fs::File::from(stdin)).unwrap(), "hello");
    }

    #[test]
    fn no_order_when_the_host_is_gone() {
        let (host, sidecar) = UnixStream::pair().unwrap();
        (&host).write_all(b"{\"program\":").unwrap();
        drop(host);
        assert!(Received::default().wait::<Order>(&sidecar).unwrap().is_none());
    }

    #[test]
    fn a_passage_tells_who_sends() {
        let (near, far) = passage().unwrap();
        tell(&far, &Word::Started);
        let mut received = Received::default();
        assert_eq!(received.wait(&near).unwrap(), Some(Word::Started));
        assert_eq!(received.sender, Some(std::process::id().cast_signed()));
    }
}
