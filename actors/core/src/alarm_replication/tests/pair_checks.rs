//! What must be true when everything was delivered.

use super::pair::Pair;
use crate::alarms::{AlarmState, Positions};

impl Pair {
    /// Both have the same, on their disks, and nothing is under way.
    pub(super) fn assert_equal(&self) {
        let [a, b] = &self.nodes;
        let leader = self.leader().expect("one leads");
        for node in [a, b] {
            assert_eq!(node.machine.view().unstored, 0);
            assert!(node.machine.storing.deadline().is_none() && node.jobs.is_empty());
            let real: Positions =
                node.machine.held.iter().filter(|(_, last)| **last > 0).map(|(k, v)| (*k, *v)).collect();
            assert_eq!(real, node.disk.held, "what node {} holds is on its disk", node.id);
            for (origin, last) in &node.disk.held {
                assert!(
                    node.machine.included.get(origin).is_some_and(|included| included >= last),
                    "{origin} is absorbed"
                );
                assert_eq!(node.disk.included.get(origin), node.machine.included.get(origin));
            }
            for ticket in &self.asked[node.id] {
                assert!(node.answers.contains_key(ticket), "request {ticket} was never answered");
            }
        }
        assert_eq!(a.disk.held, b.disk.held);
        if a.disk.pruned + b.disk.pruned == 0 {
            assert!(a.disk.entries == b.disk.entries, "both journals are the same");
        } else {
            for (key, entry) in &a.disk.entries {
                assert!(b.disk.entries.get(key).is_none_or(|other| other == entry));
            }
        }
        if a.table.list().hash() == b.table.list().hash() {
            assert_eq!(a.table.digest(), b.table.digest(), "both tables are the same");
        }
        for (key, state) in a.table.states() {
            if let Some(id) = b.table.list().find(key) {
                let portable = |state: &AlarmState| state.digest(key);
                assert_eq!(b.table.state(id).map(portable), Some(portable(state)));
            }
        }
        assert!(self.nodes[1 - leader].machine.facts().in_sync, "the follower is in sync");
        assert!(!self.nodes[leader].machine.facts().lagging);
        assert_eq!(self.nodes[leader].machine.view().lag, 0);
    }

    /// What was said to be done is there, and what was said to be on both disks was not done again since.
    pub(super) fn assert_operations(&self) {
        for id in &self.good {
            assert!((0..2).all(|at| self.found(at, *id) > 0), "operation {id} was done, and is lost");
        }
        for (id, entries) in &self.settled {
            assert!((0..2).all(|at| self.found(at, *id) == *entries), "operation {id} was done again");
        }
    }
}
