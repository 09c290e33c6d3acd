use perennial_sdk::prelude::*;

use crate::{Config, Installer, modules};

/// The oldest Python that servers are run with: older ones get no security updates and no wheels.
pub(crate) const OLDEST_PYTHON: &str = "3.9";
/// The oldest uv that understands every option of the plans.
const OLDEST_UV: &str = "0.5.0";

const PYTHON_PLACES: &[&str] = &[
    "~/.pyenv/versions/*/bin",
    "~/.local/share/mise/installs/python/*/bin",
    "~/.asdf/installs/python/*/bin",
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/usr/bin",
    "~/.local/bin",
    "~/.local/share/uv/python/*/bin",
    "~/miniforge3/bin",
    "~/miniconda3/bin",
    "~/anaconda3/bin",
    "/opt/conda/bin",
    "/Library/Frameworks/Python.framework/Versions/*/bin",
    "~/AppData/Local/Programs/Python/*",
];

const UV_PLACES: &[&str] = &[
    "~/.local/bin",
    "~/.cargo/bin",
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "~/.local/share/mise/installs/uv/*",
    "~/.asdf/installs/uv/*/bin",
    "~/.pyenv/versions/*/bin",
];

/// What the runtime is.
pub(crate) fn describe(config: &Config) -> Description {
    let sdk = Template {
        code: include_str!("../template/sdk.py").into(),
        dependencies: Dependencies::Map([("mcp".to_string(), ">=2".to_string())].into_iter().collect()),
    };
    let python = Language::new("python", Template::new(include_str!("../template/echo.py")))
        .template(sdk)
        .alias("py")
        .alias("python3");
    let mut description = Description::new([python]).program(interpreter(config));
    if config.installer != Installer::Pip {
        description = description.program(uv(config));
    }
    for (module, package) in modules::PACKAGES {
        description = description.hint(
            format!("No module named '{module}'"),
            format!("add the package `{package}` to `dependencies`: it provides the module `{module}`"),
        );
    }
    HINTS.iter().fold(description, |description, (when, hint)| description.hint(*when, *hint))
}

/// Shown when the text on the left is found in the output of a server or an installer; the first one found counts.
const HINTS: &[(&str, &str)] = &[
    ("FastMCP was renamed to MCPServer", "use `from mcp.server import MCPServer`, or depend on `mcp<2`"),
    (
        "No module named",
        "add the package that provides the module to `dependencies`; only the standard library is there without it",
    ),
    ("cannot import name", "the installed version has no such name: pin another version in `dependencies`"),
    ("NameError: name 'exit' is not defined", "use `sys.exit()`"),
    ("Failed to fetch", "the registry did not answer: check the network, the proxy and the configured index"),
    ("error sending request", "the registry did not answer: check the network, the proxy and the configured index"),
    ("Failed to establish a new connection", "the registry did not answer: check the network, the proxy and the index"),
    (
        "has no usable wheels",
        "the package has no ready-built wheel for this Python, and building from source is off: ask for another \
         version or package, or let the operator set `sdists` in the configuration of the python plugin",
    ),
    (
        "no wheels with a matching Python",
        "the package has no ready-built wheel for this Python: ask for another version or package",
    ),
    ("was not found in the package registry", "check the package's name on the registry"),
    ("Requires-Python", "the package needs another version of Python: ask for an older version of the package"),
    (
        "requirements are unsatisfiable",
        "loosen the versions in `dependencies`: no set of published versions fits all of them",
    ),
    ("No matching distribution found", "check the package's name and version; only packages with wheels are installed"),
    ("ResolutionImpossible", "loosen the versions in `dependencies`: no set of published versions fits all of them"),
    ("invalid peer certificate", "set SSL_CERT_FILE to the file with your network's certificate authority"),
    ("CERTIFICATE_VERIFY_FAILED", "set SSL_CERT_FILE to the file with your network's certificate authority"),
    ("No space left on device", "free some disk space, or point the cache directory elsewhere"),
];

fn interpreter(config: &Config) -> Program {
    let names: Vec<String> = match &config.python {
        Some(chosen) => vec![chosen.clone()],
        None => ["python3", "python", "python3.13", "python3.12", "python3.11", "python3.10"].map(Into::into).into(),
    };
    Program {
        places: PYTHON_PLACES.iter().map(ToString::to_string).collect(),
        probe: ["-E", "-s", "-S", "-c", include_str!("../python/probe.py")].map(Into::into).into(),
        minimum: Some(OLDEST_PYTHON.into()),
        install_hint: Some(format!(
            "install Python {OLDEST_PYTHON} or newer from your system's packages, python.org, or with `uv python install`"
        )),
        ..Program::new("python", names)
    }
}

fn uv(config: &Config) -> Program {
    Program {
        places: UV_PLACES.iter().map(ToString::to_string).collect(),
        minimum: Some(OLDEST_UV.into()),
        required: config.installer == Installer::Uv,
        install_hint: Some("install uv with your system's packages, `pipx install uv` or `brew install uv`".into()),
        ..Program::new("uv", [config.uv.clone().unwrap_or_else(|| "uv".into())])
    }
}

#[cfg(test)]
mod tests {
    use perennial_sdk::prelude::json;

    use super::*;

    #[test]
    fn pip_alone_looks_for_no_uv() {
        let config: Config = serde_json::from_value(json!({"installer": "pip"})).unwrap();
        assert!(describe(&config).programs.iter().all(|program| program.name != "uv"));
    }

    #[test]
    fn a_chosen_interpreter_is_the_only_candidate() {
        let config = Config { python: Some("/opt/python/bin/python3".into()), ..Config::default() };
        assert_eq!(describe(&config).programs[0].candidates, ["/opt/python/bin/python3"]);
    }

    #[test]
    fn the_package_of_a_module_is_named_before_the_general_hint() {
        let hints = describe(&Config::default()).hints;
        let first = hints.iter().find(|hint| "No module named 'cv2'".contains(&hint.when)).unwrap();
        assert!(first.hint.contains("opencv-python-headless"), "{first:?}");
    }
}
