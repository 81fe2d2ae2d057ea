//! Slow lines. Heartbeats never wait behind data.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pair::project::{COUNTERS, SETPOINT, more_tag};
use crate::pair::site::Site;
use crate::pair::{EndOnDrop, Node, Overlap, Pair, Project, world};
use crate::{holds_and_works, two_machines};

const TAGS: usize = 20_000;

/// In a switch the old node shows Running, without taking writes, until it hears that the new one runs.
const ONE_EXCHANGE: Overlap = Overlap::AtMostMs(1000);

#[test]
fn over_a_line_of_1_mbit_a_full_sync_under_writes_moves_nothing() {
    world::alone(|| {
        let site = Site::build();
        let pair = Pair::builder()
            .connection_wait_time_ms(500)
            .machines(site.machines.clone())
            .project(Project::with_more_tags(TAGS))
            .prepare();
        pair.master.start();
        pair.master.wait_shows("Running", "Disconnected");
        for first in (0..TAGS).step_by(500) {
            assert!(pair.master.try_write_many(&batch(first, 1.0), None).unwrap().all_written());
        }
        site.rate("1mbit", 100);
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let _end = EndOnDrop(&ended);
            scope.spawn(|| write_on_and_on(&pair.master, &ended));
            pair.backup.start();
            in_sync_without_a_missed_ping(&pair);
        });
        pair.wait_ready("Running", "Standby");
        pair.same_values();
        holds_and_works(&pair, 1.5);
        pair.verify(Overlap::None);
    });
}

#[test]
fn over_a_line_of_1_mbit_a_switch_and_a_failover_work_as_ever() {
    world::alone(|| {
        let (site, pair) = two_machines(Pair::builder().recovery("manual"));
        site.rate("1mbit", 100);
        pair.master.write_replicated(SETPOINT, 3.0);
        pair.switch();
        pair.backup.write_replicated(SETPOINT, 4.0);
        pair.backup.kill9();
        pair.master.wait_shows("Running", "Faulted");
        pair.backup.start();
        pair.wait_ready("Running", "Standby");
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::None);
    });
}

/// By the relay, which delays what passes: also where the kernel cannot.
#[test]
fn with_200_ms_of_delay_each_way_nothing_fails_over_and_a_switch_works() {
    let pair = Pair::builder().failover_time_ms(3000).cable().prepare();
    for node in [&pair.master, &pair.backup] {
        // There and back takes 400 ms.
        node.edit_config("ping_timeout_ms", "1000");
        node.start();
    }
    pair.wait_ready("Running", "Standby");
    pair.cable().delay(200);
    let epoch = pair.master.status().epoch;
    for number in 1..=5 {
        pair.backup.write_replicated(COUNTERS[0], number);
    }
    pair.stays_ready("Running", "Standby");
    assert_eq!(pair.master.status().epoch, epoch, "no failover");
    pair.switch();
    holds_and_works(&pair, 1.5);
    pair.switch();
    assert_eq!(pair.same_values()[COUNTERS[0]].0, 5);
    pair.verify(ONE_EXCHANGE);
}

/// The default profile waits 300 ms for an answer: 100 ms each way is well within.
#[test]
fn with_100_ms_of_delay_each_way_the_default_profile_holds() {
    let pair = Pair::builder().cable().start();
    pair.cable().delay(100);
    let epoch = pair.master.status().epoch;
    for number in 1..=5 {
        pair.backup.write_replicated(COUNTERS[0], number);
    }
    pair.stays_ready("Running", "Standby");
    pair.switch();
    assert_eq!(pair.backup.status().epoch, epoch + 1, "one switch and no failover");
    holds_and_works(&pair, 1.5);
    pair.verify(ONE_EXCHANGE);
}

fn batch(first: usize, value: f64) -> Value {
    (first..first + 500).map(|number| json!({"key": more_tag(number), "value": value})).collect()
}

/// Twenty changes at a time: less than the line carries.
fn write_on_and_on(master: &Node, ended: &AtomicBool) {
    let mut round = 0;
    while !ended.load(Ordering::Relaxed) {
        round += 1;
        let items: Value =
            (0..20).map(|i| json!({"key": more_tag((round * 83 + i * 997) % TAGS), "value": round})).collect();
        assert!(master.try_write_many(&items, None).unwrap().all_written());
        thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn in_sync_without_a_missed_ping(pair: &Pair) {
    let end = Instant::now() + Duration::from_mins(2);
    let mut ready = [false; 2];
    while ready != [true; 2] {
        for (ready, node) in ready.iter_mut().zip([&pair.master, &pair.backup]) {
            let Ok(status) = node.try_status() else { continue };
            let peer = status.peer.as_ref().expect("a redundant node has a peer");
            if peer.connected {
                assert_eq!(peer.missed_pings.unwrap_or_default(), 0, "{}: {status:#?}", node.name);
            }
            let as_it_should = if node.name == "master" { "Running" } else { "Standby" };
            *ready = status.node.status == as_it_should && status.failover_ready;
        }
        assert!(Instant::now() < end, "not in sync: {:#?} {:#?}", pair.master.status(), pair.backup.status());
        thread::sleep(Duration::from_millis(10));
    }
}
