//! Makes a run that fails as small as it can be and still fail in the same way.

use std::time::{Duration, Instant};

use crate::case::Case;

const MAX_RUNS: usize = 2_000;
const MAX_TIME: Duration = Duration::from_secs(20);
/// A fault that lasts so long could as well last less.
const SHORT_US: u64 = 1_000;

/// The smallest case found that breaks the invariant `id`, and how many runs it took.
pub fn shrink(case: &Case, id: &str) -> (Case, usize) {
    let mut search = Search { best: case.clone(), id, runs: 0, until: Instant::now() + MAX_TIME };
    loop {
        let before = search.best.clone();
        search.leave_faults_out();
        search.turn_loads_off();
        search.shorten();
        let same = before.schedule == search.best.schedule && before.loads == search.best.loads;
        if same || search.is_over() {
            return (search.best, search.runs);
        }
    }
}

struct Search<'a> {
    best: Case,
    id: &'a str,
    runs: usize,
    until: Instant,
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.runs >= MAX_RUNS || Instant::now() >= self.until
    }

    /// Takes it if it fails in the same way.
    fn try_one(&mut self, case: Case) -> bool {
        if self.is_over() {
            return false;
        }
        self.runs += 1;
        let fails = case.play().wrong.is_some_and(|wrong| wrong.id == self.id);
        if fails {
            self.best = case;
        }
        fails
    }

    /// Delta debugging: first large parts of the schedule, then smaller ones.
    fn leave_faults_out(&mut self) {
        let mut part = self.best.schedule.faults.len();
        while part > 0 && !self.is_over() {
            let mut from = 0;
            while from < self.best.schedule.faults.len() {
                let mut case = self.best.clone();
                let to = (from + part).min(case.schedule.faults.len());
                case.schedule.faults.drain(from..to);
                if !self.try_one(case) {
                    from = to;
                }
            }
            part /= 2;
        }
    }

    fn turn_loads_off(&mut self) {
        for load in 0..3 {
            let mut case = self.best.clone();
            if std::mem::replace(case.loads.each()[load], false) {
                self.try_one(case);
            }
        }
    }

    fn shorten(&mut self) {
        for fault in 0..self.best.schedule.faults.len() {
            let count = self.best.schedule.faults[fault].fault.lasts_mut().len();
            for which in 0..count {
                loop {
                    let mut case = self.best.clone();
                    let lasts = &mut *case.schedule.faults[fault].fault.lasts_mut().remove(which);
                    *lasts = *lasts / 2 / SHORT_US * SHORT_US;
                    if *lasts < SHORT_US || !self.try_one(case) {
                        break;
                    }
                }
            }
        }
    }
}
