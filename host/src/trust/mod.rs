//! What of a saved server this installation stands behind: the permissions that it may use, and the tools that it has.
//!
//! Whoever can write a storage can write any version into it, with any name under `savedBy`. What a version asks for
//! beyond the default permissions is therefore given to it only when this installation itself saved that very content, or
//! a person approved it. Both are kept in this installation's own state, never in the storage.

mod approvals;
mod drift;
mod fingerprint;
mod provenance;
mod words;

use std::path::PathBuf;

use chrono::{SecondsFormat, Utc};
use perennial_sdk::{Result, SavedServer, ServerId};

pub use approvals::{Approval, Approvals, How};
pub use drift::{ChangedField, ChangedTool, Drift, drift};
pub use fingerprint::Fingerprint;
pub use provenance::{Provenance, Withheld};
pub use words::in_words;

use crate::blocking::blocking;

/// The approvals of this installation. They are read anew each time: another process may have changed them.
#[derive(Debug, Clone)]
pub struct Trust {
    state: PathBuf,
}

impl Trust {
    /// The approvals that are kept in the folder `state`; nothing is read or written yet.
    pub fn new(state: PathBuf) -> Self {
        Self { state }
    }

    /// Every approval.
    ///
    /// # Errors
    /// The file is there and cannot be read; nothing counts as approved then.
    pub async fn approvals(&self) -> Result<Approvals> {
        let state = self.state.clone();
        blocking(move || Approvals::read(&state)).await
    }

    /// What of `record` must not be given to it; none when it may have all that it asks for.
    pub async fn withheld(&self, record: &SavedServer) -> Option<Withheld> {
        if record.permissions.is_default() {
            return None;
        }
        let problem = match self.approvals().await {
            Ok(approvals) if approvals.cover(record) => return None,
            Ok(_) => None,
            Err(error) => Some(error),
        };
        Some(Withheld::new(record, problem.as_ref()))
    }

    /// Lets this very content use what it asks for, durably; false when there was nothing to do.
    ///
    /// # Errors
    /// The file cannot be read, and is left as it is, or cannot be written.
    pub async fn approve(&self, record: &SavedServer, how: How) -> Result<bool> {
        if record.permissions.is_default() {
            return Ok(false);
        }
        let id: ServerId = record.server_id.parse()?;
        let approval = Approval {
            sha256: Fingerprint::of(record),
            how,
            at: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            permissions: record.permissions.clone(),
        };
        let state = self.state.clone();
        blocking(move || Approvals::change(&state, |approvals| approvals.add(id, approval))).await
    }

    /// Takes back what was approved of a server: all of it, or that of one version alone. Answers how much that was.
    ///
    /// # Errors
    /// As [`Trust::approve`].
    pub async fn revoke(&self, id: &ServerId, only: Option<&SavedServer>) -> Result<usize> {
        let (state, id, only) = (self.state.clone(), id.clone(), only.map(Fingerprint::of));
        let mut gone = 0;
        blocking(move || {
            Approvals::change(&state, |approvals| {
                gone = approvals.remove(&id, only.as_ref());
                gone > 0
            })?;
            Ok(gone)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use perennial_sdk::{Network, Permissions};

    use super::*;

    fn asking(code: &str, host: &str) -> SavedServer {
        let network = Network::Hosts(vec![host.into()]);
        SavedServer {
            server_id: "server-a".into(),
            language: "python".into(),
            code: code.into(),
            permissions: Permissions { network, ..Permissions::default() },
            ..SavedServer::default()
        }
    }

    #[tokio::test]
    async fn what_was_approved_is_this_content_of_this_server_with_these_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::new(folder.path().join("state"));
        let one = asking("one", "a:443");
        assert!(trust.withheld(&one).await.is_some());
        assert!(trust.approve(&one, How::Approved).await.unwrap());
        assert!(!trust.approve(&one, How::Approved).await.unwrap(), "it is known already");
        assert!(trust.withheld(&one).await.is_none());
        let renamed = SavedServer { name: "other".into(), saved_at: "later".into(), ..one.clone() };
        assert!(trust.withheld(&renamed).await.is_none(), "a name runs nothing");
        let elsewhere = SavedServer { server_id: "server-b".into(), ..one.clone() };
        for other in [asking("two", "a:443"), asking("one", "b:443"), elsewhere] {
            assert!(trust.withheld(&other).await.is_some(), "{other:?}");
        }
        let mode = fs::metadata(folder.path().join("state/approvals.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_server_that_asks_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::new(folder.path().to_owned());
        let modest = SavedServer { permissions: Permissions::default(), ..asking("x", "a:1") };
        assert!(!trust.approve(&modest, How::Saved).await.unwrap());
        assert!(trust.withheld(&modest).await.is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_approval_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::new(folder.path().to_owned());
        let (one, two, id) = (asking("one", "a:443"), asking("two", "a:443"), "server-a".parse().unwrap());
        for record in [&one, &two] {
            trust.approve(record, How::Saved).await.unwrap();
        }
        assert_eq!(trust.revoke(&id, Some(&one)).await.unwrap(), 1);
        assert!(trust.withheld(&one).await.is_some() && trust.withheld(&two).await.is_none());
        assert_eq!((trust.revoke(&id, None).await.unwrap(), trust.revoke(&id, None).await.unwrap()), (1, 0));
        assert!(trust.withheld(&two).await.is_some());
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_approves_nothing_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (trust, file) = (Trust::new(folder.path().to_owned()), folder.path().join("approvals.json"));
        let record = asking("x", "a:443");
        trust.approve(&record, How::Saved).await.unwrap();
        let whole = fs::read_to_string(&file).unwrap();
        let newer = whole.replace("\"formatVersion\": 1", "\"formatVersion\": 2");
        for text in ["", "{", "[]", &whole[..whole.len() / 2], &newer] {
            fs::write(&file, text).unwrap();
            let withheld = trust.withheld(&record).await.expect("nothing is approved");
            assert!(withheld.problem.unwrap().contains("approvals.json"), "{text}");
            for refused in [
                trust.approve(&record, How::Saved).await.map(drop),
                trust.revoke(&"server-a".parse().unwrap(), None).await.map(drop),
            ] {
                assert!(refused.unwrap_err().hint.is_some(), "{text}");
            }
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }

    #[tokio::test]
    async fn root_leaves_the_file_to_the_owner_of_the_folder() {
        use std::os::unix::fs::{MetadataExt, chown};
        let folder = tempfile::tempdir().unwrap();
        // an ordinary user can give nothing away, and is the owner already
        let _ = chown(folder.path(), Some(1000), Some(1000));
        let owner = fs::metadata(folder.path()).unwrap().uid();
        Trust::new(folder.path().to_owned()).approve(&asking("x", "a:443"), How::Saved).await.unwrap();
        for file in ["approvals.json", "approvals.lock"] {
            assert_eq!(fs::metadata(folder.path().join(file)).unwrap().uid(), owner, "{file}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn approvals_at_the_same_time_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::new(folder.path().to_owned());
        let records: Vec<_> = (0..16).map(|number| asking(&format!("{number}"), "a:443")).collect();
        let approving = records.iter().map(|record| trust.approve(record, How::Approved));
        let approved = futures_util::future::join_all(approving).await;
        assert!(approved.into_iter().all(|approved| approved.unwrap()));
        for record in &records {
            assert!(trust.withheld(record).await.is_none());
        }
    }
}
