//! Do the alarms of the simulated plants come and go as an operator could live with? Judged plainly, a step a second.

use hotpair_core::alarms::{AlarmCondition, AlarmDef, Watched};

use super::*;
use crate::config::{Project, templates};

const TEN_MINUTES_S: usize = 600;

/// An alarm and what has become of it.
struct Judged {
    def: AlarmDef,
    path: String,
    active: bool,
    /// The condition for the other state holds since.
    since: Option<u64>,
    armed: bool,
    /// Of a rate of change: value and time, in milliseconds.
    reference: Option<(f64, u64)>,
}

impl Judged {
    /// Whether it is raised by what its tag reads now.
    fn is_raised_by(&mut self, sample: &Sample, now_ms: u64) -> bool {
        if sample.quality != Quality::GOOD {
            return false;
        }
        let change = if self.active { self.is_gone(&sample.value, now_ms) } else { self.holds(&sample.value, now_ms) };
        let delay_ms = if self.active { self.def.resume_delay_ms } else { self.def.active_delay_ms };
        let since = *self.since.get_or_insert(now_ms);
        if !change {
            self.since = None;
        }
        let due = change && now_ms - since >= delay_ms;
        if due {
            self.active = !self.active;
            self.since = None;
        }
        due && self.active
    }

    fn holds(&mut self, value: &Value, now_ms: u64) -> bool {
        match (&self.def.condition, value) {
            (AlarmCondition::Limit { level, limit, inclusive, .. }, Value::Float64(value)) => {
                match (level.is_high(), inclusive) {
                    (true, false) => value > limit,
                    (true, true) => value >= limit,
                    (false, false) => value < limit,
                    (false, true) => value <= limit,
                }
            }
            (AlarmCondition::RateOfChange { limit, .. }, Value::Float64(value)) => {
                let limit = *limit;
                self.rate(*value, now_ms) > limit
            }
            (AlarmCondition::Equivalent(wanted), value) => value == wanted,
            (AlarmCondition::FalseToTrue, Value::Bool(on)) => {
                let held = *on && self.armed;
                self.armed = !on || self.armed;
                held
            }
            _ => panic!("{} is of a kind that the simulated plant has not", self.path),
        }
    }

    fn is_gone(&mut self, value: &Value, now_ms: u64) -> bool {
        match (&self.def.condition, value) {
            (AlarmCondition::Limit { level, limit, deadband, .. }, Value::Float64(value)) => {
                if level.is_high() {
                    *value < limit - deadband
                } else {
                    *value > limit + deadband
                }
            }
            (AlarmCondition::RateOfChange { limit, deadband, .. }, Value::Float64(value)) => {
                let back = limit - deadband;
                self.rate(*value, now_ms) <= back
            }
            (AlarmCondition::Equivalent(wanted), value) => value != wanted,
            (AlarmCondition::FalseToTrue, Value::Bool(on)) => !on,
            _ => panic!("{} is of a kind that the simulated plant has not", self.path),
        }
    }

    /// Change since the reference in percent of the range.
    fn rate(&mut self, value: f64, now_ms: u64) -> f64 {
        let AlarmCondition::RateOfChange { period_ms, range, .. } = self.def.condition else { return 0.0 };
        let (was, at_ms) = *self.reference.get_or_insert((value, now_ms));
        if now_ms - at_ms >= period_ms {
            self.reference = Some((value, now_ms));
        }
        (value - was).abs() / range * 100.0
    }
}

/// The alarms of the file, without a warning.
fn alarms_of(tags_csv: &str, alarms_csv: &str) -> Vec<Judged> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tags.csv"), tags_csv).unwrap();
    std::fs::write(folder.path().join("alarms.csv"), alarms_csv).unwrap();
    let project = Project::load(folder.path()).unwrap_or_else(|problems| panic!("{problems}"));
    let of_tags = project.alarms.iter().filter(|(_, def)| matches!(def.watched, Watched::Tag(_)));
    of_tags
        .map(|(_, def)| Judged {
            path: def.path.to_string(),
            def: def.clone(),
            active: false,
            since: None,
            armed: false,
            reference: None,
        })
        .collect()
}

/// How often alarms were raised in each ten minutes, and how often each alarm was. An operator resets a pump within ten
/// minutes.
fn raised(tags_csv: &str, alarms_csv: &str, hours: usize) -> (Vec<usize>, BTreeMap<String, usize>) {
    let mut bench = Bench::of(tags_csv, 1_000);
    let mut alarms = alarms_of(tags_csv, alarms_csv);
    let (mut counts, mut of_each) = (Vec::new(), BTreeMap::new());
    for _ in 0..hours * 6 {
        let mut count = 0;
        for _ in 0..TEN_MINUTES_S {
            bench.step();
            for alarm in &mut alarms {
                // A command that nobody wrote yet has no sample here.
                if bench.tags.get(&alarm.path).is_some_and(|sample| alarm.is_raised_by(sample, bench.now.mono_ms)) {
                    count += 1;
                    *of_each.entry(format!("{}/{}", alarm.path, alarm.def.name)).or_default() += 1;
                }
            }
        }
        counts.push(count);
        let tripped: Vec<_> = bench.tags.keys().filter(|path| path.ends_with("Pump/Tripped")).cloned().collect();
        for path in tripped {
            let reset = Sample { value: Value::Bool(true), quality: Quality::GOOD, time: bench.now.unix };
            bench.tags.insert(path.replace("Tripped", "Reset"), reset);
        }
    }
    (counts, of_each)
}

#[test]
fn a_handful_of_alarms_comes_and_goes_in_ten_minutes() {
    for (what, areas, tanks_each, hours) in [("init", 1, 2, 12), ("demo", 4, 4, 6)] {
        let (tags, alarms) = (plant_tags_csv(areas, tanks_each), plant_alarms_csv(areas, tanks_each));
        let (counts, of_each) = raised(&tags, &alarms, hours);
        let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        println!("{what}: {mean:.1} in ten minutes, {counts:?}, {of_each:#?}");
        assert!((3.0..=10.0).contains(&mean), "{what}: {mean} in ten minutes");
        assert!(counts.iter().all(|count| (2..=15).contains(count)), "{what}: {counts:?}");
    }
}

#[test]
fn init_writes_the_alarms_of_one_area_with_two_tanks() {
    assert_eq!(templates::TAGS_CSV, plant_tags_csv(1, 2));
    assert_eq!(templates::ALARMS_CSV, plant_alarms_csv(1, 2));
}
