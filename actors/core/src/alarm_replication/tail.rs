//! Journal entries that the other side lacks: read from this node's disk log by log, as fast as the other takes them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::frames::{AlarmFrame, AlarmItem, FRAME_BYTES, size_of_entry};
use super::{AlarmEffect, AlarmReplication, ReadFor, Role};
use crate::alarms::{AlarmEntry, Positions};
use crate::replicator::Now;
use crate::types::{Epoch, Millis};

/// So many frames of entries may be under way unconfirmed.
const WINDOW_FRAMES: u64 = 4;
/// So many entries are read at once.
const READ_ENTRIES: usize = 256;
/// What could not be read is tried again after this time.
const READ_AGAIN_MS: u64 = 1000;
/// What is on its way to the disk is looked for again after this time.
const READ_UNSTORED_MS: u64 = 2;

/// What the other side of a sync lacks.
#[derive(Debug)]
pub(super) struct Tail {
    sync: u64,
    /// Log, next position that it lacks, last position that this node has.
    logs: VecDeque<(Epoch, u64, u64)>,
    reading: bool,
    read_again_at: Option<Millis>,
    /// Read and not sent: entries of the first log, and the position before the first of them.
    read: VecDeque<Arc<AlarmEntry>>,
    after: u64,
    sent: u64,
    confirmed: u64,
    ended: bool,
}

impl Tail {
    /// What `mine` has and `theirs` lacks.
    pub(super) fn new(sync: u64, mine: &Positions, theirs: &Positions) -> Self {
        let lacks = |(origin, last): (&Epoch, &u64)| {
            let has = theirs.get(origin).copied().unwrap_or(0);
            (has < *last).then_some((*origin, has + 1, *last))
        };
        Self {
            sync,
            logs: mine.iter().filter_map(lacks).collect(),
            reading: false,
            read_again_at: None,
            read: VecDeque::new(),
            after: 0,
            sent: 0,
            confirmed: 0,
            ended: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.read_again_at
    }

    /// These were sent as items. One that does not follow on what the other side has by then is not taken into its
    /// journal: it is given once more.
    pub(super) fn passed(&mut self, items: &[AlarmItem]) {
        for item in items {
            if let AlarmItem::Entry(entry) = item
                && let Some(log) = self.logs.iter_mut().find(|(origin, ..)| *origin == entry.origin)
            {
                log.2 = log.2.max(entry.position);
            }
        }
    }
}

impl AlarmReplication {
    /// Reads and sends what the other side lacks, within its credit.
    pub(super) fn pump_tail(&mut self, now: Millis) {
        let Some(tail) = self.tail.as_mut().filter(|tail| !tail.ended) else { return };
        let sync = tail.sync;
        let mut frames = Vec::new();
        while let Some(&(origin, ..)) = tail.logs.front()
            && !tail.read.is_empty()
            && tail.sent - tail.confirmed < WINDOW_FRAMES
        {
            let (mut entries, mut bytes, after) = (Vec::new(), 0, tail.after);
            while bytes < FRAME_BYTES
                && let Some(entry) = tail.read.pop_front()
            {
                bytes += size_of_entry(&entry);
                tail.after = entry.position;
                entries.push((*entry).clone());
            }
            tail.sent += 1;
            frames.push(AlarmFrame::Entries { sync, origin, after, entries });
        }
        // A log stays the first one until all of it is on its way: items that pass it meanwhile are given once more.
        while tail.read.is_empty()
            && let Some(&(_, next, last)) = tail.logs.front()
            && next > last
        {
            tail.logs.pop_front();
        }
        if tail.read.is_empty() && !tail.reading && tail.read_again_at.is_none_or(|at| now >= at) {
            tail.read_again_at = None;
            if let Some(&(origin, from, _)) = tail.logs.front() {
                tail.reading = true;
                let (purpose, max) = (ReadFor::Peer, READ_ENTRIES);
                self.effects.push(AlarmEffect::Read { purpose, origin, from, max });
            } else {
                tail.ended = true;
                frames.push(AlarmFrame::NothingMissing { sync });
                if let Some(feeding) = &mut self.feeding {
                    feeding.completed();
                }
            }
        }
        for frame in frames {
            self.send_frame(&frame);
        }
    }

    pub(super) fn tail_read(&mut self, origin: Epoch, entries: Result<Vec<Arc<AlarmEntry>>, String>, now: Millis) {
        let not_stored = self.storing.waits_for(origin);
        let Some(tail) = self.tail.as_mut().filter(|tail| tail.reading) else { return };
        let Some(log) = tail.logs.front_mut().filter(|(of, ..)| *of == origin) else { return };
        tail.reading = false;
        let Ok(entries) = entries else {
            tail.read_again_at = Some(now.plus(READ_AGAIN_MS));
            return;
        };
        // What should be there and is not was dropped with old age, or is on its way to the disk.
        let first = entries.first().map(|entry| entry.position);
        match first {
            Some(first) if first > log.1 => log.1 = first,
            None if not_stored => {
                tail.read_again_at = Some(now.plus(READ_UNSTORED_MS));
                return;
            }
            None => log.1 = log.2.saturating_add(1),
            Some(_) => {}
        }
        tail.after = log.1.saturating_sub(1);
        for entry in entries {
            if entry.origin == origin && entry.position == log.1 {
                log.1 += 1;
                tail.read.push_back(entry);
            }
        }
        if tail.read.is_empty() {
            // So that the other side knows what it need not wait for.
            let (sync, after) = (tail.sync, tail.after);
            tail.sent += 1;
            self.send_frame(&AlarmFrame::Entries { sync, origin, after, entries: Vec::new() });
        }
    }

    pub(super) fn tail_confirmed(&mut self, sync: u64, frames: u64) {
        if let Some(tail) = self.tail.as_mut().filter(|tail| tail.sync == sync) {
            tail.confirmed = frames.clamp(tail.confirmed, tail.sent);
        }
    }

    /// The other side gives what this journal lacks.
    pub(super) fn entries_came(&mut self, sync: u64, origin: Epoch, after: u64, entries: Vec<AlarmEntry>, now: Now) {
        // The log of the tenure that this node runs is its own.
        if self.sync() != Some(sync) || (self.role != Role::Standby && origin == self.pen.origin) {
            return;
        }
        let held = self.held.get(&origin).copied().unwrap_or(0);
        if after > held {
            self.held.insert(origin, after);
            self.store_skipped(origin, after);
        }
        let mut taken = Vec::with_capacity(entries.len());
        for entry in entries {
            let entry = Arc::new(entry);
            if entry.origin == origin && self.takes(&entry) {
                self.entries_total += 1;
                self.operations.remember(&entry, now.mono);
                taken.push(entry);
            }
        }
        self.store_entries(taken);
        self.entries_frames += 1;
        let frames = self.entries_frames;
        self.send_frame(&AlarmFrame::EntriesTaken { sync, frames });
    }

    /// The other side has given everything.
    pub(super) fn nothing_missing(&mut self, sync: u64) {
        if self.feeding.as_ref().is_some_and(|feeding| feeding.sync() == sync) {
            self.absorb_rest();
        }
        self.follower_is_complete(sync);
    }
}
