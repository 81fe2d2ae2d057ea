//! A simulated disk for the journal: one thread, operations in their order, each as a whole or not at all. What was
//! confirmed survives a crash; what was under way may have reached the disk all the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hotpair_core::alarm_replication::ReadFor;
use hotpair_core::alarms::{AlarmEntry, AlarmKey, JournalBatch, JournalFound, PortableShelf, PortableState, Positions};
use hotpair_core::types::{Epoch, UnixMillis};

pub enum JournalOp {
    Append(JournalBatch),
    Read { purpose: ReadFor, origin: Epoch, from: u64, max: usize },
}

pub enum JournalAnswer {
    Stored(Result<(), String>),
    Read(ReadFor, Epoch, Result<Vec<Arc<AlarmEntry>>, String>),
}

#[derive(Default)]
pub struct Journal {
    pub entries: BTreeMap<(Epoch, u64), Arc<AlarmEntry>>,
    /// Their places as they came.
    order: VecDeque<(Epoch, u64)>,
    /// Operations that were ever stored, and up to where each log was forgotten with old age or never had.
    told: BTreeSet<Arc<str>>,
    pub forgotten: Positions,
    skipped: BTreeSet<(Epoch, u64)>,
    pub held: Positions,
    pub included: Positions,
    states: BTreeMap<AlarmKey, PortableState>,
    shelves: Vec<PortableShelf>,
    pub queue: VecDeque<JournalOp>,
    pub busy: bool,
    /// It fails alone, until then.
    pub fails: bool,
    pub fails_until: u64,
    pub trouble: bool,
    /// Broken on purpose: it answers and writes nothing.
    pub lies: bool,
}

impl Journal {
    /// An empty one in its place.
    pub fn fresh(&self) -> Self {
        Self { lies: self.lies, ..Self::default() }
    }

    /// The first operation that waits is done, or fails.
    pub fn complete(&mut self, full: bool) -> Option<JournalAnswer> {
        let broken = || "the disk is full".to_owned();
        Some(match self.queue.pop_front()? {
            JournalOp::Append(_) if self.lies => JournalAnswer::Stored(Ok(())),
            JournalOp::Append(batch) => JournalAnswer::Stored(if full { Err(broken()) } else { self.append(batch) }),
            JournalOp::Read { purpose, origin, from, max } => {
                let found = self.read(origin, from, max);
                JournalAnswer::Read(purpose, origin, if full { Err(broken()) } else { found })
            }
        })
    }

    fn read(&self, origin: Epoch, from: u64, max: usize) -> Result<Vec<Arc<AlarmEntry>>, String> {
        let mut entries: Vec<Arc<AlarmEntry>> = Vec::new();
        for ((_, position), entry) in self.entries.range((origin, from)..=(origin, u64::MAX)).take(max) {
            if entries.last().is_some_and(|before| before.position + 1 != *position) {
                if self.skipped.range((origin, position - 1)..=(origin, u64::MAX)).next().is_some() {
                    break;
                }
                return Err(format!("entry {} of the log of tenure {origin} is missing", position - 1));
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    /// Drops the oldest entries but so many. What it drops: the operations.
    pub fn forget(&mut self, keeps: usize) -> Vec<Arc<str>> {
        let mut operations = Vec::new();
        while self.order.len() > keeps
            && let Some((origin, position)) = self.order.pop_front()
        {
            let last = self.forgotten.entry(origin).or_default();
            *last = (*last).max(position);
            let entry = self.entries.remove(&(origin, position));
            operations.extend(entry.and_then(|entry| entry.operation.clone()));
        }
        operations
    }

    fn append(&mut self, batch: JournalBatch) -> Result<(), String> {
        let mut held = self.held.clone();
        for (origin, skipped) in &batch.skipped {
            let last = held.entry(*origin).or_default();
            *last = (*last).max(*skipped);
        }
        let mut new = Vec::new();
        for entry in batch.entries {
            let last = held.entry(entry.origin).or_default();
            if entry.position > *last + 1 {
                return Err(format!("entry {} of {} does not follow {last}", entry.position, entry.origin));
            }
            if entry.position == *last + 1 {
                *last = entry.position;
                new.push(entry);
            }
        }
        self.held = held;
        self.skipped.extend(batch.skipped);
        self.order.extend(new.iter().map(|entry| (entry.origin, entry.position)));
        self.told.extend(new.iter().filter_map(|entry| entry.operation.clone()));
        self.entries.extend(new.into_iter().map(|entry| ((entry.origin, entry.position), entry)));
        if batch.replace {
            self.states.clear();
            self.included.clear();
        }
        for (key, state) in batch.states {
            let state = state.map(|state| PortableState { pending: None, ..state });
            match state.filter(|state| *state != PortableState::default()) {
                Some(state) => self.states.insert(key, state),
                None => self.states.remove(&key),
            };
        }
        self.included.extend(batch.included);
        if let Some(shelves) = batch.shelves {
            self.shelves = shelves;
        }
        Ok(())
    }

    /// The process is gone. So much of what was under way (percent, from the first on) reached the disk all the same.
    pub fn crash(&mut self, written: u64, full: bool) {
        let count = if full || self.fails { 0 } else { self.queue.len() * written as usize / 100 };
        for op in std::mem::take(&mut self.queue).into_iter().take(count) {
            if let JournalOp::Append(batch) = op {
                let _ = self.append(batch);
            }
        }
        self.busy = false;
        self.trouble = false;
    }

    /// What a process finds that starts now.
    pub fn found(&self, now: UnixMillis) -> JournalFound {
        let mut operations: Vec<_> = self.entries.values().filter(|entry| entry.operation.is_some()).cloned().collect();
        operations.sort_by_key(|entry| (entry.time, entry.origin, entry.position));
        let left = |shelf: &PortableShelf| {
            let end = shelf.since.0.saturating_add_unsigned(shelf.for_ms);
            let remaining_ms = u64::try_from(end - now.0).unwrap_or(0).min(shelf.for_ms);
            (remaining_ms > 0).then(|| PortableShelf { remaining_ms, ..shelf.clone() })
        };
        JournalFound {
            held: self.held.clone(),
            included: self.included.clone(),
            states: self.states.iter().map(|(key, state)| (*key, state.clone())).collect(),
            shelves: self.shelves.iter().filter_map(left).collect(),
            operations,
        }
    }

    pub fn has_operation(&self, id: &str) -> bool {
        self.told.contains(id)
    }
}
