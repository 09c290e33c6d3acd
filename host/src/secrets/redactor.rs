use std::{borrow::Cow, sync::Arc};

use aho_corasick::{AhoCorasick, MatchKind};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::{Secret, Values, forms};

/// Finds values of secrets in what others say, in every form that they usually have there.
#[derive(Clone)]
pub struct Redactor(Arc<Found>);

struct Found {
    forms: AhoCorasick,
    /// The name for each form.
    names: Vec<String>,
    values: Values,
}

impl Redactor {
    /// Finds these; none when there is none that is long enough to be recognised.
    pub fn of(values: Values) -> Option<Self> {
        let (mut patterns, mut names) = (Vec::new(), Vec::new());
        for (name, Secret(value)) in &values {
            for form in forms::of(value) {
                patterns.push(form);
                // a former value is called like the present one
                names.push(name.split('#').next().unwrap_or_default().to_owned());
            }
        }
        if patterns.is_empty() {
            return None;
        }
        let forms = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns).ok()?;
        Some(Self(Arc::new(Found { forms, names, values })))
    }

    /// The values that it finds.
    pub(super) fn values(&self) -> &Values {
        &self.0.values
    }

    /// A text with `[secret NAME]` in the place of each value.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.0.forms.is_match(text) {
            return Cow::Borrowed(text);
        }
        let mut redacted = String::with_capacity(text.len());
        self.0.forms.replace_all_with(text, &mut redacted, |found, _, to| {
            to.push_str(&format!("[secret {}]", self.0.names[found.pattern().as_usize()]));
            true
        });
        Cow::Owned(redacted)
    }

    /// The name of a secret whose value is in a text.
    pub fn first_in(&self, text: &str) -> Option<&str> {
        self.0.forms.find(text).map(|found| self.0.names[found.pattern().as_usize()].as_str())
    }

    /// Redacts all texts of a value, names of members and numbers too; whether there was anything.
    pub fn value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.text(text) {
                Cow::Owned(redacted) => {
                    *text = redacted;
                    true
                }
                Cow::Borrowed(_) => false,
            },
            Value::Number(number) => match self.text(&number.to_string()) {
                Cow::Owned(redacted) => {
                    *value = redacted.into();
                    true
                }
                Cow::Borrowed(_) => false,
            },
            Value::Array(items) => items.iter_mut().fold(false, |any, item| self.value(item) | any),
            Value::Object(members) => self.members(members),
            Value::Null | Value::Bool(_) => false,
        }
    }

    /// [`Redactor::value`] for the members of an object.
    pub fn members(&self, members: &mut Map<String, Value>) -> bool {
        let mut any = members.values_mut().fold(false, |any, member| self.value(member) | any);
        if members.keys().any(|name| self.0.forms.is_match(name)) {
            *members = std::mem::take(members)
                .into_iter()
                .map(|(name, member)| (self.text(&name).into_owned(), member))
                .collect();
            any = true;
        }
        any
    }

    /// A JSON text with its values redacted. One that has none is answered as it came, byte for byte; what is answered is
    /// always JSON.
    pub fn json(&self, text: Bytes) -> Bytes {
        // an escape can hide any character
        if !self.0.forms.is_match(&text) && memchr::memmem::find(&text, b"\\u").is_none() {
            return text;
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(&text) else { return text };
        match self.value(&mut value) {
            true => serde_json::to_vec(&value).map_or(text, Bytes::from),
            false => text,
        }
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn redactor(value: &str) -> Redactor {
        Redactor::of([("KEY".to_owned(), Secret::new(value).unwrap())].into()).unwrap()
    }

    const VALUE: &str = "p4ß/w \"o\\rd?+&";

    #[rstest]
    #[case::raw(VALUE.to_owned())]
    #[case::json(json!(VALUE).to_string().trim_matches('"').to_owned())]
    #[case::json_of_pythons("p4\\u00df/w \\\"o\\\\rd?+&".to_owned())]
    #[case::json_in_json(json!(json!(VALUE).to_string()).to_string())]
    #[case::slashes("p4ß\\/w \\\"o\\\\rd?+&".to_owned())]
    #[case::percent("p4%C3%9F%2Fw%20%22o%5Crd%3F%2B%26".to_owned())]
    #[case::lower_percent("p4%c3%9f%2fw%20%22o%5crd%3f%2b%26".to_owned())]
    #[case::form("p4%C3%9F%2Fw+%22o%5Crd%3F%2B%26".to_owned())]
    #[case::base64(BASE64_STANDARD.encode(VALUE))]
    #[case::basic(BASE64_STANDARD.encode(format!("user:{VALUE}")))]
    #[case::basic_1(BASE64_STANDARD.encode(format!("me:{VALUE}@")))]
    #[case::basic_2(BASE64_URL_SAFE_NO_PAD.encode(format!("m:{VALUE}")))]
    #[case::hex(VALUE.bytes().map(|byte| format!("{byte:02x}")).collect())]
    fn every_usual_form_is_found(#[case] form: String) {
        let said = format!("before {form} after");
        let redacted = redactor(VALUE).text(&said).into_owned();
        assert!(
            redacted.contains("[secret KEY]") && redacted.starts_with("before ") && redacted.ends_with(" after"),
            "{redacted}"
        );
        assert!(redacted.len() < said.len() + 14, "{redacted}");
    }

    #[test]
    fn lines_of_a_key_are_found_alone() {
        let redactor = redactor("-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n-----END KEY-----\n");
        assert_eq!(redactor.text("> MIIEvQIBADANBgkqhkiG9w0BAQEF"), "> [secret KEY]");
    }

    #[test]
    fn short_values_are_in_every_text() {
        assert!(Redactor::of([("A".to_owned(), Secret::new("true").unwrap())].into()).is_none());
    }

    #[test]
    fn what_has_no_secret_stays_as_it_was() {
        let text = Bytes::from_static(b"{\"a\" : 1.0e2, \"b\":\"\\u00e9\"}");
        assert_eq!(redactor("s3cret-value").json(text.clone()), text);
    }

    #[test]
    fn json_stays_json() {
        let redactor = redactor("12345678");
        for (text, expected) in [
            (r#"{"n": 12345678}"#, r#"{"n":"[secret KEY]"}"#),
            (r#"{"12345678": [true, "a\n12345678"]}"#, r#"{"[secret KEY]":[true,"a\n[secret KEY]"]}"#),
            ("{\"a\": \"\\u00312345678\"}", r#"{"a":"[secret KEY]"}"#),
        ] {
            assert_eq!(redactor.json(Bytes::from_static(text.as_bytes())), expected);
        }
    }

    proptest! {
        #[test]
        fn no_value_comes_through_json(value in "[ -~é\u{1f600}\n]{6,40}", before in ".{0,8}", after in ".{0,8}") {
            prop_assume!(value.trim().len() >= Secret::SHORTEST_KNOWN);
            let redactor = redactor(&value);
            let sent = json!({"content": [{"type": "text", "text": format!("{before}{value}{after}")}]}).to_string();
            let redacted = redactor.json(sent.into());
            let read: Value = serde_json::from_slice(&redacted).unwrap();
            let text = read["content"][0]["text"].as_str().unwrap();
            prop_assert!(!text.contains(value.trim()), "{}", text);
        }
    }
}
