use std::str::FromStr;

use clap::Args;

/// Settings of a plugin on the command line.
#[derive(Args)]
pub(super) struct Settings {
    /// One of the plugin's own settings; as often as there are some
    ///
    /// The value is TOML, such as `5`, `true` or `["a", "b"]`, and a text when it is none. `a.b=1` sets `b` in the table `a`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<Setting>,
}

/// A key, and a table around its value.
#[derive(Debug, Clone, PartialEq)]
struct Setting {
    key: Vec<String>,
    value: toml::Value,
}

impl Settings {
    /// All of them as one table; of two values of one key the later one counts.
    pub(super) fn into_table(self) -> toml::Table {
        let mut all = toml::Table::new();
        for Setting { mut key, value } in self.set {
            let Some(last) = key.pop() else { continue };
            let mut table = &mut all;
            for part in key {
                let inner = table.entry(part).or_insert_with(|| toml::Table::new().into());
                if !inner.is_table() {
                    *inner = toml::Table::new().into();
                }
                let toml::Value::Table(inner) = inner else { unreachable!("it was made one") };
                table = inner;
            }
            table.insert(last, value);
        }
        all
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("write `KEY=VALUE`")?;
        let key: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
        if key.iter().any(String::is_empty) {
            return Err("the key is empty: write `KEY=VALUE`".into());
        }
        let parsed = toml::from_str::<toml::Table>(&format!("x = {value}")).ok();
        // a value with lines of its own could bring keys along
        let parsed = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("x"));
        Ok(Self { key, value: parsed.unwrap_or_else(|| value.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_toml_or_a_text() {
        let parse = |set: &[&str]| {
            let set = set.iter().map(|text| text.parse()).collect::<Result<_, _>>();
            set.map(|set| toml::to_string(&Settings { set }.into_table()).unwrap())
        };
        assert_eq!(parse(&["a=5", "b=x y", "c=[1, \"2\"]", "d= true", "e=\"5\""]).unwrap(), {
            "a = 5\nb = \"x y\"\nc = [1, \"2\"]\nd = true\ne = \"5\"\n"
        });
        assert_eq!(parse(&["a.b=1", "a.c=2", "a.b=3"]).unwrap(), "[a]\nb = 3\nc = 2\n");
        assert_eq!(parse(&["a=1", "a.b=2"]).unwrap(), "[a]\nb = 2\n");
        assert_eq!(parse(&["a=1\nb = 2"]).unwrap(), "a = \"\"\"\n1\nb = 2\"\"\"\n");
        assert_eq!(parse(&["u=http://a/?b=c"]).unwrap(), "u = \"http://a/?b=c\"\n");
        for bad in ["a", "=1", "a.=1", ".a=1"] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
