//! What was sent to a client and not taken by it yet.
//!
//! The sockets' own buffers hold megabytes: values that lie there are old when they are read. So each message is
//! followed by a ping with a number, and only its pong says that the client has read so far. It says too that the client
//! is still there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So much may be on its way at a time.
const WINDOW_BYTES: usize = 128 * 1024;
/// A ping must be answered within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Without messages a ping is sent after this time.
const IDLE: Duration = Duration::from_secs(5);

pub(super) struct Flow {
    /// Number, size of the message before it, and time of pings that were not answered.
    open: VecDeque<(u64, usize, Instant)>,
    on_its_way: usize,
    last: u64,
    /// When anything was last sent or answered.
    moved: Instant,
}

impl Flow {
    pub(super) fn new(now: Instant) -> Self {
        Self { open: VecDeque::new(), on_its_way: 0, last: 0, moved: now }
    }

    /// A message of so many bytes is sent. The answer is what the ping behind it carries.
    pub(super) fn sent(&mut self, bytes: usize, now: Instant) -> [u8; 8] {
        self.last += 1;
        self.open.push_back((self.last, bytes, now));
        self.on_its_way += bytes;
        self.moved = now;
        self.last.to_be_bytes()
    }

    /// A pong came. It answers all pings up to its own: a client may leave out some (RFC 6455, 5.5.3).
    pub(super) fn answered(&mut self, pong: &[u8], now: Instant) {
        let Ok(number) = <[u8; 8]>::try_from(pong).map(u64::from_be_bytes) else { return };
        while let Some((_, bytes, _)) = self.open.pop_front_if(|(open, ..)| *open <= number) {
            self.on_its_way -= bytes;
            self.moved = now;
        }
        // It reads: what is left has its time from now on.
        for (.., since) in &mut self.open {
            *since = (*since).max(self.moved);
        }
    }

    /// Nothing is on its way.
    pub(super) fn is_clear(&self) -> bool {
        self.open.is_empty()
    }

    /// Another message may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.on_its_way < WINDOW_BYTES
    }

    /// The client has not answered for too long.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.open.front().is_some_and(|(.., since)| now.duration_since(*since) >= PATIENCE)
    }

    /// Nothing was sent for long: a ping is due.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.is_clear() && now.duration_since(self.moved) >= IDLE
    }

    /// When one of the two before may become true.
    pub(super) fn deadline(&self) -> Instant {
        self.open.front().map_or(self.moved + IDLE, |(.., since)| *since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment before the client counts as stuck.
    const ALMOST: Duration = Duration::from_secs(PATIENCE.as_secs() - 1);

    #[test]
    fn the_window_opens_with_the_answers() {
        let now = Instant::now();
        let mut flow = Flow::new(now);
        assert!(flow.is_clear() && flow.has_room());
        let first = flow.sent(WINDOW_BYTES / 2, now);
        assert!(!flow.is_clear() && flow.has_room());
        let second = flow.sent(WINDOW_BYTES / 2, now);
        assert!(!flow.has_room());
        flow.answered(&first, now);
        assert!(flow.has_room() && !flow.is_clear());
        flow.answered(&second, now);
        assert!(flow.is_clear());
    }

    #[test]
    fn one_pong_answers_all_before_and_foreign_ones_nothing() {
        let now = Instant::now();
        let mut flow = Flow::new(now);
        let pings: Vec<_> = (0..3).map(|_| flow.sent(10, now)).collect();
        for foreign in [&b""[..], b"hello", &[0; 8], b"123456789"] {
            flow.answered(foreign, now);
        }
        assert_eq!(flow.open.len(), 3);
        flow.answered(&pings[1], now);
        assert_eq!(flow.open.len(), 1);
    }

    #[test]
    fn silence_is_noticed_and_slowness_is_not_silence() {
        let start = Instant::now();
        let mut flow = Flow::new(start);
        assert!(!flow.is_idle(start + IDLE / 2) && flow.is_idle(start + IDLE));
        assert_eq!(flow.deadline(), start + IDLE);
        let first = flow.sent(10, start);
        flow.sent(10, start);
        assert_eq!(flow.deadline(), start + PATIENCE);
        assert!(!flow.is_stuck(start + ALMOST) && flow.is_stuck(start + PATIENCE));
        let late = start + ALMOST;
        flow.answered(&first, late);
        assert!(!flow.is_stuck(late + ALMOST) && flow.is_stuck(late + PATIENCE));
    }
}
