//! This process's monotonic clock and the wall clock, as the machines want them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hotpair_core::replicator::Now;
use hotpair_core::types::{Millis, UnixMillis};
use tokio::time::Instant;

/// Tells the time. Under tokio's paused time it stands still with it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    started: UnixMillis,
    /// The wall clock goes with the monotonic one; else it is the machine's, which somebody may set.
    steady: bool,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { origin: Instant::now(), started: wall(), steady: false }
    }

    /// A clock that starts now, at that time of the wall clock, and is never set: for tests on paused time.
    pub fn steady(started: UnixMillis) -> Self {
        Self { origin: Instant::now(), started, steady: true }
    }

    /// Monotonic time since the clock's start.
    pub fn now(&self) -> Millis {
        Millis(self.origin.elapsed().as_millis() as u64)
    }

    /// Monotonic time since the clock's start in microseconds, for round trips.
    pub fn now_us(&self) -> u64 {
        self.origin.elapsed().as_micros() as u64
    }

    /// The wall clock.
    pub fn wall(&self) -> UnixMillis {
        if self.steady { self.on_wall(self.now()) } else { wall() }
    }

    /// A moment of the monotonic clock on the wall clock, as that was set when this clock started: the same moment is
    /// always shown as the same time.
    pub fn on_wall(&self, at: Millis) -> UnixMillis {
        UnixMillis(self.started.0.saturating_add_unsigned(at.0))
    }

    /// Both.
    pub fn both(&self) -> Now {
        Now { mono: self.now(), wall: self.wall() }
    }

    /// How long it is until `at`.
    pub fn until(&self, at: Millis) -> Duration {
        (self.origin + Duration::from_millis(at.0)).saturating_duration_since(Instant::now())
    }
}

fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixMillis(since.as_millis() as i64)
}
