use perennial_sdk::prelude::*;

use crate::Config;

/// The oldest Rust that knows the edition of 2024.
const OLDEST_RUST: &str = "1.85";

const PLACES: &[&str] = &[
    "~/.cargo/bin",
    "/usr/local/cargo/bin",
    "/opt/homebrew/opt/rustup/bin",
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/usr/bin",
    "~/.rustup/toolchains/*/bin",
    "~/.local/share/mise/installs/rust/*/bin",
    "~/.asdf/installs/rust/*/bin",
    "~/.nix-profile/bin",
    "/run/current-system/sw/bin",
    "/snap/bin",
];

/// What the runtime is.
pub(crate) fn describe(config: &Config) -> Description {
    let sdk = Template {
        code: include_str!("../template/sdk.rs").into(),
        dependencies: Dependencies::Map([("rmcp".to_string(), "3".to_string())].into_iter().collect()),
    };
    let rust = Language::new("rust", Template::new(include_str!("../template/echo.rs"))).template(sdk).alias("rs");
    let description = Description::new([rust])
        .program(from_toolchain("rustc", config.rustc.as_deref(), &["-vV"]))
        .program(from_toolchain("cargo", config.cargo.as_deref(), &["--version"]))
        .program(linker());
    let description = NOISE.iter().fold(description, |description, beginning| description.noise(*beginning));
    HINTS.iter().fold(description, |description, (when, hint)| description.hint(*when, *hint))
}

/// What the compiler ends with, whatever it found.
const NOISE: &[&str] =
    &["error: aborting due to", "Some errors have detailed explanations", "For more information about "];

/// Shown when the text on the left is found in the output of a server, the compiler or cargo; the first one found counts.
const HINTS: &[(&str, &str)] = &[
    ("no method named `serve` found", "import the trait: `use rmcp::ServiceExt;`"),
    (
        "found reserved keyword `gen`",
        "`gen` is a keyword since 2024: with rand 0.9 or newer call `random()`, else `r#gen()`",
    ),
    ("cannot find `main` in `tokio`", "ask for the features: `{\"tokio\": \"1 [macros, rt-multi-thread]\"}`"),
    ("could not find `main` in `tokio`", "ask for the features: `{\"tokio\": \"1 [macros, rt-multi-thread]\"}`"),
    (
        "the item is gated behind",
        "ask for the feature in brackets behind the version: `{\"tokio\": \"1 [fs, process]\"}`",
    ),
    (
        "use of unresolved module or unlinked crate",
        "add the crate to `dependencies`, or the module's file to `files`; only the standard library, serde and \
         serde_json are there without it",
    ),
    ("E0432", "if it is a crate, add it to `dependencies`; if it is a module, add its file to `files`"),
    ("E0583", "add the module's file to `files`, such as `{\"tools.rs\": \"…\"}` for `mod tools;`"),
    ("no matching package named", "check the crate's name on crates.io; `-` and `_` differ"),
    ("failed to select a version for the requirement", "check the crate's versions on crates.io"),
    ("failed to select a version for", "loosen the versions or check the features in `dependencies`"),
    ("does not have these features", "check the features of the crate on docs.rs"),
    ("does not have feature", "check the features of the crate on docs.rs"),
    ("--locked was passed", "the saved lock does not fit the dependencies: update the server's dependencies"),
    (
        "pkg-config",
        "a crate needs a system library: ask for another crate, or for a feature such as `vendored` or `rustls`",
    ),
    ("linking with", "a library that a crate needs is not installed, or the C toolchain is incomplete"),
    ("failed to run custom build command", "a crate's build script failed: it sees nothing of your environment"),
    ("SSL certificate problem", "set SSL_CERT_FILE or cargo's `http.cainfo` to your network's certificate authority"),
    ("Could not resolve host", "the registry did not answer: check the network, the proxy and cargo's settings"),
    ("download of", "the registry did not answer: check the network, the proxy and cargo's settings"),
    ("failed to download", "the registry did not answer: check the network, the proxy and cargo's settings"),
    ("No space left on device", "free some disk space, or point the cache directory elsewhere"),
];

/// A program of a Rust toolchain. rustup puts shims on `PATH`, which want the user's home.
fn from_toolchain(name: &str, chosen: Option<&str>, probe: &[&str]) -> Program {
    Program {
        places: PLACES.iter().map(ToString::to_string).collect(),
        probe: probe.iter().map(ToString::to_string).collect(),
        home: Some(ProgramHome {
            ask: "rustc".into(),
            args: ["--print", "sysroot"].map(Into::into).into(),
            path: format!("bin/{name}"),
        }),
        minimum: Some(OLDEST_RUST.into()),
        install_hint: Some(format!(
            "install Rust {OLDEST_RUST} or newer with rustup (https://rustup.rs) or from your system's packages"
        )),
        ..Program::new(name, [chosen.unwrap_or(name)])
    }
}

/// What the compiler links with. On Windows it finds the linker by itself.
fn linker() -> Program {
    Program {
        places: ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/run/current-system/sw/bin"]
            .map(Into::into)
            .into(),
        required: !cfg!(windows),
        install_hint: Some(
            "install a C compiler, which links Rust programs: `apt install gcc libc6-dev`, `dnf install gcc`, \
             `apk add gcc musl-dev` or `xcode-select --install`"
                .into(),
        ),
        ..Program::new("cc", ["cc", "gcc", "clang"])
    }
}
