use perennial_sdk::prelude::*;

use crate::Config;

/// The oldest Node that servers are run with.
const OLDEST_NODE: &str = "20";
/// The oldest npm that writes locks without addresses.
const OLDEST_NPM: &str = "8.19";
/// The oldest pnpm whose locks are those of today's.
const OLDEST_PNPM: &str = "9";

/// Node and npm are beside each other wherever they come from, and pnpm often is.
const PLACES: &[&str] = &[
    "~/.nvm/versions/node/*/bin",
    "~/.local/share/fnm/node-versions/*/installation/bin",
    "~/.fnm/node-versions/*/installation/bin",
    "~/Library/Application Support/fnm/node-versions/*/installation/bin",
    "~/.volta/tools/image/node/*/bin",
    "~/.local/share/mise/installs/node/*/bin",
    "~/.asdf/installs/nodejs/*/bin",
    "~/.nodenv/versions/*/bin",
    "~/n/bin",
    "~/.local/share/pnpm",
    "~/.local/share/pnpm/bin",
    "~/Library/pnpm",
    "~/Library/pnpm/bin",
    "~/.local/bin",
    "/opt/homebrew/bin",
    "/home/linuxbrew/.linuxbrew/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/snap/node/current/bin",
    "/Program Files/nodejs",
];

/// What the runtime is.
pub(crate) fn describe(config: &Config) -> Description {
    // what is written for the SDKs has no types that only TypeScript knows
    let sdk = |code: &str, package: &str, range: &str| Template {
        code: code.into(),
        dependencies: Dependencies::Map([(package.to_string(), range.to_string())].into_iter().collect()),
    };
    let on_sdks = |language: Language| {
        language.template(sdk(include_str!("../template/sdk.ts"), "@modelcontextprotocol/sdk", "^1")).template(sdk(
            include_str!("../template/sdk_2.ts"),
            "@modelcontextprotocol/server",
            "^2",
        ))
    };
    let typescript =
        on_sdks(Language::new("typescript", Template::new(include_str!("../template/echo.ts")))).alias("ts");
    let javascript = on_sdks(Language::new("javascript", Template::new(include_str!("../template/echo.js"))))
        .alias("js")
        .alias("node")
        .alias("nodejs");
    let description = Description::new([typescript, javascript])
        .program(interpreter(config))
        .program(npm(config))
        .program(pnpm(config));
    HINTS.iter().fold(description, |description, (when, hint)| description.hint(*when, *hint))
}

const NATIVE: &str = "a package has a native part that its install script would build or download, and install scripts do \
                      not run here: use one without (`node:sqlite` instead of `better-sqlite3` or `sqlite3`, `bcryptjs` \
                      instead of `bcrypt`), or one whose native part is a package of its own";
const REGISTRY_SILENT: &str = "the registry did not answer: check the network, the proxy and npm's `registry`";
const OTHER_FILE: &str = "the registry gave another file than the lock names: remove the lock and resolve again";
const AUTHORITY: &str = "set NODE_EXTRA_CA_CERTS to the file with your network's certificate authority";

/// Shown when the text on the left is found in the output of a server or an installer; the first one found counts.
const HINTS: &[(&str, &str)] = &[
    ("Could not locate the bindings file", NATIVE),
    ("No native build was found", NATIVE),
    ("node-gyp-build", NATIVE),
    ("node-pre-gyp", NATIVE),
    ("prebuild-install", NATIVE),
    ("build/Release/", NATIVE),
    ("was compiled against a different Node.js version", NATIVE),
    ("ERR_DLOPEN_FAILED", NATIVE),
    ("No such built-in module: node:sqlite", "`node:sqlite` needs Node 22.5 or newer; use `sql.js` instead"),
    (
        "Could not find Chrome",
        "the browser would be downloaded by an install script, and those do not run here: use a package without a browser",
    ),
    (
        "Cannot find package",
        "add the package to `dependencies`; only Node's own modules, and the MCP SDK and `zod`, are there without it",
    ),
    (
        "Cannot find module",
        "add the package to `dependencies`, or the file to `files`; relative imports name files of the server",
    ),
    (
        "ERR_PACKAGE_PATH_NOT_EXPORTED",
        "the installed version has no such file: check the import's path, or pin another version in `dependencies`",
    ),
    (
        "does not provide an export named",
        "the module has no such export: check the name, use the default import, or pin another version; import types \
         with `import type`",
    ),
    ("is not defined in ES module scope", "use `import` in this file, or `require` without any `import` or `export`"),
    ("Cannot use import statement outside a module", "use either `import` or `require` in a file, not both"),
    ("ERR_REQUIRE_ESM", "the package has ECMAScript modules only: load it with `import`"),
    ("ERR_REQUIRE_ASYNC_MODULE", "what is loaded with `require` has a top-level `await`: load it with `import`"),
    ("npm error code E404", "check the package's name on the registry"),
    ("npm error code ETARGET", "no published version fits: loosen the version in `dependencies`"),
    (
        "npm error code ERESOLVE",
        "the packages want versions of each other that do not fit: loosen the versions in `dependencies`",
    ),
    ("npm error code EINTEGRITY", OTHER_FILE),
    ("npm error code EUSAGE", "the lock does not fit the dependencies: remove it, they are then resolved again"),
    ("npm error code E401", "the registry wants you to log in: see npm's `_authToken` in your `.npmrc`"),
    ("npm error code E403", "the registry refuses this package"),
    ("npm error code EBADENGINE", "the package needs another version of Node: ask for an older version of it"),
    ("npm error code ENOTFOUND", REGISTRY_SILENT),
    ("npm error code EAI_AGAIN", REGISTRY_SILENT),
    ("npm error code ECONNREFUSED", REGISTRY_SILENT),
    ("npm error code ECONNRESET", REGISTRY_SILENT),
    ("npm error code ETIMEDOUT", REGISTRY_SILENT),
    ("npm error code ENETUNREACH", REGISTRY_SILENT),
    ("ERR_PNPM_FETCH_404", "check the package's name on the registry"),
    ("ERR_PNPM_NO_MATCHING_VERSION", "no published version fits: loosen the version in `dependencies`"),
    (
        "ERR_PNPM_NO_MATURE_MATCHING_VERSION",
        "every version that fits was published only just now: loosen the version, or wait",
    ),
    ("ERR_PNPM_TARBALL_INTEGRITY", OTHER_FILE),
    ("ERR_PNPM_OUTDATED_LOCKFILE", "the lock does not fit the dependencies: remove it, they are then resolved again"),
    ("ERR_PNPM_FETCH_401", "the registry wants you to log in: see npm's `_authToken` in your `.npmrc`"),
    ("ERR_PNPM_FETCH_403", "the registry refuses this package"),
    ("ERR_PNPM_META_FETCH_FAIL", REGISTRY_SILENT),
    ("SELF_SIGNED_CERT_IN_CHAIN", AUTHORITY),
    ("UNABLE_TO_GET_ISSUER_CERT", AUTHORITY),
    ("UNABLE_TO_VERIFY_LEAF_SIGNATURE", AUTHORITY),
    ("ENOSPC", "free some disk space, or point the cache directory elsewhere"),
    ("heap out of memory", "the server used more memory than it may: keep less at once"),
];

fn interpreter(config: &Config) -> Program {
    Program {
        places: places(),
        probe: ["-e", include_str!("../node/probe.cjs")].map(Into::into).into(),
        minimum: Some(OLDEST_NODE.into()),
        install_hint: Some(format!(
            "install Node {OLDEST_NODE} or newer from your system's packages, nodejs.org, or with nvm, fnm, volta or mise"
        )),
        ..Program::new("node", [config.node.clone().unwrap_or_else(|| "node".into())])
    }
}

fn npm(config: &Config) -> Program {
    Program {
        places: places(),
        minimum: Some(OLDEST_NPM.into()),
        required: false,
        install_hint: Some("npm comes with Node; some systems have it as a package of its own".into()),
        ..Program::new("npm", [config.npm.clone().unwrap_or_else(|| "npm".into())])
    }
}

fn pnpm(config: &Config) -> Program {
    Program {
        places: places(),
        minimum: Some(OLDEST_PNPM.into()),
        required: false,
        install_hint: Some("see pnpm.io; where there is npm, only servers that were locked by pnpm need it".into()),
        ..Program::new("pnpm", [config.pnpm.clone().unwrap_or_else(|| "pnpm".into())])
    }
}

fn places() -> Vec<String> {
    PLACES.iter().map(ToString::to_string).collect()
}
