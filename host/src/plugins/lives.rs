use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use perennial_sdk::{BoxFuture, Error, Result};
use tokio::time::sleep;

use super::transport::Mortal;
use crate::supervisor::Restart;

/// Something that is made anew for the next call after it has died, until it dies too often.
pub(super) struct Lives<T> {
    name: String,
    make: Make<T>,
    /// Whether a death delays the next life.
    delays: bool,
    current: Mutex<Option<Life<T>>>,
    past: tokio::sync::Mutex<Past>,
}

/// The lives before, and how the last one ended.
#[derive(Default)]
struct Past {
    deaths: Restart,
    last: Option<Error>,
}

pub(super) type Make<T> = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<T>>> + Send + Sync>;

struct Life<T> {
    it: Arc<T>,
    began: Instant,
}

impl<T: Mortal> Lives<T> {
    pub(super) fn new(name: &str, make: Make<T>) -> Self {
        Self { name: name.into(), make, delays: true, current: Mutex::default(), past: tokio::sync::Mutex::default() }
    }

    /// The same, with a first life that was made before.
    pub(super) fn beginning_with(name: &str, first: Arc<T>, make: Make<T>) -> Self {
        let lives = Self::new(name, make);
        *lives.current() = Some(Life { it: first, began: Instant::now() });
        lives
    }

    /// Begins the next life at once.
    pub(super) fn without_delay(mut self) -> Self {
        self.delays = false;
        self
    }

    /// The one that lives, made now when there is none.
    ///
    /// # Errors
    /// It cannot be made, or has died too often.
    pub(super) async fn get(&self) -> Result<Arc<T>> {
        if let Some(alive) = self.alive() {
            return Ok(alive);
        }
        let mut past = self.past.lock().await;
        if let Some(alive) = self.alive() {
            return Ok(alive);
        }
        let dead = self.current().take();
        if let Some(Life { it, began }) = dead {
            let why = it.death().unwrap_or_else(|| Error::unavailable("it ended"));
            past.died(began.elapsed(), why);
        }
        if past.deaths.has_failed() {
            return Err(self.disabled(past.last.as_ref()));
        }
        if let Some(why) = &past.last {
            tracing::warn!(plugin = self.name, error = %why, "the plugin is started again");
        }
        if self.delays {
            sleep(past.deaths.wait(Instant::now())).await;
        }
        match (self.make)().await {
            Ok(it) => {
                *self.current() = Some(Life { it: it.clone(), began: Instant::now() });
                Ok(it)
            }
            Err(error) => {
                past.died(Duration::ZERO, error.clone());
                Err(error)
            }
        }
    }

    /// The one that lives, if there is one.
    pub(super) fn alive(&self) -> Option<Arc<T>> {
        let current = self.current();
        current.as_ref().filter(|life| life.it.death().is_none()).map(|life| life.it.clone())
    }

    fn disabled(&self, last: Option<&Error>) -> Error {
        let (most, minutes) = (Restart::MOST_DEATHS, Restart::WINDOW.as_secs() / 60);
        let (why, data) =
            last.map_or_else(Default::default, |why| (format!(", the last time because {why}"), why.data.clone()));
        let name = &self.name;
        let message = format!("the plugin `{name}` is disabled: it failed {most} times within {minutes} minutes{why}");
        Error { retryable: false, data, ..Error::unavailable(message) }
            .hint("it is tried again when Perennial is started again")
    }

    fn current(&self) -> MutexGuard<'_, Option<Life<T>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Past {
    fn died(&mut self, up: Duration, why: Error) {
        self.deaths.died(up, Instant::now());
        self.last = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Fly(AtomicUsize);

    impl Mortal for Fly {
        fn death(&self) -> Option<Error> {
            (self.0.fetch_add(1, Ordering::Relaxed) > 0).then(|| Error::internal("of old age"))
        }
    }

    #[tokio::test]
    async fn dies_five_times_and_no_more() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = made.clone();
        let lives = Lives::new(
            "fly",
            Box::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                Box::pin(async { Ok(Arc::new(Fly(AtomicUsize::new(0)))) })
            }),
        )
        .without_delay();
        let mut ends = Vec::new();
        for _ in 0..20 {
            ends.push(lives.get().await.map(drop));
        }
        assert_eq!(made.load(Ordering::Relaxed), Restart::MOST_DEATHS);
        let disabled = ends.pop().unwrap().unwrap_err();
        assert!(disabled.message.contains("because of old age") && disabled.hint.is_some(), "{disabled}");
    }
}
