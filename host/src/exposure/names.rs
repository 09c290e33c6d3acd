//! What a tool of a saved server is called in the host's own list.

use sha2::{Digest, Sha256};

/// Between the server's part of a name and the tool's. Names are looked up whole and never taken apart at it.
const BETWEEN: &str = "__";

/// The longest name: clients put their own name for the host before it and cut at 64.
pub(super) const LONGEST: usize = 44;

/// The longest part of a name that stands for the server.
const LONGEST_SERVER: usize = 24;

/// What stands for a server of this name: letters, digits, `_` and `-`. A server whose name has none of these is called by
/// the end of its id.
pub(super) fn slug(name: &str, id: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            c => match unaccented(c) {
                Some(c) => slug.push(c),
                None if slug.is_empty() || slug.ends_with('-') => {}
                None => slug.push('-'),
            },
        }
    }
    slug.truncate(LONGEST_SERVER);
    let slug = slug.trim_matches('-');
    if slug.is_empty() { format!("server-{}", tail(&[id])) } else { slug.to_owned() }
}

/// `slug`, told apart from that of another server.
pub(super) fn apart(slug: &str, id: &str) -> String {
    let kept: String = slug.chars().take(LONGEST_SERVER - 5).collect();
    format!("{}-{}", kept.trim_end_matches('-'), &tail(&[id])[..4])
}

/// The name of a tool. One that is too long, or holds other characters, ends with a hash of what it stands for, which is
/// the same in every session.
pub(crate) fn name(slug: &str, tool: &str) -> String {
    // shown alone
    if slug.is_empty() {
        return tool.to_owned();
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let name = format!("{slug}{BETWEEN}{tool}");
    if name.len() <= LONGEST && !tool.is_empty() && tool.chars().all(plain) {
        return name;
    }
    let hash = tail(&[slug, tool]);
    let kept = name.chars().map(|c| if plain(c) { c } else { '-' }).take(LONGEST - hash.len() - 1);
    format!("{}_{hash}", kept.collect::<String>())
}

fn tail(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// The letter without its accent, of those that European languages put one on.
fn unaccented(c: char) -> Option<char> {
    let plain = match c.to_lowercase().next()? {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'ď' | 'đ' => 'd',
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => 'e',
        'ğ' => 'g',
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ı' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' => 'o',
        'ř' => 'r',
        'ś' | 'š' | 'ş' | 'ß' => 's',
        'ť' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ū' | 'ů' | 'ű' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        _ => return None,
    };
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_called_as_people_call_them() {
        assert_eq!(slug("Mon serveur de calcul v1.0", "a"), "mon-serveur-de-calcul-v1");
        assert_eq!(slug("Météo: Genève 🎯", "a"), "meteo-geneve");
        assert_eq!(slug("  ../../etc  ", "a"), "etc");
        assert!(slug("计算器", "server-1").starts_with("server-"));
        assert_ne!(slug("计算器", "server-1"), slug("计算器", "server-2"));
        assert_eq!(apart("calc", "server-1").len(), "calc-1234".len());
        assert!(apart(&"x".repeat(24), "server-1").len() <= LONGEST_SERVER);
    }

    #[test]
    fn names_are_short_plain_and_always_the_same() {
        assert_eq!(name("calc", "add"), "calc__add");
        let long = name("calc", &"very_".repeat(20));
        assert_eq!((long.len(), &long), (LONGEST, &name("calc", &"very_".repeat(20))));
        for odd in ["a.b", "a b", "é", "", "a/b", &"x".repeat(500)] {
            let made = name("calc", odd);
            assert!(made.len() <= LONGEST, "{made}");
            assert!(made.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')), "{made}");
        }
        assert_ne!(name("calc", "a.b"), name("calc", "a-b"));
        assert_ne!(name("calc", "a.b"), name("calc", "a/b"));
    }
}
