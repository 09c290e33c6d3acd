//! Perennial as its users meet it: every test here drives the real binary, over stdio or as a command.
//!
//! `tests/run` installs what the tests need and runs them. `PERENNIAL_BIN` puts another binary in the place of the one
//! that was just built, such as an installed one.
#![allow(unreachable_pub, reason = "nothing is reachable from outside a test program")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests start the binary, its clients and stand-ins for its neighbours")]

mod cases {
    mod arguments;
    mod at_hand;
    mod audit;
    mod bytes;
    mod cache;
    mod changes;
    mod children;
    mod cli;
    mod clients;
    mod compat;
    mod config;
    mod conformance;
    mod exposure;
    mod faults;
    mod guide;
    mod http;
    mod library;
    mod moving;
    mod node;
    mod offering;
    mod old_system;
    mod passing;
    mod permissions;
    mod plugin_examples;
    mod plugins;
    mod plugins_kit;
    mod plugins_new;
    mod processes;
    mod progress;
    mod protocol;
    mod published;
    mod python;
    mod recorded;
    mod registries;
    mod reload;
    mod rust;
    mod s3;
    mod secrets;
    mod team;
    mod trust;
    mod twenty;
    mod upkeep;
    mod versions;
}
mod support;
