//! Sets of crates that most servers need: whoever asks for some of a set gets all of it, so that the next server, which
//! asks for others of the same, finds them compiled.

use semver::Version;

use crate::{
    dependency::{Dependencies, Dependency},
    requirement,
};

/// A crate of a kit.
struct Part {
    name: &'static str,
    versions: &'static str,
    features: &'static [&'static str],
    /// A version that there is for certain.
    known: &'static str,
}

const fn part(
    name: &'static str,
    versions: &'static str,
    features: &'static [&'static str],
    known: &'static str,
) -> Part {
    Part { name, versions, features, known }
}

/// For servers that speak JSON-RPC by themselves.
const SMALL: &[Part] = &[part("serde", "1", &["derive"], "1.0.228"), part("serde_json", "1", &[], "1.0.150")];

/// For servers on the official SDK.
const SDK: &[Part] = &[
    part("anyhow", "1", &[], "1.0.100"),
    part("rmcp", "3", &["transport-io"], "3.9.0"),
    part("schemars", "1", &[], "1.2.0"),
    part("serde", "1", &["derive"], "1.0.228"),
    part("serde_json", "1", &[], "1.0.150"),
    part("tokio", "1", &["full"], "1.50.0"),
];

/// A crate that code imports without declaring it, as the kits have it.
pub(crate) fn undeclared(name: &str) -> Option<Dependency> {
    SDK.iter().find(|part| part.name == name).map(Part::dependency)
}

/// The smallest kit that has all of `needed`, or `needed` itself.
pub(crate) fn complete(needed: Dependencies) -> Dependencies {
    let fits = |kit: &&&[Part]| {
        needed.iter().all(|(name, dependency)| {
            kit.iter().any(|part| part.name == name && part.dependency().covers(name, dependency, &part.known()))
        })
    };
    let kit = [SMALL, SDK].iter().find(fits).copied();
    match kit.filter(|_| !needed.is_empty()) {
        Some(kit) => kit.iter().map(|part| (part.name.to_string(), part.dependency())).collect(),
        None => needed,
    }
}

impl Part {
    fn dependency(&self) -> Dependency {
        let value = toml::Value::String(self.versions.into());
        let mut dependency = requirement::from_manifest(&value).unwrap_or_else(|_| Dependency::any());
        dependency.features = self.features.iter().map(ToString::to_string).collect();
        dependency
    }

    fn known(&self) -> Version {
        self.known.parse().unwrap_or_else(|_| Version::new(u64::MAX, 0, 0))
    }
}

#[cfg(test)]
mod tests {
    use perennial_sdk::Dependencies as Given;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&["serde_json"], SMALL.len())]
    #[case(&["serde_json@1.0.120", "serde@1 [derive]"], SMALL.len())]
    #[case(&["tokio@1.38 [rt, macros]"], SDK.len())]
    #[case(&["tokio@1.38 [test-util]"], 1)]
    #[case(&["tokio@1.38 [full]"], SDK.len())]
    #[case(&["rmcp@3", "serde"], SDK.len())]
    #[case(&["rmcp@3 [-default]"], SDK.len())]
    #[case(&["rmcp@3 [client]"], 1)]
    #[case(&["rmcp@0.8", "serde"], 2)]
    #[case(&["serde@=1.0.200"], 1)]
    #[case(&["serde@~1.0.200"], 1)]
    #[case(&["serde@>=1, <1.0.200"], 1)]
    #[case(&["serde", "reqwest"], 2)]
    #[case(&[], 0)]
    fn a_kit_is_taken_when_it_covers_what_is_needed(#[case] given: &[&str], #[case] crates: usize) {
        let given = Given::List(given.iter().map(ToString::to_string).collect());
        let (needed, _) = requirement::parse(&given).unwrap();
        let completed = complete(needed.clone());
        assert_eq!(completed.len(), crates);
        assert!(needed.keys().all(|name| completed.contains_key(name)));
    }

    #[test]
    fn every_part_of_a_kit_says_what_it_means() {
        for part in SMALL.iter().chain(SDK) {
            assert!(part.dependency().versions.matches(&part.known()), "{}", part.name);
            assert_eq!(part.dependency().versions.to_string(), format!("^{}", part.versions));
        }
    }
}
