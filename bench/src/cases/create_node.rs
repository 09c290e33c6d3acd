use std::time::Instant;

use perennial_sdk::{Error, Result};
use serde_json::json;

use super::{
    Case::CreateNode,
    create::{Subject, against_bare, start},
};
use crate::{
    client::Client,
    node::Node,
    peers::Peers,
    report::Report,
    samples::{Samples, median},
};

const TYPESCRIPT: &str = include_str!("../../../plugins/runtime-node/template/echo.ts");
const JAVASCRIPT: &str = include_str!("../../../plugins/runtime-node/template/echo.js");
/// TypeScript that is JavaScript at once: the bare Node runs the very same file.
const ON_SDK: &str = include_str!("../../../plugins/runtime-node/template/sdk.ts");

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let node = Node::new()?;
    node.write("javascript.js", JAVASCRIPT)?;
    node.write("typescript.ts", TYPESCRIPT)?;
    node.compile("typescript.ts")?;
    let mut host = Client::connect(peers.host())?;
    let rounds = if quick { 6 } else { 60 };

    let template = |language, code| Subject { language, code, comment: "//", dependencies: json!({}) };
    let (typescript, javascript) = (template("typescript", TYPESCRIPT), template("javascript", JAVASCRIPT));
    let first = typescript.create(&mut host, 0)?;
    report.note(CreateNode, "TypeScript, the first one of a session", first.as_secs_f64() * 1e3, "ms");
    let bare = || node.server("typescript.js");
    against_bare(CreateNode, "TypeScript", &typescript, &mut host, bare, rounds, 1.5, report)?;
    compiled_first(&node, &typescript, &mut host, rounds / 6, report)?;
    let bare = || node.server("javascript.js");
    against_bare(CreateNode, "JavaScript", &javascript, &mut host, bare, rounds, 1.5, report)?;

    let dependencies = json!({ "@modelcontextprotocol/sdk": "^1", "zod": "^4" });
    let on_sdk = Subject { dependencies, ..template("typescript", ON_SDK) };
    let installed = on_sdk.install(&mut host)?;
    report.note(CreateNode, "TypeScript on the SDK, with its packages installed", installed.as_secs_f64(), "s");
    let folder = peers.folder().join("on-sdk");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("package.json"), r#"{"type":"module"}"#)?;
    std::fs::write(folder.join("main.js"), ON_SDK)?;
    let modules = peers.environments()?.into_iter().map(|environment| environment.join("node_modules"));
    let modules = modules.into_iter().find(|modules| modules.join("@modelcontextprotocol/sdk").is_dir());
    let modules = modules.ok_or_else(|| Error::internal("no environment has the SDK"))?;
    std::os::unix::fs::symlink(modules, folder.join("node_modules"))?;
    let bare = || node.bare(&folder.join("main.js"));
    against_bare(CreateNode, "TypeScript on the SDK", &on_sdk, &mut host, bare, rounds / 2, 1.5, report)
}

/// The way that servers in TypeScript took before: the compiler, and then Node.
fn compiled_first(node: &Node, subject: &Subject, host: &mut Client, rounds: usize, report: &mut Report) -> Result<()> {
    let (mut compiled, mut ratios) = (Samples::default(), Vec::new());
    for round in 1..=rounds {
        let begun = Instant::now();
        node.compile("typescript.ts")?;
        let took = begun.elapsed() + start(node.server("typescript.js"))?;
        compiled.push(took);
        // other code than that of any round before
        ratios.push(took.as_secs_f64() / subject.create(host, 1_000 + round)?.as_secs_f64());
    }
    report.note(CreateNode, "TypeScript, `npx tsc` and then the bare server, p50", compiled.median_us() / 1e3, "ms");
    report.note(CreateNode, "TypeScript, that against request to ready, p50", median(ratios), "times");
    Ok(())
}
