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

/// Whether a name is part of Node, with or without `node:` and what follows a slash.
pub(crate) fn is_built_in(name: &str) -> bool {
    name.starts_with("node:") || BUILT_IN.contains(&name.split('/').next().unwrap_or(name))
}

/// Whether a package is of use to a compiler alone.
pub(crate) fn is_for_compilers(name: &str) -> bool {
    name.starts_with("@types/") || COMPILERS.contains(&name)
}
