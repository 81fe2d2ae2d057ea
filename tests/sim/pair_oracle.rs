//! What must be so of the pair: who may run, and how it comes in sync. Seen from outside of both nodes: from events,
//! messages and tables.

use std::collections::BTreeSet;

use hotpair_core::arbiter::{Event, Input};
use hotpair_core::invariants;
use hotpair_core::lineage::Lineage;
use hotpair_core::protocol::{Control, Tenure};
use hotpair_core::replicator::{TagEffect, TagInput};
use hotpair_core::types::{Epoch, Mode, RecoveryMode, Seq, Status};
use hotpair_core::value::Value;

use crate::node::{Mail, PING_RATE_MS};
use crate::plan::KEYS;
use crate::sometimes::State;
use crate::world::World;

/// Batches that may be under way unconfirmed.
const CREDIT: u64 = 8;
/// An exchange over a network that is slow takes so much longer at most.
const SLOW_US: u64 = 4_000_000;
const GUARD_PERIOD_US: u64 = 600_000_000;

#[derive(Default)]
pub struct PairOracle {
    /// When each node last got a message from its peer.
    pub heard: [u64; 2],
    /// Likewise, the last time but those within an exchange.
    pub heard_before: [u64; 2],
    /// The process of the peer that each node was connected to last.
    pub met: [u64; 2],
    /// Since when both are connected and nothing is in the way.
    pub open_since: Option<u64>,
    /// Since when each node takes writes.
    pub leads_since: [Option<u64>; 2],
    /// The counter under which each leads or led, and since when.
    pub led: [u64; 2],
    /// The process that began that.
    pub led_by: [u64; 2],
    /// The counter of the tenure that each runs or follows, and since when.
    pub epoch: [(u64, u64); 2],
    /// When each last decided to take a tenure, and when it had heard its peer then, and the greatest counter that it had
    /// seen.
    pub decided: [(u64, u64, u64); 2],
    /// Whether the peer's process that it had met was gone then.
    pub was_gone: [bool; 2],
    pub takes: [(u64, Epoch); 2],
    /// The greatest counter that the present process of each has seen for longer than an exchange, and that process.
    pub seen: [(u64, u64); 2],
    /// When recoveries happened, as far as each node can know: their processes tell each other.
    pub recoveries: [BTreeSet<u64>; 2],
    pub recovered_at: u64,
    /// Since when each node is stopped; when it went on, and for how long it had stood still.
    pub paused: [Option<u64>; 2],
    pub stood_still: [Option<(u64, u64)>; 2],
    /// Each key's values that reached the disk of each node.
    pub on_disk: [[BTreeSet<i64>; 4]; 2],
    pub owed: [Vec<(usize, i64)>; 2],
    /// The sync that each node follows by, and how far its leader was when it began.
    pub began_at: [Option<Seq>; 2],
    pub was_in_sync: [bool; 2],
    pub interrupted: [bool; 2],
    pub unsynced_since: Option<u64>,
    /// Of each key the last write that was answered as done, at which node, and when.
    pub answered: [Option<(i64, usize, u64)>; 4],
    /// Batches of the present sync: sent, confirmed.
    pub credit: [(u64, u64, u64); 2],
    pub tenures: u64,
    pub parted: bool,
    /// The journals told different stories once: both nodes took writes at the same time, or one began without what the
    /// other had.
    pub dual_ever: bool,
    /// This node gave way to the other one, which also ran, and that has not begun its next tenure yet.
    pub gave_way: Option<usize>,
}

impl World {
    /// Before the arbiter of a node hears something.
    pub fn before_arbiter(&mut self, node: usize, input: &Input) {
        let now = self.nodes[node].mono(self.now);
        let Some(process) = &self.nodes[node].process else { return };
        match input {
            Input::LinkDown if process.arbiter.view(now).switching => self.reached(State::SwitchCut),
            Input::Message(Control::Abort { .. }) if process.arbiter.view(now).status == Status::Running => {
                self.reached(State::AbortTooLate);
            }
            Input::ProvenDead | Input::Unavailable { .. } if process.arbiter.view(now).hold.is_some() => {
                self.reached(State::HeldBack);
            }
            _ => {}
        }
    }

    /// What a node shows of itself has changed.
    pub fn shown(&mut self, node: usize, event: &Event) {
        if event.peer {
            return;
        }
        self.history.shows_itself(node, event.to == Status::Running);
        let reason = event.reason.as_str();
        if event.to == Status::Standby && event.tenure == Tenure::DualRunning {
            self.pair.gave_way = Some(node);
        }
        // One that stood still and goes on shows its tenure once more: that is none.
        let changes =
            matches!((event.from, event.to), (Status::Standby, Status::Running) | (Status::Running, Status::Standby));
        if event.tenure == Tenure::Recovery && changes {
            self.recovers(node, event.to);
        }
        let begins = |text: &str| reason.starts_with(text);
        let state = match event.to {
            Status::Running if event.tenure == Tenure::DualRunning => Some(State::DualRunningHealed),
            Status::Running if event.tenure == Tenure::Recovery => Some(State::RecoveryDone),
            Status::Running if begins("clean stop") => Some(State::StopHandsOver),
            Status::Running if event.tenure == Tenure::Switch => Some(State::SwitchDone),
            Status::Running if begins("the peer's data has seen a higher epoch") => Some(State::HigherEpochSeen),
            Status::Running if begins("the peer's process is dead") => Some(State::FailoverByDeath),
            Status::Running if begins("the peer was silent") => Some(State::FailoverByTime),
            Status::Running if begins("the peer stopped") => Some(State::FailoverByGoodbye),
            Status::Running if begins("no node was Running") => Some(State::NobodyRan),
            Status::Running if begins("the peer was restarted") => Some(State::Restarted),
            Status::Running if begins("no Master within") => Some(State::BackupAlone),
            Status::Running if begins("backup not connected") => Some(State::MasterAlone),
            Status::Running if begins("took the Backup's data first") => Some(State::FresherFirst),
            Status::Standby if begins("the peer is Running") && self.nodes[node].mode == Mode::Master => {
                Some(State::MasterMeetsRunning)
            }
            Status::Standby if begins("it was stopped, and the peer took over") => Some(State::FencedInVain),
            Status::Unknown if begins("this node was stopped for") => Some(State::Fenced),
            _ => None,
        };
        if let Some(state) = state {
            self.reached(state);
        }
        if reason.starts_with("the epoch cannot be stored") {
            self.reached(State::EpochNotStored);
        }
        match state {
            Some(State::MasterAlone | State::BackupAlone) => {
                self.starts_alone(node);
                self.takes_over_without(node);
            }
            Some(State::FailoverByDeath | State::FailoverByTime | State::FailoverByGoodbye) => {
                self.takes_over_without(node);
            }
            Some(State::NobodyRan | State::Restarted) => self.takes_over_without(node),
            // It holds values already: a Backup that gave them was restarted before it had given its alarms, too.
            None if begins("the Backup is connected") && self.has_values(node) => self.takes_over_without(node),
            // The line was too slow, and it says so; or its disk cannot take them.
            Some(State::FresherFirst) if reason.ends_with("in time") || self.disk_has_failed(node) => {
                self.takes_over_without(node);
            }
            _ => {}
        }
        if event.to == Status::Running {
            self.runs_rightly(node, event);
        }
    }

    fn has_values(&self, node: usize) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| process.facts().applied > 0)
    }

    /// A node has its tenures stored: is one among them that is about to begin?
    pub fn takes(&mut self, node: usize, lineage: &Lineage) {
        let n = &self.nodes[node];
        let begun = n.process.as_ref().is_some_and(|process| process.leads_under == Some(lineage.epoch()));
        if lineage.epoch().node == n.id && !begun && self.pair.takes[node] != (n.boots, lineage.epoch()) {
            self.pair.takes[node] = (n.boots, lineage.epoch());
            let last = self.pair.heard[node];
            let heard = if self.now - last <= self.exchange_us() { self.pair.heard_before[node] } else { last };
            let (boot, seen) = self.pair.seen[node];
            let seen = if boot == n.boots { seen } else { 0 };
            self.pair.decided[node] = (self.now, heard, seen);
            let peer = &self.nodes[1 - node];
            self.pair.was_gone[node] = peer.process.is_none() || peer.boots != self.pair.met[node];
        }
    }

    /// May it run, for this reason?
    fn runs_rightly(&mut self, node: usize, event: &Event) {
        let n = &self.nodes[node];
        let Some(process) = &n.process else { return };
        let reason = event.reason.as_str();
        let silent = reason.starts_with("the peer was silent");
        let dead = reason.starts_with("the peer's process is dead") || reason.starts_with("the peer was restarted");
        let by_itself = silent || dead || reason.starts_with("no node was Running");
        let held = process.arbiter.view(n.mono(self.now)).hold.is_some();
        let mut results = Vec::new();
        if by_itself || reason.starts_with("automatic recovery") {
            results.push(invariants::no_hold(n.id, held, reason));
        }
        if silent {
            // A clock may be a little fast.
            let (at, heard, _) = self.pair.decided[node];
            let silent_ms = (at - heard) / 1000;
            results.push(invariants::silent_long_enough(n.id, silent_ms * 102 / 100 + 1, self.plan.failover_time_ms));
        }
        if dead {
            let gone = self.pair.was_gone[node];
            let restarted = reason.starts_with("the peer was restarted");
            results.push(invariants::dead_indeed(n.id, restarted || gone, self.plan.fast_failover));
        }
        for result in results {
            self.check(result);
        }
    }

    /// A tenure begins: the node takes writes from now on.
    pub fn begins_to_lead(&mut self, node: usize, lineage: &Lineage) {
        let epoch = lineage.epoch();
        let id = self.nodes[node].id;
        let met = self.have_met();
        let (Some(mine), other) = (&self.nodes[node].process, &self.nodes[1 - node].process) else { return };
        let view = mine.arbiter.view(self.nodes[node].mono(self.now));
        let tenure = view.tenure;
        // A message that took longer than the failover time is silence, see TAKE-1.
        let is_late = view.reason.starts_with("the peer was silent") && self.is_slow();
        let healed = tenure == Tenure::DualRunning && view.reason.starts_with("two nodes were Running");
        let led = self.pair.led;
        let other_leads = other.as_ref().is_some_and(|other| other.replicator.leads());
        let mut results = Vec::new();
        results.push(invariants::above_all_seen(id, epoch, self.pair.decided[node].2));
        let both_since = self.pair.open_since.zip(self.pair.leads_since[1 - node]).map(|(a, b)| a.max(b));
        let beside = both_since.filter(|_| met && other_leads && !mine.replicator.leads()).map(|at| self.now - at);
        let mine_again = led[node] > 0 && self.pair.leads_since[node].is_some();
        if healed && mine.arbiter.epoch() == epoch {
            let is_master = self.nodes[node].mode == Mode::Master;
            let right = match self.plan.recovery {
                RecoveryMode::Automatic => is_master,
                RecoveryMode::Manual => led[node] > led[1 - node] || led[node] == led[1 - node] && !is_master,
            };
            let what = || format!("{} of {:?}, recovery {:?}", self.nodes[node].name, led, self.plan.recovery);
            // One that stood still and does not know yet who runs is not Running: it gives way to one that is.
            let fenced_us = self.plan.failover_time_ms * 1000 + self.exchange_us();
            let went_on_at = other.as_ref().and_then(|other| other.went_on_at);
            let fenced = went_on_at.is_some_and(|at| self.now < at + fenced_us);
            // One that was restarted since does not run any more: there is nothing to decide.
            let restarted = self.pair.led_by[1 - node] != self.nodes[1 - node].boots;
            if met && !fenced && !restarted {
                results.push(invariants::the_right_one_stays(id, right, what));
            }
            // Of one that has gone again it cannot know what it did since.
            if met {
                results.push(invariants::goes_on_above_both(epoch, led, other_leads));
            }
        } else if !(mine_again || is_late) {
            results.push(invariants::not_beside_a_running_peer(id, beside, self.exchange_us()));
        }
        if self.nodes[node].process.as_ref().is_some_and(|process| process.alarm_table.shelves().next().is_some())
            && tenure == Tenure::Failover
        {
            self.reached(State::ShelvedThroughFailover);
        }
        let pending = self.nodes[node].process.as_ref().is_some_and(|process| {
            let table = &process.alarm_table;
            table.list().iter().any(|(id, _)| table.state(id).is_some_and(|state| state.pending.is_some()))
        });
        if pending && tenure == Tenure::Failover {
            self.reached(State::DelayThroughFailover);
        }
        self.pair.dual_ever |= self.begins_without_entries(node);
        self.pair.stood_still[node] = None;
        self.pair.tenures += 1;
        self.pair.led[node] = epoch.counter;
        self.pair.led_by[node] = self.nodes[node].boots;
        for result in results {
            self.check(result);
        }
    }

    /// Both sides hold the same connection for open.
    fn have_met(&self) -> bool {
        let [a, b] = self.nodes.each_ref().map(|node| node.process.as_ref().and_then(|process| process.arbiter_link));
        a.is_some() && a == b
    }

    /// This node has its peer's word still: who loses it in the middle of a healing takes the higher epoch when they meet
    /// again.
    fn knows(&self, node: usize) -> bool {
        let n = &self.nodes[node];
        let peer = n.process.as_ref().and_then(|process| process.arbiter.view(n.mono(self.now)).peer);
        self.have_met() && peer.is_some_and(|peer| peer.connected && peer.status == Status::Standby)
    }

    /// What its tags hear now is old: the arbiter has told them to stop since.
    fn will_be_quiesced(&self, node: usize) -> bool {
        let waits = |mail: &Mail| matches!(mail, Mail::Tags(TagInput::Quiesce));
        self.nodes[node].process.as_ref().is_some_and(|process| process.mailboxes.iter().flatten().any(waits))
    }

    fn disk_has_failed(&self, node: usize) -> bool {
        let n = &self.nodes[node];
        let told = n.process.as_ref().is_some_and(|process| {
            let view = process.arbiter.view(n.mono(self.now));
            !view.faults.is_empty()
        });
        told || n.disk.full || n.disk.trouble
    }

    /// A node hears its peer.
    pub fn hears(&mut self, node: usize) {
        let (before, exchange) = (self.pair.heard[node], self.exchange_us());
        if self.now - before > exchange {
            self.pair.heard_before[node] = before;
        }
        self.pair.heard[node] = self.now;
    }

    /// A node comes back with an empty disk: what only it knew is gone, and it is another one.
    pub fn pair_loses_disk(&mut self, node: usize) {
        self.pair.led[node] = 0;
        let journal = |node: usize| &self.nodes[node].journal;
        self.history.lost_disk(journal(node), journal(1 - node));
    }

    pub fn tenures(&self) -> u64 {
        self.pair.tenures
    }

    /// Whether some journal, or the other node in its memory, holds what this node does not take into account.
    fn begins_without_entries(&self, node: usize) -> bool {
        let Some(process) = &self.nodes[node].process else { return false };
        let included = process.alarms.included();
        let lacks = |(origin, last)| included.get(&origin).copied().unwrap_or(0) < last;
        let other = self.nodes[1 - node].process.as_ref();
        let in_memory = other.into_iter().flat_map(|other| other.alarms.held()).map(|(origin, last)| (*origin, *last));
        self.alarm_oracle.last_written().chain(in_memory).any(lacks)
    }

    pub fn tags_hear(&mut self, node: usize, input: &TagInput<'_>) {
        match input {
            TagInput::Frame(body) => self.frame_heard(node, body),
            TagInput::LaneDown => {
                let Some(process) = &self.nodes[node].process else { return };
                let facts = process.replicator.facts(&process.table);
                if self.pair.began_at[node].take().is_some() && !facts.in_sync {
                    self.pair.interrupted[node] = true;
                    self.reached(State::SyncInterrupted);
                }
            }
            TagInput::LaneUp => {
                if let [Some(a), Some(b)] = self.nodes.each_ref().map(|node| node.process.as_ref()) {
                    let lacks = |one: &crate::node::Process, other: &crate::node::Process| {
                        let held = |origin| other.alarms.held().get(origin).copied().unwrap_or(0);
                        one.alarms.held().iter().any(|(origin, last)| held(origin) < *last)
                    };
                    if lacks(a, b) && lacks(b, a) {
                        self.pair.parted = true;
                        self.reached(State::JournalsParted);
                    }
                }
            }
            TagInput::Lead(lineage) => {
                self.pair.gave_way = None;
                self.begins_to_lead(node, lineage);
            }
            // One whose next epoch cannot be stored goes on under the present one.
            TagInput::Resume
                if self.pair.gave_way == Some(1 - node)
                    && self.knows(node)
                    && !self.disk_has_failed(node)
                    && !self.will_be_quiesced(node) =>
            {
                let epoch = self.nodes[node].process.as_ref().map(|process| process.arbiter.epoch());
                self.check(invariants::goes_on_above_both(epoch.unwrap_or_default(), self.pair.led, false));
            }
            _ => {}
        }
    }

    fn frame_heard(&mut self, node: usize, body: &[u8]) {
        use hotpair_core::bulk::{Bulk, Incoming, decode};
        let Ok(Incoming::Message(message)) = decode(body) else { return };
        match message {
            Bulk::SyncStart { last, .. } => self.pair.began_at[node] = Some(last),
            Bulk::Ack { sync, frames, .. } => {
                let credit = &mut self.pair.credit[node];
                if credit.0 == sync {
                    credit.2 = credit.2.max(frames);
                }
            }
            _ => {}
        }
    }

    pub fn tags_did(&mut self, node: usize, effects: &[TagEffect]) {
        use hotpair_core::bulk::{Bulk, Incoming, decode};
        let mut results = Vec::new();
        let id = self.nodes[node].id;
        for effect in effects {
            match effect {
                TagEffect::ToArbiter(Input::Adopted(lineage)) => {
                    if let Some(process) = &mut self.nodes[node].process {
                        process.through = lineage.clone();
                    }
                }
                TagEffect::ToLane(frame) => match decode(&frame[hotpair_core::wire::HEADER_BYTES..]) {
                    Ok(Incoming::Batch(_)) => {
                        let credit = &mut self.pair.credit[node];
                        credit.1 += 1;
                        let under_way = credit.1.saturating_sub(credit.2) as usize;
                        results.push(invariants::bounded("unconfirmed batches", under_way, CREDIT as usize));
                    }
                    Ok(Incoming::Message(Bulk::SyncStart { sync, .. })) => self.pair.credit[node] = (sync, 0, 0),
                    _ => {}
                },
                TagEffect::Report(report) => {
                    self.seen.0[State::Divergence as usize] += 1;
                    for tag in &report.tags {
                        let newer = tag.survived.time >= tag.gave_way.time;
                        // What only one side has changed past the fork comes on top whatever its time: that is no choice.
                        let key = KEYS.iter().position(|path| **path == *tag.path);
                        if let Some(key) = key.filter(|_| !newer) {
                            let of = |value: &Value| if let Value::Int64(value) = value { *value } else { 0 };
                            let (kept, lost) = (of(&tag.survived.value), of(&tag.gave_way.value));
                            results.push(self.may_survive(node, key, kept, lost, report.fork));
                        }
                    }
                }
                _ => {}
            }
        }
        let Some(process) = &self.nodes[node].process else { return };
        if let Some(outbox) = process.table.outbox() {
            results.push(invariants::bounded("the outbox", outbox.pending, process.table.catalog().len()));
        }
        let facts = process.replicator.facts(&process.table);
        if facts.in_sync && !self.pair.was_in_sync[node] {
            if let Some(began_at) = self.pair.began_at[node].take() {
                results.push(invariants::in_sync_has_all(facts.applied, began_at));
            }
            if std::mem::take(&mut self.pair.interrupted[node]) {
                self.seen.0[State::SyncRepeated as usize] += 1;
            }
        }
        self.pair.was_in_sync[node] = facts.in_sync;
        if let Some(process) = &mut self.nodes[node].process
            && let Some(before) = process.goes_on_from.take()
        {
            results.push(invariants::goes_on_with_its_history(id, &before, &process.through));
        }
        for result in results {
            self.check(result);
        }
    }

    /// How long an exchange between the nodes takes at most, by the network of the last seconds.
    pub fn exchange_us(&self) -> u64 {
        let usual = 3 * self.plan.net_us + 8 * self.plan.mail_us + 20_000;
        usual + if self.is_slow() { SLOW_US } else { 0 }
    }

    fn is_slow(&self) -> bool {
        self.net.worst_us() > 0 || self.net.narrow.is_some() || self.net.slow_until + SLOW_US > self.now
    }

    /// After each event.
    pub fn watch_pair(&mut self) {
        let now = self.now;
        for node in 0..2 {
            let n = &self.nodes[node];
            let leads = n.process.as_ref().is_some_and(|process| process.replicator.leads());
            let since = &mut self.pair.leads_since[node];
            *since = if leads { Some(since.unwrap_or(now)) } else { None };
            if n.process.is_none() {
                self.pair.recoveries[node].clear();
                // What it answered, and told nobody else, may be gone with its memory.
                self.pair.answered.iter_mut().for_each(|answered| {
                    answered.take_if(|(_, at, _)| *at == node);
                });
                self.pair.stood_still[node] = None;
                self.pair.paused[node] = None;
                self.pair.was_in_sync[node] = false;
                self.pair.began_at[node] = None;
            } else if n.paused {
                if leads || self.pair.stood_still[node].is_some() {
                    self.pair.paused[node].get_or_insert(now);
                }
            } else if let Some(since) = self.pair.paused[node].take() {
                self.pair.stood_still[node] = Some((now, now - since));
            }
        }
        let [Some(a), Some(b)] = self.nodes.each_ref().map(|node| node.process.as_ref()) else {
            self.pair.open_since = None;
            self.pair.unsynced_since = None;
            return;
        };
        self.pair.dual_ever |= a.alarms.leads() && b.alarms.leads();
        for (node, process) in [a, b].into_iter().enumerate() {
            let counter = process.arbiter.epoch().counter;
            if self.pair.epoch[node].0 != counter {
                self.pair.epoch[node] = (counter, now);
            }
        }
        let linked = a.arbiter_link.is_some()
            && a.arbiter_link == b.arbiter_link
            && a.link == b.link
            && a.link == a.arbiter_link;
        if linked {
            self.pair.met = [self.nodes[1].boots, self.nodes[0].boots];
        }
        let open = linked && self.is_whole();
        if !open {
            self.pair.gave_way = None;
            self.pair.open_since = None;
            self.pair.unsynced_since = None;
            return;
        }
        let open_since = *self.pair.open_since.get_or_insert(now);
        let exchange = self.exchange_us();
        if now - open_since > exchange {
            for node in 0..2 {
                let boot = self.nodes[node].boots;
                // What the peer ran or followed before this link came is in its greeting.
                let (counter, since) = self.pair.epoch[1 - node];
                if now - since > exchange {
                    let known = &mut self.pair.seen[node];
                    let before = if known.0 == boot { known.1 } else { 0 };
                    *known = (boot, before.max(counter));
                }
            }
        }
        self.tell_recoveries(exchange);
        self.watch_readiness(exchange);
    }

    /// A Master recovers, or its Backup hears that it did.
    fn recovers(&mut self, node: usize, to: Status) {
        if to == Status::Running {
            // The node that gave it away knows of all, unless both processes were gone at once.
            let known = self.pair.recoveries[1 - node].iter().filter(|at| **at + GUARD_PERIOD_US > self.now);
            let result = invariants::recovers_seldom(known.count() + 1);
            self.check(result);
            self.pair.recovered_at = self.now;
        }
        self.pair.recoveries[node].insert(self.pair.recovered_at);
    }

    /// What one node knows the other one knows, too, after an exchange.
    fn tell_recoveries(&mut self, exchange: u64) {
        let told = self.now - self.pair.open_since.unwrap_or(self.now) > exchange;
        let [one, other] = &mut self.pair.recoveries;
        if told && one != other && one.union(other).all(|at| self.now - at > exchange) {
            one.extend(other.iter());
            other.clone_from(one);
        }
    }

    /// A node carried out a client's write.
    pub fn wrote(&mut self, node: usize, key: usize, value: i64) {
        let Some((at, for_us)) = self.pair.stood_still[node] else { return };
        let failover_us = self.plan.failover_time_ms * 1000;
        let fenced_until = at + failover_us * 98 / 100;
        if for_us > failover_us + 5 * PING_RATE_MS * 1000 && self.now < fenced_until && self.pair.heard[node] <= at {
            let what = || format!("{} = {value} {} us after {for_us} us", KEYS[key], self.now - at);
            self.check(invariants::fenced(self.nodes[node].id, true, what));
        }
    }
}
