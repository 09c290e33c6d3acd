/// A Python server without dependencies, as the guide's users write it: `echo` and `add`.
pub fn echo_server() -> &'static str {
    include_str!("../fixtures/echo_server.py")
}

/// A Python server that does everything right but one thing; the fixture's head lists the modes.
pub fn misbehaving_server(mode: &str) -> String {
    include_str!("../fixtures/misbehaving_server.py").replace("MODE = \"good\"", &format!("MODE = {mode:?}"))
}

/// The same, with `mark` in the arguments of every process that it starts.
pub fn with_mark(code: &str, mark: &str) -> String {
    code.replace("MARK = \"\"", &format!("MARK = {mark:?}"))
}

/// A Python server whose tool `version` tells the version of its dependency `requests`.
pub fn requests_server() -> &'static str {
    include_str!("../fixtures/requests_server.py")
}

/// A TypeScript file that exports `serve`, which serves functions as tools.
pub fn serve_file() -> &'static str {
    include_str!("../fixtures/serve.ts")
}
