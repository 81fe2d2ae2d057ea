//! What is explored, and that what is broken is found.

use hotpair_core::types::RecoveryMode;

use crate::explore::explore;
use crate::plan::{Begin, Broken, Budget, Plan, Reached};

/// Explores more, or less, than what every run does.
fn depth(default: usize) -> usize {
    std::env::var("HOTPAIR_MODEL_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(default)
}

fn holds(plan: Plan) {
    let explored = explore(Plan { depth: depth(plan.depth), ..plan });
    if let Some(wrong) = explored.wrong {
        println!("\n{}\nIt does not hold that {}: {}\n", wrong.story, wrong.rule, wrong.what);
        panic!("{}. To repeat it: cargo test --test model {} -- --nocapture", wrong.what, plan.name);
    }
    if depth(plan.depth) >= plan.depth {
        assert_eq!(explored.missed, [""; 0], "{} does not reach it", plan.name);
    }
}

macro_rules! plans {
    ($($name:ident: $recovery:ident, fast $fast:expr, $begin:ident, $depth:expr, { $($budget:tt)* }, [$($reached:ident),*];)*) => {$(
        #[test]
        fn $name() {
            holds(Plan {
                name: stringify!($name),
                recovery: RecoveryMode::$recovery,
                fast_failover: $fast,
                begin: Begin::$begin,
                budget: Budget { $($budget)* ..Budget::default() },
                depth: $depth,
                reaches: &[$(Reached::$reached),*],
                broken: None,
            });
        }
    )*};
}

plans! {
    cold_start: Automatic, fast true, Cold, 17, { deaths: 1, cuts: 1, deadlines: 4, }, [BothRun, Failover, DualRunning];
    cold_start_manual: Manual, fast false, Cold, 17, { deaths: 1, cuts: 1, deadlines: 4, }, [BothRun, Failover, DualRunning];
    switch: Automatic, fast true, Running, 15, { deaths: 1, cuts: 1, switches: 1, deadlines: 3, }, [Switch, Failover];
    switch_back: Manual, fast false, Switched, 13, { deaths: 1, cuts: 1, switches: 2, deadlines: 3, }, [Switch, Failover];
    switch_in_silence: Automatic, fast true, Running, 12, { silences: 2, cuts: 1, switches: 1, deadlines: 3, changes: 1, }, [Switch, BothRun];
    both: Automatic, fast true, Both, 16, { deaths: 1, cuts: 1, deadlines: 3, }, [BothRun, DualRunning];
    both_manual: Manual, fast true, Both, 17, { deaths: 1, cuts: 1, deadlines: 3, }, [BothRun, DualRunning];
    both_stand_still: Automatic, fast true, Both, 12, { standstills: 2, silences: 1, deadlines: 3, }, [BothRun, Fenced];
    failed_over: Automatic, fast true, FailedOver, 15, { deaths: 2, cuts: 1, deadlines: 3, }, [Failover];
    recovery: Automatic, fast true, Returned, 16, { cuts: 1, deadlines: 1, }, [Recovery];
    failed_over_manual: Manual, fast true, FailedOver, 15, { deaths: 2, cuts: 1, deadlines: 3, }, [Failover];
    disk: Automatic, fast true, Running, 12, { disk_failures: 2, switches: 1, cuts: 1, deaths: 1, deadlines: 3, }, [Switch, Failover];
    stand_still: Automatic, fast true, Running, 10, { standstills: 2, silences: 2, switches: 1, deadlines: 3, }, [Switch, Fenced];
    holds_and_faults: Automatic, fast true, Running, 9, { holds: 1, faults: 1, deaths: 1, switches: 1, deadlines: 3, }, [Faulted, Switch];
    stops: Automatic, fast true, Running, 12, { stops: 2, cuts: 1, switches: 1, deadlines: 3, }, [Down, Switch, Failover];
    lanes: Automatic, fast true, Running, 11, { lanes: 2, changes: 2, switches: 1, deaths: 1, deadlines: 2, }, [Switch, Failover];
}

/// What is broken on purpose must be found.
fn finds(broken: Broken, begin: Begin, budget: Budget, what: &str) {
    let name = "broken on purpose";
    let (recovery, reaches, fast_failover) = (RecoveryMode::Automatic, &[], true);
    let plan = Plan { name, recovery, fast_failover, begin, budget, depth: 14, reaches, broken: Some(broken) };
    let wrong = explore(plan).wrong.map(|wrong| wrong.what);
    assert!(wrong.as_ref().is_some_and(|wrong| wrong.contains(what)), "{broken:?}: {wrong:?}");
}

#[test]
fn a_disk_that_lies_is_found() {
    let budget = Budget { deaths: 1, deadlines: 3, ..Budget::default() };
    finds(Broken::LyingDisk, Begin::Cold, budget, "EPOCH-3");
}

#[test]
fn an_arbiter_that_is_deaf_to_aborts_is_found() {
    let budget = Budget { switches: 1, deadlines: 2, changes: 1, ..Budget::default() };
    finds(Broken::DeafToAborts, Begin::Running, budget, "it offered");
}

#[test]
fn a_takeover_without_the_failover_time_is_found() {
    let budget = Budget { silences: 1, deadlines: 2, ..Budget::default() };
    finds(Broken::NoPatience, Begin::Running, budget, "before the failover time");
}
