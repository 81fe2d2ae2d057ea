//! A run of the simulation: what it is made of, and what came of it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fault::KINDS;
use crate::schedule::Schedule;
use crate::sometimes::Seen;
use crate::world::{Broken, World};

/// Who works in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loads {
    pub clients: bool,
    pub operators: bool,
    pub sources: bool,
}

const LOADS: [&str; 3] = ["clients", "operators", "sources"];

impl Loads {
    const ALL: Self = Self { clients: true, operators: true, sources: true };

    pub fn each(&mut self) -> [&mut bool; 3] {
        [&mut self.clients, &mut self.operators, &mut self.sources]
    }
}

/// Everything that decides a run.
#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub broken: Option<Broken>,
    pub schedule: Schedule,
    pub loads: Loads,
}

/// What is wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wrong {
    /// Of the invariant, or `PANIC`.
    pub id: &'static str,
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

pub struct Outcome {
    pub wrong: Option<Wrong>,
    pub events: u64,
    /// Simulated time, in microseconds.
    pub us: u64,
    /// How many faults of each kind happened.
    pub happened: [u64; KINDS.len()],
    pub seen: Seen,
}

impl Case {
    /// As the seed draws it.
    pub fn of(seed: u64, broken: Option<Broken>) -> Self {
        Self { seed, broken, schedule: Schedule::draw(seed), loads: Loads::ALL }
    }

    /// As the seed draws it, less what `HOTPAIR_FAULTS` and `HOTPAIR_WITHOUT` leave out.
    pub fn from_environment(seed: u64) -> Self {
        let mut case = Self::of(seed, None);
        if let Ok(list) = std::env::var("HOTPAIR_FAULTS") {
            case.schedule = case.schedule.only(&list);
        }
        let without = std::env::var("HOTPAIR_WITHOUT").unwrap_or_default();
        for (load, name) in case.loads.each().into_iter().zip(LOADS) {
            *load = !without.split(',').any(|one| one.trim() == name);
        }
        case
    }

    /// The command that repeats it.
    pub fn command(&self) -> String {
        let drawn = Self::of(self.seed, None);
        let faults = if self.schedule == drawn.schedule {
            String::new()
        } else {
            format!(" HOTPAIR_FAULTS={}", self.schedule.list(&drawn.schedule))
        };
        let mut loads = self.loads;
        let off = loads.each().into_iter().zip(LOADS).filter(|(load, _)| !**load).map(|(_, name)| name);
        let off = off.collect::<Vec<_>>().join(",");
        let without = if off.is_empty() { off } else { format!(" HOTPAIR_WITHOUT={off}") };
        format!("HOTPAIR_SEED={}{faults}{without} cargo test --test sim seeds -- --nocapture", self.seed)
    }

    pub fn play(&self) -> Outcome {
        let mut world = World::new(self);
        let wrong = match catch_unwind(AssertUnwindSafe(|| world.run())) {
            Ok(Ok(())) => None,
            Ok(Err(violation)) => Some(Wrong { id: violation.id, what: violation.what }),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or(panic.downcast_ref::<&str>().map(ToString::to_string));
                Some(Wrong { id: "PANIC", what: words.unwrap_or_default() })
            }
        };
        Outcome { wrong, events: world.events, us: world.now, happened: world.happened, seen: world.seen }
    }
}
