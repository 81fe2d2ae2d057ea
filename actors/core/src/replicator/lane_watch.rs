//! Whether the bulk connection still carries something: it may stand while nothing arrives any more, in one direction or
//! both, and then nobody is in sync again. Each side says now and then that it is there, and expects to hear so.

use crate::types::Millis;

/// How often each side says that it is there.
const BEAT_MS: u64 = 2000;
/// A connection on which nothing arrives for so long carries nothing. Even 1 Mbit/s carries a batch each second.
pub(super) const SILENT_MS: u64 = 10_000;
/// Whoever looks so late stood still itself: what came meanwhile waits to be read.
const LATE_MS: u64 = 3000;

/// What is known of a bulk connection that is up.
#[derive(Debug)]
pub(super) struct LaneWatch {
    last: Millis,
    next_beat: Millis,
    looked: Millis,
}

impl LaneWatch {
    pub(super) fn new(now: Millis) -> Self {
        Self { last: now, next_beat: now.plus(BEAT_MS), looked: now }
    }

    /// Something arrived.
    pub(super) fn heard(&mut self, now: Millis) {
        self.last = now;
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Millis {
        self.next_beat.min(self.last.plus(SILENT_MS))
    }

    /// Whether it is time to say that this side is there; then the next time is later.
    pub(super) fn beats(&mut self, now: Millis) -> bool {
        let due = now >= self.next_beat;
        if due {
            self.next_beat = now.plus(BEAT_MS);
        }
        due
    }

    /// Whether nothing has arrived for too long.
    pub(super) fn is_silent(&mut self, now: Millis) -> bool {
        if now.since(std::mem::replace(&mut self.looked, now)) > LATE_MS {
            self.last = now;
        }
        now >= self.last.plus(SILENT_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_beats_now_and_then() {
        let mut watch = LaneWatch::new(Millis(0));
        assert_eq!(watch.deadline(), Millis(BEAT_MS));
        assert!(!watch.beats(Millis(BEAT_MS - 1)));
        assert!(watch.beats(Millis(BEAT_MS)) && !watch.beats(Millis(BEAT_MS)));
        assert_eq!(watch.deadline(), Millis(2 * BEAT_MS));
    }

    #[test]
    fn it_is_silent_when_nothing_arrives_and_this_side_looked_all_the_time() {
        let mut watch = LaneWatch::new(Millis(0));
        watch.heard(Millis(500));
        for at in (0..10_500).step_by(500) {
            assert!(!watch.is_silent(Millis(at)));
        }
        assert!(watch.is_silent(Millis(10_500)));
        // This side stood still: what came meanwhile is read first.
        let mut watch = LaneWatch::new(Millis(0));
        assert!(!watch.is_silent(Millis(60_000)));
        assert!(!watch.is_silent(Millis(62_000)));
    }
}
