//! seccomp: system calls that no server needs, or whose arguments Landlock does not see.

use std::{collections::BTreeMap, error::Error, num::TryFromIntError};

use libc::*;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

use crate::supervisor::Egress;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// `CLONE_NEWTIME`, and the bit that marks a call of the x32 interface.
const CLONE_NEWTIME: i32 = 0x80;
const X32: u32 = 0x4000_0000;

/// Numbers that libc does not have for every machine; they are the same on all of them.
const QUOTACTL_FD: i64 = 443;
const OPEN_TREE_ATTR: i64 = 467;

/// Refused whatever their arguments. Names as in the manual: what looks into or changes other processes; namespaces and
/// mounts; what outlives a process or is not counted as its memory; the kernel, its keys, its clock; the ways around other
/// rules.
const REFUSED: &[i64] = &[
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_pidfd_getfd,
    SYS_kcmp,
    SYS_migrate_pages,
    SYS_move_pages,
    SYS_perf_event_open,
    SYS_lookup_dcookie,
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_open_tree,
    OPEN_TREE_ATTR,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_pivot_root,
    SYS_chroot,
    SYS_shmget,
    SYS_shmat,
    SYS_shmctl,
    SYS_msgget,
    SYS_msgsnd,
    SYS_msgrcv,
    SYS_msgctl,
    SYS_semget,
    SYS_semop,
    SYS_semtimedop,
    SYS_semctl,
    SYS_mq_open,
    SYS_mq_unlink,
    SYS_memfd_secret,
    SYS_bpf,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_syslog,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    QUOTACTL_FD,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_vhangup,
    SYS_nfsservctl,
    SYS_fanotify_init,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_listen,
];

/// Refused as well where there are such calls.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[SYS_iopl, SYS_ioperm, SYS_uselib, SYS_modify_ldt, SYS__sysctl];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// What a process is refused.
pub(super) struct Filters {
    /// By arguments: nothing that is needed on the way into namespaces and out of privileges, so that it can be in force
    /// before.
    pub(super) by_arguments: BpfProgram,
    /// By number.
    pub(super) by_number: BpfProgram,
}

/// The filters for a process. `alone` says that it sees no process but its own; `counted` that all of its memory is counted
/// by the kernel.
pub(super) fn filters(egress: &Egress, alone: bool, counted: bool) -> Result<Filters, Box<dyn Error>> {
    let mut refused = Rules::new();
    refused.extend([
        (
            SYS_clone,
            any([
                CLONE_NEWNS,
                CLONE_NEWUSER,
                CLONE_NEWPID,
                CLONE_NEWNET,
                CLONE_NEWIPC,
                CLONE_NEWUTS,
                CLONE_NEWCGROUP,
                CLONE_NEWTIME,
            ]
            .map(|flag| [has(0, flag)]))?,
        ),
        (SYS_ioctl, any([TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS].map(|code| [is(1, code as i32)]))?),
        (SYS_personality, vec![rule([0, 8, 0x2_0000, 0x2_0008, -1].map(|value| not(0, value)))?]),
        (SYS_prlimit64, any([[not(0, 0)]])?),
        (SYS_socket, sockets(egress)?),
        (SYS_socketpair, pairs()?),
    ]);
    if *egress != Egress::All {
        // Connects without being asked for the port.
        refused.extend([
            (SYS_sendto, any([[has(3, MSG_FASTOPEN)]])?),
            (SYS_sendmsg, any([[has(2, MSG_FASTOPEN)]])?),
            (SYS_sendmmsg, any([[has(3, MSG_FASTOPEN)]])?),
        ]);
    }
    if !alone {
        // Another process of the user, the host too, could be slowed down by them.
        refused.extend([
            (SYS_setpriority, any([[not(0, 0)], [not(1, 0)]])?),
            (SYS_ioprio_set, any([[not(0, 1)], [not(1, 0)]])?),
            (SYS_sched_setaffinity, any([[not(0, 0)]])?),
            (SYS_sched_setattr, any([[not(0, 0)]])?),
            (SYS_sched_setparam, any([[not(0, 0)]])?),
            (SYS_sched_setscheduler, any([[not(0, 0)]])?),
        ]);
    }
    Ok(Filters { by_arguments: filter(refused)?, by_number: numbers(counted)? })
}

/// Refuses what is refused by its number alone, and the x32 interface of x86-64, which has the same calls under others. The
/// kernel tries a filter with every number there is when it is installed: a search takes it a tenth of what a list does.
/// What a foreign architecture calls by these numbers the other filter kills.
fn numbers(counted: bool) -> Result<BpfProgram, TryFromIntError> {
    let mut refused: BTreeMap<i64, i32> = REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, EPERM)).collect();
    // libc goes back to the older call when it hears that there is no such thing; programs do so with memory files, whose
    // pages are seen by no count of a process' memory.
    refused.insert(SYS_clone3, ENOSYS);
    if !counted {
        refused.insert(SYS_memfd_create, ENOSYS);
    }
    let refused: Vec<(i64, i32)> = refused.into_iter().collect();
    let mut program = vec![
        step(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0),
        step(BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32),
        step(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS as u32),
    ];
    program.extend(search(&refused)?);
    Ok(program)
}

/// A number that is one of `refused`, which are in order, is refused by the error beside it, and any other allowed.
fn search(refused: &[(i64, i32)]) -> Result<BpfProgram, TryFromIntError> {
    if let [(number, errno)] = refused {
        return Ok(vec![
            step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, u32::try_from(*number)?),
            step(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | errno.cast_unsigned()),
            step(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW),
        ]);
    }
    let (below, above) = refused.split_at(refused.len() / 2);
    let first = above.first().map_or(Ok(u32::MAX), |(number, _)| u32::try_from(*number))?;
    let below = search(below)?;
    // A jump goes over 255 steps at most, which are those of sixty numbers.
    let choice = step(BPF_JMP | BPF_JGE | BPF_K, below.len().try_into()?, 0, first);
    Ok([vec![choice], below, search(above)?].concat())
}

fn step(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

/// Calls of a foreign architecture (`int 0x80`) kill.
fn filter(rules: Rules) -> Result<BpfProgram, Box<dyn Error>> {
    let refuse = SeccompAction::Errno(EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

/// What `socket` refuses: everything, or everything but TCP, or but TCP and UDP. The protocol counts: MPTCP is a stream, and
/// Landlock does not ask it for its port.
fn sockets(egress: &Egress) -> Result<Vec<SeccompRule>, Box<dyn Error>> {
    let kinds: &[(i32, i32)] = match egress {
        Egress::None => return Ok(Vec::new()),
        Egress::Gate(_) => &[(SOCK_STREAM, IPPROTO_TCP)],
        Egress::All => &[(SOCK_STREAM, IPPROTO_TCP), (SOCK_DGRAM, IPPROTO_UDP)],
    };
    let mut rules = vec![rule([not(0, AF_INET), not(0, AF_INET6)])?];
    for kind in 0..16 {
        match kinds.iter().find(|(allowed, _)| *allowed == kind) {
            Some((_, protocol)) => rules.push(rule([kind_is(kind), not(2, 0), not(2, *protocol)])?),
            None => rules.push(rule([kind_is(kind)])?),
        }
    }
    Ok(rules)
}

/// A pair of datagram sockets can send to any other address.
fn pairs() -> Result<Vec<SeccompRule>, Box<dyn Error>> {
    let others = (0..16).filter(|kind| ![SOCK_STREAM, SOCK_SEQPACKET].contains(kind));
    let mut rules = vec![rule([not(0, AF_UNIX)])?];
    for kind in others {
        rules.push(rule([kind_is(kind)])?);
    }
    Ok(rules)
}

type Condition = Result<SeccompCondition, seccompiler::BackendError>;

fn kind_is(kind: i32) -> Condition {
    argument(1, SeccompCmpOp::MaskedEq(0xf), kind)
}

fn is(index: u8, value: i32) -> Condition {
    argument(index, SeccompCmpOp::Eq, value)
}

fn not(index: u8, value: i32) -> Condition {
    argument(index, SeccompCmpOp::Ne, value)
}

fn has(index: u8, flag: i32) -> Condition {
    argument(index, SeccompCmpOp::MaskedEq(u64::from(flag.cast_unsigned())), flag)
}

/// The kernel takes all of these as 32 bits, and so does the comparison: what is above them cannot hide anything.
fn argument(index: u8, operator: SeccompCmpOp, value: i32) -> Condition {
    SeccompCondition::new(index, Dword, operator, u64::from(value.cast_unsigned()))
}

/// All of the conditions.
fn rule(conditions: impl IntoIterator<Item = Condition>) -> Result<SeccompRule, Box<dyn Error>> {
    Ok(SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)?)
}

/// Any of the rules.
fn any<const N: usize>(rules: impl IntoIterator<Item = [Condition; N]>) -> Result<Vec<SeccompRule>, Box<dyn Error>> {
    rules.into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program that only compares the number says of it.
    fn answer(program: &[sock_filter], number: u32) -> u32 {
        let mut at = 1;
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let holds = match u32::from(code) {
                code if code == BPF_RET | BPF_K => return k,
                code if code == BPF_JMP | BPF_JGE | BPF_K => number >= k,
                code if code == BPF_JMP | BPF_JEQ | BPF_K => number == k,
                code => panic!("step {code:#x}"),
            };
            at += 1 + usize::from(if holds { jt } else { jf });
        }
    }

    #[test]
    fn what_is_refused_by_number_is_found_and_nothing_else() {
        let program = numbers(false).unwrap();
        for number in 0..1000 {
            let is_in = |list: &[i64]| list.contains(&i64::from(number));
            let expected = if is_in(&[SYS_clone3, SYS_memfd_create]) {
                SECCOMP_RET_ERRNO | ENOSYS as u32
            } else if is_in(REFUSED) || is_in(REFUSED_HERE) {
                SECCOMP_RET_ERRNO | EPERM as u32
            } else {
                SECCOMP_RET_ALLOW
            };
            assert_eq!(answer(&program, number), expected, "{number}");
            assert_eq!(answer(&program, X32 + number), SECCOMP_RET_ERRNO | ENOSYS as u32, "{number}");
        }
        assert_eq!(answer(&numbers(true).unwrap(), SYS_memfd_create as u32), SECCOMP_RET_ALLOW);
    }
}
