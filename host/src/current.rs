//! What may be replaced while the program runs.

use std::sync::{Arc, PoisonError, RwLock};

/// A value that the operator may replace while the program runs. Whoever begins something takes what is current then and
/// goes on with that.
#[derive(Debug)]
pub struct Current<T>(RwLock<Arc<T>>);

impl<T: Default> Default for Current<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Current<T> {
    /// The first value.
    pub fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// The value as it is now.
    pub fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another in its place.
    pub fn replace(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}
