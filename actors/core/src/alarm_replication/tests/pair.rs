//! Two machines, joined by queues that keep their order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::pair_disk::{Disk, Job, Jobs};
use crate::alarm_replication::{AlarmEffect, AlarmForward, AlarmInput, AlarmReplication, AlarmSettings};
use crate::alarms::{
    AckMode, AlarmAction, AlarmCondition, AlarmDef, AlarmList, AlarmPriority, AlarmRequest, AlarmTable, LimitLevel,
    Watched, Who,
};
use crate::arbiter::{Input, Leader};
use crate::catalog::{Catalog, TagDef, TagId};
use crate::lineage::{Fork, Lineage};
use crate::protocol::{AlarmOutcome, Control, OperationId};
use crate::quality::Quality;
use crate::replicator::Now;
use crate::tags::TagTable;
use crate::types::{Epoch, Millis, NodeId, UnixMillis};
use crate::value::{Sample, Value, ValueType};

pub(super) const TAGS: usize = 6;
pub(super) const VERIFY_EVERY_MS: u64 = 5000;

/// One node.
pub(super) struct Node {
    pub id: usize,
    pub machine: AlarmReplication,
    pub table: AlarmTable,
    pub tags: TagTable,
    pub disk: Disk,
    pub jobs: Jobs,
    pub lane: VecDeque<Vec<u8>>,
    pub control: VecDeque<Control>,
    pub answers: BTreeMap<u64, AlarmOutcome>,
    pub quiesced: bool,
    pub closes: usize,
}

pub(super) struct Pair {
    pub nodes: [Node; 2],
    pub now: Now,
    pub linked: bool,
    pub lane: bool,
    counter: u64,
    lists: [Arc<AlarmList>; 2],
    /// Requests that were not lost with their node.
    pub asked: [Vec<u64>; 2],
    next_ticket: u64,
    /// Entries of an operation in both journals when it was said to be on both disks.
    pub settled: BTreeMap<u8, usize>,
    pub good: Vec<u8>,
    tickets: BTreeMap<u64, Option<u8>>,
}

fn alarm(tag: usize, name: &str, mode: AckMode, delay: u64) -> AlarmDef {
    AlarmDef {
        path: Arc::from(format!("t{tag}")),
        name: Arc::from(name),
        watched: Watched::Tag(TagId(tag as u32)),
        condition: AlarmCondition::Limit { level: LimitLevel::H, limit: 10.0, inclusive: false, deadband: 2.0 },
        active_delay_ms: delay,
        resume_delay_ms: delay / 2,
        priority: AlarmPriority::High,
        ack_mode: mode,
        description: Arc::from("an alarm"),
    }
}

/// Two alarms a tag; the second list lacks one of them and has another.
pub(super) fn lists(different: bool) -> [Arc<AlarmList>; 2] {
    let mut defs = Vec::new();
    for tag in 0..TAGS {
        defs.push(alarm(tag, "H", AckMode::Manual, if tag % 2 == 0 { 0 } else { 300 }));
        let mode = if tag % 2 == 0 { AckMode::Automatic } else { AckMode::ManualWithComment };
        defs.push(alarm(tag, "B", mode, if tag == 4 { 2000 } else { 0 }));
    }
    let mut others = defs.clone();
    if different {
        others.remove(0);
        others.push(alarm(5, "X", AckMode::Manual, 0));
    }
    [defs, others].map(|defs| Arc::new(AlarmList::new(defs).expect("each stands there once")))
}

fn tags() -> TagTable {
    let tag = |tag: usize| TagDef {
        writable: true,
        initial: Some(Value::Float64(0.0)),
        ..TagDef::new(Arc::from(format!("t{tag}")), ValueType::Float64)
    };
    TagTable::new(Arc::new(Catalog::new((0..TAGS).map(tag).collect()).expect("each stands there once")))
}

pub(super) fn settings(node: usize) -> AlarmSettings {
    AlarmSettings {
        node: NodeId(node as u64 + 1),
        replication_timeout_ms: 500,
        switch_timeout_ms: 1000,
        verify_every_ms: VERIFY_EVERY_MS,
        stale_after_ms: Some(3_600_000),
    }
}

impl Pair {
    /// The first node leads, the other one follows; everything is in sync.
    pub(super) fn new(different_lists: bool) -> Self {
        let now = Now { mono: Millis(1000), wall: UnixMillis(1_000_000) };
        let lists = lists(different_lists);
        let node = |id: usize| {
            let mut table = AlarmTable::new(lists[id].clone());
            let disk = Disk::default();
            let machine = AlarmReplication::new(settings(id), disk.found(), &mut table, now);
            Node {
                id,
                machine,
                table,
                tags: tags(),
                disk,
                jobs: VecDeque::new(),
                lane: VecDeque::new(),
                control: VecDeque::new(),
                answers: BTreeMap::new(),
                quiesced: false,
                closes: 0,
            }
        };
        let nodes = [node(0), node(1)];
        let mut pair = Self {
            nodes,
            now,
            linked: false,
            lane: false,
            counter: 0,
            lists,
            asked: [Vec::new(), Vec::new()],
            next_ticket: 1,
            settled: BTreeMap::new(),
            good: Vec::new(),
            tickets: BTreeMap::new(),
        };
        pair.lead(0);
        pair.link_up();
        pair.follow(1);
        pair.lane_up();
        pair.settle(3000);
        pair
    }

    pub(super) fn hear(&mut self, at: usize, input: AlarmInput<'_>) {
        let now = self.now;
        let (linked, lane) = (self.linked, self.lane);
        let node = &mut self.nodes[at];
        let effects = node.machine.handle(&mut node.table, &node.tags, input, now);
        let mut close = false;
        for effect in effects {
            match effect {
                AlarmEffect::ToLane(frame) if lane && !close => self.nodes[1 - at].lane.push_back(frame),
                AlarmEffect::ToPeer(message) if linked => self.nodes[1 - at].control.push_back(message),
                AlarmEffect::ToLane(_) | AlarmEffect::ToPeer(_) | AlarmEffect::Facts => {}
                AlarmEffect::CloseLane => close = true,
                AlarmEffect::Answer { ticket, outcome } => {
                    self.check(ticket, &outcome);
                    let before = self.nodes[at].answers.insert(ticket, outcome);
                    assert!(before.is_none(), "request {ticket} was answered twice");
                }
                AlarmEffect::Store(batch) => {
                    let node = &mut self.nodes[at];
                    let busy = node.jobs.iter().any(|job| matches!(job, Job::Append(_)));
                    assert!(!busy, "two batches under way");
                    node.jobs.push_back(Job::Append(batch));
                }
                AlarmEffect::Read { purpose, origin, from, max } => {
                    self.nodes[at].jobs.push_back(Job::Read { purpose, origin, from, max });
                }
                AlarmEffect::ToArbiter(Input::Quiesced { .. }) => self.nodes[at].quiesced = true,
                AlarmEffect::ToArbiter(other) => panic!("the arbiter was told {other:?}"),
            }
        }
        if close {
            self.nodes[at].closes += 1;
            self.lane_down();
        }
    }

    fn check(&mut self, ticket: u64, outcome: &AlarmOutcome) {
        let Some(Some(id)) = self.tickets.get(&ticket).copied() else { return };
        if let AlarmOutcome::Done { result: crate::alarms::AlarmResult::Good, replicated } = outcome {
            self.good.push(id);
            if *replicated {
                let found: Vec<_> = self.nodes.iter().map(|node| self.found(node.id, id)).collect();
                let forgotten = self.nodes.iter().any(|node| node.disk.pruned > 0);
                assert!(forgotten || found.iter().all(|entries| *entries > 0), "not on both disks: {found:?}");
                self.settled.entry(id).or_insert(found[0].max(found[1]));
            }
        }
    }

    /// Entries on the disk of a node that were asked for under this id.
    pub(super) fn found(&self, at: usize, id: u8) -> usize {
        let id = operation(id);
        self.nodes[at].disk.entries.values().filter(|entry| entry.operation.as_ref() == Some(&id)).count()
    }

    pub(super) fn leader(&self) -> Option<usize> {
        (0..2).find(|at| self.nodes[*at].machine.leads())
    }

    fn lineage(&mut self, at: usize) -> Lineage {
        self.counter += 1;
        Lineage::new(vec![Fork { epoch: Epoch { counter: self.counter, node: NodeId(at as u64 + 1) }, at: 0 }])
    }

    pub(super) fn lead(&mut self, at: usize) {
        let lineage = self.lineage(at);
        self.hear(at, AlarmInput::Lead(lineage));
    }

    /// That node follows the other one.
    pub(super) fn follow(&mut self, at: usize) {
        let epoch = self.nodes[1 - at].machine.pen.origin;
        let running = self.nodes[1 - at].machine.role != super::super::Role::Standby;
        let lineage = Lineage::new(vec![Fork { epoch, at: 0 }]);
        self.hear(at, AlarmInput::Follow(Leader { lineage, applied: 0, running }));
    }

    pub(super) fn link_up(&mut self) {
        if !self.linked {
            self.linked = true;
            self.hear(0, AlarmInput::LinkUp);
            self.hear(1, AlarmInput::LinkUp);
        }
    }

    pub(super) fn link_down(&mut self) {
        if self.linked {
            self.lane_down();
            self.linked = false;
            for at in 0..2 {
                self.nodes[at].control.clear();
                self.hear(at, AlarmInput::LinkDown);
            }
        }
    }

    pub(super) fn lane_up(&mut self) {
        if self.linked && !self.lane {
            self.lane = true;
            self.hear(0, AlarmInput::LaneUp);
            self.hear(1, AlarmInput::LaneUp);
        }
    }

    pub(super) fn lane_down(&mut self) {
        if self.lane {
            self.lane = false;
            for at in 0..2 {
                self.nodes[at].lane.clear();
                self.hear(at, AlarmInput::LaneDown);
            }
        }
    }

    /// The process dies and starts again.
    pub(super) fn crash(&mut self, at: usize) {
        self.link_down();
        let now = self.now;
        let list = self.lists[at].clone();
        let node = &mut self.nodes[at];
        node.jobs.clear();
        node.quiesced = false;
        node.table = AlarmTable::new(list);
        node.machine = AlarmReplication::new(settings(at), node.disk.found(), &mut node.table, now);
        node.tags = tags();
        self.asked[at].clear();
    }

    pub(super) fn change(&mut self, tag: usize, value: f64) {
        for at in 0..2 {
            if !self.nodes[at].machine.leads() {
                continue;
            }
            let id = TagId(tag as u32);
            let sample = Sample { value: Value::Float64(value), quality: Quality::GOOD, time: self.now.wall };
            let other = self.lane && !self.nodes[1 - at].machine.leads();
            self.nodes[at].tags.write(id, sample.value.clone(), sample.quality, sample.time);
            if other {
                self.nodes[1 - at].tags.write(id, sample.value.clone(), sample.quality, sample.time);
            }
            self.hear(at, AlarmInput::Changed(&[(id, sample)]));
        }
    }

    pub(super) fn ask(&mut self, at: usize, action: AlarmAction, id: Option<u8>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.asked[at].push(ticket);
        self.tickets.insert(ticket, id);
        let who = Who { operator: Arc::from("Ann"), node: NodeId(at as u64 + 1) };
        let request = AlarmRequest { action, who, operation: id.map(operation) };
        self.hear(at, AlarmInput::Request { ticket, request });
        ticket
    }

    /// The next frame for that node. False: there is none.
    pub(super) fn deliver(&mut self, to: usize) -> bool {
        let Some(frame) = self.nodes[to].lane.pop_front() else { return false };
        self.hear(to, AlarmInput::Frame(&frame[crate::wire::HEADER_BYTES..]));
        true
    }

    pub(super) fn tell(&mut self, to: usize) -> bool {
        match self.nodes[to].control.pop_front() {
            Some(Control::AlarmForward(forward)) => {
                let AlarmForward { .. } = &forward;
                self.hear(to, AlarmInput::Forward(forward));
            }
            Some(Control::AlarmForwarded { id, outcome }) => self.hear(to, AlarmInput::Forwarded { id, outcome }),
            Some(other) => panic!("{other:?} is nothing about alarms"),
            None => return false,
        }
        true
    }

    pub(super) fn work(&mut self, at: usize) -> bool {
        let Some(job) = self.nodes[at].jobs.pop_front() else { return false };
        let input = self.nodes[at].disk.work(job);
        self.hear(at, input);
        true
    }

    pub(super) fn wait(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus(ms);
        self.now.wall = UnixMillis(self.now.wall.0.saturating_add_unsigned(ms));
        self.hear(0, AlarmInput::Tick);
        self.hear(1, AlarmInput::Tick);
    }

    /// Everything is delivered, for so many milliseconds.
    pub(super) fn settle(&mut self, ms: u64) {
        let end = self.now.mono.plus(ms);
        let mut rounds = 0;
        loop {
            while (0..2).any(|at| self.deliver(at) || self.tell(at) || self.work(at)) {
                rounds += 1;
                assert!(rounds < 300_000, "it never ends");
            }
            self.lane_up();
            if self.now.mono >= end {
                return;
            }
            let next = self.nodes.iter().filter_map(|node| node.machine.next_deadline()).min().unwrap_or(end);
            let left = next.since(self.now.mono).clamp(1, 100);
            self.wait(left);
            if let Some(at) = (0..2).find(|at| {
                let node = &self.nodes[*at];
                node.jobs.is_empty() && node.machine.next_deadline().is_some_and(|next| next <= self.now.mono)
            }) {
                panic!("node {at} wants to be woken again for what it did not do");
            }
        }
    }

    /// A planned switch, as the arbiter does it.
    pub(super) fn begin_switch(&mut self) {
        if let Some(at) = self.leader().filter(|_| self.linked) {
            self.nodes[at].quiesced = false;
            self.hear(at, AlarmInput::Quiesce { last: 1 });
        }
    }

    /// Likewise of a clean stop without a peer.
    pub(super) fn begin_switch_alone(&mut self) {
        self.nodes[0].quiesced = false;
        self.hear(0, AlarmInput::Quiesce { last: 1 });
    }

    pub(super) fn go_on_with_switch(&mut self) {
        for at in 0..2 {
            if self.nodes[at].quiesced && self.linked && !self.nodes[1 - at].machine.leads() {
                self.nodes[at].quiesced = false;
                self.hear(at, AlarmInput::StandBy);
                self.lead(1 - at);
                self.follow(at);
            }
        }
    }

    pub(super) fn abort_switch(&mut self) {
        for at in 0..2 {
            self.nodes[at].quiesced = false;
            if self.nodes[at].machine.role == super::super::Role::Quiesced {
                self.hear(at, AlarmInput::RefuseWaiting);
                self.hear(at, AlarmInput::Resume);
            }
        }
    }

    /// One leads, the other follows, both disks work.
    pub(super) fn heal(&mut self, winner: usize) {
        for at in 0..2 {
            self.nodes[at].disk.failing = false;
        }
        self.abort_switch();
        self.link_up();
        let leading = [0, 1].map(|at| self.nodes[at].machine.leads());
        let winner = match leading {
            [true, false] => 0,
            [false, true] => 1,
            _ => winner,
        };
        if leading != [winner == 0, winner == 1] || leading == [true, true] {
            self.hear(1 - winner, AlarmInput::StandBy);
            self.lead(winner);
        }
        self.follow(1 - winner);
        self.lane_up();
    }

    /// Some occurrence that an operator sees at that node.
    pub(super) fn some_event(&self, at: usize, which: usize) -> Option<crate::alarms::EventId> {
        let live: Vec<_> = self.nodes[at].table.live().map(|(_, live)| live.event).collect();
        (!live.is_empty()).then(|| live[which % live.len()])
    }
}

pub(super) fn operation(id: u8) -> OperationId {
    OperationId::from(format!("operation {id}"))
}
