//! Clean stops, and nodes of which a part cannot work: both give Running away first if somebody can take it. And holds,
//! which stop a node that is about to run by itself.

use super::switch::{Origin, Wish};
use super::{Arbiter, Effect, Running, State, Taking};
use crate::mutant::{self, Mutant};
use crate::protocol::{Control, Tenure};
use crate::types::{Millis, Status};

impl Arbiter {
    /// A part of this node cannot work; none: an operator says it works again.
    pub(super) fn local_fault(&mut self, fault: Option<String>, now: Millis) {
        match (&fault, &self.state) {
            (Some(reason), State::Standby) => {
                let reason = reason.clone();
                self.state = State::Faulted;
                self.shown.because(reason);
            }
            // It never ran and never met its peer: from the beginning.
            (None, State::Faulted) if self.peer.is_none() => self.start(now),
            (None, State::Faulted) => {
                self.state = State::Standby;
                self.following = None;
                self.shown.because("the fault was cleared");
                self.reserve();
            }
            _ => {}
        }
        self.fault = fault;
        self.fault_of_disk = false;
    }

    /// Goes on with a clean stop, or with giving up Running for a fault.
    pub(super) fn consider_stopping(&mut self, now: Millis) {
        let Some(reason) = self.stopping.clone() else { return self.consider_fault(now) };
        match &self.state {
            State::Running(Running { awaiting_loser: false, fenced_until: None, .. })
                if !self.stop_switch_tried
                    && self.switch_refusal().is_none()
                    && !mutant::on(Mutant::StopWithoutSwitch) =>
            {
                self.stop_switch_tried = true;
                self.begin_switch(
                    Tenure::Switch,
                    Wish::of_nobody(format!("clean stop: {reason}")),
                    Origin::Itself,
                    now,
                );
            }
            State::Running(_) => self.cede_to_nobody(now),
            State::Idle | State::Starting { .. } | State::Standby | State::Faulted => self.say_goodbye(),
            // It does not run any more, and who else does is not its business.
            State::Ceding(ceding) if ceding.is_withdrawn() => self.say_goodbye(),
            State::Taking(_) | State::Ceding(_) | State::Stopped => {}
        }
    }

    fn consider_fault(&mut self, now: Millis) {
        // A disk that fails is a part that cannot work: what must last would not.
        let Some(fault) = self.faults().into_iter().next() else { return };
        if self.is_running()
            && now >= self.fault_retry
            && self.switch_refusal().is_none()
            && self.peer_report().is_some_and(|p| p.status == Status::Standby)
        {
            self.fault_retry = now.plus(self.settings.switch_timeout_ms.saturating_mul(2));
            self.begin_switch(Tenure::Failover, Wish::of_nobody(fault), Origin::Itself, now);
        }
    }

    /// A hold begins while the epoch of a takeover or of a recovery is on its way to the disk, or before an offer of a
    /// recovery is taken: neither has happened yet, and neither may happen now.
    pub(super) fn obey_hold(&mut self, now: Millis) {
        if !self.held(now) || mutant::on(Mutant::HoldIgnored) {
            return;
        }
        let why = "a maintenance hold is in force";
        let was_taking = matches!(self.state, State::Taking(_));
        let recovery = self.offer.as_ref().filter(|offer| offer.is_recovery()).map(|offer| offer.switch);
        match &self.state {
            // One that never met its peer starts alone: that is no failover.
            State::Taking(Taking { tenure: Tenure::Failover, offer: None, runs: None, .. }) if self.peer.is_some() => {
                self.stand_by(why);
            }
            State::Taking(_) | State::Standby if recovery.is_some() => self.state = State::Standby,
            _ => return,
        }
        if was_taking {
            // The tenure that is on its way to the disk never began: this lineage is the last word.
            self.store(self.lineage.clone());
        }
        if let Some(switch) = recovery {
            self.offer = None;
            self.effects.push(Effect::Send(Control::AbortConfirmed { switch, reason: why.into() }));
        }
    }

    pub(super) fn say_goodbye(&mut self) {
        let reason = self.stopping.clone().unwrap_or_default();
        if self.linked {
            self.effects.push(Effect::Send(Control::Goodbye { reason: reason.clone() }));
        }
        self.state = State::Stopped;
        self.shown.because(reason);
        self.effects.push(Effect::Exit);
    }
}
