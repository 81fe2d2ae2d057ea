//! Writes made at the Standby node: carried out by the Running one.
//!
//! They travel over the control connection, which heartbeats need too: a large write goes in parts, one at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::writes::Origin;
use super::{Now, Replicator, Role, TagEffect, WriteOrder};
use crate::mutant::{self, Mutant};
use crate::operations::request_hash;
use crate::protocol::{Control, Forward, ItemResult, OperationId, WriteItem, WriteOutcome, WriteRefusal};
use crate::tags::TagTable;
use crate::types::Millis;
use crate::value::Value;

/// So many writes may be at the peer; a further one is refused.
const MAX_FORWARDS: usize = 256;
/// A part of a write is about so large: it delays a heartbeat on a link of 1 Mbit/s by less than 70 ms.
const PART_BYTES: usize = 8 * 1024;

/// Writes that the peer carries out.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    jobs: BTreeMap<u64, Job>,
    next_id: u64,
}

#[derive(Debug)]
struct Job {
    ticket: u64,
    operation: Option<OperationId>,
    request_hash: u64,
    deadline: Millis,
    under_way: Vec<WriteItem>,
    rest: VecDeque<Vec<WriteItem>>,
    part: u32,
    results: Vec<ItemResult>,
    replicated: bool,
}

impl Forwarding {
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.jobs.values().map(|job| job.deadline).min()
    }
}

impl Replicator {
    /// Whether the connected peer runs, so that it can carry out writes.
    pub(super) fn peer_leads(&self) -> bool {
        self.linked && self.role == Role::Standby && self.leader.as_ref().is_some_and(|leader| leader.running)
    }

    pub(super) fn forward(&mut self, ticket: u64, order: WriteOrder, now: Millis) {
        if self.forwarding.jobs.len() >= MAX_FORWARDS {
            return self.refuse(Origin::Here(ticket), WriteRefusal::Busy);
        }
        let wait = self.settings.switch_timeout_ms + 2 * self.settings.replication_timeout_ms;
        let request_hash = request_hash(&order.items);
        let mut rest = parts(order.items);
        let under_way = rest.pop_front().unwrap_or_default();
        let job = Job {
            ticket,
            operation: order.operation,
            request_hash,
            deadline: now.plus(wait),
            under_way,
            rest,
            part: 0,
            results: Vec::new(),
            replicated: true,
        };
        self.send_part(job, now);
    }

    fn send_part(&mut self, job: Job, now: Millis) {
        self.forwarding.next_id += 1;
        let id = self.forwarding.next_id;
        let forward = Forward {
            id,
            operation: job.operation.clone(),
            part: job.part,
            request_hash: job.request_hash,
            deadline_ms: job.deadline.since(now),
            items: job.under_way.clone(),
        };
        self.forwarding.jobs.insert(id, job);
        self.send_control(Control::Forward(forward));
    }

    pub(super) fn forward_answered(&mut self, id: u64, outcome: WriteOutcome, now: Now) {
        let Some(mut job) = self.forwarding.jobs.remove(&id) else { return };
        match outcome {
            WriteOutcome::Done { results, replicated } if results.len() == job.under_way.len() => {
                job.results.extend(results);
                job.replicated &= replicated;
                if let Some(next) = job.rest.pop_front() {
                    job.under_way = next;
                    job.part += 1;
                    return self.send_part(job, now.mono);
                }
                let outcome = WriteOutcome::Done { results: job.results, replicated: job.replicated };
                self.effects.push(TagEffect::Answer { ticket: job.ticket, outcome });
            }
            WriteOutcome::Done { .. } => self.refuse(Origin::Here(job.ticket), WriteRefusal::OutcomeUnknown),
            // Some parts may be done: their client must know that something may have been written.
            WriteOutcome::Refused(_) if job.part > 0 => {
                self.refuse(Origin::Here(job.ticket), WriteRefusal::OutcomeUnknown);
            }
            WriteOutcome::Refused(refusal) => self.refuse(Origin::Here(job.ticket), refusal),
        }
    }

    /// The link is lost, and answers with it.
    pub(super) fn lose_forwards(&mut self) {
        for (_, job) in std::mem::take(&mut self.forwarding.jobs) {
            if mutant::on(Mutant::UnknownIsFailed) {
                self.refuse(Origin::Here(job.ticket), WriteRefusal::NotRunning("the link is lost".into()));
                continue;
            }
            self.refuse(Origin::Here(job.ticket), WriteRefusal::OutcomeUnknown);
        }
    }

    pub(super) fn forwards_in_time(&mut self, now: Millis) {
        while let Some((&id, _)) = self.forwarding.jobs.iter().find(|(_, job)| now >= job.deadline) {
            if let Some(job) = self.forwarding.jobs.remove(&id) {
                self.refuse(Origin::Here(job.ticket), WriteRefusal::OutcomeUnknown);
            }
        }
    }

    /// Whether a write that the peer refused, because it no longer runs, can be done here.
    pub(super) fn take_back(&mut self, table: &mut TagTable, id: u64, outcome: WriteOutcome, now: Now) {
        let refused = matches!(outcome, WriteOutcome::Refused(WriteRefusal::NotRunning(_) | WriteRefusal::Switching));
        let here = self.role != Role::Standby;
        match self.forwarding.jobs.get(&id) {
            Some(job) if refused && here && job.part == 0 && now.mono < job.deadline => {
                let order = WriteOrder {
                    ticket: job.ticket,
                    operation: job.operation.clone(),
                    items: job.under_way.iter().chain(job.rest.iter().flatten()).cloned().collect(),
                };
                self.forwarding.jobs.remove(&id);
                self.write(table, Origin::Here(order.ticket), order, now);
            }
            _ => self.forward_answered(id, outcome, now),
        }
    }
}

/// Under which id the record of a part is kept: of the first part the client's own, so that it finds a write of any
/// size. The others fit the limit of an id however long that is.
pub(super) fn part_operation(operation: &OperationId, part: u32) -> OperationId {
    if part == 0 {
        return operation.clone();
    }
    Arc::from(format!("{:032x}#{part}", xxh3_128(operation.as_bytes())))
}

/// Cuts a write into parts of about [`PART_BYTES`]. There is always one.
pub(super) fn parts(items: Vec<WriteItem>) -> VecDeque<Vec<WriteItem>> {
    let mut parts = VecDeque::from([Vec::new()]);
    let mut bytes = 0;
    for item in items {
        let text = if let Value::String(text) = &item.value { text.len() } else { 0 };
        let size = item.path.len() + text + 48;
        if bytes > 0 && bytes + size > PART_BYTES {
            parts.push_back(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = parts.back_mut() {
            last.push(item);
        }
    }
    parts
}
