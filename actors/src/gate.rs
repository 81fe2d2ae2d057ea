//! May this node work as Running at this moment? Asked by whoever is about to act, without a message.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hotpair_core::types::Millis;

/// Open while this node leads and its own heart beats. A node that was stopped (a suspended VM, SIGSTOP) finds the gate
/// closed when it wakes, before anything else has noticed.
#[derive(Debug)]
pub struct Gate {
    /// How often it was closed.
    closed: AtomicU64,
    /// The permit that opened it last.
    opened: AtomicU64,
    beat: AtomicU64,
    valid_for_ms: u64,
    /// For ever.
    ended: AtomicBool,
}

/// The arbiter's leave to open the gate. It goes with its word to lead, and ends when the gate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit(u64);

impl Gate {
    /// A closed one. Without a beat for `valid_for_ms` it is closed; `u64::MAX`: it needs none.
    pub fn new(valid_for_ms: u64) -> Self {
        Self {
            closed: AtomicU64::new(1),
            opened: AtomicU64::new(0),
            beat: AtomicU64::new(0),
            valid_for_ms,
            ended: AtomicBool::new(false),
        }
    }

    /// The arbiter says that this node leads.
    pub fn permit(&self) -> Permit {
        Permit(self.closed.load(Ordering::SeqCst))
    }

    /// The tag replicator leads, as it was told with this permit. If the arbiter has taken its word back since, and that
    /// is still on the way, the gate stays closed.
    pub fn open(&self, permit: Permit) {
        self.opened.store(permit.0, Ordering::SeqCst);
    }

    /// Whether whoever was told to lead with this permit may act on it: it was not taken back, and this node did not stand
    /// still since.
    pub fn allows(&self, permit: Permit, now: Millis) -> bool {
        permit == self.permit() && self.is_fresh(now)
    }

    /// The arbiter says that this node leads no more, or not for the moment.
    pub fn close(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }

    /// This node must do nothing any more, whatever it is told: its process is to end.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.close();
    }

    /// The heartbeat's tick.
    pub fn beat(&self, now: Millis) {
        self.beat.store(now.0, Ordering::SeqCst);
    }

    /// Whether this node's own heart beats, and may go on beating.
    pub fn is_fresh(&self, now: Millis) -> bool {
        !self.ended.load(Ordering::SeqCst) && now.since(Millis(self.beat.load(Ordering::SeqCst))) < self.valid_for_ms
    }

    /// Whether this node may work as Running.
    pub fn is_open(&self, now: Millis) -> bool {
        self.opened.load(Ordering::SeqCst) == self.closed.load(Ordering::SeqCst) && self.is_fresh(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_open_while_this_node_leads_and_its_heart_beats() {
        let gate = Gate::new(1000);
        assert!(!gate.is_open(Millis(0)));
        gate.open(gate.permit());
        assert!(gate.is_open(Millis(0)));
        gate.beat(Millis(5000));
        assert!(gate.is_open(Millis(5999)));
        assert!(!gate.is_open(Millis(6000)) && !gate.is_fresh(Millis(6000)));
        gate.beat(Millis(7000));
        assert!(gate.is_open(Millis(7000)));
        gate.close();
        assert!(!gate.is_open(Millis(7000)) && gate.is_fresh(Millis(7000)));
    }

    #[test]
    fn a_word_that_was_taken_back_on_its_way_opens_nothing() {
        let gate = Gate::new(1000);
        let lead = gate.permit();
        gate.close();
        let resume = gate.permit();
        assert!(!gate.allows(lead, Millis(0)) && gate.allows(resume, Millis(0)));
        assert!(!gate.allows(resume, Millis(1000)), "it stood still since");
        gate.open(lead);
        assert!(!gate.is_open(Millis(0)));
        gate.open(resume);
        assert!(gate.is_open(Millis(0)));
    }

    #[test]
    fn once_ended_it_is_opened_by_nobody() {
        let gate = Gate::new(1000);
        gate.open(gate.permit());
        gate.end();
        let permit = gate.permit();
        gate.open(permit);
        gate.beat(Millis(1));
        assert!(!gate.is_open(Millis(1)) && !gate.allows(permit, Millis(1)) && !gate.is_fresh(Millis(1)));
    }

    #[test]
    fn a_node_without_a_peer_needs_no_heartbeat() {
        let gate = Gate::new(u64::MAX);
        gate.open(gate.permit());
        assert!(gate.is_open(Millis(u64::MAX - 1)));
    }
}
