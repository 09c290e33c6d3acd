//! The host's own standard input and output, on descriptors that nothing else knows.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
};

use perennial_sdk::Error;
use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open},
    io::fcntl_dupfd_cloexec,
    stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixStream, unix::pipe},
};

/// The wire to the client. It can be taken once: after that descriptor 0 is `/dev/null` and descriptor 1 is standard
/// error, so that no stray `print` and no child can write to the wire.
pub struct Wire {
    input: OwnedFd,
    output: OwnedFd,
}

pub(super) type Reader = Pin<Box<dyn AsyncRead + Send + Sync>>;
pub(super) type Writer = Pin<Box<dyn AsyncWrite + Send + Sync>>;

impl Wire {
    /// Moves the real descriptors away.
    ///
    /// # Errors
    /// When standard input or output is closed.
    pub fn take() -> Result<Self, Error> {
        let take = || -> rustix::io::Result<Self> {
            let input = fcntl_dupfd_cloexec(stdin(), 3)?;
            let output = fcntl_dupfd_cloexec(stdout(), 3)?;
            let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
            dup2_stdin(&null)?;
            let errors = stderr();
            dup2_stdout(if fstat(errors).is_ok() { errors } else { null.as_fd() })?;
            Ok(Self { input, output })
        };
        take().map_err(|error| Error::from(error).context("standard input and output cannot be used"))
    }

    /// Both ends for the runtime; call it inside one.
    pub(super) fn open(self) -> io::Result<(Reader, Writer)> {
        let reader: Reader = match kind(&self.input)? {
            FileType::Fifo => Box::pin(pipe::Receiver::from_owned_fd(self.input)?),
            FileType::Socket => Box::pin(socket(self.input)?),
            _ => Box::pin(tokio::fs::File::from_std(File::from(self.input))),
        };
        let writer: Writer = match kind(&self.output)? {
            FileType::Fifo => Box::pin(pipe::Sender::from_owned_fd(self.output)?),
            FileType::Socket => Box::pin(socket(self.output)?),
            _ => Box::pin(tokio::fs::File::from_std(File::from(self.output))),
        };
        Ok((reader, writer))
    }
}

fn kind(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
