//! Running without the peer's word: it is gone, or never came.

use super::{Arbiter, Effect, Running, State, Taking, Tenure};
use crate::authority::{PeerLife, Verdict};
use crate::mutant::{self, Mutant};
use crate::types::{Millis, Mode, Status};

impl Arbiter {
    /// Takes over if nobody else can run and the authority allows it.
    pub(super) fn consider_taking_over(&mut self, now: Millis) {
        if self.stopping.is_some() || now < self.refused_until {
            return;
        }
        if let State::Starting { deadline, .. } = self.state
            && !self.peer_can_decide()
            && now >= deadline
        {
            return self.start_alone();
        }
        let life =
            self.peer_life().into_iter().flatten().find(|&life| self.authority.may_take(life, now) == Verdict::Now);
        if let Some(life) = life
            && (!self.held(now) || mutant::on(Mutant::HoldIgnored))
        {
            self.take_over(life);
        }
    }

    /// When taking over may become due.
    pub(super) fn takeover_deadline(&self, now: Millis) -> Option<Millis> {
        if now < self.refused_until {
            return Some(self.refused_until);
        }
        if let State::Starting { deadline, whole_by, .. } = self.state {
            return if self.peer_can_decide() { whole_by } else { Some(deadline) };
        }
        // Of a peer that does not answer only its silence counts.
        if let Some(since) = self.nobody_runs_since.filter(|_| self.peer_report().is_some()) {
            let due = since.plus(self.settings.failover_time_ms);
            // Past it only the peer's data is waited for, see `stand_by_with`.
            return Some(if now < due { due } else { due.plus(self.settings.connection_wait_time_ms) });
        }
        let verdicts = self.peer_life().into_iter().flatten().map(|life| self.authority.may_take(life, now));
        verdicts.filter_map(|verdict| if let Verdict::NotBefore(due) = verdict { Some(due) } else { None }).min()
    }

    /// While the peer is there, what follows is decided with it.
    fn peer_can_decide(&self) -> bool {
        self.linked && self.silent.is_none() && !self.goodbye
    }

    fn start_alone(&mut self) {
        self.drop_link();
        match self.settings.mode {
            Mode::Master => {
                let reason = "backup not connected within connection wait time";
                self.take(Tenure::Start, reason, self.tags.applied, None);
            }
            _ => self.take(Tenure::Failover, "no Master within connection wait time", self.tags.applied, None),
        }
    }

    /// What is known of a peer that this node may have to replace, the strongest word first: an authority that takes
    /// no proof of death may still take silence. Nothing: there is nothing to replace.
    fn peer_life(&self) -> [Option<PeerLife>; 3] {
        let waits = match &self.state {
            State::Standby => self.peer.is_some(),
            // It offered Running and the answer doesn't come.
            State::Ceding(ceding) => ceding.has_offered(),
            _ => false,
        };
        if !waits {
            return [None; 3];
        }
        [
            self.goodbye.then_some(PeerLife::Agrees),
            self.dead.then_some(PeerLife::Dead),
            self.silent.map(|(last_sign, found)| PeerLife::Silent(last_sign, Some(found))),
        ]
    }

    fn take_over(&mut self, life: PeerLife) {
        let reason = match life {
            PeerLife::Agrees => "the peer stopped".to_owned(),
            PeerLife::Dead => "the peer's process is dead".to_owned(),
            PeerLife::Silent(..) => {
                format!("the peer was silent for {} ms", self.settings.failover_time_ms)
            }
        };
        self.give_up_ceding(&reason);
        self.drop_link();
        self.take(Tenure::Failover, reason, self.tags.applied, None);
    }

    /// Half a link is worse than none: whoever is at its other end greets anew, and another in its place would be
    /// refused.
    pub(super) fn drop_link(&mut self) {
        if self.linked {
            self.effects.push(Effect::DropLink);
            self.link_down();
        }
    }

    /// When half a link is dropped by a node that does not take over: it waits for a hold to end, or is Faulted.
    pub(super) fn half_link_deadline(&self) -> Option<Millis> {
        let (last_sign, _) = self.silent.filter(|_| self.linked)?;
        Some(last_sign.plus(self.settings.failover_time_ms))
    }

    pub(super) fn consider_half_link(&mut self, now: Millis) {
        if self.half_link_deadline().is_some_and(|due| now >= due) {
            self.drop_link();
        }
    }

    /// The peer greets with another boot id: its process was down. What it ran is over.
    pub(super) fn returned_from_death(&mut self, now: Millis) {
        let Some(report) = self.peer_report() else { return };
        // With equal data a starting Master runs at once, and two must not.
        let behind = match self.settings.mode {
            Mode::Backup => !self.has_more_than(report),
            _ => self.has_less_than(report),
        };
        if report.status == Status::Running || behind || self.held(now) {
            return;
        }
        if self.authority.may_take(PeerLife::Dead, now) == Verdict::Now {
            self.take(Tenure::Failover, "the peer was restarted", self.tags.applied, None);
        }
    }

    /// This node stood still. One that runs does nothing until it knows whether its peer took over meanwhile.
    pub(super) fn stalled(&mut self, for_ms: u64, now: Millis) {
        if let Some((last_sign, _)) = &mut self.silent {
            // It could hear nothing meanwhile: its suspicion starts anew.
            *last_sign = now;
        }
        if for_ms < self.settings.failover_time_ms || self.settings.mode == Mode::Independent {
            return;
        }
        // So do the times after which it would run without its peer's word, which may have taken over meanwhile.
        self.nobody_runs_since = self.nobody_runs_since.map(|_| now);
        if let State::Starting { deadline, .. } = &mut self.state {
            *deadline = (*deadline).max(now.plus(self.settings.failover_time_ms));
        }
        if matches!(&self.state, State::Ceding(ceding) if !ceding.has_offered()) {
            // It takes writes again when it knows who runs.
            self.end_quiescing("this node was stopped in the middle of the switch");
        }
        if mutant::on(Mutant::NoFence) {
            return;
        }
        if let State::Taking(Taking { runs: Some(running), .. }) = &self.state {
            // The peer may have run since: it asks before the next tenure begins.
            self.run_as_before(running.clone());
        }
        if let State::Running(running) = &mut self.state {
            let fence = if mutant::on(Mutant::FenceTooShort) { 1 } else { self.settings.failover_time_ms };
            running.fenced_until = Some(now.plus(fence));
            self.effects.push(Effect::Quiesce);
            self.shown.because(format!("this node was stopped for {for_ms} ms; it asks its peer who runs"));
        }
    }

    /// The time of the fence has passed. Asked at a tick only: a node that stands still a second time reads other
    /// messages first, and its shell ticks when its own heart has beaten.
    pub(super) fn end_fence(&mut self, now: Millis) {
        if matches!(self.state, State::Running(Running { fenced_until: Some(until), .. }) if now >= until) {
            self.unfence();
        }
    }

    pub(super) fn unfence(&mut self) {
        if let State::Running(running) = &mut self.state
            && running.fenced_until.take().is_some()
            && !running.awaiting_loser
        {
            self.effects.push(Effect::Resume);
            self.shown.because("nobody took over while this node was stopped");
        }
    }
}
