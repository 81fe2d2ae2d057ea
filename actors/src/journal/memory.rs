//! A journal that forgets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hotpair_core::alarms::{AlarmEntry, AlarmKey, JournalBatch, JournalFound, PortableShelf, PortableState, Positions};
use hotpair_core::operations::KEEP_MS;
use hotpair_core::types::{Epoch, UnixMillis};
use parking_lot::Mutex;

use super::{Appended, Entries, Fitting, JournalStore, remaining, stored_state};
use crate::durable::DiskError;

/// A journal that forgets at the end of the process: for tests, and for programs that embed a node and keep nothing.
/// `done` runs on the caller's thread.
#[derive(Debug)]
pub struct MemoryJournal {
    keep: usize,
    inner: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    entries: BTreeMap<(Epoch, u64), Arc<AlarmEntry>>,
    /// The keys of `entries`, in the order in which they came.
    came: VecDeque<(Epoch, u64)>,
    held: Positions,
    included: Positions,
    states: BTreeMap<AlarmKey, PortableState>,
    shelves: Vec<PortableShelf>,
    failing: Option<DiskError>,
    trouble: Option<DiskError>,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::keeping(100_000)
    }
}

impl MemoryJournal {
    /// An empty one that works and keeps the newest 100,000 entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one that works and keeps so many of the newest entries.
    pub fn keeping(keep: usize) -> Self {
        Self { keep, inner: Mutex::default() }
    }

    /// From now on every operation fails with this sentence; with none it works again.
    pub fn fail_with(&self, why: Option<&str>) {
        self.inner.lock().failing = why.map(|why| DiskError(Arc::from(why)));
    }

    /// What would be found after a stop, by a start at this time.
    pub fn found(&self, now: UnixMillis) -> JournalFound {
        let inner = self.inner.lock();
        let asked_for = |entry: &&Arc<AlarmEntry>| {
            entry.operation.is_some() && entry.time.0 > now.0.saturating_sub_unsigned(KEEP_MS)
        };
        let mut operations: Vec<_> = inner.entries.values().filter(asked_for).cloned().collect();
        operations.sort_by_key(|entry| (entry.time, entry.origin, entry.position));
        JournalFound {
            held: inner.held.clone(),
            included: inner.included.clone(),
            states: inner.states.iter().map(|(key, state)| (*key, state.clone())).collect(),
            shelves: inner.shelves.iter().filter_map(|shelf| remaining(shelf.clone(), now)).collect(),
            operations,
        }
    }

    /// All entries, log by log.
    pub fn entries(&self) -> Vec<Arc<AlarmEntry>> {
        self.inner.lock().entries.values().cloned().collect()
    }

    /// The states that are not the default, by key.
    pub fn states(&self) -> Vec<(AlarmKey, PortableState)> {
        self.inner.lock().states.iter().map(|(key, state)| (*key, state.clone())).collect()
    }

    /// The shelvings as they were last given.
    pub fn shelves(&self) -> Vec<PortableShelf> {
        self.inner.lock().shelves.clone()
    }

    /// The last position that is held of each log.
    pub fn held(&self) -> Positions {
        self.inner.lock().held.clone()
    }

    /// Up to where the states take each log into account.
    pub fn included(&self) -> Positions {
        self.inner.lock().included.clone()
    }
}

impl Memory {
    fn attempt(&mut self) -> Result<(), DiskError> {
        self.trouble.clone_from(&self.failing);
        self.failing.clone().map_or(Ok(()), Err)
    }

    fn append(&mut self, batch: JournalBatch, keep: usize) -> Result<(), DiskError> {
        let mut fitting = Fitting::new(&self.held);
        let new: Vec<_> = fitting.fit(&batch)?.into_iter().cloned().collect();
        let moved = fitting.moved();
        self.attempt()?;
        let Self { entries, came, held, included, states, shelves, .. } = self;
        for entry in new {
            let key = (entry.origin, entry.position);
            came.push_back(key);
            entries.insert(key, entry);
        }
        held.extend(moved);
        for key in came.drain(..came.len().saturating_sub(keep)) {
            entries.remove(&key);
        }
        if batch.replace {
            states.clear();
            included.clear();
        }
        for (key, state) in batch.states {
            match stored_state(state) {
                Some(state) => states.insert(key, state),
                None => states.remove(&key),
            };
        }
        included.extend(batch.included);
        if let Some(all) = batch.shelves {
            *shelves = all;
        }
        Ok(())
    }
}

impl JournalStore for MemoryJournal {
    fn append(&self, batch: JournalBatch, done: Appended) {
        let result = self.inner.lock().append(batch, self.keep);
        done(result);
    }

    fn read(&self, origin: Epoch, from: u64, max: usize, done: Entries) {
        let mut inner = self.inner.lock();
        let result = inner.attempt().map(|()| {
            let log = inner.entries.range((origin, from)..=(origin, u64::MAX));
            let mut last = None;
            let joins =
                |entry: &&Arc<AlarmEntry>| last.replace(entry.position).is_none_or(|last| last + 1 == entry.position);
            log.map(|(_, entry)| entry).take_while(joins).take(max).cloned().collect()
        });
        drop(inner);
        done(result);
    }

    fn trouble(&self) -> Option<String> {
        self.inner.lock().trouble.as_ref().map(ToString::to_string)
    }
}

#[cfg(test)]
mod tests;
