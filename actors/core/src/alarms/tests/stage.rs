//! A node with its alarms and a clock that the test turns.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alarms::*;
use crate::catalog::TagId;
use crate::quality::Quality;
use crate::replicator::Now;
use crate::types::{Epoch, Millis, NodeId, UnixMillis};
use crate::value::{Sample, Value};

pub const HOUR: u64 = 3_600_000;
/// The clock of a node does not start with its sources'.
const MONO: u64 = 5_000_000;

pub fn high(limit: f64, deadband: f64) -> AlarmCondition {
    AlarmCondition::Limit { level: LimitLevel::H, limit, inclusive: false, deadband }
}

/// An alarm of tag `tag` without delays, acknowledged by hand.
pub fn alarm(tag: u32, condition: AlarmCondition) -> AlarmDef {
    AlarmDef {
        path: Arc::from(format!("Plant/Tag{tag}")),
        name: Arc::from(condition.kind().to_string()),
        watched: Watched::Tag(TagId(tag)),
        condition,
        active_delay_ms: 0,
        resume_delay_ms: 0,
        priority: AlarmPriority::High,
        ack_mode: AckMode::Manual,
        description: Arc::from("for people"),
    }
}

pub fn delayed(def: AlarmDef, active_delay_ms: u64, resume_delay_ms: u64) -> AlarmDef {
    AlarmDef { active_delay_ms, resume_delay_ms, ..def }
}

pub fn list(defs: Vec<AlarmDef>) -> Arc<AlarmList> {
    Arc::new(AlarmList::new(defs).unwrap())
}

pub fn good(value: impl Into<V>, time: i64) -> Sample {
    Sample { value: value.into().0, quality: Quality::GOOD, time: UnixMillis(time) }
}

/// So that tests write plain numbers.
pub struct V(pub Value);

impl From<f64> for V {
    fn from(value: f64) -> Self {
        Self(Value::Float64(value))
    }
}

impl From<i64> for V {
    fn from(value: i64) -> Self {
        Self(Value::Int64(value))
    }
}

impl From<bool> for V {
    fn from(value: bool) -> Self {
        Self(Value::Bool(value))
    }
}

#[derive(Debug)]
pub struct Node {
    pub table: AlarmTable,
    pub engine: AlarmEngine,
    pub pen: Pen,
    /// Milliseconds since the test began; the sources' clocks and the wall's show the same.
    pub time: i64,
    /// What this node's clock is ahead of another's.
    pub ahead: u64,
    pub samples: BTreeMap<TagId, Sample>,
    /// What it did last.
    pub out: Vec<AlarmChange>,
    /// All its entries.
    pub journal: Vec<Arc<AlarmEntry>>,
}

impl Node {
    pub fn new(defs: Vec<AlarmDef>) -> Self {
        Self::with(list(defs), EngineSettings { stale_after_ms: Some(24 * HOUR) }, 1, 1)
    }

    pub fn with(list: Arc<AlarmList>, settings: EngineSettings, counter: u64, node: u64) -> Self {
        let node = NodeId(node);
        Self {
            table: AlarmTable::new(list),
            engine: AlarmEngine::new(settings),
            pen: Pen { origin: Epoch { counter, node }, next: 1, node },
            time: 0,
            ahead: 0,
            samples: BTreeMap::new(),
            out: Vec::new(),
            journal: Vec::new(),
        }
    }

    pub fn now(&self) -> Now {
        Now { mono: Millis(MONO + self.ahead + self.time as u64), wall: UnixMillis(self.time) }
    }

    /// Runs the engine; gives what it did.
    pub fn work<R>(
        &mut self,
        work: impl FnOnce(&mut AlarmEngine, &mut AlarmTable, &mut Pen, Now, &mut Vec<AlarmChange>) -> R,
    ) -> R {
        let mut out = Vec::new();
        let now = self.now();
        let result = work(&mut self.engine, &mut self.table, &mut self.pen, now, &mut out);
        self.journal.extend(out.iter().filter_map(|change| match change {
            AlarmChange::Entry(entry) => Some(entry.clone()),
            AlarmChange::State(_) => None,
        }));
        self.out = out;
        result
    }

    /// Time goes on to `time` without a value. Everything that is due happens at its own millisecond.
    pub fn until(&mut self, time: i64) -> Vec<AlarmChange> {
        let mut all = Vec::new();
        while let Some(next) = self.engine.next_deadline()
            && next.since(Millis(MONO + self.ahead)) <= time as u64
        {
            self.time = self.time.max(next.since(Millis(MONO + self.ahead)) as i64);
            self.work(|engine, table, pen, now, out| engine.tick(table, pen, now, out));
            all.append(&mut self.out);
        }
        self.time = self.time.max(time);
        self.out.clone_from(&all);
        all
    }

    /// A sample of tag 0 that the source gave this moment.
    pub fn value(&mut self, value: impl Into<V>) {
        self.sample(0, good(value, self.time));
    }

    pub fn value_at(&mut self, time: i64, value: impl Into<V>) {
        self.until(time);
        self.value(value);
    }

    pub fn sample(&mut self, tag: u32, sample: Sample) {
        self.samples.insert(TagId(tag), sample.clone());
        self.work(|engine, table, pen, now, out| engine.sample(table, TagId(tag), &sample, pen, now, out));
    }

    /// It leads from now on, and finds these samples.
    pub fn begin(&mut self, quality: Option<Quality>) {
        let samples = self.samples.clone();
        let mut find = |tag| {
            let sample: Option<&Sample> = samples.get(&tag);
            sample.map(|sample| Sample { quality: quality.unwrap_or(sample.quality), ..sample.clone() })
        };
        self.work(|engine, table, pen, now, out| engine.begin(table, &mut find, pen, now, out));
    }

    pub fn operate(&mut self, action: AlarmAction) -> AlarmResult {
        let who = Who { operator: Arc::from("Ann"), node: self.pen.node };
        let request = AlarmRequest { action, who, operation: None };
        self.work(|engine, table, pen, now, out| engine.operate(table, &request, pen, now, out))
    }

    pub fn ack(&mut self, event: EventId, comment: &str) -> AlarmResult {
        self.operate(AlarmAction::Acknowledge { event, comment: Arc::from(comment) })
    }

    pub fn shelve(&mut self, path: &str, for_ms: u64) -> AlarmResult {
        self.operate(AlarmAction::Shelve { path: Arc::from(path), for_ms, comment: Arc::from("") })
    }

    pub fn unshelve(&mut self, path: &str) -> AlarmResult {
        self.operate(AlarmAction::Unshelve { path: Arc::from(path), comment: Arc::from("") })
    }

    pub fn state(&self, id: u32) -> &AlarmState {
        self.table.state(AlarmId(id)).unwrap()
    }

    pub fn live(&self, id: u32) -> Option<&Occurrence> {
        self.state(id).live.as_ref()
    }

    /// The event that is live; panics if none is.
    pub fn event(&self, id: u32) -> EventId {
        self.live(id).unwrap().event
    }

    /// As people read it.
    pub fn shown(&self, id: u32) -> &'static str {
        shown(self.live(id))
    }

    /// All transitions, acknowledgements and so on with their times.
    pub fn said(&self) -> Vec<(EntryKind, i64)> {
        self.journal.iter().map(|entry| (entry.kind, entry.time.0)).collect()
    }
}

pub fn shown(live: Option<&Occurrence>) -> &'static str {
    match live.map(|live| (live.active, live.acked)) {
        None => "Normal",
        Some((true, false)) => "Active,Unacked",
        Some((true, true)) => "Active,Acked",
        Some((false, false)) => "Cleared,Unacked",
        Some((false, true)) => "Cleared,Acked",
    }
}

/// What a follower does with a leader's changes, whose clock shows something else.
pub fn follow(table: &mut AlarmTable, now: Millis, leader: &Node) {
    for change in &leader.out {
        match change {
            AlarmChange::Entry(entry) => {
                table.apply(entry, now);
            }
            AlarmChange::State(key) => {
                let id = leader.table.list().find(*key).unwrap();
                let portable = leader.table.state(id).unwrap().to_portable(leader.now().mono);
                assert!(table.set_state(*key, AlarmState::from_portable(portable, now)));
            }
        }
    }
}

/// Everything that a table derives, counted anew.
pub fn check_derived(table: &AlarmTable) {
    for (id, live) in table.live() {
        assert_eq!(table.find_event(live.event), Some(id));
    }
    check_counts(table);
}

/// Likewise of a table in which two alarms may have the same event.
pub fn check_counts(table: &AlarmTable) {
    let mut counts = AlarmCounts::default();
    let mut live = Vec::new();
    for (id, _) in table.list().iter() {
        let Some(occurrence) = &table.state(id).unwrap().live else { continue };
        live.push(id);
        let count = match (table.is_shelved(id), shown(Some(occurrence))) {
            (true, _) => &mut counts.shelved,
            (false, "Active,Unacked") => &mut counts.active_unacked,
            (false, "Active,Acked") => &mut counts.active_acked,
            (false, "Cleared,Unacked") => &mut counts.cleared_unacked,
            (false, other) => panic!("{other} is shown"),
        };
        *count += 1;
    }
    assert_eq!(table.counts(), counts);
    assert_eq!(table.live().map(|(id, _)| id).collect::<Vec<_>>(), live);
    let mut anew = AlarmTable::new(table.list().clone());
    anew.replace(table.states().map(|(key, state)| (key, state.clone())).collect(), table.shelves().cloned().collect());
    assert_eq!(anew.digest(), table.digest());
    assert_eq!(anew.counts(), table.counts());
}
