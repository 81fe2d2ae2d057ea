//! What a Running node holds of other tenures without having taken it into account: the other side of a split, or this
//! node's own last entries, when it took a peer's states before the peer had them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{AlarmEffect, AlarmItem, AlarmReplication, ReadFor, Role};
use crate::alarms::{Absorption, AlarmEntry, AlarmTable};
use crate::mutant::{self, Mutant};
use crate::replicator::Now;
use crate::tags::TagTable;
use crate::types::{Epoch, Millis};

/// So many entries are read at once.
const READ_ENTRIES: usize = if cfg!(test) { 3 } else { 1024 };
/// What could not be read is tried again after this time.
const READ_AGAIN_MS: u64 = 1000;

/// See the module.
pub(super) struct Absorbing {
    /// Log, next position, last position.
    logs: VecDeque<(Epoch, u64, u64)>,
    absorption: Absorption,
    /// Number of the read that is under way.
    reading: Option<u64>,
    again_at: Option<Millis>,
    /// Up to where each log was read.
    done: Vec<(Epoch, u64)>,
}

impl Absorbing {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.again_at
    }
}

impl AlarmReplication {
    /// Begins with what is held and not included, if there is anything. What comes later is found at its end.
    pub(super) fn absorb_rest(&mut self) {
        if self.absorbing.is_some() || self.role == Role::Standby || mutant::on(Mutant::NothingAbsorbed) {
            return;
        }
        let included = |origin| self.included.get(origin).copied().unwrap_or(0);
        let logs: VecDeque<_> = self
            .held
            .iter()
            .filter(|(origin, last)| **origin != self.pen.origin && included(origin) < **last)
            .map(|(origin, last)| (*origin, included(origin) + 1, *last))
            .collect();
        if !logs.is_empty() {
            self.absorbing = Some(Absorbing {
                logs,
                absorption: Absorption::new(),
                reading: None,
                again_at: None,
                done: Vec::new(),
            });
        }
    }

    /// Goes on reading; at the end the states change.
    pub(super) fn absorb(&mut self, table: &mut AlarmTable, tags: &TagTable, now: Now) {
        let Some(absorbing) = &mut self.absorbing else { return };
        if absorbing.reading.is_some() || absorbing.again_at.is_some_and(|at| now.mono < at) {
            return;
        }
        absorbing.again_at = None;
        while let Some(&mut (origin, ref mut next, last)) = absorbing.logs.front_mut() {
            for entry in self.storing.unstored(origin, *next, usize::MAX) {
                if entry.position <= last {
                    *next = entry.position + 1;
                    absorbing.absorption.add(&entry);
                }
            }
            let next = *next;
            if next <= last {
                self.reads += 1;
                absorbing.reading = Some(self.reads);
                let (purpose, max) = (ReadFor::Absorbing(self.reads), READ_ENTRIES);
                return self.effects.push(AlarmEffect::Read { purpose, origin, from: next, max });
            }
            absorbing.done.push((origin, last));
            absorbing.logs.pop_front();
        }
        let Some(absorbing) = self.absorbing.take() else { return };
        let mut changes = std::mem::take(&mut self.changes);
        absorbing.absorption.finish(
            &mut self.engine,
            table,
            &mut |tag| tags.get(tag),
            &mut self.pen,
            now,
            &mut changes,
        );
        self.changes = changes;
        self.take_changes(table, now);
        for (origin, position) in absorbing.done {
            self.included.insert(origin, position);
            self.store_included(origin, position);
            if let Some(feeding) = &mut self.feeding {
                feeding.push(AlarmItem::Included(origin, position));
            }
        }
        // Something may have come meanwhile.
        self.absorb_rest();
        self.absorb(table, tags, now);
    }

    /// Entries were read, unless it was for a tenure that is over.
    pub(super) fn absorb_read(
        &mut self,
        number: u64,
        origin: Epoch,
        entries: Result<Vec<Arc<AlarmEntry>>, String>,
        now: Millis,
    ) {
        let is_awaited = |absorbing: &&mut Absorbing| absorbing.reading == Some(number);
        let Some(absorbing) = self.absorbing.as_mut().filter(is_awaited) else { return };
        let not_stored = self.storing.waits_for(origin);
        let Some(log) = absorbing.logs.front_mut().filter(|(of, ..)| *of == origin) else { return };
        absorbing.reading = None;
        let Ok(entries) = entries else {
            absorbing.again_at = Some(now.plus(READ_AGAIN_MS));
            return;
        };
        if entries.is_empty() && not_stored {
            absorbing.again_at = Some(now.plus(2));
        } else if entries.first().is_none_or(|first| first.position > log.2) {
            // Dropped with old age: nothing is known of them any more.
            log.1 = log.2.saturating_add(1);
        }
        for entry in entries {
            if entry.origin == origin && entry.position >= log.1 && entry.position <= log.2 {
                log.1 = entry.position + 1;
                absorbing.absorption.add(&entry);
            }
        }
    }
}
