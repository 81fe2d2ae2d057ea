//! What clients see, judged by what was promised to them.
//!
//! Every write, acknowledgement, comment, shelving and Switch of a client is noted when it is asked for and when it is
//! answered: *ok*, *failed* (the answer says that nothing was done) or *unknown* (the answer says so, or never came).
//! Clients also read all tags and the list of alarms, at either node at drawn moments, and where they wrote when they got
//! their answer. The judge knows this, which failures there were, and what a divergence report says; it knows nothing
//! else of the nodes.
//!
//! The rules, by the documentation:
//!
//! - `HISTORY-1` nobody reads a value that was never written, or before it was written.
//! - `HISTORY-2` what failed never takes effect: nobody reads it, no journal has it.
//! - `HISTORY-3` whoever reads at a Running node sees the last write that was answered ok there, or for the time of an
//!   exchange at the other node, or a later one; one that was asked for before the other was answered counts as later.
//!   So no write takes effect a second time under its operation id, or late, when another one came after it, unless it
//!   was repeated while both nodes ran. A write that was answered as replicated may be lost by a second failure, and by a
//!   power cut of both if its tag is not retained; any other by one failure. What a divergence report says gave way, gave
//!   way.
//! - `HISTORY-4` what an operator was told to be done is in the journals of both nodes when all is quiet: once, unless it
//!   was asked for at each of two nodes that did not see each other, or both ran, or the node that took over had lost its
//!   disk and did not have it again. What is unknown is there once at most.
//! - `HISTORY-5` an acknowledgement that was answered as replicated is seen at each Running node from then on, but at one
//!   that took over so; one that was answered as done, when all is quiet.
//! - `HISTORY-6` when a Switch is answered ok, and nothing failed since it was pressed, exactly one node is Running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hotpair_core::alarms::{AlarmAction, AlarmEntry, AlarmRequest, AlarmResult, EventId};
use hotpair_core::invariants::as_clients_see;
use hotpair_core::protocol::{AlarmOutcome, ItemResult, WriteOutcome, WriteRefusal};
use hotpair_core::types::Status;

use crate::journal::Journal;
use crate::load::Write;
use crate::plan::KEYS;
use crate::rng::Rng;
use crate::sometimes::State;
use crate::world::World;

/// So many of the last writes that were answered are looked at for each read.
const LOOK_BACK: usize = 16;

pub struct History {
    rng: Rng,
    next_read: u64,
    writes: BTreeMap<i64, Asked>,
    /// Of each key the writes that were answered ok, in this order; and those of them that were replicated.
    ok: [Vec<i64>; 4],
    replicated: [Vec<i64>; 4],
    /// Of each key when a divergence report said last that a value gave way; with it what it was written over.
    gave_way: [u64; 4],
    /// When there was a failure, and whether both nodes lost their memory.
    failures: Vec<(u64, bool)>,
    /// The last moment when the two nodes did not see each other.
    apart_at: u64,
    /// Which nodes show themselves Running, and the last moment when both did.
    running: [bool; 2],
    both_ran_at: u64,
    requests: BTreeMap<Arc<str>, Requested>,
    /// Occurrences whose acknowledgement was answered as done, and since when as replicated.
    acknowledged: BTreeMap<EventId, Option<u64>>,
    switches: BTreeMap<u64, u64>,
    probes: Vec<i64>,
    /// How many tenures there had been when these were sent.
    probed_in: u64,
    /// A journal dropped its oldest entries.
    forgets: bool,
}

/// A write, however often it was asked for.
#[derive(Default)]
struct Asked {
    keys: Vec<usize>,
    at: u64,
    attempts: u32,
    failed: u32,
    ok: Option<u64>,
    /// Where it was answered so.
    node: usize,
    replicated: Option<u64>,
    /// Before that the two nodes did not see each other, or one failed.
    alone: bool,
    tenures: u64,
    first_read: [Option<u64>; 4],
}

#[derive(Default)]
struct Requested {
    attempts: u32,
    /// Answers that say that nothing was done.
    failed: u32,
    ok: bool,
    at: u64,
    replicated: bool,
    /// Before that the two nodes did not see each other.
    apart: bool,
    /// The only disk that had it was lost.
    lost: bool,
}

impl Asked {
    /// From when on it has surely taken effect.
    fn end(&self, key: usize) -> Option<u64> {
        self.ok.into_iter().chain(self.first_read[key]).min()
    }
}

impl History {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(!seed),
            next_read: 0,
            writes: BTreeMap::new(),
            ok: Default::default(),
            replicated: Default::default(),
            gave_way: [0; 4],
            failures: Vec::new(),
            apart_at: 0,
            running: [false; 2],
            both_ran_at: 0,
            requests: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            switches: BTreeMap::new(),
            probes: Vec::new(),
            probed_in: 0,
            forgets: false,
        }
    }

    pub fn failure(&mut self, now: u64, both: bool) {
        self.failures.push((now, both));
    }

    pub fn shows_itself(&mut self, node: usize, running: bool) {
        self.running[node] = running;
    }

    /// The last moment when each node went by its own word: apart, or both Running.
    fn unsettled_at(&self) -> u64 {
        self.apart_at.max(self.both_ran_at)
    }

    pub fn reported(&mut self, key: usize, now: u64) {
        self.gave_way[key] = now;
    }

    pub fn journal_forgets(&mut self) {
        self.forgets = true;
    }

    /// A disk is lost, with it what the other one does not have; its answer may still be under way.
    pub fn lost_disk(&mut self, lost: &Journal, other: &Journal) {
        for (id, requested) in &mut self.requests {
            requested.lost |= (requested.ok || lost.has_operation(id)) && !other.has_operation(id);
        }
        let entries = &other.entries;
        let acknowledges = |event: &EventId, entry: &AlarmEntry| entry.event == *event && entry.acked;
        self.acknowledged.retain(|event, _| entries.values().any(|entry| acknowledges(event, entry)));
    }

    /// A node with this journal runs in place of its peer. It lost its disk before, and does not have it all again.
    pub fn takes_over_without(&mut self, journal: &Journal) {
        for (id, requested) in &mut self.requests {
            requested.apart |= requested.replicated && !journal.has_operation(id);
        }
        // What its journal was given already and its states were not is taken into account a moment later.
        let counts = |entry: &AlarmEntry| {
            entry.acked && journal.included.get(&entry.origin).is_some_and(|last| entry.position <= *last)
        };
        let acked = journal.entries.values().filter(|entry| counts(entry));
        let acked = acked.map(|entry| entry.event).collect::<BTreeSet<_>>();
        for (event, since) in &mut self.acknowledged {
            *since = since.filter(|_| acked.contains(event));
        }
    }

    /// Whether a write may be gone by now.
    fn may_be_lost(&self, write: &Asked, key: usize) -> bool {
        let weight = self.failed_since(write.at, key < 2);
        if let Some(at) = write.replicated {
            // Before it was answered it may have given way.
            return weight >= 2 || (write.at..=at).contains(&self.gave_way[key]);
        }
        weight >= 1 || self.unsettled_at() >= write.at || self.gave_way[key] >= write.at
    }

    /// Whether it may have been forgotten that it was done: what is known of an operation id is in memory.
    fn may_be_forgotten(&self, write: &Asked) -> bool {
        let weight = self.failed_since(write.at, true);
        // Of two Running nodes each does what it is asked for, until one has told the other what it did.
        let apart_at = self.apart_at.max(self.both_ran_at);
        let apart = write.replicated.is_none() && (weight >= 1 || apart_at >= write.at);
        write.alone || apart || weight >= 2
    }

    /// How many nodes may have lost what they knew at that time.
    fn failed_since(&self, at: u64, in_memory: bool) -> u32 {
        let since = self.failures.iter().rev().take_while(|(failed, _)| *failed >= at);
        since.map(|(_, both)| if *both && in_memory { 2 } else { 1 }).sum()
    }
}

/// Whether the answer says that nothing was done.
fn is_failure(refusal: &WriteRefusal) -> bool {
    match refusal {
        WriteRefusal::OutcomeUnknown => false,
        WriteRefusal::Disk(why) => why.starts_with("nothing was"),
        _ => true,
    }
}

impl World {
    pub fn history_write(&mut self, write: &Write) {
        let now = self.now;
        let asked = self.history.writes.entry(write.value).or_insert_with(|| Asked {
            keys: write.keys.clone(),
            at: now,
            ..Asked::default()
        });
        asked.attempts += 1;
    }

    pub fn history_written(&mut self, node: usize, write: &Write, outcome: &WriteOutcome) {
        let (now, whole, tenures) = (self.now, self.is_whole(), self.tenures());
        let Some(asked) = self.history.writes.get_mut(&write.value) else { return };
        match outcome {
            WriteOutcome::Done { results, replicated } => {
                if results.iter().any(|result| *result != ItemResult::Good) {
                    return;
                }
                let repeated = asked.ok.is_some() && asked.tenures < tenures;
                if asked.ok.is_none() {
                    asked.ok = Some(now);
                    asked.node = node;
                    asked.tenures = tenures;
                    for key in &write.keys {
                        self.history.ok[*key].push(write.value);
                    }
                }
                if *replicated && whole && asked.replicated.is_none() {
                    asked.replicated = Some(now);
                    let failed = self.history.failures.last().is_some_and(|(at, _)| *at >= asked.at);
                    asked.alone = failed || self.history.apart_at >= asked.at;
                    for key in &write.keys {
                        self.history.replicated[*key].push(write.value);
                    }
                }
                if repeated {
                    self.reached(State::RepeatedAfterFailover);
                }
                self.read(node);
            }
            WriteOutcome::Refused(refusal) if is_failure(refusal) => asked.failed += 1,
            WriteOutcome::Refused(_) => {}
        }
    }

    pub fn history_request(&mut self, request: &AlarmRequest) {
        if let Some(id) = &request.operation {
            let at = self.now;
            let new = || Requested { at, ..Requested::default() };
            self.history.requests.entry(id.clone()).or_insert_with(new).attempts += 1;
        }
    }

    pub fn history_requested(&mut self, node: usize, request: &AlarmRequest, outcome: &AlarmOutcome) {
        let good = matches!(outcome, AlarmOutcome::Done { result: AlarmResult::Good, .. });
        let replicated = good && matches!(outcome, AlarmOutcome::Done { replicated: true, .. }) && self.is_whole();
        let failed = match outcome {
            AlarmOutcome::Done { .. } => !good,
            AlarmOutcome::Refused(refusal) => is_failure(refusal),
        };
        if matches!(outcome, AlarmOutcome::Refused(WriteRefusal::OutcomeUnknown)) {
            self.reached(State::AckUnknown);
        }
        let mut lost = false;
        let unsettled_at = self.history.unsettled_at();
        if let Some(requested) = request.operation.as_ref().and_then(|id| self.history.requests.get_mut(id)) {
            requested.failed += u32::from(failed);
            requested.ok |= good;
            if !requested.replicated {
                requested.apart |= unsettled_at >= requested.at;
            }
            requested.replicated |= replicated;
            requested.lost &= !replicated;
            lost = requested.lost;
        }
        if let (true, AlarmAction::Acknowledge { event, .. }) = (good && !lost, &request.action) {
            let since = self.history.acknowledged.entry(*event).or_default();
            *since = since.or(replicated.then_some(self.now));
            let at_standby = self.nodes[node].process.as_ref().is_some_and(|process| !process.alarms.leads());
            if at_standby {
                self.reached(State::AckAtStandby);
            }
            self.read(node);
        }
    }

    pub fn history_switch(&mut self, request: u64) {
        self.history.switches.insert(request, self.now);
    }

    pub fn history_switched(&mut self, request: u64, result: &Result<(), String>) {
        let Some(since) = self.history.switches.remove(&request) else { return };
        if result.is_err() {
            return self.reached(State::SwitchRefused);
        }
        let failed = self.history.failures.last().is_some_and(|(at, _)| *at >= since);
        if failed || self.history.apart_at >= since || !self.is_whole() {
            return;
        }
        let running = [0, 1].map(|node| self.status_of(node) == Some(Status::Running));
        let so = running[0] != running[1];
        self.check(as_clients_see("HISTORY-6", so, || format!("Switch {request} is done, Running are {running:?}")));
    }

    fn status_of(&self, node: usize) -> Option<Status> {
        let n = &self.nodes[node];
        n.process.as_ref().map(|process| process.arbiter.view(n.mono(self.now)).status)
    }

    /// After each event: somebody reads now and then.
    pub fn history_goes_on(&mut self) {
        if !self.is_whole() {
            self.history.apart_at = self.now;
        }
        for node in 0..2 {
            self.history.running[node] &= self.nodes[node].process.is_some();
        }
        if self.history.running == [true; 2] {
            self.history.both_ran_at = self.now;
        }
        if self.now >= self.history.next_read {
            self.history.next_read = self.now + self.history.rng.range(1_000, 60_000);
            self.read(0);
            self.read(1);
        }
    }

    /// A client reads at a node.
    fn read(&mut self, node: usize) {
        let n = &self.nodes[node];
        let Some(process) = n.process.as_ref().filter(|_| n.works()) else { return };
        let mono = n.mono(self.now);
        let running = process.arbiter.view(mono).status == Status::Running
            && mono.since(process.beat) < self.plan.failover_time_ms;
        let values = self.values_of(node);
        let mut results = Vec::new();
        if running {
            let unacknowledged = process.alarm_table.live().filter(|(_, live)| !live.acked).map(|(_, live)| live.event);
            for event in unacknowledged {
                let lost = self.history.acknowledged.get(&event).copied().flatten();
                results.push(as_clients_see("HISTORY-5", lost.is_none(), || {
                    format!("{event} was acknowledged at {lost:?}, {} shows it as unacknowledged", n.name)
                }));
            }
        }
        let (name, now) = (n.name, self.now);
        for (key, value) in values.into_iter().enumerate() {
            if value != 0 {
                let Some(write) = self.history.writes.get_mut(&value).filter(|write| write.keys.contains(&key)) else {
                    let what = || format!("{} = {value} is read at {name} and was never written", KEYS[key]);
                    results.push(as_clients_see("HISTORY-1", false, what));
                    continue;
                };
                results.push(as_clients_see("HISTORY-2", write.ok.is_some() || write.failed < write.attempts, || {
                    format!("{} = {value} is read at {name}, though writing it has failed", KEYS[key])
                }));
                write.first_read[key].get_or_insert(now);
            }
            if running {
                let missed = self.missed(node, key, value);
                results.push(as_clients_see("HISTORY-3", missed.is_none(), || {
                    let missed = missed.unwrap_or_default();
                    let write = &self.history.writes[&missed];
                    format!(
                        "{} = {value} is read at {name}; {missed} was written after it from {} to {:?} us, replicated at {:?}",
                        KEYS[key], write.at, write.ok, write.replicated
                    )
                }));
            }
        }
        for result in results {
            self.check(result);
        }
    }

    /// A write that was answered ok, came after that of this value, and cannot be lost.
    fn missed(&self, node: usize, key: usize, value: i64) -> Option<i64> {
        let history = &self.history;
        let end = match history.writes.get(&value) {
            // Lost and asked for once more it is done once more.
            Some(write) if write.attempts > 1 && history.may_be_forgotten(write) => return None,
            Some(write) => write.end(key)?,
            None => 0,
        };
        let in_time = |write: &Asked| {
            let heard_after = if write.node == node { 0 } else { self.exchange_us() };
            write.ok.is_some_and(|ok| ok + heard_after <= self.now)
        };
        let last = |list: &[i64]| list.iter().rev().take(LOOK_BACK).copied().collect::<Vec<_>>();
        let candidates = last(&history.ok[key]).into_iter().chain(last(&history.replicated[key]));
        candidates.into_iter().find(|other| {
            let write = &history.writes[other];
            *other != value && write.at > end && in_time(write) && !history.may_be_lost(write, key)
        })
    }

    /// The pair has healed: it must work, too.
    pub fn is_probed_before_a_tenure(&self) -> bool {
        self.history.probed_in != self.tenures()
    }

    pub fn probe_pair(&mut self) {
        let tenures = self.tenures();
        if !self.history.probes.is_empty() && self.history.probed_in == tenures {
            return;
        }
        // An automatic recovery may come after all seemed to be over: what was asked then is no proof.
        self.history.probed_in = tenures;
        self.history.probes.clear();
        for node in 0..2 {
            self.load.next += 1;
            let value = self.load.next.cast_signed();
            self.history.probes.push(value);
            self.send_write(node, Write { operation: None, keys: vec![node], value });
        }
    }

    /// All is quiet, and nothing will come any more.
    pub fn judge_history(&mut self) {
        for value in self.history.probes.clone() {
            let write = &self.history.writes[&value];
            let (ok, replicated) = (write.ok.is_some(), write.replicated.is_some());
            let what = || format!("a write to a healed pair was done: {ok}, replicated: {replicated}");
            self.check(hotpair_core::invariants::works(ok && replicated, what));
        }
        self.read(0);
        self.read(1);
        let mut results = Vec::new();
        for (id, requested) in &self.history.requests {
            let times = self
                .nodes
                .each_ref()
                .map(|node| node.journal.entries.values().filter(|entry| entry.operation.as_ref() == Some(id)).count());
            // Each of two nodes that do not see each other does what it is asked for.
            let apart = requested.apart || self.history.unsettled_at() >= requested.at && !requested.replicated;
            let once = if apart { requested.attempts.min(2) as usize } else { 1 };
            let (least, most) = match requested {
                Requested { ok: true, lost, .. } if *lost || self.history.forgets => (0, once),
                Requested { ok: true, .. } => (1, once),
                Requested { failed, attempts, .. } => (0, if failed < attempts { once } else { 0 }),
            };
            let rule = if most == 0 { "HISTORY-2" } else { "HISTORY-4" };
            let so = times.iter().all(|times| (least..=most).contains(times));
            results.push(as_clients_see(rule, so, || {
                format!("{id} is in the journals {times:?} times, it was answered ok: {}", requested.ok)
            }));
        }
        for process in self.nodes.iter().filter_map(|node| node.process.as_ref()) {
            for (_, live) in process.alarm_table.live().filter(|(_, live)| !live.acked) {
                let lost = self.history.acknowledged.contains_key(&live.event);
                results.push(as_clients_see("HISTORY-5", !lost, || {
                    format!("{} was acknowledged, and is shown as unacknowledged at the end", live.event)
                }));
            }
        }
        for result in results {
            self.check(result);
        }
        if self.pair.parted {
            self.reached(State::JournalsUnited);
        }
    }
}
