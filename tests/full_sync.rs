//! A Backup joins a Master of 200,000 tags while writes go on: it ends in sync, and no heartbeat is late.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pair::project::HEADER;
use pair::{EndOnDrop, Node, Overlap, Pair};
use serde_json::{Value, json};

const AREAS: usize = 200;
const TAGS_IN_AREA: usize = 1000;
/// As many items as one write has here.
const BATCH: usize = 500;

/// The program may be an unoptimised build.
const SYNC_TIME: Duration = Duration::from_mins(1);

#[test]
fn a_full_sync_of_200_000_tags_under_writes_ends_equal_and_delays_no_heartbeat() {
    let pair = Pair::builder().connection_wait_time_ms(500).tags(many_tags()).prepare();
    pair.master.start();
    pair.master.wait_shows("Running", "Disconnected");
    every_tag_gets_a_value_that_the_backup_does_not_know(&pair.master);
    let missed_before = pair.master.metric("hotpair_missed_pings_total");

    let ended = AtomicBool::new(false);
    let written_while_joining = AtomicU64::new(0);
    thread::scope(|scope| {
        let _end = EndOnDrop(&ended);
        scope.spawn(|| write_on_and_on(&pair.master, &ended, &written_while_joining));
        pair.backup.start();
        wait_in_sync_without_a_missed_ping(&pair);
    });
    assert!(written_while_joining.load(Ordering::Relaxed) > 0, "nothing was written meanwhile");

    wait_same_position(&pair);
    for area in 0..AREAS {
        the_area_is_equal(&pair, area);
    }
    assert!((pair.master.metric("hotpair_missed_pings_total") - missed_before).abs() < 0.5, "pings were missed");
    assert!(pair.backup.metric("hotpair_missed_pings_total") < 0.5, "pings were missed");
    pair.verify(Overlap::None);
}

fn many_tags() -> String {
    let mut csv = HEADER.to_owned();
    for area in 0..AREAS {
        for tag in 0..TAGS_IN_AREA {
            writeln!(csv, "{},Float64,,,true,0,false", path(area, tag)).unwrap();
        }
    }
    csv
}

fn path(area: usize, tag: usize) -> String {
    format!("Plant/Area{area:03}/Tag{tag:03}")
}

fn every_tag_gets_a_value_that_the_backup_does_not_know(master: &Node) {
    for area in 0..AREAS {
        for first in (0..TAGS_IN_AREA).step_by(BATCH) {
            write(master, &batch(area, first, (area * TAGS_IN_AREA + first) as f64));
        }
    }
}

/// Live updates, everywhere in the table, until told to end.
fn write_on_and_on(master: &Node, ended: &AtomicBool, count: &AtomicU64) {
    let mut round = 0;
    while !ended.load(Ordering::Relaxed) {
        round += 1;
        // 83 and 200 have no common divisor: each area gets its turn, neighbours far apart.
        write(master, &batch(round * 83 % AREAS, round % 2 * BATCH, 1e6 + round as f64 * 1e3));
        count.fetch_add(BATCH as u64, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(5));
    }
}

fn batch(area: usize, first: usize, value: f64) -> Value {
    (first..first + BATCH).map(|tag| json!({"key": path(area, tag), "value": value + tag as f64 / 1e3})).collect()
}

#[track_caller]
fn write(master: &Node, items: &Value) {
    let reply = master.try_write_many(items, None).unwrap();
    assert!(reply.all_written(), "{} {}", reply.status, &reply.text[..reply.text.len().min(300)]);
}

#[track_caller]
fn wait_in_sync_without_a_missed_ping(pair: &Pair) {
    let end = Instant::now() + SYNC_TIME;
    let mut ready = [false; 2];
    while ready != [true; 2] {
        for (ready, node) in ready.iter_mut().zip([&pair.master, &pair.backup]) {
            let Ok(status) = node.try_status() else { continue };
            let peer = status.peer.as_ref().expect("a redundant node has a peer");
            if peer.connected {
                assert_eq!(peer.missed_pings.unwrap_or_default(), 0, "{}: {status:#?}", node.name);
            }
            *ready = status.sync.phase == "Incremental" && status.failover_ready;
        }
        assert!(Instant::now() < end, "not in sync: {:#?} {:#?}", pair.master.status(), pair.backup.status());
        thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn wait_same_position(pair: &Pair) {
    let end = Instant::now() + SYNC_TIME;
    while pair.common_position().is_none() {
        assert!(Instant::now() < end, "{:#?} {:#?}", pair.master.status().sync, pair.backup.status().sync);
        thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn the_area_is_equal(pair: &Pair, area: usize) {
    let pattern = format!("Plant/Area{area:03}/*");
    let (master, backup) = (pair.master.read(&pattern, TAGS_IN_AREA), pair.backup.read(&pattern, TAGS_IN_AREA));
    assert_eq!(master.len(), TAGS_IN_AREA, "all tags of {pattern}");
    for (path, sample) in &master {
        assert_eq!(backup.get(path), Some(sample), "{path}");
    }
    assert_eq!(backup.len(), TAGS_IN_AREA);
}
