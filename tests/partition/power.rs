//! A machine loses its power: its kernel says nothing, and knows no connection when it is back.

use crate::pair::project::{COUNTERS, SETPOINT};
use crate::pair::site::{BACKUP, MASTER, Site};
use crate::pair::{Node, Overlap, Pair, world};
use crate::{holds_and_works, two_machines, write_at};

#[test]
fn a_running_master_that_loses_its_power_is_taken_over_after_the_failover_time_and_comes_back() {
    world::alone(|| {
        let (site, pair) = two_machines(Pair::builder().recovery("automatic"));
        pair.master.write_replicated(SETPOINT, 3.0);
        power_loss(&site, MASTER, &pair.master);
        pair.backup.wait_shows("Running", "Faulted");
        the_reason_is_silence(&pair.backup);
        write_at(&pair.backup, SETPOINT, 4.0);

        site.power_on(MASTER);
        pair.master.start();
        pair.wait_ready("Running", "Standby");
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::None);
    });
}

#[test]
fn a_running_backup_that_loses_its_power_is_taken_over_after_the_failover_time_and_comes_back() {
    world::alone(|| {
        let (site, pair) = two_machines(Pair::builder().recovery("manual"));
        pair.switch();
        pair.backup.write_replicated(SETPOINT, 3.0);
        power_loss(&site, BACKUP, &pair.backup);
        pair.master.wait_shows("Running", "Faulted");
        the_reason_is_silence(&pair.master);
        write_at(&pair.master, SETPOINT, 4.0);

        site.power_on(BACKUP);
        pair.backup.start();
        pair.wait_ready("Running", "Standby");
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::None);
    });
}

#[test]
fn a_standby_that_loses_its_power_changes_nothing_at_the_running_node() {
    world::alone(|| {
        let (site, pair) = two_machines(Pair::builder().recovery("automatic"));
        let epoch = pair.master.status().epoch;
        power_loss(&site, BACKUP, &pair.backup);
        pair.master.wait_shows("Running", "Faulted");
        write_at(&pair.master, SETPOINT, 4.0);
        site.power_on(BACKUP);
        pair.backup.start();
        pair.wait_ready("Running", "Standby");
        assert_eq!(pair.master.status().epoch, epoch);
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::None);
    });
}

/// The peer's side of the connection is half open: it belongs to a kernel that is gone, and nothing but silence, or a
/// reset when the machine is back, says so.
#[test]
fn a_machine_that_is_back_before_anybody_noticed_is_met_anew() {
    world::alone(|| {
        for (which, name) in [(BACKUP, "backup"), (MASTER, "master")] {
            let (site, pair) = two_machines(Pair::builder().recovery("automatic").failover_time_ms(10_000));
            let node = if name == "master" { &pair.master } else { &pair.backup };
            pair.master.write_replicated(SETPOINT, 3.0);
            pair.master.write_replicated(COUNTERS[1], 9);
            power_loss(&site, which, node);
            site.power_on(which);
            node.start();
            pair.wait_ready("Running", "Standby");
            assert_eq!(pair.same_values()[COUNTERS[1]].0, 9, "in memory only, and the other node had it");
            holds_and_works(&pair, 3.0);
            pair.verify(Overlap::None);
            drop(pair);
            for which in [MASTER, BACKUP] {
                site.goes_dark(which);
                site.power_off(which);
            }
        }
    });
}

/// Dark first, so that no FIN or RST of the dying process gets out.
#[track_caller]
fn power_loss(site: &Site, which: usize, node: &Node) {
    site.goes_dark(which);
    node.kill9();
    site.power_off(which);
}

/// A machine without power refuses nothing: its death is not proven.
#[track_caller]
fn the_reason_is_silence(node: &Node) {
    let reason = node.status().node.reason;
    assert!(reason.contains("silent"), "{} took over because: {reason}", node.name);
}
