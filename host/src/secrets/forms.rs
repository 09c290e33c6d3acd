//! What a value looks like once somebody has put it into JSON, a URL or a header.

use std::collections::BTreeSet;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Secret;

/// Lines of a value of several, such as a key in PEM form, that are recognised on their own.
const SHORTEST_LINE: usize = 16;

/// RFC 3986, `encodeURIComponent`, and forms of HTML.
const UNRESERVED: &[&AsciiSet] = &[
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~'),
    &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'!')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')')
        .remove(b'*'),
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b' '),
];

/// Every form, the value itself among them.
pub(super) fn of(value: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
    for part in std::iter::once(value.trim()).chain(lines) {
        if part.len() < Secret::SHORTEST_KNOWN {
            continue;
        }
        let once = escaped(part);
        forms.extend(once.iter().flat_map(|form| escaped(form)));
        forms.extend(once);
        for kept in UNRESERVED {
            let encoded = utf8_percent_encode(part, kept).to_string().replace(' ', "+");
            forms.insert(lower_hex(&encoded));
            forms.insert(encoded);
        }
        forms.extend(base64(part.as_bytes()));
        let hex: String = part.bytes().map(|byte| format!("{byte:02x}")).collect();
        forms.insert(hex.to_uppercase());
        forms.insert(hex);
    }
    forms
}

/// As texts of JSON: as it is written usually, in ASCII alone, with `\/`.
fn escaped(text: &str) -> Vec<String> {
    let quoted = serde_json::Value::from(text).to_string();
    let usual = quoted[1..quoted.len() - 1].to_owned();
    let mut ascii = String::new();
    for character in usual.chars() {
        match character {
            character if character.is_ascii() => ascii.push(character),
            character => {
                let mut units = [0; 2];
                character.encode_utf16(&mut units).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")));
            }
        }
    }
    vec![text.to_owned(), usual.replace('/', "\\/"), usual, ascii]
}

fn lower_hex(encoded: &str) -> String {
    let mut lower = String::with_capacity(encoded.len());
    let mut left = 0;
    for character in encoded.chars() {
        left = if character == '%' { 3 } else { left };
        lower.push(if left > 0 { character.to_ascii_lowercase() } else { character });
        left = usize::saturating_sub(left, 1);
    }
    lower
}

/// In base64, at each of the three places that it can have in what was encoded, such as `user:value`; without the
/// characters that depend on what stands beside it.
fn base64(value: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let whole: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
        let (from, to) = ((before * 8).div_ceil(6), whole.len() * 8 / 6);
        for encoded in [BASE64_STANDARD_NO_PAD.encode(&whole), BASE64_URL_SAFE_NO_PAD.encode(&whole)] {
            forms.extend(encoded.get(from..to).filter(|form| form.len() >= Secret::SHORTEST_KNOWN).map(str::to_owned));
        }
    }
    forms
}
