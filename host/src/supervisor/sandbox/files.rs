//! Landlock: files, TCP ports, signals and abstract sockets, as far as this kernel knows them.

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
    /// `ceiling` is the newest ABI to be used; `inside` says that namespaces will be around, with a view of their own of
    /// processes: see [`Rules::inside`]. None where Landlock is not to be used.
    pub(super) fn new(
        confinement: &Confinement,
        ceiling: Option<i32>,
        inside: bool,
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
        let device = AccessFs::from_file(known) & !AccessFs::Execute;
        let seen = [places::PROCESSES].into_iter().filter(|_| !inside).chain([places::PROCESSORS]);
        let ruleset = ruleset
            .create()?
            // What is not there is left out, and of a link it is the other end that counts.
            .add_rules(path_beneath_rules(places::named(confinement), AccessFs::from_read(known)))?
            .add_rules(path_beneath_rules(&confinement.write, AccessFs::from_all(known)))?
            .add_rules(path_beneath_rules(places::DEVICES, device))?
            .add_rules(path_beneath_rules(seen, AccessFs::from_read(known) & !AccessFs::Execute))?;
        Ok(Some(Self { ruleset, abi }))
    }

    /// Adds what only namespaces have, from inside them. Files are the same outside: their rules can be made before.
    pub(super) fn inside(self) -> Result<Self, RulesetError> {
        let known = ABI::from(self.abi);
        let ruleset = self
            .ruleset
            .add_rules(path_beneath_rules(places::SCRATCH, AccessFs::from_all(known)))?
            .add_rules(path_beneath_rules([places::PROCESSES], AccessFs::from_read(known) & !AccessFs::Execute))?;
        Ok(Self { ruleset, ..self })
    }

    /// Adds the port of a gate.
    pub(super) fn gate(self, port: u16) -> Result<Self, RulesetError> {
        if ABI::from(self.abi) < ABI::V4 {
            return Ok(self);
        }
        Ok(Self { ruleset: self.ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?, ..self })
    }

    /// Puts them in force, for ever. Answers the ABI that holds; 0 when none does.
    pub(super) fn enforce(self) -> i32 {
        match self.ruleset.restrict_self().map(|status| status.landlock) {
            Ok(LandlockStatus::Available { effective_abi, .. }) => self.abi.min(effective_abi as i32),
            _ => 0,
        }
    }
}
