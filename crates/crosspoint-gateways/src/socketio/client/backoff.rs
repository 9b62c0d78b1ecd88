//! How long to wait before the server is called again.

use std::time::Duration;

/// Pauses that double up to a maximum, each longer or shorter by a random part of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause of all.
    pub most: Duration,
    /// The largest part of a pause by which it is longer or shorter, from 0 to 1.
    pub randomization: f64,
    /// After how many attempts without success no further one is made.
    pub attempts_max: Option<u32>,
}

impl Default for Backoff {
    /// As the original: 1 s to 5 s, by up to half of it, without end.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(5),
            randomization: 0.5,
            attempts_max: None,
        }
    }
}

impl Backoff {
    /// The pause before the attempt that comes after `failed` others, or `None` if no further one is made. `random` is
    /// any number, a new one each time.
    pub fn pause(&self, failed: u32, random: u64) -> Option<Duration> {
        if self.attempts_max.is_some_and(|most| failed >= most) {
            return None;
        }
        let factor = 2u32.checked_pow(failed).unwrap_or(u32::MAX);
        let pause = self.first.saturating_mul(factor).min(self.most);
        // The top 32 bits as a number from -1 to 1.
        let part = (random >> 32) as f64 / f64::from(u32::MAX) * 2.0 - 1.0;
        let randomization = if self.randomization.is_finite() { self.randomization } else { 0.0 };
        let factor = 1.0 + part * randomization.clamp(0.0, 1.0);
        Some(pause.mul_f64(factor).min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_maximum_and_are_random() {
        let backoff = Backoff::default();
        let ms = |failed, random| backoff.pause(failed, random).map(|pause| pause.as_millis());
        assert_eq!((ms(0, 0), ms(0, u64::MAX)), (Some(500), Some(1500)));
        assert_eq!((ms(1, 0), ms(1, u64::MAX)), (Some(1000), Some(3000)));
        assert_eq!((ms(2, 0), ms(2, u64::MAX)), (Some(2000), Some(5000)));
        assert_eq!((ms(40, 0), ms(u32::MAX, u64::MAX)), (Some(2500), Some(5000)));
        let half = backoff.pause(1, 1 << 63).unwrap().as_secs_f64();
        assert!((half - 2.0).abs() < 0.001, "{half}");
        let thrice = Backoff { attempts_max: Some(3), ..backoff };
        assert!(thrice.pause(2, 0).is_some() && thrice.pause(3, 0).is_none());
        let wrong = Backoff { randomization: f64::NAN, ..backoff };
        assert_eq!(wrong.pause(0, 0), Some(Duration::from_secs(1)));
    }
}
