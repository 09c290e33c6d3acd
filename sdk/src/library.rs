//! placeholder
use crate::Objects;
/// A library of saved servers on any medium.
pub struct ObjectLibrary<O: Objects>(O);
impl<O: Objects> ObjectLibrary<O> {
    /// Opens it.
    pub fn new(objects: O) -> Self {
        Self(objects)
    }
}
