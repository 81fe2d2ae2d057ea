//! A node that was gone comes back: what it alone has is united with what the other one did meanwhile.

use crate::pair::http::rows;
use crate::pair::node::same;
use crate::pair::project::{COUNTERS, SETPOINT};
use crate::pair::{Overlap, Pair};

#[test]
fn a_crash_of_the_standby_moves_nothing_and_it_is_back_in_sync() {
    let pair = Pair::builder().recovery("automatic").start();
    let epoch = pair.master.status().epoch;
    for round in 1..=3 {
        pair.backup.kill9();
        pair.master.wait_shows("Running", "Faulted");
        let reply = pair.master.write(SETPOINT, round, None);
        assert!(reply.all_written() && !reply.replicated(), "{reply:?}");
        pair.backup.start();
        pair.wait_ready("Running", "Standby");
        assert!(same(&pair.backup.value(SETPOINT), &round.into()));
    }
    assert_eq!(pair.master.status().epoch, epoch);
    pair.verify(Overlap::None);
}

#[test]
fn an_old_running_master_returns_with_changes_that_the_backup_never_saw_automatic() {
    changes_of_the_dead_are_united("automatic");
}

#[test]
fn an_old_running_master_returns_with_changes_that_the_backup_never_saw_manual() {
    changes_of_the_dead_are_united("manual");
}

/// The last writes of a node that died before they were sent. What only it changed stands; of what both changed the
/// newer by source time does, and the report tells of the other.
fn changes_of_the_dead_are_united(recovery: &'static str) {
    let pair = Pair::builder().recovery(recovery).failover_time_ms(5000).cable().start();
    pair.master.write_replicated(SETPOINT, 3.0);
    pair.master.write_replicated(COUNTERS[0], 3);

    pair.cable().cut();
    for (path, value) in [(SETPOINT, 4.0), (COUNTERS[0], 6.0)] {
        let reply = pair.master.write(path, value, None);
        assert!(reply.all_written() && !reply.replicated(), "the cable is cut: {reply:?}");
    }
    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    let reply = pair.backup.write(SETPOINT, 5.0, None);
    assert!(reply.all_written(), "{reply:?}");

    pair.cable().heal();
    pair.master.start();
    if recovery == "automatic" {
        pair.wait_ready("Running", "Standby");
    } else {
        pair.wait_ready("Standby", "Running");
    }
    let values = pair.same_values();
    assert_eq!(values[SETPOINT].0, 5.0, "the newer one");
    assert_eq!(values[COUNTERS[0]].0, 6, "only the dead node had changed it");
    assert!(a_report_tells(&pair, 5.0, 4.0), "the report tells which value of the setpoint gave way");
    pair.verify(Overlap::LinkWasCut);
}

fn a_report_tells(pair: &Pair, survived: f64, gave_way: f64) -> bool {
    [&pair.master, &pair.backup].iter().any(|node| {
        rows(&node.http.get_json("/api/v1/redundancy/divergence")).iter().any(|file| {
            let name = file["name"].as_str().expect("a name");
            let report = node.http.get_json(&format!("/api/v1/redundancy/divergence/{name}"));
            report["tags"].as_array().expect("tags").iter().any(|tag| {
                tag["path"] == SETPOINT
                    && same(&tag["survived"]["value"], &survived.into())
                    && same(&tag["gaveWay"]["value"], &gave_way.into())
            })
        })
    })
}
