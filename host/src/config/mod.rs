//! The one TOML file, typed.
