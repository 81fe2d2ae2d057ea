//! Random runs: whatever happens to connections, disks and roles, both end equal and no answer was a lie.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::pair::*;
use crate::bulk::Bulk;
use crate::protocol::{ItemResult, WriteItem, WriteOutcome};
use crate::replicator::TagInput;
use crate::value::Value;

const TAGS: [&str; 6] = ["a", "b", "c", "r", "s", "d"];

#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize),
    /// A write of all tags under an operation id, or its repetition.
    Operation(usize, u8),
    Deliver(usize),
    Tell(usize),
    Disk(usize),
    DiskFails(usize),
    Wait(u64),
    Cut,
    LoseLane,
    Connect,
    /// While cut: this node takes Running, whatever the other does.
    Takeover(usize),
    Switch,
    AbortedSwitch,
    /// In quiet only, so that nothing is lost that nobody else has.
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..2_usize;
    prop_oneof![
        12 => (node.clone(), 0..TAGS.len()).prop_map(|(at, tag)| Step::Write(at, tag)),
        3 => (node.clone(), 0..4_u8).prop_map(|(at, id)| Step::Operation(at, id)),
        20 => node.clone().prop_map(Step::Deliver),
        8 => node.clone().prop_map(Step::Tell),
        8 => node.clone().prop_map(Step::Disk),
        1 => node.clone().prop_map(Step::DiskFails),
        4 => prop_oneof![Just(1_u64), Just(60), Just(600), Just(70_000)].prop_map(Step::Wait),
        1 => Just(Step::Cut),
        1 => Just(Step::LoseLane),
        4 => Just(Step::Connect),
        1 => node.clone().prop_map(Step::Takeover),
        1 => Just(Step::Switch),
        1 => Just(Step::AbortedSwitch),
        1 => node.prop_map(Step::Restart),
    ]
}

/// As old as can be: done on both sides of a cut, it gives way to every other write.
fn operation_items(last: i64) -> Vec<WriteItem> {
    let first = last - TAGS.len() as i64 + 1;
    TAGS.iter().zip(first..).map(|(path, value)| item_at(path, value, 1)).collect()
}

struct Run {
    pair: Pair,
    leading: [bool; 2],
    next_value: i64,
    /// What each write that was not answered yet wrote.
    open: BTreeMap<(usize, u64), Vec<(usize, i64)>>,
    /// The last value that each operation writes, and when it was made first.
    operations: BTreeMap<u8, (i64, u64)>,
    operations_made: bool,
    /// All values that operations write.
    operation_values: BTreeSet<i64>,
    /// Operations repeated while the nodes were apart: neither can know what the other did.
    repeated_apart: BTreeSet<i64>,
    /// The writes with an operation id: its number, and when it was made first.
    operation_tickets: BTreeMap<(usize, u64), (i64, u64)>,
    /// When a running node was first seen to hold each value: forwarded writes are done later than they were made.
    seen: BTreeMap<i64, u64>,
    /// Values that were first seen while both ran.
    seen_apart: BTreeSet<i64>,
    /// The values of each tag that were answered as done.
    done: [Vec<i64>; TAGS.len()],
    refused: Vec<i64>,
}

impl Run {
    fn new() -> Self {
        let tags = TAGS.map(|path| if matches!(path, "r" | "s") { retained(path) } else { tag(path) });
        let mut pair = Pair::connected(tags.to_vec());
        pair.fast_disks = false;
        Self {
            pair,
            leading: [true, false],
            next_value: 0,
            open: BTreeMap::new(),
            operations: BTreeMap::new(),
            operations_made: false,
            operation_values: BTreeSet::new(),
            repeated_apart: BTreeSet::new(),
            operation_tickets: BTreeMap::new(),
            seen: BTreeMap::new(),
            seen_apart: BTreeSet::new(),
            done: [const { Vec::new() }; TAGS.len()],
            refused: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        self.pair.now += 1;
        match *step {
            Step::Write(at, tag) => {
                self.next_value += 1;
                let ticket = self.pair.write(at, TAGS[tag], self.next_value);
                self.open.insert((at, ticket), vec![(tag, self.next_value)]);
            }
            Step::Operation(at, id) => self.operation(at, id),
            Step::Deliver(from) => drop(self.pair.deliver(from)),
            Step::Tell(from) => drop(self.pair.tell(from)),
            Step::Disk(at) => drop(self.pair.disk_answers_once(at)),
            Step::DiskFails(at) if !self.pair.nodes[at].disk_queue.is_empty() => self.pair.disk_fails(at),
            Step::Wait(ms) => self.pair.wait(ms),
            Step::Cut => self.pair.cut(),
            Step::LoseLane if self.pair.lane_up => self.pair.lose_lane(),
            Step::Connect if !self.pair.link_up => self.meet(),
            Step::Takeover(at) if !self.pair.link_up && !self.leading[at] => {
                self.leading[at] = true;
                self.pair.lead(at);
            }
            Step::Switch if self.follower_in_sync() => self.switch(),
            Step::AbortedSwitch => {
                if let Some(leader) = self.leader() {
                    self.pair.input(leader, TagInput::Quiesce);
                    self.next_value += 1;
                    let ticket = self.pair.write(leader, TAGS[0], self.next_value);
                    self.open.insert((leader, ticket), vec![(0, self.next_value)]);
                    self.pair.input(leader, TagInput::Resume);
                }
            }
            Step::Restart(at) => self.restart(at),
            _ => {}
        }
        self.reconnect_closed_lane();
        self.check();
    }

    /// A follower that was given nothing for long gets a new connection.
    fn reconnect_closed_lane(&mut self) {
        let closed = self.pair.nodes.iter_mut().any(|node| std::mem::take(&mut node.closed_lane));
        if closed && self.pair.lane_up {
            self.pair.lose_lane();
        }
    }

    fn operation(&mut self, at: usize, id: u8) {
        // Before its record is forgotten its client gives up, and goes on with another one.
        self.operations.retain(|_, (_, made)| self.pair.now - *made < 500_000);
        let apart = !self.follower_in_sync() || self.divergent_under_way();
        if let Some((last, _)) = self.operations.get(&id).filter(|_| apart) {
            self.repeated_apart.insert(*last);
        }
        let (last, made) = *self.operations.entry(id).or_insert_with(|| {
            self.operation_values.extend(self.next_value + 1..=self.next_value + TAGS.len() as i64);
            self.next_value += TAGS.len() as i64;
            self.operations_made = true;
            (self.next_value, self.pair.now)
        });
        let ticket = self.pair.write_as(at, &format!("op{last}"), operation_items(last));
        self.operation_tickets.insert((at, ticket), (last, made));
    }

    /// What was answered as done is not done again.
    fn repeat_operations(&mut self, leader: usize) {
        for ((at, ticket), (last, made)) in std::mem::take(&mut self.operation_tickets) {
            let done = matches!(self.pair.answer(at, ticket), Some(WriteOutcome::Done { .. }));
            if done && self.pair.now - made < 600_000 {
                let changes = self.pair.nodes[leader].table.last_seq();
                self.pair.write_as(leader, &format!("op{last}"), operation_items(last));
                assert_eq!(self.pair.nodes[leader].table.last_seq(), changes, "op{last} of {at} was done again");
            }
        }
    }

    fn leader(&self) -> Option<usize> {
        (0..2).find(|at| self.leading[*at] && !self.leading[1 - at])
    }

    fn follower_in_sync(&self) -> bool {
        self.pair.link_up && self.leader().is_some_and(|leader| self.pair.nodes[1 - leader].facts().in_sync)
    }

    /// What a follower has done apart is on its way to the leader, which may do it once more until it comes.
    fn divergent_under_way(&self) -> bool {
        let mut under_way = self.pair.nodes.iter().flat_map(Node::messages_under_way);
        under_way.any(|message| matches!(message, Bulk::Divergent { .. }))
    }

    /// The connections are up again: one stays Running, and the other one follows.
    fn meet(&mut self) {
        self.pair.connect();
        match self.leading {
            [true, true] => {
                self.pair.input(A, TagInput::Quiesce);
                self.pair.input(B, TagInput::StandBy);
                self.leading[B] = false;
                self.pair.lead(A);
                self.pair.follow(B);
            }
            [true, false] => self.pair.follow(B),
            _ => self.pair.follow(A),
        }
    }

    fn switch(&mut self) {
        let Some(leader) = self.leader() else { return };
        self.pair.input(leader, TagInput::Quiesce);
        while self.pair.deliver(leader) || self.pair.deliver(1 - leader) {}
        if !self.follower_in_sync() {
            return self.pair.input(leader, TagInput::Resume);
        }
        self.pair.lead(1 - leader);
        self.pair.input(leader, TagInput::StandBy);
        self.pair.follow(leader);
        self.leading = [leader == B, leader == A];
    }

    fn restart(&mut self, at: usize) {
        if !self.follower_in_sync() {
            return;
        }
        self.quiet();
        self.check();
        self.pair.restart(at);
        self.pair.fast_disks = false;
        self.open.retain(|(node, _), _| *node != at);
        self.operation_tickets.retain(|(node, _), _| *node != at);
        self.leading[at] = false;
        if !self.leading[1 - at] {
            self.leading[1 - at] = true;
            self.pair.lead(1 - at);
        }
        self.meet();
    }

    /// Everything arrives, disks work, and nobody is disturbed.
    fn quiet(&mut self) {
        if !self.pair.link_up {
            self.meet();
        }
        self.pair.fast_disks = true;
        for _ in 0..4 {
            self.pair.disk_answers(A);
            self.pair.disk_answers(B);
            self.pair.wait_and_settle(6_000);
        }
        self.pair.fast_disks = false;
    }

    /// No answer is a lie, and no queue grows.
    fn check(&mut self) {
        for at in [A, B] {
            let mut of_sync = BTreeMap::new();
            for batch in self.pair.nodes[at].batches_under_way() {
                *of_sync.entry(batch.sync).or_insert(0) += 1;
            }
            assert!(of_sync.values().all(|count| *count <= 8), "{of_sync:?}");
            assert!(self.pair.nodes[at].control.len() <= 1_000);
            let facts = self.pair.nodes[at].facts();
            assert!(facts.applied <= facts.last, "{facts:?}");
        }
        for at in (0..2).filter(|at| self.leading[*at]) {
            for path in TAGS {
                let when = self.seen.len() as u64 + 1;
                let value = self.pair.nodes[at].int(path);
                if let Entry::Vacant(place) = self.seen.entry(value) {
                    place.insert(when);
                    if self.leading[1 - at] {
                        self.seen_apart.insert(value);
                    }
                }
            }
        }
        let answered: Vec<_> =
            self.open.keys().copied().filter(|(at, id)| self.pair.answer(*at, *id).is_some()).collect();
        for key in answered {
            let values = self.open.remove(&key).unwrap();
            match self.pair.answer(key.0, key.1).unwrap() {
                WriteOutcome::Done { results, replicated } => {
                    assert!(results.iter().all(|result| *result == ItemResult::Good));
                    for (tag, value) in values {
                        self.done[tag].push(value);
                        if *replicated {
                            self.check_replicated(TAGS[tag], value);
                        }
                    }
                }
                WriteOutcome::Refused(refusal) => {
                    use crate::protocol::WriteRefusal::{Busy, NotRunning, Switching};
                    if !matches!(refusal, Busy | NotRunning(_) | Switching) {
                        continue;
                    }
                    self.refused.extend(values.iter().map(|(_, value)| *value));
                }
            }
        }
    }

    /// Whether a node that holds `held` has, or had, `value`.
    fn covers(&self, held: i64, value: i64) -> bool {
        let when = |value, unseen| self.seen.get(&value).copied().unwrap_or(unseen);
        let of_operation = |last: &i64| (last - TAGS.len() as i64 + 1..=*last).contains(&held);
        when(held, u64::MAX) >= when(value, 0)
            || self.repeated_apart.iter().any(of_operation)
            || self.gave_way_to(held, value)
    }

    /// Whether `value` was replaced by an operation's, which as the oldest by its source time then gave way to one that
    /// the other side had written apart, though that one is older than `value`: the rule looks at the two that it finds.
    fn gave_way_to(&self, held: i64, value: i64) -> bool {
        let written = self.seen.get(&value).copied().unwrap_or(0);
        let replaced = |at: &i64| self.operation_values.contains(at) && self.seen[at] > written;
        self.seen_apart.contains(&held) && self.seen.keys().any(replaced)
    }

    fn check_replicated(&self, path: &str, value: i64) {
        for node in &self.pair.nodes {
            let held = node.int(path);
            assert!(self.covers(held, value), "{path} is {held} and {value} was replicated");
            if matches!(path, "r" | "s") {
                let Value::Int64(on_disk) = node.disk[path].0.value else { panic!("no number") };
                assert!(self.covers(on_disk, value), "{path} is {on_disk} on disk and {value} was replicated");
            }
        }
    }

    fn end(mut self) {
        self.quiet();
        self.check();
        assert!(self.open.is_empty(), "every write is answered: {:?}", self.open);
        let leader = self.leader().unwrap();
        self.pair.assert_in_sync(1 - leader);
        self.repeat_operations(leader);
        for (tag, path) in TAGS.iter().enumerate() {
            let value = self.pair.nodes[leader].int(path);
            assert!(!self.refused.contains(&value), "{path} is {value}, which was refused");
            if !self.operations_made {
                let lost = self.done[tag].iter().find(|done| !self.covers(value, **done));
                assert_eq!(lost, None, "{path} is {value}");
            }
        }
        for node in &self.pair.nodes {
            assert!(node.lane.is_empty() && node.control.is_empty() && !node.closed_lane);
            assert_eq!(node.facts().durable, node.facts().applied);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_end_equal_and_no_answer_was_a_lie(steps in prop::collection::vec(step(), 1..150)) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
        }
        run.end();
    }
}
