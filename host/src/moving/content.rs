use perennial_sdk::{SavedServer, Version};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 in hex of what a version says, whichever storage keeps it and under whatever number.
pub fn digest(record: &SavedServer) -> String {
    let record = SavedServer { version: Version::default(), sha256: None, ..record.clone() };
    hash(&serde_json::to_value(record).expect("a record always serializes"))
}

/// SHA-256 in hex of a value however it is spaced and whatever the order of its fields.
pub(super) fn hash(value: &Value) -> String {
    let mut hasher = Sha256::new();
    feed(value, &mut hasher);
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn feed(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(item, hasher);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        Value::Object(fields) => {
            let mut keys: Vec<_> = fields.keys().collect();
            keys.sort_unstable();
            hasher.update(b"{");
            for key in keys {
                hasher.update(Value::from(key.as_str()).to_string());
                hasher.update(b":");
                feed(&fields[key], hasher);
                hasher.update(b",");
            }
            hasher.update(b"}");
        }
        plain => hasher.update(plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_and_space_do_not_count_and_everything_else_does() {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let one = hash(&parse(r#"{"a": [1, 2.5], "b": {"c": null, "d": "x"}}"#));
        assert_eq!(one, hash(&parse("{\"b\":{\"d\":\"x\",\n\"c\":null},\"a\":[1,2.5]}")));
        for other in [json!({"a": [2.5, 1], "b": {"c": null, "d": "x"}}), json!({"a": [1, 2.5], "b": {"d": "x"}})] {
            assert_ne!(one, hash(&other));
        }
        assert_ne!(hash(&json!(["a", "b"])), hash(&json!([["a", "b"]])));
        assert_ne!(hash(&json!(["a\",\"b"])), hash(&json!(["a", "b"])));
    }

    #[test]
    fn a_number_and_a_hash_of_a_storage_are_not_content() {
        let record = SavedServer { code: "x".into(), ..SavedServer::default() };
        let stored = SavedServer { version: Version(7), sha256: Some("…".into()), ..record.clone() };
        assert_eq!(digest(&record), digest(&stored));
        assert_ne!(digest(&record), digest(&SavedServer { code: "y".into(), ..stored }));
    }
}
