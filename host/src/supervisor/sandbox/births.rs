//! Has the kernel ask before a confined tree starts a process or a thread, where nothing else counts them: of root's no
//! resource limit does, and of a user's other programs count as well (`seccomp_unotify(2)`; Linux 5.5).

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, EAGAIN, SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_RET_ALLOW,
    SECCOMP_RET_USER_NOTIF, SECCOMP_SET_MODE_FILTER, SECCOMP_USER_NOTIF_FLAG_CONTINUE, seccomp_notif,
    seccomp_notif_resp, sock_filter, sock_fprog,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::usage::Usage;
use crate::supervisor::tree::Roots;

/// What starts one. `clone3` is absent for whoever is confined.
#[cfg(target_arch = "x86_64")]
const ASKED: &[i64] = &[libc::SYS_clone, libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const ASKED: &[i64] = &[libc::SYS_clone];

/// Between a refusal and the next count: a fork bomb at its cap waits, rather than having itself counted all the time.
const REST: Duration = Duration::from_millis(20);

/// Answered before other things get their turn.
const BATCH: usize = 64;

/// Answers for a tree what the kernel asks, and gives it as many processes and threads as its cap has left. Those that are
/// being born while it counts are missed once. Nobody is born while nobody answers, nor after that.
#[derive(Debug)]
pub(in crate::supervisor) struct Births {
    listener: OwnedFd,
    roots: Roots,
    cap: u64,
    left: u64,
    rests_until: Option<Instant>,
    refused: bool,
}

impl Births {
    /// For everything at `roots`.
    pub(in crate::supervisor) fn new(listener: OwnedFd, roots: Roots, cap: u64) -> Self {
        Self { listener, roots, cap, left: 0, rests_until: None, refused: false }
    }

    /// Whether anything was refused so far.
    pub(in crate::supervisor) fn refused(&self) -> bool {
        self.refused
    }

    /// Readable when the kernel asks; none while it may wait.
    pub(in crate::supervisor) fn asks(&self) -> Option<BorrowedFd<'_>> {
        self.rest().is_none().then(|| self.listener.as_fd())
    }

    /// Until it must not wait any more.
    pub(in crate::supervisor) fn rest(&self) -> Option<Duration> {
        self.rests_until?.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
    }

    /// Answers what the kernel asks; nothing when it does not.
    pub(in crate::supervisor) fn answer(&mut self) {
        for _ in 0..BATCH {
            let mut events = [PollFd::new(&self.listener, PollFlags::IN)];
            let asked = poll(&mut events, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
                .is_ok_and(|_| events[0].revents().contains(PollFlags::IN));
            if !asked || self.rest().is_some() {
                return;
            }
            let Some(id) = receive(self.listener.as_fd()) else { continue };
            if self.left == 0 {
                self.left = self.cap.saturating_sub(Usage::of(self.roots, Some(self.cap)).threads);
            }
            let granted = self.left > 0;
            self.left = self.left.saturating_sub(1);
            if !granted {
                self.refused = true;
                self.rests_until = Some(Instant::now() + REST);
            }
            send(self.listener.as_fd(), id, granted);
        }
    }
}

/// What [`ask`] takes. The numbers of other architectures and of x32 are refused by the other filters, whose word counts
/// more.
pub(super) fn filter() -> Vec<sock_filter> {
    let step = |code: u32, jt, k| sock_filter { code: code as u16, jt, jf: 0, k };
    let mut filter = vec![step(BPF_LD | BPF_W | BPF_ABS, 0, 0)];
    filter.extend(ASKED.iter().enumerate().map(|(at, number)| {
        let behind = ASKED.len() - at;
        step(BPF_JMP | BPF_JEQ | BPF_K, behind as u8, *number as u32)
    }));
    filter.push(step(BPF_RET | BPF_K, 0, SECCOMP_RET_ALLOW));
    filter.push(step(BPF_RET | BPF_K, 0, SECCOMP_RET_USER_NOTIF));
    filter
}

/// Has the kernel ask for the caller and all that it will start; whoever holds what comes back is asked. None where the
/// kernel cannot do it, or somebody else has himself asked already.
///
/// To be called after new privileges were given up, and before the program.
pub(super) fn ask(filter: &[sock_filter]) -> Option<OwnedFd> {
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // Without the second flag, which came with 5.19, a signal makes the caller ask again.
    [SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0].into_iter().find_map(|flag| {
        #[expect(unsafe_code, reason = "no crate wraps it")]
        // SAFETY: the kernel reads the program, which lives until the call returns, and answers with a new descriptor that
        // nobody else knows, or with an error.
        unsafe {
            let flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | flag;
            let listener = libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program);
            let listener = i32::try_from(listener).ok().filter(|listener| *listener >= 0)?;
            Some(OwnedFd::from_raw_fd(listener))
        }
    })
}

/// The id of what is asked; none when whoever asked is gone.
fn receive(listener: BorrowedFd<'_>) -> Option<u64> {
    let mut asked = MaybeUninit::<seccomp_notif>::zeroed();
    #[expect(unsafe_code, reason = "no crate wraps it")]
    // SAFETY: the kernel wants the structure to be zero and fills it; any bytes make one.
    unsafe {
        let received = libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, asked.as_mut_ptr());
        (received == 0).then(|| asked.assume_init().id)
    }
}

/// An asker that is gone is no matter.
fn send(listener: BorrowedFd<'_>, id: u64, granted: bool) {
    let flags = if granted { SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 } else { 0 };
    let answer = seccomp_notif_resp { id, val: 0, error: if granted { 0 } else { -EAGAIN }, flags };
    #[expect(unsafe_code, reason = "no crate wraps it")]
    // SAFETY: reads one structure, which lives until it returns.
    unsafe {
        libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SEND, &raw const answer)
    };
}
