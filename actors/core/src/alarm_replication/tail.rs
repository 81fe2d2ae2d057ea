//! Journal entries that the other side lacks: read from this node's disk log by log, as fast as the other takes them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::feeding::MAX_LOGS;
use super::frames::{AlarmFrame, FRAME_BYTES, size_of_entry};
use super::storing::MAX_UNSTORED;
use super::{AlarmEffect, AlarmReplication, ReadFor, Role};
use crate::alarms::{AlarmEntry, AlarmTable, Positions};
use crate::mutant::{self, Mutant};
use crate::replicator::Now;
use crate::types::{Epoch, Millis};

/// So many frames of entries may be under way unconfirmed.
const WINDOW_FRAMES: u64 = if cfg!(test) { 2 } else { 4 };
/// So many frames of entries may wait for the disk: many times the window of any version of this program.
const MAX_FRAMES_UNSTORED: usize = 64;
/// No log is that long. What a peer says is gone moves a log on at once, and the node whose log it is must be able to go
/// on from there.
pub(super) const MAX_SKIPPED: u64 = 1 << 62;
/// So many entries are read at once.
const READ_ENTRIES: usize = if cfg!(test) { 3 } else { 256 };
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
    /// Number of the read that is under way.
    reading: Option<u64>,
    read_again_at: Option<Millis>,
    /// Read and not sent: entries of the first log, and the position before the first of them.
    read: VecDeque<Arc<AlarmEntry>>,
    after: u64,
    sent: u64,
    confirmed: u64,
    /// What the other side has when it took all that was sent.
    given: Positions,
    ended: bool,
}

impl Tail {
    /// What `mine` has and `theirs` lacks.
    pub(super) fn new(sync: u64, mine: &Positions, theirs: Positions) -> Self {
        Self {
            sync,
            logs: lacking(mine, &theirs),
            reading: None,
            read_again_at: None,
            read: VecDeque::new(),
            after: 0,
            sent: 0,
            confirmed: 0,
            given: theirs,
            ended: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.read_again_at
    }
}

/// Of each log that the other side does not hold to its end: next position that it lacks, last position.
fn lacking(mine: &Positions, theirs: &Positions) -> VecDeque<(Epoch, u64, u64)> {
    let lacks = |(origin, last): (&Epoch, &u64)| {
        let has = theirs.get(origin).copied().unwrap_or(0);
        (has < *last).then(|| (*origin, has + 1, *last))
    };
    mine.iter().filter_map(lacks).collect()
}

impl AlarmReplication {
    /// Reads and sends what the other side lacks, within its credit.
    pub(super) fn pump_tail(&mut self, table: &AlarmTable, now: Millis) {
        loop {
            self.send_read();
            let Some(tail) = self.tail.as_mut().filter(|tail| !tail.ended && tail.read.is_empty()) else { return };
            while let Some(&(origin, next, last)) = tail.logs.front()
                && next > last
            {
                tail.given.insert(origin, next - 1);
                tail.logs.pop_front();
            }
            if tail.logs.is_empty() && self.feeding.is_some() {
                // What the leader wrote since the follower asked, in this very step perhaps.
                tail.logs = lacking(&self.held, &tail.given);
            }
            if tail.reading.is_some() || tail.read_again_at.is_some_and(|at| now < at) {
                return;
            }
            tail.read_again_at = None;
            let early = mutant::on(Mutant::AlarmSyncOneChunkEarly) && tail.logs.len() == 1;
            let Some(log) = tail.logs.front_mut().filter(|_| !early) else {
                tail.ended = true;
                let sync = tail.sync;
                if self.feeding.is_some() {
                    self.send_whole(table, sync, now);
                }
                return self.send_frame(&AlarmFrame::NothingMissing { sync });
            };
            // What is not on this disk comes from memory: a disk that fails keeps nothing from the other side.
            let unstored = self.storing.unstored(log.0, log.1, READ_ENTRIES);
            if let Some(last) = unstored.last() {
                tail.after = log.1.saturating_sub(1);
                log.1 = last.position.saturating_add(1);
                tail.read.extend(unstored);
            } else {
                self.reads += 1;
                tail.reading = Some(self.reads);
                let (purpose, max) = (ReadFor::Peer(self.reads), READ_ENTRIES);
                return self.effects.push(AlarmEffect::Read { purpose, origin: log.0, from: log.1, max });
            }
        }
    }

    /// Sends what was read.
    fn send_read(&mut self) {
        while let Some(tail) = &mut self.tail
            && let Some(&(origin, ..)) = tail.logs.front()
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
            let sync = tail.sync;
            self.send_frame(&AlarmFrame::Entries { sync, origin, after, entries });
        }
    }

    /// Entries were read, unless it was for a sync that is over.
    pub(super) fn tail_read(
        &mut self,
        number: u64,
        origin: Epoch,
        entries: Result<Vec<Arc<AlarmEntry>>, String>,
        now: Millis,
    ) {
        let not_stored = self.storing.waits_for(origin);
        let is_awaited = |tail: &&mut Tail| tail.reading == Some(number);
        let Some(tail) = self.tail.as_mut().filter(is_awaited) else { return };
        let Some(log) = tail.logs.front_mut().filter(|(of, ..)| *of == origin) else { return };
        tail.reading = None;
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
        if self.sync() != Some(sync) {
            return;
        }
        // An honest side waits for the disk of this one: beyond that, what comes would only fill the memory.
        let unstored = self.entries_storing.len() >= MAX_FRAMES_UNSTORED || self.storing.len() >= 2 * MAX_UNSTORED;
        let held = self.held.get(&origin).copied().unwrap_or(0);
        if unstored || after > held.max(MAX_SKIPPED) || !self.has_room_for(origin) {
            return self.cut_off();
        }
        // The log of the tenure that this node runs is its own.
        if self.role == Role::Standby || origin != self.pen.origin {
            self.take_entries(origin, after, entries, now);
        }
        self.entries_storing.push_back(self.storing.made());
        self.tell_taken();
    }

    /// Whether so many logs may be known: no pair ever had as many tenures as a broken peer can make up.
    pub(super) fn has_room_for(&self, origin: Epoch) -> bool {
        let room = |logs: &Positions| logs.len() < MAX_LOGS || logs.contains_key(&origin);
        room(&self.held) && room(&self.included)
    }

    fn take_entries(&mut self, origin: Epoch, after: u64, mut entries: Vec<AlarmEntry>, now: Now) {
        if mutant::on(Mutant::UnionByTime) {
            entries.sort_by_key(|entry| entry.time);
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
        if let Some((tail, held)) = self.tail.as_mut().zip(self.held.get(&origin)) {
            // It need not be given back.
            tail.given.insert(origin, *held);
        }
    }

    /// A frame of entries counts as taken when they are on disk: so no more wait for it than are under way.
    pub(super) fn tell_taken(&mut self) {
        let done = self.storing.done();
        let stored = self.entries_storing.partition_point(|made| *made <= done);
        if stored > 0
            && let Some(sync) = self.sync()
        {
            self.entries_storing.drain(..stored);
            self.entries_frames += stored as u64;
            let frames = self.entries_frames;
            self.send_frame(&AlarmFrame::EntriesTaken { sync, frames });
        }
    }

    /// The other side has given everything.
    pub(super) fn nothing_missing(&mut self, sync: u64) {
        if self.feeding.as_ref().is_some_and(|feeding| feeding.sync() == sync) {
            self.absorb_rest();
        }
        self.follower_is_complete(sync);
    }
}
