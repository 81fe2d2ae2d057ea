//! `alarms.csv`: one alarm a row.

use std::collections::BTreeMap;

use hotpair_core::catalog::TagId;
use hotpair_core::value::ValueType;

use super::alarms::{AckMode, AlarmCondition, AlarmDef, AlarmPriority, LimitLevel};
use super::csv_table::{Report, Row, flag, rows};
use super::suggest::{did_you_mean, nearest};
use super::tags_csv::{Tags, value};

/// More alarms than this are not loaded.
const MAX_ALARMS: usize = 1_000_000;

/// The columns, in the order of the documentation.
const COLUMNS: [&str; 11] = [
    "tag",
    "name",
    "kind",
    "limit",
    "inclusive",
    "deadband",
    "active_delay_ms",
    "resume_delay_ms",
    "priority",
    "ack_mode",
    "description",
];
const TAG: usize = 0;
const NAME: usize = 1;
const KIND: usize = 2;
const LIMIT: usize = 3;
const INCLUSIVE: usize = 4;
const DEADBAND: usize = 5;
const ACTIVE_DELAY: usize = 6;
const RESUME_DELAY: usize = 7;
const PRIORITY: usize = 8;
const ACK_MODE: usize = 9;
const DESCRIPTION: usize = 10;

const KINDS: [&str; 12] =
    ["H4", "H3", "H2", "H", "L", "L2", "L3", "L4", "RateOfChange", "Equivalent", "TrueToFalse", "FalseToTrue"];
const PRIORITIES: [(&str, AlarmPriority); 4] = [
    ("Low", AlarmPriority::Low),
    ("Medium", AlarmPriority::Medium),
    ("High", AlarmPriority::High),
    ("Critical", AlarmPriority::Critical),
];
const ACK_MODES: [(&str, AckMode); 3] =
    [("Automatic", AckMode::Automatic), ("Manual", AckMode::Manual), ("ManualWithComment", AckMode::ManualWithComment)];

/// The longest name of an alarm, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Reads the rows. `tags` is none when nothing is known about the tags; then no alarm is given either.
pub(super) fn parse(content: &str, tags: Option<&Tags>, report: &mut Report<'_>) -> Vec<AlarmDef> {
    let mut alarms = Vec::new();
    // Line of each (tag, name), and limit of each (tag, level).
    let mut names: BTreeMap<(u32, String), usize> = BTreeMap::new();
    let mut limits: BTreeMap<(u32, LimitLevel), (usize, f64)> = BTreeMap::new();
    rows(content, &COLUMNS, &["tag", "kind"], report, |row, report| {
        if alarms.len() == MAX_ALARMS {
            report.error(row.line, "", "", format!("more than {MAX_ALARMS} alarms"), "");
            return false;
        }
        let Some(alarm) = (Cells { row, report, tags }).alarm() else { return true };
        if let Some(first) = names.insert((alarm.tag.0, alarm.name.clone()), row.line) {
            let message = format!("this tag has an alarm of this name in line {first}");
            report.error(row.line, "name", &alarm.name, message, "give each alarm of a tag its own name");
        }
        if let AlarmCondition::Limit { level, limit, .. } = alarm.condition {
            limits.insert((alarm.tag.0, level), (row.line, limit));
        }
        alarms.push(alarm);
        true
    });
    for (((tag, level), (_, limit)), ((next_tag, next_level), (line, next))) in limits.iter().zip(limits.iter().skip(1))
    {
        if tag == next_tag && limit >= next {
            let message = format!("{next_level:?} is not above {level:?} of the same tag, which is {limit}");
            report.warning(*line, "limit", &next.to_string(), message, "limits rise from L4 to L, H, and H4");
        }
    }
    alarms
}

struct Cells<'a, 'r, 'p> {
    row: &'a Row<'a>,
    report: &'r mut Report<'p>,
    tags: Option<&'a Tags>,
}

impl Cells<'_, '_, '_> {
    /// None, with problems, when something is wrong.
    fn alarm(mut self) -> Option<AlarmDef> {
        let before = self.report.errors();
        let tag = self.tag();
        let condition = self.condition(tag.and_then(|(_, value_type)| value_type));
        let name = match self.row.cell(NAME) {
            "" => self.row.cell(KIND).to_owned(),
            name => name.to_owned(),
        };
        if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            let message = format!("longer than {MAX_NAME_BYTES} bytes, or with a control character");
            self.error(NAME, message, "shorten it");
        }
        let alarm = (
            self.delay(ACTIVE_DELAY),
            self.delay(RESUME_DELAY),
            self.word(PRIORITY, &PRIORITIES).unwrap_or(AlarmPriority::Medium),
            self.word(ACK_MODE, &ACK_MODES).unwrap_or(AckMode::Manual),
        );
        let ((tag, _), condition) = (tag?, condition?);
        let (active_delay_ms, resume_delay_ms, priority, ack_mode) = alarm;
        let description = self.row.cell(DESCRIPTION).to_owned();
        (self.report.errors() == before).then_some(AlarmDef {
            tag,
            name,
            condition,
            active_delay_ms,
            resume_delay_ms,
            priority,
            ack_mode,
            description,
        })
    }

    fn error(&mut self, column: usize, message: impl Into<String>, remedy: &str) {
        self.report.error(self.row.line, COLUMNS[column], self.row.cell(column), message, remedy);
    }

    fn tag(&mut self) -> Option<(TagId, Option<ValueType>)> {
        let path = self.row.cell(TAG);
        let tags = self.tags?;
        if let Some(entry) = tags.by_path.get(path) {
            return Some((TagId(entry.index as u32), entry.value_type));
        }
        let compared = if self.report.is_full() { 0 } else { MAX_COMPARED };
        let near = nearest(path, tags.defs.iter().map(|def| &*def.path).take(compared));
        let remedy = near.map_or_else(|| "add it to tags.csv".to_owned(), |near| format!("did you mean {near}?"));
        self.error(TAG, if path.is_empty() { "missing" } else { "there is no such tag" }, &remedy);
        None
    }

    fn condition(&mut self, of: Option<ValueType>) -> Option<AlarmCondition> {
        let kind = self.row.cell(KIND);
        let level = match kind {
            "H4" => Some(LimitLevel::H4),
            "H3" => Some(LimitLevel::H3),
            "H2" => Some(LimitLevel::H2),
            "H" => Some(LimitLevel::H),
            "L" => Some(LimitLevel::L),
            "L2" => Some(LimitLevel::L2),
            "L3" => Some(LimitLevel::L3),
            "L4" => Some(LimitLevel::L4),
            _ => None,
        };
        let numeric = of.is_none_or(|of| matches!(of, ValueType::Int64 | ValueType::Float64));
        match kind {
            "RateOfChange" | "Equivalent" | "TrueToFalse" | "FalseToTrue" => {}
            _ if level.is_some() => {}
            _ => {
                self.error(KIND, if kind.is_empty() { "missing" } else { "unknown kind" }, &did_you_mean(kind, &KINDS));
                return None;
            }
        }
        let fits = match kind {
            "TrueToFalse" | "FalseToTrue" => of.is_none_or(|of| of == ValueType::Bool),
            "Equivalent" => true,
            _ => numeric,
        };
        if let (false, Some(of)) = (fits, of) {
            let remedy = if of == ValueType::Bool {
                "for a Bool use TrueToFalse, FalseToTrue or Equivalent"
            } else if numeric {
                "for a number use H4 to L4, RateOfChange or Equivalent"
            } else {
                "use Equivalent"
            };
            self.error(KIND, format!("does not fit the tag's type {of}"), remedy);
            return None;
        }
        match (kind, level) {
            ("Equivalent", _) => self.equivalent(of?),
            ("TrueToFalse", _) => self.edge().then_some(AlarmCondition::TrueToFalse),
            ("FalseToTrue", _) => self.edge().then_some(AlarmCondition::FalseToTrue),
            (_, level) => self.limit(level),
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

    /// One of the limits; none is RateOfChange.
    fn limit(&mut self, level: Option<LimitLevel>) -> Option<AlarmCondition> {
        let text = self.row.cell(LIMIT);
        let limit = self.row.number(text);
        match limit {
            None if text.is_empty() => self.error(LIMIT, format!("missing: {} needs one", self.row.cell(KIND)), ""),
            None => self.error(LIMIT, "must be a number", ""),
            Some(limit) if level.is_none() && limit <= 0.0 => {
                self.error(LIMIT, "must be above 0", "it is a speed, up or down, in the tag's unit per second");
            }
            Some(_) => {}
        }
        let text = self.row.cell(DEADBAND);
        let deadband = if text.is_empty() { Some(0.0) } else { self.row.number(text) };
        if deadband.is_none_or(|deadband| deadband < 0.0) {
            self.error(DEADBAND, "must be a number, not negative", "or leave it empty: 0");
        }
        let text = self.row.cell(INCLUSIVE);
        let inclusive = if text.is_empty() { Some(false) } else { flag(text) };
        if inclusive.is_none() {
            self.error(INCLUSIVE, "must be true or false", "or leave it empty: false");
        }
        let (limit, inclusive, deadband) = (limit?, inclusive?, deadband?);
        Some(match level {
            Some(level) => AlarmCondition::Limit { level, limit, inclusive, deadband },
            None => AlarmCondition::RateOfChange { limit, inclusive, deadband },
        })
    }

    fn delay(&mut self, column: usize) -> u64 {
        match self.row.cell(column) {
            "" => 0,
            text => text.parse().unwrap_or_else(|_| {
                self.error(column, "must be a whole number of milliseconds", "or leave it empty: 0");
                0
            }),
        }
    }

    fn word<T: Copy, const N: usize>(&mut self, column: usize, words: &[(&str, T); N]) -> Option<T> {
        let text = self.row.cell(column);
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() && !text.is_empty() {
            self.error(column, "unknown", &did_you_mean(text, &words.each_ref().map(|(word, _)| *word)));
        }
        found.map(|(_, value)| *value)
    }
}

/// With so many tags a suggestion is looked for: it is not worth seconds.
const MAX_COMPARED: usize = 10_000;
