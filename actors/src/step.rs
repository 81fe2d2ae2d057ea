//! A machine's step happens as a whole. A panic in the middle of one leaves a state that nobody can vouch for: better the
//! peer takes over than that this node goes on with it.

use crate::shared::Shared;

/// Held while a machine handles an input.
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
        if std::thread::panicking() {
            self.shared.gate.close();
            self.shared.die(format!(
                "the actor {} panicked in the middle of a step, and its state cannot be trusted any more",
                self.actor
            ));
        }
    }
}
