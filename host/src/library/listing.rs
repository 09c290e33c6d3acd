use perennial_sdk::{Cx, DynStorage, Page, Result, Summary};

/// Every saved server of a storage, ordered by id.
///
/// # Errors
/// Those of the storage.
pub async fn listed(storage: &dyn DynStorage, cx: &Cx) -> Result<Vec<Summary>> {
    Ok(every(storage, cx, Page::default()).await?.0)
}

/// Every deleted server of a storage as it was, ordered by id.
///
/// # Errors
/// Those of the storage; `unsupported` when it cannot tell.
pub async fn deleted(storage: &dyn DynStorage, cx: &Cx) -> Result<Vec<Summary>> {
    let (mut all, mut page) = (Vec::new(), Page::default());
    loop {
        let mut listing = storage.deleted(cx, &page).await?;
        all.append(&mut listing.items);
        match listing.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(all),
        }
    }
}

/// Every saved server, and whether that was answered from memory.
pub(super) async fn every(storage: &dyn DynStorage, cx: &Cx, mut page: Page) -> Result<(Vec<Summary>, bool)> {
    let (mut all, mut remembered) = (Vec::new(), false);
    loop {
        let mut listing = storage.list(cx, &page).await?;
        all.append(&mut listing.items);
        remembered |= listing.remembered;
        match listing.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok((all, remembered)),
        }
    }
}
