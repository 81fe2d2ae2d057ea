//! Ten thousand alarms in a second, of a hundred thousand: no heartbeat is late, both nodes have the same afterwards, and
//! memory stays within bounds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pair::alarms::{full_name, text};
use pair::project::HEADER;
use pair::{EndOnDrop, Node, Overlap, Pair, Profile, Project, Status, TIMEOUT};
use serde_json::{Value, json};

const ALARMS: usize = 100_000;
/// So many of them come and go at once.
const FLOOD: usize = 10_000;
/// As many items as one write has here.
const BATCH: usize = 1000;
/// Up and down, so often.
const WAVES: usize = 3;

/// By so much either process may grow above what it had with everything defined and nothing happening.
const GROWTH_KIB: u64 = 96 * 1024;
/// By so much it may grow from the first wave to the last one: what comes again takes no more.
const GROWTH_OF_MORE_KIB: u64 = 48 * 1024;

#[test]
fn a_flood_of_alarms_delays_no_heartbeat_and_ends_equal_on_both_nodes() {
    let pair = Pair::builder().profile(Profile::Default).project(many_alarms()).start();
    let nodes = [&pair.master, &pair.backup];
    let missed = nodes.map(|node| node.metric("hotpair_missed_pings_total"));
    let epoch = pair.master.status().epoch;
    let idle = nodes.map(Node::peak_kib);
    let mut after_first = idle;

    for wave in 0..WAVES {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let watchers = nodes.map(|node| scope.spawn(|| stays_as_it_is(node, epoch, &ended)));
            let end = EndOnDrop(&ended);
            flood(&pair, 200.0, FLOOD);
            if wave == 0 {
                all_are_active_on_both(&pair);
            }
            flood(&pair, 0.0, 0);
            drop(end);
            for watcher in watchers {
                assert!(watcher.join().unwrap() > 0, "nobody looked at the status");
            }
        });
        let peak = nodes.map(Node::peak_kib);
        println!("wave {wave}: VmHWM {} and {} MiB", peak[0] / 1024, peak[1] / 1024);
        if wave == 0 {
            after_first = peak;
        }
    }

    for (node, before) in nodes.iter().zip(missed) {
        let missed = node.metric("hotpair_missed_pings_total") - before;
        assert!(missed < 0.5, "{}: {missed} pings were missed", node.name);
    }
    // Before pages of the journal are read, which take memory of their own.
    for (at, node) in nodes.iter().enumerate() {
        let peak = node.peak_kib();
        let (grown, more) = (peak - idle[at], peak - after_first[at]);
        println!("{}: {} MiB idle, {} MiB at most", node.name, idle[at] / 1024, peak / 1024);
        assert!(grown < GROWTH_KIB, "{}: it grew by {grown} KiB", node.name);
        assert!(more < GROWTH_OF_MORE_KIB, "{}: more waves made it grow by {more} KiB", node.name);
    }
    the_journal_has_each_transition_once(&pair);
    pair.verify(Overlap::None);
}

fn many_alarms() -> Project {
    let (mut tags, mut alarms) = (HEADER.to_owned(), "tag,kind,limit,ack_mode\n".to_owned());
    for number in 0..ALARMS {
        writeln!(tags, "{},Float64,,,true,0,false", path(number)).unwrap();
        writeln!(alarms, "{},H,100,Automatic", path(number)).unwrap();
    }
    Project { tags, alarms, sources: String::new() }
}

fn path(number: usize) -> String {
    format!("Plant/Area{:02}/Sensor{:03}", number / 1000, number % 1000)
}

/// Writes a value to the tags of the flood, and waits until both nodes count so many active alarms.
#[track_caller]
fn flood(pair: &Pair, value: f64, active: usize) {
    // Every tenth alarm: all areas of the plant are hit.
    let numbers: Vec<usize> = (0..ALARMS).step_by(ALARMS / FLOOD).collect();
    let batches: Vec<Value> = numbers
        .chunks(BATCH)
        .map(|chunk| chunk.iter().map(|number| json!({"key": path(*number), "value": value})).collect())
        .collect();
    let began = Instant::now();
    for batch in &batches {
        let reply = pair.master.try_write_many(batch, None).unwrap();
        assert!(reply.all_written(), "{reply:?}");
    }
    let written = began.elapsed();
    let mut counted = Vec::new();
    for node in [&pair.master, &pair.backup] {
        while node.metric("hotpair_alarms") as usize != active {
            let count = node.metric("hotpair_alarms");
            assert!(began.elapsed() < TIMEOUT, "{}: {count} active alarms instead of {active}", node.name);
            thread::sleep(Duration::from_millis(10));
        }
        counted.push(began.elapsed());
    }
    println!(
        "{FLOOD} transitions: written in {:.2} s, shown at the Master after {:.2} s, at the Backup after {:.2} s",
        written.as_secs_f64(),
        counted[0].as_secs_f64(),
        counted[1].as_secs_f64()
    );
}

/// Looks until the end. Gives how often it did.
#[track_caller]
fn stays_as_it_is(node: &Node, epoch: u64, ended: &AtomicBool) -> usize {
    let as_before = |status: &Status| {
        let shown = if node.name == "master" { ("Running", "Standby") } else { ("Standby", "Running") };
        status.shows(shown.0, shown.1) && status.epoch == epoch && status.peer.as_ref().is_some_and(|p| p.connected)
    };
    let mut looked = 0;
    while !ended.load(Ordering::Relaxed) {
        let status = node.status();
        assert!(as_before(&status), "the flood moved {}: {status:#?}", node.name);
        looked += 1;
        thread::sleep(Duration::from_millis(50));
    }
    looked
}

#[track_caller]
fn all_are_active_on_both(pair: &Pair) {
    let alarms = pair.same_alarms();
    assert_eq!(alarms.len(), FLOOD);
    let mut names: Vec<_> = alarms.iter().map(full_name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FLOOD, "an alarm is in the list twice");
    assert!(alarms.iter().all(|row| text(row, "state") == "Active,Unacked" && row["value"] == 200.0));
}

/// Both journals are equal; each alarm of the flood was raised and cleared in turn, once a wave.
#[track_caller]
fn the_journal_has_each_transition_once(pair: &Pair) {
    let (began, rows) = (Instant::now(), 2 * FLOOD * WAVES);
    while pair.master.journal_rows() < rows || pair.backup.journal_rows() < rows {
        assert!(began.elapsed() < TIMEOUT, "{} and {}", pair.master.journal_rows(), pair.backup.journal_rows());
        thread::sleep(Duration::from_millis(50));
    }
    println!("all {rows} rows are on both disks {:.2} s after the last wave", began.elapsed().as_secs_f64());
    let journal = pair.same_journal();
    assert_eq!(journal.len(), rows);
    let mut of_alarm: std::collections::BTreeMap<String, Vec<&Value>> = std::collections::BTreeMap::new();
    for row in &journal {
        of_alarm.entry(full_name(row)).or_default().push(row);
    }
    assert_eq!(of_alarm.len(), FLOOD);
    for (alarm, rows) in of_alarm {
        let kinds: Vec<_> = rows.iter().map(|row| text(row, "kind")).collect();
        assert_eq!(kinds, ["Raised", "Cleared"].repeat(WAVES), "{alarm}");
        for occurrence in rows.chunks(2) {
            assert_eq!(occurrence[0]["eventId"], occurrence[1]["eventId"], "{alarm}");
        }
    }
}
