//! What the reading and the writing task of a bulk connection tell each other.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use hotpair_core::pace::{Pace, SAY_EVERY_BYTES};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::shared::Shared;

pub(super) struct Line {
    shared: Arc<Shared>,
    pace: RefCell<Pace>,
    received: Cell<u64>,
    said: Cell<u64>,
    heard_at: Cell<Instant>,
    changed: Notify,
}

impl Line {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let pace = RefCell::new(Pace::new(shared.clock.now()));
        Self {
            shared,
            pace,
            received: Cell::new(0),
            said: Cell::new(0),
            heard_at: Cell::new(Instant::now()),
            changed: Notify::new(),
        }
    }

    /// The reader has so many bytes more.
    pub(super) fn received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
        if self.is_to_say() {
            self.changed.notify_one();
        }
    }

    /// A frame that takes long is on its way: the connection carries something.
    pub(super) fn hears(&self) {
        self.shared.replicator.lock().hear_lane(self.shared.clock.now());
    }

    /// The peer has so much of what the writer sent.
    pub(super) fn arrived(&self, total: u64) {
        self.heard_at.set(Instant::now());
        self.pace.borrow_mut().arrived(total, self.shared.clock.now());
        self.changed.notify_one();
    }

    /// When the peer last said what it has.
    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at.get()
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
        self.pace.borrow_mut().room(self.shared.clock.now())
    }

    /// The writer has nothing more to send.
    pub(super) fn nothing_waits(&self) {
        self.pace.borrow_mut().nothing_waits();
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.pace.borrow_mut().sent(bytes, self.shared.clock.now());
    }

    /// There is something to say, or room.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
