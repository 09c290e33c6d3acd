//! What `fsck` does about a library on the disk, beyond what it does about any.

use perennial_sdk::{
    Checked, Cx, ErrorCode, Expected, Finding, FindingKind, ObjectLibrary, PutId, Result, ServerId, Version,
};

use crate::{
    Folder,
    view::{KNOWN, View},
};

/// Reads every version and looks for leftovers. A repair first of all saves again what the file that users know still has
/// of a damaged version.
pub(crate) async fn check(library: &ObjectLibrary<Folder>, view: &View, cx: &Cx, repair: bool) -> Result<Checked> {
    let own = [KNOWN];
    let mut mended = Vec::new();
    if repair {
        for finding in library.check(cx, false, &own).await?.findings {
            if let (FindingKind::DamagedVersion, Some(id), Some(version)) =
                (finding.kind, &finding.server_id, finding.version)
                && let Some(made) = mend(library, view, cx, id, version).await?
            {
                mended.push((finding.place, made));
            }
        }
    }
    let mut checked = library.check(cx, repair, &own).await?;
    for (place, made) in mended {
        let finding = checked.findings.iter_mut().find(|finding| finding.place == place);
        if let Some(finding) = finding {
            finding.repaired =
                Some(format!("the file of saved servers still had it: it was saved again as version {made}"));
        }
    }
    let hint = "it was never acknowledged to anybody; check with a repair to remove it";
    checked.findings.extend(library.objects().leftovers(repair).await?.into_iter().map(|(path, removed)| {
        Finding {
            repaired: removed.then(|| "it was removed".into()),
            ..Finding::new(
                FindingKind::StaleTemporary,
                path.display().to_string(),
                "its writer ended before it was done",
            )
            .hint(hint)
        }
    }));
    Ok(checked)
}

/// Saves the newest version again as the file has it, when it has it.
async fn mend(
    library: &ObjectLibrary<Folder>,
    view: &View,
    cx: &Cx,
    id: &ServerId,
    version: Version,
) -> Result<Option<Version>> {
    let Some(server) = view.shown(id, version).await? else { return Ok(None) };
    match library.put(cx, &server, Expected::At(version), &PutId::random()).await {
        Ok(made) => Ok(Some(made)),
        // It is not the newest one.
        Err(error) if error.code == ErrorCode::Conflict => Ok(None),
        Err(error) => Err(error),
    }
}
