//! The tag table's applier: a leader and its follower, honest in what they send, and between them whoever changes
//! frames, makes up others, or takes the part of either. Nothing may panic or grow, and when that is over, an honest
//! sync makes both equal and either can lead.

use std::collections::VecDeque;
use std::sync::Arc;

use hotpair_core::arbiter::{Input, Leader, TagFacts};
use hotpair_core::bulk::{self, BatchWriter, Bulk, DoneOperation, Incoming};
use hotpair_core::catalog::{Catalog, TagDef};
use hotpair_core::lineage::{Fork, Lineage};
use hotpair_core::operations::Record;
use hotpair_core::protocol::{Control, Forward, ItemResult, WriteItem, WriteOutcome, WriteRefusal};
use hotpair_core::quality::Quality;
use hotpair_core::replicator::{Now, Published, Replicator, ReplicatorSettings, TagEffect, TagInput, WriteOrder};
use hotpair_core::tags::{Partial, TagTable};
use hotpair_core::types::{Epoch, Millis, NodeId, Seq, UnixMillis};
use hotpair_core::value::{Sample, Value, ValueType};
use hotpair_core::wire::{self, HEADER_BYTES, Kind};

use super::script::Script;

const LEADER: usize = 0;
const FOLLOWER: usize = 1;
const PATHS: [&str; 9] = ["a", "b", "r", "s", "fed", "text", "flag", "time", "float"];
/// Frames that one input may cause: a window of batches, and what goes with them.
const MOST_FRAMES: usize = 32;
/// A script is not played beyond this, so that each takes about a millisecond.
const MOST_STEPS: usize = 150;

struct Node {
    id: u64,
    replicator: Replicator,
    table: TagTable,
    lineage: Lineage,
    lane: VecDeque<Vec<u8>>,
    control: VecDeque<Control>,
    disk: VecDeque<Seq>,
    /// The newest sync that it asked for.
    sync: u64,
    closed: bool,
    open_tickets: usize,
}

struct Stage {
    nodes: [Node; 2],
    now: u64,
    counter: u64,
    next_ticket: u64,
}

/// The first byte chooses the tags of the follower; the rest are steps.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let same_tags = script.byte() % 4 != 3;
    let mut stage = Stage::new(same_tags);
    for _ in 0..MOST_STEPS {
        if script.is_done() {
            break;
        }
        stage.step(&mut script);
    }
    stage.honest_sync(LEADER);
    stage.assert_equal(same_tags);
    // Whoever was told of nearly as many changes as can be counted may have none left to count.
    if stage.nodes[FOLLOWER].table.last_seq() < 1 << 61 {
        stage.honest_sync(FOLLOWER);
        stage.write(FOLLOWER, "a", Value::Int64(4711));
        stage.settle();
        stage.assert_equal(same_tags);
        let id = stage.nodes[LEADER].table.catalog().find("a").expect("every list has it");
        assert_eq!(stage.nodes[LEADER].table.raw(id).map(|sample| &sample.value), Some(&Value::Int64(4711)));
    }
}

impl Node {
    fn new(id: u64, same_tags: bool) -> Self {
        let settings = ReplicatorSettings {
            replication_timeout_ms: 500,
            switch_timeout_ms: 5000,
            verify_every_ms: 60_000,
            batch_updates: 3,
        };
        let mut tags: Vec<_> = PATHS.map(tag).to_vec();
        if !same_tags && id == 2 {
            tags.swap(0, 3);
            tags.remove(1);
            tags.push(TagDef::new("other", ValueType::Bool));
        }
        Self {
            id,
            replicator: Replicator::new(settings, Lineage::default(), 0),
            table: TagTable::new(Arc::new(Catalog::new(tags).expect("each stands there once"))),
            lineage: Lineage::default(),
            lane: VecDeque::new(),
            control: VecDeque::new(),
            disk: VecDeque::new(),
            sync: 0,
            closed: false,
            open_tickets: 0,
        }
    }

    fn facts(&self) -> TagFacts {
        self.replicator.facts(&self.table)
    }

    /// What a node sends, any peer understands.
    fn send(&mut self, frame: Vec<u8>) {
        let found = wire::decode(&frame, Kind::Bulk).expect("a right frame").expect("a whole frame");
        match bulk::decode(found.body).expect("a right message") {
            Incoming::Message(Bulk::SyncRequest { sync, .. }) => self.sync = sync,
            Incoming::Message(_) => {}
            Incoming::Batch(batch) => drop(bulk::read_batch(batch, |_| {}).expect("a right batch")),
        }
        self.lane.push_back(frame);
    }
}

impl Stage {
    fn new(same_tags: bool) -> Self {
        let nodes = [Node::new(1, same_tags), Node::new(2, same_tags)];
        let mut stage = Self { nodes, now: 1000, counter: 0, next_ticket: 1 };
        stage.lead(LEADER);
        stage.connect(LEADER);
        stage
    }

    fn input(&mut self, at: usize, input: TagInput<'_>) {
        let now = Now { mono: Millis(self.now), wall: UnixMillis(self.now.cast_signed() * 10) };
        let node = &mut self.nodes[at];
        let under_way = node.lane.len();
        for effect in node.replicator.handle(&mut node.table, input, now) {
            match effect {
                TagEffect::ToLane(frame) => node.send(frame),
                TagEffect::CloseLane => node.closed = true,
                TagEffect::ToPeer(message) => {
                    wire::encode_control(&message).expect("a right message");
                    node.control.push_back(message);
                }
                TagEffect::Answer { .. } => {
                    node.open_tickets = node.open_tickets.checked_sub(1).expect("nobody asked");
                }
                TagEffect::Persist { durable, .. } | TagEffect::Adopt { durable, .. } => node.disk.push_back(durable),
                TagEffect::ToArbiter(Input::Adopted(lineage)) => node.lineage = lineage,
                TagEffect::ToArbiter(_) | TagEffect::Report(_) | TagEffect::Changed(_) => {}
            }
        }
        assert!(node.lane.len() - under_way <= MOST_FRAMES, "it sends without end");
        let facts = node.facts();
        assert!(facts.applied <= facts.last, "{facts:?}");
        // What is shown, and what waits, can be asked for at any time.
        let view = node.replicator.view(&node.table, Millis(self.now));
        assert!((0.0..=1.0).contains(&view.progress), "{view:?}");
    }

    fn step(&mut self, script: &mut Script<'_>) {
        self.now += 1;
        let at = script.below(2);
        match script.below(16) {
            0 | 1 => self.some_write(at, script),
            2 | 3 => drop(self.deliver(at)),
            4 => while self.deliver(1 - at) || self.deliver(at) {},
            5 | 6 => {
                if let Some(mut frame) = self.nodes[1 - at].lane.pop_front() {
                    let mut body = frame.split_off(HEADER_BYTES);
                    script.damage(&mut body);
                    self.input(at, TagInput::Frame(&body));
                }
            }
            7 => self.input(at, TagInput::Frame(script.take(255))),
            8 | 9 => {
                let sync = self.nodes.iter().map(|node| node.sync).max().unwrap_or(0);
                if let Ok(frame) = bulk::encode(&made_up_message(script, sync, &self.nodes)) {
                    self.input(at, TagInput::Frame(&frame[HEADER_BYTES..]));
                }
            }
            10 | 11 => {
                let sync = self.nodes[at].sync;
                if let Some(frame) = made_up_batch(script, sync) {
                    self.input(at, TagInput::Frame(&frame[HEADER_BYTES..]));
                }
            }
            12 => self.control(at, script),
            13 => {
                self.now += [1, 60, 700, 11_000][script.below(4)];
                (0..2).for_each(|at| self.input(at, TagInput::Tick));
            }
            14 => {
                if let Some(seq) = self.nodes[at].disk.pop_front() {
                    let result = if script.flag() { Err("no space".into()) } else { Ok(seq) };
                    self.input(at, TagInput::Persisted(result));
                }
            }
            _ => {
                self.disconnect();
                self.connect(LEADER);
            }
        }
        self.mend_lane();
    }

    /// A connection that was given up is made anew.
    fn mend_lane(&mut self) {
        if self.nodes.iter_mut().any(|node| std::mem::take(&mut node.closed)) {
            for input in [|| TagInput::LaneDown, || TagInput::LaneUp] {
                for at in 0..2 {
                    self.nodes[at].lane.clear();
                    self.input(at, input());
                }
            }
        }
    }

    fn some_write(&mut self, at: usize, script: &mut Script<'_>) {
        let path = PATHS[script.below(PATHS.len())];
        let value = value(script);
        if script.byte().is_multiple_of(4) {
            let id = self.nodes[at].table.catalog().find(path);
            let fits = id.and_then(|id| self.nodes[at].table.catalog().get(id)).map(|tag| tag.value_type);
            // A source gives values of its tag's type.
            if let Some(id) = id.filter(|_| fits == Some(value.value_type())) {
                let time = UnixMillis(script.number().cast_signed());
                let value = Published { id, value, quality: Quality::GOOD, time };
                self.input(at, TagInput::Publish(vec![value]));
            }
        } else {
            self.write(at, path, value);
        }
    }

    fn write(&mut self, at: usize, path: &str, value: Value) {
        let items = vec![WriteItem { path: path.into(), value, quality: Quality::GOOD, time: None }];
        let operation = self.next_ticket.is_multiple_of(3).then(|| Arc::from(format!("op{}", self.next_ticket)));
        self.next_ticket += 1;
        self.nodes[at].open_tickets += 1;
        self.input(at, TagInput::Write(WriteOrder { ticket: self.next_ticket, operation, items }));
    }

    /// The control connection: what is under way on it, or something made up.
    fn control(&mut self, at: usize, script: &mut Script<'_>) {
        if script.flag() {
            self.tell(at);
            return;
        }
        let id = script.number();
        let outcome = match script.below(4) {
            0 => WriteOutcome::Refused(WriteRefusal::NotRunning(String::new())),
            1 => WriteOutcome::Refused(WriteRefusal::Busy),
            _ => WriteOutcome::Done { results: results(script), replicated: script.flag() },
        };
        if script.flag() {
            return self.input(at, TagInput::Forwarded { id, outcome });
        }
        let items = (0..script.below(4)).map(|_| WriteItem {
            path: PATHS[script.below(PATHS.len())].into(),
            value: value(script),
            quality: Quality(script.number() as u32),
            time: Some(UnixMillis(script.number().cast_signed())),
        });
        let items = items.collect();
        let operation = script.flag().then(|| operation(script));
        let (part, request_hash, deadline_ms) = (script.number() as u32, script.number(), script.number());
        self.input(at, TagInput::Forward(Forward { id, operation, part, request_hash, deadline_ms, items }));
    }

    fn lead(&mut self, at: usize) {
        self.counter += 1;
        let node = &mut self.nodes[at];
        let epoch = Epoch { counter: self.counter, node: NodeId(node.id) };
        node.lineage = node.lineage.promoted(Fork { epoch, at: node.facts().applied });
        let lineage = node.lineage.clone();
        self.input(at, TagInput::Lead(lineage));
    }

    fn connect(&mut self, leader: usize) {
        for at in 0..2 {
            self.input(at, TagInput::LinkUp);
            self.input(at, TagInput::LaneUp);
        }
        let of = &self.nodes[leader];
        let named = Leader { lineage: of.lineage.clone(), applied: of.facts().applied, running: true };
        self.input(1 - leader, TagInput::Follow(named));
    }

    fn disconnect(&mut self) {
        for input in [|| TagInput::LaneDown, || TagInput::LinkDown] {
            (0..2).for_each(|at| self.input(at, input()));
        }
        for node in &mut self.nodes {
            node.lane.clear();
            node.control.clear();
            node.closed = false;
        }
    }

    fn deliver(&mut self, to: usize) -> bool {
        let Some(frame) = self.nodes[1 - to].lane.pop_front() else { return false };
        self.input(to, TagInput::Frame(&frame[HEADER_BYTES..]));
        true
    }

    fn tell(&mut self, to: usize) -> bool {
        match self.nodes[1 - to].control.pop_front() {
            Some(Control::Forward(forward)) => self.input(to, TagInput::Forward(forward)),
            Some(Control::Forwarded { id, outcome }) => self.input(to, TagInput::Forwarded { id, outcome }),
            Some(other) => panic!("{other:?} is nothing about tags"),
            None => return false,
        }
        true
    }

    /// Whoever was between the two is gone: a new connection, and only what they send.
    fn honest_sync(&mut self, leader: usize) {
        self.disconnect();
        self.input(1 - leader, TagInput::StandBy);
        self.lead(leader);
        self.connect(leader);
        self.settle();
        let facts = self.nodes[1 - leader].facts();
        assert!(facts.in_sync, "no sync any more: {facts:?} {:?}", self.nodes[leader].facts());
    }

    fn settle(&mut self) {
        for _ in 0..12 {
            let mut moved = 0;
            while (0..2).any(|at| self.deliver(at) || self.tell(at) || self.disk_answers(at)) {
                moved += 1;
                assert!(moved < 10_000, "it never ends: {:?}", self.under_way());
                self.mend_lane();
            }
            self.now += 6000;
            (0..2).for_each(|at| self.input(at, TagInput::Tick));
        }
        for node in &self.nodes {
            assert_eq!(node.open_tickets, 0, "a write was never answered");
        }
    }

    /// For whoever looks for what goes on for ever.
    fn under_way(&self) -> Vec<String> {
        let shown = |frame: &Vec<u8>| format!("{:?}", bulk::decode(&frame[HEADER_BYTES..]));
        let facts = self.nodes.iter().map(|node| format!("{:?}", node.facts()));
        facts.chain(self.nodes.iter().flat_map(|node| node.lane.iter().map(shown))).collect()
    }

    fn disk_answers(&mut self, at: usize) -> bool {
        let Some(seq) = self.nodes[at].disk.pop_front() else { return false };
        self.input(at, TagInput::Persisted(Ok(seq)));
        true
    }

    fn assert_equal(&self, same_tags: bool) {
        let [one, other] = &self.nodes;
        for (id, tag) in one.table.catalog().iter() {
            let Some(there) = other.table.catalog().find(&tag.path) else { continue };
            let (here, there) = (one.table.raw(id), other.table.raw(there));
            assert_eq!(format!("{here:?}"), format!("{there:?}"), "{}", tag.path);
        }
        if same_tags {
            assert_eq!(one.table.digest(), other.table.digest());
        }
    }
}

fn tag(path: &str) -> TagDef {
    let value_type = match path {
        "text" => ValueType::String,
        "flag" => ValueType::Bool,
        "time" => ValueType::DateTime,
        "float" => ValueType::Float64,
        _ => ValueType::Int64,
    };
    let (retain, source_fed) = (matches!(path, "r" | "s"), path == "fed");
    TagDef { writable: !source_fed, retain, source_fed, ..TagDef::new(path, value_type) }
}

fn value(script: &mut Script<'_>) -> Value {
    match script.below(5) {
        0 => Value::Int64(script.number().cast_signed()),
        1 => Value::Bool(script.flag()),
        2 => Value::Float64(f64::from_bits(script.number())),
        3 => Value::String(String::from_utf8_lossy(script.take(40)).into()),
        _ => Value::DateTime(UnixMillis(script.number().cast_signed())),
    }
}

fn sample(script: &mut Script<'_>) -> Sample {
    let quality = if script.flag() { Quality::GOOD } else { Quality(script.number() as u32) };
    Sample { value: value(script), quality, time: UnixMillis(script.number().cast_signed()) }
}

fn lineage(script: &mut Script<'_>, nodes: &[Node; 2]) -> Lineage {
    let real = nodes[script.below(2)].lineage.clone();
    match script.below(3) {
        0 => real,
        1 => real.promoted(fork(script)),
        _ => Lineage::new((0..script.below(4)).map(|_| fork(script)).collect()),
    }
}

fn fork(script: &mut Script<'_>) -> Fork {
    // Counters of a broken peer; the arbiter, which is not played here, would have the next word on them.
    let epoch = Epoch { counter: script.number(), node: NodeId(script.number() % 4) };
    Fork { epoch, at: script.number() }
}

fn operation(script: &mut Script<'_>) -> Arc<str> {
    Arc::from(format!("op{}", script.number()))
}

fn results(script: &mut Script<'_>) -> Vec<ItemResult> {
    use ItemResult as R;
    let all = [R::Good, R::BadNodeIdUnknown, R::BadNotWritable, R::BadTypeMismatch, R::BadOutOfRange];
    (0..script.below(5)).map(|_| all[script.below(5)]).collect()
}

fn path_and_type(script: &mut Script<'_>) -> (Arc<str>, ValueType) {
    let types = [ValueType::Int64, ValueType::Bool, ValueType::Float64, ValueType::String, ValueType::DateTime];
    (Arc::from(PATHS[script.below(PATHS.len())]), types[script.below(5)])
}

fn made_up_message(script: &mut Script<'_>, current: u64, nodes: &[Node; 2]) -> Bulk {
    let sync = if script.byte() % 8 == 7 { script.number() } else { current };
    let more = script.flag();
    match script.below(10) {
        0 => {
            let leader = nodes[script.below(2)].lineage.epoch();
            let tag_list = if script.flag() { nodes[0].table.catalog().hash() } else { script.number() };
            let partial = script.flag().then(|| Partial { below: script.number() as u32, since: script.number() });
            Bulk::SyncRequest { sync, leader, from: script.number(), tag_list, partial }
        }
        1 => Bulk::SyncRefused { sync, reason: String::from_utf8_lossy(script.take(20)).into() },
        2 => Bulk::SyncStart {
            sync,
            lineage: lineage(script, nodes),
            from: script.number(),
            last: script.number(),
            count: script.number(),
            stale_before: script.number(),
            paths_follow: more,
            resumed: script.flag(),
        },
        3 => {
            let paths = (0..script.below(12)).map(|_| path_and_type(script)).collect();
            Bulk::Paths { sync, first: script.number() as u32, paths, more }
        }
        4 => {
            let ids = (0..script.below(12)).map(|_| script.number() as u32).collect();
            Bulk::Unmatched { sync, ids, more }
        }
        5 => {
            let digest = if script.flag() { nodes[1].table.digest() } else { script.number() };
            Bulk::Digest { sync, at: script.number(), digest, tags: script.number() }
        }
        6 => Bulk::DigestResult { sync, equal: more },
        7 => Bulk::Ack { sync, frames: script.number(), applied: script.number(), durable: script.number() },
        8 => {
            let items = (0..script.below(4)).map(|_| (path_and_type(script).0, sample(script))).collect();
            let operations = (0..script.below(3)).map(|_| DoneOperation {
                id: operation(script),
                request_hash: script.number(),
                results: results(script),
                age_ms: script.number(),
            });
            let operations = operations.collect();
            Bulk::Divergent { sync, fork: script.number(), items, operations, more }
        }
        _ => Bulk::DivergentTaken { sync, count: script.number() },
    }
}

fn made_up_batch(script: &mut Script<'_>, current: u64) -> Option<Vec<u8>> {
    let mut writer = BatchWriter::new();
    writer.start(if script.byte() % 8 == 7 { script.number() } else { current });
    for _ in 0..script.below(6) {
        let (id, seq) = (script.number() as u32, script.number());
        writer.update(id, seq, &sample(script)).ok()?;
    }
    for _ in 0..script.below(3) {
        let record = Record {
            id: operation(script),
            request_hash: script.number(),
            seq: script.number(),
            results: results(script),
        };
        writer.operation(&record, script.number()).ok()?;
    }
    writer.finish(script.number(), script.number()).ok().map(<[u8]>::to_vec)
}
