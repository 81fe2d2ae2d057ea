//! What is over: a memory that the state of an alarm doesn't have. Each node has its own, and forgets it when it stops.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::alarms::{AlarmId, EventId};
use crate::types::UnixMillis;

/// So many events are remembered.
const KEPT: usize = 8192;

/// Occurrences that are cleared and acknowledged, and shelvings that ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    order: VecDeque<EventId>,
    known: HashSet<EventId>,
    /// Of each alarm when its last such occurrence began.
    last: HashMap<AlarmId, UnixMillis>,
}

impl Ended {
    pub(super) fn note_occurrence(&mut self, id: AlarmId, event: EventId, active_time: UnixMillis) {
        self.last.insert(id, active_time);
        self.note(event);
    }

    pub(super) fn note(&mut self, event: EventId) {
        if !self.known.insert(event) {
            return;
        }
        self.order.push_back(event);
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn knows(&self, event: EventId) -> bool {
        self.known.contains(&event)
    }

    pub(super) fn last_began(&self, id: AlarmId) -> Option<UnixMillis> {
        self.last.get(&id).copied()
    }
}
