//! Where the engine writes: every change is made to the table and told to the caller in one step.

use std::sync::Arc;

use crate::alarms::pen::{number_of, shortened};
use crate::alarms::{
    AckMode, AlarmChange, AlarmDef, AlarmEntry, AlarmId, AlarmState, AlarmTable, EntryKind, EventId, MAX_COMMENT_BYTES,
    Occurrence, Pen, Pending, Shelf,
};
use crate::mutant::{self, Mutant};
use crate::protocol::OperationId;
use crate::replicator::Now;
use crate::types::{NodeId, UnixMillis};
use crate::value::Value;

/// What is at hand while the engine works.
pub(in crate::alarms) struct Desk<'a> {
    pub(in crate::alarms) table: &'a mut AlarmTable,
    pub(in crate::alarms) pen: &'a mut Pen,
    pub(in crate::alarms) now: Now,
    pub(in crate::alarms) out: &'a mut Vec<AlarmChange>,
}

/// What somebody said.
#[derive(Clone)]
pub(in crate::alarms) struct Said {
    pub(in crate::alarms) node: NodeId,
    pub(in crate::alarms) operator: Arc<str>,
    pub(in crate::alarms) comment: Arc<str>,
    pub(in crate::alarms) operation: Option<OperationId>,
}

impl Said {
    /// A rule says so, at this node.
    pub(in crate::alarms) fn by_rule(node: NodeId, comment: &str) -> Self {
        Self { node, operator: Arc::from(""), comment: Arc::from(comment), operation: None }
    }

    /// An operator said so to the other node.
    pub(in crate::alarms) fn carried_over(node: NodeId, operator: &Arc<str>, comment: &str) -> Self {
        let comment = Arc::from(format!("carried over from the other node: {comment}"));
        let comment = shortened(&comment, MAX_COMMENT_BYTES);
        Self { node, operator: operator.clone(), comment, operation: None }
    }
}

impl Desk<'_> {
    /// A new occurrence begins. It takes the place of one that waits for its acknowledgement.
    pub(in crate::alarms) fn raise(
        &mut self,
        id: AlarmId,
        def: &AlarmDef,
        active_time: UnixMillis,
        value: Option<Value>,
    ) {
        let Some((key, state)) = self.table.list().key(id).zip(self.table.state(id)) else { return };
        let number = state.number.saturating_add(1);
        let occurrence = Occurrence {
            event: EventId::of_occurrence(key, number, active_time),
            epoch: self.pen.origin,
            active: true,
            acked: false,
            active_time,
            clear_time: None,
            ack_time: None,
            operator: Arc::from(""),
            comment: Arc::from(""),
            value,
        };
        let entry = self.pen.draft(EntryKind::Raised, def, number, &occurrence, active_time);
        self.write(Some(id), entry);
    }

    /// The occurrence clears; of an alarm that acknowledges itself it is over with that.
    pub(in crate::alarms) fn clear(&mut self, id: AlarmId, def: &AlarmDef, time: UnixMillis, value: Option<Value>) {
        let Some(mut entry) = self.draft(id, def, EntryKind::Cleared, time) else { return };
        entry.active = false;
        entry.acked |= def.ack_mode == AckMode::Automatic;
        entry.value = value;
        self.write(Some(id), entry);
    }

    /// The occurrence is acknowledged.
    pub(in crate::alarms) fn acknowledge(&mut self, id: AlarmId, said: Said) {
        let list = self.table.list().clone();
        let Some(def) = list.get(id) else { return };
        let Some(mut entry) = self.draft(id, def, EntryKind::Acknowledged, self.now.wall) else { return };
        entry.acked = true;
        self.write(Some(id), with(entry, said));
    }

    /// Something is said about the occurrence.
    pub(in crate::alarms) fn comment(&mut self, id: AlarmId, said: Said) {
        let list = self.table.list().clone();
        let Some(def) = list.get(id) else { return };
        let Some(entry) = self.draft(id, def, EntryKind::Commented, self.now.wall) else { return };
        self.write(Some(id), with(entry, said));
    }

    /// A shelving begins.
    pub(in crate::alarms) fn shelve(&mut self, path: &Arc<str>, for_ms: u64, said: Said) -> bool {
        let event = EventId::of_shelving(path, self.pen.origin, self.pen.next);
        let mut entry = self.pen.draft_shelving(EntryKind::Shelved, path, event, self.now.wall);
        entry.shelved_ms = for_ms;
        self.write(None, with(entry, said))
    }

    /// A shelving ends.
    pub(in crate::alarms) fn unshelve(&mut self, shelf: &Shelf, said: Said) -> bool {
        let mut entry = self.pen.draft_shelving(EntryKind::Unshelved, &shelf.path, shelf.event, self.now.wall);
        entry.active_time = shelf.since;
        self.write(None, with(entry, said))
    }

    /// A delay begins or is dropped.
    pub(in crate::alarms) fn set_pending(&mut self, id: AlarmId, pending: Option<Pending>) {
        self.table.set_pending(id, pending);
        self.tell_state(id);
    }

    /// The opposite value was seen.
    pub(in crate::alarms) fn arm(&mut self, id: AlarmId) {
        self.table.arm(id);
        self.tell_state(id);
    }

    /// Takes a state that no entry of this log tells of.
    pub(in crate::alarms) fn absorb(&mut self, id: AlarmId, state: AlarmState) {
        self.table.absorb(id, state);
        self.tell_state(id);
    }

    fn tell_state(&mut self, id: AlarmId) {
        self.out.extend(self.table.list().key(id).map(AlarmChange::State));
    }

    fn draft(&self, id: AlarmId, def: &AlarmDef, kind: EntryKind, time: UnixMillis) -> Option<AlarmEntry> {
        let (key, state) = self.table.list().key(id).zip(self.table.state(id))?;
        let live = state.live.as_ref()?;
        Some(self.pen.draft(kind, def, number_of(key, state, live), live, time))
    }

    /// The place in the log is used up only if the entry did something.
    fn write(&mut self, id: Option<AlarmId>, entry: AlarmEntry) -> bool {
        let done = match id {
            Some(id) => self.table.apply_to(id, &entry, self.now.mono),
            None => self.table.apply(&entry, self.now.mono),
        };
        if done {
            self.pen.advance();
            if mutant::on(Mutant::ClearedTwice) && entry.kind == EntryKind::Cleared {
                let again = AlarmEntry { position: self.pen.next, ..entry.clone() };
                self.pen.advance();
                self.out.push(AlarmChange::Entry(Arc::new(entry)));
                self.out.push(AlarmChange::Entry(Arc::new(again)));
                return done;
            }
            self.out.push(AlarmChange::Entry(Arc::new(entry)));
        }
        done
    }
}

fn with(entry: AlarmEntry, said: Said) -> AlarmEntry {
    let Said { node, operator, comment, operation } = said;
    AlarmEntry { node, operator, comment, operation, ..entry }
}
