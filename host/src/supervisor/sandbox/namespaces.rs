use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, statat},
    process::Pid,
    thread::{LinkNameSpaceType as Kind, move_into_link_name_space},
};

use super::Bubblewrap;
use crate::supervisor::{Egress, tree};

/// What bubblewrap puts around a process.
#[derive(Debug)]
pub(in crate::supervisor) struct Namespaces {
    /// All but the two that have a time of their own.
    links: Vec<(OwnedFd, Kind)>,
    files: OwnedFd,
    cgroup: Option<OwnedFd>,
    /// Their first process.
    pub(in crate::supervisor) first: i32,
}

impl Namespaces {
    /// Those of the one child of `outer`; none where it has none.
    pub(in crate::supervisor) fn below(
        bubblewrap: &Bubblewrap,
        outer: Pid,
        egress: &Egress,
    ) -> io::Result<Option<Self>> {
        let outer = outer.as_raw_pid();
        let Some(first) = tree::children(outer).first().copied() else { return Ok(None) };
        let theirs = File::open(format!("/proc/{first}/ns"))?;
        // Whoever has this number now is the one whose namespaces these are.
        if tree::stat(first).is_none_or(|stat| stat.parent != outer) {
            return Ok(None);
        }
        let own = File::open("/proc/self/ns")?;
        let identity = |folder: &File, name: &str| statat(folder, name, AtFlags::empty()).map(|link| link.st_ino);
        let is_own = |name: &str| Ok::<_, io::Error>(identity(&theirs, name)? == identity(&own, name)?);
        let open = |name: &str| openat(&theirs, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        // What is not around is not to be told of: a wrapper of bubblewrap may be the child.
        let around = |name: &str| match is_own(name)? {
            false => Ok(open(name)?),
            true => Err(io::Error::other(format!(
                "the child of `{}` has no {name} namespace",
                bubblewrap.program.display()
            ))),
        };
        let made = [
            // The rights to join the others may come with it.
            ("user", Kind::User, bubblewrap.users),
            ("ipc", Kind::InterProcessCommunication, true),
            ("uts", Kind::HostNameAndNISDomainName, true),
            ("net", Kind::Network, *egress != Egress::All),
            ("pid", Kind::ProcessID, true),
        ];
        let made = made.into_iter().filter(|(.., made)| *made);
        let links = made.map(|(name, kind, _)| Ok((around(name)?, kind))).collect::<io::Result<_>>()?;
        // Made where it can be: nobody may join one of another user that he is in.
        let cgroup = is_own("cgroup").is_ok_and(|own| !own).then(|| open("cgroup")).transpose()?;
        Ok(Some(Self { links, files: around("mnt")?, cgroup, first }))
    }

    /// Goes into all but those of files and cgroups, as soon as there are any. What the caller starts from now on is inside;
    /// its own process id stays outside.
    pub(in crate::supervisor) fn join(&self) -> io::Result<()> {
        self.links.iter().try_for_each(|(link, kind)| Ok(move_into_link_name_space(link.as_fd(), Some(*kind))?))
    }

    /// Goes into that of cgroups, which has to wait until the caller is in its cgroup: from inside nobody gets there.
    pub(in crate::supervisor) fn join_cgroups(&self) -> io::Result<()> {
        let Some(link) = &self.cgroup else { return Ok(()) };
        Ok(move_into_link_name_space(link.as_fd(), Some(Kind::ControlGroup))?)
    }

    /// Goes into that of files, which has to wait until everything is mounted: what a process takes for its root is
    /// whatever is there when it comes.
    pub(in crate::supervisor) fn join_files(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.files.as_fd(), Some(Kind::Mount))?)
    }
}
