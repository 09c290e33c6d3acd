use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// When a server that died may be started again: a policy as pure data, told the time by its caller.
///
/// A death delays the next start by 0.2 s × 2ⁿ, 30 s at most; 60 s of being up make n start over. The fifth death within
/// 5 minutes is the last: the server has failed until somebody changes it. An end that was asked for is no death.
#[derive(Debug, Clone, Default)]
pub struct Restart {
    deaths: VecDeque<Instant>,
    streak: u32,
    not_before: Option<Instant>,
}

/// What follows from a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The next start may happen after this long.
    Again(Duration),
    /// Too many deaths in too short a time: no further start.
    Failed,
}

impl Restart {
    /// The delay after the first death.
    pub const FIRST_DELAY: Duration = Duration::from_millis(200);
    /// The longest delay.
    pub const LONGEST_DELAY: Duration = Duration::from_secs(30);
    /// Being up for this long makes the delays start over.
    pub const STEADY: Duration = Duration::from_secs(60);
    /// This many deaths within [`Restart::WINDOW`] are the end.
    pub const MOST_DEATHS: usize = 5;
    /// See [`Restart::MOST_DEATHS`].
    pub const WINDOW: Duration = Duration::from_secs(300);

    /// Records a death at `now` of a server that had been up for `up`.
    pub fn died(&mut self, up: Duration, now: Instant) -> Verdict {
        if up >= Self::STEADY {
            self.streak = 0;
        }
        self.deaths.push_back(now);
        while self.deaths.front().is_some_and(|death| now.saturating_duration_since(*death) > Self::WINDOW) {
            self.deaths.pop_front();
        }
        if self.has_failed() {
            return Verdict::Failed;
        }
        let delay = Self::FIRST_DELAY.saturating_mul(1 << self.streak.min(16)).min(Self::LONGEST_DELAY);
        self.streak += 1;
        self.not_before = Some(now + delay);
        Verdict::Again(delay)
    }

    /// How long a start at `now` must still wait; zero when it may happen at once.
    pub fn wait(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Whether the server has died too often to be started again.
    pub fn has_failed(&self) -> bool {
        self.deaths.len() >= Self::MOST_DEATHS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_and_five_deaths_are_the_end() {
        let (mut restart, now) = (Restart::default(), Instant::now());
        let delays: Vec<_> = (0..5).map(|n| restart.died(Duration::ZERO, now + n * SECOND)).collect();
        let again = |millis| Verdict::Again(Duration::from_millis(millis));
        assert_eq!(delays, [again(200), again(400), again(800), again(1600), Verdict::Failed]);
        assert!(restart.has_failed());
    }

    #[test]
    fn rare_deaths_reach_the_longest_delay_and_never_fail() {
        let (mut restart, mut now) = (Restart::default(), Instant::now());
        let mut last = Verdict::Failed;
        for _ in 0..100 {
            now += 100 * SECOND;
            last = restart.died(SECOND, now);
        }
        assert_eq!(last, Verdict::Again(Restart::LONGEST_DELAY));
    }

    #[test]
    fn a_steady_minute_starts_the_delays_over() {
        let (mut restart, now) = (Restart::default(), Instant::now());
        restart.died(SECOND, now);
        restart.died(SECOND, now);
        assert_eq!(restart.died(Restart::STEADY, now + 61 * SECOND), Verdict::Again(Restart::FIRST_DELAY));
        assert_eq!(restart.wait(now + 61 * SECOND), Restart::FIRST_DELAY);
        assert_eq!(restart.wait(now + 62 * SECOND), Duration::ZERO);
    }
}
