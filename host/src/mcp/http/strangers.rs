use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use indexmap::IndexMap;
use tokio_util::sync::CancellationToken;

/// The connections on which nobody has shown yet that they may ask, oldest first: whoever opens ten thousand and says
/// nothing loses them to those who wait.
#[derive(Clone, Default)]
pub(super) struct Strangers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    waiting: Mutex<IndexMap<u64, CancellationToken>>,
}

/// One of them, until it is let in or gone.
#[derive(Clone)]
pub(super) struct Stranger(Arc<Place>);

struct Place {
    number: u64,
    leave: CancellationToken,
    among: Strangers,
}

impl Strangers {
    /// A new one.
    pub(super) fn welcome(&self) -> Stranger {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let leave = CancellationToken::new();
        self.waiting().insert(number, leave.clone());
        Stranger(Arc::new(Place { number, leave, among: self.clone() }))
    }

    /// Has the one leave that came first.
    pub(super) fn send_one_away(&self) {
        if let Some((_, leave)) = self.waiting().shift_remove_index(0) {
            leave.cancel();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, IndexMap<u64, CancellationToken>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stranger {
    /// It is none any more: nobody sends it away.
    pub(super) fn let_in(&self) {
        self.0.among.waiting().shift_remove(&self.0.number);
    }

    /// Waits until it has to leave.
    pub(super) async fn has_to_leave(&self) {
        self.0.leave.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.among.waiting().shift_remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_said_nothing_leaves_first() {
        let strangers = Strangers::default();
        let [known, first, second] = std::array::from_fn(|_| strangers.welcome());
        known.let_in();
        strangers.send_one_away();
        let gone = |stranger: &Stranger| stranger.0.leave.is_cancelled();
        assert_eq!([gone(&known), gone(&first), gone(&second)], [false, true, false]);
        drop(second);
        strangers.send_one_away();
        assert!(!gone(&known) && strangers.waiting().is_empty());
    }
}
