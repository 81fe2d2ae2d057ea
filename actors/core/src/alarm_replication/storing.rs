//! To disk: in order, one batch under way, what came meanwhile in the next one. What failed is given again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AlarmEffect, AlarmReplication};
use crate::alarms::{
    AlarmEntry, AlarmKey, AlarmState, AlarmTable, JournalBatch, PortableShelf, PortableState, Positions,
};
use crate::mutant::{self, Mutant};
use crate::types::{Epoch, Millis};

/// A disk that failed is tried again after this time.
const STORE_AGAIN_MS: u64 = 1000;
/// So many entries may wait for the disk. When there are more, nothing is judged and no request taken until it works.
pub(super) const MAX_UNSTORED: usize = if cfg!(test) { 100 } else { 100_000 };
/// So many entries go in one batch.
const BATCH_ENTRIES: usize = if cfg!(test) { 5 } else { 4096 };

/// What is not on disk yet.
#[derive(Debug, Default)]
pub(super) struct Storing {
    gathered: Gathered,
    /// The batch under way, and up to which change it goes.
    under_way: Option<(Gathered, u64)>,
    made: u64,
    done: u64,
    again_at: Option<Millis>,
    trouble: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Gathered {
    skipped: Positions,
    entries: std::collections::VecDeque<Arc<AlarmEntry>>,
    replace: bool,
    states: BTreeMap<AlarmKey, Option<PortableState>>,
    shelves: Option<Vec<PortableShelf>>,
    included: Positions,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.skipped.is_empty()
            && self.entries.is_empty()
            && !self.replace
            && self.states.is_empty()
            && self.shelves.is_none()
            && self.included.is_empty()
    }

    fn append(&mut self, later: Self) {
        if later.replace {
            self.replace = true;
            self.states.clear();
            self.included.clear();
        }
        self.skipped.extend(later.skipped);
        self.entries.extend(later.entries);
        self.states.extend(later.states);
        self.included.extend(later.included);
        if later.shelves.is_some() {
            self.shelves = later.shelves;
        }
    }

    fn batch(&self) -> JournalBatch {
        JournalBatch {
            skipped: self.skipped.clone(),
            entries: self.entries.iter().cloned().collect(),
            replace: self.replace,
            states: self.states.iter().map(|(key, state)| (*key, state.clone())).collect(),
            shelves: self.shelves.clone(),
            included: self.included.clone(),
        }
    }
}

impl Storing {
    /// Number of the last change that was given.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Changes up to this number are on disk.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn len(&self) -> usize {
        self.gathered.entries.len() + self.under_way.as_ref().map_or(0, |(batch, _)| batch.entries.len())
    }

    /// Whether everything is on disk.
    pub(super) fn is_done(&self) -> bool {
        self.under_way.is_none() && self.gathered.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_UNSTORED
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether entries of that log are on their way to the disk.
    pub(super) fn waits_for(&self, origin: Epoch) -> bool {
        let under_way = self.under_way.iter().flat_map(|(batch, _)| &batch.entries);
        self.gathered.entries.iter().chain(under_way).any(|entry| entry.origin == origin)
    }

    /// Entries of that log from this one on that are not known to be on the disk; none: the disk has it, or nobody.
    pub(super) fn unstored(&self, origin: Epoch, from: u64, max: usize) -> Vec<Arc<AlarmEntry>> {
        let under_way = self.under_way.iter().flat_map(|(batch, _)| &batch.entries);
        let log = under_way.chain(&self.gathered.entries).filter(|entry| entry.origin == origin);
        let mut log = log.skip_while(|entry| entry.position < from).take(max).peekable();
        if log.peek().is_some_and(|entry| entry.position == from) { log.cloned().collect() } else { Vec::new() }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        if self.under_way.is_none() { self.again_at } else { None }
    }
}

impl AlarmReplication {
    /// An entry with its effect on the states.
    pub(super) fn store_entry(&mut self, table: &AlarmTable, entry: &Arc<AlarmEntry>, now: Millis) {
        self.storing.gathered.entries.push_back(entry.clone());
        self.store_effect(table, entry, now);
    }

    /// The effect of an entry on the states.
    pub(super) fn store_effect(&mut self, table: &AlarmTable, entry: &AlarmEntry, now: Millis) {
        self.storing.made += 1;
        let gathered = &mut self.storing.gathered;
        let included = gathered.included.entry(entry.origin).or_default();
        *included = entry.position.max(*included);
        if entry.is_shelving() {
            gathered.shelves = Some(table.shelves().map(|shelf| shelf.to_portable(now)).collect());
        } else {
            let key = entry.alarm_key();
            if let Some(state) = table.list().find(key).and_then(|id| table.state(id))
                && !mutant::on(Mutant::StatesNotStored)
            {
                gathered.states.insert(key, stored_form(state, now));
            }
        }
    }

    /// Entries alone.
    pub(super) fn store_entries(&mut self, entries: Vec<Arc<AlarmEntry>>) {
        self.storing.made += entries.len() as u64;
        self.storing.gathered.entries.extend(entries);
    }

    pub(super) fn store_state(&mut self, key: AlarmKey, state: &AlarmState, now: Millis) {
        self.storing.made += 1;
        self.storing.gathered.states.insert(key, stored_form(state, now));
    }

    pub(super) fn store_included(&mut self, origin: Epoch, position: u64) {
        self.storing.made += 1;
        self.storing.gathered.included.insert(origin, position);
    }

    pub(super) fn store_skipped(&mut self, origin: Epoch, position: u64) {
        self.storing.made += 1;
        self.storing.gathered.skipped.insert(origin, position);
    }

    /// Another node's states take the place of all that are stored.
    pub(super) fn store_whole(
        &mut self,
        states: Vec<(AlarmKey, Option<PortableState>)>,
        shelves: Vec<PortableShelf>,
        included: Positions,
    ) {
        self.storing.made += 1;
        self.storing.gathered.append(Gathered {
            replace: true,
            states: states.into_iter().collect(),
            shelves: Some(shelves),
            included,
            ..Gathered::default()
        });
    }

    /// Gives the disk what was gathered, unless it has something to do.
    pub(super) fn store(&mut self, now: Millis) {
        let storing = &mut self.storing;
        if storing.under_way.is_some() || storing.gathered.is_empty() || storing.again_at.is_some_and(|at| now < at) {
            return;
        }
        storing.again_at = None;
        let mut batch = std::mem::take(&mut storing.gathered);
        let mut made = storing.made;
        if batch.entries.len() > BATCH_ENTRIES && !batch.replace {
            // The entries go first, the states with the last of them: never behind what the states take into account.
            let rest = batch.entries.split_off(BATCH_ENTRIES);
            let first = Gathered {
                skipped: std::mem::take(&mut batch.skipped),
                entries: std::mem::replace(&mut batch.entries, rest),
                ..Gathered::default()
            };
            storing.gathered = std::mem::replace(&mut batch, first);
            made = storing.done;
        }
        self.effects.push(AlarmEffect::Store(batch.batch()));
        storing.under_way = Some((batch, made));
    }

    pub(super) fn stored(&mut self, result: Result<(), String>, now: Millis) {
        let Some((mut batch, made)) = self.storing.under_way.take() else { return };
        match result {
            Ok(()) => {
                self.storing.trouble = None;
                self.storing.done = self.storing.done.max(made);
            }
            Err(reason) => {
                batch.append(std::mem::take(&mut self.storing.gathered));
                self.storing.gathered = batch;
                self.storing.again_at = Some(now.plus(STORE_AGAIN_MS));
                self.fail_unstored(&reason);
                self.storing.trouble = Some(reason);
            }
        }
        self.tell_confirmed();
        self.tell_taken();
    }
}

/// Delays do not outlive a stop of both nodes: a state that is otherwise the default is not stored.
fn stored_form(state: &AlarmState, now: Millis) -> Option<PortableState> {
    let portable = PortableState { pending: None, ..state.to_portable(now) };
    (portable != PortableState::default()).then_some(portable)
}
