//! What an answer promises, and what the page shows: seen from tables and disks.

use hotpair_core::invariants;
use hotpair_core::protocol::{ItemResult, WriteOutcome, WriteRefusal};
use hotpair_core::types::Seq;
use hotpair_core::value::Value;

use crate::disk::Op;
use crate::load::Write;
use crate::plan::KEYS;
use crate::sometimes::State;
use crate::world::World;

impl World {
    /// An older value survives only if the other side did not change the tag past the fork.
    pub fn may_survive(
        &self,
        node: usize,
        key: usize,
        kept: i64,
        lost: i64,
        fork: Seq,
    ) -> Result<(), invariants::Violation> {
        let (own, seq) = self.oracle.numbers[node][key];
        let taken = own == lost && seq <= fork || own != lost && own != kept;
        invariants::newer_survives(KEYS[key], taken)
    }

    /// These went to the disk of a node, or failed: then they go with the next that succeed.
    pub fn disk_did(&mut self, node: usize, ops: &[Op], ok: bool) {
        for op in ops {
            let Op::Retained { items, .. } = op else { continue };
            for (path, sample, _) in items {
                let key = KEYS.iter().position(|of| **of == **path);
                if let (Some(key), Value::Int64(value)) = (key, &sample.value) {
                    self.pair.owed[node].push((key, *value));
                }
            }
        }
        if ok {
            for (key, value) in std::mem::take(&mut self.pair.owed[node]) {
                self.pair.on_disk[node][key].insert(value);
            }
        }
    }

    /// A process is gone: what reached its disk reached it.
    pub fn disk_wrote(&mut self, node: usize) {
        self.pair.owed[node].clear();
        for (key, path) in KEYS.iter().enumerate().skip(2) {
            if let Some((sample, _)) = self.nodes[node].disk.stored.retained.get(*path)
                && let Value::Int64(value) = sample.value
            {
                self.pair.on_disk[node][key].insert(value);
            }
        }
    }

    /// A client's write is answered, at this moment.
    pub fn answer_given(&mut self, node: usize, write: &Write, outcome: &WriteOutcome) {
        let state = match outcome {
            WriteOutcome::Refused(WriteRefusal::Switching) => Some(State::WriteWaited),
            WriteOutcome::Refused(WriteRefusal::OutcomeUnknown) => Some(State::WriteUnknown),
            WriteOutcome::Refused(WriteRefusal::Disk(_)) => Some(State::WriteRefusedByDisk),
            WriteOutcome::Done { replicated: false, .. } if self.pair.was_in_sync[1 - node] => Some(State::WriteLate),
            _ => None,
        };
        if let Some(state) = state {
            self.reached(state);
        }
        let WriteOutcome::Done { results, replicated } = outcome else { return };
        let tables = [0, 1].map(|node| self.values_of(node));
        for (key, result) in write.keys.iter().zip(results) {
            if *result != ItemResult::Good {
                continue;
            }
            let place = self.place_of(*key, write.value);
            if *key >= 2 && self.known_to_both(*key) {
                let stored = [0, 1].map(|node| {
                    let values = &self.pair.on_disk[node][*key];
                    values.contains(&write.value) || values.iter().any(|value| self.place_of(*key, *value) > place)
                });
                self.check(invariants::retained_is_stored(KEYS[*key], write.value, *replicated, stored));
            }
            if *replicated && self.is_open_since_long() {
                let there = tables
                    .iter()
                    .all(|values| values[*key] == write.value || self.place_of(*key, values[*key]) >= place);
                self.check(invariants::replicated_is_there(KEYS[*key], write.value, there));
            }
            let leader = [node, 1 - node]
                .into_iter()
                .find(|node| self.nodes[*node].process.as_ref().is_some_and(|process| process.replicator.leads()));
            if let Some(leader) = leader.filter(|leader| tables[*leader][*key] == write.value) {
                self.pair.answered[*key] = Some((write.value, leader, self.now));
            }
        }
    }

    pub fn known_to_both(&self, key: usize) -> bool {
        self.nodes.iter().all(|node| node.catalog.find(KEYS[key]).is_some())
    }

    /// What the page shows is so.
    pub fn watch_readiness(&mut self, exchange: u64) {
        let (leader, began) = match (self.pair.leads_since[0], self.pair.leads_since[1]) {
            (Some(began), None) => (0, began),
            (None, Some(began)) => (1, began),
            _ => {
                self.pair.unsynced_since = None;
                return;
            }
        };
        let follower = 1 - leader;
        let Some(follows) = &self.nodes[follower].process else { return };
        let in_sync = follows.facts().in_sync;
        if in_sync {
            self.pair.unsynced_since = None;
        } else if let since = *self.pair.unsynced_since.get_or_insert(self.now)
            && self.now - since > exchange
            && self.shows_ready(leader)
        {
            self.check(invariants::ready_is_in_sync(self.now - since, exchange));
        }
        let held = self.values_of(follower);
        for key in 0..4 {
            let Some((value, at, when)) = self.pair.answered[key] else { continue };
            let there = self.values_of(leader)[key];
            let has = held[key] == there || self.place_of(key, held[key]) >= self.place_of(key, value);
            if has || at != leader || !self.known_to_both(key) {
                self.pair.answered[key] = None;
            } else if let lacks_for = self.now - when.max(began)
                && lacks_for > exchange
                && self.shows_ready(leader)
            {
                // What it answered in an earlier tenure, and kept while the other one led, it has just taken up again.
                self.check(invariants::ready_has_what_was_answered(KEYS[key], lacks_for, exchange));
            }
        }
    }

    /// Both have been connected for a while, and nothing was in the way.
    pub fn is_open_since_long(&self) -> bool {
        self.pair.open_since.is_some_and(|since| self.now > since + 1_000_000)
    }

    fn shows_ready(&self, node: usize) -> bool {
        let n = &self.nodes[node];
        n.process.as_ref().is_some_and(|process| process.arbiter.view(n.mono(self.now)).failover_ready)
    }
}
