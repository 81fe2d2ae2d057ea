//! `alarms.csv`: one alarm a row.

use std::collections::HashMap;
use std::sync::Arc;

use hotpair_core::alarms::{AckMode, AlarmDef, AlarmPriority, MAX_DESCRIPTION_BYTES, Watched};
use hotpair_core::catalog::{TagDef, TagId};
use hotpair_core::value::ValueType;

use super::alarm_condition::{Limits, MAX_MS};
use super::csv_table::{Report, Row, rows};
use super::suggest::{did_you_mean, nearest};
use super::tags_csv::Tags;

/// More alarms than this are not loaded.
const MAX_ALARMS: usize = 1_000_000;

/// The columns, in the order of the documentation.
pub(super) const COLUMNS: [&str; 12] = [
    "tag",
    "name",
    "kind",
    "limit",
    "inclusive",
    "deadband",
    "period_ms",
    "active_delay_ms",
    "resume_delay_ms",
    "priority",
    "ack_mode",
    "description",
];
const TAG: usize = 0;
const NAME: usize = 1;
pub(super) const KIND: usize = 2;
pub(super) const LIMIT: usize = 3;
pub(super) const INCLUSIVE: usize = 4;
pub(super) const DEADBAND: usize = 5;
pub(super) const PERIOD: usize = 6;
const ACTIVE_DELAY: usize = 7;
const RESUME_DELAY: usize = 8;
const PRIORITY: usize = 9;
const ACK_MODE: usize = 10;
const DESCRIPTION: usize = 11;

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

/// With so many tags a suggestion is looked for: it is not worth seconds.
const MAX_COMPARED: usize = 10_000;

/// Reads the rows. `tags` is none when nothing is known about the tags; then no alarm is given either. No two of those
/// that are given have the same path and name.
pub(super) fn parse(content: &str, tags: Option<&Tags>, report: &mut Report<'_>) -> Vec<AlarmDef> {
    let mut alarms = Vec::new();
    // The line of each tag and name.
    let mut names: HashMap<(Watched, Arc<str>), usize> = HashMap::new();
    let mut limits = Limits::default();
    rows(content, &COLUMNS, &["tag", "kind"], report, |row, report| {
        if alarms.len() == MAX_ALARMS {
            report.error(row.line, "", "", format!("more than {MAX_ALARMS} alarms"), "");
            return false;
        }
        let Some(alarm) = (Cells { row, report, tags }).alarm() else { return true };
        let first = *names.entry((alarm.watched, alarm.name.clone())).or_insert(row.line);
        if first != row.line {
            let message = format!("this tag has an alarm of this name in line {first}");
            report.error(row.line, "name", &alarm.name, message, "give each alarm of a tag its own name");
            return true;
        }
        limits.add(row, &alarm);
        alarms.push(alarm);
        true
    });
    limits.compare(report);
    alarms
}

/// What is wrong with the name of an alarm, and how to mend it. A shelving names an alarm by the path of its tag, a `/`
/// and its name: that must be no other alarm's too.
pub(super) fn wrong_name(name: &str) -> Option<(String, &'static str)> {
    if name.is_empty() {
        Some(("missing".to_owned(), "give it a name"))
    } else if name.len() > MAX_NAME_BYTES {
        Some((format!("longer than {MAX_NAME_BYTES} bytes ({})", name.len()), "shorten it"))
    } else if name.chars().any(char::is_control) {
        Some(("holds a control character or a line break".to_owned(), "remove it"))
    } else if name.contains('/') {
        Some(("must not hold /".to_owned(), "an alarm is shelved by its tag's path, a / and its name"))
    } else if name.contains('*') {
        Some(("must not hold *".to_owned(), "the star stands for any characters when alarms are shelved"))
    } else {
        None
    }
}

/// A row that is being read.
pub(super) struct Cells<'a, 'r, 'p> {
    pub row: &'a Row<'a>,
    pub report: &'r mut Report<'p>,
    pub tags: Option<&'a Tags>,
}

/// The tag of a row.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub id: TagId,
    pub def: &'a TagDef,
    /// None: its row in `tags.csv` does not tell a valid one.
    pub value_type: Option<ValueType>,
}

impl<'a> Cells<'a, '_, '_> {
    /// None, with problems, when something is wrong.
    fn alarm(mut self) -> Option<AlarmDef> {
        let before = self.report.errors();
        let tag = self.tag();
        let condition = self.condition(tag);
        let name = match self.row.cell(NAME) {
            "" => self.row.cell(KIND),
            name => name,
        };
        if !self.row.cell(NAME).is_empty()
            && let Some((message, remedy)) = wrong_name(name)
        {
            self.error(NAME, message, remedy);
        }
        let (active_delay_ms, resume_delay_ms) = (self.delay(ACTIVE_DELAY), self.delay(RESUME_DELAY));
        let priority = self.word(PRIORITY, &PRIORITIES).unwrap_or(AlarmPriority::Medium);
        let ack_mode = self.word(ACK_MODE, &ACK_MODES).unwrap_or(AckMode::Manual);
        let description = self.row.cell(DESCRIPTION);
        if description.len() > MAX_DESCRIPTION_BYTES {
            let message = format!("the journal keeps its first {MAX_DESCRIPTION_BYTES} bytes of {}", description.len());
            self.warning(DESCRIPTION, message, "shorten it");
        }
        let (tag, condition) = (tag?, condition?);
        if self.report.errors() != before {
            return None;
        }
        self.warn_of_an_equal_path(tag, name);
        Some(AlarmDef {
            path: tag.def.path.clone(),
            name: Arc::from(name),
            watched: Watched::Tag(tag.id),
            condition,
            active_delay_ms,
            resume_delay_ms,
            priority,
            ack_mode,
            description: Arc::from(description),
        })
    }

    pub(super) fn error(&mut self, column: usize, message: impl Into<String>, remedy: &str) {
        self.report.error(self.row.line, COLUMNS[column], self.row.cell(column), message, remedy);
    }

    pub(super) fn warning(&mut self, column: usize, message: impl Into<String>, remedy: &str) {
        self.report.warning(self.row.line, COLUMNS[column], self.row.cell(column), message, remedy);
    }

    fn tag(&mut self) -> Option<Watch<'a>> {
        let path = self.row.cell(TAG);
        let tags = self.tags?;
        if let Some(entry) = tags.by_path.get(path)
            && let Some(def) = tags.defs.get(entry.index)
        {
            return Some(Watch { id: TagId(entry.index as u32), def, value_type: entry.value_type });
        }
        if path.starts_with("System/") {
            let remedy = "remove it: the alarms about the pair itself are built in";
            self.error(TAG, "alarms on the program's own tags are not available", remedy);
            return None;
        }
        let compared = if self.report.is_full() { 0 } else { MAX_COMPARED };
        let near = nearest(path, tags.defs.iter().map(|def| &*def.path).take(compared));
        let remedy = near.map_or_else(|| "add it to tags.csv".to_owned(), |near| format!("did you mean {near}?"));
        self.error(TAG, if path.is_empty() { "missing" } else { "there is no such tag" }, &remedy);
        None
    }

    /// What a shelving would call this alarm can be the path of another tag.
    fn warn_of_an_equal_path(&mut self, tag: Watch<'_>, name: &str) {
        let full = format!("{}/{name}", tag.def.path);
        if self.tags.is_some_and(|tags| tags.by_path.contains_key(full.as_str())) {
            let column = if self.row.cell(NAME).is_empty() { KIND } else { NAME };
            let message = format!("{full} is a tag too: to shelve this alarm shelves those of that tag");
            self.warning(column, message, "give the alarm another name");
        }
    }

    fn delay(&mut self, column: usize) -> u64 {
        let text = self.row.cell(column);
        let delay = if text.is_empty() { Some(0) } else { text.parse().ok().filter(|ms| *ms <= MAX_MS) };
        delay.unwrap_or_else(|| {
            let message = format!("must be a whole number of milliseconds, at most {MAX_MS}");
            self.error(column, message, "or leave it empty: 0");
            0
        })
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
