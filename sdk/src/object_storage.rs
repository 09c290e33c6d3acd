use std::future::Future;

use crate::{
    Capabilities, Checked, Collected, Cx, Expected, Listing, ObjectLibrary, Objects, Page, Plugin, PutId, Result,
    Retention, SavedServer, ServerId, Storage, Version,
};

/// A storage that is a library on a medium and nothing else: [`Storage`] comes with it.
pub trait ObjectStorage: Plugin {
    /// What the library is kept on.
    type Medium: Objects;

    /// The library.
    fn library(&self) -> &ObjectLibrary<Self::Medium>;

    /// Where the records are, for people: a path or a URL without credentials.
    fn place(&self) -> String;

    /// Whether several hosts may write at the same time: whether [`Objects::create`] holds between them.
    fn shared(&self) -> bool {
        true
    }
}

impl<T: ObjectStorage> Storage for T {
    fn capabilities(&self) -> Capabilities {
        Capabilities { shared: self.shared(), versions: true }
    }

    fn location(&self) -> String {
        self.place()
    }

    fn list(&self, cx: &Cx, page: &Page) -> impl Future<Output = Result<Listing>> + Send {
        self.library().list(cx, page)
    }

    fn get(
        &self,
        cx: &Cx,
        id: &ServerId,
        version: Option<Version>,
    ) -> impl Future<Output = Result<SavedServer>> + Send {
        self.library().get(cx, id, version)
    }

    fn put(
        &self,
        cx: &Cx,
        record: &SavedServer,
        expected: Expected,
        put_id: &PutId,
    ) -> impl Future<Output = Result<Version>> + Send {
        self.library().put(cx, record, expected, put_id)
    }

    fn versions(&self, cx: &Cx, id: &ServerId) -> impl Future<Output = Result<Vec<Version>>> + Send {
        self.library().versions(cx, id)
    }

    fn delete(&self, cx: &Cx, id: &ServerId, expected: Expected) -> impl Future<Output = Result<Version>> + Send {
        self.library().delete(cx, id, expected)
    }

    fn deleted(&self, cx: &Cx, page: &Page) -> impl Future<Output = Result<Listing>> + Send {
        self.library().deleted(cx, page)
    }

    fn check(&self, cx: &Cx, repair: bool) -> impl Future<Output = Result<Checked>> + Send {
        self.library().check(cx, repair, &[])
    }

    fn collect(&self, cx: &Cx, retention: &Retention) -> impl Future<Output = Result<Collected>> + Send {
        self.library().collect(cx, retention)
    }
}
