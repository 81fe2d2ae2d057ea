//! What the nodes say of the alarms, against what the recording gives.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::pair::Node;
use super::pair::http::rows;
use super::reference::{ALARMS_CSV, Occurrence, limits, occurrences};

/// Longer than any test takes.
const ALL_TIMES: &str = "startTime=2000-01-01T00:00:00.000Z&endTime=2100-01-01T00:00:00.000Z";

/// One transition: row of the recording, path, name, status after it, value.
pub type Transition = (usize, String, String, &'static str, f64);

/// All rows of a node's journal, oldest first.
#[track_caller]
pub fn journal(node: &Node) -> Vec<Value> {
    rows(&node.http.get_json(&format!("/api/v1/historicalData/alarms?{ALL_TIMES}")))
}

/// Those about the plant, and not about the pair.
pub fn of_the_plant(journal: &[Value]) -> Vec<Value> {
    journal.iter().filter(|row| text(row, "path").starts_with("Plant/")).cloned().collect()
}

/// What the recording gives: the transitions of all alarms, by row.
pub fn expected(recording_csv: &str) -> Vec<Transition> {
    let mut transitions = Vec::new();
    for limit in limits(ALARMS_CSV) {
        let cleared_status = if limit.automatic { "Cleared,Acked" } else { "Cleared,Unacked" };
        for Occurrence { raised, cleared } in occurrences(&limit, recording_csv) {
            let at = |(row, value), status| (row, limit.path.clone(), limit.name.clone(), status, value);
            transitions.push(at(raised, "Active,Unacked"));
            transitions.extend(cleared.map(|cleared| at(cleared, cleared_status)));
        }
    }
    transitions.sort_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)));
    transitions
}

/// What is shown at the end: of each alarm that is not normal its state.
pub fn expected_live(recording_csv: &str) -> BTreeMap<(String, String), &'static str> {
    let mut live = BTreeMap::new();
    for limit in limits(ALARMS_CSV) {
        let state = match occurrences(&limit, recording_csv).last() {
            Some(Occurrence { cleared: None, .. }) => "Active,Unacked",
            Some(Occurrence { cleared: Some(_), .. }) if !limit.automatic => "Cleared,Unacked",
            _ => continue,
        };
        live.insert((limit.path, limit.name), state);
    }
    live
}

/// Fails when the journal's rows about the plant are not exactly these transitions in this order: none twice, none
/// missing, each with its value. Rows of the recording are `interval_ms` apart, and the first one raises an alarm.
#[track_caller]
pub fn holds_exactly(journal: &[Value], expected: &[Transition], interval_ms: i64) {
    let plant = of_the_plant(journal);
    let start_ms = time_ms(plant.first().expect("an alarm is raised by the first row"));
    let mut found: Vec<(usize, String, String, String, f64)> = Vec::new();
    for entry in &plant {
        let since_start = time_ms(entry) - start_ms;
        // A takeover may round a time by a millisecond.
        let row = (since_start + interval_ms / 2) / interval_ms;
        let off = since_start - row * interval_ms;
        assert!(row >= 0 && off.abs() <= interval_ms / 4, "{off} ms beside row {row}: {entry}");
        let value = entry["value"].as_f64().unwrap_or_else(|| panic!("no number: {entry}"));
        assert_eq!(text(entry, "valueType"), "Float64", "{entry}");
        let (path, name, status) = (text(entry, "path"), text(entry, "name"), text(entry, "status"));
        found.push((usize::try_from(row).unwrap(), path, name, status, value));
    }
    assert!(found.is_sorted_by_key(|entry| entry.0), "the journal is not in the order of the recording");
    // Alarms that one row raises or clears have no order among them.
    found.sort_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)));

    let shown = |(row, path, name, status, value): (usize, &str, &str, &str, f64)| {
        format!("row {row}: {path} {name}: {status}, {value:?}")
    };
    let found: Vec<_> = found.iter().map(|e| shown((e.0, &e.1, &e.2, &e.3, e.4))).collect();
    let wanted: Vec<_> = expected.iter().map(|e| shown((e.0, &e.1, &e.2, e.3, e.4))).collect();
    let missing = difference(&wanted, &found);
    let surplus = difference(&found, &wanted);
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}, twice or too many: {surplus:#?}");
    assert_eq!(found, wanted);
    an_event_is_one_occurrence(&plant);
}

/// What `these` have more often than `others`.
fn difference<'a>(these: &'a [String], others: &[String]) -> Vec<&'a String> {
    let mut left = others.to_vec();
    these
        .iter()
        .filter(|this| left.iter().position(|that| that == *this).map(|at| left.swap_remove(at)).is_none())
        .collect()
}

/// Raised and cleared have the same event id, and no other occurrence has it.
#[track_caller]
fn an_event_is_one_occurrence(plant: &[Value]) {
    let mut active: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for entry in plant {
        let (alarm, event) = ((text(entry, "path"), text(entry, "name")), text(entry, "eventId"));
        if text(entry, "status").starts_with("Active") {
            assert!(!event.is_empty() && seen.insert(event.clone()), "two occurrences have this event id: {entry}");
            active.insert(alarm, event);
        } else {
            assert_eq!(active.remove(&alarm).as_ref(), Some(&event), "cleared is another occurrence: {entry}");
        }
    }
}

/// Fails when a node's live list about the plant is not this one, or shows another occurrence than the journal's last.
#[track_caller]
pub fn shows(node: &Node, live: &BTreeMap<(String, String), &'static str>, journal: &[Value]) {
    let rows = of_the_plant(&rows(&node.http.get_json("/api/v1/alarms")));
    let shown: BTreeMap<_, _> =
        rows.iter().map(|row| ((text(row, "path"), text(row, "name")), text(row, "state"))).collect();
    let live: BTreeMap<_, _> = live.iter().map(|(alarm, state)| (alarm.clone(), (*state).to_owned())).collect();
    assert_eq!(shown, live, "{}", node.name);
    assert_eq!(rows.len(), live.len(), "{} shows an alarm twice: {rows:#?}", node.name);
    for row in rows {
        let (path, name) = (text(&row, "path"), text(&row, "name"));
        let last = journal.iter().rfind(|entry| text(entry, "path") == path && text(entry, "name") == name);
        assert_eq!(last.map(|entry| text(entry, "eventId")), Some(text(&row, "eventId")), "{}: {row}", node.name);
    }
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn time_ms(entry: &Value) -> i64 {
    let time = text(entry, "eventTime");
    let time = OffsetDateTime::parse(&time, &Rfc3339).unwrap_or_else(|problem| panic!("{problem} in {entry}"));
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap()
}

/// The check itself is checked: what it must not let pass.
mod tests {
    use std::panic;

    use serde_json::json;

    use super::*;
    use crate::reference::recording;

    const INTERVAL_MS: i64 = 30;

    /// The journal that a pair should give.
    fn right() -> (Vec<Value>, Vec<Transition>) {
        let expected = expected(&recording("idv1.csv"));
        let mut numbers: BTreeMap<(String, String), u32> = BTreeMap::new();
        let journal = expected.iter().map(|(row, path, name, status, value)| {
            let number = numbers.entry((path.clone(), name.clone())).or_default();
            *number += u32::from(status.starts_with("Active"));
            let time = OffsetDateTime::from_unix_timestamp(1_767_600_000).unwrap()
                + time::Duration::milliseconds(i64::try_from(*row).unwrap() * INTERVAL_MS);
            json!({
                "eventId": format!("{path} {name} {number}"), "path": path, "name": name, "status": status,
                "value": value, "valueType": "Float64", "eventTime": time.format(&Rfc3339).unwrap(),
            })
        });
        (journal.collect(), expected)
    }

    fn passes(journal: &[Value], expected: &[Transition]) -> bool {
        panic::catch_unwind(|| holds_exactly(journal, expected, INTERVAL_MS)).is_ok()
    }

    #[test]
    fn a_right_journal_passes_and_a_wrong_one_does_not() {
        let (right, expected) = right();
        assert!(passes(&right, &expected));
        let with = |change: &dyn Fn(&mut Vec<Value>)| {
            let mut journal = right.clone();
            change(&mut journal);
            passes(&journal, &expected)
        };
        assert!(!with(&|journal| drop(journal.remove(20))), "one is missing");
        assert!(!with(&|journal| journal.insert(20, journal[20].clone())), "one is there twice");
        assert!(!with(&|journal| journal.swap(20, 40)), "the order");
        assert!(!with(&|journal| journal[20]["value"] = json!(0.5)), "the value");
        assert!(!with(&|journal| journal[20]["eventTime"] = journal[60]["eventTime"].clone()), "the time");
        assert!(!with(&|journal| journal[20]["eventId"] = json!("other")), "the event");
        assert!(with(&|journal| journal.insert(5, json!({"path": "System/Redundancy", "name": "PeerLost"}))));
    }
}
