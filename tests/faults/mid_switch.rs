//! Somebody is lost in the middle of a switch, at every moment of it: over a slow cable a switch takes a while, and the
//! moments are spread over it.

use std::thread;
use std::time::Duration;

use crate::Writer;
use crate::pair::project::COUNTERS;
use crate::pair::{EndOnDrop, Node, Overlap, Pair, Profile, Status, TIMEOUT};

const DELAY_MS: u64 = 10;
/// An offer, its answer, a confirmation: all is over after three ways.
const MOMENTS_MS: [u64; 8] = [0, 2, 5, 9, 12, 17, 24, 40];

#[test]
fn the_running_node_is_killed_in_the_middle_of_a_switch() {
    every_moment(
        |pair, running, other| {
            running.kill9();
            other.wait("it runs", TIMEOUT, Status::is_running);
            running.start();
            pair.wait_ready_with(other);
        },
        Overlap::AtMostMs(500),
    );
}

#[test]
fn the_standby_node_is_killed_in_the_middle_of_a_switch() {
    every_moment(
        |pair, running, other| {
            other.kill9();
            running.wait("it runs", TIMEOUT, Status::is_running);
            other.start();
            pair.wait_ready_with(running);
        },
        Overlap::AtMostMs(500),
    );
}

#[test]
fn the_cable_is_cut_in_the_middle_of_a_switch() {
    every_moment(
        |pair, running, other| {
            pair.cable().cut();
            thread::sleep(Duration::from_secs(1));
            pair.cable().heal();
            one_of_them_runs(pair, running, other);
        },
        Overlap::LinkWasCut,
    );
}

#[test]
fn the_connection_is_reset_in_the_middle_of_a_switch() {
    every_moment(
        |pair, running, other| {
            pair.cable().cut_hard();
            pair.cable().heal();
            one_of_them_runs(pair, running, other);
        },
        Overlap::LinkWasCut,
    );
}

/// `fault` gets who ran before, and the other one, and leaves a pair that is ready. The next switch is asked of it.
fn every_moment(fault: impl Fn(&Pair, &Node, &Node), overlap: Overlap) {
    let pair = Pair::builder().profile(Profile::Fast).recovery("manual").cable().start();
    pair.cable().delay(DELAY_MS);
    let writer = Writer::default();
    thread::scope(|scope| {
        scope.spawn(|| writer.write_on_and_on(&pair, COUNTERS[1]));
        let _end = EndOnDrop(&writer.ended);
        for moment in MOMENTS_MS {
            let (running, other) = pair.running_and_other();
            thread::scope(|scope| {
                // Its answer may be anything, also none.
                scope.spawn(|| {
                    running.client(Duration::from_secs(5)).try_post(
                        "/api/v1/redundancy/switch",
                        &[],
                        &serde_json::json!({}),
                    )
                });
                thread::sleep(Duration::from_millis(moment));
                fault(&pair, running, other);
            });
            for node in [&pair.master, &pair.backup] {
                writer.holds_at(node, COUNTERS[1]);
            }
        }
    });
    pair.same_values();
    pair.verify(overlap);
}

#[track_caller]
fn one_of_them_runs(pair: &Pair, one: &Node, other: &Node) {
    let is_ready = |s: &Status| s.failover_ready && s.sync.phase == "Incremental";
    for node in [one, other] {
        node.wait("the pair is ready", TIMEOUT, is_ready);
    }
    let (running, _) = pair.running_and_other();
    pair.wait_ready_with(running);
}
