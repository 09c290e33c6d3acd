use perennial_sdk::{Cx, Expected, Page, PutId};
use serde_json::{Value, json};

use crate::{
    host::{Host, server},
    s3::{Fault, Proxy, Store},
};

const FAULTS: [Fault; 12] = [
    Fault::Status(500),
    Fault::Status(503),
    Fault::Status(429),
    Fault::Status(409),
    Fault::AppliedThenStatus(500),
    Fault::AppliedThenStatus(503),
    Fault::AppliedThenCut,
    Fault::Cut,
    Fault::TornUpload,
    Fault::TornAnswer,
    Fault::Delay(50),
    Fault::BlackHole,
];

fn behind(store: &Store) -> (Proxy, Value) {
    let proxy = Proxy::before(store.address());
    let mut config = store.config();
    config["endpoint"] = proxy.endpoint().into();
    config["timeout_s"] = json!(2);
    (proxy, config)
}

#[tokio::test]
async fn a_save_outlives_every_fault_and_happens_once() {
    let store = Store::seaweedfs();
    let (proxy, config) = behind(&store);
    let host = Host::open(&config).await;
    host.put("server-first", "tries the store out", Expected::New).await.unwrap();
    for (number, first) in FAULTS.into_iter().enumerate() {
        for second in [None, Some(Fault::AppliedThenCut), Some(Fault::Status(409))] {
            let id = format!("server-{number}-{}", second.is_some_and(|fault| fault == Fault::Status(409)) as u8);
            let id = if second.is_none() { format!("server-{number}") } else { id };
            let code = format!("{first:?} {second:?}");
            proxy.plan("PUT", &id, first);
            second.into_iter().for_each(|fault| proxy.plan("PUT", &id, fault));
            let version = host.put(&id, &code, Expected::New).await.unwrap_or_else(|error| panic!("{code}: {error}"));
            assert_eq!((version.0, host.versions(&id).await), (1, vec![1]), "{code}");
            assert_eq!(host.code(&id).await.unwrap(), code);
            proxy.clear();
        }
    }
}

#[tokio::test]
async fn reading_outlives_every_fault() {
    let store = Store::seaweedfs();
    let (proxy, config) = behind(&store);
    Host::open(&config).await.put("server-a", &"a".repeat(5000), Expected::New).await.unwrap();
    for fault in FAULTS.into_iter().filter(|fault| *fault != Fault::Status(409)) {
        let host = Host::open(&config).await;
        proxy.plan("GET", "list-type", fault);
        proxy.plan("GET", "/s/server-a/", fault);
        assert_eq!(host.list().await.unwrap_or_else(|error| panic!("{fault:?}: {error}")), ["server-a"]);
        proxy.plan("GET", "/s/server-a/", fault);
        let code = host.code("server-a").await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(code.len(), 5000, "{fault:?}");
        proxy.clear();
    }
}

#[tokio::test]
async fn a_save_that_failed_can_be_repeated_and_is_there_once() {
    let store = Store::seaweedfs();
    let (proxy, mut config) = behind(&store);
    let host = Host::open(&config).await;
    host.put("server-first", "tries the store out", Expected::New).await.unwrap();
    config["timeout_s"] = json!(0.3);
    config["deadline_s"] = json!(0.5);
    let host = Host::open_in(host.home, &config).await;
    for (number, fault) in [Fault::AppliedThenCut, Fault::Cut, Fault::BlackHole].into_iter().enumerate() {
        let (id, put) = (format!("server-{number}"), PutId::random());
        let mut storm = false;
        proxy.weather(move |method| {
            storm |= method == "PUT";
            storm.then_some(fault)
        });
        let error = host.storage.put(&Cx::detached(), &server(&id, "x"), Expected::New, &put).await.unwrap_err();
        assert!(error.retryable && error.message.contains(&proxy.endpoint()), "{fault:?}: {error:?}");
        proxy.clear();
        let version = host.storage.put(&Cx::detached(), &server(&id, "x"), Expected::New, &put).await.unwrap();
        assert_eq!((version.0, host.versions(&id).await), (1, vec![1]), "{fault:?}");
    }
}

#[tokio::test]
async fn a_store_that_comes_back_is_used_again() {
    let mut store = Store::seaweedfs();
    let mut config = store.config();
    let host = Host::open(&config).await;
    host.put("server-a", "before", Expected::New).await.unwrap();
    config["deadline_s"] = json!(0.5);
    let host = Host::open_in(host.home, &config).await;
    store.stop();
    for error in [
        host.put("server-a", "meanwhile", Expected::Any).await.unwrap_err(),
        host.code("server-a").await.unwrap_err(),
        host.list().await.unwrap_err(),
    ] {
        assert!(error.retryable && error.message.contains(&store.endpoint()), "{error:?}");
    }
    store.start_again();
    let host = Host::open_in(host.home, &store.config()).await;
    assert_eq!(host.code("server-a").await.unwrap(), "before");
    assert_eq!(host.put("server-a", "after", Expected::Any).await.unwrap().0, 2);
}

#[tokio::test]
async fn a_caller_who_gives_up_is_let_go() {
    let store = Store::seaweedfs();
    let (proxy, config) = behind(&store);
    let host = Host::open(&config).await;
    proxy.weather(|_| Some(Fault::BlackHole));
    let (giving_up, cancelled) = tokio::sync::watch::channel(false);
    giving_up.send(true).unwrap();
    let cancelled = host.storage.list(&Cx::detached().with_cancel(cancelled), &Page::default()).await.unwrap_err();
    assert_eq!(cancelled.code, perennial_sdk::ErrorCode::Cancelled);
    let hurried = Cx::detached().with_timeout(std::time::Duration::from_millis(50));
    let late = host.storage.list(&hurried, &Page::default()).await.unwrap_err();
    assert_eq!(late.code, perennial_sdk::ErrorCode::Timeout);
}
