//! A library in an SQLite database, which several hosts may share.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use perennial_sdk::prelude::*;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior::Immediate, params};
use sha2::{Digest, Sha256};

/// A tombstone is a version without a record. `servers` shows the newest one of each that has a record. A write-ahead log
/// with `FULL` has a save on the disk before it is acknowledged.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS versions (
        id TEXT, number INTEGER, put_id TEXT, record TEXT, PRIMARY KEY (id, number), UNIQUE (id, put_id));
    CREATE TABLE IF NOT EXISTS servers (id TEXT PRIMARY KEY, number INTEGER, deleted INTEGER, summary TEXT);
    CREATE TABLE IF NOT EXISTS aliases (alias TEXT PRIMARY KEY, id TEXT);";

#[derive(Default, Deserialize)]
#[serde(crate = "perennial_sdk::serde", deny_unknown_fields, default)]
pub struct Config {
    file: Option<PathBuf>,
}

pub struct Sqlite {
    file: PathBuf,
    connection: Mutex<Connection>,
}

impl Plugin for Sqlite {
    type Config = Config;

    async fn init(config: Config, home: Home) -> Result<Self> {
        let file = config.file.unwrap_or_else(|| home.data_dir.join("library.sqlite"));
        std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
        let connection = Connection::open(&file)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.execute_batch(SCHEMA)?;
        Ok(Sqlite { file, connection: Mutex::new(connection) })
    }
}

impl Storage for Sqlite {
    fn capabilities(&self) -> Capabilities {
        Capabilities { shared: true, versions: true }
    }

    fn location(&self) -> String {
        self.file.display().to_string()
    }

    async fn list(&self, _: &Cx, page: &Page) -> Result<Listing> {
        self.listing(false, page)
    }

    async fn deleted(&self, _: &Cx, page: &Page) -> Result<Listing> {
        self.listing(true, page)
    }

    async fn get(&self, _: &Cx, id: &ServerId, version: Option<Version>) -> Result<SavedServer> {
        let connection = self.database();
        let id = resolved(&connection, id)?;
        let number = version.map(|version| i64::try_from(version.0).unwrap_or(0));
        let query = "SELECT record FROM versions WHERE id = ?1 AND number = ifnull(?2, number) ORDER BY number DESC";
        let found =
            connection.query_row(query, params![id, number], |row| row.get::<_, Option<String>>(0)).optional()?;
        let record = found.flatten().ok_or_else(|| missing(&id))?;
        let sha256 = Sha256::digest(&record).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(SavedServer { sha256: Some(sha256), ..serde_json::from_str(&record)? })
    }

    async fn put(&self, _: &Cx, record: &SavedServer, expected: Expected, put_id: &PutId) -> Result<Version> {
        let id: ServerId = record.server_id.parse()?;
        self.write(id.as_str(), expected, Some((record, put_id)))
    }

    async fn versions(&self, _: &Cx, id: &ServerId) -> Result<Vec<Version>> {
        let connection = self.database();
        let id = resolved(&connection, id)?;
        let mut query = connection.prepare("SELECT number FROM versions WHERE id = ? ORDER BY number")?;
        let numbers = query.query_map([&id], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        if numbers.is_empty() { Err(missing(&id)) } else { Ok(numbers.into_iter().map(version).collect()) }
    }

    async fn delete(&self, _: &Cx, id: &ServerId, expected: Expected) -> Result<Version> {
        let id = resolved(&self.database(), id)?;
        self.write(&id, expected, None)
    }
}

impl Sqlite {
    /// A transaction that a panic cut off was rolled back.
    fn database(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listing(&self, deleted: bool, page: &Page) -> Result<Listing> {
        let connection = self.database();
        let query = "SELECT summary FROM servers WHERE deleted = ? AND id > ? ORDER BY id LIMIT ?";
        let (after, limit) = (page.cursor.as_deref().unwrap_or(""), i64::try_from(page.limit)?);
        let mut query = connection.prepare(query)?;
        let mut found = query.query(params![deleted, after, limit.saturating_add(1)])?;
        let mut listing = Listing::default();
        while let Some(row) = found.next()? {
            if listing.items.len() == page.limit {
                listing.next = listing.items.last().map(|summary: &Summary| summary.server_id.clone());
                break;
            }
            listing.items.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
        }
        Ok(listing)
    }

    /// Writes the next version, or the tombstone where there is no record.
    fn write(&self, id: &str, expected: Expected, put: Option<(&SavedServer, &PutId)>) -> Result<Version> {
        let mut connection = self.database();
        let change = connection.transaction_with_behavior(Immediate)?;
        let put_id = put.map(|(_, put_id)| put_id.as_str());
        let query = "SELECT number FROM versions WHERE id = ? AND put_id = ?";
        if let Some(done) = change.query_row(query, params![id, put_id], |row| row.get(0)).optional()? {
            return Ok(version(done));
        }
        let query = "SELECT number, deleted FROM servers WHERE id = ?";
        let current = change.query_row(query, [id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (number, gone): (i64, bool) = current.unwrap_or((0, true));
        if put.is_none() && gone {
            return Err(missing(id));
        }
        let fits = match expected {
            Expected::New => gone,
            Expected::Any => true,
            Expected::At(at) => number > 0 && at == version(number),
        };
        if !fits {
            let current = (number > 0).then_some(version(number).0);
            return Err(Error::conflict(format!("`{id}` was saved by somebody else"), current));
        }
        let next = number + 1;
        let record = put.map(|(record, _)| SavedServer { version: version(next), sha256: None, ..record.clone() });
        let text = record.as_ref().map(serde_json::to_string).transpose()?;
        change.execute("INSERT INTO versions VALUES (?, ?, ?, ?)", params![id, next, put_id, text])?;
        match record {
            Some(record) => {
                let summary = serde_json::to_string(&record.summary())?;
                change.execute("INSERT OR REPLACE INTO servers VALUES (?, ?, FALSE, ?)", params![id, next, summary])?;
                for alias in &record.aliases {
                    change.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", [alias.as_str(), id])?;
                }
            }
            None => {
                change.execute("UPDATE servers SET number = ?, deleted = TRUE WHERE id = ?", params![next, id])?;
            }
        }
        change.commit()?;
        Ok(version(next))
    }
}

/// The id under which a server is kept, which may have been found by an alias.
fn resolved(connection: &Connection, id: &ServerId) -> Result<String> {
    let query = "SELECT id FROM servers WHERE id = ?1 UNION ALL SELECT id FROM aliases WHERE alias = ?1";
    let found = connection.query_row(query, [id.as_str()], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_else(|| id.to_string()))
}

fn version(number: i64) -> Version {
    Version(number.unsigned_abs())
}

fn missing(id: &str) -> Error {
    Error::not_found(format!("there is no saved server `{id}`")).hint("list the saved servers to see their ids")
}

export_plugin!(sqlite, Sqlite: [storage]);
