//! The alarms of a simulated node, wired as their shells do it.

use std::sync::Arc;

use hotpair_core::alarm_replication::{AlarmEffect, AlarmInput, decode};
use hotpair_core::alarms::{
    AckMode, AlarmCondition, AlarmDef, AlarmList, AlarmPriority, AlarmRequest, LimitLevel, PairFacts, Watched,
    conditions,
};
use hotpair_core::arbiter::Input;
use hotpair_core::catalog::Catalog;
use hotpair_core::license::compare;
use hotpair_core::protocol::{AlarmOutcome, Control, WriteRefusal};
use hotpair_core::replicator::Now;
use hotpair_core::value::Value;
use hotpair_core::wire::HEADER_BYTES;

use crate::journal::{JournalAnswer, JournalOp};
use crate::node::Mail;
use crate::plan::{KEYS, SOURCES};
use crate::trace::brief;
use crate::world::{Event, World};

/// What clients write goes beyond it and comes back.
pub const LIMIT: i64 = 500_000;
/// How often the pair is looked at for alarms about itself.
const LOOK_EVERY_US: u64 = 200_000;
/// A node that must not act is looked at again after this time.
const FENCED_US: u64 = 20_000;
/// More operations never wait for the journal: a batch and a read for each purpose, and what an ended sync asked for.
const MAX_JOURNAL_OPS: usize = 64;

/// The alarms of a node with these tags.
pub fn list(catalog: &Catalog, all: bool) -> Arc<AlarmList> {
    let limit = |level, limit, deadband| AlarmCondition::Limit { level, limit, inclusive: false, deadband };
    let high = || limit(LimitLevel::H, LIMIT as f64, 0.0);
    let rate = AlarmCondition::RateOfChange {
        limit: 10.0,
        inclusive: true,
        deadband: 1.0,
        period_ms: 200,
        range: 3_000_000.0,
    };
    let all_of_them = [
        (KEYS[0], "H", high(), 0, 0, AckMode::Manual),
        (KEYS[1], "H", high(), 300, 200, AckMode::Manual),
        (KEYS[2], "H", high(), 0, 100, AckMode::Automatic),
        (KEYS[3], "H", high(), 50, 0, AckMode::ManualWithComment),
        (SOURCES[0], "H", limit(LimitLevel::H, 1_500_000.0, 100_000.0), 100, 100, AckMode::Manual),
        (SOURCES[0], "L", limit(LimitLevel::L, 500_000.0, 100_000.0), 0, 0, AckMode::Automatic),
        (SOURCES[1], "RateOfChange", rate, 0, 0, AckMode::Manual),
        (SOURCES[2], "Mode", AlarmCondition::Equivalent(Value::String("mode 3".into())), 0, 0, AckMode::Manual),
        (SOURCES[3], "On", AlarmCondition::FalseToTrue, 0, 0, AckMode::Manual),
        (SOURCES[3], "Off", AlarmCondition::TrueToFalse, 200, 0, AckMode::Automatic),
    ];
    let few = if all { all_of_them.len() } else { 1 };
    let defs = all_of_them.into_iter().take(few).filter_map(|(path, name, condition, active, resume, ack_mode)| {
        Some(AlarmDef {
            path: path.into(),
            name: name.into(),
            watched: Watched::Tag(catalog.find(path)?),
            condition,
            active_delay_ms: active,
            resume_delay_ms: resume,
            priority: AlarmPriority::Medium,
            ack_mode,
            description: "".into(),
        })
    });
    Arc::new(AlarmList::new(defs.collect()).unwrap())
}

impl World {
    pub fn close_gate(&mut self, node: usize) {
        if let Some(process) = &mut self.nodes[node].process {
            process.closed += 1;
        }
    }

    pub fn tell_facts(&mut self, node: usize) {
        if let Some(facts) = self.nodes[node].process.as_ref().map(crate::node::Process::facts) {
            self.mail(node, Mail::Arbiter(Input::Tags(facts)));
        }
    }

    pub fn gate_is_open(&self, node: usize) -> bool {
        let now = self.nodes[node].mono(self.now);
        self.nodes[node].process.as_ref().is_some_and(|process| process.gate_is_open(now, self.plan.failover_time_ms))
    }

    /// Whether whoever was told to lead with this permit may act; without one: whether the gate is open.
    pub fn gate_allows(&self, node: usize, permit: Option<u64>) -> bool {
        let Some(permit) = permit else { return self.gate_is_open(node) };
        let closed = self.nodes[node].process.as_ref().map_or(0, |process| process.closed);
        permit == closed && !self.stood_still(node)
    }

    pub fn stood_still(&self, node: usize) -> bool {
        let now = self.nodes[node].mono(self.now);
        self.nodes[node].process.as_ref().is_some_and(|process| !process.is_fresh(now, self.plan.failover_time_ms))
    }

    /// A node that leads and was told to stop, or stood still, waits for the word of its arbiter.
    fn may_act(&self, node: usize) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| !process.alarms.leads()) || self.gate_is_open(node)
    }

    /// One that was told to lead no more, or not for the moment, keeps a request until the arbiter's word is here.
    fn may_ask(&mut self, node: usize) -> bool {
        if self.may_act(node) {
            return true;
        }
        let fresh = !self.stood_still(node);
        if fresh {
            self.alarms(node, AlarmInput::Pause);
        }
        fresh
    }

    pub fn alarms(&mut self, node: usize, input: AlarmInput<'_>) {
        self.alarms_with(node, input, None);
    }

    /// `permit`: with the arbiter's word to lead; the gate opens after this.
    pub fn alarms_with(&mut self, node: usize, input: AlarmInput<'_>, permit: Option<u64>) {
        self.changed = true;
        let is_tick = matches!(input, AlarmInput::Tick);
        if !is_tick {
            self.note(|| format!("{} alarms <- {}", self.nodes[node].name, describe(&input)));
        }
        let now = Now { mono: self.nodes[node].mono(self.now), wall: self.nodes[node].wall(self.now) };
        let before = self.before_alarms(node, &input);
        let open = self.gate_allows(node, permit);
        let Some(process) = &mut self.nodes[node].process else { return };
        process.alarms.set_fenced(if permit.is_some() { !open } else { process.alarms.leads() && !open });
        let effects = process.alarms.handle(&mut process.alarm_table, &process.table, input, now);
        process.ticks_in_vain[2] = if is_tick && effects.is_empty() { process.ticks_in_vain[2] + 1 } else { 0 };
        let (link, lane) = (process.tags_link, process.tags_lane);
        self.after_alarms(node, before, &effects);
        for effect in effects {
            match effect {
                AlarmEffect::ToLane(frame) => {
                    self.note(|| format!("{} alarms -> lane {}", self.nodes[node].name, describe_frame(&frame)));
                    self.send_lane(node, lane, frame);
                }
                AlarmEffect::CloseLane => {
                    self.note(|| format!("{} alarms close the lane", self.nodes[node].name));
                    self.mail(node, Mail::CloseLane);
                }
                AlarmEffect::ToPeer(message) => self.send_control(node, link, &message),
                AlarmEffect::Answer { ticket, outcome } => self.request_answered(node, ticket, &outcome),
                AlarmEffect::Store(batch) => self.ask_journal(node, JournalOp::Append(batch)),
                AlarmEffect::Read { purpose, origin, from, max } => {
                    self.ask_journal(node, JournalOp::Read { purpose, origin, from, max });
                }
                AlarmEffect::ToArbiter(input) => self.mail(node, Mail::Arbiter(input)),
                AlarmEffect::Facts => self.tell_facts(node),
            }
        }
        self.set_timer(node, 2);
    }

    pub fn alarms_tick(&mut self, node: usize) {
        if self.may_act(node) {
            return self.alarms(node, AlarmInput::Tick);
        }
        let at = self.now + FENCED_US;
        let Some(process) = &mut self.nodes[node].process else { return };
        process.timer_at[2] = Some(at);
        let boot = process.boot;
        self.at(at, Event::Timer(node, boot, 2, at));
    }

    /// What arrives in the mailbox of the alarms.
    pub fn read_alarms(&mut self, node: usize, input: AlarmInput<'static>) {
        if let AlarmInput::Forward(forward) = &input
            && !self.may_ask(node)
        {
            let outcome = AlarmOutcome::Refused(unknown_who_runs());
            let answer = Control::AlarmForwarded { id: forward.id, outcome };
            let link = self.nodes[node].process.as_ref().and_then(|process| process.tags_link);
            return self.send_control(node, link, &answer);
        }
        self.alarms(node, input);
    }

    pub fn operate(&mut self, node: usize, ticket: u64, request: AlarmRequest) {
        if !self.may_ask(node) {
            return self.request_answered(node, ticket, &AlarmOutcome::Refused(unknown_who_runs()));
        }
        self.alarms(node, AlarmInput::Request { ticket, request });
    }

    pub fn look_at_pair(&mut self, node: usize, boot: u64) {
        self.after(LOOK_EVERY_US, Event::LookAtPair(node, boot));
        let Some(process) = &self.nodes[node].process else { return };
        if process.alarms.leads() && self.may_act(node) {
            let view = process.arbiter.view(self.nodes[node].mono(self.now));
            let authorization = compare(&self.nodes[node].license(), process.peer_license.as_ref()).0;
            let facts = PairFacts {
                peer: view.peer.as_ref().map(|peer| peer.status),
                connected: view.peer.as_ref().is_some_and(|peer| peer.connected),
                authorization: process.link.is_some().then(|| (authorization, String::new())),
                faults: view.peer_faults,
                disk: process.disk_trouble.then(|| "the disk is full".to_owned()),
                recovery_suspended: view.recovery_suspended,
                ..PairFacts::default()
            };
            self.alarms(node, AlarmInput::System(&conditions(&facts)));
        }
    }

    fn ask_journal(&mut self, node: usize, op: JournalOp) {
        if let JournalOp::Append(batch) = &op {
            self.note(|| format!("{} journal <- {}", self.nodes[node].name, brief(&format!("{batch:?}"))));
        }
        let journal = &mut self.nodes[node].journal;
        journal.queue.push_back(op);
        let waiting = journal.queue.len();
        self.check(hotpair_core::invariants::bounded("the journal", waiting, MAX_JOURNAL_OPS));
        self.journal_goes_on(node);
    }

    fn journal_goes_on(&mut self, node: usize) {
        let journal = &mut self.nodes[node].journal;
        if journal.busy || journal.queue.is_empty() {
            return;
        }
        journal.busy = true;
        let slow = if self.chance.percent(2) { 10 } else { 1 };
        let more = self.nodes[node].disk.slow.map_or(0, |(more, _)| more);
        let wait = self.chance.range(0, self.plan.disk_us * slow) + more;
        let boot = self.nodes[node].boots;
        self.after(wait, Event::Journal(node, boot));
    }

    pub fn journal_done(&mut self, node: usize) {
        let journal = &mut self.nodes[node].journal;
        let full = self.nodes[node].disk.full || journal.fails;
        journal.busy = false;
        let answer = journal.complete(full);
        if answer.is_some() {
            journal.trouble = full;
            self.watch_disk(node);
        }
        match answer {
            Some(JournalAnswer::Stored(result)) => {
                self.stored_in_journal(node, &result);
                self.mail(node, Mail::Alarms(AlarmInput::Stored(result)));
            }
            Some(JournalAnswer::Read(purpose, origin, entries)) => {
                self.mail(node, Mail::Alarms(AlarmInput::Read { purpose, origin, entries }));
            }
            None => {}
        }
        self.journal_goes_on(node);
    }
}

fn unknown_who_runs() -> WriteRefusal {
    WriteRefusal::NotRunning("it is being found out which node runs".into())
}

fn describe(input: &AlarmInput<'_>) -> String {
    match input {
        AlarmInput::Frame(body) => brief(&decode(body).map_or_else(|e| e.to_string(), |frame| format!("{frame:?}"))),
        other => brief(&format!("{other:?}")),
    }
}

fn describe_frame(frame: &[u8]) -> String {
    describe(&AlarmInput::Frame(&frame[HEADER_BYTES..]))
}
