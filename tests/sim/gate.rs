//! Nodes that stood still, as their shells have it: no write of the peer passes the gate before the tags, and no deadline
//! counts before the heart has beaten again.

use hotpair_core::arbiter::Input;
use hotpair_core::protocol::{Control, WriteOutcome, WriteRefusal};
use hotpair_core::replicator::TagInput;

use crate::world::{Event, World};

/// An arbiter whose node stood still is asked again after this time.
const STOOD_STILL_US: u64 = 20_000;

impl World {
    /// Whether the shell keeps this from the machine.
    pub fn is_kept_out(&mut self, node: usize, input: &TagInput<'_>) -> bool {
        let TagInput::Forward(forward) = input else { return false };
        let Some(process) = &self.nodes[node].process else { return true };
        if self.stood_still(node) {
            let refusal = WriteRefusal::NotRunning("this node was stopped; it asks its peer who runs".into());
            let answer = Control::Forwarded { id: forward.id, outcome: WriteOutcome::Refused(refusal) };
            let link = process.tags_link;
            self.send_control(node, link, &answer);
            return true;
        }
        if process.replicator.is_leading() && !self.gate_is_open(node) {
            self.tags(node, TagInput::Quiesce);
        }
        false
    }

    pub fn arbiter_tick(&mut self, node: usize) {
        let stood_still = self.stood_still(node);
        let told_us = self.plan.mail_us + 1_000;
        let Some(process) = &mut self.nodes[node].process else { return };
        // The heart beats on the arbiter's thread, and what lies in a mailbox goes before a timer.
        let told = process.went_on_at.map_or(0, |at| at + told_us);
        if !stood_still && self.now >= told {
            return self.arbiter(node, Input::Tick);
        }
        let at = told.max(if stood_still { self.now + STOOD_STILL_US } else { 0 });
        process.timer_at[0] = Some(at);
        let boot = process.boot;
        self.at(at, Event::Timer(node, boot, 0, at));
    }
}
