use perennial_sdk::{Limits, Network, Permissions};
use serde::Serialize;
use serde_json::{Value, json};

/// What an update does to what a server may do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// What it may do now, and could not before.
    pub added: Vec<String>,
    /// What it could do before, and may not now.
    pub removed: Vec<String>,
    /// Limits that changed: `memory_mb 256 → 512`; what was not set is the operator's.
    pub limits: Vec<String>,
    /// Whether it may do more than before, or use more.
    pub widened: bool,
}

impl Difference {
    /// What became of `old` in `new`.
    pub fn between(old: (&Permissions, &Limits), new: (&Permissions, &Limits)) -> Self {
        let (before, after) = (lines(old.0), lines(new.0));
        let missing = |from: &[String], of: &[String]| of.iter().filter(|line| !from.contains(line)).cloned().collect();
        let (added, removed): (Vec<String>, Vec<String>) = (missing(&before, &after), missing(&after, &before));
        let (before, after) = (json!(old.1), json!(new.1));
        let names = ["memory_mb", "cpu", "pids", "files", "disk_mb", "call_timeout_s"];
        let changed: Vec<_> = names.into_iter().filter(|name| before.get(name) != after.get(name)).collect();
        let number = |limits: &Value, name: &str| limits.get(name).and_then(Value::as_f64).unwrap_or(f64::INFINITY);
        let word =
            |limits: &Value, name: &str| limits.get(name).map_or_else(|| "the operator's".to_owned(), Value::to_string);
        let more = changed.iter().any(|name| number(&after, name) > number(&before, name));
        let limits = changed.iter().map(|name| format!("{name} {} → {}", word(&before, name), word(&after, name)));
        Self { widened: !added.is_empty() || more, limits: limits.collect(), added, removed }
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.limits.is_empty()
    }
}

fn lines(permissions: &Permissions) -> Vec<String> {
    let network: &[String] = match &permissions.network {
        Network::None => &[],
        Network::Hosts(hosts) => hosts,
        Network::All => &["all".into()],
    };
    let kinds: [(&str, &[String]); 4] =
        [("network", network), ("read", &permissions.read), ("write", &permissions.write), ("env", &permissions.env)];
    kinds.into_iter().flat_map(|(kind, all)| all.iter().map(move |one| format!("{kind} {one}"))).collect()
}

/// The lines of a difference, each with its sign.
impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let title = if self.widened {
            "this gives the server more than it had"
        } else {
            "the server may do less than it could"
        };
        write!(f, "permissions: {title}")?;
        for (sign, lines) in [('+', &self.added), ('-', &self.removed), ('~', &self.limits)] {
            lines.iter().try_for_each(|line| write!(f, "\n{sign} {line}"))?;
        }
        Ok(())
    }
}
