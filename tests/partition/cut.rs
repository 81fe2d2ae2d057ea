//! The cable between two living machines is pulled and put back.

use std::thread;
use std::time::Duration;

use crate::pair::node::same;
use crate::pair::project::{COUNTERS, FLEETING, SETPOINT};
use crate::pair::site::{BACKUP, MASTER, Site};
use crate::pair::{Overlap, Pair, Project, TIMEOUT, world};
use crate::{holds_and_works, two_machines, write_alone};

#[test]
fn a_cable_that_is_out_for_less_than_the_failover_time_moves_nothing() {
    world::alone(|| {
        // Long: a busy machine may make half a second of a pull longer. The tags: so that sending all of them shows.
        let (site, pair) =
            two_machines(Pair::builder().failover_time_ms(10_000).project(Project::with_more_tags(5000)));
        let full_sync = site.sent_to(BACKUP);
        pair.master.write_replicated(SETPOINT, 3.0);
        let epoch = pair.master.status().epoch;
        for which in [MASTER, BACKUP] {
            let before = site.sent_to(BACKUP);
            site.unplug(which);
            write_alone(&pair.master, COUNTERS[0], 7.0);
            thread::sleep(Duration::from_millis(500));
            site.plug(which);
            pair.wait_ready("Running", "Standby");
            assert!(same(&pair.backup.value(COUNTERS[0]), &7.into()), "what was written meanwhile came later");
            let sent = site.sent_to(BACKUP) - before;
            assert!(sent < full_sync / 2, "only what changed is sent: {sent} bytes, {full_sync} for a full sync");
        }
        assert_eq!(pair.backup.status().epoch, epoch);
        holds_and_works(&pair, 3.0);
        pair.verify(Overlap::None);
    });
}

#[test]
fn a_cable_that_is_out_for_long_makes_both_run_and_with_automatic_recovery_the_master_stays() {
    world::alone(|| a_long_cut("automatic", |site| site.unplug(MASTER), |site| site.plug(MASTER)));
}

#[test]
fn a_cable_that_is_out_for_long_makes_both_run_and_with_manual_recovery_the_backup_stays() {
    world::alone(|| a_long_cut("manual", |site| site.unplug(BACKUP), |site| site.plug(BACKUP)));
}

#[test]
fn an_interface_that_is_shut_at_the_master_is_a_long_cut() {
    world::alone(|| a_long_cut("manual", |site| site.interface_down(MASTER), |site| site.interface_up(MASTER)));
}

#[test]
fn an_interface_that_is_shut_at_the_backup_is_a_long_cut() {
    world::alone(|| a_long_cut("automatic", |site| site.interface_down(BACKUP), |site| site.interface_up(BACKUP)));
}

fn a_long_cut(recovery: &'static str, cut: impl Fn(&Site), heal: impl Fn(&Site)) {
    let (site, pair) = two_machines(Pair::builder().recovery(recovery));
    pair.master.write_replicated(SETPOINT, 3.0);
    pair.master.write_replicated(FLEETING, 3.0);

    cut(&site);
    for node in [&pair.master, &pair.backup] {
        node.wait_shows("Running", "Faulted");
    }
    // The same tag at both, the Backup's later; another one at each.
    write_alone(&pair.master, SETPOINT, 4.0);
    write_alone(&pair.backup, SETPOINT, 5.0);
    write_alone(&pair.master, COUNTERS[0], 6.0);
    write_alone(&pair.backup, COUNTERS[1], 7.0);

    heal(&site);
    let winner = if recovery == "automatic" { &pair.master } else { &pair.backup };
    pair.wait_ready_with(winner);
    for node in [&pair.master, &pair.backup] {
        assert!(same(&node.value(COUNTERS[0]), &6.into()), "the Master's change is lost at the {}", node.name);
        assert!(same(&node.value(COUNTERS[1]), &7.into()), "the Backup's change is lost at the {}", node.name);
        assert!(same(&node.value(FLEETING), &3.0.into()));
    }
    the_report_tells_of(&pair, SETPOINT, 5.0, 4.0);
    holds_and_works(&pair, 5.0);
    pair.verify(Overlap::LinkWasCut);
}

#[test]
fn a_cable_that_is_pulled_20_times_in_a_row_leaves_one_running_and_loses_nothing() {
    world::alone(|| {
        let (site, pair) = two_machines(Pair::builder().recovery("automatic"));
        let mut written = 0;
        for round in 1..=20 {
            site.unplug(round % 2);
            // From a blink to beyond the failover time.
            for _ in 0..round % 5 {
                written += 1;
                assert!(
                    pair.master.write(COUNTERS[0], written, None).all_written(),
                    "the Master never gave up Running"
                );
                thread::sleep(Duration::from_millis(100));
            }
            site.plug(round % 2);
            if round % 3 > 0 {
                pair.backup.wait("the cable is whole", TIMEOUT, |s| s.peer.as_ref().is_some_and(|p| p.connected));
            }
        }
        pair.wait_ready("Running", "Standby");
        for node in [&pair.master, &pair.backup] {
            assert!(same(&node.value(COUNTERS[0]), &written.into()));
        }
        holds_and_works(&pair, 1.5);
        pair.verify(Overlap::LinkWasCut);
    });
}

/// One of the nodes has a report in which a value survived and another one gave way.
#[track_caller]
pub fn the_report_tells_of(pair: &Pair, path: &str, survived: f64, gave_way: f64) {
    let mut all = Vec::new();
    for node in [&pair.master, &pair.backup] {
        for file in crate::pair::http::rows(&node.http.get_json("/api/v1/redundancy/divergence")) {
            let name = file["name"].as_str().expect("a name");
            let report = node.http.get_json(&format!("/api/v1/redundancy/divergence/{name}"));
            for tag in report["tags"].as_array().expect("tags") {
                if tag["path"] == path && same(&tag["survived"]["value"], &survived.into()) {
                    assert!(same(&tag["gaveWay"]["value"], &gave_way.into()), "{report:#}");
                    return;
                }
            }
            all.push(report);
        }
    }
    panic!("no divergence report tells of {path} = {gave_way} that gave way to {survived}: {all:#?}");
}
