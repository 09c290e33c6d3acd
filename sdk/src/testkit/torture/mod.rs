mod log;
mod writer;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use self::{log::Log, writer::Order};
use super::{Dice, Event, Found, Tally};
use crate::{Exported, Home, ServerId};

/// Where a writer finds its order.
const ORDER: &str = "PERENNIAL_TORTURE_ORDER";

/// How many saves there are to one server, roughly.
const VERSIONS: u64 = 40;

/// How long a torture may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// Processes that save through a storage and are killed at random. Afterwards every acknowledged save must be there,
/// whole, and none twice.
///
/// The writers are the test's own program, started again; a test looks like this:
///
/// ```no_run
/// # use perennial_sdk::testkit::Torture;
/// # fn torture<Json: perennial_sdk::Exported>() {
/// // #[test] fn acknowledged_saves_outlive_their_writers() {
/// if Torture::is_writer::<Json>() {
///     return;
/// }
/// let folder = std::path::Path::new("…");
/// let torture = Torture::new("acknowledged_saves_outlive_their_writers");
/// let tortured = torture.run(folder);
/// let (tally, _) = tortured.judge::<Json>([]);
/// eprintln!("{} kills, {tally}", tortured.kills);
/// # }
/// ```
///
/// `PERENNIAL_TORTURE_SAVES` says for how many acknowledged saves it goes on, `PERENNIAL_TORTURE_SEED` repeats the
/// choices of a run, though not the moments that the system chose.
#[derive(Debug)]
pub struct Torture {
    test: &'static str,
    config: Value,
    saves: usize,
    writers: u64,
    largest: u64,
    dice: Dice,
}

/// What is left behind when the last writer is dead.
#[derive(Debug)]
pub struct Tortured {
    /// How many writers were killed on the way.
    pub kills: usize,
    folder: PathBuf,
    config: Value,
    writers: u64,
    servers: u64,
}

impl Torture {
    /// Of the test with this name, in full as `--exact` takes it. It prints its seed.
    pub fn new(test: &'static str) -> Self {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
        let seed =
            setting("PERENNIAL_TORTURE_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ u64::from(now()));
        let mut stderr = std::io::stderr();
        let _ = std::io::Write::write_all(&mut stderr, format!("PERENNIAL_TORTURE_SEED={seed}\n").as_bytes());
        Self { test, config: Value::Null, saves: 200, writers: 3, largest: 20_000, dice: Dice::new(seed) }
    }

    /// The plugin's configuration, for every writer.
    #[must_use]
    pub fn config(self, config: Value) -> Self {
        Self { config, ..self }
    }

    /// How many saves must be acknowledged, unless the environment says otherwise.
    #[must_use]
    pub fn saves(self, saves: usize) -> Self {
        Self { saves, ..self }
    }

    /// Up to how many bytes of code a few saves have; most have less than 20 kB.
    #[must_use]
    pub fn largest(self, largest: u64) -> Self {
        Self { largest, ..self }
    }

    /// Dice for whatever else happens meanwhile.
    pub fn dice(&mut self) -> Dice {
        self.dice.fork()
    }

    /// Whether this process is a writer. It is one until it is killed or whoever started it is gone; ask before anything
    /// else is done.
    pub fn is_writer<P: Exported>() -> bool {
        let Some(order) = env::var(ORDER).ok().and_then(|order| serde_json::from_str::<Order>(&order).ok()) else {
            return false;
        };
        thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(0);
        });
        runtime().block_on(writer::write::<P>(order));
        true
    }

    /// Starts the writers, each with `folder`/data as its home, and kills them until enough was acknowledged.
    ///
    /// # Panics
    /// When a writer gives up by itself, or it takes an hour.
    pub fn run(mut self, folder: &Path) -> Tortured {
        let saves = setting("PERENNIAL_TORTURE_SAVES").map_or(self.saves, |saves| saves as usize);
        let servers = saves as u64 / VERSIONS + 1;
        let mut writers: Vec<_> = (0..self.writers).map(|writer| self.spawn(folder, writer, servers)).collect();
        let (began, mut kills) = (Instant::now(), 0);
        while logs(folder, self.writers).map(|log| log.acknowledged()).sum::<usize>() < saves {
            thread::sleep(Duration::from_millis(20 + self.dice.below(200)));
            let victim = self.dice.below(self.writers);
            let child = &mut writers[victim as usize];
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                panic!("writer {victim} gave up by itself: {status}");
            }
            end(child);
            kills += 1;
            *child = self.spawn(folder, victim, servers);
            assert!(began.elapsed() < LIMIT, "it does not get on");
        }
        writers.iter_mut().for_each(end);
        Tortured { kills, folder: folder.to_owned(), config: self.config, writers: self.writers, servers }
    }

    #[expect(clippy::disallowed_methods, reason = "a writer must be a process that can be killed")]
    fn spawn(&mut self, folder: &Path, writer: u64, servers: u64) -> Child {
        let order = Order {
            home: folder.join("data"),
            log: log(folder, writer),
            config: self.config.clone(),
            writer,
            servers,
            largest: self.largest,
            seed: self.dice.roll(),
        };
        fs::create_dir_all(folder).expect("the folder can be made");
        Command::new(env::current_exe().expect("a program knows its path"))
            .args(["--exact", self.test])
            .env(ORDER, serde_json::to_string(&order).expect("an order is JSON"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program can be started again")
    }
}

impl Tortured {
    /// Opens the storage once more and compares what it holds with what the writers were told. The servers of `others`
    /// are looked at too: nothing of them may be torn, doubled or have gaps.
    ///
    /// # Panics
    /// When something is not as it was acknowledged.
    pub fn judge<P: Exported>(&self, others: impl IntoIterator<Item = ServerId>) -> (Tally, Found) {
        let history: Vec<Event> = logs(&self.folder, self.writers).flat_map(|log| log.events()).collect();
        let ids: Vec<_> = (0..self.servers).map(writer::server).chain(others).collect();
        let found = runtime().block_on(async {
            let home = Home { data_dir: self.folder.join("data") };
            let opened = P::open(self.config.clone(), home).await.expect("it opens once more");
            let storage = opened.storage.clone().expect("it exports a storage");
            let found = Found::read(&*storage, ids).await;
            opened.shutdown().await;
            found
        });
        let found = found.unwrap_or_else(|error| panic!("what was saved cannot be read: {error}"));
        match found.judge(&history) {
            Ok(tally) => (tally, found),
            Err(wrong) => panic!("after {} kills {wrong}", self.kills),
        }
    }
}

fn end(child: &mut Child) {
    child.kill().expect("a child can be killed");
    child.wait().expect("a child can be waited for");
}

fn logs(folder: &Path, writers: u64) -> impl Iterator<Item = Log> {
    (0..writers).map(move |writer| Log::at(log(folder, writer)))
}

fn log(folder: &Path, writer: u64) -> PathBuf {
    folder.join(format!("log-{writer}"))
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
