//! What is known about names in dependencies and imports.

/// Packages that are added when code imports and does not declare them, with the versions that code is written for.
pub(crate) const ADDED: &[(&str, &str)] = &[
    ("@modelcontextprotocol/client", "^2"),
    ("@modelcontextprotocol/core", "^2"),
    ("@modelcontextprotocol/sdk", "^1"),
    ("@modelcontextprotocol/server", "^2"),
    ("fastmcp", "*"),
    ("preact", "^10"),
    ("react", "*"),
    ("zod", "^3.25 || ^4"),
];

/// Packages that only a compiler needs, and that are large.
const COMPILERS: &[&str] = &["esbuild", "ts-node", "tslib", "tsx", "typescript"];

/// Node's own modules.
const BUILT_IN: &[&str] = &[
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

/// What of them is behind a slash. Any other path means the package of that name: `punycode/`, `buffer/index.js`.
const BUILT_IN_PATHS: &[&str] = &[
    "assert/strict",
    "dns/promises",
    "fs/promises",
    "inspector/promises",
    "path/posix",
    "path/win32",
    "readline/promises",
    "stream/consumers",
    "stream/promises",
    "stream/web",
    "timers/promises",
    "util/types",
];

/// Whether what is imported under a name is part of Node.
pub(crate) fn is_built_in(specifier: &str) -> bool {
    specifier.starts_with("node:") || BUILT_IN.contains(&specifier) || BUILT_IN_PATHS.contains(&specifier)
}

/// Whether a package is of use to a compiler alone.
pub(crate) fn is_for_compilers(name: &str) -> bool {
    name.starts_with("@types/") || COMPILERS.contains(&name)
}
