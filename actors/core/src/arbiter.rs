//! Who is Running.
//!
//! One machine a node. It hears what happens ([`Input`]), with the time as a parameter, and says what is to be done
//! ([`Effect`]). One file a chapter: taking in what happened (`input`), what follows when two nodes see each other
//! (`meeting`), running because the peer is gone (`takeover`), `switch`, `recovery`, `stop`, and what is shown (`view`).

mod fingerprint;
mod input;
mod io;
mod meeting;
mod recovery;
mod stop;
mod switch;
mod takeover;
#[cfg(test)]
mod tests;
mod view;

use std::collections::VecDeque;
use std::sync::Arc;

pub use io::{Effect, Event, Input, Leader, Peer, SwitchOrder, TagFacts};
pub use view::{PeerShown, View};

use crate::authority::Authority;
use crate::lineage::{Fork, Lineage};
use crate::mutant::{self, Mutant};
use crate::protocol::{Control, Hold, Report, Tenure};
use crate::types::{Epoch, Millis, Mode, NodeId, RecoveryMode, Seq, Status};
use recovery::{Guard, Recovery};
use switch::{Ceding, Offered};

/// What the arbiter must know of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ArbiterSettings {
    /// This node.
    pub node: NodeId,
    /// What it was configured to be.
    pub mode: Mode,
    /// How a returned Master recovers (the Master's word counts).
    pub recovery: RecoveryMode,
    /// A silent peer is taken over after so long.
    pub failover_time_ms: u64,
    /// So long a starting node waits for its peer.
    pub connection_wait_time_ms: u64,
    /// So long a step of a switch may take.
    pub switch_timeout_ms: u64,
}

/// What a node found on its disk.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The tenures of its data.
    pub lineage: Lineage,
    /// Counters up to here may have been taken.
    pub reserved: u64,
    /// The greatest counter seen.
    pub last_counter: u64,
}

/// No pair takes so many tenures: a greater counter is a broken message, and there must be room above each.
const MAX_COUNTER: u64 = u64::MAX / 2;

/// What the node does now.
#[derive(Clone, Debug)]
enum State {
    /// Before [`Input::Start`].
    Idle,
    /// Waits for its peer until the deadline. `gathering`: it takes the peer's fresher data before it runs. `whole_by`: it
    /// has the values, and waits so long for the alarms.
    Starting { deadline: Millis, gathering: bool, whole_by: Option<Millis> },
    /// Follows, or waits for somebody to follow.
    Standby,
    /// Its next epoch is being stored.
    Taking(Taking),
    /// Does the plant's work.
    Running(Running),
    /// Gives Running away.
    Ceding(Ceding),
    /// A part of it cannot work.
    Faulted,
    /// It said goodbye.
    Stopped,
}

/// A promotion that waits for the disk.
#[derive(Clone, Debug)]
struct Taking {
    ticket: u64,
    lineage: Lineage,
    tenure: Tenure,
    reason: String,
    offer: Option<Offered>,
    /// It runs already, under an earlier epoch: as what.
    runs: Option<Running>,
    /// Meanwhile the peer ran or followed an epoch that this one does not exceed.
    outranked: bool,
}

/// A tenure.
#[derive(Clone, Debug, Default)]
struct Running {
    /// It stood still: until this moment, or an answer of its peer, it does nothing.
    fenced_until: Option<Millis>,
    /// It will take a higher epoch, and takes no change before. Where both ran, the other one stops first.
    awaiting_loser: bool,
    /// While it waits: no change gets a number any more, so that the next tenure's fork point is its last change.
    quiesced: bool,
    /// While it waits: what the next tenure is called, and why it begins.
    next: (Tenure, &'static str),
}

/// The state machine of one node.
#[derive(Clone)]
pub struct Arbiter {
    settings: ArbiterSettings,
    authority: Arc<dyn Authority>,
    state: State,
    lineage: Lineage,
    reserved: u64,
    max_counter: u64,
    tenure: Tenure,
    tags: TagFacts,
    // The peer.
    peer: Option<Peer>,
    linked: bool,
    goodbye: bool,
    /// A living peer refuses this node: until then it is not taken over.
    refused_until: Millis,
    dead: bool,
    /// Last sign of life, and when it was found unavailable; none: it answers.
    silent: Option<(Millis, Millis)>,
    following: Option<Leader>,
    nobody_runs_since: Option<Millis>,
    /// It runs, and the peer saw an epoch that this node's does not exceed. That counts also when the peer has joined this
    /// node's since.
    outranked: bool,
    /// Since when the Running peer's epoch is one that this node has gone beyond.
    outranks_since: Option<Millis>,
    last_report: Option<Report>,
    // Plans and orders.
    offer: Option<Offered>,
    recovery: Recovery,
    guard: Guard,
    orders: Vec<switch::Order>,
    hold: Hold,
    hold_until: Millis,
    fault: Option<String>,
    /// The fault is an epoch that could not be stored: it ends when the disk works again.
    fault_of_disk: bool,
    /// For a fault it does not offer Running again before this.
    fault_retry: Millis,
    disk: Option<String>,
    /// Both nodes were Running: when that was found out, and for how long they were.
    dual_running: Option<(Millis, u64)>,
    stopping: Option<String>,
    stop_switch_tried: bool,
    // Bookkeeping.
    started: Millis,
    /// The time of the last input.
    handled_at: Millis,
    next_ticket: u64,
    /// Stores under way: ticket, and the counter that is reserved when it is done.
    stores: VecDeque<(u64, u64)>,
    shown: view::Shown,
    effects: Vec<Effect>,
}

impl Arbiter {
    /// A node that has not started yet.
    pub fn new(settings: ArbiterSettings, authority: Box<dyn Authority>, restored: Restored) -> Self {
        Self {
            max_counter: restored
                .last_counter
                .max(restored.reserved)
                .max(restored.lineage.epoch().counter.min(MAX_COUNTER)),
            // What an earlier process reserved it may have used: it is worth nothing now.
            reserved: 0,
            lineage: restored.lineage,
            settings,
            authority: authority.into(),
            state: State::Idle,
            tenure: Tenure::None,
            tags: TagFacts::default(),
            peer: None,
            linked: false,
            goodbye: false,
            refused_until: Millis(0),
            dead: false,
            silent: None,
            following: None,
            nobody_runs_since: None,
            outranked: false,
            outranks_since: None,
            last_report: None,
            offer: None,
            recovery: Recovery::default(),
            guard: Guard::default(),
            orders: Vec::new(),
            hold: Hold::default(),
            hold_until: Millis(0),
            fault: None,
            fault_of_disk: false,
            fault_retry: Millis(0),
            disk: None,
            dual_running: None,
            stopping: None,
            stop_switch_tried: false,
            started: Millis(0),
            handled_at: Millis(0),
            next_ticket: 1,
            stores: VecDeque::new(),
            shown: view::Shown::default(),
            effects: Vec::new(),
        }
    }

    /// Takes in what happened and says what is to be done, in this order.
    pub fn handle(&mut self, input: Input, now: Millis) -> Vec<Effect> {
        self.handled_at = now;
        self.take_in(input, now);
        self.obey_hold(now);
        let before = std::mem::discriminant(&self.state);
        self.reconcile(now);
        if std::mem::discriminant(&self.state) != before {
            self.reconcile(now);
        }
        self.consider_taking_over(now);
        self.consider_half_link(now);
        self.consider_recovery(now);
        let ceding = matches!(self.state, State::Ceding(_));
        self.consider_waiting_orders(now);
        if ceding && matches!(self.state, State::Standby) {
            // It gave Running away to a peer that may be gone by now.
            self.reconcile(now);
            self.consider_taking_over(now);
        }
        self.show(now);
        self.report_changes(now);
        std::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] is wanted next.
    pub fn next_deadline(&self, now: Millis) -> Option<Millis> {
        let state = match &self.state {
            State::Running(Running { fenced_until, .. }) => {
                let retry = (self.fault.is_some() && self.fault_retry > now).then_some(self.fault_retry);
                fenced_until.or(retry)
            }
            State::Ceding(ceding) => ceding.deadline(),
            _ => None,
        };
        let orders = self.orders.iter().map(|order| order.deadline);
        let hold = self.held(now).then_some(self.hold_until);
        let outranks = self.outranks_since.map(|since| since.plus(self.settings.failover_time_ms));
        let takeover = self.takeover_deadline(now);
        let deadlines = [state, takeover, outranks, self.recovery.next_try, hold, self.half_link_deadline()];
        let deadlines = deadlines.into_iter().flatten();
        // What was due already and not done waits for something else than time.
        deadlines.chain(orders).filter(|&due| due > self.handled_at).min()
    }

    /// Where this node stands, for the greeting.
    pub fn report(&self, now: Millis) -> Report {
        Report {
            status: self.status(),
            lineage: self.lineage.clone(),
            tenure: self.tenure,
            applied: self.tags.applied,
            durable: self.tags.durable,
            last: self.tags.last,
            sync: self.tags.phase,
            in_sync: if self.is_leading() { !self.tags.lagging } else { self.tags.in_sync },
            faults: self.faults(),
            hold: Hold { remaining_ms: self.hold_remaining_ms(now), ..self.hold.clone() },
            switching: match &self.state {
                State::Ceding(ceding) => ceding.switch,
                State::Taking(Taking { offer: Some(offer), .. }) => offer.switch,
                _ => self.offer.as_ref().map_or(0, |offer| offer.switch),
            },
            running_ms: self.running_ms(now),
            recoveries_ms: self.guard.left_ms(now),
        }
    }

    /// For how long this node has been Running; 0: it is not.
    fn running_ms(&self, now: Millis) -> u64 {
        if self.shown.status == Some(Status::Running) { now.since(self.shown.since()).max(1) } else { 0 }
    }

    /// The tenure last run or followed.
    pub fn epoch(&self) -> Epoch {
        self.lineage.epoch()
    }

    /// Starts a tenure: at once when its counter is reserved on disk, else when it is stored.
    fn take(&mut self, tenure: Tenure, reason: impl Into<String>, fork_at: Seq, offer: Option<Offered>) {
        let seen = if mutant::on(Mutant::EpochAboveOwnOnly) { self.epoch().counter } else { self.max_counter };
        let again = mutant::on(Mutant::EpochNotRaised) && self.epoch().node == self.settings.node;
        let other = mutant::on(Mutant::EpochOfTheOther) && self.epoch() != Epoch::NONE;
        let node = if other { self.epoch().node } else { self.settings.node };
        let epoch = Epoch { counter: if again { seen } else { seen + 1 }, node };
        self.max_counter = epoch.counter;
        let fork = Fork { epoch, at: fork_at };
        let forgets = mutant::on(Mutant::ForksForgotten);
        let lineage = if forgets { Lineage::new(vec![fork]) } else { self.lineage.promoted(fork) };
        let runs = if let State::Running(running) = &self.state { Some(running.clone()) } else { None };
        let (ticket, reason) = (self.next_ticket, reason.into());
        let taking = Taking { ticket, lineage, tenure, reason, offer, runs, outranked: false };
        let reserved = epoch.counter <= self.reserved || mutant::on(Mutant::PromotionBeforeStore);
        self.store(taking.lineage.clone());
        if reserved {
            self.run(taking);
        } else {
            self.state = State::Taking(taking);
        }
    }

    /// The epoch is on disk: the tenure begins.
    fn run(&mut self, taking: Taking) {
        self.lineage = taking.lineage;
        self.tenure = taking.tenure;
        // While it was stored a higher one may have been seen.
        self.outranked = taking.outranked || self.max_counter > self.epoch().counter;
        self.following = None;
        self.nobody_runs_since = None;
        self.outranks_since = None;
        self.recovery.ran();
        // Not when it goes on under a higher epoch.
        if taking.tenure == Tenure::Recovery && taking.runs.is_none() {
            self.guard.recovered(self.handled_at);
        }
        self.state = State::Running(Running::default());
        self.effects.push(Effect::Lead(self.lineage.clone()));
        self.shown.because(taking.reason);
        if let Some(offer) = taking.offer {
            self.shown.wanted_by(offer.wish.user);
            self.effects.push(Effect::Send(Control::Taken { switch: offer.switch, epoch: self.lineage.epoch() }));
        }
        self.offer = None;
    }

    /// Gives up or doesn't take Running: from now on this node follows whoever runs.
    fn stand_by(&mut self, reason: impl Into<String>) {
        self.state = if self.fault.is_some() { State::Faulted } else { State::Standby };
        self.following = None;
        self.nobody_runs_since = None;
        self.outranks_since = None;
        self.effects.push(Effect::StandBy);
        self.shown.because(reason);
        self.reserve();
    }

    /// Keeps the next epoch reserved on disk, so that a takeover waits for no fsync.
    fn reserve(&mut self) {
        if matches!(self.state, State::Standby) && self.reserved <= self.max_counter {
            self.store(self.lineage.clone());
        }
    }

    /// Stores the tenures; with them the counter after the greatest one seen is reserved.
    fn store(&mut self, lineage: Lineage) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.stores.push_back((ticket, self.max_counter + 1));
        if mutant::on(Mutant::ReservedBeforeStored) {
            self.reserved = self.max_counter + 1;
        }
        self.effects.push(Effect::Store {
            ticket,
            lineage,
            reserved: self.max_counter + 1,
            last_counter: self.max_counter,
        });
    }

    /// Remembers the greatest epoch counter, wherever it was seen.
    fn saw(&mut self, counter: u64) {
        if counter > self.max_counter && counter <= MAX_COUNTER {
            self.max_counter = counter;
            self.reserve();
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    fn peer_report(&self) -> Option<&Report> {
        // What a peer said that is silent now, or said goodbye, is no longer worth anything.
        if self.linked && self.silent.is_none() && !self.goodbye {
            self.peer.as_ref().map(|peer| &peer.report)
        } else {
            None
        }
    }

    fn recovery_mode(&self) -> RecoveryMode {
        match (self.settings.mode, &self.peer) {
            (Mode::Backup, Some(peer)) => peer.greeting.recovery,
            _ => self.settings.recovery,
        }
    }

    fn status(&self) -> Status {
        match &self.state {
            State::Starting { .. } if self.settings.mode == Mode::Backup => Status::Standby,
            State::Idle
            | State::Starting { .. }
            | State::Running(Running { fenced_until: Some(_), .. })
            | State::Stopped => Status::Unknown,
            State::Taking(_) => self.shown.status.unwrap_or(Status::Unknown),
            State::Standby => Status::Standby,
            State::Running(_) | State::Ceding(_) => Status::Running,
            State::Faulted => Status::Faulted,
        }
    }

    /// Why this node could not take over, besides not being in sync.
    fn faults(&self) -> Vec<String> {
        self.fault.iter().chain(&self.disk).cloned().collect()
    }

    fn held(&self, now: Millis) -> bool {
        self.hold_until > now
    }

    fn hold_remaining_ms(&self, now: Millis) -> u64 {
        self.hold_until.since(now)
    }
}
