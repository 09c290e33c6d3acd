//! Long use: whatever is created, called, killed, saved and deleted, a host that has nothing to do is as small as it was.
//!
//! `tests/soak` runs it for 20 minutes on the program as it is released.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use perennial_sdk::testkit::Dice;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, Vitals, misbehaving_server, wait_until};

/// A host in use, and what its user knows of.
struct Soak {
    host: TestHost,
    dice: Dice,
    running: Vec<String>,
    /// Saved servers with the number of their newest version.
    saved: BTreeMap<String, u64>,
    /// What a host may know by heart of all that was ever saved, in KiB.
    library: f64,
    done: BTreeMap<&'static str, u64>,
}

const MOST_RUNNING: usize = 5;
const MOST_SAVED: usize = 6;

/// What a host knows by heart of a server that was saved, deleted or not, and of a version of it.
const SERVER_KIB: f64 = 5.0;
const VERSION_KIB: f64 = 2.0;

/// What else may come on top from the first quarter after the warm-up to the last one.
const MORE_MEMORY_KIB: f64 = 1024.0;
const MORE_DESCRIPTORS: f64 = 2.0;
const MORE_THREADS: f64 = 2.0;

#[test]
fn fault_45_a_host_in_long_use_stays_as_small_as_it_was() {
    let seconds = std::env::var("PERENNIAL_SOAK_S").map_or(12, |seconds| seconds.parse().unwrap());
    let seed = std::env::var("PERENNIAL_SOAK_SEED").map_or(6, |seed| seed.parse().unwrap());
    let length = Duration::from_secs(seconds);
    let home = TestHome::new();
    let mut soak = Soak::new(&home, seed);
    let begun = Instant::now();
    let mut samples = vec![];
    let mut shown = Instant::now();
    while begun.elapsed() < length || samples.len() < 8 {
        // rounds are long enough to have several servers at once, and short enough for many samples
        for _ in 0..(length.as_millis() / 400).clamp(12, 150) {
            soak.step();
        }
        samples.push((soak.at_rest(), soak.library));
        if shown.elapsed() > Duration::from_secs(60) {
            shown = Instant::now();
            eprintln!("{:>5} s {:?} {:?}", begun.elapsed().as_secs(), samples.last().unwrap(), soak.done);
        }
    }
    soak.everything_saved_is_there();
    let (early, late) = quarters(&samples.iter().map(|(vitals, _)| *vitals).collect::<Vec<_>>());
    let known_by_heart = soak.library - samples[samples.len() / 4].1;
    eprintln!("{} s, seed {seed}: {:?}", begun.elapsed().as_secs(), soak.done);
    eprintln!("{} samples\n early {early:?}\n late  {late:?}", samples.len());
    eprintln!(" library {known_by_heart} KiB more");
    for step in ["create", "call", "crash", "save", "load", "delete", "update", "cancel"] {
        assert!(soak.done.contains_key(step), "`{step}` never came: {:?}", soak.done);
    }
    assert!(late.memory <= early.memory + known_by_heart + MORE_MEMORY_KIB, "memory grows: {samples:#?}");
    assert!(late.descriptors <= early.descriptors + MORE_DESCRIPTORS, "descriptors leak: {samples:#?}");
    assert!(late.threads <= early.threads + MORE_THREADS, "threads leak: {samples:#?}");
    assert!(samples.iter().all(|(vitals, _)| vitals.processes == 0.0), "processes are left: {samples:#?}");
    assert!(soak.host.close().success());
}

impl Soak {
    fn new(home: &TestHome, seed: u64) -> Self {
        let host = home.start();
        Self {
            host,
            dice: Dice::new(seed),
            running: vec![],
            saved: BTreeMap::new(),
            library: 0.0,
            done: BTreeMap::new(),
        }
    }

    /// One thing that a user does, or that happens.
    fn step(&mut self) {
        let step = match self.dice.below(100) {
            0..=11 => self.create(),
            12..=19 => self.crash(),
            20..=27 => self.save(),
            28..=33 => self.load(),
            34..=38 => self.delete(),
            39..=40 => self.delete_saved(),
            41..=44 => self.update(),
            45..=49 => self.cancel(),
            50..=54 => self.wrong(),
            _ => self.call(),
        };
        if let Some(step) = step {
            *self.done.entry(step).or_default() += 1;
        }
    }

    fn create(&mut self) -> Option<&'static str> {
        if self.running.len() >= MOST_RUNNING {
            return self.delete();
        }
        let mode = ["dies", "hangs", "prints", "asks", "ignores_eof"][self.dice.below(5) as usize];
        self.running.push(self.host.create_python(&misbehaving_server(mode)));
        Some("create")
    }

    fn call(&mut self) -> Option<&'static str> {
        let server = self.any()?;
        let message = "m".repeat(self.dice.below(3000) as usize + 1);
        let reply = self.host.execute(&server, "echo", json!({"message": message}));
        // whoever died five times is given up, and says so
        match reply.raw()["isError"] == true {
            true => assert!(reply.text().contains("failed"), "{}", reply.text()),
            false => assert_eq!(reply.text(), message),
        }
        Some("call")
    }

    /// The server is killed from outside, or dies in the middle of a call if it is of that kind.
    fn crash(&mut self) -> Option<&'static str> {
        let server = self.any()?;
        if self.dice.below(2) == 0 {
            let mut call = || self.host.execute(&server, "echo", json!({"message": "die"}));
            call();
            return Some("crash");
        }
        let facts = self.host.call("get-server", json!({"serverId": server})).ok().facts();
        let pid = rustix::process::Pid::from_raw(i32::try_from(facts["pid"].as_i64()?).unwrap())?;
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        Some("crash")
    }

    fn save(&mut self) -> Option<&'static str> {
        let server = self.any()?;
        if self.saved.len() >= MOST_SAVED && !self.saved.contains_key(&server) {
            return None;
        }
        let reply = self.host.call("save-server", json!({"serverId": server, "name": format!("saved {server}")}));
        if reply.raw()["isError"] == true {
            // a loaded server whose saved one got a newer version, or was deleted
            assert!(reply.text().contains("meanwhile") || reply.text().contains("deleted"), "{}", reply.text());
            return None;
        }
        let facts = reply.facts();
        let saved = facts["savedServerId"].as_str().or(facts["serverId"].as_str()).unwrap().to_owned();
        self.library += VERSION_KIB;
        if self.saved.insert(saved, facts["version"].as_u64().unwrap()).is_none() {
            self.library += SERVER_KIB;
        }
        Some("save")
    }

    fn load(&mut self) -> Option<&'static str> {
        if self.running.len() >= MOST_RUNNING {
            return self.delete();
        }
        let saved = self.any_saved()?;
        let facts = self.host.call("load-saved-server", json!({"savedServerId": saved})).ok().facts();
        self.running.push(facts["serverId"].as_str().unwrap().to_owned());
        Some("load")
    }

    fn delete(&mut self) -> Option<&'static str> {
        let server = self.any()?;
        self.host.call("delete-server", json!({"serverId": server})).ok();
        self.running.retain(|running| *running != server);
        Some("delete")
    }

    fn delete_saved(&mut self) -> Option<&'static str> {
        let saved = self.any_saved()?;
        self.host.call("delete-saved-server", json!({"savedServerId": saved})).ok();
        self.saved.remove(&saved);
        Some("delete saved")
    }

    fn update(&mut self) -> Option<&'static str> {
        let server = self.any()?;
        let code = match self.dice.below(4) {
            0 => "def broken(:\n".to_owned(),
            _ => misbehaving_server("good"),
        };
        self.host.call("update-server", json!({"serverId": server, "code": code}));
        Some("update")
    }

    /// Several calls at once, some of which nobody waits for any more.
    fn cancel(&mut self) -> Option<&'static str> {
        let server = self.any()?;
        let calls: Vec<Value> = (0..8)
            .map(|_| {
                let arguments = json!({"serverId": server, "toolName": "echo", "args": {"message": "hang"}});
                self.host.begin_call("execute-tool", arguments)
            })
            .collect();
        for call in &calls {
            self.host.notify("notifications/cancelled", json!({"requestId": call}));
        }
        Some("cancel")
    }

    /// What a client or model gets wrong.
    fn wrong(&mut self) -> Option<&'static str> {
        match self.dice.below(4) {
            0 => assert!(self.host.write(b"{\"jsonrpc\": \n")),
            1 => drop(self.host.request("no/such/method", json!({}))),
            2 => drop(
                self.host.call("execute-tool", json!({"serverId": "server-000000000000", "toolName": "x"})).error(),
            ),
            _ => drop(self.host.call("create-server-from-template", json!({"language": "cobol"})).error()),
        }
        Some("wrong")
    }

    /// Ends every server, waits until nothing of them is left, and looks at the host.
    fn at_rest(&mut self) -> Vitals {
        while self.delete().is_some() {}
        self.host.request("ping", json!({}));
        self.host.forget();
        let pid = self.host.pid();
        wait_until(Duration::from_secs(10), || Vitals::of(pid).processes == 0.0);
        Vitals::of(pid)
    }

    fn everything_saved_is_there(&mut self) {
        let saved = self.saved.clone();
        for (id, version) in saved {
            let arguments = json!({"savedServerId": id, "version": version});
            let loaded = self.host.call("load-saved-server", arguments).ok().facts();
            let loaded = loaded["serverId"].as_str().unwrap().to_owned();
            assert_eq!(self.host.execute(&loaded, "echo", json!({"message": "kept"})).ok().text(), "kept");
            self.host.call("delete-server", json!({"serverId": loaded})).ok();
        }
    }

    fn any(&mut self) -> Option<String> {
        let index = self.dice.below(self.running.len() as u64) as usize;
        self.running.get(index).cloned()
    }

    fn any_saved(&mut self) -> Option<String> {
        let index = self.dice.below(self.saved.len() as u64) as usize;
        self.saved.keys().nth(index).cloned()
    }
}

/// The medians of the second quarter and of the last one: the first quarter is the warm-up.
fn quarters(samples: &[Vitals]) -> (Vitals, Vitals) {
    let quarter = samples.len() / 4;
    (median(&samples[quarter..2 * quarter]), median(&samples[samples.len() - quarter..]))
}

fn median(samples: &[Vitals]) -> Vitals {
    let of = |part: fn(&Vitals) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(part).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Vitals {
        memory: of(|sample| sample.memory),
        descriptors: of(|sample| sample.descriptors),
        threads: of(|sample| sample.threads),
        processes: of(|sample| sample.processes),
    }
}
