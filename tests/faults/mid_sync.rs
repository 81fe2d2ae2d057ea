//! The peer is lost in the middle of a full sync.

use std::time::Instant;

use serde_json::{Value, json};

use crate::pair::node::same;
use crate::pair::project::{COUNTERS, SETPOINT, more_tag};
use crate::pair::{Overlap, Pair, Project, TIMEOUT};

const TAGS: usize = 10_000;

#[test]
fn a_backup_killed_in_the_middle_of_its_full_sync_comes_back_and_completes_it() {
    let pair = a_master_with_news();
    for _ in 0..3 {
        pair.backup.start();
        in_the_middle_of_a_full_sync(&pair);
        pair.backup.kill9();
        pair.master.wait_shows("Running", "Faulted");
    }
    pair.cable().delay(0);
    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    holds_everything(&pair);
    pair.verify(Overlap::None);
}

#[test]
fn a_cable_cut_in_the_middle_of_a_full_sync_delays_it_only() {
    // A device in between that refuses looks like a dead Master: the Backup may run for a while, with next to nothing.
    let pair = a_master_with_news();
    pair.backup.start();
    in_the_middle_of_a_full_sync(&pair);
    pair.cable().cut_hard();
    pair.master.wait("it has lost the Backup", TIMEOUT, |s| s.peer.as_ref().is_some_and(|p| !p.connected));
    pair.cable().delay(0);
    pair.cable().heal();
    pair.wait_ready("Running", "Standby");
    holds_everything(&pair);
    pair.verify(Overlap::LinkWasCut);
}

#[test]
fn a_silent_cable_in_the_middle_of_a_full_sync_costs_nothing() {
    // Nobody is told: the Backup takes over with the part that it has, and gives it back.
    let pair = a_master_with_news();
    pair.backup.start();
    in_the_middle_of_a_full_sync(&pair);
    pair.cable().cut();
    for node in [&pair.master, &pair.backup] {
        node.wait_shows("Running", "Faulted");
    }
    pair.cable().delay(0);
    pair.cable().heal();
    pair.wait_ready("Running", "Standby");
    holds_everything(&pair);
    pair.verify(Overlap::LinkWasCut);
}

/// What was in the Master's memory only is gone with it; what is retained is not.
#[test]
fn a_master_killed_in_the_middle_of_the_full_sync_comes_back_with_all_that_is_retained() {
    for recovery in ["automatic", "manual"] {
        let pair = a_master_with_news();
        pair.master.edit_config("recovery_mode", &format!("{recovery:?}"));
        pair.backup.start();
        in_the_middle_of_a_full_sync(&pair);
        pair.master.kill9();
        pair.cable().delay(0);
        pair.master.start();
        let end = Instant::now() + TIMEOUT;
        while ![&pair.master, &pair.backup].iter().all(|node| node.status().failover_ready) {
            assert!(Instant::now() < end, "{:#?} {:#?}", pair.master.status(), pair.backup.status());
        }
        let values = pair.same_values();
        assert_eq!((&values[SETPOINT].0, &values[COUNTERS[0]].0), (&json!(3.5), &json!(7)), "{recovery}");
        pair.verify(Overlap::None);
    }
}

/// A lone Master whose tags a Backup does not know, at the end of a cable on which a sync takes its time.
fn a_master_with_news() -> Pair {
    let pair = Pair::builder()
        .recovery("automatic")
        .connection_wait_time_ms(500)
        .cable()
        .project(Project::with_more_tags(TAGS))
        .prepare();
    pair.master.start();
    pair.master.wait_shows("Running", "Disconnected");
    for first in (0..TAGS).step_by(500) {
        let items: Value = (first..first + 500).map(|tag| json!({"key": more_tag(tag), "value": tag + 1})).collect();
        assert!(pair.master.try_write_many(&items, None).unwrap().all_written());
    }
    for (path, value) in [(SETPOINT, json!(3.5)), (COUNTERS[0], json!(7))] {
        assert!(pair.master.write(path, value, None).all_written());
    }
    pair.cable().delay(60);
    pair
}

#[track_caller]
fn in_the_middle_of_a_full_sync(pair: &Pair) {
    pair.master.wait("a full sync is under way", TIMEOUT, |s| {
        s.sync.phase == "Full" && s.peer.as_ref().is_some_and(|p| p.connected)
    });
    assert!(!pair.backup.status().failover_ready, "it is not in sync yet");
}

#[track_caller]
fn holds_everything(pair: &Pair) {
    pair.same_values();
    for tag in [0, TAGS / 2, TAGS - 1] {
        assert!(same(&pair.backup.value(&more_tag(tag)), &(tag + 1).into()));
    }
    assert!(same(&pair.backup.value(SETPOINT), &3.5.into()));
}
