use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// The JSON Schema of the whole file, for editors: every key with what it means, its default and its bounds. What a
/// plugin takes as its `config` only the plugin knows.
///
/// It is written in draft 7, which editors of TOML understand.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Config>();
    schema.insert("title".into(), "Perennial's configuration".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::EXAMPLE, *};

    fn said(text: &str) -> Vec<String> {
        let file: Value = toml::from_str(text).unwrap();
        let validator = jsonschema::validator_for(&schema()).unwrap();
        validator.iter_errors(&file).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    #[test]
    fn the_example_fits_with_and_without_its_comments() {
        assert_eq!(said(EXAMPLE), [""; 0]);
        assert_eq!(said(&EXAMPLE.replace("\n#", "\n").replace("\n ", "\n# ")), [""; 0]);
    }

    #[test]
    fn the_example_for_teams_fits() {
        assert_eq!(said(include_str!("../../../docs/team.example.toml")), [""; 0]);
    }

    #[test]
    fn what_the_program_refuses_does_not_fit() {
        for wrong in [
            "[limits]\ncall_timeot_s = 30",
            "[limits]\npids = 0",
            "[limits]\ncpu = 0.0",
            "[limits]\ncall_timeout_s = \"soon\"",
            "[policy]\nnetwork = \"hots\"",
            "[registries]\npypi = \"ftp://packages.example.com\"",
            "[plugins.My_Plugin]",
            "[plugins.deno]\nsha256 = \"00\"",
            "schema_version = 2",
        ] {
            assert_eq!(said(wrong).len(), 1, "{wrong}: {:?}", said(wrong));
        }
    }

    /// What an editor shows beside a key: nobody should have to open another page for it.
    #[test]
    fn every_key_is_described_and_has_its_default() {
        let schema = schema();
        let mut keys = 0;
        for (section, key) in schema["properties"].as_object().unwrap() {
            assert!(key["description"].is_string(), "{section}");
            assert!(!key["default"].is_null() || section == "plugins", "{section}");
        }
        for (name, definition) in schema["definitions"].as_object().unwrap() {
            for (key, property) in definition["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].is_string(), "{name}.{key}");
                keys += 1;
            }
        }
        assert!(keys > 30, "{keys}");
        assert_eq!(schema["definitions"]["Limits"]["properties"]["call_timeout_s"]["default"], json!(60.0));
    }
}
