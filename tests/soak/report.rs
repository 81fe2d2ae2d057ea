//! What was injected, and what held.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

pub struct Report {
    seed: u64,
    began: Instant,
    pub pairs: Vec<String>,
    /// How often, and the longest time in which no write was answered.
    pub faults: BTreeMap<&'static str, (u32, Duration)>,
    pub writes: u64,
    pub replicated: u64,
    pub repeated: u64,
    pub values_checked: usize,
    pub acknowledged: u64,
    pub acknowledged_on_both: u64,
    pub journal_rows: usize,
    pub switches_refused: u32,
    pub nobody_ran: Duration,
    pub both_ran: u32,
    pub both_ran_longest: Duration,
    /// On a whole link, while this machine let nobody run.
    pub both_ran_starved: u32,
    /// How often it did not.
    pub stood_still: usize,
    pub restarts: u32,
    /// What did not hold.
    pub broken: Vec<String>,
}

impl Report {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            began: Instant::now(),
            pairs: Vec::new(),
            faults: BTreeMap::new(),
            writes: 0,
            replicated: 0,
            repeated: 0,
            values_checked: 0,
            acknowledged: 0,
            acknowledged_on_both: 0,
            journal_rows: 0,
            switches_refused: 0,
            nobody_ran: Duration::ZERO,
            both_ran: 0,
            both_ran_longest: Duration::ZERO,
            both_ran_starved: 0,
            stood_still: 0,
            restarts: 0,
            broken: Vec::new(),
        }
    }

    pub fn injected(&mut self, fault: &'static str, longest_silence: Duration) {
        let (count, longest) = self.faults.entry(fault).or_default();
        *count += 1;
        *longest = (*longest).max(longest_silence);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: u32 = self.faults.values().map(|(count, _)| count).sum();
        writeln!(f, "\nSOAK REPORT, seed {}, {:.1} minutes", self.seed, self.began.elapsed().as_secs_f64() / 60.0)?;
        writeln!(f, "pairs: {}", self.pairs.join("; "))?;
        writeln!(f, "\ninjected: {count} faults, {} starts of a node", self.restarts)?;
        writeln!(f, "  {:>5}  {:>24}  what", "times", "longest without a write")?;
        for (fault, (times, longest)) in &self.faults {
            writeln!(f, "  {times:>5}  {:>22.2} s  {fault}", longest.as_secs_f64())?;
        }
        writeln!(f, "\nwhat held:")?;
        let Self { writes, replicated, repeated, acknowledged, acknowledged_on_both, journal_rows, .. } = self;
        writeln!(f, "  writes answered \"done\": {writes}, of these on both nodes: {replicated}")?;
        writeln!(f, "  writes repeated because of no answer, or of one that asks for it: {repeated}")?;
        writeln!(f, "  values looked at after a fault, none older than was promised: {}", self.values_checked)?;
        writeln!(f, "  acknowledgements: {acknowledged}, of these on both nodes: {acknowledged_on_both}")?;
        writeln!(f, "  rows of the journals, equal on both nodes: {journal_rows}")?;
        writeln!(
            f,
            "  longest time without a Running node, while one had power: {:.2} s",
            self.nobody_ran.as_secs_f64()
        )?;
        writeln!(
            f,
            "  both Running, while their link was cut: {} times, at most {:.2} s",
            self.both_ran,
            self.both_ran_longest.as_secs_f64()
        )?;
        writeln!(
            f,
            "  this machine let nobody run for 0.15 s or more: {} times; both Running because of it: {} times",
            self.stood_still, self.both_ran_starved
        )?;
        writeln!(f, "  switches refused: {}", self.switches_refused)?;
        if self.broken.is_empty() {
            return writeln!(f, "  lost: 0, duplicates: 0, both Running on a whole link: 0\nIT HELD");
        }
        writeln!(f, "\nBROKEN:")?;
        for what in &self.broken {
            writeln!(f, "  {what}")?;
        }
        writeln!(f, "IT DID NOT HOLD")
    }
}
