//! A firewall between the machines: packets are dropped, or answered by somebody else than the peer.

use crate::pair::project::SETPOINT;
use crate::pair::site::{BACKUP, MASTER};
use crate::pair::{Overlap, Pair, world};
use crate::{holds_and_works, two_machines, write_alone};

#[test]
fn a_firewall_that_drops_everything_is_a_cut_and_no_proof_of_death() {
    world::alone(|| {
        let (site, pair) = two_machines(Pair::builder().recovery("manual"));
        site.cut();
        pair.backup.wait_shows("Running", "Faulted");
        let reason = pair.backup.status().node.reason;
        assert!(reason.contains("silent"), "the Backup took over because: {reason}");
        pair.master.wait_shows("Running", "Faulted");
        write_alone(&pair.master, SETPOINT, 4.0);
        site.let_pass();
        pair.wait_ready("Standby", "Running");
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::LinkWasCut);
    });
}

#[test]
fn a_firewall_that_answers_prohibited_is_no_proof_of_death() {
    world::alone(|| {
        let (site, pair) = two_machines(Pair::builder().recovery("manual"));
        site.prohibit_towards(MASTER);
        site.prohibit_towards(BACKUP);
        pair.backup.wait_shows("Running", "Faulted");
        let reason = pair.backup.status().node.reason;
        assert!(reason.contains("silent"), "the Backup took over because: {reason}");
        pair.master.wait_shows("Running", "Faulted");
        write_alone(&pair.master, SETPOINT, 4.0);
        site.let_pass();
        pair.wait_ready("Standby", "Running");
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::LinkWasCut);
    });
}

#[test]
fn a_backup_that_starts_behind_a_closed_firewall_runs_alone_and_gives_way_when_it_opens() {
    world::alone(|| {
        let (site, pair) = two_machines(Pair::builder().recovery("automatic"));
        pair.master.write_replicated(SETPOINT, 3.0);
        pair.backup.terminate();
        site.cut();
        pair.backup.start();
        pair.backup.wait_shows("Running", "Faulted");
        write_alone(&pair.master, SETPOINT, 4.0);
        site.let_pass();
        pair.wait_ready("Running", "Standby");
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::LinkWasCut);
    });
}
