use perennial_sdk::{Cx, ErrorCode, Limits, Permissions, Result, SavedBy, SavedServer, ServerId, Version};
use serde::Serialize;

use super::command::{run, with_app};
use crate::{
    audit::{Audit, Entry, Event},
    config::{Config, Directories},
    exit::Failure,
    library::{Changes, Library, unified},
    trust::{Approvals, How, Trust, Withheld},
};

/// How many versions are looked through for one that was approved.
const MOST_VERSIONS: usize = 50;

/// A version that a person shall decide on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The server.
    pub server_id: ServerId,
    /// The name of this version.
    pub name: String,
    /// Its number.
    pub version: Version,
    /// The language that it is written in.
    pub language: String,
    /// When it was saved, as the record says.
    pub saved_at: String,
    /// Who saved it, as the record says.
    pub saved_by: Option<SavedBy>,
    /// What it asks for.
    pub permissions: Permissions,
    /// How much it wants to use.
    pub limits: Limits,
    /// Lines of its main source.
    pub lines: usize,
    /// How it was approved, if it was; a server that asks for nothing never needs to be.
    pub approved: Option<How>,
    /// The newest other version that was approved.
    pub compared_with: Option<Version>,
    /// What changed since that one, in brief.
    pub changes: Option<Changes>,
    /// All that changed, in the unified format.
    pub diff: Option<String>,
    #[serde(skip)]
    record: SavedServer,
}

/// A saved server that asks for something.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Approvable {
    /// The server.
    pub server_id: String,
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub version: Version,
    /// What that asks for.
    pub permissions: Permissions,
    /// Whether nobody has approved it yet.
    pub pending: bool,
}

/// Approvals that were taken back.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// The server.
    pub server_id: ServerId,
    /// How many contents had been approved.
    pub revoked: usize,
}

/// What a person should know before they approve a version; the newest when none is named.
///
/// # Errors
/// There is none, or several have the name; the approvals cannot be read; those of the storage.
pub fn review(
    config: Config,
    directories: Directories,
    reference: &str,
    version: Option<Version>,
) -> Result<Review, Failure> {
    with_app(config, directories, async |app| {
        let (cx, library) = (Cx::detached(), &app.host.library);
        let id = find(library, &cx, reference, version).await?;
        let record = library.get(&cx, &id, version).await?;
        let approvals = library.trust().approvals().await?;
        let before = last_approved(library, &cx, &record, &approvals).await?;
        Ok(Review {
            server_id: id,
            name: record.name.clone(),
            version: record.version,
            language: record.language.clone(),
            saved_at: record.saved_at.clone(),
            saved_by: record.saved_by.clone(),
            permissions: record.permissions.clone(),
            limits: record.limits.clone(),
            lines: record.code.lines().count(),
            approved: approvals.approval(&record).map(|approval| approval.how),
            compared_with: before.as_ref().map(|before| before.version),
            changes: before.as_ref().map(|before| Changes::between(before, &record)),
            diff: before.as_ref().map(|before| unified(before, &record)),
            record,
        })
    })
}

/// Lets the very content that was reviewed use what it asks for.
///
/// # Errors
/// The approvals cannot be read or written.
pub fn approve(directories: &Directories, review: &Review) -> Result<bool, Failure> {
    let trust = Trust::new(directories.state.clone());
    let approved = run(async { Ok(trust.approve(&review.record, How::Approved).await?) })?;
    let audit = Audit::new(&directories.state);
    audit.record(Entry {
        permissions: serde_json::to_value(&review.permissions).ok(),
        ..Entry::of_command(Event::Grant, &review.server_id, &review.name, review.version)
    });
    audit.flush();
    Ok(approved)
}

/// Takes back what was approved of a server, or of one version of it.
///
/// # Errors
/// There is none, or several have the name; the approvals cannot be read or written.
pub fn revoke(
    config: Config,
    directories: Directories,
    reference: &str,
    version: Option<Version>,
) -> Result<Revoked, Failure> {
    with_app(config, directories, async |app| {
        let (cx, library) = (Cx::detached(), &app.host.library);
        // approvals outlive a server whose versions were collected
        let server_id = match library.find_deleted_too(&cx, reference).await {
            Err(error) if error.code == ErrorCode::NotFound => reference.parse().map_err(|_| error)?,
            found => found?,
        };
        let only = match version {
            Some(_) => Some(library.get(&cx, &server_id, version).await?),
            None => None,
        };
        let revoked = library.trust().revoke(&server_id, only.as_ref()).await?;
        Ok(Revoked { server_id, revoked })
    })
}

/// Every saved server whose newest version asks for something.
///
/// # Errors
/// The approvals cannot be read; those of the storage.
pub fn approvable(config: Config, directories: Directories) -> Result<Vec<Approvable>, Failure> {
    with_app(config, directories, async |app| {
        let (cx, library) = (Cx::detached(), &app.host.library);
        library.trust().approvals().await?;
        let mut saved = library.list(&cx).await?;
        saved.retain(|summary| summary.damage.is_none() && !summary.permissions.is_default());
        let pending = library.pending(&cx, &saved).await;
        let row = |summary: perennial_sdk::Summary| Approvable {
            pending: pending.contains(&summary.server_id),
            server_id: summary.server_id,
            name: summary.name,
            version: summary.version,
            permissions: summary.permissions,
        };
        Ok(saved.into_iter().map(row).collect())
    })
}

impl Review {
    /// Whether there is something to decide.
    pub fn is_open(&self) -> bool {
        self.approved.is_none() && !self.permissions.is_default()
    }

    /// The command that shows its source.
    pub fn show(&self) -> String {
        format!("perennial show {} --version {}", self.server_id, self.version)
    }

    /// The command that takes the approval back.
    pub fn way_back(&self) -> String {
        format!("{} --revoke", Withheld::remedy(&self.server_id))
    }
}

/// A version by its number may be one of a deleted server.
async fn find(library: &Library, cx: &Cx, reference: &str, version: Option<Version>) -> Result<ServerId> {
    match version {
        Some(_) => library.find_deleted_too(cx, reference).await,
        None => library.find(cx, reference).await,
    }
}

/// The newest other version whose permissions were approved, be it by saving it here.
async fn last_approved(
    library: &Library,
    cx: &Cx,
    record: &SavedServer,
    approvals: &Approvals,
) -> Result<Option<SavedServer>> {
    let id: ServerId = record.server_id.parse()?;
    if !approvals.know(&id) {
        return Ok(None);
    }
    let versions = library.versions(cx, &id).await?;
    for version in versions.into_iter().rev().filter(|version| *version != record.version).take(MOST_VERSIONS) {
        match library.get(cx, &id, Some(version)).await {
            Ok(other) if approvals.approval(&other).is_some() => return Ok(Some(other)),
            Ok(_) => {}
            Err(error) if error.code == ErrorCode::NotFound || matches!(error.code, ErrorCode::Other(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
