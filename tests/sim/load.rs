//! What comes from outside: clients that write and press Switch, sources that publish.

use std::collections::BTreeMap;
use std::sync::Arc;

use hotpair_core::arbiter::{Input, SwitchOrder};
use hotpair_core::invariants;
use hotpair_core::protocol::{WriteItem, WriteOutcome, WriteRefusal};
use hotpair_core::quality::Quality;
use hotpair_core::replicator::{Published, WriteOrder};
use hotpair_core::types::NodeId;
use hotpair_core::value::Value;

use crate::alarms::LIMIT;
use crate::node::Mail;
use crate::plan::{KEYS, SOURCES};
use crate::world::{Event, World};

/// Longer than every time-out and a slow disk together: what it does, what the peer wants to read, and then what is asked.
const ANSWER_WITHIN_US: u64 = 17_000_000;

#[derive(Clone, Debug)]
pub struct Write {
    pub operation: Option<Arc<str>>,
    pub keys: Vec<usize>,
    pub value: i64,
}

#[derive(Default)]
pub struct Load {
    pub next: u64,
    /// Whether what is written now is beyond the limits.
    high: bool,
    pub operators: crate::operators::Operators,
    /// Not answered yet: at which process, since when.
    pub writes: BTreeMap<u64, (Write, usize, u64, u64)>,
    pub orders: BTreeMap<u64, (usize, u64, u64)>,
}

impl World {
    pub fn someone(&mut self) -> Option<usize> {
        let node = self.rng.range(0, 1) as usize;
        [node, 1 - node].into_iter().find(|node| self.nodes[*node].process.is_some())
    }

    pub fn client(&mut self) {
        let wait = self.rng.range(1_000, self.plan.write_every_us * 2);
        self.after(wait, Event::Client);
        let done = self.quiet_since.is_some_and(|since| self.now > since + 4_000_000);
        let Some(node) = self.someone().filter(|_| !done) else { return };
        self.load.next += 1;
        self.load.high ^= self.rng.percent(self.plan.flip_percent);
        let value = self.load.next.cast_signed() + if self.load.high { 2 * LIMIT } else { 0 };
        let operation = self.rng.percent(50).then(|| Arc::from(format!("operation-{value}")));
        let first = self.rng.range(0, 3) as usize;
        let keys = if self.rng.percent(20) { vec![first, (first + 1) % 4] } else { vec![first] };
        self.send_write(node, Write { operation, keys, value });
    }

    pub fn send_write(&mut self, node: usize, write: Write) {
        if self.nodes[node].process.is_none() {
            return;
        }
        self.load.next += 1;
        let ticket = self.load.next;
        let items = write.keys.iter().map(|key| WriteItem {
            path: KEYS[*key].into(),
            value: Value::Int64(write.value),
            quality: Quality::GOOD,
            time: None,
        });
        let order = WriteOrder { ticket, operation: write.operation.clone(), items: items.collect() };
        self.history_write(&write);
        self.load.writes.insert(ticket, (write, node, self.nodes[node].boots, self.now));
        self.mail(node, Mail::Write(order));
    }

    pub fn write_answered(&mut self, node: usize, ticket: u64, outcome: &WriteOutcome) {
        self.note(|| format!("{} answers write {ticket}: {outcome:?}", self.nodes[node].name));
        let Some((write, ..)) = self.load.writes.remove(&ticket) else {
            return self.check(invariants::answered("a write that was answered already", 1, 0));
        };
        self.history_written(node, &write, outcome);
        self.answer_given(node, &write, outcome);
        let again = match outcome {
            WriteOutcome::Done { results, replicated } => {
                self.oracle_answered(&write, results, *replicated);
                self.rng.percent(10)
            }
            WriteOutcome::Refused(WriteRefusal::OutcomeUnknown) => self.rng.percent(90),
            WriteOutcome::Refused(_) => self.rng.percent(30),
        };
        if again && write.operation.is_some() {
            let node = self.rng.range(0, 1) as usize;
            let later = self.rng.pick(&[0, 30_000, 800_000, 2_000_000]);
            self.after(later, Event::Repeat(node, write));
        }
    }

    pub fn switch_answered(&mut self, node: usize, request: u64, result: &Result<(), String>) {
        self.note(|| format!("{} answers Switch {request}: {result:?}", self.nodes[node].name));
        self.history_switched(request, result);
        if self.load.orders.remove(&request).is_none() {
            self.check(invariants::answered("a switch that was answered already", 1, 0));
        }
    }

    pub fn source(&mut self, node: usize) {
        let boot = self.nodes[node].boots;
        let wait = self.rng.range(20_000, 200_000);
        self.after(wait, Event::Source(node, boot));
        if self.quiet_since.is_some_and(|since| self.now > since + 4_000_000) {
            return;
        }
        let (catalog, time) = (self.nodes[node].catalog.clone(), self.nodes[node].wall(self.now));
        let seen = self.now as f64;
        let updates = SOURCES.iter().enumerate().filter_map(|(place, path)| {
            let value = match place {
                0 => Value::Float64(seen % 3_000_000.0),
                2 => Value::String(format!("mode {}", self.now / 500_000 % 4).into()),
                3 => Value::Bool((self.now / 700_000).is_multiple_of(2)),
                _ => Value::Float64(seen),
            };
            Some(Published { id: catalog.find(path)?, value, quality: Quality::GOOD, time })
        });
        let updates = updates.collect();
        self.mail(node, Mail::Publish(updates));
    }

    pub fn press_switch(&mut self, node: usize) {
        if self.nodes[node].process.is_none() {
            return;
        }
        // Numbers of requests are their node's own: the peer must not mistake one for another.
        self.load.next += 1;
        let request = (1 << 40) + self.load.next;
        let order =
            SwitchOrder { request, expected_epoch: 0, to: NodeId(0), reason: "wish".into(), user: "operator".into() };
        self.history_switch(request);
        self.load.orders.insert(request, (node, self.nodes[node].boots, self.now));
        self.mail(node, Mail::Arbiter(Input::Switch(order)));
    }

    /// Who waits too long?
    pub fn check_answers(&mut self) {
        let mut waiting = Vec::new();
        let nodes = &self.nodes;
        let there = |node: usize, boot: u64| nodes[node].process.is_some() && nodes[node].boots == boot;
        self.load.writes.retain(|_, (_, node, boot, _)| there(*node, *boot));
        self.load.orders.retain(|_, (node, boot, _)| there(*node, *boot));
        for (ticket, (_, node, _, since)) in &self.load.writes {
            waiting.push((format!("write {ticket}"), *node, *since));
        }
        self.load.operators.waiting.retain(|_, asked| there(asked.node, asked.boot));
        for (ticket, asked) in &self.load.operators.waiting {
            waiting.push((format!("request {ticket}"), asked.node, asked.since));
        }
        for (request, (node, _, since)) in &self.load.orders {
            waiting.push((format!("switch {request}"), *node, *since));
        }
        for (what, node, since) in waiting {
            if self.nodes[node].works() && self.nodes.iter().all(|node| !node.disk.full && node.disk.slow.is_none()) {
                self.check(invariants::answered(&what, self.now - since, ANSWER_WITHIN_US));
            }
        }
    }
}
