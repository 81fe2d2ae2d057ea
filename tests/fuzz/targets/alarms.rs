//! The applier of alarms and their journal: a leader and its follower, and between them whoever changes frames, makes
//! up others, or takes the part of either. Nothing may panic, no journal gets a gap, and when that is over, an honest
//! sync makes tables and journals equal and either can lead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hotpair_core::alarm_replication::{
    AlarmEffect, AlarmForward, AlarmFrame, AlarmInput, AlarmItem, AlarmReplication, AlarmSettings, ReadFor, decode,
    encode,
};
use hotpair_core::alarms::{
    AckMode, AlarmAction, AlarmCondition, AlarmDef, AlarmEntry, AlarmKey, AlarmKind, AlarmList, AlarmPriority,
    AlarmRequest, AlarmResult, AlarmTable, EntryKind, EventId, JournalBatch, JournalFound, LimitLevel, Occurrence,
    PendingKind, PortablePending, PortableShelf, PortableState, Positions, Watched, Who,
};
use hotpair_core::arbiter::{Input, Leader};
use hotpair_core::catalog::{Catalog, TagDef, TagId};
use hotpair_core::lineage::{Fork, Lineage};
use hotpair_core::protocol::{AlarmOutcome, Control, WriteRefusal};
use hotpair_core::quality::Quality;
use hotpair_core::replicator::Now;
use hotpair_core::tags::TagTable;
use hotpair_core::types::{Epoch, Millis, NodeId, UnixMillis};
use hotpair_core::value::{Sample, Value, ValueType};
use hotpair_core::wire::{self, HEADER_BYTES, Kind};

use super::script::Script;

const TAGS: usize = 3;
/// A script is not played beyond this, so that each takes about a millisecond.
const MOST_STEPS: usize = 120;

enum Job {
    Append(JournalBatch),
    Read { purpose: ReadFor, origin: Epoch, from: u64, max: usize },
}

/// The journal: it refuses a gap by a panic.
#[derive(Default)]
struct Disk {
    entries: BTreeMap<(Epoch, u64), Arc<AlarmEntry>>,
    held: Positions,
}

struct Node {
    machine: AlarmReplication,
    table: AlarmTable,
    tags: TagTable,
    disk: Disk,
    jobs: VecDeque<Job>,
    lane: VecDeque<Vec<u8>>,
    control: VecDeque<Control>,
    tenure: Epoch,
    /// The newest sync that it asked for.
    sync: u64,
    closed: bool,
    open_tickets: usize,
}

struct Stage {
    nodes: [Node; 2],
    now: Now,
    counter: u64,
    next_ticket: u64,
}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut stage = Stage::new();
    for _ in 0..MOST_STEPS {
        if script.is_done() {
            break;
        }
        stage.step(&mut script);
    }
    for leader in [0, 1] {
        stage.honest_sync(leader);
        stage.assert_equal();
        // Alarms are still raised, and told.
        for value in [0.0, 100.0] {
            stage.change(leader, 0, value);
            stage.settle();
        }
        stage.assert_equal();
        assert!(stage.nodes[1 - leader].table.live().next().is_some(), "nothing is raised any more");
    }
}

impl Node {
    fn new(id: u64, now: Now) -> Self {
        let settings = AlarmSettings {
            node: NodeId(id),
            replication_timeout_ms: 500,
            switch_timeout_ms: 1000,
            verify_every_ms: 5000,
            stale_after_ms: Some(3_600_000),
        };
        let mut table = AlarmTable::new(Arc::new(AlarmList::new(definitions()).expect("each stands there once")));
        let tag = |tag| TagDef::new(path(tag), ValueType::Float64);
        Self {
            machine: AlarmReplication::new(settings, JournalFound::default(), &mut table, now),
            table,
            tags: TagTable::new(Arc::new(Catalog::new((0..TAGS).map(tag).collect()).expect("each stands there once"))),
            disk: Disk::default(),
            jobs: VecDeque::new(),
            lane: VecDeque::new(),
            control: VecDeque::new(),
            tenure: Epoch::NONE,
            sync: 0,
            closed: false,
            open_tickets: 0,
        }
    }

    /// What a node sends, its peer understands.
    fn send(&mut self, frame: Vec<u8>) {
        let found = wire::decode(&frame, Kind::Alarms).expect("a right frame").expect("a whole frame");
        if let AlarmFrame::Follow { sync, .. } = decode(found.body).expect("a right message") {
            self.sync = sync;
        }
        self.lane.push_back(frame);
    }
}

impl Disk {
    fn append(&mut self, batch: JournalBatch) {
        for (origin, skipped) in batch.skipped {
            let held = self.held.entry(origin).or_default();
            *held = skipped.max(*held);
        }
        for entry in batch.entries {
            let held = self.held.entry(entry.origin).or_default();
            assert!(entry.position >= 1 && entry.position <= held.saturating_add(1), "a gap: {entry:?} behind {held}");
            if entry.position > *held {
                *held = entry.position;
                self.entries.insert((entry.origin, entry.position), entry);
            }
        }
    }
}

impl Stage {
    fn new() -> Self {
        let now = Now { mono: Millis(1000), wall: UnixMillis(1_000_000) };
        let mut stage = Self { nodes: [Node::new(1, now), Node::new(2, now)], now, counter: 0, next_ticket: 1 };
        stage.lead(0);
        stage.connect(0);
        stage
    }

    fn hear(&mut self, at: usize, input: AlarmInput<'_>) {
        let node = &mut self.nodes[at];
        for effect in node.machine.handle(&mut node.table, &node.tags, input, self.now) {
            match effect {
                AlarmEffect::ToLane(frame) => node.send(frame),
                AlarmEffect::ToPeer(message) => {
                    wire::encode_control(&message).expect("a right message");
                    node.control.push_back(message);
                }
                AlarmEffect::CloseLane => node.closed = true,
                AlarmEffect::Answer { .. } => {
                    node.open_tickets = node.open_tickets.checked_sub(1).expect("nobody asked");
                }
                AlarmEffect::Store(batch) => {
                    let busy = node.jobs.iter().any(|job| matches!(job, Job::Append(_)));
                    assert!(!busy, "two batches under way");
                    node.jobs.push_back(Job::Append(batch));
                }
                AlarmEffect::Read { purpose, origin, from, max } => {
                    node.jobs.push_back(Job::Read { purpose, origin, from, max });
                }
                AlarmEffect::ToArbiter(Input::Quiesced { .. }) | AlarmEffect::Facts => {}
                AlarmEffect::ToArbiter(other) => panic!("the arbiter was told {other:?}"),
            }
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let at = script.below(2);
        match script.below(16) {
            0 | 1 => {
                let (tag, value) = (script.below(TAGS), [0.0, 9.0, 15.0, f64::NAN, 100.0][script.below(5)]);
                self.change(0, tag, value);
            }
            2 | 3 => drop(self.deliver(at)),
            4 => while self.deliver(at) || self.deliver(1 - at) || self.work(at, true) {},
            5 | 6 => {
                if let Some(mut frame) = self.nodes[1 - at].lane.pop_front() {
                    let mut body = frame.split_off(HEADER_BYTES);
                    script.damage(&mut body);
                    self.hear(at, AlarmInput::Frame(&body));
                }
            }
            7 => self.hear(at, AlarmInput::Frame(script.take(255))),
            8..=11 => {
                let sync = self.nodes.iter().map(|node| node.sync).max().unwrap_or(0);
                let made_up = self.made_up(script, sync);
                if let Ok(frame) = encode(&made_up) {
                    self.hear(at, AlarmInput::Frame(&frame[HEADER_BYTES..]));
                }
            }
            12 => self.ask(at, script),
            13 => self.wait([1, 60, 700, 11_000][script.below(4)]),
            14 => {
                let works = script.byte() % 4 != 3;
                self.work(at, works);
            }
            _ => {
                self.disconnect();
                self.connect(0);
            }
        }
        self.mend_lane();
    }

    fn mend_lane(&mut self) {
        if self.nodes.iter_mut().any(|node| std::mem::take(&mut node.closed)) {
            for input in [|| AlarmInput::LaneDown, || AlarmInput::LaneUp] {
                for at in 0..2 {
                    self.nodes[at].lane.clear();
                    self.hear(at, input());
                }
            }
        }
    }

    fn change(&mut self, leader: usize, tag: usize, value: f64) {
        let id = TagId(tag as u32);
        let sample = Sample { value: Value::Float64(value), quality: Quality::GOOD, time: self.now.wall };
        for node in &mut self.nodes {
            node.tags.write(id, sample.value.clone(), sample.quality, sample.time);
        }
        self.hear(leader, AlarmInput::Changed(&[(id, sample)]));
    }

    /// A client of this node, or the control connection, honest or not.
    fn ask(&mut self, at: usize, script: &mut Script<'_>) {
        if script.byte().is_multiple_of(4) {
            self.tell(at);
            return;
        }
        let event = self.event(script);
        let comment: Arc<str> = String::from_utf8_lossy(script.take(20)).into();
        let path = [path(0), path(1), "*".into(), "t*".into(), "".into()][script.below(5)].clone();
        let action = match script.below(4) {
            0 => AlarmAction::Acknowledge { event, comment },
            1 => AlarmAction::Comment { event, comment },
            2 => AlarmAction::Shelve { path, for_ms: script.number(), comment },
            _ => AlarmAction::Unshelve { path, comment },
        };
        let operation = script.flag().then(|| Arc::from(format!("op{}", script.byte() % 4)));
        let request = AlarmRequest { action, who: Who { operator: "Ann".into(), node: NodeId(1) }, operation };
        match script.below(4) {
            0 => {
                let (id, deadline_ms) = (script.number(), script.number());
                self.hear(at, AlarmInput::Forward(AlarmForward { id, deadline_ms, request }));
            }
            1 => {
                let outcome = match script.below(3) {
                    0 => AlarmOutcome::Refused(WriteRefusal::NotRunning(String::new())),
                    1 => AlarmOutcome::Refused(WriteRefusal::Switching),
                    _ => AlarmOutcome::Done { result: AlarmResult::Good, replicated: script.flag() },
                };
                self.hear(at, AlarmInput::Forwarded { id: script.number(), outcome });
            }
            _ => {
                self.next_ticket += 1;
                self.nodes[at].open_tickets += 1;
                self.hear(at, AlarmInput::Request { ticket: self.next_ticket, request });
            }
        }
    }

    fn lead(&mut self, at: usize) {
        self.counter += 1;
        self.nodes[at].tenure = Epoch { counter: self.counter, node: NodeId(at as u64 + 1) };
        let lineage = Lineage::new(vec![Fork { epoch: self.nodes[at].tenure, at: 0 }]);
        self.hear(at, AlarmInput::Lead(lineage));
    }

    fn connect(&mut self, leader: usize) {
        (0..2).for_each(|at| self.hear(at, AlarmInput::LinkUp));
        let lineage = Lineage::new(vec![Fork { epoch: self.nodes[leader].tenure, at: 0 }]);
        self.hear(1 - leader, AlarmInput::Follow(Leader { lineage, applied: 0, running: true }));
        (0..2).for_each(|at| self.hear(at, AlarmInput::LaneUp));
    }

    fn disconnect(&mut self) {
        for input in [|| AlarmInput::LaneDown, || AlarmInput::LinkDown] {
            (0..2).for_each(|at| self.hear(at, input()));
        }
        for node in &mut self.nodes {
            node.lane.clear();
            node.control.clear();
            node.closed = false;
        }
    }

    fn deliver(&mut self, to: usize) -> bool {
        let Some(frame) = self.nodes[1 - to].lane.pop_front() else { return false };
        self.hear(to, AlarmInput::Frame(&frame[HEADER_BYTES..]));
        true
    }

    fn tell(&mut self, to: usize) -> bool {
        match self.nodes[1 - to].control.pop_front() {
            Some(Control::AlarmForward(forward)) => self.hear(to, AlarmInput::Forward(forward)),
            Some(Control::AlarmForwarded { id, outcome }) => self.hear(to, AlarmInput::Forwarded { id, outcome }),
            Some(other) => panic!("{other:?} is nothing about alarms"),
            None => return false,
        }
        true
    }

    fn work(&mut self, at: usize, works: bool) -> bool {
        let node = &mut self.nodes[at];
        let input = match node.jobs.pop_front() {
            None => return false,
            Some(Job::Append(_)) if !works => AlarmInput::Stored(Err("the disk is full".into())),
            Some(Job::Append(batch)) => {
                node.disk.append(batch);
                AlarmInput::Stored(Ok(()))
            }
            Some(Job::Read { purpose, origin, from, max }) => {
                let log = node.disk.entries.range((origin, from)..=(origin, u64::MAX));
                let entries = log.take(max).map(|(_, entry)| entry.clone()).collect();
                let entries = if works { Ok(entries) } else { Err("the disk cannot be read".into()) };
                AlarmInput::Read { purpose, origin, entries }
            }
        };
        self.hear(at, input);
        true
    }

    fn wait(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus(ms);
        self.now.wall = UnixMillis(self.now.wall.0.saturating_add_unsigned(ms));
        (0..2).for_each(|at| self.hear(at, AlarmInput::Tick));
    }

    /// Whoever was between the two is gone: a new connection, disks that work, and only what the two send.
    fn honest_sync(&mut self, leader: usize) {
        self.disconnect();
        self.hear(1 - leader, AlarmInput::StandBy);
        self.lead(leader);
        self.connect(leader);
        self.settle();
        let facts = [self.nodes[0].machine.facts(), self.nodes[1].machine.facts()];
        assert!(facts[1 - leader].in_sync, "no sync any more: {facts:?}");
    }

    fn settle(&mut self) {
        for _ in 0..12 {
            let mut moved = 0;
            while (0..2).any(|at| self.deliver(at) || self.tell(at) || self.work(at, true)) {
                moved += 1;
                assert!(moved < 20_000, "it never ends");
                self.mend_lane();
            }
            self.wait(1100);
        }
        for node in &self.nodes {
            assert_eq!(node.open_tickets, 0, "a request was never answered");
        }
    }

    fn assert_equal(&self) {
        let [one, other] = &self.nodes;
        assert_eq!(one.table.digest(), other.table.digest());
        assert_eq!(one.table.counts(), other.table.counts());
        assert_eq!(one.machine.held(), other.machine.held());
        // What both hold, both have: no entry of one is missing at the other, none differs in what it says.
        for (key, entry) in &one.disk.entries {
            if let Some(there) = other.disk.entries.get(key) {
                assert_eq!(entry.event, there.event, "{key:?}");
            }
        }
    }
}

/// What is made up, mostly of things that are there.
impl Stage {
    fn epoch(&self, script: &mut Script<'_>) -> Epoch {
        match script.below(4) {
            0 => self.nodes[0].tenure,
            1 => Epoch { counter: script.number(), node: NodeId(1) },
            _ => Epoch { counter: u64::from(script.byte() % 4), node: NodeId(2 + u64::from(script.byte() % 2)) },
        }
    }

    fn event(&self, script: &mut Script<'_>) -> EventId {
        let mut live = self.nodes[script.below(2)].table.live();
        let (_, key) = key(script);
        match live.next() {
            Some((_, live)) if script.flag() => live.event,
            _ => EventId::of_occurrence(key, script.number(), UnixMillis(script.number().cast_signed())),
        }
    }

    fn positions(&self, script: &mut Script<'_>) -> Vec<(Epoch, u64)> {
        (0..script.below(4)).map(|_| (self.epoch(script), script.number())).collect()
    }

    fn entry(&self, script: &mut Script<'_>) -> AlarmEntry {
        use EntryKind as K;
        let kinds = [K::Raised, K::Cleared, K::Acknowledged, K::Commented, K::Shelved, K::Unshelved];
        let ((path, name), _) = key(script);
        AlarmEntry {
            origin: self.epoch(script),
            position: script.number(),
            kind: kinds[script.below(6)],
            event: self.event(script),
            number: script.number(),
            path,
            name,
            alarm: AlarmKind::System,
            priority: AlarmPriority::Low,
            ack_mode: AckMode::Manual,
            description: "".into(),
            time: UnixMillis(script.number().cast_signed()),
            active: script.flag(),
            acked: script.flag(),
            active_time: UnixMillis(script.number().cast_signed()),
            value: script.flag().then_some(Value::Float64(f64::NAN)),
            node: NodeId(script.number()),
            operator: "Eve".into(),
            comment: "x".into(),
            operation: script.flag().then(|| Arc::from(format!("op{}", script.byte() % 4))),
            shelved_ms: script.number(),
        }
    }

    fn state(&self, script: &mut Script<'_>) -> PortableState {
        let at = UnixMillis(script.number().cast_signed());
        PortableState {
            number: script.number(),
            live: script.flag().then(|| Occurrence {
                event: self.event(script),
                epoch: self.epoch(script),
                active: script.flag(),
                acked: script.flag(),
                active_time: at,
                clear_time: script.flag().then_some(at),
                ack_time: None,
                operator: "".into(),
                comment: "".into(),
                value: None,
            }),
            pending: script.flag().then(|| PortablePending {
                kind: if script.flag() { PendingKind::Clear } else { PendingKind::Raise },
                since: at,
                value: None,
                remaining_ms: script.number(),
            }),
            armed: script.flag(),
            ended: script.flag().then(|| (self.event(script), at)),
        }
    }

    fn shelf(&self, script: &mut Script<'_>) -> PortableShelf {
        PortableShelf {
            path: key(script).0.0,
            event: self.event(script),
            since: UnixMillis(script.number().cast_signed()),
            for_ms: script.number(),
            remaining_ms: script.number(),
            operator: "".into(),
            comment: "".into(),
        }
    }

    fn made_up(&self, script: &mut Script<'_>, current: u64) -> AlarmFrame {
        let sync = if script.byte() % 8 == 7 { script.number() } else { current };
        let more = script.flag();
        match script.below(14) {
            0 => AlarmFrame::Follow { sync, leader: self.epoch(script), held: self.positions(script), more },
            1 => AlarmFrame::NotNow { sync },
            2 => AlarmFrame::Held { sync, held: self.positions(script), more },
            3 => {
                let states = (0..script.below(3)).map(|_| (key(script).1, self.state(script))).collect();
                AlarmFrame::States { sync, states }
            }
            4 => AlarmFrame::Included { sync, included: self.positions(script) },
            5 => AlarmFrame::Shelves { sync, shelves: (0..script.below(3)).map(|_| self.shelf(script)).collect() },
            6 => AlarmFrame::Whole { sync },
            7 => {
                let (origin, after) = (self.epoch(script), script.number());
                // Mostly one log, in order.
                let entries = (1..=script.below(4) as u64).map(|place| {
                    let entry = self.entry(script);
                    if more { AlarmEntry { origin, position: after.saturating_add(place), ..entry } } else { entry }
                });
                AlarmFrame::Entries { sync, origin, after, entries: entries.collect() }
            }
            8 => AlarmFrame::EntriesTaken { sync, frames: script.number() },
            9 => AlarmFrame::NothingMissing { sync },
            10 | 11 => {
                let first = script.number();
                let items = (0..script.below(4)).map(|_| match script.below(4) {
                    0 | 1 => AlarmItem::Entry(self.entry(script)),
                    2 => AlarmItem::State(key(script).1, self.state(script)),
                    _ => AlarmItem::Included(self.epoch(script), script.number()),
                });
                AlarmFrame::Items { sync, first, items: items.collect() }
            }
            12 => {
                let stored = script.flag().then(|| script.number());
                AlarmFrame::Confirm { sync, applied: script.number(), stored }
            }
            _ if more => AlarmFrame::Compared { sync, equal: script.flag() },
            _ => {
                let list = self.nodes[0].table.list().hash();
                AlarmFrame::Digest { sync, list, digest: script.number(), held: self.positions(script) }
            }
        }
    }
}

fn path(tag: usize) -> Arc<str> {
    Arc::from(format!("t{tag}"))
}

fn key(script: &mut Script<'_>) -> ((Arc<str>, Arc<str>), AlarmKey) {
    let (path, name) = (path(script.below(TAGS + 1)), ["H", "B", ""][script.below(3)]);
    let key = AlarmKey::of(&path, name);
    ((path, name.into()), key)
}

/// Two alarms a tag: with and without a delay, each way of acknowledging.
fn definitions() -> Vec<AlarmDef> {
    let modes = [AckMode::Manual, AckMode::Automatic, AckMode::ManualWithComment];
    let alarm = |tag: usize, name: &str, active_delay_ms| AlarmDef {
        path: path(tag),
        name: name.into(),
        watched: Watched::Tag(TagId(tag as u32)),
        condition: AlarmCondition::Limit { level: LimitLevel::H, limit: 10.0, inclusive: false, deadband: 2.0 },
        active_delay_ms,
        resume_delay_ms: active_delay_ms / 2,
        priority: AlarmPriority::High,
        ack_mode: modes[tag % 3],
        description: "an alarm".into(),
    };
    (0..TAGS).flat_map(|tag| [alarm(tag, "H", 0), alarm(tag, "B", 300 * tag as u64)]).collect()
}
