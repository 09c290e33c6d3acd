//! The command line: one file per subcommand.

use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "__run") {
        return crate::supervisor::run_sidecar();
    }
    let wire = crate::mcp::Wire::take().unwrap();
    let config = crate::config::Config::default();
    let v = crate::config::Variables::of_process();
    let d = crate::config::Directories::find(&v).unwrap();
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let app = crate::app::App::open(&config, &d).await.unwrap();
        app.serve(wire).await.unwrap();
    });
    rt.shutdown_background();
    ExitCode::SUCCESS
}
