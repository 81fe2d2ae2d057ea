//! What alarms a recording gives, found in the slowest and most obvious way: from the two CSV files alone.

use std::fs;
use std::path::Path;

/// A limit of `alarms.csv`, without delays.
#[derive(Clone, Debug)]
pub struct Limit {
    pub path: String,
    pub name: String,
    /// Values above it are beyond it; else values below it.
    pub high: bool,
    pub at: f64,
    /// The limit itself is beyond it.
    pub inclusive: bool,
    pub deadband: f64,
    /// Acknowledged when it clears.
    pub automatic: bool,
}

/// A row of the recording, from 0, and the value of the tag in it.
pub type At = (usize, f64);

/// One time that an alarm was active.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrence {
    pub raised: At,
    /// None: it is active at the end.
    pub cleared: Option<At>,
}

/// The rows of `alarms.csv`.
pub fn limits(alarms_csv: &str) -> Vec<Limit> {
    let mut reader = csv::Reader::from_reader(alarms_csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| {
        let cell = |name: &str| header.iter().position(|column| column == name).map_or("", |at| &row[at]).to_owned();
        let kind = cell("kind");
        assert!(kind.starts_with(['H', 'L']), "only limits are known here, not {kind}");
        assert!(cell("active_delay_ms").is_empty() && cell("resume_delay_ms").is_empty(), "no delays are known here");
        Limit {
            path: cell("tag"),
            name: if cell("name").is_empty() { kind.clone() } else { cell("name") },
            high: kind.starts_with('H'),
            at: cell("limit").parse().unwrap(),
            inclusive: cell("inclusive") == "true",
            deadband: if cell("deadband").is_empty() { 0.0 } else { cell("deadband").parse().unwrap() },
            automatic: cell("ack_mode") == "Automatic",
        }
    })
    .collect()
}

/// The values of a tag, row by row.
pub fn column(recording_csv: &str, path: &str) -> Vec<f64> {
    let mut reader = csv::Reader::from_reader(recording_csv.as_bytes());
    let at = reader.headers().unwrap().iter().position(|name| name == path).expect("a column of this tag");
    reader.records().map(|row| row.unwrap()[at].parse().unwrap()).collect()
}

/// All occurrences of an alarm in the recording, in their order.
pub fn occurrences(limit: &Limit, recording_csv: &str) -> Vec<Occurrence> {
    let mut occurrences: Vec<Occurrence> = Vec::new();
    for (row, value) in column(recording_csv, &limit.path).into_iter().enumerate() {
        match occurrences.last_mut().filter(|last| last.cleared.is_none()) {
            None if is_beyond(limit, value) => occurrences.push(Occurrence { raised: (row, value), cleared: None }),
            Some(active) if is_back(limit, value) => active.cleared = Some((row, value)),
            _ => {}
        }
    }
    occurrences
}

fn is_beyond(limit: &Limit, value: f64) -> bool {
    match (limit.high, limit.inclusive) {
        (true, false) => value > limit.at,
        (true, true) => value >= limit.at,
        (false, false) => value < limit.at,
        (false, true) => value <= limit.at,
    }
}

/// It is no longer beyond the limit, and at least the dead-band behind it.
fn is_back(limit: &Limit, value: f64) -> bool {
    let clears_at = if limit.high { limit.at - limit.deadband } else { limit.at + limit.deadband };
    match (limit.high, limit.inclusive) {
        (true, false) => value <= clears_at,
        (true, true) => value < clears_at,
        (false, false) => value >= clears_at,
        (false, true) => value > clears_at,
    }
}

/// The text of a recording of the Tennessee Eastman plant.
pub fn recording(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tennessee-eastman");
    fs::read_to_string(folder.join(file)).expect("a recording")
}

/// The alarms of this test.
pub const ALARMS_CSV: &str = include_str!("alarms.csv");

#[test]
fn occurrences_of_a_little_recording() {
    let recording = "t,A,B\n0,5,1\n1,10,1\n2,11,1\n3,9,1\n4,8,1\n5,10,1\n6,10.5,1\n7,3,1\n8,2,1\n9,4,1\n10,5,1\n";
    for (alarm, expected) in [
        // Raised above the limit, cleared at the limit.
        ("A,,H,10,,,", vec![((2, 11.0), Some((3, 9.0))), ((6, 10.5), Some((7, 3.0)))]),
        ("A,,H,9,,,", vec![((1, 10.0), Some((3, 9.0))), ((5, 10.0), Some((7, 3.0)))]),
        // Raised at the limit, cleared below it.
        ("A,,H,10,true,,", vec![((1, 10.0), Some((3, 9.0))), ((5, 10.0), Some((7, 3.0)))]),
        // The dead-band: cleared at 8, or only below 8.
        ("A,,H2,10,,2,", vec![((2, 11.0), Some((4, 8.0))), ((6, 10.5), Some((7, 3.0)))]),
        ("A,,H2,10,true,2,", vec![((1, 10.0), Some((7, 3.0)))]),
        // The same from below.
        ("A,,L,4,,,", vec![((7, 3.0), Some((9, 4.0)))]),
        ("A,,L,4,true,,", vec![((7, 3.0), Some((10, 5.0)))]),
        ("A,,L,4,,1,", vec![((7, 3.0), Some((10, 5.0)))]),
        ("A,,L,4,true,1,", vec![((7, 3.0), None)]),
        // From the first row on, and never.
        ("B,,L4,1,true,,", vec![((0, 1.0), None)]),
        ("B,,L4,1,,,", vec![]),
    ] {
        let limits = limits(&format!("tag,name,kind,limit,inclusive,deadband,ack_mode\n{alarm}\n"));
        let expected: Vec<_> = expected.into_iter().map(|(raised, cleared)| Occurrence { raised, cleared }).collect();
        assert_eq!(occurrences(&limits[0], recording), expected, "{alarm}");
    }
}

/// Few enough to look through, many enough to fail over between them.
#[test]
fn the_alarms_come_and_go_in_both_disturbances() {
    for (file, in_all, more_than_once) in [("idv1.csv", 61, 7), ("idv6.csv", 127, 9)] {
        let recording = recording(file);
        let counts: Vec<_> = limits(ALARMS_CSV).iter().map(|limit| occurrences(limit, &recording).len()).collect();
        assert_eq!(counts.iter().sum::<usize>(), in_all, "{file}: {counts:?}");
        assert_eq!(counts.iter().filter(|count| **count > 1).count(), more_than_once, "{file}: {counts:?}");
    }
}
