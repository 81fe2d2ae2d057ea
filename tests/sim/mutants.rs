//! The simulation is worth something only if it finds mistakes: each of these, within so many seeds.
//!
//! `cargo test --test sim --features mutants mutants -- --nocapture` prints what found each. `HOTPAIR_MUTANT=NoFence` tries
//! one, `HOTPAIR_MUTANT_SEEDS=2000` more seeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use hotpair_core::mutant::{Mutant, choose};

use crate::case::Case;

/// Each mistake is found within so many seeds.
const WITHIN: u64 = 300;
/// Not found within 300 seeds yet: the faults are too seldom, or a second defence hides the mistake. `HOTPAIR_MUTANT=`
/// tries them. What a source says does not pass the gate of a Standby, and its alarms do not hear what it follows: the
/// mistakes of `StandbyPublishes` and `StandbyJudges` change nothing.
const NOT_FOUND: &[Mutant] = &[
    Mutant::AbortedOfferTaken,
    Mutant::UnitedTwice,
    Mutant::StandbyPublishes,
    Mutant::LagForgotten,
    Mutant::StandbyJudges,
];

/// What finds the mistake first, and the seed.
fn found(mutant: Mutant, within: u64) -> Option<(u64, String)> {
    let next = AtomicU64::new(0);
    let first = Mutex::new(None::<(u64, String)>);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                choose(Some(mutant));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let known = first.lock().unwrap().as_ref().is_some_and(|(best, _)| *best < seed);
                    if seed >= within || known {
                        return;
                    }
                    let Some(wrong) = Case::of(seed, None).play().wrong else { continue };
                    let what = wrong.to_string();
                    // What fails without a mistake too finds none.
                    choose(None);
                    let fails_anyway = Case::of(seed, None).play().wrong.is_some();
                    choose(Some(mutant));
                    if fails_anyway {
                        continue;
                    }
                    let mut first = first.lock().unwrap();
                    if first.as_ref().is_none_or(|(best, _)| seed < *best) {
                        *first = Some((seed, what));
                    }
                }
            });
        }
    });
    first.into_inner().unwrap()
}

#[test]
fn every_mistake_is_found() {
    let only = std::env::var("HOTPAIR_MUTANT").ok();
    let more = std::env::var("HOTPAIR_MUTANT_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        let name = format!("{mutant:?}");
        if only.as_ref().map_or(NOT_FOUND.contains(mutant), |only| !only.split(',').any(|one| one == name)) {
            continue;
        }
        let within = more.unwrap_or(WITHIN);
        let began = std::time::Instant::now();
        if let Some((seed, what)) = found(*mutant, within) {
            let what: String = what.chars().take(150).collect();
            println!("{name:<28} seed {seed:>4} {:>6} ms  {what}", began.elapsed().as_millis());
        } else {
            println!("{name:<28} NOT FOUND within {within} seeds, {} ms", began.elapsed().as_millis());
            missed.push(name);
        }
    }
    choose(None);
    assert!(missed.is_empty(), "not found: {missed:?}");
}
