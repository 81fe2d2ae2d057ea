//! What makes an alarm active, in the columns `kind` to `period_ms` of `alarms.csv`; and limits that make no sense
//! together.

use std::collections::BTreeMap;

use hotpair_core::alarms::{AlarmCondition, AlarmDef, LimitLevel, Watched};
use hotpair_core::catalog::{TagDef, TagId};
use hotpair_core::value::ValueType;

use super::alarms_csv::{Cells, DEADBAND, INCLUSIVE, KIND, LIMIT, PERIOD, Watch};
use super::csv_table::{Report, Row, flag};
use super::suggest::did_you_mean;
use super::tags_csv::value;

/// No time of an alarm is longer than a day: a longer one is a slip of the unit.
pub(super) const MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// The period of a rate of change that says none.
const DEFAULT_PERIOD_MS: u64 = 1000;

const KINDS: [&str; 12] =
    ["H4", "H3", "H2", "H", "L", "L2", "L3", "L4", "RateOfChange", "Equivalent", "TrueToFalse", "FalseToTrue"];

/// What the column `kind` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Limit(LimitLevel),
    RateOfChange,
    Equivalent,
    TrueToFalse,
    FalseToTrue,
}

impl Kind {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "H4" => Self::Limit(LimitLevel::H4),
            "H3" => Self::Limit(LimitLevel::H3),
            "H2" => Self::Limit(LimitLevel::H2),
            "H" => Self::Limit(LimitLevel::H),
            "L" => Self::Limit(LimitLevel::L),
            "L2" => Self::Limit(LimitLevel::L2),
            "L3" => Self::Limit(LimitLevel::L3),
            "L4" => Self::Limit(LimitLevel::L4),
            "RateOfChange" => Self::RateOfChange,
            "Equivalent" => Self::Equivalent,
            "TrueToFalse" => Self::TrueToFalse,
            "FalseToTrue" => Self::FalseToTrue,
            _ => return None,
        })
    }

    fn fits(self, of: ValueType) -> bool {
        match self {
            Self::Limit(_) | Self::RateOfChange => is_number(of),
            Self::Equivalent => true,
            Self::TrueToFalse | Self::FalseToTrue => of == ValueType::Bool,
        }
    }
}

fn is_number(of: ValueType) -> bool {
    matches!(of, ValueType::Int64 | ValueType::Float64)
}

impl Cells<'_, '_, '_> {
    /// None, with problems, when something is wrong, and without a tag.
    pub(super) fn condition(&mut self, tag: Option<Watch<'_>>) -> Option<AlarmCondition> {
        let text = self.row.cell(KIND);
        let Some(kind) = Kind::of(text) else {
            self.error(KIND, if text.is_empty() { "missing" } else { "unknown kind" }, &did_you_mean(text, &KINDS));
            return None;
        };
        let of = tag.and_then(|tag| tag.value_type);
        if let Some(of) = of
            && !kind.fits(of)
        {
            let remedy = match of {
                ValueType::Bool => "for a Bool use TrueToFalse, FalseToTrue or Equivalent",
                ValueType::Int64 | ValueType::Float64 => "for a number use H4 to L4, RateOfChange or Equivalent",
                ValueType::String | ValueType::DateTime => "use Equivalent",
            };
            self.error(KIND, format!("does not fit the tag's type {of}"), remedy);
            return None;
        }
        if kind != Kind::RateOfChange && !self.row.cell(PERIOD).is_empty() {
            self.error(PERIOD, format!("{text} has no period"), "leave it empty; only RateOfChange has one");
        }
        match kind {
            Kind::Limit(level) => self.limit(level, tag),
            Kind::RateOfChange => self.rate_of_change(tag),
            Kind::Equivalent => self.equivalent(of?),
            Kind::TrueToFalse => self.edge().then_some(AlarmCondition::TrueToFalse),
            Kind::FalseToTrue => self.edge().then_some(AlarmCondition::FalseToTrue),
        }
    }

    /// A condition without a limit.
    fn edge(&mut self) -> bool {
        let empty = self.row.cell(LIMIT).is_empty();
        if !empty {
            self.error(LIMIT, format!("{} has no limit", self.row.cell(KIND)), "leave it empty");
        }
        empty
    }

    fn equivalent(&mut self, of: ValueType) -> Option<AlarmCondition> {
        match self.row.cell(LIMIT) {
            "" => {
                self.error(LIMIT, "missing: Equivalent needs the value", "");
                None
            }
            text => match value(self.row, text, of) {
                Ok(value) => Some(AlarmCondition::Equivalent(value)),
                Err(allowed) => {
                    self.error(LIMIT, format!("does not fit the tag's type {of}"), allowed);
                    None
                }
            },
        }
    }

    fn limit(&mut self, level: LimitLevel, tag: Option<Watch<'_>>) -> Option<AlarmCondition> {
        let (limit, inclusive, deadband) = (self.number_of_limit(), self.inclusive(), self.deadband());
        let (limit, inclusive, deadband) = (limit?, inclusive?, deadband?);
        if let Some(tag) = tag {
            self.warn_of_the_range(level, limit, deadband, tag.def);
        }
        Some(AlarmCondition::Limit { level, limit, inclusive, deadband })
    }

    fn rate_of_change(&mut self, tag: Option<Watch<'_>>) -> Option<AlarmCondition> {
        let (limit, inclusive, deadband) = (self.number_of_limit(), self.inclusive(), self.deadband());
        let range = tag.and_then(|tag| self.range(tag.def));
        let period_ms = self.period();
        if let Some(limit) = limit {
            if limit <= 0.0 {
                let remedy = "it is a change, up or down, in percent of the engineering range per period_ms";
                self.error(LIMIT, "must be above 0", remedy);
                return None;
            }
            if let Some(deadband) = deadband
                && deadband >= limit
            {
                let remedy = "it is in percent of the engineering range, as the limit";
                self.error(DEADBAND, format!("must be below the limit {limit}: the alarm would never clear"), remedy);
                return None;
            }
            if limit > 100.0 {
                let message = "more than 100 percent: values within the engineering range never change so much";
                self.warning(LIMIT, message, "it is in percent of the engineering range per period_ms");
            }
        }
        Some(AlarmCondition::RateOfChange {
            limit: limit?,
            inclusive: inclusive?,
            deadband: deadband?,
            period_ms: period_ms?,
            range: range?,
        })
    }

    /// The engineering range of a tag.
    fn range(&mut self, tag: &TagDef) -> Option<f64> {
        let (low, high) = match (tag.eu_low, tag.eu_high) {
            (Some(low), Some(high)) => (low, high),
            (low, high) => {
                let missing = match (low, high) {
                    (None, None) => "eu_low and eu_high",
                    (None, _) => "eu_low",
                    _ => "eu_high",
                };
                let message = format!("needs the engineering range of {}, which lacks {missing}", tag.path);
                self.error(KIND, message, &format!("fill {missing} in tags.csv"));
                return None;
            }
        };
        // One that is upside down is told of the tag; one without an end is a slip of both.
        let range = high - low;
        if range.is_infinite() {
            let message = format!("the engineering range of {}, {low} to {high}, is too large", tag.path);
            self.error(KIND, message, "correct eu_low and eu_high in tags.csv");
        }
        (range > 0.0 && range.is_finite()).then_some(range)
    }

    fn period(&mut self) -> Option<u64> {
        let text = self.row.cell(PERIOD);
        if text.is_empty() {
            return Some(DEFAULT_PERIOD_MS);
        }
        let period_ms = text.parse().ok().filter(|ms| (1..=MAX_MS).contains(ms));
        if period_ms.is_none() {
            let message = format!("must be a whole number of milliseconds from 1 to {MAX_MS}");
            self.error(PERIOD, message, &format!("or leave it empty: {DEFAULT_PERIOD_MS}"));
        }
        period_ms
    }

    fn number_of_limit(&mut self) -> Option<f64> {
        let text = self.row.cell(LIMIT);
        let limit = self.row.number(text);
        match limit {
            None if text.is_empty() => self.error(LIMIT, format!("missing: {} needs one", self.row.cell(KIND)), ""),
            None => self.error(LIMIT, "must be a number", ""),
            Some(_) => {}
        }
        limit
    }

    fn inclusive(&mut self) -> Option<bool> {
        let text = self.row.cell(INCLUSIVE);
        let inclusive = if text.is_empty() { Some(false) } else { flag(text) };
        if inclusive.is_none() {
            self.error(INCLUSIVE, "must be true or false", "or leave it empty: false");
        }
        inclusive
    }

    fn deadband(&mut self) -> Option<f64> {
        let text = self.row.cell(DEADBAND);
        let deadband = if text.is_empty() { Some(0.0) } else { self.row.number(text) };
        let deadband = deadband.filter(|deadband| *deadband >= 0.0);
        if deadband.is_none() {
            self.error(DEADBAND, "must be a number, not negative", "or leave it empty: 0");
        }
        deadband
    }

    /// Values out of the engineering range may come, or not.
    fn warn_of_the_range(&mut self, level: LimitLevel, limit: f64, deadband: f64, tag: &TagDef) {
        let outside = |value: f64| {
            let below =
                tag.eu_low.filter(|low| value < *low).map(|low| format!("below eu_low of its tag, which is {low}"));
            let above = tag.eu_high.filter(|high| value > *high);
            below.or_else(|| above.map(|high| format!("above eu_high of its tag, which is {high}")))
        };
        let clears = clears_at(level, limit, deadband);
        if let Some(message) = outside(limit) {
            self.warning(LIMIT, message, "correct it, or the tag's engineering range in tags.csv");
        } else if deadband > 0.0
            && let Some(message) = outside(clears)
        {
            let remedy = "it is in the tag's unit: take a smaller one";
            self.warning(DEADBAND, format!("the alarm clears at {clears} only, {message}"), remedy);
        }
    }
}

/// Where an alarm of this limit clears.
fn clears_at(level: LimitLevel, limit: f64, deadband: f64) -> f64 {
    if level.is_high() { limit - deadband } else { limit + deadband }
}

/// The limits of each tag, from the lowest level to the highest.
#[derive(Default)]
pub(super) struct Limits(BTreeMap<(TagId, LimitLevel), LimitOfRow>);

#[derive(Clone, Copy)]
struct LimitOfRow {
    line: usize,
    limit: f64,
    deadband: f64,
}

impl Limits {
    /// Adds that of an alarm, if it has one.
    pub(super) fn add(&mut self, row: &Row<'_>, alarm: &AlarmDef) {
        if let (Watched::Tag(tag), AlarmCondition::Limit { level, limit, deadband, .. }) =
            (alarm.watched, &alarm.condition)
        {
            let of_row = LimitOfRow { line: row.line, limit: *limit, deadband: *deadband };
            self.0.insert((tag, *level), of_row);
        }
    }

    /// Warns of limits of one tag that do not rise, and of dead-bands that reach over the neighbour's limit.
    pub(super) fn compare(&self, report: &mut Report<'_>) {
        for (((tag, low_level), low), ((next_tag, high_level), high)) in self.0.iter().zip(self.0.iter().skip(1)) {
            if tag != next_tag {
                continue;
            }
            if low.limit >= high.limit {
                let message =
                    format!("{high_level:?} is not above {low_level:?} of the same tag, which is {}", low.limit);
                let remedy = "limits rise from L4 to L, H, and H4";
                report.warning(high.line, "limit", &high.limit.to_string(), message, remedy);
                continue;
            }
            let distance = high.limit - low.limit;
            for (level, of, other_level, other) in
                [(low_level, low, high_level, high), (high_level, high, low_level, low)]
            {
                // The neighbour on the side to which it clears.
                let clears_towards = level.is_high() == (level > other_level);
                if clears_towards && of.deadband > distance {
                    let message = format!(
                        "larger than the distance to {other_level:?} of the same tag, {}: {level:?} clears at {} only",
                        other.limit,
                        clears_at(*level, of.limit, of.deadband)
                    );
                    report.warning(of.line, "deadband", &of.deadband.to_string(), message, "take a smaller one");
                }
            }
        }
    }
}
