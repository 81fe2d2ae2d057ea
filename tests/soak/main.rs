//! For as long as one wants: a pair on two machines works, people write and acknowledge all the time, and faults drawn
//! from a seed befall it, one after the other. At the end a report says what was injected and what held.
//!
//! `HOTPAIR_SOAK_MINUTES=15 HOTPAIR_SOAK_SEED=7 cargo test --test soak -- --ignored --nocapture for_long`
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
#[path = "../pair/mod.rs"]
mod pair;
mod people;
mod report;
mod round;

use std::time::{Duration, Instant};

use pair::world;
use report::Report;

/// So long lives one pair; then comes the next one, with other settings.
const PAIR: Duration = Duration::from_mins(2);

#[test]
fn for_half_a_minute() {
    world::alone(|| soak(1, Duration::from_secs(30)));
}

#[test]
#[ignore = "as long as HOTPAIR_SOAK_MINUTES says: ./tests/run --soak MINUTES"]
fn for_long() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let minutes = number("HOTPAIR_SOAK_MINUTES", 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = number("HOTPAIR_SOAK_SEED", now.as_millis() as u64 % 1_000_000);
    // The last pair is looked at as long as it takes.
    let limit = Duration::from_mins(minutes + 5);
    world::alone_within(limit, true, || soak(seed, Duration::from_mins(minutes)));
}

fn soak(seed: u64, time: Duration) {
    let (mut report, end) = (Report::new(seed), Instant::now() + time);
    let mut pairs = 0;
    while Instant::now() < end && report.broken.is_empty() {
        let until = end.min(Instant::now() + PAIR);
        round::play(seed.wrapping_add(pairs), until, &mut report);
        pairs += 1;
    }
    println!("{report}");
    assert!(report.broken.is_empty(), "it did not hold; repeat it with HOTPAIR_SOAK_SEED={seed}");
}
