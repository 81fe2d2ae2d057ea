//! What the reading and the writing task of a bulk connection tell each other.

use std::cell::{Cell, RefCell};

use hotpair_core::pace::{Pace, SAY_EVERY_BYTES};
use tokio::sync::Notify;

use crate::clock::Clock;

pub(super) struct Line {
    clock: Clock,
    pace: RefCell<Pace>,
    received: Cell<u64>,
    said: Cell<u64>,
    changed: Notify,
}

impl Line {
    pub(super) fn new(clock: Clock) -> Self {
        let pace = RefCell::new(Pace::new(clock.now()));
        Self { clock, pace, received: Cell::new(0), said: Cell::new(0), changed: Notify::new() }
    }

    /// The reader has so many bytes more.
    pub(super) fn received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
        if self.is_to_say() {
            self.changed.notify_one();
        }
    }

    /// The peer has so much of what the writer sent.
    pub(super) fn arrived(&self, total: u64) {
        self.pace.borrow_mut().arrived(total, self.clock.now());
        self.changed.notify_one();
    }

    /// What the writer is to tell the peer, once.
    pub(super) fn to_say(&self) -> Option<u64> {
        self.is_to_say().then(|| {
            self.said.set(self.received.get());
            self.said.get()
        })
    }

    fn is_to_say(&self) -> bool {
        self.received.get() - self.said.get() >= SAY_EVERY_BYTES as u64
    }

    /// How much the writer may send.
    pub(super) fn room(&self) -> usize {
        self.pace.borrow_mut().room(self.clock.now())
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.pace.borrow_mut().sent(bytes, self.clock.now());
    }

    /// There is something to say, or room.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
