//! Two replicators, the connections between them and their disks: nothing moves unless a test says so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::arbiter::{Input, Leader, TagFacts};
use crate::bulk::{BatchHeader, Bulk, Incoming, decode, encode, read_batch};
use crate::catalog::{Catalog, TagDef};
use crate::lineage::{Fork, Lineage};
use crate::protocol::{Control, OperationId, WriteItem, WriteOutcome};
use crate::quality::Quality;
use crate::replicator::{
    BATCH_UPDATES, DivergenceReport, Now, Published, Replicator, ReplicatorSettings, TagEffect, TagInput, WriteOrder,
};
use crate::tags::TagTable;
use crate::types::{Epoch, Millis, NodeId, Seq, SyncPhase, UnixMillis};
use crate::value::{Sample, Value, ValueType};
use crate::wire::HEADER_BYTES;

pub const A: usize = 0;
pub const B: usize = 1;

pub const REPLICATION_TIMEOUT: u64 = 500;
pub const SWITCH_TIMEOUT: u64 = 5_000;
pub const VERIFY_EVERY: u64 = 60_000;

pub fn tag(path: &str) -> TagDef {
    TagDef { writable: true, ..TagDef::new(path, ValueType::Int64) }
}

pub fn retained(path: &str) -> TagDef {
    TagDef { retain: true, ..tag(path) }
}

pub fn source_fed(path: &str) -> TagDef {
    TagDef { source_fed: true, writable: false, ..tag(path) }
}

/// `a`, `b`, `c` are plain, `r` and `s` retained, `fed` is a source's, `text` holds texts.
pub fn small() -> Vec<TagDef> {
    let text = TagDef { value_type: ValueType::String, ..tag("text") };
    vec![tag("a"), tag("b"), tag("c"), retained("r"), retained("s"), source_fed("fed"), text]
}

pub fn many(count: usize) -> Vec<TagDef> {
    (0..count).map(|index| tag(&format!("t{index}"))).collect()
}

pub fn item(path: &str, value: i64) -> WriteItem {
    WriteItem { path: path.into(), value: Value::Int64(value), quality: Quality::GOOD, time: None }
}

/// As [`item`], seen by its source at this time.
pub fn item_at(path: &str, value: i64, time: i64) -> WriteItem {
    WriteItem { time: Some(UnixMillis(time)), ..item(path, value) }
}

pub struct Node {
    id: u64,
    pub replicator: Replicator,
    pub table: TagTable,
    pub lineage: Lineage,
    /// Frames to the other node, under way.
    pub lane: VecDeque<Vec<u8>>,
    /// Control messages to the other node, under way.
    pub control: VecDeque<Control>,
    /// What the disk was asked for and has not answered: position, and changes to keep.
    pub disk_queue: VecDeque<(Seq, Vec<(Arc<str>, Sample, Seq)>)>,
    pub disk: BTreeMap<Arc<str>, (Sample, Seq)>,
    /// What could not be written; it goes with the next success.
    disk_failed: Vec<(Arc<str>, Sample, Seq)>,
    pub answers: BTreeMap<u64, WriteOutcome>,
    pub reports: Vec<DivergenceReport>,
    pub told: Vec<TagFacts>,
    pub quiesced: Option<Seq>,
    pub closed_lane: bool,
    /// Its arbiter was told that the bulk connection carries nothing.
    pub stuck_lane: bool,
    next_ticket: u64,
}

pub struct Pair {
    pub nodes: [Node; 2],
    pub now: u64,
    pub lane_up: bool,
    pub link_up: bool,
    /// Disks answer at once.
    pub fast_disks: bool,
    counter: u64,
}

fn settings(batch_updates: usize) -> ReplicatorSettings {
    ReplicatorSettings {
        replication_timeout_ms: REPLICATION_TIMEOUT,
        switch_timeout_ms: SWITCH_TIMEOUT,
        verify_every_ms: VERIFY_EVERY,
        batch_updates,
    }
}

impl Node {
    fn new(id: u64, tags: Vec<TagDef>) -> Self {
        let settings = settings(BATCH_UPDATES);
        Self {
            id,
            replicator: Replicator::new(settings, Lineage::default(), 0),
            table: TagTable::new(Arc::new(Catalog::new(tags).unwrap())),
            lineage: Lineage::default(),
            lane: VecDeque::new(),
            control: VecDeque::new(),
            disk_queue: VecDeque::new(),
            disk: BTreeMap::new(),
            disk_failed: Vec::new(),
            answers: BTreeMap::new(),
            reports: Vec::new(),
            told: Vec::new(),
            quiesced: None,
            closed_lane: false,
            stuck_lane: false,
            next_ticket: 1,
        }
    }

    pub fn facts(&self) -> TagFacts {
        self.replicator.facts(&self.table)
    }

    pub fn sample(&self, path: &str) -> Sample {
        self.table.get(self.table.catalog().find(path).unwrap()).unwrap()
    }

    pub fn int(&self, path: &str) -> i64 {
        let Value::Int64(value) = self.sample(path).value else { panic!("{path} holds no number") };
        value
    }

    /// Changes behind the replicator's back.
    pub fn tamper(&mut self, path: &str, value: i64) {
        let id = self.table.catalog().find(path).unwrap();
        let seq = self.table.slot_seq(id);
        let sample = Sample { value: Value::Int64(value), ..self.table.raw(id).unwrap().clone() };
        assert!(self.table.restore(id, sample, seq));
    }

    pub fn batches_under_way(&self) -> Vec<BatchHeader> {
        let bodies = self.lane.iter().map(|frame| &frame[HEADER_BYTES..]);
        bodies
            .filter(|body| matches!(decode(body), Ok(Incoming::Batch(_))))
            .map(|body| read_batch(body, |_| {}).unwrap())
            .collect()
    }

    pub fn messages_under_way(&self) -> Vec<Bulk> {
        let messages = self.lane.iter().filter_map(|frame| match decode(&frame[HEADER_BYTES..]) {
            Ok(Incoming::Message(message)) => Some(message),
            _ => None,
        });
        messages.collect()
    }

    fn take_in(&mut self, effects: Vec<TagEffect>) {
        for effect in effects {
            match effect {
                TagEffect::ToLane(frame) => self.lane.push_back(frame),
                TagEffect::CloseLane => self.closed_lane = true,
                TagEffect::ToPeer(message) => self.control.push_back(message),
                TagEffect::Answer { ticket, outcome } => {
                    assert_eq!(self.answers.insert(ticket, outcome), None, "{ticket} was answered twice");
                }
                TagEffect::Persist { durable, items } => self.disk_queue.push_back((durable, items)),
                TagEffect::Adopt { durable, .. } => self.disk_queue.push_back((durable, Vec::new())),
                TagEffect::Report(report) => self.reports.push(report),
                TagEffect::Changed(_) => {}
                TagEffect::ToArbiter(Input::Tags(facts)) => self.told.push(facts),
                TagEffect::ToArbiter(Input::Quiesced { last }) => self.quiesced = Some(last),
                TagEffect::ToArbiter(Input::Adopted(lineage)) => self.lineage = lineage,
                TagEffect::ToArbiter(Input::LaneStuck) => self.stuck_lane = true,
                TagEffect::ToArbiter(other) => panic!("{other:?}"),
            }
        }
    }
}

impl Pair {
    /// Two nodes that never met.
    pub fn of(tags_of_a: Vec<TagDef>, tags_of_b: Vec<TagDef>) -> Self {
        let nodes = [Node::new(1, tags_of_a), Node::new(2, tags_of_b)];
        Self { nodes, now: 1_000, lane_up: false, link_up: false, fast_disks: true, counter: 0 }
    }

    /// A leads, B follows, nothing was sent yet.
    pub fn connected(tags: Vec<TagDef>) -> Self {
        let mut pair = Self::of(tags.clone(), tags);
        pair.lead(A);
        pair.connect();
        pair.follow(B);
        pair
    }

    /// A leads and B is in sync.
    pub fn in_sync(tags: Vec<TagDef>) -> Self {
        let mut pair = Self::connected(tags);
        pair.settle();
        pair.assert_in_sync(B);
        pair
    }

    pub fn input(&mut self, at: usize, input: TagInput<'_>) {
        let now = Now { mono: Millis(self.now), wall: UnixMillis(self.now as i64 * 10) };
        let node = &mut self.nodes[at];
        let effects = node.replicator.handle(&mut node.table, input, now);
        node.take_in(effects);
        if self.fast_disks {
            self.disk_answers(at);
        }
    }

    // What the arbiter says.

    /// `at` takes a tenure that starts at what it holds completely.
    pub fn lead(&mut self, at: usize) {
        self.counter += 1;
        let node = &mut self.nodes[at];
        let epoch = Epoch { counter: self.counter, node: NodeId(node.id) };
        node.lineage = node.lineage.promoted(Fork { epoch, at: node.facts().applied });
        let lineage = node.lineage.clone();
        self.input(at, TagInput::Lead(lineage));
    }

    /// `at` takes the data of the other one, which runs.
    pub fn follow(&mut self, at: usize) {
        self.follow_as(at, true);
    }

    pub fn follow_as(&mut self, at: usize, running: bool) {
        let leader = &self.nodes[1 - at];
        let leader = Leader { lineage: leader.lineage.clone(), applied: leader.facts().applied, running };
        self.input(at, TagInput::Follow(leader));
    }

    /// Running moves from `from` to the other one.
    pub fn switch(&mut self, from: usize) {
        self.input(from, TagInput::Quiesce);
        self.settle();
        self.lead(1 - from);
        self.input(from, TagInput::StandBy);
        self.follow(from);
        self.settle();
    }

    // What happens to the connections.

    /// So few changes in a batch.
    pub fn batches_of(&mut self, updates: usize) {
        for node in &mut self.nodes {
            node.replicator = Replicator::new(settings(updates), Lineage::default(), 0);
        }
    }

    pub fn connect(&mut self) {
        (self.lane_up, self.link_up) = (true, true);
        for at in [A, B] {
            self.input(at, TagInput::LinkUp);
            self.input(at, TagInput::LaneUp);
        }
    }

    /// Both connections are cut, and what was under way is lost.
    pub fn cut(&mut self) {
        (self.lane_up, self.link_up) = (false, false);
        for at in [A, B] {
            self.nodes[at].lane.clear();
            self.nodes[at].control.clear();
            self.input(at, TagInput::LaneDown);
            self.input(at, TagInput::LinkDown);
            self.nodes[at].lane.clear();
            self.nodes[at].control.clear();
        }
    }

    /// Only the bulk connection is lost and made anew.
    pub fn lose_lane(&mut self) {
        for at in [A, B] {
            self.nodes[at].lane.clear();
            self.input(at, TagInput::LaneDown);
        }
        for at in [A, B] {
            self.nodes[at].lane.clear();
            self.input(at, TagInput::LaneUp);
        }
    }

    /// `at` starts anew with what is on its disk, and neither leads nor follows.
    pub fn restart(&mut self, at: usize) {
        self.cut();
        let node = &mut self.nodes[at];
        let tags = node.table.catalog().iter().map(|(_, tag)| tag.clone()).collect();
        let fresh = Node::new(node.id, tags);
        let old = std::mem::replace(node, fresh);
        let durable = old.disk.values().map(|(_, seq)| *seq).max().unwrap_or(0);
        for (path, (sample, seq)) in &old.disk {
            let id = node.table.catalog().find(path).unwrap();
            assert!(node.table.restore(id, sample.clone(), *seq));
        }
        node.table.finish_restore();
        let settings = node.replicator.settings;
        node.replicator = Replicator::new(settings, old.lineage.clone(), durable);
        (node.lineage, node.disk, node.next_ticket) = (old.lineage, old.disk, old.next_ticket);
    }

    /// The oldest frame of `from` arrives. False: there is none.
    pub fn deliver(&mut self, from: usize) -> bool {
        let Some(frame) = self.nodes[from].lane.pop_front() else { return false };
        self.input(1 - from, TagInput::Frame(&frame[HEADER_BYTES..]));
        true
    }

    pub fn deliver_all(&mut self, from: usize) {
        while self.deliver(from) {}
    }

    /// The oldest control message of `from` arrives. False: there is none.
    pub fn tell(&mut self, from: usize) -> bool {
        match self.nodes[from].control.pop_front() {
            Some(Control::Forward(forward)) => self.input(1 - from, TagInput::Forward(forward)),
            Some(Control::Forwarded { id, outcome }) => self.input(1 - from, TagInput::Forwarded { id, outcome }),
            Some(other) => panic!("{other:?}"),
            None => return false,
        }
        true
    }

    /// A message of the other node that it would not send by itself.
    pub fn forge(&mut self, to: usize, message: &Bulk) {
        let frame = encode(message).unwrap();
        self.input(to, TagInput::Frame(&frame[HEADER_BYTES..]));
    }

    /// Until nothing is under way any more.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let moved = [A, B].into_iter().any(|at| self.deliver(at) || self.tell(at));
            if !moved {
                return;
            }
        }
        panic!("it never ends: {:?} {:?}", self.nodes[A].messages_under_way(), self.nodes[B].messages_under_way());
    }

    pub fn wait(&mut self, ms: u64) {
        self.now += ms;
        self.input(A, TagInput::Tick);
        self.input(B, TagInput::Tick);
    }

    /// The sum of [`Self::wait`] and [`Self::settle`] until both are in sync again.
    pub fn wait_and_settle(&mut self, ms: u64) {
        self.settle();
        self.wait(ms);
        self.settle();
    }

    // What the disks do.

    pub fn disk_answers(&mut self, at: usize) {
        while self.disk_answers_once(at) {}
    }

    pub fn disk_answers_once(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        let Some((durable, items)) = node.disk_queue.pop_front() else { return false };
        let failed = std::mem::take(&mut node.disk_failed);
        for (path, sample, seq) in failed.into_iter().chain(items) {
            node.disk.insert(path, (sample, seq));
        }
        self.input(at, TagInput::Persisted(Ok(durable)));
        true
    }

    pub fn disk_fails(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let (_, items) = node.disk_queue.pop_front().unwrap();
        node.disk_failed.extend(items);
        self.input(at, TagInput::Persisted(Err("no space".into())));
    }

    // What clients and sources do.

    pub fn write(&mut self, at: usize, path: &str, value: i64) -> u64 {
        self.write_items(at, None, vec![item(path, value)])
    }

    pub fn write_as(&mut self, at: usize, operation: &str, items: Vec<WriteItem>) -> u64 {
        self.write_items(at, Some(operation.into()), items)
    }

    pub fn write_items(&mut self, at: usize, operation: Option<OperationId>, items: Vec<WriteItem>) -> u64 {
        let ticket = self.nodes[at].next_ticket;
        self.nodes[at].next_ticket += 1;
        self.input(at, TagInput::Write(WriteOrder { ticket, operation, items }));
        ticket
    }

    pub fn publish(&mut self, at: usize, path: &str, value: i64) {
        let id = self.nodes[at].table.catalog().find(path).unwrap();
        let time = UnixMillis(self.now as i64);
        let value = Published { id, value: Value::Int64(value), quality: Quality::GOOD, time };
        self.input(at, TagInput::Publish(vec![value]));
    }

    // What is seen.

    pub fn answer(&self, at: usize, ticket: u64) -> Option<&WriteOutcome> {
        self.nodes[at].answers.get(&ticket)
    }

    /// `replicated` of a write that is done; none: it waits.
    pub fn replicated(&self, at: usize, ticket: u64) -> Option<bool> {
        match self.answer(at, ticket)? {
            WriteOutcome::Done { replicated, .. } => Some(*replicated),
            WriteOutcome::Refused(refusal) => panic!("refused: {refusal:?}"),
        }
    }

    pub fn assert_equal(&self) {
        assert_eq!(self.nodes[A].table.digest(), self.nodes[B].table.digest());
    }

    pub fn assert_in_sync(&self, follower: usize) {
        let facts = self.nodes[follower].facts();
        assert!(facts.in_sync && facts.phase == SyncPhase::Incremental, "{facts:?}");
        assert_eq!(facts.leader, self.nodes[1 - follower].lineage.epoch());
        let view = self.nodes[1 - follower].replicator.view(&self.nodes[1 - follower].table, Millis(self.now));
        assert_eq!((view.phase, view.lag_updates), (SyncPhase::Incremental, 0));
        assert_eq!(facts.applied, self.nodes[1 - follower].table.last_seq());
        self.assert_equal();
    }
}
