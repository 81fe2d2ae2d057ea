//! Changes that only one side has past the point where both parted: united, never dropped in silence.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::writes::stored_form;
use super::{Now, Replicator, Role, TagEffect, WriteOrder};
use crate::bulk::{Bulk, DIVERGENT_PER_FRAME, DoneOperation, MAX_OPERATION_RESULTS, OPERATIONS_PER_FRAME};
use crate::mutant::{self, Mutant};
use crate::operations::{MAX_ITEM_RESULTS, MAX_RECORDS, Record};
use crate::tags::{Divergent, TagTable, United, equal_value};
use crate::types::{Millis, Seq, UnixMillis};
use crate::value::Sample;

/// What became of the changes that only one side had.
#[derive(Clone, Debug, PartialEq)]
pub struct DivergenceReport {
    /// When they were united.
    pub at: UnixMillis,
    /// The last change that both sides had.
    pub fork: Seq,
    /// Tags of which one side's value gave way to the other's.
    pub tags: Vec<DivergentTag>,
}

/// A tag that had two values.
#[derive(Clone, Debug, PartialEq)]
pub struct DivergentTag {
    /// Its path.
    pub path: Arc<str>,
    /// The value that it has now: the newer one by source time.
    pub survived: Sample,
    /// The value that gave way.
    pub gave_way: Sample,
}

/// The peer's changes, until this node can take them.
#[derive(Debug, Default)]
pub(super) struct Held {
    sync: u64,
    fork: Seq,
    items: Vec<(Arc<str>, Sample)>,
    /// With the time when each came.
    operations: Vec<(DoneOperation, Millis)>,
    operation_results: usize,
    complete: bool,
    /// What was united last. It comes again when the peer did not hear so; what was written since must not give way to
    /// it once more.
    united: BTreeMap<Arc<str>, Sample>,
}

impl Held {
    /// There is something to unite.
    pub(super) fn waits(&self) -> bool {
        !self.items.is_empty()
    }

    fn begin(&mut self, sync: u64, fork: Seq) {
        *self = Self { sync, fork, united: std::mem::take(&mut self.united), ..Self::default() };
    }

    /// They come again, or whoever gave them runs and has united them itself.
    pub(super) fn forget(&mut self) {
        self.begin(0, 0);
    }

    /// As many as a node keeps of its own.
    fn take_operations(&mut self, operations: Vec<DoneOperation>, now: Millis) {
        for operation in operations {
            self.operation_results += operation.results.len();
            if self.operations.len() >= MAX_RECORDS || self.operation_results > MAX_ITEM_RESULTS {
                return;
            }
            self.operations.push((operation, now));
        }
    }
}

impl Replicator {
    /// Before the leader's values replace them: this node's own changes past `fork`.
    pub(super) fn keep_divergent(&mut self, table: &TagTable, fork: Seq, now: Now) {
        let new = table.divergent(fork);
        if self.divergent.is_empty() {
            self.divergent_fork = fork;
            self.divergent = new;
            return;
        }
        // Some of an earlier parting were not handed over yet: the newer change of a tag counts. The leader may have been
        // restarted and know of neither.
        self.divergent_fork = self.divergent_fork.min(fork);
        let mut tags = Vec::new();
        let places: BTreeMap<_, _> = self.divergent.iter().enumerate().map(|(place, kept)| (kept.id, place)).collect();
        for change in new {
            match places.get(&change.id).map(|&place| &mut self.divergent[place]) {
                Some(kept) => {
                    let newer = change.sample.time >= kept.sample.time;
                    let other = if newer { std::mem::replace(kept, change) } else { change };
                    if !equal_value(&kept.sample, &other.sample)
                        && let Some(tag) = table.catalog().get(kept.id)
                    {
                        let (path, survived) = (tag.path.clone(), kept.sample.clone());
                        tags.push(DivergentTag { path, survived, gave_way: other.sample });
                    }
                }
                None => self.divergent.push(change),
            }
        }
        self.report(self.divergent_fork, tags, now);
    }

    /// Gives them to the Running leader, and with them the records of all operations: which of those it has cannot be
    /// told, for it may have been restarted since.
    pub(super) fn hand_over_divergent(&mut self, table: &mut TagTable, now: Now) {
        let Some(sync) = self.following.as_ref().map(super::Following::sync) else { return };
        let items: Vec<_> = self.divergent.iter().filter_map(|change| named(table, change)).collect();
        let mut chunks = items.chunks(DIVERGENT_PER_FRAME);
        let mut groups = if self.parted { self.grouped_operations(now.mono) } else { VecDeque::new() };
        if items.is_empty() && groups.is_empty() {
            return self.handed_over(table, now);
        }
        while chunks.len() > 0 || !groups.is_empty() {
            let items = chunks.next().unwrap_or_default().to_vec();
            let operations = groups.pop_front().unwrap_or_default();
            let more = chunks.len() > 0 || !groups.is_empty();
            self.send_frame(&Bulk::Divergent { sync, fork: self.divergent_fork, items, operations, more });
        }
    }

    /// As many in a group as go in a frame.
    fn grouped_operations(&self, now: Millis) -> VecDeque<Vec<DoneOperation>> {
        let mut groups = VecDeque::new();
        let (mut group, mut results) = (Vec::new(), 0);
        for done in self.operations.all(now).filter_map(|(record, age_ms)| DoneOperation::of(record, age_ms)) {
            if group.len() >= OPERATIONS_PER_FRAME || results + done.results.len() > MAX_OPERATION_RESULTS {
                groups.push_back(std::mem::take(&mut group));
                results = 0;
            }
            results += done.results.len();
            group.push(done);
        }
        if !group.is_empty() {
            groups.push_back(group);
        }
        groups
    }

    /// The leader has them: what waited for that goes on.
    pub(super) fn handed_over(&mut self, table: &mut TagTable, now: Now) {
        self.divergent.clear();
        if std::mem::take(&mut self.parted) {
            self.take_waiting(table, now);
        }
    }

    /// Whether this is an operation that the leader would do once more, because it was not told yet that it is done.
    pub(super) fn must_be_told_first(&self, order: &WriteOrder, now: Millis) -> bool {
        self.parted && self.peer_leads() && order.operation.as_ref().is_some_and(|id| self.operations.knows(id, now))
    }

    /// This node leads now: it takes its own changes that its last leader did not have.
    pub(super) fn unite_own(&mut self, table: &mut TagTable, now: Now) {
        let own = std::mem::take(&mut self.divergent);
        // Whoever ran meanwhile still was not told which operations are done: it stays parted.
        let items: Vec<_> = own.iter().filter_map(|change| named(table, change)).collect();
        self.unite(table, items, self.divergent_fork, now);
        self.unite_held(table, now);
    }

    /// The follower's [`Bulk::Divergent`]: changes and operations that this node may not have.
    pub(super) fn others_changes(&mut self, table: &mut TagTable, message: Bulk, now: Now) {
        let Bulk::Divergent { sync, fork, items, operations, more } = message else { return };
        if self.feeding.as_ref().is_none_or(|feeding| !feeding.is_of(sync)) {
            return;
        }
        if self.held_divergent.sync != sync {
            self.held_divergent.begin(sync, fork);
        }
        let room = table.catalog().len().saturating_sub(self.held_divergent.items.len());
        self.held_divergent.items.extend(items.into_iter().take(room));
        self.held_divergent.take_operations(operations, now.mono);
        self.held_divergent.complete = !more;
        if self.role == Role::Leading {
            self.unite_held(table, now);
        }
    }

    /// A sync begins: what came of an earlier one and is not complete comes again.
    pub(super) fn forget_half_of_divergent(&mut self) {
        if !self.held_divergent.complete {
            self.held_divergent.forget();
        }
    }

    pub(super) fn unite_held(&mut self, table: &mut TagTable, now: Now) {
        if !self.held_divergent.complete {
            return;
        }
        let Held { sync, fork, items, operations, united, .. } = std::mem::take(&mut self.held_divergent);
        let count = items.len() as u64;
        let again = mutant::on(Mutant::UnitedTwice);
        let new = items.iter().filter(|(path, sample)| again || united.get(path) != Some(sample)).cloned().collect();
        self.held_divergent.united = items.into_iter().collect();
        self.unite(table, new, fork, now);
        for (DoneOperation { id, request_hash, results, age_ms }, came) in operations {
            // Whoever has all changes so far has those of the operation, or what they gave way to.
            let record = Record { id, request_hash, seq: table.last_seq(), results };
            self.operations.insert_missing(record, age_ms.saturating_add(now.mono.since(came)), now.mono);
        }
        if self.feeding.is_some() {
            self.send_frame(&Bulk::DivergentTaken { sync, count });
        }
    }

    fn unite(&mut self, table: &mut TagTable, items: Vec<(Arc<str>, Sample)>, fork: Seq, now: Now) {
        let mut tags = Vec::new();
        let mut retained = Vec::new();
        for (path, sample) in items {
            let Some(id) = table.catalog().find(&path) else { continue };
            let Some(own) = table.raw(id).cloned() else { continue };
            match table.unite(id, sample.clone(), fork) {
                // Not replaced by the leader's value before its lane broke: it must be told as a change once more.
                United::Equal if table.slot_seq(id) <= fork => {
                    let seq = table.write(id, sample.value, sample.quality, sample.time);
                    self.updates_total += 1;
                    self.note(table, id);
                    if table.is_retained(id) {
                        retained.extend(stored_form(table, id, seq));
                    }
                }
                United::Equal => {}
                United::Taken(seq) => {
                    self.updates_total += 1;
                    self.note(table, id);
                    if table.is_retained(id) {
                        retained.extend(stored_form(table, id, seq));
                    }
                    tags.push(DivergentTag { path, survived: sample, gave_way: own });
                }
                United::KeptOwn(own) => tags.push(DivergentTag { path, survived: own, gave_way: sample }),
            }
        }
        self.persist(table.last_seq(), retained);
        self.report(fork, tags, now);
    }

    fn report(&mut self, fork: Seq, tags: Vec<DivergentTag>, now: Now) {
        if !tags.is_empty() {
            self.effects.push(TagEffect::Report(DivergenceReport { at: now.wall, fork, tags }));
        }
    }
}

fn named(table: &TagTable, change: &Divergent) -> Option<(Arc<str>, Sample)> {
    table.catalog().get(change.id).map(|tag| (tag.path.clone(), change.sample.clone()))
}
