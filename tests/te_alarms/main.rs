//! The Tennessee Eastman plant in two of its disturbances, replayed on a pair: both nodes' journals hold exactly the
//! occurrences that the same limits give on the recording itself, whatever fails over in between.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod journal;
#[path = "../pair/mod.rs"]
mod pair;
mod reference;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use pair::{Node, Overlap, Pair, Project, Status, TIMEOUT};
use reference::{ALARMS_CSV, recording};

/// Rows of the recordings are ten minutes apart.
const ROW_S: f64 = 600.0;
/// The recordings have so many.
const ROWS: f64 = 301.0;
/// The last row of the recordings, in seconds.
const END_S: f64 = (ROWS - 1.0) * ROW_S;

/// How a node ceases to be Running.
#[derive(Clone, Copy, Debug)]
enum Failover {
    /// kill -9, and started again.
    Kill,
    Switch,
}

const FIVE_FAILOVERS: [Failover; 5] =
    [Failover::Kill, Failover::Switch, Failover::Kill, Failover::Switch, Failover::Kill];

#[test]
fn disturbance_1_gives_the_alarms_of_its_recording() {
    replay("idv1.csv", 30, &[]);
}

#[test]
fn disturbance_6_gives_the_alarms_of_its_recording() {
    replay("idv6.csv", 30, &[]);
}

#[test]
fn disturbance_1_gives_the_same_alarms_with_five_failovers_in_between() {
    replay("idv1.csv", 60, &FIVE_FAILOVERS);
}

#[test]
fn disturbance_6_gives_the_same_alarms_with_five_failovers_in_between() {
    replay("idv6.csv", 60, &FIVE_FAILOVERS);
}

/// Replays the file, a row each `interval_ms`, with failovers spread over it, and looks at both nodes at its end.
#[track_caller]
fn replay(file: &str, interval_ms: u32, failovers: &[Failover]) {
    let project = Project::tennessee_eastman_once(file, ROW_S * 1_000.0 / f64::from(interval_ms), ALARMS_CSV);
    let pair = Pair::builder().recovery("manual").project(project).start();
    for (number, failover) in failovers.iter().enumerate() {
        let share = (number as f64 + 1.0) / (failovers.len() as f64 + 2.0);
        wait_position(&pair, (ROWS * share).floor() * ROW_S);
        fail_over(&pair, *failover);
        assert!(position(&pair) < END_S, "the recording was over before failover {number} was: nothing is shown");
    }
    wait_position(&pair, END_S);

    let recording = recording(file);
    let expected = journal::expected(&recording);
    let journal = equal_journals(&pair, expected.len());
    journal::holds_exactly(&journal, &expected, i64::from(interval_ms));
    for node in [&pair.master, &pair.backup] {
        journal::shows(node, &journal::expected_live(&recording), &journal);
    }
    pair.verify(Overlap::None);
}

/// The other node becomes Running; then both are in sync.
#[track_caller]
fn fail_over(pair: &Pair, how: Failover) {
    let (running, other) = pair.running_and_other();
    match how {
        Failover::Kill => {
            running.kill9();
            other.wait("it takes over", TIMEOUT, Status::is_running);
            running.start();
        }
        Failover::Switch => {
            let reply = running.switch();
            assert_eq!(reply.status, 200, "the switch was refused: {reply:?}");
        }
    }
    if running.name == pair.master.name {
        pair.wait_ready("Standby", "Running");
    } else {
        pair.wait_ready("Running", "Standby");
    }
}

/// The journal of both nodes, once they have the same one with all that is expected.
#[track_caller]
fn equal_journals(pair: &Pair, expected: usize) -> Vec<Value> {
    let end = Instant::now() + TIMEOUT;
    loop {
        let (master, backup) = (journal::journal(&pair.master), journal::journal(&pair.backup));
        let equal = master == backup;
        if equal && journal::of_the_plant(&master).len() >= expected {
            return master;
        }
        if Instant::now() >= end {
            // What is missing at both is told by whoever compares it with the recording.
            assert!(equal, "the journals differ: {}", first_difference(&master, &backup));
            return master;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn first_difference(master: &[Value], backup: &[Value]) -> String {
    let at = master.iter().zip(backup).position(|(one, other)| one != other).unwrap_or(master.len().min(backup.len()));
    let (lengths, one, other) = ((master.len(), backup.len()), master.get(at), backup.get(at));
    format!("{lengths:?} rows, row {at}: Master {one:#?}, Backup {other:#?}")
}

/// Where the replay is at the Running node, in seconds of the recording.
#[track_caller]
fn position(pair: &Pair) -> f64 {
    let (running, _) = pair.running_and_other();
    position_at(running).unwrap_or(0.0)
}

fn position_at(node: &Node) -> Option<f64> {
    node.try_value("System/Sources/tennessee-eastman/Position").ok()?.as_f64()
}

#[track_caller]
fn wait_position(pair: &Pair, wanted_s: f64) {
    let end = Instant::now() + 2 * TIMEOUT;
    // Times of the recording have four digits of an hour.
    while position(pair) < wanted_s - 1.0 {
        assert!(Instant::now() < end, "the replay stands still at {} s, not {wanted_s}", position(pair));
        thread::sleep(Duration::from_millis(5));
    }
}
