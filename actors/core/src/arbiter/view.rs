//! What both nodes show, and the events that tell how it changed.

use super::{Arbiter, Effect, Event, State, Tenure};
use crate::protocol::{Control, Report};
use crate::types::{Epoch, Millis, Mode, Status};

/// What is shown of a pair, from one node's side.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Of this node.
    pub status: Status,
    /// When it became so.
    pub since: Millis,
    /// Why.
    pub reason: String,
    /// The tenure last run or followed.
    pub epoch: Epoch,
    /// How this node's last tenure began.
    pub tenure: Tenure,
    /// None: Independent.
    pub peer: Option<PeerShown>,
    /// The Standby of this pair could take over now.
    pub failover_ready: bool,
    /// Why it could not.
    pub not_ready: Vec<String>,
    /// A switch is under way.
    pub switching: bool,
    /// When a maintenance hold ends, and why it is there; none: no hold.
    pub hold: Option<(Millis, String)>,
    /// Why automatic recovery acts as Manual.
    pub recovery_suspended: Option<String>,
    /// Both nodes were Running, and this one stays: when that was found out, and for how long they were, in milliseconds.
    pub dual_running: Option<(Millis, u64)>,
    /// What this node cannot do.
    pub faults: Vec<String>,
    /// What the connected peer cannot do, as it says.
    pub peer_faults: Vec<String>,
}

/// What is shown of the peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerShown {
    /// As the contract's table says.
    pub status: Status,
    /// The control connection is up.
    pub connected: bool,
}

/// What was shown last, and the words for what comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub status: Option<Status>,
    peer: Option<Status>,
    since: Millis,
    reason: String,
    peer_reason: String,
    ceded: Tenure,
    user: String,
    epoch: Epoch,
}

impl Shown {
    /// Why the status is what it will be shown as.
    pub(super) fn because(&mut self, reason: impl Into<String>) {
        self.reason = reason.into();
    }

    /// The node starts.
    pub(super) fn begin(&mut self, now: Millis) {
        self.since = now;
        self.reason = "the node starts".into();
    }

    /// When the status became what it is shown as.
    pub(super) fn since(&self) -> Millis {
        self.since
    }

    /// Running was given away, to a tenure that begins so.
    pub(super) fn ceded(&mut self, to: Tenure, user: String) {
        self.ceded = to;
        self.user = user;
    }

    /// Who wanted what comes.
    pub(super) fn wanted_by(&mut self, user: String) {
        self.user = user;
    }

    pub(super) fn peer_because(&mut self, reason: String) {
        self.peer_reason = reason;
    }
}

impl Arbiter {
    /// What is to be shown now.
    pub fn view(&self, now: Millis) -> View {
        let not_ready = self.not_ready(now);
        View {
            status: self.status(),
            since: self.shown.since,
            reason: self.shown.reason.clone(),
            epoch: self.epoch(),
            tenure: self.tenure,
            peer: (self.settings.mode != Mode::Independent)
                .then(|| PeerShown { status: self.peer_status(now), connected: self.linked }),
            failover_ready: not_ready.is_empty(),
            not_ready,
            switching: matches!(self.state, State::Ceding(_)) || self.offer.is_some(),
            hold: self.held(now).then(|| (self.hold_until, self.hold.reason.clone())),
            recovery_suspended: self.recovery.suspended.clone(),
            dual_running: self.dual_running,
            faults: self.faults(),
            peer_faults: self.peer_report().map(|peer| peer.faults.clone()).unwrap_or_default(),
        }
    }

    /// The peer's status as the contract's table says.
    fn peer_status(&self, now: Millis) -> Status {
        if self.goodbye {
            return Status::Disconnected;
        }
        let Some(peer) = &self.peer else {
            let wait = match self.settings.mode {
                Mode::Master => self.settings.connection_wait_time_ms,
                _ => self.settings.connection_wait_time_ms.max(self.settings.failover_time_ms),
            };
            return match self.settings.mode {
                _ if now < self.started.plus(wait) => Status::Unknown,
                Mode::Master => Status::Disconnected,
                _ => Status::Faulted,
            };
        };
        if self.linked && self.silent.is_none() { peer.report.status } else { Status::Faulted }
    }

    /// Why the peer's status became this.
    fn peer_reason(&mut self, status: Status) -> String {
        let given = std::mem::take(&mut self.shown.peer_reason);
        let reason = match status {
            _ if !given.is_empty() => return given,
            Status::Disconnected => "it has not connected",
            Status::Faulted if self.peer.is_none() => "it could not be reached",
            Status::Faulted if self.peer_report().is_some() => "it reports a fault",
            Status::Faulted if self.dead => "its process is dead",
            Status::Faulted if self.silent.is_some() => "it does not answer",
            Status::Faulted => "the connection was lost",
            _ => "it reports so",
        };
        reason.to_owned()
    }

    /// Why the Standby of this pair could not take over now. The same on both nodes.
    fn not_ready(&self, now: Millis) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.settings.mode == Mode::Independent {
            return vec!["no redundancy configured".into()];
        }
        if self.held(now) {
            reasons.push(format!("maintenance hold: {}", self.hold.reason));
        }
        match self.peer_report() {
            None => reasons.push("the other node is not connected".into()),
            Some(peer) => reasons.extend(self.pair_not_ready(peer)),
        }
        reasons
    }

    fn pair_not_ready(&self, peer: &Report) -> Option<String> {
        match (self.status(), peer.status) {
            (Status::Running, Status::Standby) | (Status::Standby, Status::Running) => self.standby_refusal(peer),
            (Status::Running, Status::Running) => Some("both nodes are Running".into()),
            (Status::Running, other) | (other, Status::Running) => Some(format!("the Standby node is {other}")),
            _ => Some("no node is Running".into()),
        }
    }

    /// Says what changed since the last input.
    pub(super) fn show(&mut self, now: Millis) {
        let status = self.status();
        let from = self.shown.status.replace(status).unwrap_or(Status::Unknown);
        let again = status == Status::Running && self.shown.epoch != self.epoch();
        self.shown.epoch = self.epoch();
        if from != status || again {
            self.shown.since = now;
            let ceded = std::mem::take(&mut self.shown.ceded);
            let tenure = if status == Status::Running { self.tenure } else { ceded };
            let (reason, epoch) = (self.shown.reason.clone(), self.epoch());
            let user = std::mem::take(&mut self.shown.user);
            self.effects.push(Effect::Event(Event { peer: false, from, to: status, tenure, reason, user, epoch }));
        }
        if self.settings.mode == Mode::Independent || matches!(self.state, State::Stopped) {
            return;
        }
        let peer = self.peer_status(now);
        let from = self.shown.peer.replace(peer).unwrap_or(Status::Unknown);
        if from != peer {
            let reason = self.peer_reason(peer);
            let epoch = self.epoch();
            let (tenure, user) = (Tenure::None, String::new());
            self.effects.push(Effect::Event(Event { peer: true, from, to: peer, tenure, reason, user, epoch }));
        }
    }

    /// Tells the peer when something changed that it must know. Change numbers alone are no reason.
    pub(super) fn report_changes(&mut self, now: Millis) {
        if !self.linked || matches!(self.state, State::Stopped) {
            // A goodbye says it all.
            self.last_report = None;
            return;
        }
        let report = self.report(now);
        let same = self.last_report.as_ref().is_some_and(|last| {
            last.status == report.status
                && last.lineage == report.lineage
                && last.tenure == report.tenure
                && last.sync == report.sync
                && last.in_sync == report.in_sync
                && last.faults == report.faults
                && last.hold.version == report.hold.version
                && last.switching == report.switching
        });
        if !same {
            self.last_report = Some(report.clone());
            // Before an offer or its answer: what these mean depends on it.
            let report = Effect::Send(Control::Report(Box::new(report)));
            let at = self.effects.iter().position(|e| matches!(e, Effect::Send(_))).unwrap_or(self.effects.len());
            self.effects.insert(at, report);
        }
    }
}
