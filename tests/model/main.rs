//! The real arbiters of two nodes, in every order of events up to a bound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod begin;
mod data;
mod explore;
mod node;
mod pair;
mod plan;
mod quiet;
mod tell;

use hotpair_core::types::RecoveryMode;

use explore::explore;
use plan::{Begin, Budget, Plan};

fn plan(name: &'static str, recovery: RecoveryMode, begin: Begin, depth: usize, budget: Budget) -> Plan {
    Plan { name, recovery, fast_failover: true, begin, budget, depth, broken: None }
}

fn holds(plan: Plan) {
    let wrong = explore(plan);
    assert_eq!(wrong, None, "cargo test --test model {} -- --nocapture", plan.name);
}


fn depth(default: usize) -> usize {
    std::env::var("HOTPAIR_MODEL_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(default)
}

macro_rules! plans {
    ($($name:ident: $recovery:ident, $begin:ident, $depth:expr, { $($budget:tt)* };)*) => {$(
        #[test]
        fn $name() {
            let budget = Budget { $($budget)* ..Budget::default() };
            holds(plan(stringify!($name), RecoveryMode::$recovery, Begin::$begin, depth($depth), budget));
        }
    )*};
}

plans! {
    cold_start: Automatic, Cold, 18, { deaths: 1, cuts: 1, deadlines: 4, };
    cold_start_manual: Manual, Cold, 18, { deaths: 1, cuts: 1, deadlines: 4, };
    switch: Automatic, Running, 18, { deaths: 1, cuts: 1, switches: 1, deadlines: 3, };
    switch_back: Manual, Switched, 18, { deaths: 1, cuts: 1, switches: 2, deadlines: 3, };
    switch_silence: Automatic, Running, 18, { silences: 2, cuts: 1, switches: 1, deadlines: 3, changes: 1, };
    both: Automatic, Both, 18, { deaths: 1, cuts: 1, deadlines: 3, };
    both_manual: Manual, Both, 18, { deaths: 1, cuts: 1, deadlines: 3, };
    both_standstill: Automatic, Both, 18, { standstills: 2, silences: 1, deadlines: 3, };
    failed_over: Automatic, FailedOver, 18, { deaths: 2, cuts: 1, deadlines: 3, };
    failed_over_manual: Manual, FailedOver, 18, { deaths: 2, cuts: 1, deadlines: 3, };
    disk: Automatic, Running, 18, { disk_failures: 2, switches: 1, cuts: 1, deaths: 1, deadlines: 3, };
    standstill: Automatic, Running, 18, { standstills: 2, silences: 2, switches: 1, deadlines: 3, };
    holds_and_faults: Automatic, Running, 18, { holds: 1, faults: 1, deaths: 1, switches: 1, deadlines: 3, };
    stops: Automatic, Running, 18, { stops: 2, cuts: 1, switches: 1, deadlines: 3, };
    lanes: Automatic, Running, 18, { lanes: 2, changes: 2, switches: 1, deaths: 1, deadlines: 2, };
}
