//! When a value is beyond its limit, when it is back, and what its quality allows it to say.

use super::definition::{AlarmCondition, LimitLevel};
use crate::quality::{Quality, QualityLevel};
use crate::types::UnixMillis;
use crate::value::{Sample, Value};

/// Where a value stands. What it means depends on the alarm: one that is not active becomes so by `Beyond` alone, one
/// that is active clears by `Behind` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The condition holds.
    Beyond,
    /// Back behind the limit, but not by the dead-band.
    Between,
    /// The condition is gone.
    Behind,
}

/// How far a sample can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is what the source says now.
    Firm,
    /// It is what the source said last, or what the configuration begins with: it raises, but it clears nothing.
    Last,
}

/// The sample that a rate of change is counted from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reference {
    value: f64,
    time: UnixMillis,
}

/// How far the sample can be trusted; none: it says nothing about any alarm.
pub(super) fn trust(sample: &Sample) -> Option<Trust> {
    if matches!(&sample.value, Value::Float64(value) if !value.is_finite()) {
        return None;
    }
    match sample.quality.level() {
        QualityLevel::Good => Some(Trust::Firm),
        QualityLevel::Uncertain => Some(if is_of_the_past(sample.quality) { Trust::Last } else { Trust::Firm }),
        QualityLevel::Bad | QualityLevel::Error => None,
    }
}

/// Nobody has seen this value at the plant now. An initial value is where a tag begins again whose last one was lost; what
/// was found out by that last one still counts. By the sub-code alone: the lower 16 bits say nothing about it
/// (OPC 10000-4, 7.39).
fn is_of_the_past(quality: Quality) -> bool {
    [
        Quality::UNCERTAIN_LAST_USABLE_VALUE,
        Quality::UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE,
        Quality::UNCERTAIN_INITIAL_VALUE,
    ]
    .iter()
    .any(|last| last.0 >> 16 == quality.0 >> 16)
}

/// Whether this value arms the condition: the next change counts.
pub(super) fn arms(condition: &AlarmCondition, value: &Value) -> bool {
    matches!(
        (condition, value),
        (AlarmCondition::TrueToFalse, Value::Bool(true)) | (AlarmCondition::FalseToTrue, Value::Bool(false))
    )
}

/// Judges a sample; none: it says nothing. `reference` belongs to the alarm and is kept up to date here.
pub(super) fn judge(
    condition: &AlarmCondition,
    armed: bool,
    reference: &mut Option<Reference>,
    sample: &Sample,
    trust: Trust,
) -> Option<Verdict> {
    match condition {
        AlarmCondition::Limit { level, limit, inclusive, deadband } => {
            Some(by_level(number(&sample.value)?, *level, *limit, *inclusive, *deadband))
        }
        AlarmCondition::RateOfChange { limit, inclusive, deadband, period_ms, range } => {
            let rate = Rate { limit: *limit, inclusive: *inclusive, deadband: *deadband, period_ms: *period_ms };
            rate.judge(*range, reference, number(&sample.value)?, sample.time, trust)
        }
        AlarmCondition::Equivalent(target) => {
            let same_type = target.value_type() == sample.value.value_type();
            same_type.then(|| if *target == sample.value { Verdict::Beyond } else { Verdict::Behind })
        }
        AlarmCondition::TrueToFalse => by_target(&sample.value, false, armed),
        AlarmCondition::FalseToTrue => by_target(&sample.value, true, armed),
        AlarmCondition::System => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int64(value) => Some(*value as f64),
        Value::Float64(value) => Some(*value),
        Value::Bool(_) | Value::String(_) | Value::DateTime(_) => None,
    }
}

fn by_target(value: &Value, target: bool, armed: bool) -> Option<Verdict> {
    match value {
        Value::Bool(value) if *value != target => Some(Verdict::Behind),
        Value::Bool(_) => armed.then_some(Verdict::Beyond),
        _ => None,
    }
}

fn by_level(value: f64, level: LimitLevel, limit: f64, inclusive: bool, deadband: f64) -> Verdict {
    if level.is_high() {
        by_limit(value, limit, inclusive, deadband)
    } else {
        by_limit(-value, -limit, inclusive, deadband)
    }
}

/// The dead-band counts on the clearing side only. Without one, `Behind` is what is not `Beyond`.
fn by_limit(value: f64, limit: f64, inclusive: bool, deadband: f64) -> Verdict {
    let back = limit - deadband;
    let (beyond, behind) = if inclusive { (value >= limit, value < back) } else { (value > limit, value <= back) };
    match (beyond, behind) {
        (true, _) => Verdict::Beyond,
        (false, true) => Verdict::Behind,
        (false, false) => Verdict::Between,
    }
}

struct Rate {
    limit: f64,
    inclusive: bool,
    deadband: f64,
    period_ms: u64,
}

impl Rate {
    fn judge(
        &self,
        range: f64,
        reference: &mut Option<Reference>,
        value: f64,
        time: UnixMillis,
        trust: Trust,
    ) -> Option<Verdict> {
        let Some(from) = *reference else {
            *reference = Some(Reference { value, time });
            return None;
        };
        let passed = i128::from(time.0) - i128::from(from.time.0);
        if passed < 0 {
            if trust == Trust::Firm {
                *reference = Some(Reference { value, time });
            }
            return None;
        }
        // Multiplied first: so a change of exactly the limit is found to be that.
        let percent = |period: f64, of: f64| (value - from.value).abs() * 100.0 * period / (range * of);
        if passed < i128::from(self.period_ms.max(1)) {
            // The period is not over: the change so far may be too much already, but cannot be little enough yet.
            let verdict = by_limit(percent(1.0, 1.0), self.limit, self.inclusive, self.deadband);
            return (verdict == Verdict::Beyond).then_some(verdict);
        }
        let in_a_period = percent(self.period_ms as f64, passed as f64);
        // What a source said last is no step on the way: it may come with ever newer times and never change.
        if trust == Trust::Firm {
            *reference = Some(Reference { value, time });
        }
        Some(by_limit(in_a_period, self.limit, self.inclusive, self.deadband))
    }
}
