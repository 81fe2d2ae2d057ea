//! `hotpair alarms`: the alarms that are not normal, once or at each change; what is shelved; the journal.

use hotpair_core::alarms::{AlarmPriority, EntryKind};
use serde_json::{Value, json};

use super::node_client::NodeClient;
use super::picture::{self, Picture};
use super::terminal::{self, Paint};
use super::{AlarmsArgs, Failure};
use crate::alarms_shown::{AlarmPage, AlarmRow, AlarmShown, ShelvingShown};
use crate::status::rfc3339;

/// Rows of the journal that are shown: the newest.
const HISTORY_ROWS: u64 = 100;
/// Alarms that are asked for.
const MAX_ALARMS: usize = 10_000;
/// Digits of an event id that tell it from others, as a rule.
const SHORT_ID: usize = 8;

pub(super) fn run(args: &AlarmsArgs) -> Result<(), Failure> {
    let node = NodeClient::new(&args.node.url)?;
    let look = || if args.history { history(&node) } else { live(&node, args.shelved) };
    match (args.watch, args.json) {
        (false, false) => terminal::say(&look()?.lines(Paint::for_stdout())),
        (false, true) => terminal::say(&format!("{:#}", look()?.json())),
        (true, false) => picture::watch(|| match look() {
            Ok(seen) => Picture::lines(seen.lines(Paint::for_stdout()), seen.at_rest().lines(Paint::PLAIN)),
            Err(failure) => Picture::trouble(&failure),
        }),
        (true, true) => picture::watch(|| Picture::json(look().map(|seen| seen.at_rest().json()), Value::to_string)),
    }
    Ok(())
}

/// What the node answers.
enum Seen {
    /// Alarms that are not normal, and what is shelved when that was asked for.
    Live(Vec<AlarmShown>, Option<Vec<ShelvingShown>>),
    /// The newest rows of the journal, oldest first.
    History(Vec<AlarmRow>),
}

fn live(node: &NodeClient, shelved: bool) -> Result<Seen, Failure> {
    let shelvings = if shelved { Some(node.get("alarms/shelved")?) } else { None };
    Ok(Seen::Live(node.get(&format!("alarms?limit={MAX_ALARMS}&shelved={shelved}"))?, shelvings))
}

/// Rows are numbered from the oldest on: the newest stand on the last pages.
fn history(node: &NodeClient) -> Result<Seen, Failure> {
    let page = |index: u64| -> Result<AlarmPage, Failure> {
        node.get(&format!("historicalData/pagedAlarms?pageIndex={index}&pageSize={HISTORY_ROWS}"))
    };
    let first = page(0)?;
    let last = first.total_count.saturating_sub(1) / HISTORY_ROWS;
    if last == 0 {
        return Ok(Seen::History(first.data));
    }
    let mut rows = if last == 1 { first.data } else { page(last - 1)?.data };
    rows.append(&mut page(last)?.data);
    let surplus = rows.len().saturating_sub(HISTORY_ROWS as usize);
    rows.drain(..surplus);
    Ok(Seen::History(rows))
}

impl Seen {
    fn json(&self) -> Value {
        match self {
            Self::Live(alarms, None) => json!(alarms),
            Self::Live(alarms, Some(shelvings)) => json!({ "alarms": alarms, "shelvings": shelvings }),
            Self::History(rows) => json!(rows),
        }
    }

    /// The same without what moves by itself.
    fn at_rest(&self) -> Self {
        match self {
            Self::Live(alarms, shelvings) => {
                let rest = |shelving: &ShelvingShown| ShelvingShown { remaining_s: 0, ..shelving.clone() };
                let shelvings = shelvings.as_ref().map(|all| {
                    // The end of each is counted from now and moves by milliseconds.
                    all.iter().map(rest).map(|shelving| ShelvingShown { until: shelving.since, ..shelving }).collect()
                });
                Self::Live(alarms.clone(), shelvings)
            }
            Self::History(rows) => Self::History(rows.clone()),
        }
    }

    fn lines(&self, paint: Paint) -> String {
        match self {
            Self::Live(alarms, shelvings) => {
                let mut lines = vec![summary(alarms, paint)];
                lines.extend(table(&alarms.iter().map(alarm).collect::<Vec<_>>(), |row, line| {
                    colour(alarms[row].priority, &alarms[row].state, line, paint)
                }));
                if let Some(shelvings) = shelvings {
                    lines.push(if shelvings.is_empty() { "shelved: nothing" } else { "shelved:" }.to_owned());
                    lines.extend(table(&shelvings.iter().map(shelving).collect::<Vec<_>>(), |_, line| line.to_owned()));
                }
                lines.join("\n")
            }
            Self::History(rows) if rows.is_empty() => "the journal is empty".to_owned(),
            Self::History(rows) => {
                table(&rows.iter().map(journal_row).collect::<Vec<_>>(), |_, line| line.to_owned()).join("\n")
            }
        }
    }
}

fn summary(alarms: &[AlarmShown], paint: Paint) -> String {
    let count = |state: &str| alarms.iter().filter(|alarm| !alarm.shelved && alarm.state == state).count();
    let (unacked, acked, cleared) = (count("Active,Unacked"), count("Active,Acked"), count("Cleared,Unacked"));
    let text =
        format!("{unacked} active and not acknowledged, {acked} acknowledged, {cleared} cleared and not acknowledged");
    let text = match (alarms.len(), unacked + cleared) {
        (0, _) => paint.good("no alarms"),
        (_, 0) => text,
        _ => paint.strong(&text),
    };
    if alarms.len() >= MAX_ALARMS { format!("{text}; the first {MAX_ALARMS} are shown") } else { text }
}

/// Columns of a row.
type Cells = Vec<String>;

fn alarm(alarm: &AlarmShown) -> Cells {
    let id = alarm.event_id.map(|id| id.to_string()).unwrap_or_default();
    let mut notes = vec![alarm.description.clone()];
    if !alarm.operator.is_empty() {
        notes.push(format!("acknowledged by {}", alarm.operator));
    }
    if !alarm.ack_notes.is_empty() {
        notes.push(format!("'{}'", alarm.ack_notes));
    }
    if alarm.shelved {
        notes.push("shelved".to_owned());
    }
    notes.retain(|note| !note.is_empty());
    vec![
        id.get(..SHORT_ID).unwrap_or_default().to_owned(),
        format!("{:?}", alarm.priority),
        alarm.state.clone(),
        alarm.active_time.map(rfc3339::text).unwrap_or_default(),
        named(&alarm.path, &alarm.name),
        plain(&alarm.value),
        notes.join(", "),
    ]
}

fn shelving(shelving: &ShelvingShown) -> Cells {
    let minutes = shelving.remaining_s.div_ceil(60);
    vec![
        format!("  {}", shelving.path),
        format!("for another {minutes} min"),
        format!("by {}", shelving.operator),
        shelving.comment.clone(),
    ]
}

fn journal_row(row: &AlarmRow) -> Cells {
    let what = match row.kind {
        EntryKind::Shelved => format!("for {} min", row.shelved_minutes.unwrap_or_default()),
        EntryKind::Unshelved => String::new(),
        _ => row.status.clone(),
    };
    vec![
        rfc3339::text(row.event_time),
        format!("{:?}", row.kind),
        what,
        named(&row.path, &row.name),
        plain(&row.value),
        row.operator.clone(),
        row.ack_notes.clone(),
    ]
}

fn named(path: &str, name: &str) -> String {
    if name.is_empty() { path.to_owned() } else { format!("{path}/{name}") }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Aligned lines; `paint` gets the number of a row and its line.
fn table(rows: &[Cells], paint: impl Fn(usize, &str) -> String) -> Vec<String> {
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0))
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let line = |row: &Cells| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().enumerate().map(|(number, row)| paint(number, &line(row))).collect()
}

fn colour(priority: AlarmPriority, state: &str, line: &str, paint: Paint) -> String {
    match (state, priority) {
        ("Active,Unacked", AlarmPriority::High | AlarmPriority::Critical) => paint.bad(line),
        ("Active,Unacked", _) => paint.unsure(line),
        ("Cleared,Unacked", _) => paint.calm(line),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn alarms() -> Vec<AlarmShown> {
        let one = json!({
            "eventId": "00112233445566778899aabbccddeeff", "path": "Plant/A", "name": "H", "type": "H",
            "priority": "High", "state": "Active,Unacked", "activeTime": "2026-01-05T08:00:00.000Z", "clearTime": null,
            "ackTime": null, "operator": "", "ackNotes": "", "value": 6.5, "description": "Too high",
            "ackMode": "Manual", "shelved": false
        });
        let mut other = one.clone();
        other["path"] = json!("Plant/Longer");
        other["state"] = json!("Cleared,Unacked");
        serde_json::from_value(json!([one, other])).unwrap()
    }

    #[test]
    fn alarms_stand_in_columns() {
        let text = Seen::Live(alarms(), None).lines(Paint::PLAIN);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "1 active and not acknowledged, 0 acknowledged, 1 cleared and not acknowledged");
        assert_eq!(
            lines[1],
            "00112233  High  Active,Unacked   2026-01-05T08:00:00.000Z  Plant/A/H       6.5  Too high"
        );
        assert!(lines[2].contains("Cleared,Unacked  2026-01-05T08:00:00.000Z  Plant/Longer/H  6.5"));
        assert_eq!(Seen::Live(Vec::new(), None).lines(Paint::PLAIN), "no alarms");
        assert_eq!(Seen::Live(Vec::new(), Some(Vec::new())).lines(Paint::PLAIN), "no alarms\nshelved: nothing");
        assert_eq!(Seen::History(Vec::new()).lines(Paint::PLAIN), "the journal is empty");
    }

    #[test]
    fn what_is_left_of_a_shelving_is_no_change() {
        let shelved = |remaining: u64, until: &str| {
            let shelving = json!({"eventId": "00112233445566778899aabbccddeeff", "path": "Plant/*",
                "since": "2026-01-05T08:00:00.000Z", "until": until, "remainingS": remaining, "operator": "ann",
                "comment": "works"});
            Seen::Live(alarms(), Some(vec![serde_json::from_value(shelving).unwrap()]))
        };
        let early = shelved(90, "2026-01-05T08:01:30.000Z");
        let late = shelved(20, "2026-01-05T08:01:30.003Z");
        assert!(early.lines(Paint::PLAIN).contains("Plant/*  for another 2 min  by ann  works"));
        assert_ne!(early.lines(Paint::PLAIN), late.lines(Paint::PLAIN));
        assert_eq!(early.at_rest().lines(Paint::PLAIN), late.at_rest().lines(Paint::PLAIN));
        assert_eq!(early.at_rest().json(), late.at_rest().json());
    }
}
