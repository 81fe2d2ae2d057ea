//! What must be so, seen from outside of both nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hotpair_core::invariants::{self, Beginning};
use hotpair_core::lineage::Lineage;
use hotpair_core::protocol::{ItemResult, Tenure};
use hotpair_core::replicator::{DivergenceReport, DivergentTag, TagEffect, TagInput};
use hotpair_core::types::{Epoch, Mode, RecoveryMode, Seq, Status};
use hotpair_core::value::Value;

use crate::alarm_oracle::alarms_differ;
use crate::link::{GREETING_TIMEOUT_US, LONGEST_PAUSE_US};
use crate::load::Write;
use crate::plan::{KEYS, Plan};
use crate::world::{Event, World};

const HEAL_WITHIN_US: u64 = 40_000_000;
/// An exchange over a network that is slow takes so much longer at most.
const MAX_SLOW_US: u64 = 4_000_000;

pub struct Oracle {
    exchange_us: u64,
    greatest_led: [u64; 2],
    both_lead_since: Option<u64>,
    /// The order in which writes were carried out: of each key, the place of each value.
    places: [BTreeMap<i64, u64>; 4],
    next_place: u64,
    /// The newest write of each key that was answered as replicated, and failures since.
    floors: [Option<(u64, u32)>; 4],
    /// Operations answered as replicated, and failures since.
    operations: BTreeMap<Arc<str>, u32>,
    /// Values carried out and not yet written over, of each key.
    living: [BTreeSet<i64>; 4],
    seen: [[i64; 4]; 2],
    /// Before the last input: value and change number of each key.
    pub numbers: [[(i64, Seq); 4]; 2],
    changes: [Option<(Epoch, u64, Vec<Seq>)>; 2],
    repeats: Option<(Arc<str>, Seq)>,
    over_at: Option<u64>,
    pub over: bool,
}

impl Oracle {
    pub fn new(plan: &Plan) -> Self {
        Self {
            exchange_us: 3 * plan.net_us + 8 * plan.mail_us + 5_000,
            greatest_led: [0; 2],
            both_lead_since: None,
            places: Default::default(),
            next_place: 0,
            floors: [None; 4],
            operations: BTreeMap::new(),
            living: Default::default(),
            seen: [[0; 4]; 2],
            numbers: [[(0, 0); 4]; 2],
            changes: [None, None],
            repeats: None,
            over_at: None,
            over: false,
        }
    }
}

impl World {
    fn leads(&self, node: usize) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| process.replicator.leads())
    }

    fn values(&self, node: usize) -> [i64; 4] {
        let Some(process) = &self.nodes[node].process else { return [0; 4] };
        KEYS.map(|path| {
            let sample = process.table.catalog().find(path).and_then(|id| process.table.raw(id));
            match sample.map(|sample| &sample.value) {
                Some(Value::Int64(value)) if *value > 0 => *value,
                _ => 0,
            }
        })
    }

    pub fn values_of(&self, node: usize) -> [i64; 4] {
        self.values(node)
    }

    pub fn place_of(&self, key: usize, value: i64) -> u64 {
        self.place(key, value)
    }

    fn place(&self, key: usize, value: i64) -> u64 {
        self.oracle.places[key].get(&value).copied().unwrap_or(0)
    }

    pub fn is_whole(&self) -> bool {
        let [one, other] = &self.nodes;
        let (Some(a), Some(b)) = (&one.process, &other.process) else { return false };
        let sound = |conn| self.net.conns.get(conn).is_some_and(crate::net::Conn::is_sound);
        let linked = a.link == b.link && a.link.as_ref().is_some_and(sound);
        linked && !self.net.is_cut() && one.works() && other.works()
    }

    /// A failure happens. `both`: what is not on disk does not outlive it.
    pub fn strike(&mut self, both: bool) {
        self.history.failure(self.now, both);
        for (key, floor) in self.oracle.floors.iter_mut().enumerate() {
            if let Some((_, strikes)) = floor {
                *strikes += if both && key < 2 { 2 } else { 1 };
                if *strikes > 1 {
                    *floor = None;
                }
            }
        }
        self.oracle.operations.retain(|_, strikes| {
            *strikes += if both { 2 } else { 1 };
            *strikes <= 1
        });
    }

    /// A node that starts did not meet its peer within its wait, though that was there. Over a network that is too slow
    /// for it, that is a failure beside the one that made it start; else what it does not hold is missed.
    pub fn starts_alone(&mut self, node: usize) {
        let [Some(mine), Some(_)] = [node, 1 - node].map(|node| self.nodes[node].process.as_ref()) else { return };
        let wait_ms = match self.nodes[node].mode {
            Mode::Backup => self.plan.connection_wait_time_ms.max(self.plan.failover_time_ms),
            _ => self.plan.connection_wait_time_ms,
        };
        // The end of the old connection, three greetings, and the pause before the new one.
        let meeting_us = 4 * mine.slowest_us + LONGEST_PAUSE_US;
        let slow = mine.slowest_us > self.plan.net_us;
        if slow && (meeting_us > wait_ms * 1000 || 2 * mine.slowest_us > GREETING_TIMEOUT_US) {
            self.strike(false);
        }
    }

    pub fn before_tags(&mut self, node: usize, input: &TagInput<'_>) {
        self.oracle.seen[node] = self.values(node);
        self.oracle.numbers[node] = self.numbers(node);
        self.oracle.repeats = None;
        self.tags_hear(node, input);
        let operation = match input {
            TagInput::Lead(lineage) => return self.tenure_begins(node, lineage),
            TagInput::Write(order) => &order.operation,
            TagInput::Forward(forward) => &forward.operation,
            _ => return,
        };
        if let Some(id) = operation.as_ref().filter(|id| self.oracle.operations.contains_key(*id)) {
            let last = self.nodes[node].process.as_ref().map_or(0, |process| process.table.last_seq());
            self.oracle.repeats = Some((id.clone(), last));
        }
    }

    fn numbers(&self, node: usize) -> [(i64, Seq); 4] {
        let (values, process) = (self.values(node), self.nodes[node].process.as_ref());
        std::array::from_fn(|key| {
            let table = process.map(|process| &process.table);
            let seq = table.and_then(|table| Some(table.slot_seq(table.catalog().find(KEYS[key])?)));
            (values[key], seq.unwrap_or(0))
        })
    }

    fn tenure_begins(&mut self, node: usize, lineage: &Lineage) {
        let n = &self.nodes[node];
        let stored = &n.disk.stored;
        let epoch = lineage.epoch();
        let begins = Beginning {
            node: n.id,
            epoch,
            greatest_led: self.oracle.greatest_led[node],
            on_disk: stored.reserved.max(stored.lineage.epoch().counter),
        };
        self.check(invariants::tenure_begins(&begins));
        if let Some(process) = &mut self.nodes[node].process {
            process.goes_on_from = Some(std::mem::replace(&mut process.through, lineage.clone()));
        }
        self.oracle.greatest_led[node] = epoch.counter;
        let (Some(mine), Some(other)) = (&self.nodes[node].process, &self.nodes[1 - node].process) else { return };
        let planned =
            matches!(mine.arbiter.report(self.nodes[node].mono(self.now)).tenure, Tenure::Switch | Tenure::Recovery);
        let met = mine.arbiter_link.is_some() && mine.arbiter_link == other.arbiter_link;
        let gives = other.arbiter.report(self.nodes[1 - node].mono(self.now)).status == Status::Running;
        if planned && met && gives && mine.arbiter.epoch() == epoch && !other.replicator.leads() {
            let different = self.difference().or_else(|| alarms_differ(other, mine));
            let what = || different.clone().unwrap_or_default();
            let tenure = mine.arbiter.report(self.nodes[node].mono(self.now)).tenure;
            self.check(if tenure == Tenure::Recovery {
                invariants::recovers_in_sync(different.is_none(), what)
            } else {
                invariants::holds_what_was_offered(different.is_none(), what)
            });
        }
    }

    /// A tag of which the two nodes hold different values, of those that both have.
    fn difference(&self) -> Option<String> {
        let (Some(one), Some(other)) = (&self.nodes[0].process, &self.nodes[1].process) else { return None };
        one.table.catalog().iter().find_map(|(id, tag)| {
            let there = other.table.catalog().find(&tag.path)?;
            if other.table.catalog().get(there)?.value_type != tag.value_type {
                return None;
            }
            let (a, b) = (one.table.raw(id)?, other.table.raw(there)?);
            let numbers = (one.table.slot_seq(id), other.table.slot_seq(there));
            (a != b).then(|| format!("{}: Master has {a:?}, Backup has {b:?}, changes {numbers:?}", tag.path))
        })
    }

    pub fn after_tags(&mut self, node: usize, effects: &[TagEffect]) {
        for effect in effects {
            if let TagEffect::Report(report) = effect {
                self.note(|| format!("{}: {report:?}", self.nodes[node].name));
                self.reported(node, report);
            }
        }
        let now = self.values(node);
        // What a report says that survived was written before; what was written on top of it in the same step was not.
        let reports =
            || effects.iter().filter_map(|e| if let TagEffect::Report(report) = e { Some(report) } else { None });
        let united = |key: usize, value: i64| {
            let survived = |tag: &DivergentTag| *tag.path == *KEYS[key] && tag.survived.value == Value::Int64(value);
            reports().any(|report| report.tags.iter().any(survived))
        };
        if self.leads(node) {
            self.written_over_at_once(&now, effects);
            for key in 0..4 {
                let (before, after) = (self.oracle.seen[node][key], now[key]);
                if before != after
                    && after != 0
                    && !(united(key, after) && self.oracle.places[key].contains_key(&after))
                {
                    self.carried_out(key, before, after);
                    self.wrote(node, key, after);
                }
                if let Some((floor, _)) = self.oracle.floors[key] {
                    let held = self.place(key, after);
                    self.check(invariants::replicated_is_kept(KEYS[key], floor, held));
                }
            }
        }
        if let Some((id, last)) = self.oracle.repeats.take()
            && let Some(process) = &self.nodes[node].process
        {
            let again = process.table.last_seq() != last;
            self.check(invariants::once(&id, again));
        }
        self.check_changes(node);
        self.tags_did(node, effects);
    }

    /// Many writes that waited are carried out in one step. Of a retained tag each may be what the disk has after a crash.
    fn written_over_at_once(&mut self, now: &[i64; 4], effects: &[TagEffect]) {
        let stored =
            effects.iter().filter_map(|e| if let TagEffect::Persist { items, .. } = e { Some(items) } else { None });
        for (path, sample, _) in stored.flatten() {
            let (Some(key), Value::Int64(value)) = (KEYS.iter().position(|key| **key == **path), &sample.value) else {
                continue;
            };
            if *value != now[key] && !self.oracle.places[key].contains_key(value) {
                self.oracle.next_place += 1;
                self.oracle.places[key].insert(*value, self.oracle.next_place);
            }
        }
    }

    fn carried_out(&mut self, key: usize, before: i64, after: i64) {
        self.oracle.next_place += 1;
        self.oracle.places[key].insert(after, self.oracle.next_place);
        self.oracle.living[key].remove(&before);
        self.oracle.living[key].insert(after);
    }

    fn reported(&mut self, node: usize, report: &DivergenceReport) {
        let held = self.values(node);
        for tag in &report.tags {
            let Some(key) = KEYS.iter().position(|path| **path == *tag.path) else { continue };
            if let (Value::Int64(lost), Value::Int64(kept)) = (&tag.gave_way.value, &tag.survived.value) {
                self.oracle.living[key].remove(lost);
                self.history.reported(key, self.now);
                // The newer source time decides, and it stands in the report; but nothing that was answered as
                // replicated before may give way to what is older.
                let (lost, place) = (self.place(key, *lost), self.place(key, *kept));
                if place < lost {
                    if let Some((floor, _)) = self.oracle.floors[key] {
                        self.check(invariants::replicated_is_kept(KEYS[key], floor, place));
                    }
                    self.oracle.next_place += 1;
                    self.oracle.places[key].insert(*kept, self.oracle.next_place);
                }
            }
            // A write that waited came on top at once.
            if let Value::Int64(value) = &tag.survived.value
                && *value != held[key]
            {
                self.oracle.living[key].remove(value);
            }
        }
    }

    /// While it leads, or is in sync with one leader, no tag goes back.
    fn check_changes(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        let facts = process.replicator.facts(&process.table);
        let leader = if process.replicator.leads() { process.through.epoch() } else { facts.leader };
        if !facts.in_sync && !process.replicator.leads() {
            self.oracle.changes[node] = None;
            return;
        }
        let seqs: Vec<_> = process.table.catalog().iter().map(|(id, _)| process.table.slot_seq(id)).collect();
        let names = process.table.catalog().clone();
        let before = self.oracle.changes[node].replace((leader, process.boot, seqs.clone()));
        if let Some((before_leader, boot, before)) = before
            && (before_leader, boot) == (leader, self.nodes[node].boots)
        {
            for ((before, after), (_, tag)) in before.into_iter().zip(seqs).zip(names.iter()) {
                self.check(invariants::changes_go_forward(&tag.path, before, after));
            }
        }
    }

    pub fn oracle_answered(&mut self, write: &Write, results: &[ItemResult], replicated: bool) {
        if !replicated {
            return;
        }
        // The peer's word may have been under way for longer than it lived: then a failure counts already.
        if !self.is_whole() {
            return;
        }
        // A line that is slow now may be a failure later: then that one counts already, too.
        let strikes = u32::from(self.net.worst_us() > 0 || self.net.slow_until > self.now);
        if let Some(id) = &write.operation {
            self.oracle.operations.entry(id.clone()).or_insert(strikes);
        }
        for (key, result) in write.keys.iter().zip(results) {
            let place = self.place(*key, write.value);
            if *result == ItemResult::Good && self.oracle.floors[*key].is_none_or(|(floor, _)| floor < place) {
                self.oracle.floors[*key] = Some((place, strikes));
            }
        }
    }

    /// A node comes back with an empty disk: it is another one.
    pub fn oracle_loses_disk(&mut self, node: usize) {
        self.oracle.greatest_led[node] = 0;
        self.alarms_lose_disk(node);
        self.pair_loses_disk(node);
    }

    /// Whether a node counts its value of a key as applied.
    fn holds_for_good(&self, node: usize, key: usize) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| {
            let id = process.table.catalog().find(KEYS[key]);
            id.is_some_and(|id| process.table.slot_seq(id) <= process.facts().applied)
        })
    }

    /// Before a process is gone: what only it had may be lost.
    pub fn oracle_down(&mut self, node: usize) {
        let there = self.values(1 - node);
        for (key, value) in there.into_iter().enumerate() {
            // A part of a sync that did not come to its end is worth nothing.
            let counts = self.holds_for_good(1 - node, key);
            self.oracle.living[key].retain(|living| *living == value && counts);
        }
        self.oracle.changes[node] = None;
    }

    /// After a process is gone: the other one has what was replicated.
    pub fn oracle_survives(&mut self, gone: usize) {
        self.disk_wrote(gone);
        if self.nodes[1 - gone].process.is_none() {
            return;
        }
        let held = self.values(1 - gone);
        for key in 0..4 {
            if let Some((floor, _)) = self.oracle.floors[key] {
                let held = self.place(key, held[key]);
                self.check(invariants::replicated_is_kept(KEYS[key], floor, held));
            }
        }
    }

    /// After each event.
    pub fn check_pair(&mut self) {
        self.watch_pair();
        self.watch_switches();
        self.history_goes_on();
        let [one, other] = &self.nodes;
        let (Some(a), Some(b)) = (&one.process, &other.process) else {
            self.oracle.both_lead_since = None;
            return;
        };
        let sound = |conn: &u64| self.net.conns.get(conn).is_some_and(crate::net::Conn::is_sound);
        let linked = a.arbiter_link.as_ref().is_some_and(sound) && a.arbiter_link == b.arbiter_link && a.link == b.link;
        let open = !self.net.is_cut() && !one.paused && !other.paused && linked && a.link == a.arbiter_link;
        if open && a.replicator.leads() && b.replicator.leads() {
            let since = *self.oracle.both_lead_since.get_or_insert(self.now);
            let slow = self.net.worst_us() > 0 || self.net.slow_until + self.oracle.exchange_us > since;
            let exchange = self.oracle.exchange_us + if slow { MAX_SLOW_US } else { 0 };
            return self.check(invariants::one_leads(self.now - since, exchange));
        }
        self.oracle.both_lead_since = None;
        let lanes = a.tags_lane.is_some() && a.tags_lane == b.tags_lane && self.net.lane_packets == 0;
        if !self.changed
            || !lanes
            || !open
            || [a, b].iter().any(|process| process.mailbox_until[1..3].iter().any(|until| *until >= self.now))
        {
            return;
        }
        self.changed = false;
        let [Some(a), Some(b)] = self.nodes.each_ref().map(|node| node.process.as_ref()) else { return };
        let in_sync = [(a, b), (b, a)].into_iter().any(|(leader, follower)| {
            let facts = follower.facts();
            leader.replicator.leads()
                && facts.in_sync
                && facts.leader == leader.arbiter.epoch()
                && facts.applied == leader.table.last_seq()
        });
        if in_sync {
            let different = self.difference();
            let (leader, follower) = if a.replicator.leads() { (a, b) } else { (b, a) };
            let alarms = alarms_differ(leader, follower);
            self.check(invariants::in_sync_is_equal(different.is_none(), || different.unwrap_or_default()));
            self.check(invariants::in_sync_has_the_same_alarms(alarms));
        }
    }

    /// Twice a second, in the quiet phase more often: does everybody get what was promised?
    pub fn look(&mut self) {
        self.after(if self.quiet_since.is_some() { 50_000 } else { 500_000 }, Event::Look);
        self.check_answers();
        let Some(since) = self.quiet_since else { return };
        let missing = self.missing().map(|what| (false, what)).or_else(|| {
            let [Some(a), Some(b)] = self.nodes.each_ref().map(|node| node.process.as_ref()) else { return None };
            let (leader, follower) = if a.alarms.leads() { (a, b) } else { (b, a) };
            self.alarms_missing(leader, follower).map(|what| (true, what))
        });
        if self.now < since + 5_000_000 {
            return;
        }
        self.calm_goes_on(missing.is_none());
        match missing {
            Some((of_alarms, what)) if self.now > since + HEAL_WITHIN_US => {
                self.check(if of_alarms {
                    invariants::alarms_are_united(Some(what))
                } else {
                    invariants::healed(Some(what))
                });
            }
            Some(_) => self.oracle.over_at = None,
            // It may have recovered between two looks, and been healthy at both.
            None if self.oracle.over_at.is_none() || self.is_probed_before_a_tenure() => {
                self.oracle.over_at = Some(self.now + self.calm_for_us());
                self.probe_pair();
            }
            None => {}
        }
        if self.oracle.over_at.is_some_and(|at| self.now >= at) {
            self.account();
            self.judge_history();
            self.oracle.over = true;
        }
    }

    pub fn is_over(&self) -> bool {
        self.oracle.over
    }

    /// What is missing to a healthy pair.
    fn missing(&self) -> Option<String> {
        let (Some(a), Some(b)) = (&self.nodes[0].process, &self.nodes[1].process) else {
            return Some("a node is down".into());
        };
        let views = [0, 1].map(|node| {
            let process = self.nodes[node].process.as_ref();
            process.map(|process| process.arbiter.view(self.nodes[node].mono(self.now)))
        });
        let [Some(one), Some(other)] = views else { return Some("a node is down".into()) };
        let (leader, follower, running) = match (one.status, other.status) {
            (Status::Running, Status::Standby) => (a, b, 0),
            (Status::Standby, Status::Running) => (b, a, 1),
            (x, y) => return Some(format!("Master is {x} ({}), Backup is {y} ({})", one.reason, other.reason)),
        };
        for view in [&one, &other] {
            if !view.failover_ready {
                return Some(format!("not ready for a failover: {:?}", view.not_ready));
            }
        }
        let facts = follower.facts();
        if !facts.in_sync || facts.applied != leader.table.last_seq() {
            return Some(format!("the follower is at {facts:?}, the leader at {}", leader.table.last_seq()));
        }
        if let Some(different) = self.difference() {
            return Some(format!("the nodes differ, {different}"));
        }
        if !self.load.writes.is_empty() {
            return Some(format!("{} writes wait", self.load.writes.len()));
        }
        for node in &self.nodes {
            let Some(process) = &node.process else { continue };
            if !node.disk.idle() {
                return Some(format!("the disk of {} is busy", node.name));
            }
            let stored = &node.disk.stored;
            if stored.lineage.epoch() != leader.arbiter.epoch()
                || stored.lineage != process.arbiter.report(node.mono(self.now)).lineage
            {
                return Some(format!("{} has {:?} on its disk", node.name, stored.lineage));
            }
            for (id, tag) in node.catalog.iter().filter(|(_, tag)| tag.retain) {
                let on_disk = stored.retained.get(&tag.path).map(|(sample, _)| sample);
                if process.table.slot_seq(id) > 0 && on_disk != process.table.raw(id) {
                    return Some(format!("{}: {} is {on_disk:?} on disk", node.name, tag.path));
                }
            }
        }
        let backup_runs_for_now = self.plan.recovery == RecoveryMode::Automatic
            && running == 1
            && self.nodes[0].mode == Mode::Master
            && matches!(
                leader.arbiter.view(self.nodes[1].mono(self.now)).tenure,
                Tenure::Failover | Tenure::DualRunning
            )
            && one.recovery_suspended.is_none();
        backup_runs_for_now.then(|| "the Master did not recover".into())
    }

    /// Every write is held, was written over, or stands in a report.
    fn account(&mut self) {
        let held = self.values(0);
        for key in 0..4 {
            let living: Vec<_> = self.oracle.living[key].iter().copied().collect();
            for value in living {
                let is = value == held[key];
                self.check(invariants::accounted_for(KEYS[key], value, is));
            }
        }
    }
}
