//! How entries are written: the journal's next place, and everything that an entry says about itself.

use std::sync::Arc;

use super::definition::{AckMode, AlarmDef, AlarmKey, AlarmKind, AlarmPriority};
use super::entry::{AlarmEntry, EntryKind, EventId, MAX_DESCRIPTION_BYTES};
use super::state::{AlarmState, Occurrence, Shelf};
use crate::types::{Epoch, NodeId, UnixMillis};

/// Writes entries of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pen {
    /// The tenure whose log it is.
    pub origin: Epoch,
    /// The position of the next entry, from 1.
    pub next: u64,
    /// This node.
    pub node: NodeId,
}

impl Pen {
    /// An entry at the next place, which is not used up yet.
    pub(super) fn draft(
        &self,
        kind: EntryKind,
        def: &AlarmDef,
        number: u64,
        live: &Occurrence,
        time: UnixMillis,
    ) -> AlarmEntry {
        AlarmEntry {
            origin: self.origin,
            position: self.next,
            kind,
            event: live.event,
            number,
            path: def.path.clone(),
            name: def.name.clone(),
            alarm: def.condition.kind(),
            priority: def.priority,
            ack_mode: def.ack_mode,
            description: shortened(&def.description, MAX_DESCRIPTION_BYTES),
            time,
            active: live.active,
            acked: live.acked,
            active_time: live.active_time,
            value: live.value.clone(),
            node: self.node,
            operator: Arc::from(""),
            comment: Arc::from(""),
            operation: None,
            shelved_ms: 0,
        }
    }

    /// Likewise of a shelving.
    pub(super) fn draft_shelving(
        &self,
        kind: EntryKind,
        path: &Arc<str>,
        event: EventId,
        time: UnixMillis,
    ) -> AlarmEntry {
        AlarmEntry {
            origin: self.origin,
            position: self.next,
            kind,
            event,
            number: 0,
            path: path.clone(),
            name: Arc::from(""),
            alarm: AlarmKind::System,
            priority: AlarmPriority::Low,
            ack_mode: AckMode::Manual,
            description: Arc::from(""),
            time,
            active: false,
            acked: false,
            active_time: time,
            value: None,
            node: self.node,
            operator: Arc::from(""),
            comment: Arc::from(""),
            operation: None,
            shelved_ms: 0,
        }
    }

    /// The last draft counts.
    pub(super) fn advance(&mut self) {
        self.next = self.next.saturating_add(1);
    }
}

impl Shelf {
    /// The shelving that an entry of kind `Shelved` puts in force.
    pub(super) fn of_entry(entry: &AlarmEntry, now: crate::types::Millis) -> Self {
        Self {
            path: entry.path.clone(),
            event: entry.event,
            since: entry.time,
            for_ms: entry.shelved_ms,
            until: now.plus(entry.shelved_ms),
            operator: entry.operator.clone(),
            comment: entry.comment.clone(),
        }
    }
}

/// So many numbers back an occurrence is looked for: the other node may have counted that much further in a split.
const NUMBERS_BACK: u64 = 1 << 20;

/// Which occurrence the live one is. That is the alarm's number, unless a split ended since and the other node had
/// counted further; the event id tells.
pub(super) fn number_of(key: AlarmKey, state: &AlarmState, live: &Occurrence) -> u64 {
    (0..NUMBERS_BACK)
        .map_while(|back| state.number.checked_sub(back))
        .find(|number| EventId::of_occurrence(key, *number, live.active_time) == live.event)
        .unwrap_or(state.number)
}

/// At most `max` bytes of a text, ending with a whole character.
pub(super) fn shortened(text: &Arc<str>, max: usize) -> Arc<str> {
    if text.len() <= max { text.clone() } else { Arc::from(&text[..text.floor_char_boundary(max)]) }
}
