//! What is over: a memory that the state of an alarm doesn't have. Each node has its own, and forgets it when it stops.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::alarms::{AlarmId, EventId};
use crate::types::UnixMillis;

/// So many events are remembered.
const KEPT: usize = 8192;

/// Occurrences that are cleared and acknowledged, or that another one took the place of, and shelvings that ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    over: Recent,
    /// Cleared, and acknowledged by nobody, when another occurrence of the alarm took their place.
    replaced: Recent,
    /// Of each alarm when its last occurrence that is over began.
    last: HashMap<AlarmId, UnixMillis>,
}

/// The last so many events.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<EventId>,
    known: HashSet<EventId>,
}

impl Recent {
    fn note(&mut self, event: EventId) {
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
}

impl Ended {
    pub(super) fn note_occurrence(&mut self, id: AlarmId, event: EventId, active_time: UnixMillis) {
        self.last.insert(id, active_time);
        self.note(event);
    }

    pub(super) fn note(&mut self, event: EventId) {
        self.over.note(event);
    }

    pub(super) fn note_replaced(&mut self, event: EventId) {
        self.replaced.note(event);
    }

    pub(super) fn knows(&self, event: EventId) -> bool {
        self.over.known.contains(&event)
    }

    pub(super) fn was_replaced(&self, event: EventId) -> bool {
        self.replaced.known.contains(&event)
    }

    pub(super) fn last_began(&self, id: AlarmId) -> Option<UnixMillis> {
        self.last.get(&id).copied()
    }
}
