//! The states of all alarms of a node, and what readers ask of them.
//!
//! Both nodes have such a table. Entries of the journal change it, and states that no entry tells of: delays that run,
//! alarms that were armed. Nodes that took the same changes have equal digests. Everything that is asked often is kept
//! up to date with each change: nothing walks over all alarms but [`AlarmTable::states`] and [`AlarmTable::replace`].

mod changes;
mod ended;
mod shelving;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use changes::Changes;
use ended::Ended;
use shelving::Shelving;
pub use shelving::{MAX_SHELF_PATH_BYTES, MAX_SHELVINGS};

use super::definition::{AlarmId, AlarmKey, AlarmList};
use super::entry::{AlarmEntry, EntryKind, EventId};
use super::state::{AlarmState, Occurrence, Pending, PendingKind, Shelf};
use crate::types::{Millis, UnixMillis};

/// How many alarms are in which state. Those that are shelved count as shelved only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmCounts {
    /// Active and nobody acknowledged them.
    pub active_unacked: u64,
    /// Active and acknowledged.
    pub active_acked: u64,
    /// Cleared and nobody acknowledged them.
    pub cleared_unacked: u64,
    /// Of all these those that are shelved.
    pub shelved: u64,
}

/// The states of all alarms.
#[derive(Debug)]
pub struct AlarmTable {
    list: Arc<AlarmList>,
    states: Vec<AlarmState>,
    live: BTreeSet<AlarmId>,
    by_event: HashMap<EventId, AlarmId>,
    /// When live ones that wait for nothing but an acknowledgement cleared, by this node's clock; as far as it saw it.
    cleared: HashMap<AlarmId, Millis>,
    shelving: Shelving,
    ended: Ended,
    counts: AlarmCounts,
    changes: Changes,
    digest: u64,
}

impl AlarmTable {
    /// Of these alarms, all normal.
    pub fn new(list: Arc<AlarmList>) -> Self {
        Self {
            states: vec![AlarmState::default(); list.len()],
            live: BTreeSet::new(),
            by_event: HashMap::new(),
            cleared: HashMap::new(),
            shelving: Shelving::new(&list),
            ended: Ended::default(),
            counts: AlarmCounts::default(),
            changes: Changes::default(),
            digest: 0,
            list,
        }
    }

    /// The alarms.
    pub fn list(&self) -> &Arc<AlarmList> {
        &self.list
    }

    /// The state of an alarm; none for an id of another list.
    pub fn state(&self, id: AlarmId) -> Option<&AlarmState> {
        self.states.get(id.0 as usize)
    }

    /// The states that are not the default, in the order of their ids.
    pub fn states(&self) -> impl Iterator<Item = (AlarmKey, &AlarmState)> {
        let with_ids = self.states.iter().enumerate().filter(|(_, state)| !is_default(state));
        with_ids.filter_map(|(index, state)| Some((self.list.key(AlarmId(index as u32))?, state)))
    }

    /// The alarms that are not normal, also shelved ones, in the order of their ids.
    pub fn live(&self) -> impl Iterator<Item = (AlarmId, &Occurrence)> {
        self.live.iter().filter_map(|id| Some((*id, self.state(*id)?.live.as_ref()?)))
    }

    /// The alarm whose live occurrence this is.
    pub fn find_event(&self, event: EventId) -> Option<AlarmId> {
        let id = *self.by_event.get(&event)?;
        self.state(id)?.live.as_ref().is_some_and(|live| live.event == event).then_some(id)
    }

    /// Whether this occurrence, or shelving, is over; as far as this node remembers.
    pub fn has_ended(&self, event: EventId) -> bool {
        self.ended.knows(event)
    }

    /// The shelvings in force, in the order of their paths.
    pub fn shelves(&self) -> impl Iterator<Item = &Shelf> {
        self.shelving.iter()
    }

    /// The shelving of exactly this path.
    pub fn shelf(&self, path: &str) -> Option<&Shelf> {
        self.shelving.get(path)
    }

    /// Whether a shelving hides this alarm.
    pub fn is_shelved(&self, id: AlarmId) -> bool {
        self.shelving.covers(id)
    }

    /// The alarms that a shelving of this path hides, or would hide.
    pub fn fitting(&self, path: &str) -> Vec<AlarmId> {
        self.shelving.fitting(&self.list, path)
    }

    /// How many alarms are in which state.
    pub fn counts(&self) -> AlarmCounts {
        self.counts
    }

    /// Grows with every change that a reader can see: of a live occurrence, or of the shelvings.
    pub fn version(&self) -> u64 {
        self.changes.version()
    }

    /// The alarms whose occurrence came, changed or went, or was hidden or shown again, after that version; each once.
    /// None: it is too long ago, or no version of this table; read all. Shelvings are not told: read them again.
    pub fn changed_since(&self, version: u64) -> Option<Vec<AlarmId>> {
        self.changes.since(version)
    }

    /// For comparing two nodes: the sum of the digests of states and shelvings.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Does what an entry says. False: there is nothing to do it to: no such alarm, or the entry is about an occurrence
    /// that is not the live one, or has been taken into account. Everything else in an entry that contradicts its kind is
    /// left out of account.
    pub fn apply(&mut self, entry: &AlarmEntry, now: Millis) -> bool {
        match entry.kind {
            EntryKind::Shelved => {
                let is_new = self.shelf(&entry.path).is_none_or(|shelf| shelf.event != entry.event);
                is_new && self.shelve(Shelf::of_entry(entry, now))
            }
            EntryKind::Unshelved => self.unshelve(&entry.path, entry.event),
            _ => self.list.find(entry.alarm_key()).is_some_and(|id| self.apply_to(id, entry, now)),
        }
    }

    /// Likewise of an alarm that is known already.
    pub(super) fn apply_to(&mut self, id: AlarmId, entry: &AlarmEntry, now: Millis) -> bool {
        let Some(state) = self.state(id) else { return false };
        let concerned = state.live.as_ref().filter(|live| live.event == entry.event);
        let fits = match entry.kind {
            EntryKind::Raised => is_next(state.number, entry.number) && concerned.is_none(),
            EntryKind::Cleared => concerned.is_some_and(|live| live.active),
            EntryKind::Acknowledged => concerned.is_some_and(|live| !live.acked),
            EntryKind::Commented => concerned.is_some(),
            EntryKind::Shelved | EntryKind::Unshelved => false,
        };
        if fits {
            self.change(id, true, |state| act(state, entry));
            if entry.kind == EntryKind::Cleared && self.state(id).is_some_and(|state| state.live.is_some()) {
                self.cleared.insert(id, now);
            }
        }
        fits
    }

    /// Takes a state as it is. False: there is no such alarm here.
    pub fn set_state(&mut self, key: AlarmKey, state: AlarmState) -> bool {
        let Some(id) = self.list.find(key) else { return false };
        self.put(id, state);
        true
    }

    fn put(&mut self, id: AlarmId, mut state: AlarmState) {
        tidy(&mut state);
        let shown = self.state(id).is_some_and(|before| before.live != state.live);
        self.change(id, shown, |before| *before = state);
    }

    /// Takes another node's states, or those from the disk, in place of all. Alarms and shelvings that are not among
    /// them become normal, and end.
    pub fn replace(&mut self, states: Vec<(AlarmKey, AlarmState)>, shelves: Vec<Shelf>) {
        let with_ids = states.into_iter().filter_map(|(key, state)| Some((self.list.find(key)?, state)));
        let mut states: BTreeMap<AlarmId, AlarmState> = with_ids.collect();
        for index in 0..self.states.len() {
            let id = AlarmId(index as u32);
            match states.remove(&id) {
                Some(state) => self.put(id, state),
                None if is_default(&self.states[index]) => {}
                None => self.put(id, AlarmState::default()),
            }
        }
        let shelves: BTreeMap<Arc<str>, Shelf> = shelves.into_iter().map(|shelf| (shelf.path.clone(), shelf)).collect();
        let gone: Vec<Shelf> = self.shelves().filter(|shelf| !shelves.contains_key(&shelf.path)).cloned().collect();
        for shelf in gone {
            self.unshelve(&shelf.path, shelf.event);
        }
        for shelf in shelves.into_values() {
            self.shelve(shelf);
        }
    }

    /// Puts a shelving in force, in place of one of the same path. False: it is in force already, or there is no room.
    fn shelve(&mut self, shelf: Shelf) -> bool {
        let known = self.shelf(&shelf.path).is_some_and(|before| *before == shelf);
        if known || !self.shelving.has_room(&shelf.path) {
            return false;
        }
        self.digest = self.digest.wrapping_add(shelving::digest_of(&shelf));
        let event = shelf.event;
        let (before, hidden) = self.shelving.insert(&self.list, shelf);
        if let Some(before) = before {
            self.digest = self.digest.wrapping_sub(shelving::digest_of(&before));
            if before.event != event {
                self.ended.note(before.event);
            }
        }
        self.hidden_or_shown(&hidden, true);
        true
    }

    /// Ends a shelving. False: it is not in force.
    fn unshelve(&mut self, path: &str, event: EventId) -> bool {
        if self.shelf(path).is_none_or(|shelf| shelf.event != event) {
            return false;
        }
        let Some((shelf, shown)) = self.shelving.remove(&self.list, path) else { return false };
        self.digest = self.digest.wrapping_sub(shelving::digest_of(&shelf));
        self.ended.note(event);
        self.hidden_or_shown(&shown, false);
        true
    }

    fn hidden_or_shown(&mut self, ids: &[AlarmId], hidden: bool) {
        self.changes.note_shelves();
        for id in ids {
            let Some(live) = self.states.get(id.0 as usize).and_then(|state| state.live.as_ref()) else { continue };
            self.counts.remove(live, !hidden);
            self.counts.add(live, hidden);
            self.changes.note(*id);
        }
    }

    /// Begins or drops a delay.
    pub(super) fn set_pending(&mut self, id: AlarmId, pending: Option<Pending>) {
        self.change(id, false, |state| state.pending = pending);
    }

    /// The opposite value was seen.
    pub(super) fn arm(&mut self, id: AlarmId) {
        self.change(id, false, |state| state.armed = true);
    }

    /// Takes a state that absorbing another node's entries led to.
    pub(super) fn absorb(&mut self, id: AlarmId, state: AlarmState) {
        self.put(id, state);
    }

    /// Whether another occurrence took the place of this one here.
    pub(super) fn was_replaced(&self, event: EventId) -> bool {
        self.ended.was_replaced(event)
    }

    /// An event of the other node needs no second look.
    pub(super) fn note_ended(&mut self, event: EventId) {
        self.ended.note(event);
    }

    /// When the last occurrence of this alarm that is over began.
    pub(super) fn last_ended_began(&self, id: AlarmId) -> Option<UnixMillis> {
        self.ended.last_began(id)
    }

    /// When the live occurrence cleared, by this node's clock; none if this node did not see it.
    pub(super) fn cleared_at(&self, id: AlarmId) -> Option<Millis> {
        self.cleared.get(&id).copied()
    }

    /// The one place where a state changes: keeps everything up to date that is derived from it.
    fn change(&mut self, id: AlarmId, shown: bool, change: impl FnOnce(&mut AlarmState)) {
        let Some(key) = self.list.key(id) else { return };
        let Some(state) = self.states.get_mut(id.0 as usize) else { return };
        let hidden = self.shelving.covers(id);
        let mut digest = self.digest.wrapping_sub(digest_of(key, state));
        let before = state.live.as_ref().map(|live| (live.event, live.active_time));
        if let Some(live) = &state.live {
            self.counts.remove(live, hidden);
        }
        change(state);
        tidy(state);
        digest = digest.wrapping_add(digest_of(key, state));
        self.digest = digest;
        if let Some(live) = &state.live {
            self.counts.add(live, hidden);
        }
        let after = state.live.as_ref().map(|live| live.event);
        if before.map(|(event, _)| event) != after {
            self.cleared.remove(&id);
            if let Some((event, active_time)) = before {
                self.forget_event(id, event);
                if after.is_none() {
                    self.ended.note_occurrence(id, event, active_time);
                } else {
                    self.ended.note_replaced(event);
                }
            }
            match after {
                Some(event) => {
                    self.by_event.insert(event, id);
                    self.live.insert(id);
                }
                None => {
                    self.live.remove(&id);
                }
            }
        }
        if shown {
            self.changes.note(id);
        }
    }

    fn forget_event(&mut self, id: AlarmId, event: EventId) {
        if self.by_event.get(&event) == Some(&id) {
            self.by_event.remove(&event);
        }
    }
}

impl AlarmCounts {
    fn add(&mut self, live: &Occurrence, hidden: bool) {
        let count = self.of(live, hidden);
        *count = count.saturating_add(1);
    }

    fn remove(&mut self, live: &Occurrence, hidden: bool) {
        let count = self.of(live, hidden);
        *count = count.saturating_sub(1);
    }

    fn of(&mut self, live: &Occurrence, hidden: bool) -> &mut u64 {
        match (hidden, live.active, live.acked) {
            (true, _, _) => &mut self.shelved,
            (false, true, false) => &mut self.active_unacked,
            (false, true, true) => &mut self.active_acked,
            (false, false, _) => &mut self.cleared_unacked,
        }
    }
}

/// Whether an occurrence may follow `last`. Numbers only grow, but for one that cannot.
fn is_next(last: u64, number: u64) -> bool {
    number > last || number == u64::MAX
}

/// What an entry does to the alarm that it is about.
fn act(state: &mut AlarmState, entry: &AlarmEntry) {
    match entry.kind {
        EntryKind::Raised => {
            state.number = entry.number;
            state.pending = None;
            state.live = Some(Occurrence {
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
            });
        }
        EntryKind::Cleared => {
            state.pending = None;
            if let Some(live) = &mut state.live {
                live.active = false;
                live.clear_time = Some(entry.time);
                live.value.clone_from(&entry.value);
                live.acked |= entry.acked;
            }
        }
        EntryKind::Acknowledged => {
            if let Some(live) = &mut state.live {
                live.acked = true;
                live.ack_time = Some(entry.time);
                live.operator = entry.operator.clone();
                live.comment = entry.comment.clone();
            }
        }
        EntryKind::Commented => {
            if let Some(live) = &mut state.live {
                live.comment = entry.comment.clone();
            }
        }
        EntryKind::Shelved | EntryKind::Unshelved => {}
    }
}

/// Leaves out what cannot be: an occurrence that is over, a delay towards what is already.
fn tidy(state: &mut AlarmState) {
    if let Some(live) = state.live.take_if(|live| !live.active && live.acked) {
        state.ended = Some((live.event, live.active_time));
    }
    let wanted =
        if state.live.as_ref().is_some_and(|live| live.active) { PendingKind::Clear } else { PendingKind::Raise };
    if state.pending.as_ref().is_some_and(|pending| pending.kind != wanted) {
        state.pending = None;
    }
}

fn is_default(state: &AlarmState) -> bool {
    state.number == 0 && state.live.is_none() && state.pending.is_none() && !state.armed
}

fn digest_of(key: AlarmKey, state: &AlarmState) -> u64 {
    if is_default(state) { 0 } else { state.digest(key) }
}
