//! May this node work as Running at this moment? Asked by whoever is about to act, without a message.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hotpair_core::types::Millis;

/// Open while this node leads and its own heart beats. A node that was stopped (a suspended VM, SIGSTOP) finds the gate
/// closed when it wakes, before anything else has noticed.
#[derive(Debug)]
pub struct Gate {
    leading: AtomicBool,
    beat: AtomicU64,
    valid_for_ms: u64,
}

impl Gate {
    /// A closed one. Without a beat for `valid_for_ms` it is closed; `u64::MAX`: it needs none.
    pub fn new(valid_for_ms: u64) -> Self {
        Self { leading: AtomicBool::new(false), beat: AtomicU64::new(0), valid_for_ms }
    }

    /// The tag replicator leads.
    pub fn open(&self) {
        self.leading.store(true, Ordering::SeqCst);
    }

    /// The arbiter says that this node leads no more, or not for the moment.
    pub fn close(&self) {
        self.leading.store(false, Ordering::SeqCst);
    }

    /// The heartbeat's tick.
    pub fn beat(&self, now: Millis) {
        self.beat.store(now.0, Ordering::SeqCst);
    }

    /// Whether this node's own heart beats.
    pub fn is_fresh(&self, now: Millis) -> bool {
        now.since(Millis(self.beat.load(Ordering::SeqCst))) <= self.valid_for_ms
    }

    /// Whether this node may work as Running.
    pub fn is_open(&self, now: Millis) -> bool {
        self.leading.load(Ordering::SeqCst) && self.is_fresh(now)
    }
}
