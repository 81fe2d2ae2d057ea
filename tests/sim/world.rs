//! Two nodes, one simulated time. Nothing ticks: time jumps to the next event.

use std::collections::BTreeMap;

use hotpair_core::alarm_replication::AlarmInput;
use hotpair_core::arbiter::Input;
use hotpair_core::failure_detector::Noticed;
use hotpair_core::invariants::{self, Violation};
use hotpair_core::protocol::{Control, WriteOutcome, WriteRefusal};
use hotpair_core::replicator::{Now, TagEffect, TagInput, WriteOrder};
use hotpair_core::route::{Routed, alarms_hear, quiesced, route};

use crate::alarm_oracle::AlarmOracle;
use crate::calm::Calm;
use crate::case::{Case, Loads};
use crate::disk::Op;
use crate::fault::KINDS;
use crate::history::History;
use crate::link::LinkMail;
use crate::load::Load;
use crate::net::{Net, Packet};
use crate::node::{Mail, Node, PING_RATE_MS};
use crate::oracle::Oracle;
use crate::pair_oracle::PairOracle;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::schedule::Schedule;
use crate::sometimes::Seen;
use crate::switch_oracle::SwitchOracle;
use crate::trace::{brief, describe, describe_frame};

/// No run needs more: something goes in circles.
const MAX_EVENTS: usize = 1_000_000;
const LOOK_AT_DISK_US: u64 = 100_000;

/// Something that will happen. `(node, boot)`: only if that process is still there.
pub enum Event {
    /// The next message of a mailbox is read.
    Mail(usize, u64, usize),
    Timer(usize, u64, usize, u64),
    Ping(usize, u64, u64),
    ActorWorks(usize, u64, usize),
    Disk(usize, u64),
    LookAtDisk(usize, u64),
    Dial(usize, u64, u64),
    GreetingTimeout(usize, u64, u64),
    LaneDial(usize, u64, u64),
    Probe(usize, u64, u64),
    Source(usize, u64),
    Journal(usize, u64),
    LookAtPair(usize, u64),
    Operator,
    RepeatRequest(usize, hotpair_core::alarms::AlarmRequest),
    Packet(u64, usize, Packet),
    Client,
    Repeat(usize, crate::load::Write),
    Fault(usize),
    Boot(usize),
    Continue(usize),
    NetHeals,
    DiskWorks(usize),
    ClearFault(usize),
    Quiet,
    Look,
}

/// What is broken on purpose, so that the simulation must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The disk answers before it has written.
    Disk,
    /// The journal writes nothing.
    Journal,
}

pub struct World {
    /// What clients, operators and sources do.
    pub rng: Rng,
    /// How long everything takes.
    pub chance: Rng,
    pub plan: Plan,
    pub schedule: Schedule,
    pub loads: Loads,
    /// How many faults of each kind happened.
    pub happened: [u64; KINDS.len()],
    /// A machine did something since the two were compared.
    pub changed: bool,
    pub now: u64,
    count: u64,
    pub queue: BTreeMap<(u64, u64), Event>,
    pub nodes: [Node; 2],
    pub net: Net,
    pub load: Load,
    pub oracle: Oracle,
    pub alarm_oracle: AlarmOracle,
    pub pair: PairOracle,
    pub switches: SwitchOracle,
    pub history: History,
    pub calm: Calm,
    pub seen: Seen,
    pub quiet_since: Option<u64>,
    pub failed: Option<Violation>,
    pub events: u64,
}

impl World {
    pub fn new(case: &Case) -> Self {
        let mut rng = Rng::new(case.seed);
        let plan = Plan::draw(&mut rng);
        let mut nodes = [Node::new(0, &plan), Node::new(1, &plan)];
        for node in &mut nodes {
            node.disk.lies = case.broken == Some(Broken::Disk);
            node.journal.lies = case.broken == Some(Broken::Journal);
        }
        Self {
            oracle: Oracle::new(&plan),
            alarm_oracle: AlarmOracle::default(),
            pair: PairOracle::default(),
            switches: SwitchOracle::default(),
            history: History::new(case.seed),
            calm: Calm::default(),
            seen: Seen::default(),
            rng,
            chance: Rng::new(case.seed ^ 0xC4A_9CE),
            plan,
            schedule: case.schedule.clone(),
            loads: case.loads,
            happened: [0; KINDS.len()],
            changed: false,
            now: 0,
            count: 0,
            queue: BTreeMap::new(),
            nodes,
            net: Net::default(),
            load: Load::default(),
            quiet_since: None,
            failed: None,
            events: 0,
        }
    }

    /// Runs to the end, or to the first violation.
    pub fn run(&mut self) -> Result<(), Violation> {
        for index in 0..2 {
            let at = self.rng.pick(&[0, 5_000, 600_000, 2_000_000]);
            self.at(at, Event::Boot(index));
        }
        if self.loads.clients {
            self.at(100_000, Event::Client);
        }
        if self.loads.operators {
            self.at(100_000, Event::Operator);
        }
        for place in 0..self.schedule.faults.len() {
            self.at(self.schedule.faults[place].at, Event::Fault(place));
        }
        self.at(500_000, Event::Look);
        self.at(self.schedule.ends, Event::Quiet);
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            self.events += 1;
            self.check(invariants::bounded("the run's events", self.events as usize, MAX_EVENTS));
            self.dispatch(event);
            self.check_pair();
            if let Some(violation) = self.failed.take() {
                return Err(violation);
            }
            if self.is_over() {
                return Ok(());
            }
        }
        Ok(())
    }

    pub fn at(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.queue.insert((at.max(self.now), self.count), event);
    }

    pub fn after(&mut self, us: u64, event: Event) {
        self.at(self.now + us, event);
    }

    pub fn check(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.failed.get_or_insert(violation);
        }
    }

    /// The node that an event needs, with the process it was meant for.
    fn addressee(event: &Event) -> Option<(usize, Option<u64>)> {
        match event {
            Event::Mail(node, boot, _)
            | Event::Timer(node, boot, ..)
            | Event::Ping(node, boot, _)
            | Event::ActorWorks(node, boot, _)
            | Event::Disk(node, boot)
            | Event::LookAtDisk(node, boot)
            | Event::Dial(node, boot, _)
            | Event::GreetingTimeout(node, boot, _)
            | Event::LaneDial(node, boot, _)
            | Event::Probe(node, boot, _)
            | Event::Source(node, boot)
            | Event::Journal(node, boot)
            | Event::LookAtPair(node, boot) => Some((*node, Some(*boot))),
            Event::Packet(_, to, _) => Some((*to, None)),
            _ => None,
        }
    }

    fn dispatch(&mut self, event: Event) {
        if let Some((node, boot)) = Self::addressee(&event) {
            let process = self.nodes[node].process.as_ref().map(|process| process.boot);
            if boot.is_some() && boot != process {
                return;
            }
            if self.nodes[node].paused && process.is_some() {
                self.nodes[node].stash.push_back(event);
                return;
            }
        }
        match event {
            Event::Mail(node, boot, place) => self.read_mailbox(node, boot, place),
            Event::Timer(node, _, place, at) => self.timer(node, place, at),
            Event::Ping(node, boot, chain) => self.ping(node, boot, chain),
            Event::ActorWorks(node, _, place) => self.actor_works(node, place),
            Event::Disk(node, _) => self.disk_done(node),
            Event::LookAtDisk(node, _) => self.look_at_disk(node),
            Event::Dial(node, _, token) => self.dial(node, token),
            Event::GreetingTimeout(node, _, conn) => self.greeting_failed(node, conn, 0),
            Event::LaneDial(node, _, session) => self.dial_lane(node, session),
            Event::Probe(node, _, token) => self.probe(node, token),
            Event::Source(node, _) => self.source(node),
            Event::Journal(node, _) => self.journal_done(node),
            Event::LookAtPair(node, boot) => self.look_at_pair(node, boot),
            Event::Operator => self.operator(),
            Event::RepeatRequest(node, request) => self.send_request(node, request),
            Event::Packet(conn, to, packet) => self.packet(conn, to, packet),
            Event::Client => self.client(),
            Event::Repeat(node, write) => self.send_write(node, write),
            Event::Fault(place) => self.fault(place),
            Event::Boot(node) => self.boot(node),
            Event::Continue(node) => self.go_on(node),
            Event::NetHeals => self.net_heals(),
            Event::DiskWorks(node) => self.disk_works(node),
            Event::ClearFault(node) => self.mail(node, Mail::Arbiter(Input::Fault(None))),
            Event::Quiet => self.quiet(),
            Event::Look => self.look(),
        }
    }

    pub fn boot(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        self.nodes[node].boot(&self.plan, self.now);
        let boot = self.nodes[node].boots;
        self.note(|| format!("{} starts", self.nodes[node].name));
        self.reset_connections_of_the_dead(node);
        self.mail(node, Mail::Arbiter(Input::Start));
        self.after(0, Event::Ping(node, boot, 0));
        self.seek(node);
        if self.loads.sources {
            self.after(50_000, Event::Source(node, boot));
        }
        self.after(0, Event::LookAtPair(node, boot));
    }

    /// Puts a message into a mailbox of this node: each is read in order.
    pub fn mail(&mut self, node: usize, mail: Mail) {
        let delay = self.chance.range(0, self.plan.mail_us);
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else { return };
        let place = mail.place();
        let until = &mut process.mailbox_until[place];
        *until = (*until).max(now + delay);
        let (at, boot) = (*until, process.boot);
        process.mailboxes[place].push_back(mail);
        self.at(at, Event::Mail(node, boot, place));
    }

    fn read_mailbox(&mut self, node: usize, boot: u64, place: usize) {
        let Some(process) = &mut self.nodes[node].process else { return };
        let dead_until = process.dead_until[place];
        if dead_until > self.now {
            return self.at(dead_until, Event::Mail(node, boot, place));
        }
        let Some(mail) = process.mailboxes[place].pop_front() else { return };
        if let Some(torn) = process.torn_by_next[place].take() {
            return self.is_torn(node, torn);
        }
        self.read_mail(node, mail);
    }

    fn read_mail(&mut self, node: usize, mail: Mail) {
        let Some(process) = &mut self.nodes[node].process else { return };
        match mail {
            Mail::Arbiter(input) => self.arbiter(node, input),
            Mail::ArbiterUp(conn, greeting) => {
                process.arbiter_link = Some(conn);
                self.arbiter(node, Input::LinkUp(greeting));
            }
            Mail::ArbiterDown => {
                process.arbiter_link = None;
                self.arbiter(node, Input::LinkDown);
            }
            Mail::Tags(input) => self.tags(node, input),
            Mail::Lead(input, permit) => {
                self.tags_with(node, input, Some(permit));
            }
            Mail::Write(order) => self.read_write(node, order),
            Mail::Publish(updates) => {
                if self.gate_is_open(node) {
                    self.tags(node, TagInput::Publish(updates));
                }
            }
            Mail::TagsUp(conn) => {
                process.tags_link = Some(conn);
                self.tags(node, TagInput::LinkUp);
            }
            Mail::TagsDown => {
                process.tags_link = None;
                self.close_lane(node, None);
                self.tags(node, TagInput::LinkDown);
            }
            Mail::OpenLane(conn) => self.open_lane(node, conn),
            Mail::LaneEnded(conn) => self.close_lane(node, Some(conn)),
            Mail::CloseLane => self.close_lane(node, None),
            Mail::Alarms(input) => self.read_alarms(node, input),
            Mail::Operate(ticket, request) => self.operate(node, ticket, request),
            Mail::Frame(conn, frame) => {
                if process.tags_lane == Some(conn) {
                    self.frame(node, &frame);
                }
            }
            Mail::Link(mail) => self.read_link_mail(node, mail),
            Mail::Beat(ping) => self.beat(node, &ping),
            Mail::LinkChanged(up) => {
                let now = self.nodes[node].mono(self.now);
                let Some(process) = &mut self.nodes[node].process else { return };
                if up {
                    let noticed = process.detector.link_up(now);
                    self.hears(node);
                    self.noticed(node, noticed);
                } else {
                    process.detector.link_down();
                }
            }
        }
    }

    fn read_write(&mut self, node: usize, order: WriteOrder) {
        if self.stood_still(node) {
            let refusal = WriteRefusal::NotRunning("this node was stopped; it asks its peer who runs".into());
            return self.write_answered(node, order.ticket, &WriteOutcome::Refused(refusal));
        }
        let leads = self.nodes[node].process.as_ref().is_some_and(|process| process.replicator.is_leading());
        if leads && !self.gate_is_open(node) {
            // The arbiter closed the gate, or the heartbeat for it, and its word is still on the way.
            self.tags(node, TagInput::Quiesce);
        }
        self.tags(node, TagInput::Write(order));
    }

    pub fn arbiter(&mut self, node: usize, input: Input) {
        self.changed = true;
        let is_tick = matches!(input, Input::Tick);
        if !is_tick {
            self.note(|| format!("{} arbiter <- {}", self.nodes[node].name, brief(&format!("{input:?}"))));
        }
        self.before_arbiter(node, &input);
        self.switch_hears(node, &input);
        let now = self.nodes[node].mono(self.now);
        let Some(process) = &mut self.nodes[node].process else { return };
        process.arbiter.hear_tags(process.facts());
        let effects = process.arbiter.handle(input, now);
        process.ticks_in_vain[0] = if is_tick && effects.is_empty() { process.ticks_in_vain[0] + 1 } else { 0 };
        let link = process.arbiter_link;
        for effect in effects {
            self.note(|| format!("{} arbiter -> {}", self.nodes[node].name, brief(&format!("{effect:?}"))));
            match route(effect) {
                Routed::Tags(input) => {
                    self.orders(node, &input);
                    if matches!(input, TagInput::Quiesce | TagInput::StandBy) {
                        self.close_gate(node);
                    }
                    let permit = self.nodes[node].process.as_ref().map_or(0, |process| process.closed);
                    let leads = matches!(input, TagInput::Lead(_) | TagInput::Resume);
                    self.mail(node, if leads { Mail::Lead(input, permit) } else { Mail::Tags(input) });
                }
                Routed::Peer(message) => {
                    self.says(node, &message);
                    self.send_control(node, link, &message);
                }
                Routed::DropLink => self.mail(node, Mail::Link(LinkMail::Drop)),
                Routed::Disk { ticket, lineage, reserved, last_counter } => {
                    self.takes(node, &lineage);
                    self.store(node, Op::Tenure { ticket, lineage, reserved, last_counter });
                }
                Routed::Client { request, result } => self.switch_answered(node, request, &result),
                Routed::Events(event) => self.shown(node, &event),
                Routed::Exit => {
                    self.stopped(node);
                    self.strike(false);
                    self.down(node, 100, true);
                    let later = self.chance.pick(&[5_000, 500_000, 3_000_000]);
                    self.after(later, Event::Boot(node));
                    return;
                }
            }
        }
        self.set_timer(node, 0);
    }

    pub fn set_timer(&mut self, node: usize, place: usize) {
        let mono = self.nodes[node].mono(self.now);
        let Some(process) = &self.nodes[node].process else { return };
        let due = match place {
            0 => process.arbiter.next_deadline(mono),
            1 => process.replicator.next_deadline(),
            _ => process.alarms.next_deadline(),
        };
        let at = due.map(|due| self.nodes[node].moment(due).max(self.now));
        let Some(process) = &mut self.nodes[node].process else { return };
        let boot = process.boot;
        if at != process.timer_at[place] || at.is_some_and(|at| at <= self.now) {
            process.timer_at[place] = at;
            if let Some(at) = at {
                self.at(at, Event::Timer(node, boot, place, at));
            }
        }
    }

    fn timer(&mut self, node: usize, place: usize, at: u64) {
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.timer_at[place] != Some(at) {
            return;
        }
        process.timer_at[place] = None;
        match place {
            0 => self.arbiter_tick(node),
            1 => self.tags(node, TagInput::Tick),
            _ => self.alarms_tick(node),
        }
        let vain = self.nodes[node].process.as_ref().map_or(0, |process| process.ticks_in_vain[place]);
        let machine = ["an arbiter", "a replicator", "the alarms"][place];
        let machine = format!("ticks of {machine} that do nothing");
        self.check(invariants::bounded(&machine, vain as usize, 50));
    }

    fn frame(&mut self, node: usize, frame: &[u8]) {
        if let Ok(Some(whole)) = hotpair_core::wire::decode(frame, hotpair_core::wire::Kind::Alarms) {
            let now = self.nodes[node].mono(self.now);
            if let Some(process) = &mut self.nodes[node].process {
                process.replicator.hear_lane(now);
            }
            return self.alarms(node, AlarmInput::Frame(whole.body));
        }
        match hotpair_core::wire::decode(frame, hotpair_core::wire::Kind::Bulk) {
            Ok(Some(whole)) => self.tags(node, TagInput::Frame(whole.body)),
            other => panic!("a bulk frame that cannot be read: {other:?}"),
        }
    }

    pub fn tags(&mut self, node: usize, input: TagInput<'_>) {
        self.tags_with(node, input, None);
    }

    /// `permit`: with the arbiter's word to lead. Who takes it back has closed the gate already.
    fn tags_with(&mut self, node: usize, input: TagInput<'_>, permit: Option<u64>) {
        if self.is_kept_out(node, &input) {
            return;
        }
        self.changed = true;
        let is_tick = matches!(input, TagInput::Tick);
        if !is_tick {
            self.note(|| format!("{} tags <- {}", self.nodes[node].name, describe(&input)));
        }
        self.before_tags(node, &input);
        let heard = alarms_hear(&input);
        let (mono, wall) = (self.nodes[node].mono(self.now), self.nodes[node].wall(self.now));
        let open = self.gate_allows(node, permit);
        let Some(process) = &mut self.nodes[node].process else { return };
        process.replicator.set_fenced(if permit.is_some() { !open } else { process.replicator.leads() && !open });
        let effects = process.replicator.handle(&mut process.table, input, Now { mono, wall });
        process.ticks_in_vain[1] = if is_tick && effects.is_empty() { process.ticks_in_vain[1] + 1 } else { 0 };
        let (link, lane) = (process.tags_link, process.tags_lane);
        self.after_tags(node, &effects);
        if let Some(input) = heard {
            self.alarms_with(node, input, permit);
        }
        if let Some((process, permit)) = self.nodes[node].process.as_mut().zip(permit) {
            process.opened = permit;
        }
        for effect in effects {
            if let Some(input) = quiesced(&effect) {
                self.alarms(node, input);
                continue;
            }
            match effect {
                TagEffect::ToLane(frame) => {
                    self.note(|| format!("{} tags -> lane {}", self.nodes[node].name, describe_frame(&frame)));
                    self.send_lane(node, lane, frame);
                }
                TagEffect::CloseLane => self.close_lane(node, None),
                TagEffect::Changed(changes) => self.alarms(node, AlarmInput::Changed(&changes)),
                TagEffect::ToPeer(message) => self.send_control(node, link, &message),
                TagEffect::Answer { ticket, outcome } => self.write_answered(node, ticket, &outcome),
                TagEffect::Persist { durable, items } => self.store(node, Op::Retained { durable, items }),
                TagEffect::Adopt { lineage, durable } => self.store(node, Op::Adopt { lineage, durable }),
                // The oracle has read it.
                TagEffect::Report(_) => {}
                TagEffect::ToArbiter(Input::Tags(_)) => self.tell_facts(node),
                TagEffect::ToArbiter(input) => self.mail(node, Mail::Arbiter(input)),
            }
        }
        self.set_timer(node, 1);
    }

    pub fn ping(&mut self, node: usize, boot: u64, chain: u64) {
        let now = self.nodes[node].mono(self.now);
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.pings != chain {
            return;
        }
        let (number, noticed) = process.detector.tick(now);
        // Before the gate opens again, the arbiter must know that this node stood still.
        let failover = self.plan.failover_time_ms;
        if noticed.iter().any(|noticed| matches!(noticed, Noticed::Stalled { for_ms } if *for_ms >= failover)) {
            process.closed += 1;
        }
        let link = process.link;
        self.noticed(node, noticed);
        if let Some(process) = &mut self.nodes[node].process {
            process.beat = now;
        }
        self.send_control(node, link, &Control::Ping { number, stalled_ms: 0 });
        let next = self.nodes[node].moment(now.plus(PING_RATE_MS));
        self.at(next, Event::Ping(node, boot, chain));
    }

    fn beat(&mut self, node: usize, ping: &Control) {
        let now = self.nodes[node].mono(self.now);
        self.hears(node);
        let Some(process) = &mut self.nodes[node].process else { return };
        let noticed = match *ping {
            Control::Ping { number, stalled_ms } => {
                let link = process.link;
                let noticed = process.detector.alive(stalled_ms, now);
                self.send_control(node, link, &Control::Pong { number, stalled_ms: 0 });
                noticed
            }
            Control::Pong { number, stalled_ms } => process.detector.pong(number, stalled_ms, now),
            _ => return,
        };
        self.noticed(node, noticed);
    }

    pub fn noticed(&mut self, node: usize, noticed: Vec<Noticed>) {
        for what in noticed {
            let Some(process) = &self.nodes[node].process else { return };
            let input = match what {
                Noticed::Unavailable => Input::Unavailable { last_sign: process.detector.last_sign() },
                Noticed::Available => Input::Available,
                Noticed::Stalled { for_ms } => Input::Stalled { for_ms },
                Noticed::AnsweredAfterStall => Input::AnsweredAfterStall,
            };
            self.mail(node, Mail::Arbiter(input));
        }
    }

    pub fn store(&mut self, node: usize, op: Op) {
        self.note(|| format!("{} disk <- {}", self.nodes[node].name, brief(&format!("{op:?}"))));
        self.nodes[node].disk.queue.push_back(op);
        self.disk_goes_on(node);
    }

    fn disk_goes_on(&mut self, node: usize) {
        let disk = &mut self.nodes[node].disk;
        if disk.busy || disk.queue.is_empty() && !disk.trouble {
            return;
        }
        disk.busy = true;
        // One that fails tries again by itself.
        let more = disk.slow.map_or(0, |(more, _)| more);
        let wait = more + if disk.queue.is_empty() { 500_000 } else { self.chance.range(0, self.plan.disk_us) };
        let boot = self.nodes[node].boots;
        self.after(wait, Event::Disk(node, boot));
    }

    fn disk_done(&mut self, node: usize) {
        let disk = &mut self.nodes[node].disk;
        disk.busy = false;
        let (ops, ok) = disk.complete(&mut self.chance);
        disk.trouble = !ok;
        self.disk_did(node, &ops, ok);
        for op in ops {
            let why = || "the disk is full".to_owned();
            let mail = match op {
                Op::Tenure { ticket, .. } if ok => Mail::Arbiter(Input::Stored { ticket }),
                Op::Tenure { ticket, .. } => Mail::Arbiter(Input::StoreFailed { ticket, reason: why() }),
                Op::Retained { durable, .. } | Op::Adopt { durable, .. } => {
                    Mail::Tags(TagInput::Persisted(if ok { Ok(durable) } else { Err(why()) }))
                }
            };
            self.mail(node, mail);
        }
        self.watch_disk(node);
        self.disk_goes_on(node);
    }

    /// The supervisor looks at both disks now and then.
    pub fn watch_disk(&mut self, node: usize) {
        let n = &self.nodes[node];
        let Some(process) = &n.process else { return };
        if process.disk_trouble != (n.disk.trouble || n.journal.trouble) {
            let soon = self.chance.range(0, LOOK_AT_DISK_US);
            self.after(soon, Event::LookAtDisk(node, n.boots));
        }
    }

    fn look_at_disk(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        let trouble = n.disk.trouble || n.journal.trouble;
        let Some(process) = &mut n.process else { return };
        if std::mem::replace(&mut process.disk_trouble, trouble) != trouble {
            self.mail(node, Mail::Arbiter(Input::Disk(trouble.then(|| "the disk is full".to_owned()))));
        }
    }
}
