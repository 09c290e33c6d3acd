//! The library against a model of it: several writers, each with what it remembers, on a medium that fails.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use perennial_sdk::{
    prelude::*,
    testkit::{Fault, Faults, FaultyObjects, MemoryObjects},
};
use proptest::prelude::*;

const WRITERS: usize = 3;

#[derive(Debug, Clone)]
struct Step {
    writer: usize,
    server: u8,
    faults: Vec<Fault>,
    action: Action,
}

#[derive(Debug, Clone)]
enum Action {
    Put(Expected),
    /// The put that is so many puts back, by whoever.
    Repeat(usize),
    Delete(Expected),
    Get(Option<u64>),
    List,
}

#[derive(Debug, Clone)]
struct Put {
    record: SavedServer,
    expected: Expected,
    put_id: PutId,
    made: Option<Version>,
}

/// The code of each version; none in a tombstone.
#[derive(Default)]
struct Model(BTreeMap<String, Vec<Option<String>>>);

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![Just(Expected::New), Just(Expected::Any), (0u64..5).prop_map(|at| Expected::At(Version(at)))]
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Before),
        1 => Just(Fault::After),
        1 => Just(Fault::Repeated),
        1 => Just(Fault::Slow),
    ];
    let action = prop_oneof![
        4 => expected().prop_map(Action::Put),
        2 => (0usize..4).prop_map(Action::Repeat),
        1 => expected().prop_map(Action::Delete),
        2 => prop::option::of(0u64..6).prop_map(Action::Get),
        1 => Just(Action::List),
    ];
    (0..WRITERS, 0u8..2, prop::collection::vec(fault, 0..8), action).prop_map(|(writer, server, faults, action)| Step {
        writer,
        server,
        faults,
        action,
    })
}

impl Model {
    fn newest(&self, id: &str) -> u64 {
        self.0.get(id).map_or(0, |versions| versions.len() as u64)
    }

    fn gone(&self, id: &str) -> bool {
        self.0.get(id).and_then(|versions| versions.last()).is_none_or(Option::is_none)
    }

    fn holds(&self, id: &str, expected: Expected) -> bool {
        match expected {
            Expected::Any => true,
            Expected::New => self.gone(id),
            Expected::At(version) => version.0 == self.newest(id),
        }
    }

    fn add(&mut self, id: &str, code: Option<String>) -> Version {
        let versions = self.0.entry(id.into()).or_default();
        versions.push(code);
        Version(versions.len() as u64)
    }
}

fn injected(error: &Error) -> bool {
    error.retryable
}

/// Does what fails by injection again without faults: the caller's part of the bargain.
async fn put(library: &ObjectLibrary<FaultyObjects<MemoryObjects>>, faults: &Faults, put: &Put) -> Result<Version> {
    let cx = Cx::detached();
    let first = library.put(&cx, &put.record, put.expected, &put.put_id).await;
    faults.clear();
    match first {
        Err(error) if injected(&error) => library.put(&cx, &put.record, put.expected, &put.put_id).await,
        other => other,
    }
}

async fn run(steps: Vec<Step>) {
    let (cx, medium, faults) = (Cx::detached(), MemoryObjects::default(), Faults::default());
    let library = || ObjectLibrary::new(FaultyObjects::new(medium.clone(), faults.clone()));
    let writers: Vec<_> = (0..WRITERS).map(|number| library().with_blobs([0, 1, usize::MAX][number])).collect();
    let (mut model, mut puts) = (Model::default(), Vec::<Put>::new());
    for (number, step) in steps.into_iter().enumerate() {
        let (writer, id) = (&writers[step.writer], format!("server-{}", step.server));
        faults.plan(step.faults);
        match step.action {
            Action::Put(expected) => {
                let record = SavedServer { server_id: id.clone(), code: number.to_string(), ..SavedServer::default() };
                let mut new = Put { record, expected, put_id: PutId::random(), made: None };
                let result = put(writer, &faults, &new).await;
                new.made = judge(&mut model, &new, result);
                puts.push(new);
            }
            Action::Repeat(back) if back < puts.len() => {
                let at = puts.len() - 1 - back;
                let old = puts[at].clone();
                let result = put(writer, &faults, &old).await;
                match old.made {
                    Some(version) => assert_eq!(result, Ok(version), "{old:?} repeated"),
                    None => puts[at].made = judge(&mut model, &old, result),
                }
            }
            Action::Repeat(_) => {}
            Action::Delete(expected) => {
                let result = writer.delete(&cx, &id.parse().unwrap(), expected).await;
                faults.clear();
                let newest = model.newest(&id);
                match result {
                    Ok(version) => {
                        assert!(!model.gone(&id) && model.holds(&id, expected), "it had to refuse");
                        assert_eq!(version, model.add(&id, None));
                    }
                    Err(error) if injected(&error) => {
                        let actual = library().versions(&cx, &id.parse().unwrap()).await.map_or(0, |all| all.len());
                        if actual as u64 == newest + 1 {
                            model.add(&id, None);
                        }
                    }
                    Err(error) if error.code == ErrorCode::NotFound => assert!(model.gone(&id)),
                    Err(error) => assert!(!model.holds(&id, expected), "{error}"),
                }
            }
            Action::Get(version) => {
                let result = writer.get(&cx, &id.parse().unwrap(), version.map(Version)).await;
                let versions = model.0.get(&id).map_or(&[][..], Vec::as_slice);
                let stored = match version {
                    Some(version) => (version as usize).checked_sub(1).and_then(|at| versions.get(at)),
                    None => versions.last(),
                };
                match (result, stored.cloned().flatten()) {
                    (Ok(found), code) => assert_eq!(Some(found.code), code),
                    (Err(error), code) => assert!(injected(&error) || code.is_none(), "{error}"),
                }
            }
            Action::List => match writer.list(&cx, &Page::default()).await {
                Ok(listing) => {
                    let (well, unread): (Vec<_>, Vec<_>) = listing.items.iter().partition(|item| item.damage.is_none());
                    let unread: Vec<_> = unread.into_iter().map(|item| item.server_id.as_str()).collect();
                    let live = model.0.keys().filter(|id| !model.gone(id) && !unread.contains(&id.as_str()));
                    let want: Vec<_> = live.map(|id| (id.as_str(), model.newest(id))).collect();
                    let shown: Vec<_> = well.iter().map(|item| (item.server_id.as_str(), item.version.0)).collect();
                    assert_eq!(shown, want);
                }
                Err(error) => assert!(injected(&error), "{error}"),
            },
        }
        faults.clear();
    }
    let fresh = library();
    for library in writers.iter().chain([&fresh]) {
        for (id, codes) in &model.0 {
            let id = id.parse().unwrap();
            let versions = library.versions(&cx, &id).await.unwrap();
            assert_eq!(versions, (1..=codes.len() as u64).map(Version).collect::<Vec<_>>());
            for (version, code) in versions.into_iter().zip(codes) {
                assert_eq!(library.get(&cx, &id, Some(version)).await.ok().map(|found| found.code), *code);
            }
        }
    }
}

fn judge(model: &mut Model, put: &Put, result: Result<Version>) -> Option<Version> {
    let id = &put.record.server_id;
    if model.holds(id, put.expected) {
        let version = model.add(id, Some(put.record.code.clone()));
        assert_eq!(result, Ok(version), "{put:?}");
        return Some(version);
    }
    let error = result.expect_err("it had to be a conflict");
    let newest = model.newest(id);
    assert_eq!(error.code, ErrorCode::Conflict, "{error}");
    assert_eq!(error.data["current"], if newest == 0 { Value::Null } else { newest.into() });
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_the_model_says(steps in prop::collection::vec(step(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(steps));
    }
}
