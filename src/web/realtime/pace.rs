//! How much a client may make this node work.

use std::time::{Duration, Instant};

/// One part in so many of a core is a client's share.
const SHARE: u32 = 10;
/// So much may be used at once, so that a first answer comes soon.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Keeps the work for one client below its share of a core, on average.
pub(super) struct Pace {
    /// What was used and is not made good yet, at that time.
    used: Duration,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { used: Duration::ZERO, at: now }
    }

    /// Takes note of work that took from `began` to `ended`.
    pub(super) fn worked(&mut self, began: Instant, ended: Instant) {
        self.used = self.used.saturating_sub(ended.duration_since(self.at) / SHARE) + ended.duration_since(began);
        self.at = ended;
    }

    /// From when on there may be work again.
    pub(super) fn ready_at(&self) -> Instant {
        self.at + self.used.saturating_sub(AT_ONCE) * SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_is_a_tenth_of_the_time() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let (mut now, mut worked) = (start, Duration::ZERO);
        while now < start + Duration::from_mins(1) {
            now = now.max(pace.ready_at());
            pace.worked(now, now + Duration::from_millis(7));
            now += Duration::from_millis(7);
            worked += Duration::from_millis(7);
        }
        assert!((Duration::from_secs(6)..Duration::from_millis(6300)).contains(&worked), "{worked:?}");
    }

    #[test]
    fn little_work_never_waits() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..1000 {
            assert!(pace.ready_at() <= now);
            pace.worked(now, now + Duration::from_millis(5));
            now += Duration::from_millis(100);
        }
    }
}
