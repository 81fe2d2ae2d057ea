//! Operators at both nodes: they acknowledge what they see, or saw a while ago, comment, shelve, and repeat what they got
//! no answer to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hotpair_core::alarms::{AlarmAction, AlarmRequest, AlarmResult, EventId, Who};
use hotpair_core::invariants;
use hotpair_core::protocol::{AlarmOutcome, WriteRefusal};

use crate::node::Mail;
use crate::plan::{KEYS, SOURCES};
use crate::world::{Event, World};

/// So many events an operator remembers.
const REMEMBERED: usize = 12;

/// A request that is not answered.
pub struct Asked {
    pub request: AlarmRequest,
    pub node: usize,
    pub boot: u64,
    pub since: u64,
    /// When the client asked, also of a node that stood still since.
    pub began: u64,
}

#[derive(Default)]
pub struct Operators {
    pub waiting: BTreeMap<u64, Asked>,
    seen: VecDeque<EventId>,
}

impl World {
    pub fn operator(&mut self) {
        let wait = self.rng.range(1_000, self.plan.operate_every_us * 2);
        self.after(wait, Event::Operator);
        let done = self.quiet_since.is_some_and(|since| self.now > since + 4_000_000);
        let Some(node) = self.someone().filter(|_| !done) else { return };
        self.load.next += 1;
        let number = self.load.next;
        let text = |text: String| -> Arc<str> { Arc::from(text) };
        let comment = if self.rng.percent(60) { text(format!("comment {number}")) } else { text(String::new()) };
        let path = if self.rng.percent(50) { KEYS[number as usize % 4] } else { SOURCES[number as usize % 4] };
        let path = self.rng.pick(&[path, "Plant/*", "*"]);
        let action = match self.rng.range(0, 9) {
            0..=5 => self.event_seen_at(node).map(|event| AlarmAction::Acknowledge { event, comment }),
            6 => self.event_seen_at(node).map(|event| AlarmAction::Comment { event, comment }),
            7 | 8 => {
                let for_ms = self.rng.pick(&[300, 2_000, 60_000]);
                Some(AlarmAction::Shelve { path: path.into(), for_ms, comment })
            }
            _ => Some(AlarmAction::Unshelve { path: path.into(), comment }),
        };
        let Some(action) = action else { return };
        let operation = self.rng.percent(85).then(|| text(format!("request-{number}")));
        let who = Who { operator: text(format!("operator {}", number % 3)), node: self.nodes[node].id };
        self.send_request(node, AlarmRequest { action, who, operation });
    }

    fn event_seen_at(&mut self, node: usize) -> Option<EventId> {
        let process = self.nodes[node].process.as_ref()?;
        let live: Vec<_> = process.alarm_table.live().map(|(_, live)| live.event).collect();
        let seen = &mut self.load.operators.seen;
        if self.rng.percent(80) && !live.is_empty() {
            let event = self.rng.pick(&live);
            seen.push_back(event);
            if seen.len() > REMEMBERED {
                seen.pop_front();
            }
            return Some(event);
        }
        let seen: Vec<_> = seen.iter().copied().collect();
        (!seen.is_empty()).then(|| self.rng.pick(&seen))
    }

    pub fn send_request(&mut self, node: usize, request: AlarmRequest) {
        if self.nodes[node].process.is_none() {
            return;
        }
        self.load.next += 1;
        let ticket = self.load.next;
        self.history_request(&request);
        let asked =
            Asked { request: request.clone(), node, boot: self.nodes[node].boots, since: self.now, began: self.now };
        self.load.operators.waiting.insert(ticket, asked);
        self.mail(node, Mail::Operate(ticket, request));
    }

    pub fn request_answered(&mut self, node: usize, ticket: u64, outcome: &AlarmOutcome) {
        self.note(|| format!("{} answers request {ticket}: {outcome:?}", self.nodes[node].name));
        let Some(asked) = self.load.operators.waiting.remove(&ticket) else {
            return self.check(invariants::answered("a request that was answered already", 1, 0));
        };
        self.history_requested(node, &asked.request, outcome);
        let again = match outcome {
            AlarmOutcome::Done { result, replicated } => {
                if *result == AlarmResult::Good {
                    self.was_promised(&asked.request, asked.began, *replicated);
                }
                self.rng.percent(10)
            }
            AlarmOutcome::Refused(WriteRefusal::OutcomeUnknown) => self.rng.percent(90),
            AlarmOutcome::Refused(_) => self.rng.percent(30),
        };
        if again && asked.request.operation.is_some() {
            let node = self.rng.range(0, 1) as usize;
            let later = self.rng.pick(&[0, 30_000, 800_000, 2_000_000]);
            self.after(later, Event::RepeatRequest(node, asked.request));
        }
    }
}
