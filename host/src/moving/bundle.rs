use perennial_sdk::{Cx, Error, ErrorCode, Result, SavedServer, ServerId, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{content, digest, strict};
use crate::{bounds, library::Library};

/// What the file says that it is.
pub const FORMAT: &str = "perennial-server";

/// The newest format of the file that this program reads, and the one that it writes.
pub const FORMAT_VERSION: u64 = 1;

/// A saved server in one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub format_version: u64,
    /// SHA-256 in hex of everything else in the file, however it is spaced and ordered.
    #[serde(default)]
    pub sha256: String,
    /// The version that is exported.
    pub record: SavedServer,
    /// The versions before it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Earlier>,
}

/// A version before the one that is exported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Earlier {
    /// Its number.
    pub version: Version,
    /// The server was deleted by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The [digest](super::digest) of its record: tells whether a library has this very version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its record, where the history was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<SavedServer>>,
}

/// A version of a saved server for a file; with the records of the versions before it when `history` is wanted. The
/// newest that is no tombstone is taken when no version is named.
///
/// # Errors
/// `not_found`; `invalid` when the record holds what must not leave; those of the storage.
pub async fn bundle(
    library: &Library,
    cx: &Cx,
    id: &ServerId,
    version: Option<Version>,
    history: bool,
) -> Result<Bundle> {
    let numbers = library.versions(cx, id).await?;
    let (mut record, mut earlier) = (None, Vec::new());
    for number in numbers.into_iter().rev() {
        if record.is_none() && version.is_some_and(|version| version != number) {
            continue;
        }
        match library.get(cx, id, Some(number)).await {
            Ok(found) if record.is_none() => record = Some(leaving(found)?),
            Ok(found) => {
                let found = leaving(found)?;
                let digest = Some(digest(&found));
                earlier.push(Earlier {
                    version: number,
                    deleted: false,
                    digest,
                    record: history.then(|| Box::new(found)),
                });
            }
            Err(error) if error.code == ErrorCode::NotFound && (version != Some(number)) => {
                if record.is_some() {
                    earlier.push(Earlier { version: number, deleted: true, digest: None, record: None });
                }
            }
            // a version that cannot be read is not worth the others, unless it is the one that is wanted
            Err(error) if matches!(error.code, ErrorCode::Other(_)) && record.is_some() => {}
            Err(error) => return Err(error),
        }
    }
    let record = record.ok_or_else(|| match version {
        Some(version) => Error::not_found(format!("`{id}` has no version {version}")),
        None => Error::not_found(format!("nothing but its tombstone is kept of `{id}`")),
    })?;
    earlier.reverse();
    let mut bundle = Bundle {
        format: FORMAT.into(),
        format_version: FORMAT_VERSION,
        sha256: String::new(),
        record,
        history: earlier,
    };
    bundle.sha256 = checksum(&mut serde_json::to_value(&bundle)?);
    Ok(bundle)
}

/// Reads a file and checks all that it alone can tell: its form, its checksum unless it was `edited` on purpose, and that
/// nothing in it is what a library must not hold.
///
/// # Errors
/// `invalid`, with the reason; `unsupported` for the file of a newer version.
pub(super) fn read(text: &[u8], edited: bool, most_bytes: usize) -> Result<Bundle> {
    let mut value = strict::parse(text).map_err(|error| error.context("the file cannot be read as JSON"))?;
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(Error::invalid("the file is not an exported server").hint(
            "`perennial export` makes such files; a whole `saved_servers.json` is taken over by \
             `perennial copy --from json:path=FILE`",
        ));
    }
    match value.get("formatVersion").and_then(Value::as_u64) {
        Some(1..=FORMAT_VERSION) => {}
        Some(version @ FORMAT_VERSION..) => {
            let message = format!(
                "the file was made by a newer version: its format is {version}, this one reads {FORMAT_VERSION}"
            );
            return Err(Error::unsupported(message).hint("update Perennial, or export again with this version"));
        }
        _ => return Err(Error::invalid("the file's `formatVersion` is not a format's number")),
    }
    let sum = checksum(&mut value);
    let bundle: Bundle = serde_json::from_value(value.clone())
        .map_err(|error| Error::invalid(format!("the file is not an exported server: {error}")))?;
    if !edited && bundle.sha256 != sum {
        let message = if bundle.sha256.is_empty() {
            "the file has no checksum"
        } else {
            "the file's checksum does not match: it was changed or damaged after it was exported"
        };
        return Err(Error::invalid(message).hint("`--edited` takes a file that was changed on purpose"));
    }
    let earlier = value["history"].as_array().into_iter().flatten().map(|earlier| &earlier["record"]);
    std::iter::once(&value["record"]).chain(earlier).try_for_each(bounds::members)?;
    bundle.check(most_bytes)?;
    Ok(bundle)
}

impl Bundle {
    fn check(&self, most_bytes: usize) -> Result<()> {
        let id: ServerId =
            self.record.server_id.parse().map_err(|_| Error::invalid("`serverId` is not a server's id"))?;
        check_record(&self.record, &id, most_bytes)?;
        let (mut last, mut gone) = (Version::default(), false);
        for earlier in &self.history {
            let version = earlier.version;
            let in_order = last < version && (version < self.record.version || self.record.version.is_unset());
            if !in_order {
                return Err(Error::invalid(format!("version {version} of the history is not in its place")));
            }
            last = version;
            let again = std::mem::replace(&mut gone, earlier.deleted) && gone;
            match (&earlier.record, &earlier.digest) {
                (None, None) if earlier.deleted && !again => {}
                _ if earlier.deleted => {
                    return Err(Error::invalid(format!("version {version} of the history cannot be a deletion")));
                }
                (Some(record), told) => {
                    check_record(record, &id, most_bytes)
                        .map_err(|error| error.context(format!("version {version}")))?;
                    if told.as_ref().is_some_and(|told| *told != digest(record)) {
                        return Err(Error::invalid(format!(
                            "version {version} of the history is not what its digest says"
                        )));
                    }
                }
                (None, Some(_)) => {}
                (None, None) => {
                    return Err(Error::invalid(format!("version {version} of the history says nothing")));
                }
            }
        }
        Ok(())
    }
}

fn check_record(record: &SavedServer, id: &ServerId, most_bytes: usize) -> Result<()> {
    if record.server_id != id.as_str() {
        return Err(Error::invalid("the versions in the file are not of one server"));
    }
    bounds::name(&record.name)?;
    bounds::source(Some(&record.code), &record.files, most_bytes)?;
    bounds::permissions(&record.permissions)
}

/// The record as it may leave the library.
fn leaving(record: SavedServer) -> Result<SavedServer> {
    bounds::permissions(&record.permissions)
        .map_err(|error| error.context(format!("version {} must not be exported", record.version)))?;
    Ok(SavedServer { sha256: None, ..record })
}

/// The checksum of everything but the checksum.
fn checksum(value: &mut Value) -> String {
    let told = value.as_object_mut().and_then(|fields| fields.insert("sha256".into(), Value::Null));
    let sum = content::hash(value);
    value["sha256"] = told.unwrap_or_else(|| "".into());
    sum
}
