use std::time::Duration;

use perennial_sdk::{Cx, DynStorage, Error, ErrorCode, Expected, Page, PutId, Result, SavedServer, ServerId, Version};

/// Writes a record under an id that nobody has, reads it, finds it in the listing and deletes it; answers its id and what
/// went wrong. What stays is the tombstone of a server that was never there for anybody else.
pub(super) async fn keep_a_record(storage: &dyn DynStorage, limit: Duration) -> (ServerId, Vec<String>) {
    let id = ServerId::random();
    let record = SavedServer {
        name: "a trial by `perennial plugin check`".into(),
        code: "# é \u{1f600}\n".into(),
        language: "python".into(),
        saved_at: "2024-01-15T10:30:00.000Z".into(),
        server_id: id.to_string(),
        ..SavedServer::default()
    };
    let cx = || Cx::detached().with_timeout(limit);
    let mut problems = Vec::new();
    let version = match storage.put(&cx(), &record, Expected::New, &PutId::random()).await {
        Ok(version) => version,
        Err(error) => return (id, vec![format!("a new record cannot be put: {error}")]),
    };
    match storage.get(&cx(), &id, None).await {
        Ok(read) if same(&read, &record, version) => {}
        Ok(_) => problems.push("the record that was put comes back as another one".into()),
        Err(error) => problems.push(format!("the record that was put cannot be read: {error}")),
    }
    match is_listed(storage, &cx(), &id).await {
        Ok(true) => {}
        Ok(false) => problems.push("the record that was put is not in the listing".into()),
        Err(error) => problems.push(format!("the records cannot be listed: {error}")),
    }
    match storage.put(&cx(), &record, Expected::New, &PutId::random()).await {
        Err(error) if error.code == ErrorCode::Conflict => {}
        outcome => problems.push(format!(
            "a second new record of the same id must be a `conflict`, and {}",
            outcome.map_or_else(|error| format!("is: {error}"), |version| format!("became version {version}"))
        )),
    }
    match storage.delete(&cx(), &id, Expected::Any).await {
        Ok(_) => {}
        Err(error) => problems.push(format!("the record `{id}` cannot be deleted, and stays: {error}")),
    }
    match storage.get(&cx(), &id, None).await {
        Err(Error { code: ErrorCode::NotFound, .. }) => {}
        Err(error) => problems.push(format!("a deleted record must be `not_found`, and is: {error}")),
        Ok(_) => problems.push("the record is still there after it was deleted".into()),
    }
    (id, problems)
}

fn same(read: &SavedServer, put: &SavedServer, version: Version) -> bool {
    let put = SavedServer { version, sha256: read.sha256.clone(), ..put.clone() };
    *read == put
}

async fn is_listed(storage: &dyn DynStorage, cx: &Cx, id: &ServerId) -> Result<bool> {
    let mut page = Page { fresh: true, ..Page::default() };
    loop {
        let listing = storage.list(cx, &page).await?;
        if listing.items.iter().any(|item| item.server_id == id.as_str()) {
            return Ok(true);
        }
        match listing.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(false),
        }
    }
}
