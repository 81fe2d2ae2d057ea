//! Switch: the planned move of Running to the other node, in three steps.
//!
//! 1. The Running node takes no more changes and offers Running, with the number of its last change.
//! 2. The Standby node applies up to that change, stores its epoch, runs, and says so.
//! 3. The old Running node stands by.
//!
//! Having offered, the old node does not run again until the peer confirms that it did not take it, or is dead, or the
//! authority lets it take over under a new epoch.

use std::hash::{Hash, Hasher};

use super::{Arbiter, Effect, Running, State, SwitchOrder};
use crate::mutant::{self, Mutant};
use crate::protocol::{Control, Report, SwitchRequest, Tenure};
use crate::types::{Epoch, Millis, NodeId, Seq, Status};

/// Giving Running away.
#[derive(Clone, Debug)]
pub(super) struct Ceding {
    /// Number of the offer; 0 when nothing is offered.
    pub switch: u64,
    kind: Kind,
    phase: Phase,
    until: Millis,
    origin: Origin,
    /// A new connection stands. What the peer said in its greeting may be older than the arrival of the offer on the
    /// connection before.
    greeted: bool,
    /// On the new connection it has said where it stands: after it gave up the one before.
    met_again: bool,
    /// The peer's process was down since the offer: if it took it, it is over.
    peer_restarted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// To a peer that takes it.
    Switch { tenure: Tenure, wish: Wish },
    /// To a peer that has it already.
    Demotion(String),
    /// To nobody: the node stops.
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Quiescing,
    Offered,
    Aborting,
}

/// Who wants to know how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// A local order.
    Here(u64),
    /// The peer's request.
    Peer(u64),
    /// This node itself.
    Itself,
}

/// Why Running is to move, and who wants it; for the list of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub reason: String,
    /// Empty: nobody, a rule says so.
    pub user: String,
}

impl Wish {
    pub(super) fn of_nobody(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), user: String::new() }
    }
}

/// An offer that this node has got.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    pub switch: u64,
    last: Seq,
    tenure: Tenure,
    pub wish: Wish,
}

/// A local order that the Running peer carries out.
#[derive(Clone, Debug)]
pub(super) struct Order {
    request: u64,
    pub deadline: Millis,
}

impl Offered {
    /// Whether nobody but the rule of automatic recovery wants it.
    pub(super) fn is_recovery(&self) -> bool {
        self.tenure == Tenure::Recovery
    }

    /// See [`Arbiter::fingerprint`].
    pub(super) fn fingerprint(&self) -> impl Hash {
        (self.switch, self.last, self.tenure)
    }
}

impl Order {
    pub(super) fn request(&self) -> u64 {
        self.request
    }
}

impl Ceding {
    /// See [`Arbiter::fingerprint`].
    pub(super) fn fingerprint(&self, now: Millis, into: &mut impl Hasher) {
        let Self { switch, kind, phase, until, origin, greeted, met_again, peer_restarted } = self;
        let kind = match kind {
            Kind::Switch { tenure, wish: _ } => Some(*tenure),
            Kind::Demotion(_) => None,
            Kind::Stop => Some(Tenure::None),
        };
        (switch, kind, phase, until.since(now), origin, greeted, met_again, peer_restarted).hash(into);
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        (self.phase != Phase::Aborting).then_some(self.until)
    }

    /// Whether the offer took too long and the peer has not confirmed its end.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.phase == Phase::Aborting
    }

    /// Whether the peer may have taken Running.
    pub(super) fn has_offered(&self) -> bool {
        self.phase != Phase::Quiescing
    }
}

impl Arbiter {
    /// Why Running cannot be moved now; none: it can.
    pub(super) fn switch_refusal(&self) -> Option<String> {
        if self.settings.mode == crate::types::Mode::Independent {
            return Some("no redundancy configured".into());
        }
        let Some(peer) = self.peer_report() else { return Some("the other node is not connected".into()) };
        let standby = match self.status() {
            Status::Running => peer.status,
            own => own,
        };
        match &self.state {
            State::Ceding(_) | State::Taking(_) => return Some("a switch is under way".into()),
            State::Running(Running { fenced_until: None, awaiting_loser: false, .. }) => {}
            State::Running(_) => return Some("it is being found out which node runs".into()),
            _ if peer.status == Status::Running => {}
            _ => return Some("no node is Running".into()),
        }
        if standby != Status::Standby {
            return Some(format!("the Standby node is {standby}"));
        }
        self.standby_refusal(peer)
    }

    /// Why the Standby node of this connected pair could not run now.
    pub(super) fn standby_refusal(&self, peer: &Report) -> Option<String> {
        let (in_sync, faults) = if self.is_leading() {
            (peer.in_sync && !self.tags.lagging, peer.faults.clone())
        } else {
            (self.tags.in_sync && peer.in_sync, self.faults())
        };
        match faults.first() {
            Some(fault) => Some(format!("the Standby node cannot run: {fault}")),
            None if !in_sync && !mutant::on(Mutant::RecoveryBeforeSync) && !mutant::on(Mutant::ReadyWithoutSync) => {
                Some("the Standby node is not in sync".into())
            }
            _ => None,
        }
    }

    pub(super) fn is_leading(&self) -> bool {
        matches!(self.state, State::Running(_) | State::Ceding(_))
    }

    /// Somebody pressed Switch at this node.
    pub(super) fn order_switch(&mut self, order: &SwitchOrder, now: Millis) {
        let reason = if order.reason.trim().is_empty() { "Switch was pressed" } else { order.reason.trim() };
        let wish = Wish { reason: reason.to_owned(), user: order.user.clone() };
        if let Some(refused) = self.switch_refusal().or_else(|| self.order_refusal(order.to, order.expected_epoch)) {
            return self.effects.push(Effect::Answer { request: order.request, result: Err(refused) });
        }
        if self.is_running() {
            return self.begin_switch(Tenure::Switch, wish, Origin::Here(order.request), now);
        }
        self.recovery.just_started = false;
        self.orders.push(Order {
            request: order.request,
            deadline: now.plus(self.settings.switch_timeout_ms.saturating_mul(2)),
        });
        self.effects.push(Effect::Send(Control::SwitchRequest(SwitchRequest {
            id: order.request,
            tenure: Tenure::Switch,
            expected_epoch: order.expected_epoch,
            to: order.to,
            reason: wish.reason,
            user: wish.user,
        })));
    }

    fn order_refusal(&self, to: NodeId, expected_epoch: u64) -> Option<String> {
        let (running, counter) = match &self.peer {
            Some(peer) if !self.is_running() => (peer.greeting.node, peer.report.lineage.epoch().counter),
            _ => (self.settings.node, self.epoch().counter),
        };
        if to == running {
            return Some("that node is Running already".into());
        }
        if expected_epoch != 0 && expected_epoch != counter {
            return Some(format!("the epoch is {counter}, not {expected_epoch}: somebody switched meanwhile"));
        }
        None
    }

    /// The peer asks this Running node to switch.
    pub(super) fn requested(&mut self, request: &SwitchRequest, now: Millis) {
        let guard = if request.tenure == Tenure::Recovery { self.recovery_refusal(now) } else { None };
        let suspend = guard.as_ref().is_some_and(|guard| guard.suspend);
        let refused = match guard {
            Some(guard) => Some(guard.reason),
            None if !self.is_running() => Some("this node is not Running".to_owned()),
            None => self.switch_refusal().or_else(|| self.order_refusal(request.to, request.expected_epoch)),
        };
        if let Some(refused) = refused {
            if suspend {
                // For the alarm: the Running node is the one that raises it.
                self.recovery.suspended = Some(refused.clone());
            }
            self.effects.push(Effect::Send(Control::SwitchResult { id: request.id, refused, suspend }));
            return;
        }
        let wish = Wish { reason: request.reason.clone(), user: request.user.clone() };
        self.begin_switch(request.tenure, wish, Origin::Peer(request.id), now);
    }

    /// The Running peer's answer to this node's request.
    pub(super) fn request_answered(&mut self, id: u64, refused: &str, suspend: bool, now: Millis) {
        if self.recovery.answered(id, refused, suspend, now) {
            return;
        }
        if let Some(at) = self.orders.iter().position(|order| order.request == id) {
            self.orders.swap_remove(at);
            let result = if refused.is_empty() { Ok(()) } else { Err(refused.to_owned()) };
            self.effects.push(Effect::Answer { request: id, result });
        }
    }

    /// Step 1. The caller has asked [`Arbiter::switch_refusal`].
    pub(super) fn begin_switch(&mut self, tenure: Tenure, wish: Wish, origin: Origin, now: Millis) {
        self.next_ticket += 1;
        self.cede(Kind::Switch { tenure, wish }, self.next_ticket, origin, now);
    }

    pub(super) fn cede_to_the_other(&mut self, reason: &str, now: Millis) {
        self.cede(Kind::Demotion(reason.to_owned()), 0, Origin::Itself, now);
    }

    pub(super) fn cede_to_nobody(&mut self, now: Millis) {
        self.cede(Kind::Stop, 0, Origin::Itself, now);
    }

    fn cede(&mut self, kind: Kind, switch: u64, origin: Origin, now: Millis) {
        let until = now.plus(self.settings.switch_timeout_ms);
        let (phase, greeted, met_again, peer_restarted) = (Phase::Quiescing, false, false, false);
        self.state = State::Ceding(Ceding { switch, kind, phase, until, origin, greeted, met_again, peer_restarted });
        self.effects.push(Effect::Quiesce);
    }

    /// No change will come any more after `last`.
    pub(super) fn quiesced(&mut self, last: Seq, now: Millis) {
        let epoch = self.epoch();
        let until = now.plus(self.settings.switch_timeout_ms);
        if let State::Running(running) = &mut self.state {
            running.quiesced = running.awaiting_loser;
        }
        let State::Ceding(ceding) = &mut self.state else { return };
        if ceding.phase != Phase::Quiescing {
            return;
        }
        match &ceding.kind {
            Kind::Switch { .. } if self.tags.lagging => {
                // Its lane broke meanwhile. What it lacks it could not tell from the number of the last change.
                self.back_to_running("the Standby node is no longer in sync");
            }
            Kind::Switch { tenure, wish } => {
                let (switch, tenure) = (ceding.switch, *tenure);
                let Wish { reason: cause, user } = wish.clone();
                ceding.phase = Phase::Offered;
                ceding.until = until;
                self.effects.push(Effect::Send(Control::Offer { switch, epoch, last, tenure, cause, user }));
                if mutant::on(Mutant::SwitchAnsweredEarly) {
                    self.end_switch(Ok(()));
                }
            }
            Kind::Demotion(reason) => {
                let reason = reason.clone();
                self.shown.ceded(Tenure::DualRunning, String::new());
                self.stand_by(reason);
            }
            Kind::Stop => self.say_goodbye(),
        }
    }

    /// Step 2, at the Standby node.
    pub(super) fn offered(&mut self, switch: u64, epoch: Epoch, last: Seq, tenure: Tenure, wish: Wish) {
        let follows = self.following.as_ref().is_some_and(|leader| leader.lineage.epoch() == epoch);
        let refused = match &self.state {
            State::Standby if mutant::on(Mutant::RecoveryBeforeSync) => None,
            State::Standby if !follows || !self.tags.in_sync => Some("this node is not in sync".to_owned()),
            State::Standby => self.faults().into_iter().next(),
            _ => Some(format!("this node is {}", self.status())),
        };
        if let Some(reason) = refused {
            self.effects.push(Effect::Send(Control::AbortConfirmed { switch, reason }));
            return;
        }
        self.offer = Some(Offered { switch, last, tenure, wish });
        self.effects.push(Effect::AwaitApplied(last));
    }

    /// Takes an offer once everything is applied; ends orders and cessions that took too long.
    pub(super) fn consider_waiting_orders(&mut self, now: Millis) {
        if let (State::Standby, Some(offer)) = (&self.state, &self.offer)
            && (self.tags.applied >= offer.last || mutant::on(Mutant::SwitchDoesNotDrain))
        {
            let offer = offer.clone();
            self.take(offer.tenure, offer.wish.reason.clone(), self.tags.applied, Some(offer));
        }
        // Whoever is answered and looks at both nodes sees one Running.
        let moved = self.is_running() && self.peer_report().is_none_or(|peer| peer.status != Status::Running);
        // It fell silent and was replaced: nobody gave Running away, and perhaps there are two.
        let silent = self.silent.is_some() && !self.dead && !self.goodbye;
        for order in std::mem::take(&mut self.orders) {
            let result = if moved && silent {
                Err("the other node does not answer: this one took over, and the other one may be Running too"
                    .to_owned())
            } else if moved {
                Ok(())
            } else if now >= order.deadline {
                Err("the Running node did not answer in time".to_owned())
            } else {
                self.orders.push(order);
                continue;
            };
            self.effects.push(Effect::Answer { request: order.request, result });
        }
        if matches!(&self.state, State::Ceding(ceding) if ceding.deadline().is_some_and(|until| now >= until)) {
            self.ceding_took_too_long();
        }
        self.consider_stopping(now);
    }

    fn ceding_took_too_long(&mut self) {
        let State::Ceding(ceding) = &mut self.state else { return };
        match (&ceding.kind, ceding.phase) {
            (Kind::Switch { .. }, Phase::Quiescing) => {
                self.back_to_running("the switch took too long: this node's own work did not stop in time");
            }
            (Kind::Switch { .. }, _) if mutant::on(Mutant::AbortUnconfirmed) => {
                self.back_to_running("the switch took too long");
            }
            (Kind::Switch { .. }, _) => {
                ceding.phase = Phase::Aborting;
                let switch = ceding.switch;
                self.effects.push(Effect::RefuseWaiting);
                self.effects.push(Effect::Send(Control::Abort { switch }));
                self.end_switch(Err("the switch took too long: the Standby node did not take Running in time".into()));
            }
            (Kind::Demotion(reason), _) => {
                let reason = reason.clone();
                self.stand_by(reason);
            }
            (Kind::Stop, _) => self.say_goodbye(),
        }
    }

    /// Step 3, at the old Running node.
    pub(super) fn taken(&mut self, switch: u64, epoch: Epoch, now: Millis) {
        self.saw(epoch.counter);
        if matches!(&self.state, State::Ceding(ceding) if ceding.switch == switch) {
            self.gave(now);
        }
    }

    /// The peer runs: seen by its word or by its report.
    pub(super) fn cede_with(&mut self, peer: &Report, now: Millis) {
        let State::Ceding(ceding) = &self.state else { return };
        let theirs = peer.lineage.epoch();
        let runs = peer.status == Status::Running;
        if !ceding.has_offered() {
            if runs && peer.switching == 0 && matches!(ceding.kind, Kind::Switch { .. }) {
                // Nobody is to take over from this node any more: of two Running ones one stays.
                self.back_to_running("both nodes are Running");
            }
        } else if theirs > self.epoch() && (runs || !ceding.peer_restarted) {
            // It took it, though it may be that it stood still since, and shows no status until it knows who runs.
            self.gave(now);
        } else if ceding.met_again && peer.switching == 0 {
            // It met this node anew and does not know of the offer, even if it runs: as good as a confirmed abort.
            self.back_to_running("the link was lost in the middle of the switch");
        }
    }

    fn gave(&mut self, now: Millis) {
        let State::Ceding(Ceding { kind: Kind::Switch { tenure, wish }, .. }) = &self.state else { return };
        let (wish, tenure) = (wish.clone(), *tenure);
        match tenure {
            Tenure::Switch => self.recovery.just_started = false,
            Tenure::Recovery => self.granted_recovery(now),
            _ => {}
        }
        self.shown.ceded(tenure, wish.user);
        self.end_switch(Ok(()));
        self.stand_by(wish.reason);
        if mutant::on(Mutant::OldNodeLeadsOn) {
            self.effects.retain(|effect| !matches!(effect, Effect::StandBy));
            self.effects.push(Effect::Resume);
        }
    }

    /// At the Standby node: the offer is withdrawn.
    pub(super) fn aborted(&mut self, switch: u64) {
        if let State::Running(_) = self.state {
            // Too late. The old node hears it once more.
            let epoch = self.epoch();
            return self.effects.push(Effect::Send(Control::Taken { switch, epoch }));
        }
        if mutant::on(Mutant::AbortedOfferTaken) {
            // It says so, and takes it.
        } else if let State::Taking(taking) = &self.state
            && taking.offer.as_ref().is_some_and(|offer| offer.switch == switch)
        {
            self.state = State::Standby;
            self.store(self.lineage.clone());
        }
        if !mutant::on(Mutant::AbortedOfferTaken) {
            self.offer = None;
        }
        self.effects.push(Effect::Send(Control::AbortConfirmed { switch, reason: String::new() }));
    }

    /// At the old Running node: the peer did not and will not take it.
    pub(super) fn abort_confirmed(&mut self, switch: u64, reason: &str) {
        if matches!(&self.state, State::Ceding(ceding) if ceding.switch == switch && ceding.has_offered()) {
            self.back_to_running(reason);
        }
    }

    pub(super) fn ceding_lost_link(&mut self) {
        if matches!(&self.state, State::Ceding(ceding) if matches!(ceding.kind, Kind::Switch { .. }) && !ceding.has_offered())
        {
            self.back_to_running("the link was lost");
        }
    }

    pub(super) fn ceding_met_again(&mut self, restarted: bool) {
        if let State::Ceding(ceding) = &mut self.state {
            ceding.greeted = true;
            // A process that was not there yet has not got the offer.
            ceding.met_again = restarted;
            ceding.peer_restarted |= restarted;
        }
    }

    pub(super) fn ceding_heard_report(&mut self) {
        if let State::Ceding(ceding) = &mut self.state {
            ceding.met_again |= ceding.greeted;
        }
    }

    pub(super) fn back_to_running(&mut self, reason: &str) {
        self.end_quiescing(reason);
        if !mutant::on(Mutant::AbortDoesNotResume) {
            self.effects.push(Effect::Resume);
        }
    }

    /// Running as before, but that no writes are taken yet.
    pub(super) fn end_quiescing(&mut self, reason: &str) {
        self.end_switch(Err(if reason.is_empty() { "the switch was aborted".into() } else { reason.to_owned() }));
        self.state = State::Running(Running::default());
    }

    /// The peer is gone: the cession ends in a takeover.
    pub(super) fn give_up_ceding(&mut self, reason: &str) {
        self.end_switch(Err(reason.to_owned()));
    }

    /// Tells whoever wanted to know; once.
    fn end_switch(&mut self, result: Result<(), String>) {
        let State::Ceding(ceding) = &mut self.state else { return };
        match std::mem::replace(&mut ceding.origin, Origin::Itself) {
            Origin::Here(request) => self.effects.push(Effect::Answer { request, result }),
            Origin::Peer(id) => {
                let refused = result.err().unwrap_or_default();
                self.effects.push(Effect::Send(Control::SwitchResult { id, refused, suspend: false }));
            }
            Origin::Itself => {}
        }
    }
}
