use std::{collections::BTreeMap, time::Duration};

use futures_util::{FutureExt, future::join_all};

use super::{Check, Dice, Event, Fault, Faults, FaultyObjects, Found, ensure};
use crate::{Created, Cx, ErrorCode, Expected, ObjectLibrary, ObjectMeta, Objects, PutId, SavedServer, ServerId};

/// How long one check may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Bytes of the largest object.
const LARGEST: usize = 20 * 1024 * 1024;

const FAULTS: [Fault; 4] = [Fault::Before, Fault::After, Fault::Repeated, Fault::Slow];

/// Panics with the list of all that a medium does not do as [`Objects`] says, and checks a library on it whose calls fail
/// at random.
///
/// `open` opens the same medium each time, as another process would. It need not be empty: keys are new ones.
pub fn assert_objects<O: Objects>(open: impl AsyncFn() -> O) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut failures = Vec::new();
    runtime.block_on(async {
        macro_rules! check {
            ($($name:ident),+ $(,)?) => {
                $(let checked = tokio::time::timeout(LIMIT, $name(&open)).await;
                if let Err(failure) = checked.unwrap_or_else(|_| Err("it does not end".into())) {
                    failures.push(format!("{}: {failure}", stringify!($name).replace('_', " ")));
                })+
            };
        }
        check!(
            what_is_created_stays,
            one_of_many_creators_wins,
            a_listing_is_whole_and_in_order,
            what_is_removed_is_gone,
            a_cache_is_replaced,
            any_bytes_of_any_size_survive,
            an_abandoned_create_can_be_repeated,
            a_library_on_it_survives_faults,
        );
    });
    assert!(failures.is_empty(), "the medium fails {} checks:\n- {}", failures.len(), failures.join("\n- "));
}

async fn what_is_created_stays<O: Objects>(open: &impl AsyncFn() -> O) -> Check {
    let (one, two, key) = (open().await, open().await, key("a.json"));
    let missing = one.read(&key).await.err().map(|error| error.code);
    ensure!(missing == Some(ErrorCode::NotFound), "a read of what is not there gives {missing:?}");
    let first = one.create(&key, b"first").await.map_err(|e| format!("a create failed: {e}"))?;
    ensure!(first == Created::New, "the first create says {first:?}");
    for (who, medium) in [("the same", &one), ("another", &two)] {
        let again = medium.create(&key, b"second").await.map_err(|e| format!("a second create failed: {e}"))?;
        ensure!(again == Created::Exists, "a second create by {who} says {again:?}");
        ensure!(read(medium, &key).await? == b"first", "a second create by {who} changed it");
    }
    Ok(())
}

async fn one_of_many_creators_wins<O: Objects>(open: &impl AsyncFn() -> O) -> Check {
    let doors = [open().await, open().await, open().await, open().await];
    for round in 0..4 {
        let key = key(&format!("{round}"));
        let creates = (0..16).map(async |number: usize| {
            let body = number.to_string();
            (number, doors[number % doors.len()].create(&key, body.as_bytes()).await)
        });
        let mut winners = Vec::new();
        for (number, created) in join_all(creates).await {
            if created.map_err(|error| format!("a create failed: {error}"))? == Created::New {
                winners.push(number);
            }
        }
        ensure!(winners.len() == 1, "{} of 16 racing creators are told that they won", winners.len());
        let found = read(&doors[0], &key).await?;
        ensure!(found == winners[0].to_string().as_bytes(), "what the winner wrote is not there");
    }
    Ok(())
}

async fn a_listing_is_whole_and_in_order<O: Objects>(open: &impl AsyncFn() -> O) -> Check {
    let (medium, other, root) = (open().await, open().await, key(""));
    let mut keys: Vec<String> = ["a-b/1", "a/1", "a/2", "a0/1", "A/1", "a/b/c/d.json", "z", "0", "a.json", "a_b"]
        .map(|k| format!("{root}{k}"))
        .into();
    for (length, key) in keys.iter().enumerate() {
        medium
            .create(key, &vec![b'x'; length])
            .await
            .map_err(|error| format!("a create of `{key}` failed: {error}"))?;
    }
    let lengths: BTreeMap<_, _> = keys.iter().cloned().zip(0u64..).collect();
    keys.sort();
    for limit in [1, 2, 3, 1000] {
        let mut found = Vec::new();
        loop {
            let after = found.last().map(|meta: &ObjectMeta| meta.key.clone());
            let page = list(&other, &root, after.as_deref(), limit).await?;
            ensure!(page.len() <= limit, "a page of {limit} has {} objects", page.len());
            let last = page.len() < limit;
            found.extend(page);
            if last {
                break;
            }
        }
        let shown: Vec<_> = found.iter().map(|meta| &meta.key).collect();
        ensure!(shown == keys.iter().collect::<Vec<_>>(), "pages of {limit} show {shown:?} instead of {keys:?}");
        let wrong = found.iter().find(|meta| lengths.get(&meta.key) != Some(&meta.size));
        ensure!(wrong.is_none(), "a listing shows {wrong:?}");
    }
    let some = list(&medium, &format!("{root}a/"), None, 1000).await?;
    ensure!(some.len() == 3, "below `a/` there are {some:?}");
    let part = list(&medium, &format!("{root}a"), Some(&format!("{root}a/1x")), 1000).await?;
    ensure!(part.len() == 4, "of `a` after `a/1x` there are {part:?}");
    let none = list(&medium, &format!("{root}no"), None, 1000).await?;
    ensure!(none.is_empty(), "below `no` there are {none:?}");
    Ok(())
}

async fn what_is_removed_is_gone<O: Objects>(open: &impl AsyncFn() -> O) -> Check {
    let (medium, other, key) = (open().await, open().await, key("a/1"));
    medium.create(&key, b"x").await.map_err(|error| error.to_string())?;
    for _ in 0..2 {
        medium.remove(&key).await.map_err(|error| format!("a remove failed: {error}"))?;
    }
    ensure!(other.read(&key).await.is_err(), "it can still be read");
    ensure!(list(&other, &key, None, 9).await?.is_empty(), "it is still listed");
    let created = other.create(&key, b"y").await.map_err(|error| error.to_string())?;
    ensure!(created == Created::New && read(&medium, &key).await? == b"y", "it cannot be created again");
    Ok(())
}

async fn a_cache_is_replaced<O: Objects>(open: &impl AsyncFn() -> O) -> Check {
    let (medium, key) = (open().await, key("index.json"));
    for body in [b"a longer one".as_slice(), b"short", b""] {
        medium.cache(&key, body).await.map_err(|error| format!("it cannot be written: {error}"))?;
        match medium.read(&key).await {
            // It may be lost at any time.
            Err(error) if error.code == ErrorCode::NotFound => {}
            found => ensure!(found.map_err(|error| error.to_string())? == body, "it is not what was written last"),
        }
    }
    Ok(())
}

async fn any_bytes_of_any_size_survive<O: Objects>(open: &impl AsyncFn() -> O) -> Check {
    let (medium, other) = (open().await, open().await);
    for size in [0, 1, 4096, 256 * 1024 + 1, LARGEST] {
        let body: Vec<u8> = (0..size).map(|at| (at * 31 + at / 256) as u8).collect();
        let key = key(&size.to_string());
        medium.create(&key, &body).await.map_err(|error| format!("{size} bytes cannot be written: {error}"))?;
        ensure!(read(&other, &key).await? == body, "{size} bytes come back different");
    }
    Ok(())
}

async fn an_abandoned_create_can_be_repeated<O: Objects>(open: &impl AsyncFn() -> O) -> Check {
    let medium = open().await;
    for polls in 0..12 {
        let key = key(&polls.to_string());
        let mut create = Box::pin(medium.create(&key, b"whole"));
        for _ in 0..polls {
            if (&mut create).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(create);
        medium
            .create(&key, b"whole")
            .await
            .map_err(|error| format!("after {polls} polls the repeat failed: {error}"))?;
        ensure!(read(&medium, &key).await? == b"whole", "after {polls} polls it is torn");
    }
    Ok(())
}

async fn a_library_on_it_survives_faults<O: Objects>(open: &impl AsyncFn() -> O) -> Check {
    const WRITERS: u64 = 4;
    let (faults, mut dice) = (Faults::default(), Dice::new(20_240_115));
    faults.sometimes(dice.fork(), 5, FAULTS);
    let ids = [ServerId::random(), ServerId::random()];
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let library = ObjectLibrary::new(FaultyObjects::new(open().await, faults.clone())).with_blobs(1000);
        writers.push(save_all(library, &ids, number, dice.fork()));
    }
    let mut history = Vec::new();
    for events in join_all(writers).await {
        history.extend(events?);
    }
    let (cx, library, mut found) = (Cx::detached(), ObjectLibrary::new(open().await), Found::default());
    for id in &ids {
        for version in library.versions(&cx, id).await.unwrap_or_default() {
            match library.get(&cx, id, Some(version)).await {
                Ok(server) => found.add(id, version, Some(server.code)),
                Err(error) if error.code == ErrorCode::NotFound => found.add(id, version, None),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    let tally = found.judge(&history)?;
    ensure!(tally.saves > 10, "only {} saves went through", tally.saves);
    Ok(())
}

async fn save_all<O: Objects>(
    library: ObjectLibrary<FaultyObjects<O>>,
    ids: &[ServerId],
    writer: u64,
    mut dice: Dice,
) -> Result<Vec<Event>, String> {
    let (cx, mut events) = (Cx::detached(), Vec::new());
    for number in 0..12 {
        let id = &ids[dice.below(ids.len() as u64) as usize];
        let code = format!("{writer}.{number} {}", "x".repeat(dice.below(2000) as usize));
        let record = SavedServer { server_id: id.to_string(), code: code.clone(), ..SavedServer::default() };
        let expected = if dice.below(4) == 0 { Expected::New } else { Expected::Any };
        events.push(Event::Tried { id: id.clone(), code: code.clone() });
        let put_id = PutId::random();
        let put = loop {
            match library.put(&cx, &record, expected, &put_id).await {
                Err(error) if error.retryable => {}
                put => break put,
            }
        };
        match put {
            Ok(version) => events.push(Event::Saved { id: id.clone(), code, version }),
            Err(error) if error.code == ErrorCode::Conflict => events.push(Event::Refused { code }),
            Err(error) => return Err(format!("a put failed: {error}")),
        }
    }
    Ok(events)
}

/// A key that nobody else has.
fn key(name: &str) -> String {
    format!("testkit/{}/{name}", uuid::Uuid::new_v4().simple())
}

async fn read<O: Objects>(medium: &O, key: &str) -> Result<Vec<u8>, String> {
    medium.read(key).await.map_err(|error| format!("a read of `{key}` failed: {error}"))
}

async fn list<O: Objects>(
    medium: &O,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ObjectMeta>, String> {
    medium.list(prefix, after, limit).await.map_err(|error| format!("a list of `{prefix}` failed: {error}"))
}
