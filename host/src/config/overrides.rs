//! `PERENNIAL_SECTION_KEY=value` for every scalar of the file.

use serde::Deserialize;
use serde_json::{Error, Value};

use super::{Config, ConfigError, Variables, wording};

/// A variable, the key that it overrides, and how.
struct Override {
    variable: &'static str,
    key: &'static str,
    set: fn(&mut Config, &str) -> Result<(), Error>,
}

macro_rules! overrides {
    ($($variable:literal => $($key:ident).+ ($name:literal);)+) => {
        const OVERRIDES: &[Override] = &[$(Override {
            variable: $variable,
            key: $name,
            set: |config, text| scalar(text).map(|value| config.$($key).+ = value),
        }),+];
    };
}

overrides! {
    "PERENNIAL_STORAGE_USE" => storage.plugin ("storage.use");
    "PERENNIAL_STORAGE_KEEP_VERSIONS" => storage.keep_versions ("storage.keep_versions");
    "PERENNIAL_STORAGE_KEEP_DAYS" => storage.keep_days ("storage.keep_days");
    "PERENNIAL_STORAGE_DELETED_DAYS" => storage.deleted_days ("storage.deleted_days");
    "PERENNIAL_LIMITS_MEMORY_MB" => limits.memory_mb ("limits.memory_mb");
    "PERENNIAL_LIMITS_CPU" => limits.cpu ("limits.cpu");
    "PERENNIAL_LIMITS_PIDS" => limits.pids ("limits.pids");
    "PERENNIAL_LIMITS_FILES" => limits.files ("limits.files");
    "PERENNIAL_LIMITS_DISK_MB" => limits.disk_mb ("limits.disk_mb");
    "PERENNIAL_LIMITS_SERVERS" => limits.servers ("limits.servers");
    "PERENNIAL_LIMITS_CALL_TIMEOUT_S" => limits.call_timeout_s ("limits.call_timeout_s");
    "PERENNIAL_LIMITS_START_TIMEOUT_S" => limits.start_timeout_s ("limits.start_timeout_s");
    "PERENNIAL_LIMITS_BUILD_TIMEOUT_S" => limits.build_timeout_s ("limits.build_timeout_s");
    "PERENNIAL_LIMITS_PATIENCE_S" => limits.patience_s ("limits.patience_s");
    "PERENNIAL_LIMITS_LINE_MB" => limits.line_mb ("limits.line_mb");
    "PERENNIAL_LIMITS_CODE_MB" => limits.code_mb ("limits.code_mb");
    "PERENNIAL_POLICY_SANDBOX" => policy.sandbox ("policy.sandbox");
    "PERENNIAL_POLICY_NETWORK" => policy.network ("policy.network");
    "PERENNIAL_REGISTRIES_PYPI" => registries.pypi ("registries.pypi");
    "PERENNIAL_REGISTRIES_NPM" => registries.npm ("registries.npm");
    "PERENNIAL_REGISTRIES_CRATES_IO" => registries.crates_io ("registries.crates-io");
    "PERENNIAL_REGISTRIES_PROXY" => registries.proxy ("registries.proxy");
    "PERENNIAL_REGISTRIES_CA" => registries.ca ("registries.ca");
    "PERENNIAL_CACHE_MAX_GB" => cache.max_gb ("cache.max_gb");
    "PERENNIAL_CACHE_MAX_ENVIRONMENT_GB" => cache.max_environment_gb ("cache.max_environment_gb");
    "PERENNIAL_EXPOSURE_MODE" => exposure.mode ("exposure.mode");
    "PERENNIAL_EXPOSURE_AUTO_TOKENS" => exposure.auto_tokens ("exposure.auto_tokens");
    "PERENNIAL_EXPOSURE_MAX_TOOLS" => exposure.max_tools ("exposure.max_tools");
    "PERENNIAL_EXPOSURE_MAX_KB" => exposure.max_kb ("exposure.max_kb");
    "PERENNIAL_EXPOSURE_ONLY" => exposure.only ("exposure.only");
    "PERENNIAL_EXPOSURE_IDLE_S" => exposure.idle_s ("exposure.idle_s");
    "PERENNIAL_HTTP_LISTEN" => http.listen ("http.listen");
    "PERENNIAL_HTTP_REMOTE" => http.remote ("http.remote");
    "PERENNIAL_HTTP_BODY_MB" => http.body_mb ("http.body_mb");
    "PERENNIAL_HTTP_CONNECTIONS" => http.connections ("http.connections");
    "PERENNIAL_HTTP_SESSIONS" => http.sessions ("http.sessions");
    "PERENNIAL_HTTP_SESSION_IDLE_S" => http.session_idle_s ("http.session_idle_s");
    "PERENNIAL_HTTP_DRAIN_S" => http.drain_s ("http.drain_s");
    "PERENNIAL_LOG" => log.level ("log.level");
}

/// Sets what the environment sets.
///
/// # Errors
/// A value that does not fit, or a variable that is a slip of one of these. Other variables that start with
/// `PERENNIAL_` are let be: a cluster sets such names for services of its own.
pub(super) fn apply(config: &mut Config, variables: &Variables) -> Result<(), ConfigError> {
    let known: Vec<_> = OVERRIDES.iter().map(|each| each.variable).chain(OTHERS.iter().copied()).collect();
    for name in variables.names("PERENNIAL_").filter(|name| !OTHERS.contains(name)) {
        let Some(each) = OVERRIDES.iter().find(|each| each.variable == name) else {
            let slip = wording::closest(name, &known);
            match slip.filter(|meant| strsim::damerau_levenshtein(meant, name) <= 2) {
                Some(meant) => {
                    let error = ConfigError::new(format!("unknown environment variable `{name}`"));
                    return Err(error.with_help(format!("did you mean `{meant}`?")));
                }
                None => continue,
            }
        };
        let Some(text) = variables.get(name).and_then(|value| value.to_str()) else {
            return Err(ConfigError::new("not UTF-8").in_variable(name));
        };
        (each.set)(config, text)
            .map_err(|error| wording::explain(&error.to_string(), Some(each.key)).in_variable(each.variable))?;
        config.origin.overridden.insert(each.key.to_owned(), each.variable);
    }
    Ok(())
}

/// Text as whatever the key takes: as text when it takes that, else as a number or a truth value.
fn scalar<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Error> {
    T::deserialize(Value::from(text)).or_else(|error| match (text.parse::<i64>(), text.parse::<f64>()) {
        _ if ["true", "false"].contains(&text) => T::deserialize(Value::from(text == "true")),
        (Ok(number), _) => T::deserialize(Value::from(number)),
        (_, Ok(number)) if number.is_finite() => T::deserialize(Value::from(number)),
        _ => Err(error),
    })
}

/// Variables that no key of the file stands for.
const OTHERS: &[&str] =
    &["PERENNIAL_CONFIG", "PERENNIAL_DATA_DIR", "PERENNIAL_CACHE_DIR", "PERENNIAL_STATE_DIR", "PERENNIAL_RUNTIME_DIR"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scalar_of_the_example_has_its_variable() {
        let mut expected = Vec::new();
        for line in super::super::EXAMPLE.lines() {
            let line = line.strip_prefix('#').unwrap_or(line);
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                expected.push((section.to_owned(), Vec::new()));
            } else if let Some((key, value)) = line.split_once(" = ")
                && let Some((section, keys)) = expected.last_mut()
                && !["plugins", "http.tokens"].iter().any(|tables| section.starts_with(tables))
                && !value.starts_with('[')
            {
                keys.push(format!("{section}.{key}"));
            }
        }
        let mut expected: Vec<String> = expected.into_iter().flat_map(|(_, keys)| keys).collect();
        let mut known: Vec<_> = OVERRIDES.iter().map(|each| each.key.to_owned()).collect();
        expected.sort();
        known.sort();
        assert_eq!(known, expected);
    }

    #[test]
    fn what_may_be_left_out_can_be_set() {
        let mut config = Config::default();
        let mut set = |variable: &str, text: &str| {
            OVERRIDES.iter().find(|each| each.variable == variable).map(|each| (each.set)(&mut config, text).is_ok())
        };
        assert_eq!(set("PERENNIAL_REGISTRIES_PYPI", "https://packages.example.com/simple"), Some(true));
        assert_eq!(set("PERENNIAL_STORAGE_KEEP_DAYS", "90"), Some(true));
        for wrong in ["0", "many", "nan", "1.5"] {
            assert_eq!(set("PERENNIAL_STORAGE_KEEP_DAYS", wrong), Some(false), "{wrong}");
        }
        assert_eq!(config.storage.keep_days.map(super::super::Whole::get), Some(90));
        assert!(config.registries.pypi.is_some());
    }

    #[test]
    fn variables_are_named_after_their_keys() {
        for each in OVERRIDES.iter().filter(|each| each.key != "log.level") {
            let name = format!("PERENNIAL_{}", each.key.replace(['.', '-'], "_").to_uppercase());
            assert_eq!(each.variable, name);
        }
    }
}
