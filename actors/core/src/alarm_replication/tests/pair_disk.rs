//! A journal that answers when it is told to, fails, forgets old entries, and loses at a crash what it did not confirm.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::alarm_replication::{AlarmInput, ReadFor};
use crate::alarms::{AlarmEntry, AlarmKey, JournalBatch, JournalFound, PortableShelf, PortableState, Positions};
use crate::types::Epoch;

/// What the machine asked for and was not answered.
pub(super) enum Job {
    Append(JournalBatch),
    Read { purpose: ReadFor, origin: Epoch, from: u64, max: usize },
}

/// What outlives a crash.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub entries: BTreeMap<(Epoch, u64), Arc<AlarmEntry>>,
    pub held: Positions,
    pub included: Positions,
    states: BTreeMap<AlarmKey, PortableState>,
    shelves: Vec<PortableShelf>,
    pub failing: bool,
    /// Entries that were dropped with old age.
    pub pruned: usize,
}

impl Disk {
    pub(super) fn found(&self) -> JournalFound {
        JournalFound {
            held: self.held.clone(),
            included: self.included.clone(),
            states: self.states.iter().map(|(key, state)| (*key, state.clone())).collect(),
            shelves: self.shelves.clone(),
            operations: self.entries.values().filter(|entry| entry.operation.is_some()).cloned().collect(),
        }
    }

    /// Forgets the oldest entries of each log but so many.
    pub(super) fn prune(&mut self, keep: u64) {
        let before = self.entries.len();
        let held = self.held.clone();
        self.entries.retain(|(origin, position), _| position + keep > held.get(origin).copied().unwrap_or(0));
        self.pruned += before - self.entries.len();
    }

    pub(super) fn work(&mut self, job: Job) -> AlarmInput<'static> {
        match job {
            Job::Append(_) if self.failing => AlarmInput::Stored(Err("the disk is full".into())),
            Job::Append(batch) => {
                self.append(batch);
                AlarmInput::Stored(Ok(()))
            }
            Job::Read { purpose, origin, from, max } => {
                let entries = if self.failing {
                    Err("the disk cannot be read".into())
                } else {
                    let log = self.entries.range((origin, from)..=(origin, u64::MAX));
                    Ok(log.take(max).map(|(_, entry)| entry.clone()).collect())
                };
                AlarmInput::Read { purpose, origin, entries }
            }
        }
    }

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
        if batch.replace {
            self.states.clear();
            self.included.clear();
        }
        for (key, state) in batch.states {
            match state {
                Some(state) => self.states.insert(key, state),
                None => self.states.remove(&key),
            };
        }
        self.shelves = batch.shelves.unwrap_or(std::mem::take(&mut self.shelves));
        self.included.extend(batch.included);
    }
}

pub(super) type Jobs = VecDeque<Job>;
