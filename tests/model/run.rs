//! What follows at one node when something happens there.

use std::collections::VecDeque;

use hotpair_core::arbiter::{Arbiter, ArbiterSettings, Effect, Input, Restored, SwitchOrder};
use hotpair_core::authority::Availability;
use hotpair_core::invariants::{self, Beginning};
use hotpair_core::lineage::Lineage;
use hotpair_core::protocol::{Control, Report, Tenure};
use hotpair_core::types::{Millis, Mode, NodeId, RecoveryMode, Status};

use crate::data::{Data, Role, Stage};
use crate::node::{Act, Happens, Node, Outcome, Process, Shown, Stored, Write};
use crate::plan::{Broken, FAILOVER_MS, MISSED_PINGS_MS, Plan, SWITCH_TIMEOUT_MS, WAIT_MS};

/// For how long a node has been Running is only shown, and ten minutes after a recovery are longer than any run: without
/// these times more messages are equal.
pub fn tell_no_time(report: &mut Report) {
    report.running_ms = 0;
    report.recoveries_ms.fill(600_000);
}

pub struct Run<'a> {
    plan: &'a Plan,
    node: Node,
    acts: Vec<Act>,
    violation: Option<String>,
}

impl<'a> Run<'a> {
    pub fn new(plan: &'a Plan, node: Node) -> Self {
        Self { plan, node, acts: Vec::new(), violation: None }
    }

    /// Lets it happen, and looks at what has become of the node.
    pub fn happen(mut self, happens: &Happens, message: Option<&Control>, other: Option<&Data>) -> Outcome {
        match happens {
            Happens::Boot => self.boot(),
            Happens::Dies { written } => self.die(*written),
            _ => self.at_process(happens, message, other),
        }
        self.check();
        if let Some(p) = &mut self.node.process {
            p.shown = Shown::of(&p.arbiter, p.now);
        }
        Outcome { node: self.node, acts: self.acts, violation: self.violation }
    }

    fn violated(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert(what.into());
    }

    fn at_process(&mut self, happens: &Happens, message: Option<&Control>, other: Option<&Data>) {
        let Some(p) = &mut self.node.process else { return };
        match happens {
            Happens::Boot | Happens::Dies { .. } => {}
            Happens::LinkUp(_) => {
                let Some(Control::Greeting(greeting)) = message else { return };
                let greeting = greeting.clone();
                (p.linked, p.met, p.suspects, p.proved) = (true, true, false, false);
                p.ran_under = None;
                p.listen(&greeting.report);
                p.data.link(true);
                self.hear(Input::LinkUp(greeting));
            }
            Happens::LinkDown => {
                (p.linked, p.heard) = (false, None);
                p.data.link(false);
                self.hear(Input::LinkDown);
            }
            Happens::Hears(_) => {
                let Some(message) = message else { return };
                if let Control::Report(report) = message {
                    p.listen(report);
                }
                if matches!(message, Control::Goodbye { .. }) {
                    p.heard = None;
                }
                if std::mem::take(&mut p.suspects) {
                    self.hear(Input::Available);
                }
                if self.plan.broken == Some(Broken::DeafToAborts) && matches!(message, Control::Abort { .. }) {
                    return self.acts.push(Act::Send(abort_confirmed(message)));
                }
                self.hear(Input::Message(message.clone()));
            }
            Happens::Deadline => {
                if let Some(due) = p.arbiter.next_deadline(p.now) {
                    p.now = p.now.max(due);
                    // Its own work does not end in time.
                    p.ready_at_stop = false;
                    self.hear(Input::Tick);
                }
            }
            Happens::Waits(ms) => {
                let due = p.arbiter.next_deadline(p.now);
                p.now = p.now.plus(*ms);
                if due.is_some_and(|due| due <= p.now) {
                    self.hear(Input::Tick);
                }
            }
            Happens::Suspects => {
                let last_sign = p.now;
                p.suspects = true;
                p.now = p.now.plus(MISSED_PINGS_MS);
                self.hear(Input::Unavailable { last_sign });
                let leads = self.acts.iter().any(|act| matches!(act, Act::Leads { .. }));
                let process = self.node.process.as_ref().filter(|_| leads);
                if process.is_some_and(|p| p.arbiter.view(p.now).reason.contains("silent")) {
                    self.violated("a silent peer is taken over before the failover time");
                }
            }
            Happens::Trusts => {
                p.suspects = false;
                self.hear(Input::Available);
            }
            Happens::ProvesDeath => {
                p.proved = true;
                self.hear(Input::ProvenDead);
            }
            Happens::StandsStill => {
                p.now = p.now.plus(2 * FAILOVER_MS);
                p.stood_still = Some(2 * FAILOVER_MS);
            }
            Happens::NoticesStandstill => {
                if let Some(for_ms) = p.stood_still.take() {
                    p.answer_wanted = true;
                    self.hear(Input::Stalled { for_ms });
                    if self.node.process.as_ref().is_some_and(Process::takes_changes) {
                        self.violated("TAKE-4: it stood still and takes changes before it knows who runs");
                    }
                }
            }
            Happens::AnsweredAfterStandstill => {
                p.answer_wanted = false;
                self.hear(Input::AnsweredAfterStall);
            }
            Happens::DiskWrites => self.disk_writes(),
            Happens::DiskFails => self.disk_fails(),
            Happens::Quiesced => {
                p.data.quiesced_unsaid -= 1;
                let last = p.data.last;
                self.hear(Input::Quiesced { last });
            }
            Happens::Feeds => {
                p.data.feed();
                self.tell_facts();
            }
            Happens::Joins(_) => {
                let Some(leader) = other else { return };
                if let Some(lineage) = p.data.join(leader) {
                    self.node.joined_lower |= lineage.epoch().counter <= self.node.greatest_led;
                    p.writes.push_back(Write::Adopt { lineage: lineage.clone(), durable: p.data.durable() });
                    self.hear(Input::Adopted(lineage));
                }
                self.tell_facts();
            }
            Happens::Synced(_) | Happens::CatchesUp(_) => {
                let Some(leader) = other else { return };
                p.data.finish(leader);
                self.tell_facts();
            }
            Happens::FollowerSynced => {
                p.data.feed = crate::data::Feed::Live;
                self.tell_facts();
            }
            Happens::LaneBroke => {
                p.data.lane_broke();
                self.tell_facts();
            }
            Happens::Changes => p.data.last += 1,
            Happens::PressSwitch => {
                let request = p.next_order;
                p.next_order += 1;
                p.orders.push(request);
                let (reason, user) = (String::new(), "ann".into());
                self.hear(Input::Switch(SwitchOrder { request, expected_epoch: 0, to: NodeId(0), reason, user }));
            }
            Happens::Hold => self.hear(hold(10_000)),
            Happens::Fault => {
                p.fault = true;
                self.hear(Input::Fault(Some("a part of it cannot work".into())));
            }
            Happens::FaultCleared => {
                p.fault = false;
                self.hear(Input::Fault(None));
            }
            Happens::Stop => {
                p.stopping = true;
                let view = p.arbiter.view(p.now);
                p.ready_at_stop = view.status == Status::Running && view.failover_ready && p.takes_changes();
                self.hear(Input::Shutdown { reason: "update".into() });
            }
        }
    }

    fn boot(&mut self) {
        let (plan, node) = (self.plan, &mut self.node);
        node.boots += 1;
        let settings = ArbiterSettings {
            node: node.id(),
            mode: node.mode(),
            recovery: plan.recovery,
            failover_time_ms: FAILOVER_MS,
            connection_wait_time_ms: WAIT_MS,
            switch_timeout_ms: SWITCH_TIMEOUT_MS,
        };
        let patience = if plan.broken == Some(Broken::NoPatience) { 0 } else { FAILOVER_MS };
        let authority = Availability { failover_time_ms: patience, fast_failover: plan.fast_failover };
        let Stored { lineage, reserved, last_counter, durable } = node.stored.clone();
        let restored = Restored { lineage: lineage.clone(), reserved, last_counter };
        let (arbiter, now) = (Arbiter::new(settings, Box::new(authority), restored), Millis(1_000_000));
        node.process = Some(Process {
            shown: Shown::of(&arbiter, now),
            arbiter,
            now,
            data: Data::restored(lineage, durable),
            writes: VecDeque::new(),
            unwritten: VecDeque::new(),
            leads: false,
            stood_still: None,
            answer_wanted: false,
            suspects: false,
            linked: false,
            met: false,
            proved: false,
            heard: None,
            ran_under: None,
            seen: last_counter,
            decided: None,
            ready_at_stop: false,
            orders: Vec::new(),
            next_order: 1 << 32,
            fault: false,
            stopping: false,
        });
        self.tell_facts();
        self.hear(Input::Start);
    }

    fn die(&mut self, written: usize) {
        for _ in 0..written {
            let write = self.node.process.as_mut().and_then(|p| p.writes.pop_front());
            if let Some(write) = write {
                self.write(write);
            }
        }
        if let Some(p) = self.node.process.take() {
            // A retained tag is on disk before anybody hears of it.
            self.node.stored.durable = p.data.durable();
        }
    }

    fn write(&mut self, write: Write) {
        if self.plan.broken == Some(Broken::LyingDisk) {
            return;
        }
        let stored = &mut self.node.stored;
        match write {
            Write::Tenure { lineage, reserved, last_counter, .. } => {
                stored.lineage = lineage;
                stored.reserved = stored.reserved.max(reserved);
                stored.last_counter = stored.last_counter.max(last_counter);
            }
            Write::Adopt { lineage, durable } => {
                stored.lineage = lineage;
                stored.durable = durable;
            }
        }
    }

    /// The oldest operation is written, after those that failed before.
    fn disk_writes(&mut self) {
        let Some(p) = &mut self.node.process else { return };
        let owed = std::mem::take(&mut p.unwritten);
        let write = p.writes.pop_front();
        let had_trouble = !owed.is_empty();
        for owed in owed {
            self.write(owed);
        }
        if let Some(write) = write {
            self.write(write.clone());
            if let Write::Tenure { ticket, .. } = write {
                self.hear(Input::Stored { ticket });
            }
        }
        if had_trouble {
            self.hear(Input::Disk(None));
        }
    }

    fn disk_fails(&mut self) {
        let Some(p) = &mut self.node.process else { return };
        let Some(write) = p.writes.pop_front() else { return };
        p.unwritten.push_back(write.clone());
        if let Write::Tenure { ticket, .. } = write {
            self.hear(Input::StoreFailed { ticket, reason: "disk full".into() });
        }
        self.hear(Input::Disk(Some("disk full".into())));
    }

    fn tell_facts(&mut self) {
        let facts = self.node.process.as_ref().map(|p| p.data.facts());
        if let Some(facts) = facts {
            self.hear(Input::Tags(facts));
        }
    }

    fn hear(&mut self, input: Input) {
        let Some(p) = &mut self.node.process else { return };
        p.arbiter.hear_tags(p.data.facts());
        for effect in p.arbiter.handle(input, p.now) {
            if !self.carry_out(effect) {
                return;
            }
        }
    }

    /// False: the process has ended.
    fn carry_out(&mut self, effect: Effect) -> bool {
        let Some(p) = &mut self.node.process else { return false };
        match effect {
            Effect::Store { ticket, lineage, reserved, last_counter } => {
                if p.decided.is_none_or(|(epoch, _)| epoch != lineage.epoch()) {
                    p.decided = Some((lineage.epoch(), p.seen));
                }
                p.writes.push_back(Write::Tenure { ticket, lineage, reserved, last_counter });
            }
            Effect::Lead(lineage) => self.lead(lineage),
            Effect::Quiesce => {
                p.leads = false;
                p.data.quiesce();
            }
            Effect::Resume => {
                p.leads = true;
                p.data.resume();
            }
            Effect::StandBy => {
                p.leads = false;
                p.data.stand_by();
            }
            Effect::Follow(leader) => p.data.follow(leader),
            Effect::RefuseWaiting | Effect::AwaitApplied(_) | Effect::Event(_) => {}
            Effect::Send(mut message) => {
                if let Control::Report(report) = &mut message {
                    tell_no_time(report);
                }
                p.ready_at_stop &= !matches!(message, Control::Offer { .. });
                if let Control::SwitchRequest(request) = &message
                    && request.tenure == Tenure::Recovery
                    && p.data.stage != Stage::InSync
                {
                    self.violated("automatic recovery before the sync");
                }
                self.acts.push(Act::Send(message));
            }
            Effect::DropLink => self.acts.push(Act::DropLink),
            Effect::Answer { request, .. } => match p.orders.iter().position(|&order| order == request) {
                Some(at) => {
                    p.orders.swap_remove(at);
                }
                None => self.violated("an order to switch was answered twice"),
            },
            Effect::Exit => {
                if p.ready_at_stop {
                    self.violated("TAKE-5: it stops without a switch, though its peer is ready");
                }
                let Some(p) = &mut self.node.process else { return false };
                let written = p.writes.len();
                self.die(written);
                return false;
            }
        }
        true
    }

    fn lead(&mut self, lineage: Lineage) {
        let Stored { reserved, lineage: on_disk, .. } = &self.node.stored;
        let beginning = Beginning {
            node: self.node.id(),
            epoch: lineage.epoch(),
            greatest_led: self.node.greatest_led,
            on_disk: (*reserved).max(on_disk.epoch().counter),
        };
        let decided = self.node.process.as_ref().and_then(|p| p.decided);
        let seen = decided.filter(|(epoch, _)| *epoch == beginning.epoch).map_or(0, |(_, seen)| seen);
        let above = invariants::above_all_seen(beginning.node, beginning.epoch, seen);
        if let Err(violation) = invariants::tenure_begins(&beginning).and(above) {
            self.violated(violation.to_string());
        }
        self.node.greatest_led = lineage.epoch().counter;
        let mode = self.node.mode();
        let Some(p) = &mut self.node.process else { return };
        p.leads = true;
        let view = p.arbiter.view(p.now);
        let tenure = view.tenure;
        if view.hold.is_some() && BY_ITSELF.iter().any(|reason| view.reason.starts_with(reason)) {
            let what = format!("TAKE-3: under a hold it runs, for {}", view.reason);
            self.violation.get_or_insert(what);
        }
        let (after, epoch, held) = (p.data.lineage.epoch(), lineage.epoch(), p.data.applied());
        if let (Tenure::DualRunning, Some(theirs)) = (tenure, p.ran_under) {
            let stays = match (self.plan.recovery, mode) {
                (RecoveryMode::Automatic, mode) => mode == Mode::Master,
                (RecoveryMode::Manual, Mode::Backup) => after.counter >= theirs,
                (RecoveryMode::Manual, _) => after.counter > theirs,
            };
            if !stays {
                self.violation.get_or_insert(format!("of two Running nodes {mode} stays: {after}, theirs {theirs}"));
            }
        }
        self.acts.push(Act::Leads { tenure, after, epoch, held });
        p.data.lead(lineage);
    }

    /// What must hold at this node after everything.
    fn check(&mut self) {
        let Some(p) = &mut self.node.process else { return };
        let still = p.linked && !p.suspects && p.heard == Some((Status::Standby, false)) && !p.data.facts().lagging;
        p.ready_at_stop &= still;
        let two = p.takes_changes() && p.linked && !p.suspects && p.heard == Some((Status::Running, false));
        if two {
            self.violated("LEAD-1: it takes changes although it sees that the other one runs");
        }
        let Some(p) = &self.node.process else { return };
        if p.takes_changes() && p.data.role != Role::Leading {
            self.violated("it takes changes that get no number");
        }
    }
}

impl Process {
    fn listen(&mut self, report: &Report) {
        self.heard = Some((report.status, report.switching != 0));
        self.seen = self.seen.max(report.lineage.epoch().counter);
        if report.status == Status::Running && report.switching == 0 {
            self.ran_under = Some(report.lineage.epoch().counter);
        }
    }
}

/// Why a node runs that nobody asked to.
const BY_ITSELF: [&str; 5] = [
    "the peer was silent",
    "the peer's process is dead",
    "the peer was restarted",
    "no node was Running",
    "automatic recovery",
];

fn hold(ms: u64) -> Input {
    Input::Hold { ms, reason: "new firmware".into(), user: "ann".into() }
}

fn abort_confirmed(message: &Control) -> Control {
    let switch = if let Control::Abort { switch } = message { *switch } else { 0 };
    Control::AbortConfirmed { switch, reason: String::new() }
}
