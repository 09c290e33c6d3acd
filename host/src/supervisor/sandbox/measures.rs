use crate::supervisor::{Caps, Confinement, Egress, Enforced, Measure};

/// What is in force.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Force {
    /// Namespaces of bubblewrap around files and processes, and around the network unless it is open.
    pub(super) namespaces: bool,
    /// The ABI of Landlock; 0 for none.
    pub(super) landlock: i32,
    pub(super) seccomp: bool,
    /// No capability is left, and none can be gained.
    pub(super) bare: bool,
    /// The kernel bounds the number of this sandbox' processes by a resource limit.
    pub(super) counted: bool,
    /// The kernel asks the sidecar before it starts a process.
    pub(super) asked: bool,
    pub(super) cgroup: Capped,
}

/// What a cgroup caps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::supervisor) struct Capped {
    pub(in crate::supervisor) memory: bool,
    pub(in crate::supervisor) pids: bool,
    pub(in crate::supervisor) cpu: bool,
}

const BOUNDED: &str = "bounded, not capped: looked at several times a second";

/// Says what `force` is worth for each thing that `confinement` asks for.
pub(super) fn measures(confinement: &Confinement, force: Force) -> Enforced {
    let mut measures = vec![files(force)];
    measures.extend(network(&confinement.egress, force));
    measures.extend([
        held("sockets", force.seccomp.then_some("seccomp")),
        signals(force),
        processes(force),
        held("privileges", force.bare.then_some("no_new_privs")),
        held("system calls", force.seccomp.then_some("seccomp")),
    ]);
    measures.extend(caps(&confinement.caps, force));
    Enforced { measures }
}

fn files(force: Force) -> Measure {
    let missing = match force.landlock {
        ..1 => return held("files", force.namespaces.then_some("bubblewrap")),
        _ if force.namespaces => return held("files", Some("bubblewrap and landlock")),
        1 | 2 => "files elsewhere can be cut to nothing, and their modes and times changed",
        3.. => "modes and times of files elsewhere can be changed",
    };
    Measure { kept: false, ..short("files", "landlock", missing) }
}

fn network(egress: &Egress, force: Force) -> Option<Measure> {
    let by = match (force.namespaces, force.seccomp) {
        (true, true) => Some("bubblewrap and seccomp"),
        (true, false) => Some("bubblewrap"),
        (false, true) => Some("seccomp"),
        (false, false) => None,
    };
    Some(match egress {
        Egress::All => return None,
        Egress::None => held("network", by),
        Egress::Gate(_) if force.namespaces => held("network", by),
        Egress::Gate(_) if force.landlock >= 4 && force.seccomp => Measure {
            kept: false,
            ..short("network", "landlock and seccomp", "other addresses can be reached at the port of the gate")
        },
        Egress::Gate(_) => {
            let missing = if force.seccomp { "TCP goes everywhere" } else { "everything can be reached" };
            Measure { short_of: Some(missing.into()), ..held("network", None) }
        }
    })
}

fn signals(force: Force) -> Measure {
    held("signals", if force.namespaces { Some("bubblewrap") } else { (force.landlock >= 6).then_some("landlock") })
}

fn processes(force: Force) -> Measure {
    match (force.namespaces, force.landlock > 0 && force.seccomp) {
        (true, _) => held("processes", Some("bubblewrap")),
        (_, true) => short("processes", "landlock and seccomp", "command lines of other processes can be read"),
        _ => held("processes", None),
    }
}

fn caps(caps: &Caps, force: Force) -> impl Iterator<Item = Measure> {
    let memory = caps.memory_bytes.map(|_| {
        if force.cgroup.memory {
            held("memory", Some("cgroup"))
        } else {
            short("memory", "rlimit and watchdog", BOUNDED)
        }
    });
    let pids = caps.pids.map(|_| match (force.cgroup.pids, force.counted, force.asked) {
        (true, ..) => held("process count", Some("cgroup")),
        (_, true, _) => held("process count", Some("rlimit")),
        (.., true) => held("process count", Some("seccomp")),
        _ => short("process count", "watchdog", BOUNDED),
    });
    let cpu = caps.cpu.map(|_| {
        if force.cgroup.cpu {
            held("processor", Some("cgroup"))
        } else {
            short("processor", "priority", "gives way to others, not capped")
        }
    });
    let files = caps.files.map(|_| held("open files", Some("rlimit")));
    let disk = caps.disk_bytes.map(|_| short("disk", "rlimit and watchdog", BOUNDED));
    [memory, pids, cpu, files, disk].into_iter().flatten()
}

fn held(what: &str, by: Option<&str>) -> Measure {
    Measure { what: what.into(), by: by.map(Into::into), short_of: None, kept: by.is_some() }
}

fn short(what: &str, by: &str, missing: &str) -> Measure {
    Measure { what: what.into(), by: Some(by.into()), short_of: Some(missing.into()), kept: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Gate;

    fn told(egress: Egress, force: Force) -> String {
        let caps = Caps { memory_bytes: Some(1), cpu: Some(1.0), pids: Some(1), files: Some(1), disk_bytes: Some(1) };
        let enforced = measures(&Confinement { egress, caps, ..Confinement::default() }, force);
        let line = |measure: &Measure| format!("{}{measure}\n", if measure.kept { "  " } else { "! " });
        enforced.measures.iter().map(line).collect()
    }

    fn gate() -> Egress {
        Egress::Gate(Gate::default())
    }

    #[test]
    fn with_everything_nothing_is_short() {
        let cgroup = Capped { memory: true, pids: true, cpu: true };
        let force =
            Force { namespaces: true, landlock: 7, seccomp: true, bare: true, counted: true, asked: false, cgroup };
        insta::assert_snapshot!(told(gate(), force));
    }

    #[test]
    fn without_namespaces_landlock_does_what_it_can() {
        let force = Force { landlock: 7, seccomp: true, bare: true, ..Force::default() };
        insta::assert_snapshot!(told(gate(), force));
    }

    #[test]
    fn where_nothing_counts_processes_the_kernel_asks() {
        let force = Force { asked: true, ..Force::default() };
        assert!(told(Egress::None, force).contains("process count: seccomp\n"));
    }

    #[test]
    fn an_old_landlock_leaves_signals_and_ports() {
        let force = Force { landlock: 2, seccomp: true, bare: true, ..Force::default() };
        insta::assert_snapshot!(told(gate(), force));
    }

    #[test]
    fn no_socket_at_all_needs_seccomp_alone() {
        let force = Force { seccomp: true, ..Force::default() };
        insta::assert_snapshot!(told(Egress::None, force));
    }

    #[test]
    fn nothing_says_so() {
        insta::assert_snapshot!(told(gate(), Force::default()));
    }
}
