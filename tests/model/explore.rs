//! Explores a plan with stateright, and tells what was seen.

use std::time::Instant;

use hotpair_core::protocol::Tenure;
use hotpair_core::types::Status;
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::node::Process;
use crate::pair::{Pair, Step, World};
use crate::plan::{Plan, Reached};

const NO_RULE_IS_BROKEN: &str = "no rule is broken";
const THE_PAIR_HEALS: &str = "the pair heals";

impl Model for World {
    type State = Pair;
    type Action = Step;

    fn init_states(&self) -> Vec<Pair> {
        vec![self.begin()]
    }

    fn actions(&self, pair: &Pair, steps: &mut Vec<Step>) {
        self.steps(pair, steps);
    }

    fn next_state(&self, pair: &Pair, step: Step) -> Option<Pair> {
        self.after(pair, &step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(NO_RULE_IS_BROKEN, |_: &Self, pair: &Pair| pair.violation.is_none()),
            Property::always(THE_PAIR_HEALS, |world: &Self, pair: &Pair| {
                pair.violation.is_some() || [false, true].iter().all(|&backwards| world.heals(pair, backwards).is_ok())
            }),
        ];
        properties.extend(self.plan.reaches.iter().map(|reached| reached.property()));
        properties
    }
}

impl Reached {
    fn property(self) -> Property<World> {
        match self {
            Self::BothRun => Property::sometimes("both run", |world: &World, pair: &Pair| {
                let known = world.known();
                pair.nodes.iter().all(|&node| known.process(node).is_some_and(Process::takes_changes))
            }),
            Self::Failover => {
                Property::sometimes("failover", |world: &World, pair: &Pair| any(world, pair, runs(Tenure::Failover)))
            }
            Self::Switch => {
                Property::sometimes("switch", |world: &World, pair: &Pair| any(world, pair, runs(Tenure::Switch)))
            }
            Self::Recovery => {
                Property::sometimes("recovery", |world: &World, pair: &Pair| any(world, pair, runs(Tenure::Recovery)))
            }
            Self::DualRunning => Property::sometimes("one of two stays", |world: &World, pair: &Pair| {
                any(world, pair, runs(Tenure::DualRunning))
            }),
            Self::Faulted => Property::sometimes("faulted", |world: &World, pair: &Pair| {
                any(world, pair, |process| process.shown.status == Status::Faulted)
            }),
            Self::Fenced => Property::sometimes("fenced", |world: &World, pair: &Pair| {
                any(world, pair, |process| process.met && process.shown.status == Status::Unknown)
            }),
            Self::Down => Property::sometimes("down", |world: &World, pair: &Pair| {
                let known = world.known();
                pair.nodes.iter().any(|&node| known.nodes[node as usize].boots > 0 && known.process(node).is_none())
            }),
        }
    }
}

fn runs(tenure: Tenure) -> impl Fn(&Process) -> bool {
    move |process| process.takes_changes() && process.shown.tenure == tenure
}

fn any(world: &World, pair: &Pair, is: impl Fn(&Process) -> bool) -> bool {
    let known = world.known();
    pair.nodes.iter().any(|&node| known.process(node).is_some_and(&is))
}

/// What came of it.
pub struct Explored {
    /// The rule that does not hold, what was seen, and the way there.
    pub wrong: Option<Wrong>,
    /// What was to be reached and was not.
    pub missed: Vec<&'static str>,
}

pub struct Wrong {
    pub rule: &'static str,
    pub what: String,
    pub story: String,
}

/// Explores a plan. One thread: so it is the same each time.
pub fn explore(plan: Plan) -> Explored {
    let begun = Instant::now();
    let checker = World::new(plan).checker();
    let checker = checker.target_max_depth(plan.depth).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let world = checker.model();
    let (nodes, messages) = world.known().sizes();
    println!(
        "{}: {} steps made, {} states, depth {}; {nodes} states of a node, {messages} messages; {:.1?}",
        plan.name,
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        begun.elapsed(),
    );
    let mut found = checker.discoveries();
    let rules = [NO_RULE_IS_BROKEN, THE_PAIR_HEALS];
    let wrong = rules.iter().find_map(|&rule| found.remove(rule).map(|path| world.wrong(rule, path.into_vec())));
    let to_reach = world.properties().into_iter().skip(rules.len()).map(|property| property.name);
    Explored { wrong, missed: to_reach.filter(|name| !found.contains_key(name)).collect() }
}

impl World {
    fn wrong(&self, rule: &'static str, path: Vec<(Pair, Option<Step>)>) -> Wrong {
        let mut story = String::new();
        let last = path.last().map(|(pair, _)| pair.clone());
        self.tell_path(path, &mut story);
        let mut what = String::new();
        if let Some(last) = last {
            if let Some(violation) = last.violation {
                what.clone_from(&self.known().violations[violation as usize]);
            }
            for backwards in [false, true] {
                if let (true, Err(why)) = (what.is_empty(), self.heals(&last, backwards)) {
                    what = why;
                    self.tell_quiet(&last, backwards, &mut story);
                }
            }
        }
        Wrong { rule, what, story }
    }
}
