//! Taking in what happened. What follows from it is decided afterwards, from the whole state.

use super::switch::Wish;
use super::{Arbiter, Effect, Input, MAX_COUNTER, Peer, Running, State, TagFacts, Tenure};
use crate::lineage::{Fork, Lineage};
use crate::protocol::{Control, Greeting, Hold, Report};
use crate::types::{Epoch, Millis, Mode, Status};

/// Whoever is refused asks again within this time: as long as it is told the same, nobody is replaced.
const REFUSED_AGAIN_MS: u64 = 2000;

impl Arbiter {
    pub(super) fn take_in(&mut self, input: Input, now: Millis) {
        match input {
            Input::Start => self.start(now),
            Input::LinkUp(greeting) => self.link_up(greeting, now),
            Input::LinkDown => self.link_down(),
            Input::ProvenDead => self.dead = !self.linked,
            Input::Refused { reason } => self.refused(&reason, now),
            Input::Unavailable { last_sign } => {
                self.silent = Some((last_sign, now));
                self.await_no_loser();
                self.await_the_giver(last_sign);
                if self.is_leading() || matches!(self.state, State::Taking(_)) {
                    // What the peer sent before it fell silent must not arrive when its deadlines have passed.
                    self.drop_link();
                }
            }
            Input::Available => self.silent = None,
            Input::Stalled { for_ms } => self.stalled(for_ms, now),
            Input::AnsweredAfterStall => self.unfence(),
            Input::Message(message) => self.message(message, now),
            Input::Tags(facts) => self.hear_tags(facts),
            Input::LaneStuck => self.drop_link(),
            Input::Quiesced { last } => self.quiesced(last, now),
            Input::Stored { ticket } => self.stored(ticket),
            Input::StoreFailed { ticket, reason } => self.store_failed(ticket, &reason),
            Input::Adopted(lineage) => self.adopt(lineage),
            Input::Switch(order) => self.order_switch(&order, now),
            Input::Hold { ms, reason, user } => self.set_hold(ms, &reason, &user, now),
            Input::Fault(fault) => self.local_fault(fault, now),
            Input::Disk(trouble) => {
                self.disk = trouble;
                if self.disk.is_none() {
                    if self.fault_of_disk {
                        self.local_fault(None, now);
                    }
                    self.reserve();
                }
            }
            Input::Shutdown { reason } => {
                self.stopping.get_or_insert(reason);
            }
            Input::Tick => self.end_fence(now),
        }
    }

    pub(super) fn start(&mut self, now: Millis) {
        self.started = now;
        self.shown.begin(now);
        let wait = self.settings.connection_wait_time_ms;
        match self.settings.mode {
            Mode::Independent => self.take(Tenure::Start, "no redundancy configured", self.tags.applied, None),
            Mode::Master => {
                self.state = State::Starting { deadline: now.plus(wait), gathering: false, whole_by: None };
            }
            Mode::Backup => {
                let deadline = now.plus(wait.max(self.settings.failover_time_ms));
                self.state = State::Starting { deadline, gathering: false, whole_by: None };
            }
        }
    }

    fn link_up(&mut self, greeting: Box<Greeting>, now: Millis) {
        let was_down = self.peer.as_ref().is_some_and(|peer| peer.greeting.boot != greeting.boot);
        let was_running = self.peer.as_ref().is_some_and(|peer| peer.report.status == Status::Running);
        self.linked = true;
        self.refused_until = Millis(0);
        self.goodbye = false;
        self.dead = false;
        self.silent = None;
        self.following = None;
        self.nobody_runs_since = None;
        self.outranks_since = None;
        // Whoever it was in sync with, it was not by this connection.
        let report = Report { in_sync: false, ..greeting.report.clone() };
        self.peer = Some(Peer { greeting, report: report.clone() });
        self.ceding_met_again(was_down);
        self.hear_report(report, now);
        // What this node says in its greeting may be old by now.
        self.last_report = None;
        if was_down && was_running && matches!(self.state, State::Standby) {
            self.returned_from_death(now);
        }
    }

    /// As long as it is told so the peer lives: nobody is to be replaced.
    fn refused(&mut self, reason: &str, now: Millis) {
        let wait = self.settings.connection_wait_time_ms.max(self.settings.failover_time_ms);
        self.refused_until = now.plus(wait.max(REFUSED_AGAIN_MS));
        if matches!(self.state, State::Starting { .. } | State::Standby) {
            self.shown.because(format!("the connection is refused: {reason}"));
        }
    }

    pub(super) fn link_down(&mut self) {
        self.linked = false;
        self.ceding_lost_link();
        if self.following.take().is_some() && !self.is_leading() {
            // It may have been told to follow after it heard that the link is gone.
            self.effects.push(Effect::StandBy);
        }
        self.offer = None;
        self.tags.in_sync = false;
        self.await_no_loser();
        self.await_the_giver(self.handled_at);
        self.recovery.forget_request();
    }

    /// A node that takes its peer's data as it starts does not give that up for a short break: as long as it would wait for
    /// one that runs.
    fn await_the_giver(&mut self, since: Millis) {
        let until = since.plus(self.settings.failover_time_ms);
        if let State::Starting { deadline, gathering: true, .. } = &mut self.state {
            *deadline = (*deadline).max(until);
        }
    }

    /// The other Running node is gone again before it stood by.
    fn await_no_loser(&mut self) {
        if let State::Running(running) = &mut self.state
            && std::mem::take(&mut running.awaiting_loser)
            && running.fenced_until.is_none()
        {
            self.effects.push(Effect::Resume);
        }
    }

    fn message(&mut self, message: Control, now: Millis) {
        if !self.linked {
            return;
        }
        match message {
            Control::Report(report) => {
                if let Some(peer) = &mut self.peer {
                    peer.report = (*report).clone();
                }
                self.ceding_heard_report();
                self.hear_report(*report, now);
            }
            Control::Goodbye { reason } => {
                self.goodbye = true;
                self.shown.peer_because(reason);
                if matches!(&self.state, State::Ceding(ceding) if ceding.has_offered()) {
                    self.back_to_running("the Standby node stopped");
                }
            }
            Control::SwitchRequest(request) => self.requested(&request, now),
            Control::SwitchResult { id, refused, suspend } => self.request_answered(id, &refused, suspend, now),
            Control::Offer { switch, epoch, last, tenure, cause, user } => {
                self.offered(switch, epoch, last, tenure, Wish { reason: cause, user });
            }
            Control::Taken { switch, epoch } => self.taken(switch, epoch, now),
            Control::Abort { switch } => self.aborted(switch),
            Control::AbortConfirmed { switch, reason } => self.abort_confirmed(switch, &reason),
            Control::Hold(hold) => self.hear_hold(hold, now),
            _ => {}
        }
    }

    /// Takes in where the tag table stands, without drawing consequences: call it before [`Arbiter::handle`].
    pub fn hear_tags(&mut self, facts: TagFacts) {
        // Being in sync with an earlier leader is worth nothing.
        let followed = self.following.as_ref().is_some_and(|leader| leader.lineage.epoch() == facts.leader);
        self.tags = TagFacts { in_sync: facts.in_sync && followed, ..facts };
    }

    fn hear_report(&mut self, report: Report, now: Millis) {
        let (mine, theirs) = (self.epoch(), report.lineage.epoch());
        self.saw(theirs.counter);
        let outranks = |own: Epoch| theirs != own && (own.counter..=MAX_COUNTER).contains(&theirs.counter);
        self.outranked |= self.is_leading() && outranks(mine);
        if let State::Taking(taking) = &mut self.state {
            taking.outranked |= outranks(taking.lineage.epoch());
        }
        if report.switching != 0 {
            self.recovery.begins();
        }
        self.guard.heard(&report.recoveries_ms, now);
        self.hear_hold(report.hold, now);
    }

    fn hear_hold(&mut self, hold: Hold, now: Millis) {
        // Two holds of one version were begun while the nodes were apart: the longer one counts.
        let longer = hold.reason != self.hold.reason && hold.remaining_ms > self.hold_remaining_ms(now);
        if hold.version > self.hold.version || (hold.version == self.hold.version && longer) {
            self.hold_until = now.plus(hold.remaining_ms);
            self.hold = hold;
        }
    }

    fn set_hold(&mut self, ms: u64, reason: &str, user: &str, now: Millis) {
        self.hold = Hold {
            version: self.hold.version.saturating_add(1),
            remaining_ms: ms,
            reason: format!("{reason} ({user})"),
        };
        self.hold_until = now.plus(ms);
        if self.linked {
            self.effects.push(Effect::Send(Control::Hold(self.hold.clone())));
        }
    }

    fn stored(&mut self, ticket: u64) {
        while let Some(&(stored, counter)) = self.stores.front() {
            if stored > ticket {
                break;
            }
            self.reserved = self.reserved.max(counter);
            self.stores.pop_front();
        }
        if matches!(&self.state, State::Taking(taking) if taking.ticket == ticket)
            && let State::Taking(taking) = std::mem::replace(&mut self.state, State::Standby)
        {
            match taking.runs {
                // The peer ran under a later one meanwhile: which of the two stays is decided anew.
                Some(running) if taking.outranked && self.peer_report().is_some() => self.run_as_before(running),
                _ => self.run(taking),
            }
        }
    }

    /// The tenure that is on disk, or on its way there, does not begin: the present one goes on, as it was.
    pub(super) fn run_as_before(&mut self, running: Running) {
        self.state = State::Running(running);
        self.outranked = true;
        // This lineage is the last word.
        self.store(self.lineage.clone());
    }

    fn store_failed(&mut self, ticket: u64, reason: &str) {
        self.stores.retain(|&(stored, _)| stored != ticket);
        let reason = format!("the epoch cannot be stored: {reason}");
        if matches!(&self.state, State::Taking(taking) if taking.ticket == ticket)
            && let State::Taking(taking) = std::mem::replace(&mut self.state, State::Standby)
        {
            if let Some(offer) = taking.offer {
                let reason = reason.clone();
                self.effects.push(Effect::Send(Control::AbortConfirmed { switch: offer.switch, reason }));
                self.offer = None;
            }
            self.fault = Some(reason.clone());
            self.fault_of_disk = true;
            if taking.runs.is_some() {
                // Its present epoch is good: it goes on until a peer is ready to take over.
                self.state = State::Running(Running::default());
                self.effects.push(Effect::Resume);
            } else {
                // It may have offered Running before: from now on its data follows whoever took that.
                self.stand_by(reason.clone());
            }
            // What failed is owed and written later: by then this lineage must be the last word.
            self.store(self.lineage.clone());
            self.shown.because(reason);
        }
    }

    fn adopt(&mut self, lineage: Lineage) {
        // When this node's tenure began the data had joined another history since that was decided.
        let of_own_tenure = lineage.epoch() == self.lineage.epoch();
        let mut takes = of_own_tenure || matches!(self.state, State::Standby | State::Starting { .. } | State::Faulted);
        if let State::Taking(taking) = &mut self.state
            && let Some(&fork) = taking.lineage.forks().last()
            && (of_own_tenure || taking.runs.is_none())
        {
            // The tenure was decided, and is not begun; what is said of the data is as new as this.
            let at = if of_own_tenure { fork.at } else { self.tags.applied };
            taking.lineage = lineage.promoted(Fork { at, ..fork });
            takes = true;
        }
        if takes {
            self.saw(lineage.epoch().counter);
            self.lineage = lineage;
        }
        // The adoption went to disk past this machine, perhaps before or after an order of its own: this one is last.
        let last_word = if let State::Taking(taking) = &self.state { &taking.lineage } else { &self.lineage };
        self.store(last_word.clone());
    }
}
