//! `tags.csv`: one tag a row.

use std::collections::HashMap;
use std::sync::Arc;

use hotpair_core::catalog::TagDef;
use hotpair_core::types::UnixMillis;
use hotpair_core::value::{MAX_STRING_BYTES, Value, ValueType};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::csv_table::{Report, Row, flag, rows};
use super::project::HistoryMode;
use super::suggest::did_you_mean;

/// More tags than this are not loaded.
pub(super) const MAX_TAGS: usize = 1_000_000;

/// The longest path of a tag.
pub(super) const MAX_PATH_BYTES: usize = 256;

/// The columns, in the order of the documentation.
pub(super) const COLUMNS: [&str; 12] = [
    "path",
    "type",
    "unit",
    "description",
    "writable",
    "initial",
    "retain",
    "eu_low",
    "eu_high",
    "deadband",
    "history",
    "stale_after_ms",
];
const PATH: usize = 0;
const TYPE: usize = 1;
const UNIT: usize = 2;
const DESCRIPTION: usize = 3;
const WRITABLE: usize = 4;
const INITIAL: usize = 5;
const RETAIN: usize = 6;
const EU_LOW: usize = 7;
const EU_HIGH: usize = 8;
const DEADBAND: usize = 9;
const HISTORY: usize = 10;
const STALE_AFTER: usize = 11;

const TYPES: [(&str, ValueType); 5] = [
    ("Bool", ValueType::Bool),
    ("Int64", ValueType::Int64),
    ("Float64", ValueType::Float64),
    ("String", ValueType::String),
    ("DateTime", ValueType::DateTime),
];

/// The tags of the file, also the broken ones, so that what refers to them is not told twice.
#[derive(Default)]
pub(super) struct Tags {
    pub defs: Vec<TagDef>,
    pub history: Vec<Option<HistoryMode>>,
    /// Where each path stands.
    pub by_path: HashMap<Arc<str>, Entry>,
}

/// Where a tag stands.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// In [`Tags::defs`].
    pub index: usize,
    /// In the file.
    pub line: usize,
    /// None: the row does not tell a valid one.
    pub value_type: Option<ValueType>,
}

/// Reads the rows. None when the header is wrong: then nothing is known about the tags.
pub(super) fn parse(content: &str, report: &mut Report<'_>) -> Option<Tags> {
    let mut tags = Tags::default();
    let readable = rows(content, &COLUMNS, &["path", "type"], report, |row, report| {
        if tags.defs.len() == MAX_TAGS {
            report.error(row.line, "", "", format!("more than {MAX_TAGS} tags"), "divide the plant between pairs");
            return false;
        }
        tags.add(row, report);
        true
    });
    readable.then_some(tags)
}

impl Tags {
    fn add(&mut self, row: &Row<'_>, report: &mut Report<'_>) {
        let path: Arc<str> = Arc::from(row.cell(PATH));
        if let Some((message, remedy)) = wrong_path(&path) {
            report.error(row.line, "path", &path, message, remedy);
        } else if let Some(first) = self.by_path.get(&path) {
            report.error(row.line, "path", &path, format!("also in line {}", first.line), "give each tag its own path");
            return;
        }
        let cells = Cells { row, report };
        let (def, history, value_type) = cells.tag(path.clone());
        self.by_path.insert(path, Entry { index: self.defs.len(), line: row.line, value_type });
        self.defs.push(def);
        self.history.push(history);
    }
}

/// What is wrong with a path, and how to mend it.
pub(super) fn wrong_path(path: &str) -> Option<(String, &'static str)> {
    let remedy = "write it like Plant/Line1/Temperature";
    if path.is_empty() {
        Some(("missing".to_owned(), remedy))
    } else if path.len() > MAX_PATH_BYTES {
        Some((format!("longer than {MAX_PATH_BYTES} bytes ({})", path.len()), "shorten it"))
    } else if path.starts_with('/') || path.ends_with('/') || path.contains("//") {
        Some(("a part of the path is empty".to_owned(), remedy))
    } else if path.contains('*') {
        Some(("must not hold *".to_owned(), "the star stands for any characters when tags are asked for"))
    } else if path.chars().any(char::is_control) {
        Some(("holds a control character or a line break".to_owned(), "remove it"))
    } else if path.starts_with("System/") || path == "System" {
        Some(("System/ is reserved for the program's own tags".to_owned(), "take another first part"))
    } else {
        None
    }
}

struct Cells<'a, 'r, 'p> {
    row: &'a Row<'a>,
    report: &'r mut Report<'p>,
}

impl Cells<'_, '_, '_> {
    fn tag(mut self, path: Arc<str>) -> (TagDef, Option<HistoryMode>, Option<ValueType>) {
        let value_type = self.value_type();
        let writable = self.flag(WRITABLE).unwrap_or(false);
        let (eu_low, eu_high, deadband) = self.range(value_type);
        let initial = value_type.and_then(|of| self.initial(of));
        if let (Some(value), Some(low), Some(high)) = (initial.as_ref().and_then(as_number), eu_low, eu_high)
            && !(low..=high).contains(&value)
        {
            let message = format!("outside of eu_low {low} to eu_high {high}");
            self.report.warning(self.row.line, "initial", self.row.cell(INITIAL), message, "");
        }
        let history = self.history();
        let def = TagDef {
            unit: self.row.cell(UNIT).to_owned(),
            description: self.row.cell(DESCRIPTION).to_owned(),
            writable,
            retain: self.flag(RETAIN).unwrap_or(writable),
            initial,
            eu_low,
            eu_high,
            deadband,
            stale_after_ms: self.stale_after(),
            ..TagDef::new(path, value_type.unwrap_or(ValueType::Float64))
        };
        (def, history, value_type)
    }

    fn error(&mut self, column: usize, message: impl Into<String>, remedy: &str) {
        self.report.error(self.row.line, COLUMNS[column], self.row.cell(column), message, remedy);
    }

    fn value_type(&mut self) -> Option<ValueType> {
        let text = self.row.cell(TYPE);
        let found = TYPES.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let message = if text.is_empty() { "missing" } else { "unknown type" };
            self.error(TYPE, message, &did_you_mean(text, &TYPES.map(|(name, _)| name)));
        }
        found.map(|(_, value_type)| *value_type)
    }

    fn flag(&mut self, column: usize) -> Option<bool> {
        let text = self.row.cell(column);
        let value = flag(text);
        if value.is_none() && !text.is_empty() {
            self.error(column, "must be true or false", "or leave it empty");
        }
        value
    }

    fn number(&mut self, column: usize) -> Option<f64> {
        let text = self.row.cell(column);
        let number = self.row.number(text);
        if number.is_none() && !text.is_empty() {
            self.error(column, "must be a number", "or leave it empty");
        }
        number
    }

    fn range(&mut self, value_type: Option<ValueType>) -> (Option<f64>, Option<f64>, f64) {
        let (low, high) = (self.number(EU_LOW), self.number(EU_HIGH));
        let deadband = self.number(DEADBAND).unwrap_or(0.0);
        if let (Some(low), Some(high)) = (low, high)
            && low >= high
        {
            self.error(EU_LOW, format!("must be below eu_high, which is {high}"), "swap or correct them");
        }
        if deadband < 0.0 {
            self.error(DEADBAND, "must not be negative", "0, or empty: every change counts");
        }
        if let Some(of) = value_type
            && !matches!(of, ValueType::Int64 | ValueType::Float64)
        {
            for (column, given) in [(EU_LOW, low.is_some()), (EU_HIGH, high.is_some()), (DEADBAND, deadband > 0.0)] {
                if given {
                    self.error(column, format!("has no meaning for a tag of type {of}"), "leave it empty");
                }
            }
        }
        (low, high, deadband)
    }

    fn initial(&mut self, of: ValueType) -> Option<Value> {
        if self.row.raw(INITIAL).is_empty() || (of != ValueType::String && self.row.cell(INITIAL).is_empty()) {
            return None;
        }
        let text = if of == ValueType::String { self.row.raw(INITIAL) } else { self.row.cell(INITIAL) };
        match value(self.row, text, of) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.error(INITIAL, format!("does not fit type {of}"), allowed);
                None
            }
        }
    }

    fn history(&mut self) -> Option<HistoryMode> {
        match self.row.cell(HISTORY) {
            "" => None,
            "on_change" => Some(HistoryMode::OnChange),
            "periodic" => Some(HistoryMode::Periodic),
            "raw" => Some(HistoryMode::Raw),
            other => {
                let remedy = format!("{}; empty: none", did_you_mean(other, &["on_change", "periodic", "raw"]));
                self.error(HISTORY, "unknown kind of history", &remedy);
                None
            }
        }
    }

    fn stale_after(&mut self) -> Option<u64> {
        let text = self.row.cell(STALE_AFTER);
        let parsed = text.parse().ok().filter(|&ms| ms > 0);
        if parsed.is_none() && !text.is_empty() {
            self.error(STALE_AFTER, "must be a whole number of milliseconds above 0", "or leave it empty: never stale");
        }
        parsed
    }
}

/// The value of this type that the cell holds, or what is allowed.
pub(super) fn value(row: &Row<'_>, text: &str, of: ValueType) -> Result<Value, &'static str> {
    match of {
        ValueType::Bool => flag(text).map(Value::Bool).ok_or("true or false"),
        ValueType::Int64 => text.parse().map(Value::Int64).map_err(|_| "a whole number of at most 64 bits"),
        ValueType::Float64 => row.number(text).map(Value::Float64).ok_or("a finite number with a decimal point"),
        ValueType::String if text.len() > MAX_STRING_BYTES => Err("at most 16384 bytes"),
        ValueType::String => Ok(Value::String(Arc::from(text))),
        ValueType::DateTime => OffsetDateTime::parse(text, &Rfc3339)
            .map(|time| Value::DateTime(UnixMillis((time.unix_timestamp_nanos() / 1_000_000) as i64)))
            .map_err(|_| "a time like 2026-01-05T08:00:00Z"),
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Int64(value) => Some(*value as f64),
        Value::Float64(value) => Some(*value),
        _ => None,
    }
}
