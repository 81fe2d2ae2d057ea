//! The deterministic simulation of a pair: the machines of two nodes, on a simulated network, disk and clock, under
//! faults drawn from a seed. Invariants are checked after every event; when the faults end, the pair must heal.
//!
//! `HOTPAIR_SEED=7 cargo test --test sim` repeats seed 7 and prints its last events; `HOTPAIR_SEEDS=1000..9000` runs
//! these; `HOTPAIR_TRACE=500` prints more of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod alarm_oracle;
mod alarms;
mod disk;
mod journal;
mod load;
mod net;
mod node;
mod operators;
mod oracle;
mod plan;
mod rng;
mod trace;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use world::{Broken, World};

const SEEDS_IN_CI: Range<u64> = 0..300;

/// What went wrong with a seed, and how many events it took.
fn run(seed: u64, broken: Option<Broken>) -> (Option<String>, u64) {
    let mut world = World::new(seed, broken);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let wrong = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation.to_string()),
        Err(panic) => Some(format!(
            "PANIC: {}",
            panic
                .downcast_ref::<String>()
                .cloned()
                .or(panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default()
        )),
    };
    (wrong, world.events)
}

fn tell(seed: u64, what: &str) -> String {
    trace::start_trace();
    let _ = run(seed, None);
    let plan = plan::Plan::draw(&mut rng::Rng::new(seed));
    let settings = format!(
        "{:?}, fast_failover {}, failover {} ms, wait {} ms, switch {} ms, delays {}/{}/{} us",
        plan.recovery,
        plan.fast_failover,
        plan.failover_time_ms,
        plan.connection_wait_time_ms,
        plan.switch_timeout_ms,
        plan.net_us,
        plan.mail_us,
        plan.disk_us
    );
    format!(
        "{}\nseed {seed}: {what}\nsettings: {settings}\nrepeat it: HOTPAIR_SEED={seed} cargo test --test sim seeds -- --nocapture\n",
        trace::end_trace().join("\n")
    )
}

fn range() -> Range<u64> {
    let number = |text: &str| text.trim().parse().expect("HOTPAIR_SEED is a number, HOTPAIR_SEEDS a count or a..b");
    if let Ok(seed) = std::env::var("HOTPAIR_SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    match std::env::var("HOTPAIR_SEEDS") {
        Ok(seeds) => match seeds.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => 0..number(&seeds),
        },
        Err(_) => SEEDS_IN_CI,
    }
}

#[test]
fn seeds() {
    let range = range();
    let next = AtomicU64::new(range.start);
    let events = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= range.end {
                        return;
                    }
                    let (wrong, count) = run(seed, None);
                    events.fetch_add(count, Ordering::Relaxed);
                    if let Some(what) = wrong {
                        failed.lock().unwrap().push((seed, what));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    println!("{} seeds, {} events, {} failed", range.end - range.start, events.into_inner(), failed.len());
    for (seed, what) in &failed {
        println!("  seed {seed}: {}", what.chars().take(200).collect::<String>());
    }
    if let Some((seed, what)) = failed.first() {
        panic!("{}", tell(*seed, what));
    }
}

/// The simulation is worth something only if it finds a disk that answers before it has written.
#[test]
fn a_disk_that_lies_is_found() {
    assert!((0..20).any(|seed| run(seed, Some(Broken::Disk)).0.is_some_and(|what| what.contains("EPOCH-3"))));
}

/// Likewise a journal.
#[test]
fn a_journal_that_lies_is_found() {
    assert!((0..20).any(|seed| run(seed, Some(Broken::Journal)).0.is_some_and(|what| what.contains("ALARM-1"))));
}
