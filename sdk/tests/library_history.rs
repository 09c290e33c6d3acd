//! Several writers at once on a medium that fails, each cut off at any point and begun anew, beside collectors: what was
//! acknowledged is there, whole and once.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use perennial_sdk::{
    prelude::*,
    testkit::{Dice, Event, Fault, Faults, FaultyObjects, Found, MemoryObjects},
};
use proptest::prelude::*;

type Medium = FaultyObjects<MemoryObjects>;

const WRITERS: usize = 3;
const SERVERS: u64 = 3;
/// How many large texts there are, more than versions are kept: they come and go and come again.
const TEXTS: u64 = 16;
/// What is longer is kept apart.
const THRESHOLD: usize = 100;
const DAY: Duration = Duration::from_secs(25 * 3600);
const FAULTS: [Fault; 4] = [Fault::Before, Fault::After, Fault::Repeated, Fault::Slow];
const RETENTION: Retention =
    Retention { versions: Some(3), replaced: None, deleted: Duration::from_secs(3600), dry_run: false };

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    /// One call in so many fails.
    faults: u64,
    stale: bool,
    /// One step in so many is the last of its writer's process.
    crashes: u64,
    /// Between two of them a day goes by.
    days: usize,
    steps: usize,
    collectors: bool,
}

/// What a writer's process is begun with.
#[derive(Clone)]
struct Writer {
    medium: Medium,
    dice: Dice,
    history: Rc<RefCell<Vec<Event>>>,
    /// The save that is not acknowledged yet.
    pending: Rc<RefCell<Option<(SavedServer, Expected, PutId)>>>,
    collects: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let numbers = (any::<u64>(), 3u64..40, 20u64..200, 1usize..5, 300usize..1500);
    (numbers, any::<bool>()).prop_map(|((seed, faults, crashes, days, steps), collectors)| Plan {
        seed,
        faults,
        stale: !collectors,
        crashes,
        days,
        steps,
        collectors,
    })
}

fn large(number: u64) -> String {
    format!("large {number} ").repeat(THRESHOLD)
}

impl Writer {
    /// What a process does: the save that its predecessor did not see acknowledged, and then further ones.
    async fn run(mut self, number: usize) {
        let (cx, library) = (Cx::detached(), ObjectLibrary::new(self.medium.clone()).with_blobs(THRESHOLD));
        if self.pending.borrow().is_some() {
            self.save(&library).await;
        }
        for step in 0.. {
            let id: ServerId = format!("server-{}", self.dice.below(SERVERS)).parse().unwrap();
            match self.dice.below(12) {
                0 => match library.delete(&cx, &id, Expected::Any).await {
                    Ok(version) => self.note(Event::Deleted { id, version }),
                    Err(error) => assert!(error.retryable || error.code == ErrorCode::NotFound, "{error}"),
                },
                1 => match library.list(&cx, &Page::default()).await {
                    Ok(listing) => assert!(listing.items.len() as u64 <= SERVERS),
                    Err(error) => assert!(error.retryable, "{error}"),
                },
                2 | 3 => self.look(&library).await,
                4 | 5 if self.collects => match library.collect(&cx, &RETENTION).await {
                    Ok(_) => {}
                    Err(error) => assert!(error.retryable, "{error}"),
                },
                _ => {
                    let text = self.dice.below(TEXTS);
                    let code = format!("{text} {number} {step} {}", self.dice.roll());
                    let files = [("large".to_owned(), large(text))].into();
                    let record = SavedServer { server_id: id.to_string(), code, files, ..SavedServer::default() };
                    let expected = match (self.dice.below(4), library.versions(&cx, &id).await) {
                        (0, Ok(versions)) => Expected::At(*versions.last().unwrap()),
                        (1, _) => Expected::New,
                        _ => Expected::Any,
                    };
                    self.note(Event::Tried { id, code: record.code.clone() });
                    *self.pending.borrow_mut() = Some((record, expected, PutId::random()));
                    self.save(&library).await;
                }
            }
        }
    }

    async fn save(&mut self, library: &ObjectLibrary<Medium>) {
        let (record, expected, put_id) = self.pending.borrow().clone().unwrap();
        let (id, code) = (record.server_id.parse().unwrap(), record.code.clone());
        loop {
            let event = match library.put(&Cx::detached(), &record, expected, &put_id).await {
                Ok(version) => Event::Saved { id, code, version },
                Err(error) if error.retryable => continue,
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::Conflict, "{error}");
                    Event::Refused { code }
                }
            };
            // One of both is before the other in no schedule: nobody is polled in between.
            *self.pending.borrow_mut() = None;
            return self.note(event);
        }
    }

    /// Whether something that was acknowledged is there now.
    async fn look(&mut self, library: &ObjectLibrary<Medium>) {
        let saved: Vec<_> =
            self.history.borrow().iter().filter(|e| matches!(e, Event::Saved { .. })).cloned().collect();
        let Some(Event::Saved { id, code, version }) = saved.get(self.dice.below(saved.len() as u64) as usize) else {
            return;
        };
        match library.get(&Cx::detached(), id, Some(*version)).await {
            Ok(found) => assert_eq!((&found.code, &found.files["large"]), (code, &of(code))),
            Err(error) if error.retryable => {}
            Err(error) => assert!(self.collects && error.code == ErrorCode::NotFound, "{code}: {error}"),
        }
    }

    fn note(&self, event: Event) {
        self.history.borrow_mut().push(event);
    }
}

/// The large text that belongs to a code.
fn of(code: &str) -> String {
    large(code.split(' ').next().unwrap().parse().unwrap())
}

fn run(plan: &Plan) {
    let (medium, faults, mut dice) = (MemoryObjects::default(), Faults::default(), Dice::new(plan.seed));
    let history = Rc::new(RefCell::new(Vec::new()));
    let mut writers: Vec<_> = (0..WRITERS)
        .map(|_| Writer {
            medium: FaultyObjects::new(medium.clone(), faults.clone()),
            dice: dice.fork(),
            history: history.clone(),
            pending: Rc::default(),
            collects: plan.collectors,
        })
        .collect();
    for _ in 0..plan.days {
        faults.sometimes(dice.fork(), plan.faults, FAULTS.into_iter().chain(plan.stale.then_some(Fault::Stale)));
        let mut processes: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        for (number, writer) in writers.iter_mut().enumerate() {
            writer.dice = dice.fork();
            processes.push(Box::pin(writer.clone().run(number)));
        }
        for _ in 0..plan.steps {
            let number = dice.below(WRITERS as u64) as usize;
            let polled = processes[number].as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled, Poll::Pending, "a writer never ends");
            if dice.below(plan.crashes) == 0 {
                writers[number].dice = dice.fork();
                processes[number] = Box::pin(writers[number].clone().run(number));
            }
        }
        drop(processes);
        medium.age(DAY);
    }
    faults.clear();
    judge(&medium, &history.borrow(), plan.collectors);
}

#[tokio::main(flavor = "current_thread")]
async fn judge(medium: &MemoryObjects, history: &[Event], collected: bool) {
    let (cx, library) = (Cx::detached(), ObjectLibrary::new(medium.clone()));
    let mut found = Found::default();
    let acknowledged: BTreeMap<_, _> = history
        .iter()
        .filter_map(|event| match event {
            Event::Saved { id, code, version } => Some(((id.clone(), *version), code)),
            _ => None,
        })
        .collect();
    for id in (0..SERVERS).map(|number| format!("server-{number}").parse::<ServerId>().unwrap()) {
        for version in library.versions(&cx, &id).await.unwrap_or_default() {
            match library.get(&cx, &id, Some(version)).await {
                Ok(server) => {
                    assert_eq!(server.files["large"], of(&server.code));
                    found.add(&id, version, Some(server.code));
                }
                Err(error) if error.code == ErrorCode::NotFound => found.add(&id, version, None),
                Err(error) => {
                    let told = acknowledged.get(&(id.clone(), version));
                    assert!(collected && told.is_none(), "{told:?} was acknowledged: {error}");
                    found.add(&id, version, None);
                }
            }
        }
    }
    let found = if collected { found.collected(RETENTION.versions.unwrap()) } else { found };
    if let Err(wrong) = found.judge(history) {
        panic!("{wrong}\n{history:#?}\n{:#?}", medium.keys());
    }
}

/// `PROPTEST_CASES` says how long it goes on.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_torn_or_doubled(plan in plan()) {
        run(&plan);
    }
}
