//! What happens when nothing fails any more: one fair order of all that is left to be done.
//!
//! Both clocks go alike; time passes only when nothing else is to be done.

use std::hash::{DefaultHasher, Hash, Hasher};

use hotpair_core::protocol::Tenure;
use hotpair_core::types::{RecoveryMode, Status};

use crate::data::Stage;
use crate::node::{Happens, Node, Process};
use crate::pair::{Known, Pair, Step, World};
use crate::plan::Budget;

/// A pair that has not settled after so many steps never will.
const MANY_STEPS: usize = 1000;

impl World {
    /// Whether one node runs and the other one stands by in sync, after a while, from this state on.
    pub fn heals(&self, pair: &Pair, backwards: bool) -> Result<(), String> {
        let mut pair = Pair { left: Budget::default(), ..pair.clone() };
        let mut seen = Vec::new();
        let result = loop {
            let print = (backwards, fingerprint(&pair));
            if self.known().healing.contains(&print) {
                break Ok(());
            }
            seen.push(print);
            match self.quiet_steps(&pair, backwards) {
                None => break Ok(()),
                Some(steps) if steps.is_empty() => break Err("nothing is left to be done".to_owned()),
                Some(_) if seen.len() > MANY_STEPS => break Err("it goes on for ever".to_owned()),
                Some(steps) => pair = self.quietly(&pair, &steps),
            }
            if let Some(violation) = pair.violation {
                break Err(self.known().violations[violation as usize].clone());
            }
        };
        if result.is_ok() {
            self.known().healing.extend(seen);
        }
        result
    }

    /// Lets the pair come to rest.
    pub fn settled(&self, mut pair: Pair) -> Pair {
        for _ in 0..MANY_STEPS {
            let Some(steps) = self.quiet_steps(&pair, false) else { return pair };
            pair = self.quietly(&pair, &steps);
        }
        panic!("the pair does not come to rest: {}", self.describe(&pair));
    }

    fn quietly(&self, pair: &Pair, steps: &[Step]) -> Pair {
        steps.iter().fold(pair.clone(), |pair, step| self.after(&pair, step).unwrap_or(pair))
    }

    /// What is to be done next; none: the pair is at rest.
    pub fn quiet_steps(&self, pair: &Pair, backwards: bool) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        self.steps(&Pair { left: Budget::default(), ..pair.clone() }, &mut steps);
        let known = self.known();
        // A peer that comes back at once is suspected by nobody.
        let idle = |step: &Step| matches!(step, Step::At(_, Happens::Suspects | Happens::ProvesDeath));
        steps.retain(|step| !idle(step));
        let step = if backwards { steps.pop() } else { steps.into_iter().next() };
        if let Some(step) = step {
            return Some(vec![step]);
        }
        if is_at_rest(self.plan.recovery, &known, pair) {
            return None;
        }
        let left = pair
            .nodes
            .iter()
            .filter_map(|&node| known.process(node))
            .filter_map(|process| process.arbiter.next_deadline(process.now).map(|due| due.since(process.now)));
        Some(left.min().map_or(Vec::new(), |ms| [0, 1].map(|who| Step::At(who, Happens::Waits(ms))).to_vec()))
    }

    /// Both nodes, and what is under way, in a line.
    pub fn describe(&self, pair: &Pair) -> String {
        let known = self.known();
        let nodes = pair.nodes.map(|node| known.nodes[node as usize].describe());
        let conns: Vec<_> = pair
            .conns
            .iter()
            .map(|conn| format!("{:?} with {}+{} under way", conn.ends, conn.wires[0].len(), conn.wires[1].len()))
            .collect();
        format!("{} | {} | {}", nodes[0], nodes[1], conns.join(", "))
    }
}

/// One runs, under the highest epoch; the other one could take over; everybody has an answer; and a Master that is to
/// recover has recovered.
fn is_at_rest(recovery: RecoveryMode, known: &Known, pair: &Pair) -> bool {
    let [Some(master), Some(backup)] = pair.nodes.map(|node| known.process(node)) else { return false };
    let runs = |process: &Process| process.shown.status == Status::Running && process.takes_changes();
    let ready = |process: &Process| process.shown.status == Status::Standby && process.data.stage == Stage::InSync;
    let shown = master.shown.ready && backup.shown.ready && master.orders.is_empty() && backup.orders.is_empty();
    let won = matches!(backup.shown.tenure, Tenure::Failover | Tenure::Start);
    let recovery_is_due = recovery == RecoveryMode::Automatic && won && !master.shown.recovery_suspended;
    let [one, two] = pair.nodes.map(|node| &known.nodes[node as usize]);
    // A process that died may have led under an epoch that nobody else ever heard of.
    let highest =
        |runs: &Node, other: &Node| other.boots > 1 || other.joined_lower || runs.greatest_led > other.greatest_led;
    let outranked = if runs(master) { !highest(one, two) } else { !highest(two, one) };
    shown && !outranked && (runs(master) && ready(backup) || runs(backup) && ready(master) && !recovery_is_due)
}

fn fingerprint(pair: &Pair) -> u64 {
    let mut hasher = DefaultHasher::new();
    (pair.nodes, &pair.conns).hash(&mut hasher);
    hasher.finish()
}
