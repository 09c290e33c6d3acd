use std::collections::{BTreeMap, HashSet};

use futures_util::{StreamExt, stream};

use super::{
    ObjectLibrary,
    envelope::{self, Refs},
    index::{HeadState, Index, Kept},
    key,
    read::READS,
    wanted,
};
use crate::{
    Checked, Cx, ErrorCode, Expected, Finding, FindingKind, ObjectMeta, Objects, PutId, Result, ServerId, Version,
};

/// What a version is, with the large texts that it needs.
struct Looked {
    id: ServerId,
    version: Version,
    state: HeadState,
    refs: Refs,
    /// What is wrong, when it is [`HeadState::Damaged`].
    kind: FindingKind,
}

/// The newest version of each server, and how the medium lists it.
type Heads = BTreeMap<ServerId, (Version, ObjectMeta, HeadState)>;

/// Where the texts are needed that are known by their hash.
type Needs = BTreeMap<String, Vec<(ServerId, Version)>>;

impl<O: Objects> ObjectLibrary<O> {
    /// See [`Storage::check`](crate::Storage::check). Objects whose keys begin with one of `own` are the plugin's, and not
    /// looked at.
    ///
    /// Nothing is removed. A repair saves the newest whole version of a server again when its newest one is damaged, and
    /// makes a wrong index anew.
    pub async fn check(&self, cx: &Cx, repair: bool, own: &[&str]) -> Result<Checked> {
        wanted(cx)?;
        let (mut checked, mut servers) =
            (Checked::default(), BTreeMap::<ServerId, BTreeMap<Version, ObjectMeta>>::new());
        let mut blobs = Vec::new();
        self.walk_all("", |meta| {
            if let Some((id, version)) = key::parse(&meta.key) {
                servers.entry(id).or_default().insert(version, meta);
            } else if let Some(sha256) = key::sha256(&meta.key, key::BLOBS) {
                blobs.push((sha256.to_owned(), meta.key));
            } else if !self.is_ours(&meta.key, own) {
                let hint = "nothing reads it; move it away if you do not know it";
                let stray = Finding::new(FindingKind::StrayObject, meta.key, "this is nothing that belongs here");
                checked.findings.push(stray.hint(hint));
            }
        })
        .await?;
        checked.servers = servers.len() as u64;
        let (heads, needs) = self.check_versions(cx, &servers, &mut checked).await?;
        self.check_blobs(cx, blobs, needs, &mut checked).await?;
        self.check_index(repair, &heads, &mut checked).await?;
        if repair {
            self.repair_heads(cx, &heads, &servers, &mut checked).await?;
        }
        Ok(checked)
    }

    async fn check_versions(
        &self,
        cx: &Cx,
        servers: &BTreeMap<ServerId, BTreeMap<Version, ObjectMeta>>,
        checked: &mut Checked,
    ) -> Result<(Heads, Needs)> {
        let (mut heads, mut needs) = (Heads::new(), Needs::new());
        for (id, versions) in servers {
            let pairs = versions.keys().zip(versions.keys().skip(1));
            for version in pairs.flat_map(|(one, next)| (one.0 + 1..next.0).take(100).map(Version)) {
                let missing = "it is not there, though older and newer ones are";
                let hint = "somebody has removed it; put it back from a backup, or live without it";
                let finding = Finding::new(FindingKind::MissingVersion, key::object(id, version), missing);
                checked.findings.push(finding.of(id, version).hint(hint));
            }
        }
        let all = servers.iter().flat_map(|(id, versions)| versions.keys().map(|version| (id.clone(), *version)));
        let all: Vec<_> = all.collect();
        let mut looks = stream::iter(all)
            .map(|(id, version)| async move { self.look_at(id, version).await })
            .buffer_unordered(READS);
        while let Some(looked) = looks.next().await {
            wanted(cx)?;
            let Some(Looked { id, version, state, refs, kind }) = looked else { continue };
            checked.versions += 1;
            let hint = match kind {
                FindingKind::Unreadable => "check again; nothing is known of it now",
                _ => {
                    "it is kept as it is; load another version, or save the server again: nothing is overwritten by it"
                }
            };
            if let HeadState::Damaged(damage) = &state {
                let finding = Finding::new(kind, key::object(&id, version), damage.to_string());
                checked.findings.push(finding.of(&id, version).hint(hint));
            }
            for sha256 in refs.into_values() {
                needs.entry(sha256).or_default().push((id.clone(), version));
            }
            let newest = servers.get(&id).and_then(|versions| versions.last_key_value());
            if let Some((_, meta)) = newest.filter(|(newest, _)| **newest == version && kind != FindingKind::Unreadable)
            {
                heads.insert(id, (version, meta.clone(), state));
            }
        }
        checked.findings.sort_by(|one, two| one.place.cmp(&two.place));
        Ok((heads, needs))
    }

    /// What a version is; none when it was collected meanwhile.
    async fn look_at(&self, id: ServerId, version: Version) -> Option<Looked> {
        let bytes = match self.objects.read(&key::object(&id, version)).await {
            Ok(bytes) => bytes,
            Err(error) if error.code == ErrorCode::NotFound => return None,
            Err(error) => {
                let state = HeadState::Damaged(error.to_string().into());
                return Some(Looked { id, version, state, refs: Refs::new(), kind: FindingKind::Unreadable });
            }
        };
        let refs = envelope::open(&bytes).and_then(|envelope| envelope.refs());
        Some(match refs {
            Ok(refs) => Looked {
                state: self.examine(&id, version, &bytes),
                id,
                version,
                refs,
                kind: FindingKind::UnusableVersion,
            },
            Err(damage) => {
                let (state, refs) = (HeadState::Damaged(damage.into()), Refs::new());
                Looked { id, version, state, refs, kind: FindingKind::DamagedVersion }
            }
        })
    }

    async fn check_blobs(
        &self,
        cx: &Cx,
        blobs: Vec<(String, String)>,
        mut needs: Needs,
        checked: &mut Checked,
    ) -> Result<()> {
        let (mut sound, mut broken) = (HashSet::new(), Vec::new());
        for (sha256, key) in blobs {
            wanted(cx)?;
            checked.blobs += 1;
            match self.objects.read(&key).await {
                Ok(bytes) if envelope::digest(&bytes) == sha256 => drop(sound.insert(sha256)),
                Ok(_) => broken.push((sha256, key)),
                Err(error) if error.code == ErrorCode::NotFound => {}
                Err(error) => {
                    needs.remove(&sha256);
                    let hint = "check again; nothing is known of it now";
                    checked.findings.push(Finding::new(FindingKind::Unreadable, key, error.to_string()).hint(hint));
                }
            }
        }
        for (sha256, key) in broken {
            let message = "it is not what was saved";
            let hint = match (sound.contains(&sha256), needs.contains_key(&sha256)) {
                (true, _) => "nothing is lost: there is a whole one beside it, which is used",
                (false, true) => "put it back from a backup; it is kept as it is",
                (false, false) => "nothing is lost: no version needs it",
            };
            checked.findings.push(Finding::new(FindingKind::DamagedBlob, key, message).hint(hint));
        }
        for (sha256, versions) in needs.into_iter().filter(|(sha256, _)| !sound.contains(sha256)) {
            // It may have come since the blobs were listed.
            if self.blob(&sha256).await?.is_ok() {
                continue;
            }
            for (id, version) in versions {
                let message = format!("a large text of version {version} of `{id}` is missing or damaged");
                let finding = Finding::new(FindingKind::MissingBlob, key::blob(&sha256), message);
                let hint = "put it back from a backup, or save the same code again; the version is kept as it is";
                checked.findings.push(finding.of(&id, version).hint(hint));
            }
        }
        Ok(())
    }

    async fn check_index(&self, repair: bool, heads: &Heads, checked: &mut Checked) -> Result<()> {
        let Some(key) = &self.index_key else { return Ok(()) };
        let wrong = match self.objects.read(key).await {
            Ok(bytes) => match serde_json::from_slice::<Kept>(&bytes) {
                Ok(kept) => kept.contradiction(heads),
                Err(error) => Some(format!("it cannot be read: {error}")),
            },
            Err(error) if error.code == ErrorCode::NotFound => None,
            Err(error) => Some(error.to_string()),
        };
        let Some(message) = wrong else { return Ok(()) };
        let mut finding = Finding::new(FindingKind::WrongIndex, key, message)
            .hint("it can be made anew at any time: check with a repair");
        if repair {
            self.objects.remove(key).await?;
            *self.index() = Index::default();
            self.refresh().await?;
            self.keep().await;
            finding.repaired = Some("it was made anew".into());
        }
        checked.findings.push(finding);
        Ok(())
    }

    /// Saves the newest whole version again where the newest one is damaged.
    async fn repair_heads(
        &self,
        cx: &Cx,
        heads: &Heads,
        servers: &BTreeMap<ServerId, BTreeMap<Version, ObjectMeta>>,
        checked: &mut Checked,
    ) -> Result<()> {
        let broken = |finding: &Finding| {
            let newest = finding.server_id.as_ref().and_then(|id| heads.get(id));
            let kind = matches!(finding.kind, FindingKind::DamagedVersion | FindingKind::MissingBlob);
            kind && newest.is_some_and(|(newest, _, _)| finding.version == Some(*newest))
        };
        for finding in checked.findings.iter_mut().filter(|finding| broken(finding)) {
            let (Some(id), Some(newest)) = (finding.server_id.clone(), finding.version) else { continue };
            let older = servers.get(&id).into_iter().flat_map(|versions| versions.range(..newest).rev());
            for version in older.map(|(version, _)| *version) {
                let whole = match self.get_exactly(&id, version).await {
                    Ok(whole) => whole,
                    Err(error) if error.retryable => return Err(error),
                    Err(_) => continue,
                };
                match self.put(cx, &whole, Expected::At(newest), &PutId::random()).await {
                    Ok(made) => {
                        finding.repaired = Some(format!("version {version} was saved again as version {made}"));
                    }
                    // Somebody has saved meanwhile: that is the repair.
                    Err(error) if error.code == ErrorCode::Conflict => {
                        finding.repaired = Some("a newer version was saved meanwhile".into());
                    }
                    Err(error) => return Err(error),
                }
                break;
            }
        }
        Ok(())
    }

    fn is_ours(&self, key: &str, own: &[&str]) -> bool {
        key.starts_with(key::MARKS)
            || self.index_key.as_deref() == Some(key)
            || own.iter().any(|own| key.starts_with(own))
    }
}
