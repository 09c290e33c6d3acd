use std::{net::IpAddr, path::PathBuf};

use super::{Endpoint, Host, public};

/// Where the processes behind one gate may connect to.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// One is enough.
    pub allowed: Vec<Rule>,
    /// Whose they are: decides what a refusal says.
    pub of: Whose,
}

/// A place, and what it may turn out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The place.
    pub endpoint: Endpoint,
    /// Which addresses its name may resolve to.
    pub reach: Reach,
}

/// Which addresses a name may resolve to, when somebody connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public ones: somebody who has a name of his own must not make it mean this machine or its network.
    Public,
    /// Private ones too, since the operator named the place, but none at which clouds tell credentials.
    Private,
    /// Every one: the operator set no bounds.
    All,
}

/// Who is behind a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// A server; what it may reach is asked for with `update-server`.
    Server,
    /// A step of an installation; what it may reach stands in this file, where there is one.
    Installer(Option<PathBuf>),
}

impl Rules {
    /// What allows a connection.
    pub(super) fn find(&self, wanted: &Endpoint) -> Option<&Rule> {
        self.allowed.iter().find(|rule| rule.endpoint.covers(wanted))
    }
}

impl Rule {
    /// Whether a connection to this address is in its sense.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        match self.reach {
            Reach::All => true,
            // written out by the operator
            Reach::Private if matches!(self.endpoint.host, Host::Address(_)) => true,
            Reach::Private => !public::is_link_local(address),
            Reach::Public => public::is_public(address),
        }
    }
}

impl Whose {
    /// Why a place is denied that no rule names; fits after it.
    pub(super) fn not_granted(&self) -> &'static str {
        match self {
            Self::Server => "is not granted to this server",
            Self::Installer(_) => "is no host of this registry",
        }
    }

    /// What to do about a place that no rule names.
    pub(super) fn remedy(&self, place: &str) -> String {
        match self {
            Self::Server => format!(
                "`update-server` with `permissions` whose `network` lists \"{place}\", beside what it lists now, asks for it"
            ),
            Self::Installer(file) => format!(
                "if the registry sends installers there, the operator adds `[registries]` `hosts = [\"{place}\"]`{}",
                in_file(file)
            ),
        }
    }

    /// What to do about a name that resolves to an address that its rule does not allow.
    pub(super) fn remedy_for_private(&self, place: &str) -> String {
        match self {
            Self::Server => format!(
                "a public name that leads there is refused; the operator may allow it by `[policy]` `network = [\"hosts\", \"{place}\"]`"
            ),
            Self::Installer(_) => "name the registry by its address in `[registries]`".into(),
        }
    }
}

fn in_file(file: &Option<PathBuf>) -> String {
    file.as_ref().map(|file| format!(" in {}", file.display())).unwrap_or_default()
}
