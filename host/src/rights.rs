//! What a running server was given, and what of it is enforced: the facts behind its results.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use perennial_sdk::Result;
use serde_json::{Value, json};

use crate::{
    egress::{Denial, Gates, Rules, Traffic, Upstream, Whose},
    policy::{Granted, Reachable, Refusal},
    secrets::Redactor,
    supervisor::{Confinement, Egress, Enforced, Measure, Strictness},
};

/// What a server was given when it was started.
#[derive(Debug)]
pub struct Rights {
    /// What it may do.
    pub granted: Granted,
    /// What it asked for, or once had, and does not get.
    pub withheld: Vec<Refusal>,
    /// What the operator would have to write so that nothing is withheld.
    pub remedy: Option<String>,
    /// How strictly it is confined; none when the operator wants no confinement.
    pub strictness: Option<Strictness>,
    /// What goes through its gate, when it has one.
    pub traffic: Option<Arc<Traffic>>,
    /// Finds the values that it was given; none when it was given none.
    pub redactor: Option<Redactor>,
}

impl Rights {
    /// What its process may reach and use, with these folders beside those that were granted; none when it is not
    /// confined. Its gate is made here.
    ///
    /// # Errors
    /// When nothing can serve a gate.
    pub fn confinement(
        &mut self,
        mut read: Vec<PathBuf>,
        mut write: Vec<PathBuf>,
        gates: &Arc<Gates>,
        way_out: impl FnOnce() -> Upstream,
    ) -> Result<Option<Confinement>> {
        let Some(strictness) = self.strictness else { return Ok(None) };
        let egress = match &self.granted.network {
            Reachable::Nothing => Egress::None,
            Reachable::Everything => Egress::All,
            Reachable::Places(rules) => {
                let rules = Rules { allowed: rules.clone(), of: Whose::Server };
                let traffic = self.traffic.insert(Traffic::new(rules, Arc::new(way_out())));
                Egress::Gate(gates.gate(traffic)?)
            }
        };
        read.extend(self.granted.read.iter().cloned());
        write.extend(self.granted.write.iter().cloned());
        for paths in [&mut read, &mut write] {
            paths.sort();
            paths.dedup();
        }
        Ok(Some(Confinement { strictness, read, write, egress, caps: self.granted.bounds.caps() }))
    }

    /// What was denied to it since `seen`, which [`Rights::denials_so_far`] gave.
    pub fn denied_since(&self, seen: u64) -> Vec<Denial> {
        self.traffic.as_ref().map(|traffic| traffic.denials.since(seen)).unwrap_or_default()
    }

    /// How often something was denied to it so far.
    pub fn denials_so_far(&self) -> u64 {
        self.traffic.as_ref().map_or(0, |traffic| traffic.denials.total())
    }

    /// A text of the server's without the values that it was given.
    pub fn redacted(&self, text: String) -> String {
        match &self.redactor {
            Some(redactor) => redactor.text(&text).into_owned(),
            None => text,
        }
    }

    /// The lines for people: what is enforced, what is granted beyond what every server may, what is withheld.
    pub fn lines(&self, enforced: &Enforced) -> Vec<String> {
        let mut lines = vec![format!("enforced: {}", self.in_words(enforced))];
        lines.extend(self.granted.beyond_all().map(|granted| format!("granted: {granted}")));
        if !self.withheld.is_empty() {
            let withheld: Vec<_> = self.withheld.iter().map(ToString::to_string).collect();
            let remedy = self.remedy.iter().map(|remedy| format!("\n{remedy}")).collect::<String>();
            lines.push(format!("withheld: {}{remedy}", withheld.join("; ")));
        }
        lines
    }

    /// The same as facts, to be put among others.
    pub fn facts(&self, enforced: &Enforced) -> BTreeMap<&'static str, Value> {
        let measures: Vec<_> = enforced.measures.iter().map(|measure| self.fact(measure)).collect();
        BTreeMap::from([
            ("enforced", measures.into()),
            ("granted", self.granted.facts()),
            ("bounds", self.granted.bounds.facts()),
            ("withheld", json!(self.withheld)),
        ])
    }

    fn fact(&self, measure: &Measure) -> Value {
        let mut fact = json!({ "what": measure.what, "by": measure.by });
        if let Some(detail) = self.detail(&measure.what) {
            fact["to"] = detail.into();
        }
        if let Some(short_of) = &measure.short_of {
            fact["shortOf"] = short_of.as_str().into();
        }
        fact
    }

    /// `files, network (none) by landlock; memory ≤ 512 MiB by watchdog (bounded, not capped); not enforced: disk`
    fn in_words(&self, enforced: &Enforced) -> String {
        const RIGHTS: &str = "the server runs with the rights of the user";
        if self.strictness.is_none() {
            return format!("nothing, since the configuration says `sandbox = \"off\"`; {RIGHTS}");
        }
        // by what, and how far short of the whole → the things
        type How<'a> = (&'a str, Option<&'a str>);
        let mut groups: Vec<(How<'_>, Vec<String>)> = Vec::new();
        let mut missing = Vec::new();
        for measure in &enforced.measures {
            let Some(by) = &measure.by else {
                let short = measure.short_of.as_ref().map(|short| format!(" ({short})")).unwrap_or_default();
                missing.push(format!("{}{short}", measure.what));
                continue;
            };
            let what = match self.detail(&measure.what) {
                Some(detail) if detail.starts_with('≤') => format!("{} {detail}", measure.what),
                Some(detail) => format!("{} ({detail})", measure.what),
                None => measure.what.clone(),
            };
            let key = (by.as_str(), measure.short_of.as_deref());
            match groups.iter_mut().find(|(there, _)| *there == key) {
                Some((_, all)) => all.push(what),
                None => groups.push((key, vec![what])),
            }
        }
        let mut parts: Vec<_> = groups
            .iter()
            .map(|((by, short), what)| {
                let short = short.map(|short| format!(" ({short})")).unwrap_or_default();
                format!("{} by {by}{short}", what.join(", "))
            })
            .collect();
        if parts.is_empty() {
            parts.push(format!("nothing on this machine; {RIGHTS}"));
        }
        if !missing.is_empty() {
            parts.push(format!("not enforced: {}", missing.join(", ")));
        }
        parts.join("; ")
    }

    /// How far a measure goes.
    fn detail(&self, what: &str) -> Option<String> {
        let bounds = &self.granted.bounds;
        match what {
            "network" => Some(self.granted.network.in_words()),
            "memory" => Some(format!("≤ {} MiB", bounds.memory_mb)),
            "processor" => Some(format!("≤ {} cores", bounds.cpu)),
            "process count" => Some(format!("≤ {}", bounds.pids)),
            "open files" => Some(format!("≤ {}", bounds.files)),
            "disk" => Some(format!("≤ {} MiB", bounds.disk_mb)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use perennial_sdk::{Limits, Permissions};

    use super::*;
    use crate::{
        config::Config,
        policy::{Ceiling, Demand, Protected},
    };

    fn rights(permissions: Value, policy: &str) -> Rights {
        let ceiling = Ceiling::of(&toml::from_str::<Config>(policy).unwrap());
        let permissions: Permissions = serde_json::from_value(permissions).unwrap();
        let judged = ceiling.judge(&permissions, &Limits::default(), &Protected::default(), Demand::Kept).unwrap();
        Rights {
            granted: judged.granted,
            remedy: ceiling.remedy(&judged.refused).map(|_| "(remedy)".into()),
            withheld: judged.refused,
            strictness: ceiling.strictness(),
            traffic: None,
            redactor: None,
        }
    }

    fn enforced(measures: &[(&str, &str, &str)]) -> Enforced {
        let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        let measure = |(what, by, short_of): &(&str, &str, &str)| json!({ "what": what, "by": text(by), "short_of": text(short_of), "kept": !by.is_empty() });
        let measures: Vec<_> = measures.iter().map(measure).collect();
        serde_json::from_value(json!({ "measures": measures })).unwrap()
    }

    const HERE: &[(&str, &str, &str)] = &[
        ("files", "landlock", ""),
        ("network", "landlock", ""),
        ("sockets", "seccomp", ""),
        ("signals", "landlock", ""),
        ("system calls", "seccomp", ""),
        ("memory", "watchdog", "bounded, not capped"),
        ("process count", "watchdog", "bounded, not capped"),
        ("open files", "rlimit", ""),
        ("processor", "", "no cgroup is delegated"),
        ("disk", "", ""),
    ];

    #[test]
    fn a_result_tells_what_holds_and_by_what() {
        let network = serde_json::json!({"network": ["api.example.com:443"]});
        let all = [
            rights(serde_json::json!({}), "").lines(&enforced(HERE)),
            rights(network.clone(), "").lines(&enforced(&HERE[..3])),
            rights(network, "").lines(&enforced(&[])),
            rights(serde_json::json!({"network": "all"}), "[policy]\nsandbox = \"off\"\nnetwork = \"all\"")
                .lines(&enforced(HERE)),
            rights(serde_json::json!({"env": ["A", "B"], "network": ["10.0.0.1:80"]}), "[policy]\nenv = [\"A\"]")
                .lines(&enforced(&HERE[..1])),
        ];
        insta::assert_snapshot!(all.map(|lines| lines.join("\n")).join("\n\n"));
    }

    #[test]
    fn the_facts_are_the_same() {
        let facts = rights(serde_json::json!({}), "").facts(&enforced(&HERE[4..6]));
        insta::assert_json_snapshot!(facts);
    }

    #[test]
    fn what_is_granted_becomes_a_confinement() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().canonicalize().unwrap();
        let policy = format!("[policy]\nwrite = [{folder:?}]");
        let asked = serde_json::json!({"network": ["api.example.com:443"], "write": [folder]});
        let mut rights = rights(asked, &policy);
        let nowhere = || Upstream::of(&BTreeMap::new());
        let made = rights.confinement(vec!["/env".into()], vec!["/state".into()], &Gates::new(), nowhere);
        let confinement = made.unwrap().unwrap();
        assert_eq!(confinement.strictness, Strictness::BestEffort);
        assert_eq!(confinement.read, [PathBuf::from("/env")]);
        assert!(confinement.write.contains(&folder) && confinement.write.contains(&"/state".into()));
        assert!(matches!(confinement.egress, Egress::Gate(_)) && rights.traffic.is_some());
        assert_eq!(confinement.caps.memory_bytes, Some(512 << 20));

        let mut free = self::rights(serde_json::json!({}), "[policy]\nsandbox = \"off\"");
        assert_eq!(free.confinement(Vec::new(), Vec::new(), &Gates::new(), nowhere).unwrap(), None);
        let mut strict = self::rights(serde_json::json!({}), "[policy]\nsandbox = \"require\"");
        let confinement = strict.confinement(Vec::new(), Vec::new(), &Gates::new(), nowhere).unwrap().unwrap();
        assert_eq!((confinement.strictness, confinement.egress), (Strictness::Require, Egress::None));
    }
}
