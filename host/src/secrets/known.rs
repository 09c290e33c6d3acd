//! All values that were given to any server of this process: what the host itself says and logs is read for them.

use std::sync::{
    Mutex, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use super::{Redactor, Values};

static ANY: AtomicBool = AtomicBool::new(false);
static KNOWN: RwLock<Option<Redactor>> = RwLock::new(None);
static LEARNING: Mutex<()> = Mutex::new(());

/// What finds them; none as long as no server has any.
pub fn known() -> Option<Redactor> {
    // most hosts have none: they pay for a look at one byte
    ANY.load(Ordering::Acquire).then(|| KNOWN.read().unwrap_or_else(PoisonError::into_inner).clone()).flatten()
}

/// Adds values, before anybody is given them. They are known for the life of the process: what a server wrote with a value
/// that has changed since is still there.
pub fn remember(values: &Values) {
    let _alone = LEARNING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = known().map(|known| known.values().clone()).unwrap_or_default();
    let before = all.len();
    for (name, value) in values {
        let is_there = all.iter().any(|(known, there)| there == value && known.split('#').next() == Some(name));
        if !is_there {
            // a former value of a name keeps its place beside the new one
            let free = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}#{number}")));
            let free = free.into_iter().find(|free| !all.contains_key(free)).unwrap_or_default();
            all.insert(free, value.clone());
        }
    }
    if all.len() > before
        && let Some(redactor) = Redactor::of(all)
    {
        *KNOWN.write().unwrap_or_else(PoisonError::into_inner) = Some(redactor);
        ANY.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Secret, *};

    #[test]
    fn former_values_stay_known() {
        let value = |text: &str| Values::from([("KNOWN_KEY".to_owned(), Secret::new(text).unwrap())]);
        remember(&value("first-value"));
        remember(&value("second-value"));
        remember(&value("first-value"));
        let known = known().unwrap();
        assert_eq!(known.text("first-value second-value"), "[secret KNOWN_KEY] [secret KNOWN_KEY]");
    }
}
