//! Who may run: asked before a node takes Running, and while it runs.
//!
//! The default arbitration, *availability*, has no third opinion: a node may run when its peer seems gone. A witness
//! that grants leases answers the same questions.

use crate::mutant::{self, Mutant};
use crate::types::Millis;

/// What is known of the peer when a node asks whether it may take Running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerLife {
    /// It agrees: it offered Running, or stopped cleanly, or both decided so.
    Agrees,
    /// Proven dead.
    Dead,
    /// Silent since the first moment, found unavailable at the second one; none: not found so yet.
    Silent(Millis, Option<Millis>),
}

/// An authority's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take it.
    Now,
    /// Ask again at this moment.
    NotBefore(Millis),
    /// Not as things are; something must happen first.
    Wait,
}

/// Grants or denies Running.
pub trait Authority: Send + Sync {
    /// May this node take Running at `now`?
    fn may_take(&self, peer: PeerLife, now: Millis) -> Verdict;
}

/// Two nodes without a third opinion.
#[derive(Clone, Copy, Debug)]
pub struct Availability {
    /// A silent peer is taken over after so long.
    pub failover_time_ms: u64,
    /// A peer that is proven dead is taken over at once.
    pub fast_failover: bool,
}

impl Authority for Availability {
    fn may_take(&self, peer: PeerLife, now: Millis) -> Verdict {
        match peer {
            PeerLife::Agrees => Verdict::Now,
            PeerLife::Dead if self.fast_failover || mutant::on(Mutant::ProofAlthoughSlow) => Verdict::Now,
            PeerLife::Dead | PeerLife::Silent(_, None) => Verdict::Wait,
            PeerLife::Silent(last_sign, Some(_)) => {
                let due = last_sign.plus(self.failover_time_ms);
                if mutant::on(Mutant::TakeoverWithoutFailoverTime) {
                    return Verdict::Now;
                }
                if now >= due { Verdict::Now } else { Verdict::NotBefore(due) }
            }
        }
    }
}
