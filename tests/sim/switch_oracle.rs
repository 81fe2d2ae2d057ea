//! What must be so of a Switch and of a clean stop: seen from what the two arbiters say to each other and order.

use std::collections::BTreeSet;

use hotpair_core::arbiter::Input;
use hotpair_core::invariants;
use hotpair_core::protocol::{Control, Tenure};
use hotpair_core::replicator::TagInput;
use hotpair_core::types::Status;

use crate::sometimes::State;
use crate::world::World;

#[derive(Default)]
pub struct SwitchOracle {
    /// The offer of each node that its peer may take yet.
    offered: [Option<u64>; 2],
    /// Offers that each has said it will not take.
    declined: [BTreeSet<u64>; 2],
    /// When each was told to stop while it was Running and its peer was ready, and nothing came in between since.
    stops_ready: [Option<u64>; 2],
}

impl World {
    /// Before the arbiter of a node hears something.
    pub fn switch_hears(&mut self, node: usize, input: &Input) {
        let now = self.nodes[node].mono(self.now);
        let oracle = &mut self.switches;
        match input {
            // It was met anew, or has gone: it does not know of the offer, or does nothing with it.
            Input::LinkUp(_) => {
                oracle.offered[node] = None;
                oracle.declined[node].clear();
            }
            Input::Message(Control::Goodbye { .. } | Control::Taken { .. }) => oracle.offered[node] = None,
            Input::Message(Control::AbortConfirmed { switch, .. }) if oracle.offered[node] == Some(*switch) => {
                oracle.offered[node] = None;
            }
            // The numbers of a process that was started anew begin anew.
            Input::Message(Control::Offer { switch, .. }) => {
                oracle.declined[node].remove(switch);
            }
            Input::Shutdown { .. } => {
                let Some(process) = &self.nodes[node].process else { return };
                let view = process.arbiter.view(now);
                let ready = view.status == Status::Running && view.failover_ready && !view.switching;
                self.switches.stops_ready[node] = (ready && self.is_open_since_long()).then_some(self.now);
            }
            _ => {}
        }
    }

    /// What an arbiter tells its peer.
    pub fn says(&mut self, node: usize, message: &Control) {
        match message {
            Control::Abort { .. } => self.reached(State::SwitchWithdrawn),
            Control::SwitchResult { suspend: true, .. } => self.reached(State::RecoverySuspended),
            Control::Offer { switch, tenure, cause, .. } => {
                self.switches.offered[node] = Some(*switch);
                self.switches.stops_ready[node] = None;
                if *tenure == Tenure::Failover {
                    let disk = cause.contains("disk");
                    self.reached(if disk { State::DiskHandsOver } else { State::FaultHandsOver });
                }
            }
            Control::AbortConfirmed { switch, .. } => {
                self.switches.declined[node].insert(*switch);
            }
            Control::Taken { switch, .. } => {
                let declined = self.switches.declined[node].contains(switch);
                self.check(invariants::takes_what_it_did_not_decline(self.nodes[node].id, !declined));
            }
            _ => {}
        }
    }

    /// What an arbiter orders.
    pub fn orders(&mut self, node: usize, input: &TagInput<'_>) {
        match input {
            // Under a new epoch.
            TagInput::Lead(_) | TagInput::StandBy => self.switches.offered[node] = None,
            TagInput::Resume => {
                let offered = self.switches.offered[node].take();
                self.check(invariants::resumes_what_nobody_takes(self.nodes[node].id, offered.is_none()));
            }
            _ => {}
        }
    }

    /// A process has stopped in good order.
    pub fn stopped(&mut self, node: usize) {
        let at = self.switches.stops_ready[node].take();
        // Its own work may take long to stop: then nobody waits for the switch.
        let soon = at.is_some_and(|at| self.now - at < self.plan.switch_timeout_ms * 500);
        self.check(invariants::stops_by_a_switch(self.nodes[node].id, !soon));
    }

    /// After each event.
    pub fn watch_switches(&mut self) {
        let open = self.is_open_since_long();
        for node in 0..2 {
            let process = self.nodes[node].process.as_ref();
            if process.is_none() {
                self.switches.offered[node] = None;
                self.switches.declined[node].clear();
            }
            let lagging = process.is_none_or(|process| process.facts().lagging);
            if !open || lagging {
                self.switches.stops_ready[node] = None;
            }
        }
    }
}
