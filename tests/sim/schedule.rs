//! The faults of a run, drawn beforehand from a stream of their own: a fault that is left out changes no other.

use std::fmt;

use crate::fault::{Fault, KINDS};
use crate::plots;
use crate::rng::Rng;

const FIRST_US: u64 = 1_500_000;

/// A fault that will happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    /// Its number in what the seed draws.
    pub number: usize,
    /// Its place in [`KINDS`].
    pub kind: usize,
    pub at: u64,
    pub fault: Fault,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub faults: Vec<Scheduled>,
    /// From then on nothing fails.
    pub ends: u64,
}

impl Schedule {
    /// Swarm: each seed has its own weights and rate, some kinds are off, and some seeds have plots.
    pub fn draw(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x5EED_FA17);
        let on = rng.pick(&[10, 25, 50]);
        let mut weights: Vec<u64> = KINDS.iter().map(|_| if rng.percent(on) { rng.range(1, 5) } else { 0 }).collect();
        let also_open = std::env::var_os("HOTPAIR_OPEN").is_some();
        for (weight, kind) in weights.iter_mut().zip(KINDS) {
            *weight *= u64::from(!kind.open || also_open);
        }
        if weights.iter().all(|weight| *weight == 0) {
            weights[0] = 1;
        }
        let every: u64 = rng.pick(&[300_000, 1_500_000, 4_000_000]);
        let ends = rng.range(4, 16) * 1_000_000;
        let has_plots = rng.percent(40);
        let mut faults = Vec::new();
        let mut at = FIRST_US;
        while at < ends {
            let drawn = if has_plots && rng.percent(25) {
                plots::draw(rng)
            } else {
                let kind = weighted(rng, &weights);
                vec![(0, kind, (KINDS[kind].draw)(rng))]
            };
            for (after, kind, fault) in drawn {
                at += after;
                if at < ends {
                    faults.push(Scheduled { number: faults.len(), kind, at, fault });
                }
            }
            at += rng.range(1_000, every * 2);
        }
        Self { faults, ends }
    }

    /// Of these faults only those in a list as `3,7:60,9`: number, and how many milliseconds it lasts instead.
    pub fn only(mut self, list: &str) -> Self {
        let wanted: Vec<(usize, Vec<u64>)> = list
            .split(',')
            .filter(|one| !one.is_empty())
            .map(|one| {
                let mut parts = one.split(':');
                let number = parts.next().and_then(|number| number.trim().parse().ok());
                let lasts = parts.map(|ms| (ms.parse::<f64>().expect("milliseconds") * 1000.0).round() as u64);
                (number.expect("HOTPAIR_FAULTS is a list as 3,7:60,9"), lasts.collect())
            })
            .collect();
        self.faults.retain_mut(|scheduled| {
            let Some((_, lasts)) = wanted.iter().find(|(number, _)| *number == scheduled.number) else { return false };
            for (old, new) in scheduled.fault.lasts_mut().into_iter().zip(lasts) {
                *old = *new;
            }
            true
        });
        self
    }

    /// The list that makes this one from what the seed draws.
    pub fn list(&self, drawn: &Self) -> String {
        let one = |scheduled: &Scheduled| {
            let mut now = scheduled.fault.clone();
            let mut before = drawn.faults[scheduled.number].fault.clone();
            let now: Vec<u64> = now.lasts_mut().into_iter().map(|lasts| *lasts).collect();
            let before: Vec<u64> = before.lasts_mut().into_iter().map(|lasts| *lasts).collect();
            let lasts: Vec<_> = now.iter().map(|us| (*us as f64 / 1000.0).to_string()).collect();
            if now == before {
                scheduled.number.to_string()
            } else {
                format!("{}:{}", scheduled.number, lasts.join(":"))
            }
        };
        self.faults.iter().map(one).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Scheduled { number, at, fault, .. } in &self.faults {
            writeln!(f, "  {number:>3}: at {:.3} s {fault}", *at as f64 / 1e6)?;
        }
        write!(f, "       from {:.3} s on nothing fails", self.ends as f64 / 1e6)
    }
}

fn weighted(rng: &mut Rng, weights: &[u64]) -> usize {
    let mut at = rng.range(0, weights.iter().sum::<u64>() - 1);
    for (kind, weight) in weights.iter().enumerate() {
        if at < *weight {
            return kind;
        }
        at -= weight;
    }
    0
}
