//! How often an actor may fail: Erlang/OTP's restart intensity, with a back-off.

use std::collections::VecDeque;

use crate::types::Millis;

/// An actor that fails more often than this within [`PERIOD_MS`] keeps failing.
pub const MAX_RESTARTS: usize = 5;
/// See [`MAX_RESTARTS`].
pub const PERIOD_MS: u64 = 10_000;
/// An actor that keeps failing is still restarted, this much later each time: it may serve those who look for the cause.
const KEEPS_FAILING_BACK_OFF_MS: u64 = 1000;

/// What to do with an actor that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Start it again after so long.
    pub after_ms: u64,
    /// It keeps failing: the node must not rely on it.
    pub keeps_failing: bool,
}

/// The failures of one actor.
#[derive(Debug, Default)]
pub struct Restarts {
    recent: VecDeque<Millis>,
    total: u64,
}

impl Restarts {
    /// It ended, though nobody asked it to.
    pub fn failed(&mut self, now: Millis) -> Verdict {
        self.total += 1;
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|&at| now.since(at) >= PERIOD_MS) {
            self.recent.pop_front();
        }
        let keeps_failing = self.recent.len() > MAX_RESTARTS;
        // The first restart is immediate; then 1, 2, 4, 8 ms: far below what a peer notices.
        let step = 1u64 << self.recent.len().min(6) >> 2;
        Verdict { after_ms: if keeps_failing { KEEPS_FAILING_BACK_OFF_MS } else { step }, keeps_failing }
    }

    /// How often it was started again.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_ten_seconds_are_forgiven_the_sixth_is_not() {
        let mut restarts = Restarts::default();
        let verdicts: Vec<_> = (0..6).map(|n| restarts.failed(Millis(n * 1000))).collect();
        assert!(verdicts[..5].iter().all(|v| !v.keeps_failing && v.after_ms < 10));
        assert_eq!(verdicts[5], Verdict { after_ms: 1000, keeps_failing: true });
        assert!(!restarts.failed(Millis(20_000)).keeps_failing);
        assert_eq!(restarts.total(), 7);
    }
}
