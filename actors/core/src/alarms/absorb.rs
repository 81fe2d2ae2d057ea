//! After a split: the node that goes on takes the other one's entries into account.
//!
//! What the other node saw of its values counts for nothing: this one judges them itself. What its operators did
//! counts, and what waits for one there. An acknowledgement stays with the occurrence that it was given for, or with the
//! one that this node has in its place: not one that came later.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::MAX_SHELVING_MS;
use super::definition::{AlarmId, AlarmKey};
use super::engine::{AlarmChange, AlarmEngine, Desk, Said};
use super::entry::{AlarmEntry, EntryKind, EventId};
use super::pen::Pen;
use super::state::{AlarmState, Occurrence};
use super::table::AlarmTable;
use crate::catalog::TagId;
use crate::mutant::{self, Mutant};
use crate::replicator::Now;
use crate::types::{Epoch, NodeId, UnixMillis};
use crate::value::Sample;

/// So many occurrences of one alarm are looked at: the first and the last ones.
const OCCURRENCES: usize = 64;

/// The other node's entries, folded.
#[derive(Debug, Default)]
pub struct Absorption {
    alarms: BTreeMap<AlarmKey, BTreeMap<EventId, Other>>,
    shelvings: BTreeMap<Arc<str>, Arc<AlarmEntry>>,
}

/// A place in the journal by which entries of different logs are ordered.
type Place = (Epoch, u64);

/// An occurrence as the other node knows it.
#[derive(Debug)]
struct Other {
    number: u64,
    /// The other node raised it while the two were apart.
    raised_apart: bool,
    occurrence: Occurrence,
    /// The last thing said about it.
    said_at: Option<Place>,
    ack: Option<Ack>,
}

/// The first acknowledgement of an occurrence.
#[derive(Clone, Debug)]
struct Ack {
    at: Place,
    time: UnixMillis,
    node: NodeId,
    operator: Arc<str>,
    comment: Arc<str>,
}

impl Absorption {
    /// Of no entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry. Those of one log in order, one log after the other.
    pub fn add(&mut self, entry: &AlarmEntry) {
        if entry.is_shelving() {
            let last = self.shelvings.entry(entry.path.clone()).or_insert_with(|| Arc::new(entry.clone()));
            if place(last) < place(entry) {
                *last = Arc::new(entry.clone());
            }
            return;
        }
        let events = self.alarms.entry(entry.alarm_key()).or_default();
        events.entry(entry.event).or_insert_with(|| Other::of(entry)).add(entry);
        if events.len() > OCCURRENCES {
            let mut order: Vec<_> = events.iter().map(|(event, other)| (other.order(), *event)).collect();
            order.sort_unstable();
            events.remove(&order[1].1);
        }
    }

    /// Does what the entries ask for. `sample` gives the present sample of a tag. Doing it twice changes nothing more.
    pub fn finish(
        self,
        engine: &mut AlarmEngine,
        table: &mut AlarmTable,
        sample: &mut dyn FnMut(TagId) -> Option<Sample>,
        pen: &mut Pen,
        now: Now,
        out: &mut Vec<AlarmChange>,
    ) {
        let mut desk = Desk { table, pen, now, out };
        for (key, events) in self.alarms {
            let Some(id) = desk.table.list().find(key) else { continue };
            // The second look: ours may be over by the first one, and make room for what waits there.
            if absorb_alarm(&mut desk, id, &events) {
                absorb_alarm(&mut desk, id, &events);
                engine.follow(&desk, id);
                engine.judge_again(&mut desk, id, sample);
            }
        }
        for (path, entry) in self.shelvings {
            absorb_shelving(&mut desk, &path, &entry);
            engine.follow_shelf(&desk, &path);
        }
    }
}

impl Other {
    fn of(entry: &AlarmEntry) -> Self {
        let occurrence = Occurrence {
            event: entry.event,
            epoch: entry.origin,
            active: true,
            acked: false,
            active_time: entry.active_time,
            clear_time: None,
            ack_time: None,
            operator: Arc::from(""),
            comment: Arc::from(""),
            value: entry.value.clone(),
        };
        Self { number: entry.number, raised_apart: false, occurrence, said_at: None, ack: None }
    }

    /// In whatever order entries come: an occurrence clears once and is acknowledged once.
    fn add(&mut self, entry: &AlarmEntry) {
        let live = &mut self.occurrence;
        live.active &= entry.active;
        live.acked |= entry.acked;
        match entry.kind {
            EntryKind::Raised => {
                self.raised_apart = true;
                live.epoch = entry.origin;
            }
            EntryKind::Cleared => {
                live.active = false;
                live.clear_time = Some(entry.time);
                live.value.clone_from(&entry.value);
            }
            EntryKind::Acknowledged => {
                live.acked = true;
                let at = place(entry);
                if self.ack.as_ref().is_none_or(|first| at < first.at) {
                    let (operator, comment) = (entry.operator.clone(), entry.comment.clone());
                    self.ack = Some(Ack { at, time: entry.time, node: entry.node, operator, comment });
                    live.ack_time = Some(entry.time);
                    live.operator = entry.operator.clone();
                }
            }
            EntryKind::Commented | EntryKind::Shelved | EntryKind::Unshelved => {}
        }
        let speaks = matches!(entry.kind, EntryKind::Acknowledged | EntryKind::Commented);
        if speaks && self.said_at.is_none_or(|last| last < place(entry)) {
            self.said_at = Some(place(entry));
            live.comment = entry.comment.clone();
        }
    }

    fn order(&self) -> (u64, UnixMillis) {
        (self.number, self.occurrence.active_time)
    }

    fn is_over(&self) -> bool {
        !self.occurrence.active && self.occurrence.acked
    }

    /// Whether this is what the other node had in the place of `live`, which is occurrence `number` here: not one before
    /// it, nor one that was over before the other began.
    fn stands_for(&self, live: &Occurrence, number: u64) -> bool {
        let ended_before = |one: &Occurrence, other: &Occurrence| {
            !one.active && one.clear_time.is_some_and(|cleared| cleared <= other.active_time)
        };
        self.number >= number && !ended_before(&self.occurrence, live) && !ended_before(live, &self.occurrence)
    }
}

/// True: the state changed.
fn absorb_alarm(desk: &mut Desk<'_>, id: AlarmId, events: &BTreeMap<EventId, Other>) -> bool {
    let Some(before) = desk.table.state(id) else { return false };
    let Some(last) = events.values().max_by_key(|other| (other.order(), other.occurrence.event)) else { return false };
    let mut state = before.clone();
    let mut carried = None;
    let number = before.number;
    state.number = number.max(last.number);
    if let Some(live) = &mut state.live {
        if !live.acked && !mutant::on(Mutant::AcksNotAbsorbed) {
            if let Some(ack) = events.get(&live.event).and_then(|other| other.ack.as_ref()) {
                live.acked = true;
                live.ack_time = Some(ack.time);
                live.operator = ack.operator.clone();
                live.comment = ack.comment.clone();
            } else if last.occurrence.event != live.event && last.stands_for(live, number) {
                carried.clone_from(&last.ack);
            }
        }
    } else if waits_there(desk.table, id, before, last) {
        state.live = Some(last.occurrence.clone());
    }
    let changed = state != *before;
    if changed {
        desk.absorb(id, state);
    }
    if let Some(ack) = &carried {
        desk.acknowledge(id, Said::carried_over(ack.node, &ack.operator, &ack.comment));
    }
    changed || carried.is_some()
}

/// Whether the other node has an occurrence that is not over, of an alarm that is normal here, and that this node does
/// not know to be over.
fn waits_there(table: &AlarmTable, id: AlarmId, own: &AlarmState, other: &Other) -> bool {
    let event = other.occurrence.event;
    if other.is_over()
        || table.has_ended(event)
        || table.was_replaced(event)
        || own.ended.is_some_and(|(ended, _)| ended == event)
    {
        return false;
    }
    let last_began = table.last_ended_began(id).max(own.ended.map(|(_, began)| began));
    // The last two: it has a number that was used here for another, or for one before the last.
    other.number > own.number
        || other.raised_apart
            && (other.number == own.number || last_began.is_none_or(|last| other.occurrence.active_time > last))
}

fn absorb_shelving(desk: &mut Desk<'_>, path: &Arc<str>, entry: &AlarmEntry) {
    let said = Said::carried_over(entry.node, &entry.operator, &entry.comment);
    match desk.table.shelf(path).cloned() {
        Some(shelf) if entry.kind == EntryKind::Unshelved && shelf.event == entry.event => {
            desk.unshelve(&shelf, said);
        }
        None if entry.kind == EntryKind::Shelved && !desk.table.has_ended(entry.event) => {
            let left = time_left(entry, desk.now.wall);
            if left > 0 && desk.shelve(path, left, said) {
                desk.table.note_ended(entry.event);
            }
        }
        _ => {}
    }
}

fn time_left(entry: &AlarmEntry, now: UnixMillis) -> u64 {
    let asked = entry.shelved_ms.min(MAX_SHELVING_MS);
    let left = i128::from(entry.time.0) + i128::from(asked) - i128::from(now.0);
    u64::try_from(left).unwrap_or(0).min(asked)
}

fn place(entry: &AlarmEntry) -> Place {
    (entry.origin, entry.position)
}
