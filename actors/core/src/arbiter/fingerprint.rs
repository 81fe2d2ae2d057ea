//! What a machine will do depends on nothing but this: for a model checker, which must know when it has seen a state.

use std::hash::{Hash, Hasher};

use super::recovery::Recovery;
use super::{Arbiter, Offered, Peer, Running, State, Taking};
use crate::protocol::Report;
use crate::types::Millis;

impl Arbiter {
    /// Two machines of the same settings that hash alike do the same from `now` on, each by its own clock. Times count as
    /// what is left of them. What is only shown does not count: reasons, users, since when.
    pub fn fingerprint(&self, now: Millis, into: &mut impl Hasher) {
        // No `..`: whoever adds a field decides whether it belongs here.
        let Self {
            settings,
            authority: _,
            state,
            lineage,
            reserved,
            max_counter,
            tenure,
            tags,
            peer,
            linked,
            goodbye,
            refused_until,
            dead,
            silent,
            following,
            nobody_runs_since,
            outranked,
            outranks_since,
            last_report,
            offer,
            recovery,
            guard,
            orders,
            hold,
            hold_until,
            fault,
            fault_of_disk,
            fault_retry,
            disk,
            dual_running: _,
            stopping,
            stop_switch_tried,
            started,
            handled_at,
            next_ticket,
            stores,
            shown,
            effects: _,
        } = self;
        let left = |due: Millis| due.since(now);
        let longest = settings.failover_time_ms.saturating_add(settings.connection_wait_time_ms);
        let age = |since: Millis| now.since(since).min(longest);
        Self::fingerprint_of_state(state, now, into);
        (lineage, reserved, max_counter, tenure, tags, following).hash(into);
        if let Some(Peer { greeting, report }) = peer {
            (greeting.boot, greeting.recovery).hash(into);
            fingerprint_of_report(report, into);
        }
        (peer.is_some(), linked, goodbye, left(*refused_until), dead).hash(into);
        silent.map(|(last_sign, found)| (age(last_sign), age(found))).hash(into);
        (nobody_runs_since.map(age), outranked, outranks_since.map(age)).hash(into);
        last_report.is_some().hash(into);
        if let Some(report) = last_report {
            fingerprint_of_report(report, into);
        }
        offer.as_ref().map(Offered::fingerprint).hash(into);
        let Recovery { just_started, asked, next_try, begun, failures, suspended } = recovery;
        (just_started, asked, next_try.map(left), begun, failures, suspended.is_some()).hash(into);
        guard.left_ms(now).hash(into);
        for order in orders {
            (order.request(), left(order.deadline)).hash(into);
        }
        (hold.version, &hold.reason, left(*hold_until)).hash(into);
        (fault.is_some(), fault_of_disk, left(*fault_retry), disk.is_some()).hash(into);
        (stopping.is_some(), stop_switch_tried, age(*started), age(*handled_at)).hash(into);
        (next_ticket, stores, shown.status).hash(into);
    }

    fn fingerprint_of_state(state: &State, now: Millis, into: &mut impl Hasher) {
        std::mem::discriminant(state).hash(into);
        match state {
            State::Idle | State::Standby | State::Faulted | State::Stopped => {}
            State::Starting { deadline, gathering, whole_by } => {
                (deadline.since(now), gathering, whole_by.map(|until| until.since(now))).hash(into);
            }
            State::Taking(Taking { ticket, lineage, tenure, reason: _, offer, runs, outranked }) => {
                (ticket, lineage, tenure, offer.as_ref().map(Offered::fingerprint), outranked).hash(into);
                runs.is_some().hash(into);
                if let Some(running) = runs {
                    fingerprint_of_running(running, now, into);
                }
            }
            State::Running(running) => fingerprint_of_running(running, now, into),
            State::Ceding(ceding) => ceding.fingerprint(now, into),
        }
    }
}

fn fingerprint_of_running(running: &Running, now: Millis, into: &mut impl Hasher) {
    let Running { fenced_until, awaiting_loser, quiesced, next: (tenure, _) } = running;
    (fenced_until.map(|until| until.since(now)), awaiting_loser, quiesced, tenure).hash(into);
}

fn fingerprint_of_report(report: &Report, into: &mut impl Hasher) {
    let Report {
        status,
        lineage,
        tenure,
        applied,
        durable,
        last,
        sync,
        in_sync,
        faults,
        hold,
        switching,
        running_ms: _,
        recoveries_ms: _,
    } = report;
    (status, lineage, tenure, applied, durable, last, sync, in_sync, faults.len(), hold.version, switching).hash(into);
}
