use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use semver::{Comparator, Op, VersionReq};

/// One crate that is depended on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The versions that will do.
    pub(crate) versions: VersionReq,
    /// Features beside the default ones.
    pub(crate) features: BTreeSet<String>,
    /// Whether the default features are on.
    pub(crate) default_features: bool,
}

/// Features that others switch on, for crates that most servers use: what they are is part of a published version, so the
/// table only misses some.
const IMPLIED: &[(&str, &str, &[&str])] = &[
    ("anyhow", "default", &["std"]),
    ("rmcp", "default", &["base64", "macros", "schemars", "server", "transport-async-rw", "uuid"]),
    ("schemars", "default", &["derive", "std"]),
    ("serde", "default", &["std"]),
    ("serde_json", "default", &["std"]),
    (
        "tokio",
        "full",
        &[
            "fs",
            "io-std",
            "io-util",
            "macros",
            "net",
            "parking_lot",
            "process",
            "rt",
            "rt-multi-thread",
            "signal",
            "sync",
            "time",
        ],
    ),
];

/// Crates by their names.
pub(crate) type Dependencies = BTreeMap<String, Dependency>;

impl Dependency {
    /// Any version, with its default features.
    pub(crate) fn any() -> Self {
        Self { versions: VersionReq::STAR, features: BTreeSet::new(), default_features: true }
    }

    /// Whether whatever this crate, `name`, resolves to also satisfies `needed`, when that is `newest` or something later.
    pub(crate) fn covers(&self, name: &str, needed: &Self, newest: &semver::Version) -> bool {
        self.has_features_of(name, needed)
            && (needed.versions == self.versions
                || needed.versions.matches(newest) && needed.versions.comparators.iter().all(is_open_upwards))
    }

    /// Whether every feature that `needed` asks for is on.
    pub(crate) fn has_features_of(&self, name: &str, needed: &Self) -> bool {
        let said = |feature: &str| self.features.contains(feature) || feature == "default" && self.default_features;
        let implied = |feature: &str| {
            IMPLIED.iter().any(|(of, by, features)| *of == name && said(by) && features.contains(&feature))
        };
        needed.features.iter().all(|feature| said(feature) || implied(feature))
            && (self.default_features || !needed.default_features)
    }
}

/// As the value in a manifest.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{ version = \"{}\"", self.versions)?;
        if !self.features.is_empty() {
            let features: Vec<String> = self.features.iter().map(|feature| format!("\"{feature}\"")).collect();
            write!(f, ", features = [{}]", features.join(", "))?;
        }
        if !self.default_features {
            write!(f, ", default-features = false")?;
        }
        f.write_str(" }")
    }
}

fn is_open_upwards(comparator: &Comparator) -> bool {
    matches!(comparator.op, Op::Caret | Op::Greater | Op::GreaterEq)
        || comparator.op == Op::Wildcard && comparator.minor.is_none()
}
