//! throwaway
use perennial_sdk::prelude::*;
use std::{collections::BTreeMap, sync::Mutex};
/// x
#[derive(Deserialize)]
pub struct Config {}
/// x
pub struct Memory {
    all: Mutex<BTreeMap<String, Vec<SavedServer>>>,
}
impl Plugin for Memory {
    type Config = Config;
    async fn init(_: Config, _: Home) -> Result<Self> {
        Ok(Memory { all: Mutex::default() })
    }
}
impl Storage for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    fn location(&self) -> String {
        "memory".into()
    }
    async fn list(&self, _: &Cx, _: &Page) -> Result<Listing> {
        Ok(Listing {
            items: self.all.lock().unwrap().values().map(|v| v.last().unwrap().summary()).collect(),
            next: None,
        })
    }
    async fn get(&self, _: &Cx, id: &ServerId, v: Option<Version>) -> Result<SavedServer> {
        self.all
            .lock()
            .unwrap()
            .get(id.as_str())
            .and_then(|r| match v {
                None => r.last(),
                Some(v) => r.get(v.0 as usize - 1),
            })
            .cloned()
            .ok_or_else(|| Error::not_found("x"))
    }
    async fn put(&self, _: &Cx, r: &SavedServer, _: Expected, _: &PutId) -> Result<Version> {
        let mut a = self.all.lock().unwrap();
        let v = a.entry(r.server_id.clone()).or_default();
        let mut r = r.clone();
        r.version = Version(v.len() as u64 + 1);
        v.push(r);
        Ok(Version(v.len() as u64))
    }
    async fn versions(&self, _: &Cx, _: &ServerId) -> Result<Vec<Version>> {
        Ok(vec![])
    }
    async fn delete(&self, _: &Cx, id: &ServerId, _: Expected) -> Result<Version> {
        self.all.lock().unwrap().remove(id.as_str());
        Ok(Version(1))
    }
}
export_plugin!(json, Memory: [storage]);
