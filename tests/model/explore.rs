//! Explores a plan with stateright, and tells what was seen.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::pair::{Pair, Step, World};
use crate::plan::Plan;

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
        vec![
            Property::always("no rule is broken", |_: &Self, pair: &Pair| pair.violation.is_none()),
            Property::always("the pair heals", |world: &Self, pair: &Pair| {
                pair.violation.is_some() || world.heals(pair).is_ok()
            }),
        ]
    }
}

/// Explores a plan. Returns what is wrong, after telling how it comes to that.
pub fn explore(plan: Plan) -> Option<String> {
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
    let (name, path) = checker.discoveries().into_iter().next()?;
    println!("\n{}: it does not hold that {name}:\n", plan.name);
    let path = path.into_vec();
    let last = path.last().map(|(pair, _)| pair.clone())?;
    world.tell_path(path);
    let what = if let Some(violation) = last.violation {
        world.known().violations[violation as usize].clone()
    } else {
        let why = world.heals(&last).err().unwrap_or_default();
        println!("\nWhen nothing fails any more:\n");
        world.tell_quiet(&last);
        why
    };
    println!("\n{what}\n");
    Some(what)
}
