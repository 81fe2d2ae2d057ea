//! What clients and sources write, and when a client is answered.

use std::collections::VecDeque;
use std::sync::Arc;

use super::forwarding::{part_operation, parts};
use super::{Now, Published, Replicator, Role, TagEffect, WriteOrder};
use crate::mutant::{self, Mutant};
use crate::operations::{Found, Record, request_hash};
use crate::protocol::{Control, Forward, ItemResult, WriteItem, WriteOutcome, WriteRefusal};
use crate::tags::{TagTable, convert};
use crate::types::{Millis, Seq};
use crate::value::{Sample, Value};

/// So many writes wait for the end of a switch; a further one is refused.
const MAX_WAITING: usize = 4096;
/// A node that is fenced asks again after this time whether it may act.
const LOOK_AGAIN_MS: u64 = 20;
/// So many writes wait for the disk or the peer; a further one is refused.
const MAX_PENDING: usize = 65_536;

/// Below it is what the node says of itself.
const SYSTEM_ROOT: &str = "System/";

/// Who is to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// A client of this node.
    Here(u64),
    /// A client of the peer.
    Peer(Part),
}

/// A write of the peer's client, or a part of a large one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Of the peer's request.
    id: u64,
    number: u32,
    /// Of the whole write.
    request_hash: u64,
    /// The peer has given up waiting then.
    until: Millis,
}

/// A write that is done here and waits for the disk or the peer.
#[derive(Debug)]
struct Pending {
    origin: Origin,
    results: Vec<ItemResult>,
    seq: Seq,
    deadline: Millis,
    /// This node follows another history since: the number says nothing any more, and the change travels, if it does,
    /// under another one.
    parted: bool,
}

/// What a write did to the table.
#[derive(Debug, Default)]
struct Written {
    /// To be stored.
    retained: Vec<(Arc<str>, Sample, Seq)>,
    /// Not all of it can go to the follower, which does not have each of the tags.
    here_only: bool,
}

/// Writes that are done and not answered, each list in the order of change numbers and of deadlines.
#[derive(Debug, Default)]
pub(super) struct Pendings {
    /// These wait for the peer's table.
    plain: VecDeque<Pending>,
    /// These wait for this node's disk, then for the peer's.
    retained: VecDeque<Pending>,
    /// These wait for this node's disk alone: the follower does not have each of their tags.
    here_only: VecDeque<Pending>,
}

/// Writes that came while nobody may write.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<(Origin, WriteOrder, Millis)>);

impl Pendings {
    pub(super) fn deadline(&self) -> Option<Millis> {
        let due = |list: &VecDeque<Pending>| list.front().map(|pending| pending.deadline);
        // What waits for this node's disk beyond its deadline goes on waiting: the disk answers in any case.
        [due(&self.plain), due(&self.retained)].into_iter().flatten().filter(|due| *due != Millis(u64::MAX)).min()
    }

    fn len(&self) -> usize {
        self.plain.len() + self.retained.len() + self.here_only.len()
    }

    /// A follower that does not have each tag comes now. Which tags were written before is not known any more.
    pub(super) fn wait_for_disk_alone(&mut self) {
        self.here_only.append(&mut self.retained);
        self.here_only.make_contiguous().sort_by_key(|pending| pending.seq);
    }
}

impl Waiting {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.0.iter().map(|(_, _, deadline)| *deadline).min()
    }
}

impl Replicator {
    pub(super) fn write(&mut self, table: &mut TagTable, origin: Origin, order: WriteOrder, now: Now) {
        match self.role {
            Role::Leading if self.fenced => {
                self.look_again_at = Some(now.mono.plus(LOOK_AGAIN_MS));
                self.wait(origin, order, now.mono);
            }
            Role::Leading if self.pendings.len() >= MAX_PENDING => {
                self.refuse(origin, WriteRefusal::Busy);
            }
            Role::Leading => self.perform(table, origin, order, now),
            Role::Quiesced if mutant::on(Mutant::WritesWhileQuiesced) => self.perform(table, origin, order, now),
            Role::Quiesced => self.wait(origin, order, now.mono),
            Role::Standby if mutant::on(Mutant::StandbyRefuses) => {
                self.refuse(origin, WriteRefusal::NotRunning("it stands by".into()));
            }
            Role::Standby => match origin {
                Origin::Here(_) if self.must_be_told_first(&order, now.mono) => self.wait(origin, order, now.mono),
                Origin::Here(ticket) if self.peer_leads() => self.forward(ticket, order, now.mono),
                Origin::Here(_) if self.linked && (self.between_leaders || !self.waiting.0.is_empty()) => {
                    self.wait(origin, order, now.mono);
                }
                _ => self.refuse(origin, WriteRefusal::NotRunning("no node is Running".into())),
            },
        }
    }

    pub(super) fn forwarded_here(&mut self, table: &mut TagTable, forward: Forward, now: Now) {
        let Forward { id, operation, part, request_hash, deadline_ms, items } = forward;
        let part = Part { id, number: part, request_hash, until: now.mono.plus(deadline_ms) };
        self.write(table, Origin::Peer(part), WriteOrder { ticket: id, operation, items }, now);
    }

    pub(super) fn publish(&mut self, table: &mut TagTable, updates: Vec<Published>) {
        if self.role != Role::Leading && !mutant::on(Mutant::StandbyPublishes) {
            return;
        }
        let mut retained = Vec::new();
        for Published { id, value, quality, time } in updates {
            if table.catalog().get(id).is_none_or(|tag| tag.value_type != value.value_type()) {
                continue;
            }
            let seq = table.write(id, value, quality, time);
            self.updates_total += 1;
            self.note(table, id);
            if table.is_retained(id) {
                retained.extend(stored_form(table, id, seq));
            }
        }
        self.persist(table.last_seq(), retained);
    }

    fn perform(&mut self, table: &mut TagTable, origin: Origin, order: WriteOrder, now: Now) {
        let Some(operation) = order.operation else {
            if let Some(refusal) = self.disk_refusal(table, &order.items) {
                return self.refuse(origin, refusal);
            }
            let mut written = Written::default();
            let results = self.write_items(table, order.items, now, &mut written);
            let (seq, stored, here_only) = (table.last_seq(), !written.retained.is_empty(), written.here_only);
            self.persist(seq, written.retained);
            return self.done(table, origin, seq, results, (stored, here_only), now.mono);
        };
        // Cut as the peer cuts it, so that a repetition finds the records at whichever node it is made.
        let (request_hash, parts) = match origin {
            Origin::Here(_) => (request_hash(&order.items), (0..).zip(parts(order.items)).collect()),
            Origin::Peer(part) => (part.request_hash, vec![(part.number, order.items)]),
        };
        let parts: Vec<_> = parts.into_iter().map(|(n, items)| (part_operation(&operation, n), items)).collect();
        if parts.iter().any(|(id, _)| self.operations.find(id, request_hash, now.mono) == Found::Reused) {
            return self.refuse(origin, WriteRefusal::OperationIdReused);
        }
        let done = |id| matches!(self.operations.find(id, request_hash, now.mono), Found::Same(_));
        let undone = parts.iter().filter(|(id, _)| !done(id)).flat_map(|(_, items)| items);
        if let Some(refusal) = self.disk_refusal(table, undone) {
            return self.refuse(origin, refusal);
        }
        let (mut results, mut last, mut stored, mut written) = (Vec::new(), 0, false, Written::default());
        for (id, items) in parts {
            if let Found::Same(record) = self.operations.find(&id, request_hash, now.mono) {
                results.extend_from_slice(&record.results);
                written.here_only |= excluded(table, &items, &record.results);
                last = last.max(record.seq);
                stored = true;
                continue;
            }
            let of_part = self.write_items(table, items, now, &mut written);
            last = table.last_seq();
            results.extend_from_slice(&of_part);
            self.operations.insert(Record { id, request_hash, seq: last, results: of_part }, now.mono);
        }
        stored |= !written.retained.is_empty();
        self.persist(table.last_seq(), written.retained);
        self.done(table, origin, last, results, (stored, written.here_only), now.mono);
    }

    /// While the disk fails nothing is written that would have to be on it.
    fn disk_refusal<'a>(
        &self,
        table: &TagTable,
        items: impl IntoIterator<Item = &'a WriteItem>,
    ) -> Option<WriteRefusal> {
        let trouble = self.store_trouble.as_ref()?;
        let retained = |item: &WriteItem| table.catalog().find(&item.path).is_some_and(|id| table.is_retained(id));
        let affected = items.into_iter().any(retained);
        affected.then(|| WriteRefusal::Disk(format!("nothing was written: {trouble}")))
    }

    fn write_items(
        &mut self,
        table: &mut TagTable,
        items: Vec<WriteItem>,
        now: Now,
        written: &mut Written,
    ) -> Vec<ItemResult> {
        let results = items.into_iter().map(|item| match self.write_item(table, item, now, written) {
            Ok(()) => ItemResult::Good,
            Err(result) => result,
        });
        results.collect()
    }

    fn write_item(
        &mut self,
        table: &mut TagTable,
        item: WriteItem,
        now: Now,
        written: &mut Written,
    ) -> Result<(), ItemResult> {
        let Some(id) = table.catalog().find(&item.path) else {
            // Each node has system tags of its own; nobody writes them.
            let system = item.path.starts_with(SYSTEM_ROOT);
            return Err(if system { ItemResult::BadNotWritable } else { ItemResult::BadNodeIdUnknown });
        };
        let tag = table.catalog().get(id).ok_or(ItemResult::BadNodeIdUnknown)?;
        if !tag.writable {
            return Err(ItemResult::BadNotWritable);
        }
        let value = convert(item.value, tag.value_type)?;
        let value = match value {
            Value::Int64(exact) if mutant::on(Mutant::ValueRounded) => Value::Int64(exact | 1),
            value => value,
        };
        let seq = table.write(id, value, item.quality, item.time.unwrap_or(now.wall));
        self.updates_total += 1;
        self.note(table, id);
        written.here_only |= table.is_excluded(id);
        if table.is_retained(id) {
            written.retained.extend(stored_form(table, id, seq));
        }
        Ok(())
    }

    pub(super) fn persist(&mut self, durable: Seq, items: Vec<(Arc<str>, Sample, Seq)>) {
        if !items.is_empty() && !mutant::on(Mutant::RetainedNotPersisted) {
            self.stores_under_way += 1;
            self.effects.push(TagEffect::Persist { durable, items });
        }
    }

    /// The write is done here; its client is answered when disk and peer have it too, or the disk alone when the peer
    /// does not have each of its tags.
    fn done(
        &mut self,
        table: &TagTable,
        origin: Origin,
        seq: Seq,
        results: Vec<ItemResult>,
        (retained, here_only): (bool, bool),
        now: Millis,
    ) {
        let deadline = now.plus(self.settings.replication_timeout_ms);
        let pending = Pending { origin, results, seq, deadline, parted: false };
        if retained {
            let list = if here_only { &mut self.pendings.here_only } else { &mut self.pendings.retained };
            // A repetition may be older than what waits already: the list stays in order.
            let seq = list.back().map_or(seq, |last| last.seq.max(seq)).min(table.last_seq());
            list.push_back(Pending { seq, ..pending });
        } else if here_only {
            self.answer(origin, WriteOutcome::Done { results: pending.results, replicated: false });
        } else {
            self.pendings.plain.push_back(pending);
        }
    }

    /// Answers what is done everywhere, or waited long enough.
    pub(super) fn answer_pending(&mut self, table: &TagTable, now: Millis) {
        let (applied, durable) = self.feeding.as_ref().map_or((0, 0), super::Feeding::confirmed);
        // What the peer had on its own may still come on top of these. It gives that to a node that leads, so that one
        // which gave Running away cannot know.
        let in_sync = self.feeding.as_ref().is_some_and(super::Feeding::is_live);
        let live = in_sync && !self.held_divergent.waits() && self.role != Role::Standby;
        while let Some(pending) = self.pendings.plain.front() {
            let live = live && !pending.parted;
            let replicated = live && (pending.seq <= applied || mutant::on(Mutant::ReplicatedBeforePeer));
            if !replicated && live && now < pending.deadline {
                break;
            }
            self.give_answer(false, replicated, live, table);
        }
        let all_stored = self.all_stored() || mutant::on(Mutant::AnsweredBeforeDisk);
        let stored = if all_stored { Seq::MAX } else { self.stored_to };
        // That they are at one node only is no lag.
        let on_disk = self.pendings.here_only.partition_point(|pending| pending.seq <= stored);
        for Pending { origin, results, .. } in self.pendings.here_only.drain(..on_disk).collect::<Vec<_>>() {
            self.answer(origin, WriteOutcome::Done { results, replicated: false });
        }
        while let Some(pending) = self.pendings.retained.front_mut() {
            if pending.seq > stored {
                if now >= pending.deadline {
                    pending.deadline = Millis(u64::MAX);
                }
                break;
            }
            let live = live && !pending.parted;
            let replicated = live && pending.seq <= durable;
            let late = pending.deadline == Millis(u64::MAX) || now >= pending.deadline;
            if !replicated && live && !late {
                break;
            }
            self.give_answer(true, replicated, live, table);
        }
        let late =
            self.feeding.as_ref().is_some_and(|feeding| feeding.is_late(self.settings.replication_timeout_ms, now));
        if let Some((in_table, on_disk)) = self.lag_mark
            && (!in_sync || (applied >= in_table && durable >= on_disk && !late))
        {
            self.lag_mark = None;
            self.tell_facts(table);
        }
    }

    /// This node's data joins a history that shares its changes up to `fork`.
    pub(super) fn part_pending(&mut self, fork: Seq) {
        for list in [&mut self.pendings.plain, &mut self.pendings.retained, &mut self.pendings.here_only] {
            for pending in list.iter_mut().filter(|pending| pending.seq > fork) {
                pending.parted = true;
            }
        }
    }

    fn give_answer(&mut self, retained: bool, replicated: bool, live: bool, table: &TagTable) {
        let list = if retained { &mut self.pendings.retained } else { &mut self.pendings.plain };
        let Some(pending) = list.pop_front() else { return };
        if !replicated {
            let (in_table, on_disk) = &mut self.answered_alone;
            *in_table = pending.seq.max(*in_table);
            *on_disk = if retained { pending.seq.max(*on_disk) } else { *on_disk };
        }
        if live && !replicated && !mutant::on(Mutant::LagForgotten) {
            // The pair is not ready for a failover until the peer has caught up.
            let first = self.lag_mark.is_none();
            let (in_table, on_disk) = self.lag_mark.unwrap_or_default();
            let on_disk = if retained { on_disk.max(pending.seq) } else { on_disk };
            self.lag_mark = Some((in_table.max(pending.seq), on_disk));
            if first {
                self.tell_facts(table);
            }
        }
        self.answer(pending.origin, WriteOutcome::Done { results: pending.results, replicated });
    }

    /// The disk failed: what must be on it is not. What is there already goes on waiting for the peer.
    pub(super) fn fail_retained(&mut self, reason: &str) {
        let mut failed = VecDeque::new();
        for list in [&mut self.pendings.retained, &mut self.pendings.here_only] {
            let stored = list.partition_point(|pending| pending.seq <= self.stored_to);
            failed.append(&mut list.split_off(stored));
        }
        for pending in failed {
            let reason = format!("it was written, but it may be lost when this node stops: {reason}");
            self.refuse(pending.origin, WriteRefusal::Disk(reason));
        }
    }

    fn wait(&mut self, origin: Origin, order: WriteOrder, now: Millis) {
        if self.waiting.0.len() >= MAX_WAITING {
            return self.refuse(origin, WriteRefusal::Busy);
        }
        let switched = now.plus(self.settings.switch_timeout_ms);
        let until = if let Origin::Peer(part) = origin { part.until.min(switched) } else { switched };
        self.waiting.0.push_back((origin, order, until));
    }

    /// Does the writes that waited for the end of a switch. A node that is fenced keeps them.
    pub(super) fn take_waiting(&mut self, table: &mut TagTable, now: Now) {
        self.refuse_waiting_since(now.mono);
        self.look_again_at = None;
        if self.role == Role::Leading && self.fenced && !self.waiting.0.is_empty() {
            self.look_again_at = Some(now.mono.plus(LOOK_AGAIN_MS));
            return;
        }
        for (origin, order, _) in std::mem::take(&mut self.waiting.0) {
            self.write(table, origin, order, now);
        }
    }

    /// It may act again.
    pub(super) fn take_what_waited_behind_the_fence(&mut self, table: &mut TagTable, now: Now) {
        if self.look_again_at.is_some() && (self.role != Role::Leading || !self.fenced) {
            self.look_again_at = None;
            if self.role == Role::Leading {
                self.take_waiting(table, now);
            }
        } else if self.look_again_at.is_some_and(|at| now.mono >= at) {
            self.look_again_at = Some(now.mono.plus(LOOK_AGAIN_MS));
        }
    }

    pub(super) fn refuse_waiting(&mut self) {
        for (origin, order, until) in std::mem::take(&mut self.waiting.0) {
            if mutant::on(Mutant::RefusedIsDone) {
                self.waiting.0.push_back((origin, order, until));
            }
            self.refuse(origin, WriteRefusal::Switching);
        }
    }

    pub(super) fn refuse_waiting_since(&mut self, now: Millis) {
        if self.waiting.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let all = std::mem::take(&mut self.waiting.0);
        let (late, in_time): (VecDeque<_>, _) = all.into_iter().partition(|(.., until)| now >= *until);
        self.waiting.0 = in_time;
        for (origin, ..) in late {
            self.refuse(origin, WriteRefusal::Switching);
        }
    }

    /// The link is lost: the peer tells its clients that the outcome is unknown, and numbers of its requests may come
    /// again from a peer that was restarted.
    pub(super) fn forget_peers_writes(&mut self) {
        self.waiting.0.retain(|(origin, ..)| matches!(origin, Origin::Here(_)));
        self.pendings.plain.retain(|pending| matches!(pending.origin, Origin::Here(_)));
        self.pendings.retained.retain(|pending| matches!(pending.origin, Origin::Here(_)));
        self.pendings.here_only.retain(|pending| matches!(pending.origin, Origin::Here(_)));
    }

    pub(super) fn refuse(&mut self, origin: Origin, refusal: WriteRefusal) {
        self.answer(origin, WriteOutcome::Refused(refusal));
    }

    fn answer(&mut self, origin: Origin, outcome: WriteOutcome) {
        match origin {
            Origin::Here(ticket) => self.effects.push(TagEffect::Answer { ticket, outcome }),
            Origin::Peer(part) => self.send_control(Control::Forwarded { id: part.id, outcome }),
        }
    }
}

/// Whether one of the items that were written is of a tag that the follower does not have.
fn excluded(table: &TagTable, items: &[WriteItem], results: &[ItemResult]) -> bool {
    items.iter().zip(results).any(|(item, result)| {
        *result == ItemResult::Good && table.catalog().find(&item.path).is_some_and(|id| table.is_excluded(id))
    })
}

/// A retained tag as it goes to disk.
pub(super) fn stored_form(table: &TagTable, id: crate::catalog::TagId, seq: Seq) -> Option<(Arc<str>, Sample, Seq)> {
    let tag = table.catalog().get(id)?;
    Some((tag.path.clone(), table.raw(id)?.clone(), seq))
}
