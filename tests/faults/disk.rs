//! A disk that is full, and has room again. Each node's data stands on a small disk of its own.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::Instant;

use crate::pair::node::same;
use crate::pair::project::{FLEETING, SETPOINT};
use crate::pair::world::{alone, run};
use crate::pair::{Node, Overlap, Pair, Status, TIMEOUT};

#[test]
fn a_running_node_whose_disk_is_full_hands_over_to_its_peer() {
    alone(|| {
        let pair = on_small_disks();
        fill(&pair.master);
        let end = Instant::now() + TIMEOUT;
        while !pair.backup.status().is_running() {
            let reply = pair.master.write(SETPOINT, 2.0, None);
            assert!([200, 503, 504, 507].contains(&reply.status), "{reply:?}");
            assert!(Instant::now() < end, "{:#?}", pair.master.status());
        }
        assert!(pair.backup.write(SETPOINT, 3.0, None).all_written());
        free(&pair.master);
        pair.wait_ready("Standby", "Running");
        pair.stays_ready("Standby", "Running");
        survives_a_power_cut(&pair, 77.0);
        pair.verify(Overlap::None);
    });
}

#[test]
fn a_full_disk_of_a_node_that_runs_alone_refuses_what_must_last_and_goes_on_when_there_is_room() {
    alone(|| {
        let pair = on_small_disks();
        pair.backup.kill9();
        pair.master.wait_shows("Running", "Faulted");
        fill(&pair.master);
        let refused = retained_writes_until(&pair.master, 507);
        assert_eq!(refused.error_code(), "disk", "{refused:?}");
        assert!(pair.master.write(FLEETING, 2.0, None).all_written(), "what lives in memory goes on");
        assert!(pair.master.status().is_running());
        assert!(tells_of_its_disk(&pair.master));

        free(&pair.master);
        retained_writes_until(&pair.master, 200);
        // Until then it would hand over.
        pair.master.wait_log("the disk works again");
        pair.backup.start();
        pair.wait_ready("Running", "Standby");
        survives_a_power_cut(&pair, 77.0);
        pair.verify(Overlap::None);
    });
}

#[test]
fn a_full_disk_of_the_standby_makes_the_pair_not_ready_until_there_is_room() {
    alone(|| {
        let pair = on_small_disks();
        fill(&pair.backup);
        let end = Instant::now() + TIMEOUT;
        let mut number = 0.0;
        // There may be room inside of its files for a while.
        while pair.master.status().failover_ready {
            number += 1.0;
            assert!(pair.master.write(SETPOINT, number, None).all_written());
            assert!(Instant::now() < end, "{:#?}", pair.backup.status());
        }
        let reply = pair.master.write(SETPOINT, 5.0, None);
        assert!(reply.all_written() && !reply.replicated(), "it is not on the Standby's disk: {reply:?}");
        free(&pair.backup);
        pair.wait_ready("Running", "Standby");
        pair.master.write_replicated(SETPOINT, 6.0);
        survives_a_power_cut(&pair, 77.0);
        pair.verify(Overlap::None);
    });
}

#[test]
fn a_standby_whose_disk_is_full_takes_over_all_the_same() {
    alone(|| {
        let pair = on_small_disks();
        pair.master.write_replicated(SETPOINT, 3.0);
        fill(&pair.backup);
        pair.master.kill9();
        pair.backup.wait("it takes over under the epoch that it reserved", TIMEOUT, Status::is_running);
        assert!(same(&pair.backup.value(SETPOINT), &3.0.into()));
        assert!(pair.backup.write(FLEETING, 4.0, None).all_written());
        free(&pair.backup);
        retained_writes_until(&pair.backup, 200);
        pair.master.start();
        pair.wait_ready("Standby", "Running");
        assert_eq!(pair.same_values()[FLEETING].0, 4.0);
        survives_a_power_cut(&pair, 77.0);
        pair.verify(Overlap::None);
    });
}

fn on_small_disks() -> Pair {
    let pair = Pair::builder().recovery("manual").prepare();
    for node in [&pair.master, &pair.backup] {
        run(&format!("mount -t tmpfs -o size=2m none {}", node.data_dir().display()));
        node.start();
    }
    pair.wait_ready("Running", "Standby");
    pair
}

fn tells_of_its_disk(node: &Node) -> bool {
    !node.http.get_json("/api/v1/redundancy/status")["disk"].is_null()
}

fn fill(node: &Node) {
    let mut ballast = File::create(node.data_dir().join("ballast")).expect("a file");
    for size in [4096, 1] {
        while ballast.write_all(&vec![0; size]).is_ok() {}
    }
}

fn free(node: &Node) {
    fs::remove_file(node.data_dir().join("ballast")).expect("the ballast");
}

/// Writes a retained tag until the answer has this status, and gives that one.
#[track_caller]
fn retained_writes_until(node: &Node, status: u16) -> crate::pair::Reply {
    let end = Instant::now() + TIMEOUT;
    for number in 0.. {
        let reply = node.write(SETPOINT, number, None);
        if reply.status == status {
            return reply;
        }
        assert!([200, 507].contains(&reply.status), "{reply:?}");
        assert!(Instant::now() < end, "{}: never {status}: {reply:?}", node.name);
    }
    unreachable!()
}

/// What is acknowledged is on the disks again.
#[track_caller]
fn survives_a_power_cut(pair: &Pair, value: f64) {
    let (running, _) = pair.running_and_other();
    running.write_replicated(SETPOINT, value);
    pair.power_cut();
    pair.master.start();
    pair.backup.start();
    for node in [&pair.master, &pair.backup] {
        node.wait("the pair is ready", TIMEOUT, |s| s.failover_ready);
    }
    assert_eq!(pair.same_values()[SETPOINT].0, value);
}
