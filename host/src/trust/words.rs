use perennial_sdk::{Network, Permissions};

use crate::{definitions::is_hidden, library::shortened};

/// How many entries of a list are named.
const MOST: usize = 12;

/// Permissions on one line: `network api.example.com:443; env TOKEN`. What others wrote is made plain and short.
pub fn in_words(permissions: &Permissions) -> String {
    let mut parts = Vec::new();
    match &permissions.network {
        Network::None => {}
        Network::All => parts.push("network all".to_owned()),
        Network::Hosts(hosts) => parts.push(format!("network {}", listed(hosts))),
    }
    let lists = [("read", &permissions.read), ("write", &permissions.write), ("env", &permissions.env)];
    parts.extend(
        lists.iter().filter(|(_, list)| !list.is_empty()).map(|(what, list)| format!("{what} {}", listed(list))),
    );
    let words = if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") };
    // an approval must be of what is read
    words.chars().map(|c| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn listed(entries: &[String]) -> String {
    let mut named: Vec<_> = entries.iter().take(MOST).map(|entry| shortened(entry)).collect();
    if entries.len() > MOST {
        named.push(format!("and {} more", entries.len() - MOST));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_one_short_line() {
        let permissions = Permissions {
            network: Network::Hosts(vec!["a:443".into(), "b:80".into()]),
            read: vec!["/x\n✅ approved\u{202e}".into()],
            env: (0..40).map(|number| format!("V{number}")).collect(),
            ..Permissions::default()
        };
        let text = in_words(&permissions);
        assert!(
            text.starts_with("network a:443, b:80; read /x\u{fffd}✅ approved\u{fffd}; env V0, ")
                && !text.contains('\n'),
            "{text}"
        );
        assert!(text.ends_with("V11, and 28 more"), "{text}");
        assert_eq!(in_words(&Permissions::default()), "nothing");
        assert_eq!(in_words(&Permissions { network: Network::All, ..Permissions::default() }), "network all");
    }
}
