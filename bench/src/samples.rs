//! Durations and what is said of them.

use std::time::Duration;

/// Times of the same thing, measured again and again.
#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    pub(crate) fn median_us(&self) -> f64 {
        self.quantile_us(0.5)
    }

    /// Microseconds that this share of the samples does not exceed.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let micros: Vec<f64> = self.0.iter().map(|took| took.as_secs_f64() * 1e6).collect();
        quantile(micros, share)
    }
}

/// The value in the middle.
pub(crate) fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile((1..=101).map(f64::from).collect(), 0.99), 100.0);
        assert!(median(Vec::new()).is_nan());
    }
}
