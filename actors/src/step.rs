//! A machine's step happens as a whole. A panic in the middle of one leaves a state that nobody can vouch for: where a peer
//! can go on, better it does than this node. Where none can, this node goes on with what there is.

use hotpair_core::types::Status;

use crate::shared::Shared;

/// Held while a machine handles an input, and until what it wants done cannot be lost any more.
pub(crate) struct Step<'a> {
    shared: &'a Shared,
    actor: &'static str,
}

impl<'a> Step<'a> {
    /// `actor`: whose machine it is.
    pub(crate) fn begin(shared: &'a Shared, actor: &'static str) -> Self {
        Self { shared, actor }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && can_be_spared(self.shared) {
            self.shared.gate.end();
            self.shared.die(format!(
                "the actor {} panicked in the middle of a step, and its state cannot be trusted any more",
                self.actor
            ));
        }
    }
}

/// Whether the peer runs, or takes over without a loss.
fn can_be_spared(shared: &Shared) -> bool {
    let view = shared.view();
    match view.status {
        Status::Running => view.failover_ready,
        _ => view.peer.is_some_and(|peer| peer.connected && peer.status == Status::Running),
    }
}
