use std::{collections::BTreeMap, hint::black_box, path::PathBuf, sync::Arc, time::Instant};

use perennial::{
    plugins::{Pin, Source, Surroundings},
    supervisor::Supervisor,
};
use perennial_faulty_plugin::Faulty;
use perennial_sdk::{Cx, DynTools, Error, Exported, Home, Opened, Result};
use serde_json::{Map, Value};

use super::{Case::Boundary, arguments};
use crate::{
    peers::Peers,
    report::{Report, Target},
    samples::{Samples, median},
};

/// The hidden argument that makes this program a plugin.
pub(crate) const WORD: &str = "__plugin";

/// A tool that answers its argument.
const TOOL: &str = "echo";

/// Calls that only warm up what the other ways have cooled down.
const WARMING: usize = 20;

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    // as the host has it
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(peers, quick, report))
}

async fn measure(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let supervisor = Supervisor::with_sidecar(peers.folder().join("plugins"), peers.binary().into());
    let around = Surroundings {
        home: Home { data_dir: peers.folder().into() },
        copies: peers.folder().join("copies"),
        supervisor: supervisor.clone(),
        start: std::time::Duration::from_secs(30),
        limit: std::time::Duration::from_secs(60),
    };
    let ourselves = std::env::current_exe()?;
    let library = Source::Native { path: library(&ourselves)?, pin: Pin::Unpinned };
    let process = Source::Process {
        command: vec![ourselves.display().to_string(), WORD.into()],
        env: BTreeMap::new(),
        cwd: peers.folder().into(),
        line_bytes: 64 << 20,
    };
    let begun = Instant::now();
    let native = library.open("faulty", Value::Null, &around).await?.opened;
    report.note(
        Boundary,
        "a library is inspected, copied, loaded and opened",
        begun.elapsed().as_secs_f64() * 1e3,
        "ms",
    );
    let process = process.open("faulty", Value::Null, &around).await?.opened;
    let built_in = Faulty::open(Value::Null, around.home.clone()).await?;
    let ways = [("built in", tools(&built_in)?), ("native", tools(&native)?), ("out of process", tools(&process)?)];
    let sizes = [(200, "200 B", 400, 10.0), (100_000, "100 KB", 40, 20.0)];
    for (bytes, shown, calls, target) in sizes {
        let Value::Object(arguments) = arguments(bytes) else { return Err(Error::internal("no arguments")) };
        let mut all = [Samples::default(), Samples::default(), Samples::default()];
        let mut added = Vec::new();
        for _ in 0..if quick { 5 } else { 50 } {
            let mut medians = [0.0; 3];
            for (at, (_, tools)) in ways.iter().enumerate() {
                let block = block(&**tools, &arguments, calls).await?;
                medians[at] = block.median_us();
                all[at].extend(&block);
            }
            added.push(medians[1] - medians[0]);
        }
        report.judge(Boundary, format!("{shown}, native adds, p50"), median(added), "µs", Target::AtMost(target));
        for ((way, _), samples) in ways.iter().zip(&all) {
            report.note(Boundary, format!("{shown}, {way}, p50"), samples.median_us(), "µs");
        }
        report.note(Boundary, format!("{shown}, native, the quickest tenth"), all[1].quantile_us(0.1), "µs");
    }
    process.shutdown().await;
    supervisor.shutdown().await;
    Ok(())
}

async fn block(tools: &dyn DynTools, arguments: &Map<String, Value>, calls: usize) -> Result<Samples> {
    let (mut samples, cx) = (Samples::default(), Cx::detached());
    for call in 0..WARMING + calls {
        let arguments = arguments.clone();
        let begun = Instant::now();
        black_box(tools.call(&cx, TOOL, arguments).await?);
        if call >= WARMING {
            samples.push(begun.elapsed());
        }
    }
    Ok(samples)
}

fn tools(opened: &Opened) -> Result<Arc<dyn DynTools>> {
    opened.tools.clone().ok_or_else(|| Error::internal("the plugin has no tools"))
}

/// What cargo built beside this program.
fn library(ourselves: &std::path::Path) -> Result<PathBuf> {
    let file = format!("{}perennial_faulty_plugin{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let places = [ourselves.with_file_name("deps").join(&file), ourselves.with_file_name(&file)];
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or_else(|| Error::not_found(format!("there is no `{file}` beside this program")))
}
