//! What follows when two nodes see each other: decided anew after each input, from both nodes' states.

use super::{Arbiter, Effect, Leader, Running, State, TagFacts, Taking, Tenure};
use crate::mutant::{self, Mutant};
use crate::protocol::Report;
use crate::types::{Epoch, Millis, Mode, RecoveryMode, Seq, Status};

impl Arbiter {
    /// Draws the consequences of what both nodes are.
    pub(super) fn reconcile(&mut self, now: Millis) {
        let Some(peer) = self.peer_report().cloned() else { return };
        match &self.state {
            State::Starting { .. } => self.start_with(&peer, now),
            State::Standby | State::Faulted => self.stand_by_with(&peer, now),
            State::Running(_) => self.run_with(&peer, now),
            State::Ceding(_) => self.cede_with(&peer, now),
            State::Taking(taking) if taking.runs.is_none() => self.take_beside(&peer, now),
            State::Idle | State::Taking(_) | State::Stopped => {}
        }
    }

    /// This node starts and its peer is there.
    fn start_with(&mut self, peer: &Report, now: Millis) {
        if peer.status == Status::Running
            && !(mutant::on(Mutant::StartsBesideRunning) && self.settings.mode == Mode::Master)
        {
            self.stand_by("the peer is Running");
            self.recovery.just_started = self.settings.mode == Mode::Master;
            return self.stand_by_with(peer, now);
        }
        if self.settings.mode == Mode::Backup {
            return self.stand_by("connected to the Master");
        }
        if self.lacks_data_of(peer, now) && !mutant::on(Mutant::StartsWithoutFresherData) {
            self.follow(peer);
            if let State::Starting { gathering, .. } = &mut self.state {
                *gathering = true;
            }
            return;
        }
        let reason = match self.state {
            State::Starting { whole_by: Some(due), .. } if !self.tags.in_sync && now >= due => {
                "took the Backup's data first, but not all of its alarms came in time"
            }
            State::Starting { gathering: true, .. } => "took the Backup's data first",
            _ => "the Backup is connected",
        };
        self.take(Tenure::Start, reason, self.tags.applied, None);
    }

    /// A starting Master takes what the Backup has more: values first, and then the alarms, which come on their own. For
    /// these it waits no longer than for a peer that holds more and cannot run, and not at all when its own disk cannot
    /// take them.
    fn lacks_data_of(&mut self, peer: &Report, now: Millis) -> bool {
        let less = self.has_less_than(peer);
        let wait = self.settings.connection_wait_time_ms.saturating_add(self.settings.failover_time_ms);
        let State::Starting { gathering, whole_by, .. } = &mut self.state else { return less };
        if !*gathering || self.tags.in_sync {
            return less && !*gathering;
        }
        if less {
            *whole_by = None;
            return true;
        }
        self.disk.is_none() && now < *whole_by.get_or_insert(now.plus(wait))
    }

    /// While its epoch was being stored this node met a peer that runs, and does not offer that any more: what it was
    /// to run for is over.
    fn take_beside(&mut self, peer: &Report, now: Millis) {
        // Whoever offered and runs again does so under a later epoch: what it greets with may be older than its offer.
        let offered = matches!(&self.state, State::Taking(Taking { offer: Some(_), .. }));
        if peer.status != Status::Running || peer.switching != 0 || offered && peer.lineage.epoch() <= self.epoch() {
            return;
        }
        self.offer = None;
        let starts = matches!(&self.state, State::Taking(Taking { tenure: Tenure::Start, .. }));
        self.recovery.just_started |= starts && self.settings.mode == Mode::Master;
        self.stand_by("the peer is Running");
        // The tenure that is on its way to the disk never began: this lineage is the last word.
        self.store(self.lineage.clone());
        self.stand_by_with(peer, now);
    }

    fn stand_by_with(&mut self, peer: &Report, now: Millis) {
        if peer.status == Status::Running {
            self.nobody_runs_since = None;
            if !self.waits_for_a_higher_epoch(peer, now) {
                self.follow(peer);
            }
            return;
        }
        self.outranks_since = None;
        // Nobody runs. A starting Master decides; of two that stand by, the one that holds more, else the Master.
        if matches!(self.state, State::Faulted) || self.offer.is_some() || peer.switching != 0 || self.held(now) {
            self.nobody_runs_since = None;
            return;
        }
        let mine = match peer.status {
            Status::Faulted => true,
            Status::Standby => {
                !self.has_less_than(peer) && (self.settings.mode == Mode::Master || self.has_more_than(peer))
            }
            _ => false,
        };
        if !mine {
            self.nobody_runs_since = None;
            return;
        }
        let due = self.nobody_runs_since.get_or_insert(now).plus(self.settings.failover_time_ms);
        if self.has_less_than(peer) && !self.tags.in_sync && now < due.plus(self.settings.connection_wait_time_ms) {
            // A peer that cannot run may still give what it holds.
            self.follow(peer);
        } else if now >= due {
            self.take(Tenure::Failover, "no node was Running", self.tags.applied, None);
        }
    }

    fn run_with(&mut self, peer: &Report, now: Millis) {
        let State::Running(running) = &self.state else { return };
        let (fenced, awaiting) = (running.fenced_until.is_some(), running.awaiting_loser);
        // A peer whose status is not known may be one that runs and was stopped.
        let quiet = matches!(peer.status, Status::Standby | Status::Faulted) && peer.switching == 0;
        if peer.status == Status::Running && peer.switching == 0 && !mutant::on(Mutant::BothStay) {
            if fenced {
                // It does nothing already. Showing itself Running now could make the peer stand by, too.
                return self.stand_by("it was stopped, and the peer took over");
            }
            if !self.stays_of_two(peer) {
                if mutant::on(Mutant::LoserStays) {
                    return;
                }
                return self.cede_to_the_other("two nodes were Running and the other one stays", now);
            }
            if !awaiting {
                self.dual_running = Some((now, self.running_ms(now).min(peer.running_ms)));
                if mutant::on(Mutant::WinnerDoesNotWait) {
                    return self.take(Tenure::DualRunning, "two nodes were Running", self.tags.applied, None);
                }
                self.quiesce_for(Tenure::DualRunning, "two nodes were Running and this one stays");
            }
        } else if awaiting {
            if running.quiesced && !fenced {
                let (tenure, reason) = running.next;
                if mutant::on(Mutant::WinnerKeepsEpoch) {
                    self.state = State::Running(Running::default());
                    return self.effects.push(Effect::Resume);
                }
                self.take(tenure, reason, self.tags.applied, None);
            }
        } else if !fenced && quiet && self.fault.is_none() && self.outranked {
            self.quiesce_for(self.tenure, "the peer's data has seen a higher epoch");
        }
    }

    /// A Running node goes on under a higher epoch as soon as no change is numbered under the present one.
    fn quiesce_for(&mut self, tenure: Tenure, reason: &'static str) {
        let next = (tenure, reason);
        self.state = State::Running(Running { awaiting_loser: true, fenced_until: None, quiesced: false, next });
        self.effects.push(Effect::Quiesce);
    }

    /// Of two Running nodes, does this one stay? Both answer alike.
    fn stays_of_two(&self, peer: &Report) -> bool {
        match self.recovery_mode() {
            RecoveryMode::Automatic => self.settings.mode == Mode::Master,
            RecoveryMode::Manual => {
                let (mine, theirs) = (self.epoch().counter, peer.lineage.epoch().counter);
                let stays = if mutant::on(Mutant::EqualEpochsToMaster) { Mode::Master } else { Mode::Backup };
                mine > theirs || (mine == theirs && self.settings.mode == stays)
            }
        }
    }

    /// A Running node that learns of a higher epoch goes on under one above it: whoever saw the higher one follows it
    /// there, so that its epoch does not go back meanwhile. Not for long: the peer may not be able to.
    fn waits_for_a_higher_epoch(&mut self, peer: &Report, now: Millis) -> bool {
        let (mine, theirs) = (self.epoch(), peer.lineage.epoch());
        if theirs == mine || theirs.counter > mine.counter || !peer.faults.is_empty() {
            self.outranks_since = None;
            return false;
        }
        now < self.outranks_since.get_or_insert(now).plus(self.settings.failover_time_ms)
    }

    /// The less complete node takes the other's data first.
    pub(super) fn has_less_than(&self, peer: &Report) -> bool {
        self.completeness() < completeness(peer)
    }

    pub(super) fn has_more_than(&self, peer: &Report) -> bool {
        self.completeness() > completeness(peer)
    }

    fn completeness(&self) -> Completeness {
        let TagFacts { applied, durable, .. } = self.tags;
        (applied > 0, self.epoch(), applied, durable)
    }

    /// Takes the peer's data, if it doesn't already.
    fn follow(&mut self, peer: &Report) {
        let leader =
            Leader { lineage: peer.lineage.clone(), applied: peer.applied, running: peer.status == Status::Running };
        let same = self.following.as_ref().is_some_and(|following| {
            following.lineage.epoch() == leader.lineage.epoch() && following.running == leader.running
        });
        if !same {
            self.tags.in_sync = false;
            self.following = Some(leader.clone());
            self.effects.push(Effect::Follow(leader));
        }
    }
}

/// How much a node holds, the weightiest first: whether it holds tags without `retain` at all, which a restart loses
/// whatever epochs it has seen; its newest tenure; how far it holds that, in its table and on its disk. What the node
/// that gives way has on its disk alone is united afterwards.
type Completeness = (bool, Epoch, Seq, Seq);

fn completeness(report: &Report) -> Completeness {
    (report.applied > 0, report.lineage.epoch(), report.applied, report.durable)
}
