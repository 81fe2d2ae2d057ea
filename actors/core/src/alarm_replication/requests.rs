//! What operators ask for: done at the Running node, on its disk before the answer, and on the peer's before
//! `replicated: true`; forwarded by the Standby node.

use std::collections::{BTreeMap, VecDeque};

use super::operations::Found;
use super::{AlarmEffect, AlarmReplication, Role};
use crate::alarms::{AlarmRequest, AlarmResult, AlarmTable};
use crate::mutant::{self, Mutant};
use crate::protocol::{AlarmForward, AlarmOutcome, Control, WriteRefusal};
use crate::replicator::Now;
use crate::types::Millis;

/// So many requests may wait for disk and peer.
const MAX_PENDING: usize = 4096;
/// So many may wait for the end of a switch.
const MAX_WAITING: usize = 1024;
/// A node that is fenced asks again after this time whether it may act.
const LOOK_AGAIN_MS: u64 = 20;
/// The deadline of what has waited long enough for the peer.
const LATE: Millis = Millis(u64::MAX);
/// So many may be at the peer.
const MAX_FORWARDS: usize = 256;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A client of this node, with this ticket.
    Here(u64),
    /// A client of the peer: number of the request, and until when it may be done.
    Peer(u64, Millis),
}

/// Requests that are not answered.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pending: VecDeque<Pending>,
    waiting: VecDeque<(Origin, AlarmRequest, Millis)>,
    forwards: BTreeMap<u64, (u64, AlarmRequest, Millis)>,
    next_forward: u64,
    /// It is fenced, and something waits.
    look_again_at: Option<Millis>,
    /// A client was told `replicated: false` although the follower was in sync: it has caught up when it stored up to
    /// here.
    lag_mark: Option<u64>,
}

/// Done here; it waits for disk and peer.
#[derive(Debug)]
struct Pending {
    origin: Origin,
    result: AlarmResult,
    /// It is on disk when this store is.
    made: u64,
    /// It is at the follower with this item of this sync; none: there was none.
    item: Option<(u64, u64)>,
    deadline: Millis,
}

impl Requests {
    pub(super) fn deadline(&self) -> Option<Millis> {
        // They came in this order; those that are late wait for the disk alone.
        let pending = self.pending.iter().map(|pending| pending.deadline).find(|at| *at != LATE);
        let waiting = self.waiting.iter().map(|(.., until)| *until);
        pending
            .into_iter()
            .chain(waiting)
            .chain(self.look_again_at)
            .chain(self.forwards.values().map(|(.., until)| *until))
            .min()
    }

    pub(super) fn lags(&self) -> bool {
        self.lag_mark.is_some()
    }

    /// The next sync has other numbers for its items. A follower that is in sync then has what was done until now.
    pub(super) fn sync_ended(&mut self) {
        self.lag_mark = None;
    }
}

impl AlarmReplication {
    /// Whether the connected peer runs, so that it can carry out requests.
    pub(super) fn peer_leads(&self) -> bool {
        self.linked && self.role == Role::Standby && self.leader.as_ref().is_some_and(|leader| leader.running)
    }

    pub(super) fn request(&mut self, table: &mut AlarmTable, origin: Origin, request: AlarmRequest, now: Now) {
        match self.role {
            Role::Leading if self.fenced => {
                self.requests.look_again_at = Some(now.mono.plus(LOOK_AGAIN_MS));
                self.wait(origin, request, now.mono);
            }
            Role::Leading => self.perform(table, origin, &request, now),
            Role::Quiesced => self.wait(origin, request, now.mono),
            Role::Standby if mutant::on(Mutant::StandbyOperates) => self.perform(table, origin, &request, now),
            Role::Standby => match origin {
                Origin::Here(ticket) if self.peer_leads() => self.forward(ticket, request, now.mono),
                Origin::Here(_) if self.linked && self.between_leaders => self.wait(origin, request, now.mono),
                _ => self.refuse(origin, WriteRefusal::NotRunning("no node is Running".into())),
            },
        }
    }

    pub(super) fn forwarded_here(&mut self, table: &mut AlarmTable, forward: AlarmForward, now: Now) {
        let origin = Origin::Peer(forward.id, now.mono.plus(forward.deadline_ms));
        self.request(table, origin, forward.request, now);
    }

    fn perform(&mut self, table: &mut AlarmTable, origin: Origin, request: &AlarmRequest, now: Now) {
        if self.requests.pending.len() >= MAX_PENDING {
            return self.refuse(origin, WriteRefusal::Busy);
        }
        let found = request.operation.as_ref().map_or(Found::New, |id| self.operations.find(id, &request.action));
        let result = match found {
            Found::Reused => return self.refuse(origin, WriteRefusal::OperationIdReused),
            Found::Done(result) => result,
            Found::New => {
                if let Some(trouble) = self.storing.trouble() {
                    let reason = format!("nothing was done: {trouble}");
                    return self.refuse(origin, WriteRefusal::Disk(reason));
                }
                let mut changes = std::mem::take(&mut self.changes);
                let result = self.engine.operate(table, request, &mut self.pen, now, &mut changes);
                self.changes = changes;
                self.take_changes(table, now);
                if let Some(id) = &request.operation {
                    self.operations.record(id.clone(), request.action.clone(), result, now.mono);
                }
                result
            }
        };
        if result != AlarmResult::Good {
            return self.answer(origin, AlarmOutcome::Done { result, replicated: false });
        }
        self.requests.pending.push_back(Pending {
            origin,
            result,
            made: self.storing.made(),
            item: self.feeding.as_ref().map(|feeding| (feeding.number(), feeding.last())),
            deadline: now.mono.plus(self.settings.replication_timeout_ms),
        });
    }

    /// Answers what is on both disks, or on this one and waited long enough for the peer.
    pub(super) fn answer_pending(&mut self, now: Millis) {
        let live = self.feeding.as_ref().is_some_and(super::Feeding::is_live);
        let at_peer = self.feeding.as_ref().and_then(super::Feeding::stored);
        let present = self.feeding.as_ref().map(super::Feeding::number);
        let late = self.feeding.as_ref().is_some_and(super::Feeding::is_late);
        // They came in this order. One that is late waits for the disk only.
        for pending in &mut self.requests.pending {
            if pending.deadline != LATE && now < pending.deadline {
                break;
            }
            pending.deadline = LATE;
        }
        while let Some(pending) = self.requests.pending.front() {
            if pending.made > self.storing.done() && !mutant::on(Mutant::AckBeforeDisk) {
                break;
            }
            let expired = pending.deadline == LATE;
            // A later sync began with it.
            let item = pending.item.filter(|(of, _)| Some(*of) == present).map_or(0, |(_, item)| item);
            let replicated =
                live && (at_peer.is_some_and(|stored| item <= stored) || mutant::on(Mutant::AckBeforePeer));
            if live && pending.item.is_some() && !replicated && !expired {
                break;
            }
            let Some(Pending { origin, result, .. }) = self.requests.pending.pop_front() else { break };
            if live && !replicated {
                // The pair is not ready for a failover until the peer has caught up.
                self.requests.lag_mark = self.requests.lag_mark.max(Some(item));
            }
            self.answer(origin, AlarmOutcome::Done { result, replicated });
        }
        if self.requests.lag_mark.is_some_and(|mark| (!live || at_peer >= Some(mark)) && !late) {
            self.requests.lag_mark = None;
        } else if late && live && self.requests.lag_mark.is_none() {
            self.requests.lag_mark = at_peer.or(Some(0));
        }
    }

    /// The disk failed: what must be on it is not.
    pub(super) fn fail_unstored(&mut self, reason: &str) {
        let done = self.storing.done();
        let stored = self.requests.pending.partition_point(|pending| pending.made <= done);
        for pending in self.requests.pending.split_off(stored) {
            let reason = format!("it was done, but it may be lost when this node stops: {reason}");
            self.refuse(pending.origin, WriteRefusal::Disk(reason));
        }
    }

    fn wait(&mut self, origin: Origin, request: AlarmRequest, now: Millis) {
        if self.requests.waiting.len() >= MAX_WAITING {
            return self.refuse(origin, WriteRefusal::Busy);
        }
        let switched = now.plus(self.settings.switch_timeout_ms);
        let until = if let Origin::Peer(_, until) = origin { until.min(switched) } else { switched };
        self.requests.waiting.push_back((origin, request, until));
    }

    /// Does what waited for the end of a switch. A node that is fenced keeps it.
    pub(super) fn take_waiting(&mut self, table: &mut AlarmTable, now: Now) {
        self.requests_in_time(now.mono);
        self.requests.look_again_at = None;
        if self.role == Role::Leading && self.fenced && !self.requests.waiting.is_empty() {
            self.requests.look_again_at = Some(now.mono.plus(LOOK_AGAIN_MS));
            return;
        }
        for (origin, request, _) in std::mem::take(&mut self.requests.waiting) {
            self.request(table, origin, request, now);
        }
    }

    /// It may act again.
    pub(super) fn take_what_waited_behind_the_fence(&mut self, table: &mut AlarmTable, now: Now) {
        if self.requests.look_again_at.is_some() && (self.role != Role::Leading || !self.fenced) {
            self.requests.look_again_at = None;
            if self.role == Role::Leading {
                self.take_waiting(table, now);
            }
        } else if self.requests.look_again_at.is_some_and(|at| now.mono >= at) {
            self.requests.look_again_at = Some(now.mono.plus(LOOK_AGAIN_MS));
        }
    }

    pub(super) fn refuse_waiting(&mut self) {
        for (origin, ..) in std::mem::take(&mut self.requests.waiting) {
            self.refuse(origin, WriteRefusal::Switching);
        }
    }

    /// Nothing waits for ever.
    pub(super) fn requests_in_time(&mut self, now: Millis) {
        let waiting = std::mem::take(&mut self.requests.waiting);
        let (late, in_time): (VecDeque<_>, _) = waiting.into_iter().partition(|(.., until)| now >= *until);
        self.requests.waiting = in_time;
        for (origin, ..) in late {
            self.refuse(origin, WriteRefusal::Switching);
        }
        let late: Vec<_> =
            self.requests.forwards.iter().filter(|(_, (.., until))| now >= *until).map(|(id, _)| *id).collect();
        for id in late {
            if let Some((ticket, ..)) = self.requests.forwards.remove(&id) {
                self.refuse(Origin::Here(ticket), WriteRefusal::OutcomeUnknown);
            }
        }
    }

    fn forward(&mut self, ticket: u64, request: AlarmRequest, now: Millis) {
        if self.requests.forwards.len() >= MAX_FORWARDS {
            return self.refuse(Origin::Here(ticket), WriteRefusal::Busy);
        }
        let deadline_ms = self.settings.switch_timeout_ms + 2 * self.settings.replication_timeout_ms;
        self.requests.next_forward += 1;
        let id = self.requests.next_forward;
        self.requests.forwards.insert(id, (ticket, request.clone(), now.plus(deadline_ms)));
        self.send_control(Control::AlarmForward(AlarmForward { id, deadline_ms, request }));
    }

    /// The peer's answer. What it refused because it no longer runs is done here, if this node runs now.
    pub(super) fn forward_answered(&mut self, table: &mut AlarmTable, id: u64, outcome: AlarmOutcome, now: Now) {
        let Some((ticket, request, until)) = self.requests.forwards.remove(&id) else { return };
        let refused = matches!(outcome, AlarmOutcome::Refused(WriteRefusal::NotRunning(_) | WriteRefusal::Switching));
        if refused && self.role != Role::Standby && now.mono < until {
            return self.request(table, Origin::Here(ticket), request, now);
        }
        self.answer(Origin::Here(ticket), outcome);
    }

    /// The link is lost, and with it answers to this node's requests; the peer forgets its own.
    pub(super) fn lose_forwards(&mut self) {
        for (_, (ticket, ..)) in std::mem::take(&mut self.requests.forwards) {
            self.refuse(Origin::Here(ticket), WriteRefusal::OutcomeUnknown);
        }
        self.requests.waiting.retain(|(origin, ..)| matches!(origin, Origin::Here(_)));
        self.requests.pending.retain(|pending| matches!(pending.origin, Origin::Here(_)));
    }

    fn refuse(&mut self, origin: Origin, refusal: WriteRefusal) {
        self.answer(origin, AlarmOutcome::Refused(refusal));
    }

    fn answer(&mut self, origin: Origin, outcome: AlarmOutcome) {
        match origin {
            Origin::Here(ticket) => self.effects.push(AlarmEffect::Answer { ticket, outcome }),
            Origin::Peer(id, _) => self.send_control(Control::AlarmForwarded { id, outcome }),
        }
    }
}
