//! Landlock: files, TCP ports, signals and abstract sockets, as far as this kernel knows them.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use super::places;
use crate::supervisor::{Confinement, Egress};

/// The newest that is known to do what is expected of it here.
const NEWEST: i32 = 7;

/// Whether this kernel has Landlock at all.
pub(super) fn exist() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Rules that are ready to be put in force.
pub(super) struct Rules {
    ruleset: RulesetCreated,
    abi: i32,
}

impl Rules {
    /// `ceiling` is the newest ABI to be used; `inside` says that namespaces are around, with folders in memory of their
    /// own; `port` is where its gate is. None where Landlock is not to be used.
    pub(super) fn new(
        confinement: &Confinement,
        ceiling: Option<i32>,
        inside: bool,
        port: Option<u16>,
    ) -> Result<Option<Self>, RulesetError> {
        let abi = ceiling.map_or(NEWEST, |ceiling| ceiling.min(NEWEST));
        let known = ABI::from(abi);
        if known == ABI::Unsupported {
            return Ok(None);
        }
        let mut ruleset =
            Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(known))?;
        if known >= ABI::V4 {
            // Nothing that runs here listens for others. What may connect everywhere is not asked for its ports.
            ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
            if confinement.egress != Egress::All {
                ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
            }
        }
        if known >= ABI::V6 {
            ruleset = ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal)?;
        }
        let every = AccessFs::from_all(known);
        let read = AccessFs::from_read(known);
        let device = AccessFs::from_file(known) & !AccessFs::Execute;
        let mut write = places::writable(confinement);
        if inside {
            write.extend(places::SCRATCH.map(PathBuf::from));
        }
        let mut rules = ruleset
            .create()?
            .add_rules(path_beneath_rules(places::readable(confinement), read))?
            .add_rules(path_beneath_rules(write, every))?
            .add_rules(path_beneath_rules(places::DEVICES, device))?
            .add_rules(path_beneath_rules([places::PROCESSES, places::PROCESSORS], read & !AccessFs::Execute))?;
        if let Some(port) = port.filter(|_| known >= ABI::V4) {
            rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
        }
        Ok(Some(Self { ruleset: rules, abi }))
    }

    /// Puts them in force, for ever. Answers the ABI that holds; 0 when none does.
    pub(super) fn enforce(self) -> i32 {
        match self.ruleset.restrict_self().map(|status| status.landlock) {
            Ok(LandlockStatus::Available { effective_abi, .. }) => self.abi.min(effective_abi as i32),
            _ => 0,
        }
    }
}
