use perennial_sdk::Result;
use serde_json::{Value, json};

use super::{Case::CreateRust, create::Subject};
use crate::{
    client::Client,
    peers::Peers,
    report::{Report, Target},
    samples::Samples,
};

const TEMPLATE: &str = include_str!("../../../plugins/runtime-rust/template/echo.rs");
const ON_RMCP: &str = include_str!("../../../tests/fixtures/rmcp_server.rs");

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let mut host = Client::connect(peers.host())?;
    let needed = json!(["rmcp@3 [server, macros, transport-io]", "tokio@1 [rt, macros]", "serde@1 [derive]"]);
    for (name, code, dependencies, rounds, most) in
        [("the template", TEMPLATE, Value::Array(Vec::new()), 20, 0.6), ("a server on rmcp", ON_RMCP, needed, 8, 5.0)]
    {
        let subject = Subject { language: "rust", code, comment: "//", dependencies };
        let installed = subject.install(&mut host)?;
        let mut created = Samples::default();
        for round in 1..=if quick { 2 } else { rounds } {
            created.push(subject.create(&mut host, round)?);
        }
        let what = format!("{name}, its crates compiled before, p50");
        report.judge(CreateRust, what, created.median_us() / 1e6, "s", Target::AtMost(most));
        report.note(CreateRust, format!("{name}, p90"), created.quantile_us(0.9) / 1e6, "s");
        report.note(CreateRust, format!("{name}, with its crates fetched and compiled"), installed.as_secs_f64(), "s");
    }
    Ok(())
}
