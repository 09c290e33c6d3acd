//! The command line: one file per subcommand.

mod approve;
mod audit;
mod cache;
mod call;
mod completions;
mod config;
mod copy;
mod doctor;
mod export;
mod expose;
mod fsck;
mod gc;
mod history;
mod import;
mod list;
mod output;
mod plugin;
mod rm;
mod secret;
mod serve;
mod show;
mod token;
mod tour;
mod warm;

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

use crate::{
    app::Reload,
    config::{Config, Directories, Request, Variables},
    exit::{Exit, Failure},
    log,
};

/// MCP servers that come back: an assistant writes one in a chat, Perennial runs it, tests it and keeps it.
#[derive(Parser)]
#[command(name = "perennial", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every subcommand takes, before or after its name.
#[derive(Args)]
struct Common {
    /// Configuration file [default: $PERENNIAL_CONFIG, else ~/.config/perennial/perennial.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log more to standard error: -v info, -vv debug, -vvv trace
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Tour(tour::Tour),
    List(list::List),
    Show(show::Show),
    Call(call::Call),
    Approve(approve::Approve),
    History(history::History),
    Rm(rm::Rm),
    Expose(expose::Expose),
    Export(export::Export),
    Import(import::Import),
    Copy(copy::Copy),
    Fsck(fsck::Fsck),
    Gc(gc::Gc),
    Audit(audit::Audit),
    Warm(warm::Warm),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Cache(cache::Command),
    #[command(subcommand)]
    Secret(secret::Command),
    #[command(subcommand)]
    Token(token::Command),
    #[command(subcommand)]
    Config(config::Command),
    #[command(subcommand)]
    Plugin(plugin::Command),
    Completions(completions::Completions),
}

/// Runs the program.
pub fn main() -> ExitCode {
    // The sidecar must stay single-threaded and small, so that its fork is whole and cheap: nothing may come before this.
    match std::env::args_os().nth(1).as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("__run") => return crate::supervisor::run_sidecar(),
        Some("__init") => return crate::supervisor::run_init(),
        _ => {}
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => {
            let exit = if answer.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = answer.print();
            return exit.into();
        }
    };
    let exit = run(arguments).unwrap_or_else(|failure| {
        report(&failure);
        failure.exit()
    });
    exit.into()
}

fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { common, command } = arguments;
    // the wire has a way of its own
    if !matches!(command, None | Some(Command::Serve(_))) {
        output::keep_apart();
    }
    match command {
        Some(Command::Serve(serve)) => serve.run(&common),
        Some(Command::Tour(tour)) => tour.run(&common),
        Some(Command::List(list)) => list.run(&common),
        Some(Command::Show(show)) => show.run(&common),
        Some(Command::Call(call)) => call.run(&common),
        Some(Command::Approve(approve)) => approve.run(&common),
        Some(Command::History(history)) => history.run(&common),
        Some(Command::Rm(rm)) => rm.run(&common),
        Some(Command::Expose(expose)) => expose.run(&common),
        Some(Command::Export(export)) => export.run(&common),
        Some(Command::Import(import)) => import.run(&common),
        Some(Command::Copy(copy)) => copy.run(&common),
        Some(Command::Fsck(fsck)) => fsck.run(&common),
        Some(Command::Gc(gc)) => gc.run(&common),
        Some(Command::Audit(audit)) => audit.run(&common),
        Some(Command::Warm(warm)) => warm.run(&common),
        Some(Command::Doctor(doctor)) => doctor.run(&common),
        Some(Command::Cache(command)) => command.run(&common),
        Some(Command::Secret(command)) => command.run(&common),
        Some(Command::Token(command)) => command.run(&common),
        Some(Command::Config(command)) => command.run(&common),
        Some(Command::Plugin(command)) => command.run(&common),
        Some(Command::Completions(completions)) => completions.run(),
        None if std::io::stdin().is_terminal() => {
            let _ = write!(std::io::stderr(), "{}", Arguments::command().render_help());
            Ok(Exit::Usage)
        }
        None => serve::Serve::on_stdio().run(&common),
    }
}

impl Common {
    fn request(&self) -> Request {
        Request { file: self.config.clone(), variables: Variables::of_process(), resolve: true }
    }

    /// How to read the configuration again.
    fn reload(&self) -> Reload {
        Reload { request: self.request(), verbose: self.verbose, quiet: self.quiet }
    }

    /// What of it says what is logged, for a process of this program.
    fn log_flags(&self) -> Vec<String> {
        let quiet = self.quiet.then(|| "-q".to_owned());
        quiet.into_iter().chain((0..self.verbose).map(|_| "-v".to_owned())).collect()
    }

    /// The configuration alone, with logging started, but not checked against the plugins that there are.
    fn load(&self) -> Result<(Config, Request), Failure> {
        let request = self.request();
        let config = crate::config::load(&request)?;
        log::start(&config.log.level.clone().adjusted(self.verbose, self.quiet));
        Ok((config, request))
    }

    /// All that the program needs to work.
    fn open(&self) -> Result<(Config, Directories), Failure> {
        let (config, request) = self.load()?;
        config.check(&perennial_sdk::registrations())?;
        Ok((config, Directories::find(&request.variables)?))
    }
}

fn report(failure: &Failure) {
    let stderr = std::io::stderr();
    let text = match failure {
        Failure::Configuration(error) if error.position().is_some() => error.render(output::colour(&stderr)),
        _ => format!("perennial: {}\n", output::plain(&failure.to_string())),
    };
    let text = match crate::secrets::known() {
        Some(known) => known.text(&text).into_owned(),
        None => text,
    };
    let _ = stderr.lock().write_all(text.as_bytes());
}

const EXIT_CODES: &str = "\
Without a command: `serve`, when standard input is not a terminal.

Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 not found, 5 refused by policy";

#[cfg(test)]
mod tests;
