//! When an alarm is raised and cleared, found in the slowest and most obvious way: by looking at the whole history of its
//! values. It shares nothing with the engine but the definitions.

use crate::alarms::*;
use crate::value::{Sample, Value};

/// A sample and when it came, in milliseconds.
#[derive(Clone, Debug)]
pub struct Came {
    pub at: i64,
    pub sample: Sample,
}

/// What a sample says by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Nothing,
    /// `raises`: the condition of an alarm that is not active holds. `clears`: that of an active one is gone.
    This {
        raises: bool,
        clears: bool,
    },
}

/// The transitions that these samples cause up to `end`, with their times.
pub fn expected(def: &AlarmDef, history: &[Came], end: i64) -> Vec<(EntryKind, i64)> {
    let says: Vec<Says> = (0..history.len()).map(|place| says(&def.condition, history, place)).collect();
    let mut transitions = Vec::new();
    let (mut from, mut active) = (0, false);
    while let Some((next, time)) = transition(def, history, &says, from, active, end) {
        active = !active;
        transitions.push((if active { EntryKind::Raised } else { EntryKind::Cleared }, time));
        from = next;
    }
    transitions
}

/// The next transition of an alarm that is `active`, by the samples from place `from` on: the place of the first sample
/// that counts after it, and its time.
fn transition(
    def: &AlarmDef,
    history: &[Came],
    says: &[Says],
    from: usize,
    active: bool,
    end: i64,
) -> Option<(usize, i64)> {
    let delay = if active { def.resume_delay_ms } else { def.active_delay_ms } as i64;
    let last_known = |place: usize| {
        let quality = history[place].sample.quality.0 >> 16;
        quality == 0x4090 || quality == 0x408F
    };
    let causes = |place: usize| match says[place] {
        Says::Nothing => false,
        Says::This { raises, .. } if !active => raises,
        Says::This { clears, .. } => clears && !last_known(place),
    };
    let ends = |place: usize, cause: usize| match says[place] {
        Says::Nothing => false,
        Says::This { raises, clears } => {
            let against = if active { !clears } else { !raises };
            against && (!last_known(place) || history[place].sample.time > history[cause].sample.time)
        }
    };
    let mut from = from;
    loop {
        let cause = (from..history.len()).find(|place| causes(*place))?;
        let time = history[cause].sample.time.0 + delay;
        if delay == 0 {
            return Some((cause + 1, time));
        }
        let due = history[cause].at + delay;
        match (cause + 1..history.len()).find(|place| history[*place].at < due && ends(*place, cause)) {
            Some(ended) => from = ended + 1,
            None if due > end => return None,
            None => {
                let after = (cause + 1..history.len()).find(|place| history[*place].at >= due);
                return Some((after.unwrap_or(history.len()), time));
            }
        }
    }
}

fn says(condition: &AlarmCondition, history: &[Came], place: usize) -> Says {
    let Some(value) = usable(&history[place].sample) else { return Says::Nothing };
    match condition {
        AlarmCondition::Limit { level, limit, inclusive, deadband } => {
            let Some(value) = number(value) else { return Says::Nothing };
            let high = matches!(level, LimitLevel::H | LimitLevel::H2 | LimitLevel::H3 | LimitLevel::H4);
            let (raises, clears) = match (high, inclusive) {
                (true, false) => (value > *limit, value <= limit - deadband),
                (true, true) => (value >= *limit, value < limit - deadband),
                (false, false) => (value < *limit, value >= limit + deadband),
                (false, true) => (value <= *limit, value > limit + deadband),
            };
            Says::This { raises, clears }
        }
        AlarmCondition::Equivalent(target) => {
            if target.value_type() != value.value_type() {
                return Says::Nothing;
            }
            Says::This { raises: value == target, clears: value != target }
        }
        AlarmCondition::TrueToFalse => became(history, place, false),
        AlarmCondition::FalseToTrue => became(history, place, true),
        AlarmCondition::RateOfChange { .. } => rate(condition, history, place),
        AlarmCondition::System => Says::Nothing,
    }
}

fn became(history: &[Came], place: usize, target: bool) -> Says {
    let is = |place: usize, wanted: bool| usable(&history[place].sample) == Some(&Value::Bool(wanted));
    if is(place, !target) {
        return Says::This { raises: false, clears: true };
    }
    if is(place, target) && (0..place).any(|before| is(before, !target)) {
        return Says::This { raises: true, clears: false };
    }
    Says::Nothing
}

fn rate(condition: &AlarmCondition, history: &[Came], place: usize) -> Says {
    let AlarmCondition::RateOfChange { limit, inclusive, deadband, period_ms, range } = condition else {
        return Says::Nothing;
    };
    let (Some(value), Some(from)) = (number(&history[place].sample.value), rate_from(*period_ms, history, place))
    else {
        return Says::Nothing;
    };
    let before = &history[from].sample;
    let passed = history[place].sample.time.0 - before.time.0;
    let percent = (value - number(&before.value).unwrap()).abs() * 100.0;
    let too_much = |percent: f64, of: f64| if *inclusive { percent >= limit * of } else { percent > limit * of };
    if passed < 0 {
        return Says::Nothing;
    }
    if passed < *period_ms as i64 {
        if too_much(percent, *range) { Says::This { raises: true, clears: false } } else { Says::Nothing }
    } else {
        // Whole numbers on both sides, so that nothing is rounded.
        let (percent, of) = (percent * *period_ms as f64, range * passed as f64);
        let back = (limit - deadband) * of;
        let clears = if *inclusive { percent < back } else { percent <= back };
        let raises = too_much(percent, of);
        Says::This { raises, clears: clears && !raises }
    }
}

/// The place of the sample that the change at `place` is counted from.
fn rate_from(period_ms: u64, history: &[Came], place: usize) -> Option<usize> {
    let mut from: Option<usize> = None;
    for next in 0..place {
        let sample = &history[next].sample;
        if usable(sample).and_then(number).is_none() {
            continue;
        }
        let Some(before) = from else {
            from = Some(next);
            continue;
        };
        let passed = sample.time.0 - history[before].sample.time.0;
        let last_known = matches!(sample.quality.0 >> 16, 0x4090 | 0x408F);
        if !last_known && (passed < 0 || passed >= period_ms as i64) {
            from = Some(next);
        }
    }
    from
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int64(value) => Some(*value as f64),
        Value::Float64(value) => Some(*value),
        _ => None,
    }
}

fn usable(sample: &Sample) -> Option<&Value> {
    let is_number = !matches!(sample.value, Value::Float64(value) if value.is_nan() || value.is_infinite());
    (sample.quality.0 < 0x8000_0000 && is_number).then_some(&sample.value)
}
