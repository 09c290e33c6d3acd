//! What installers say of themselves, told as stages: `downloading numpy (16.1MiB), one of 8 packages`.

use std::time::{Duration, Instant};

use perennial_sdk::Stage;

use super::output;

/// Lines that say nothing known are shown no more often than this.
const INTERVAL: Duration = Duration::from_millis(200);

/// Reads the output of one step.
#[derive(Debug)]
pub(super) struct Stages {
    doing: String,
    stage: Stage,
    packages: Option<u64>,
    events: f64,
    fraction: f64,
    shown: Option<Instant>,
}

impl Stages {
    /// `doing` is what the step does, for lines that say nothing known.
    pub(super) fn new(stage: Stage, doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), stage, packages: None, events: 0.0, fraction: 0.0, shown: None }
    }

    /// What the step does, before it says anything.
    pub(super) fn doing(&self) -> &str {
        &self.doing
    }

    /// How much of the step is done, from 0 to 1; it never shrinks. A guess, where the installer does not count.
    pub(super) fn fraction(&self) -> f64 {
        self.fraction
    }

    /// What a line tells; none when it is not worth showing.
    pub(super) fn read(&mut self, line: &str) -> Option<String> {
        // a progress bar redraws itself within one line
        line.split('\r').filter_map(|part| self.part(&without_escapes(part))).last()
    }

    fn part(&mut self, text: &str) -> Option<String> {
        let text = text.trim();
        let mut words = text.split_whitespace();
        let first = words.next()?;
        let second = words.next().unwrap_or_default();
        let third = words.next().unwrap_or_default();
        let number = second.parse::<u64>().ok();
        let told = match (first, number) {
            ("Resolved" | "Locking", Some(packages)) => {
                self.packages = Some(packages);
                match self.stage {
                    Stage::Resolving => format!("resolved {}", self.counted()),
                    _ => format!("{} to install", self.counted()),
                }
            }
            ("Updating", _) => format!("resolving: updating {second} {third}"),
            ("Prepared", Some(packages)) => format!("installing {}", counted(packages)),
            ("Installed" | "Successfully", _) => format!("installed {}", self.counted()),
            ("added", Some(packages)) => format!("installed {}", counted(packages)),
            ("Bytecode", _) => "compiled to byte-code".into(),
            ("Downloading" | "Downloaded", _) if second == "crates" || third == "crates" => "downloading crates".into(),
            ("Downloading", _) => self.download(second, text.split_once('(').map_or("", |(_, size)| size)),
            ("Downloaded", _) if third.starts_with('v') => format!("downloading crate {second} {third}"),
            ("Using", _) if second == "cached" => self.download(third, ""),
            // uv's list of what is there now, and where
            ("Downloaded" | "Using" | "+" | "-" | "~", _) => return None,
            ("Collecting", _) => match self.stage {
                Stage::Resolving => format!("resolving {second}"),
                _ => format!("downloading {second}"),
            },
            ("Installing", _) if second == "collected" => {
                self.packages = Some(text.split(',').count() as u64);
                format!("installing {}", self.counted())
            }
            ("Compiling" | "Building", _) if third.starts_with('v') => format!("compiling crate {second} {third}"),
            ("Building", _) => self.compiled_of(text)?,
            ("Progress:", _) => self.added_of(text)?,
            ("npm", _) if second == "http" => format!("downloading {}", tarball(text)?),
            _ => return self.other(text),
        };
        self.events += 1.0;
        self.advance(self.events / (self.events + 8.0));
        Some(output::line(&told))
    }

    /// A download that uv or pip begins; uv names large ones only.
    fn download(&self, name: &str, size: &str) -> String {
        let name = name.strip_suffix(".metadata").unwrap_or(name);
        let file = name.ends_with(".whl") || name.ends_with(".gz");
        let shown = if file { name.splitn(3, '-').take(2).collect::<Vec<_>>().join(" ") } else { name.to_owned() };
        let size = size.split_once(')').map(|(size, _)| format!(" ({size})")).unwrap_or_default();
        let of = self.packages.filter(|all| *all > 1).map(|all| format!(", one of {all} packages"));
        format!("downloading {shown}{size}{}", of.unwrap_or_default())
    }

    /// cargo's bar: `Building [====>   ] 12/45: serde, syn`.
    fn compiled_of(&mut self, text: &str) -> Option<String> {
        let (_, counted) = text.split_once("] ")?;
        let (counted, names) = counted.split_once(':').unwrap_or((counted, ""));
        let (done, all) = counted.trim().split_once('/')?;
        let (done, all) = (done.parse::<u64>().ok()?, all.parse::<u64>().ok().filter(|all| *all > 0)?);
        self.advance(done as f64 / all as f64);
        let name = names.split(',').next().unwrap_or_default().trim();
        Some(format!("compiling {done} of {all} crates{}{name}", if name.is_empty() { "" } else { ": " }))
    }

    /// pnpm's: `Progress: resolved 40, reused 30, downloaded 5, added 35, done`.
    fn added_of(&mut self, text: &str) -> Option<String> {
        let count = |name: &str| {
            let (_, rest) = text.split_once(name)?;
            rest.trim_start().split([',', ' ']).next()?.parse::<u64>().ok()
        };
        let (all, done) = (count("resolved")?, count("reused")? + count("downloaded")?);
        if done > 0 && all > 0 {
            self.advance(done as f64 / all as f64);
        }
        Some(format!("downloading {done} of {all} packages"))
    }

    fn other(&mut self, text: &str) -> Option<String> {
        if self.shown.is_some_and(|shown| shown.elapsed() < INTERVAL) {
            return None;
        }
        self.shown = Some(Instant::now());
        Some(format!("{}: {}", self.doing, output::line(text)))
    }

    fn advance(&mut self, fraction: f64) {
        self.fraction = self.fraction.max(fraction.min(1.0));
    }

    fn counted(&self) -> String {
        self.packages.map_or_else(|| "the packages".into(), counted)
    }
}

fn counted(packages: u64) -> String {
    if packages == 1 { "1 package".into() } else { format!("{packages} packages") }
}

/// The archive of npm's `http fetch GET 200 https://registry/zod/-/zod-3.25.0.tgz 35ms`; what it asks about packages is
/// not worth showing.
fn tarball(text: &str) -> Option<String> {
    let address = text.split_whitespace().find(|word| word.contains("://"))?;
    let file = address.split(['?', '#']).next()?.strip_suffix(".tgz")?;
    Some(file.rsplit('/').next()?.to_owned())
}

/// Without the sequences that colour a terminal or move its cursor.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = match after.strip_prefix('[') {
            Some(sequence) => sequence.find(|c: char| c.is_ascii_alphabetic()).map_or("", |end| &sequence[end + 1..]),
            None => after,
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stage: Stage, lines: &[&str]) -> Vec<String> {
        let mut stages = Stages::new(stage, "working");
        let mut before = 0.0;
        let told = lines.iter().filter_map(|line| {
            let told = stages.read(line);
            assert!(stages.fraction() >= before && stages.fraction() <= 1.0);
            before = stages.fraction();
            told
        });
        told.collect()
    }

    #[test]
    fn uv_names_what_it_downloads() {
        let lines = [
            "Resolved 8 packages in 287ms",
            "Downloading numpy (16.1MiB)",
            " Downloaded numpy",
            "Using Python 3.11.7 environment at: /cache/environments/e1",
            "Prepared 8 packages in 735ms",
            "Installed 8 packages in 320ms",
            "Bytecode compiled 572 files in 4.59s",
            " + certifi==2026.10.18",
        ];
        let expected = [
            "8 packages to install",
            "downloading numpy (16.1MiB), one of 8 packages",
            "installing 8 packages",
            "installed 8 packages",
            "compiled to byte-code",
        ];
        assert_eq!(told(Stage::Installing, &lines), expected);
    }

    #[test]
    fn pip_names_what_it_collects() {
        let lines = [
            "Collecting requests==2.34.2 (from -r /w/lock (line 1))",
            "  Downloading requests-2.34.2-py3-none-any.whl (62 kB)",
            "  Using cached idna-3.20-py3-none-any.whl (71 kB)",
            "Installing collected packages: urllib3, idna, requests",
            "Successfully installed idna-3.20 requests-2.34.2 urllib3-2.8.0",
        ];
        let expected = [
            "downloading requests==2.34.2",
            "downloading requests 2.34.2 (62 kB)",
            "downloading idna 3.20",
            "installing 3 packages",
            "installed 3 packages",
        ];
        assert_eq!(told(Stage::Installing, &lines), expected);
        assert_eq!(told(Stage::Resolving, &lines[..1]), ["resolving requests==2.34.2"]);
    }

    #[test]
    fn cargo_names_crates_and_counts_them() {
        let lines = [
            "    Updating crates.io index",
            "     Locking 45 packages to latest Rust 1.89 compatible versions",
            " Downloading crates ...",
            "  Downloaded serde v1.0.228",
            "  Downloaded 45 crates (2.3 MB) in 1.2s",
            "   Compiling serde v1.0.228",
            "    Building [====>    ] 12/45: serde, syn\r\u{1b}[K   Compiling server v0.1.0 (/w/server)",
            "\u{1b}[1m    Building\u{1b}[0m [========>] 44/45: server",
        ];
        let expected = [
            "resolving: updating crates.io index",
            "45 packages to install",
            "downloading crates",
            "downloading crate serde v1.0.228",
            "downloading crates",
            "compiling crate serde v1.0.228",
            "compiling crate server v0.1.0",
            "compiling 44 of 45 crates: server",
        ];
        assert_eq!(told(Stage::Compiling, &lines), expected);
    }

    #[test]
    fn npm_and_pnpm_are_understood() {
        let lines = [
            "npm http fetch GET 200 https://user:secret@registry.example.com/zod 35ms (cache miss)",
            "npm http fetch GET 200 https://user:secret@registry.example.com/zod/-/zod-3.25.0.tgz 35ms (cache hit)",
            "Progress: resolved 40, reused 30, downloaded 5, added 35",
            "added 57 packages in 2s",
        ];
        let expected = ["downloading zod-3.25.0", "downloading 35 of 40 packages", "installed 57 packages"];
        assert_eq!(told(Stage::Installing, &lines), expected);
    }

    #[test]
    fn what_is_not_known_is_shown_as_it_is_but_seldom() {
        let lines = ["something https://me:secret@host happened", "and more", "", "and more"];
        assert_eq!(told(Stage::Installing, &lines), ["working: something https://***@host happened"]);
    }
}
