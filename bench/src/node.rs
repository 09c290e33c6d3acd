//! Servers on Node without the host: at once, and as it was done before, by the TypeScript compiler first.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use perennial_sdk::{Error, Result};

use crate::peers::command;

/// A Node, and a folder with the compiler in which its servers are.
pub(crate) struct Node {
    node: PathBuf,
    folder: PathBuf,
}

const PACKAGE: &str = include_str!("../package.json");
const LOCK: &str = include_str!("../package-lock.json");

const COMPILER: [&str; 8] =
    ["--no-install", "tsc", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "--noEmitOnError"];

impl Node {
    /// The Node on `PATH`. The compiler is installed beside this program once, for as long as its lock stays the same.
    ///
    /// # Errors
    /// `unavailable` without Node, without npm, or when npm cannot install.
    pub(crate) fn new() -> Result<Self> {
        let asked = command("node").args(["--print", "fs.realpathSync(process.execPath)"]).output();
        let asked = asked.map_err(|error| Error::from(error).context("`node` cannot be started"))?;
        let node = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
        let folder = std::env::current_exe()?.with_file_name("bench-node");
        let (installed, modules) = (folder.join("installed"), folder.join("node_modules"));
        if std::fs::read_to_string(&installed).is_ok_and(|lock| lock == LOCK) && modules.is_dir() {
            return Ok(Self { node, folder });
        }
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("package.json"), PACKAGE)?;
        std::fs::write(folder.join("package-lock.json"), LOCK)?;
        let mut npm = command("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
        finish(npm)?;
        std::fs::write(installed, LOCK)?;
        Ok(Self { node, folder })
    }

    /// Puts a server's file in the folder.
    pub(crate) fn write(&self, file: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.folder.join(file), text)?)
    }

    /// Makes JavaScript of TypeScript, as `npx tsc` does.
    pub(crate) fn compile(&self, file: &str) -> Result<()> {
        let mut npx = command("npx");
        npx.args(COMPILER).arg(file).current_dir(&self.folder);
        finish(npx)
    }

    /// A server in the folder.
    pub(crate) fn server(&self, file: &str) -> Command {
        self.bare(&self.folder.join(file))
    }

    /// A server anywhere.
    pub(crate) fn bare(&self, file: &Path) -> Command {
        let mut command = command(&self.node);
        command.arg(file).env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
        command
    }
}

/// Runs it to its end; its output must not be mistaken for figures.
fn finish(mut command: Command) -> Result<()> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(|error| Error::from(error).context(&shown))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = [output.stdout, output.stderr].concat();
            Err(Error::unavailable(format!("{shown} failed: {}", String::from_utf8_lossy(&said).trim())))
        }
    }
}
