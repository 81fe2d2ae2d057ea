//! Local faults, and a disk that fails.

use super::pair::{Backup, Disk, FAILOVER, Master, Pair, WAIT};
use crate::arbiter::Input;
use crate::protocol::{Control, Tenure};
use crate::types::{RecoveryMode, Status};

fn fault() -> Input {
    Input::Fault(Some("source 1 keeps failing".into()))
}

#[test]
fn a_running_node_with_a_fault_gives_running_to_a_ready_peer() {
    let mut pair = Pair::running();
    pair.input(Master, fault());
    pair.shows(Master, Status::Faulted, Status::Running);
    pair.shows(Backup, Status::Running, Status::Faulted);
    assert_eq!(pair.view(Backup).tenure, Tenure::Failover);
    let event = pair.last_event(Master);
    assert_eq!((event.from, event.to), (Status::Running, Status::Faulted));
    assert_eq!(event.reason, "source 1 keeps failing");
    assert_eq!(pair.last_peer_event(Backup).reason, "it reports a fault");
    pair.refuses_switch(Backup, "the Standby node is Faulted");
    pair.refuses_switch(Master, "the Standby node is Faulted");
}

#[test]
fn a_running_node_with_a_fault_goes_on_while_its_peer_is_not_ready() {
    let mut pair = Pair::running();
    pair.lose_link();
    pair.input(Master, fault());
    assert!(pair.node(Master).works);
    let now = pair.now;
    assert_eq!(pair.node(Master).arbiter.report(now).faults, ["source 1 keeps failing"]);
    pair.replicates = false;
    pair.connect();
    pair.pass(WAIT);
    pair.shows(Master, Status::Running, Status::Standby);
    pair.replicates = true;
    pair.settle();
    pair.shows(Master, Status::Faulted, Status::Running);
}

#[test]
fn a_faulted_standby_takes_no_part_until_it_is_cleared() {
    let mut pair = Pair::running();
    pair.input(Backup, fault());
    pair.shows(Backup, Status::Faulted, Status::Running);
    pair.kill(Master);
    pair.pass(FAILOVER * 3);
    assert_eq!(pair.view(Backup).status, Status::Faulted);
    pair.input(Backup, Input::Fault(None));
    pair.shows(Backup, Status::Running, Status::Faulted);
}

#[test]
fn a_cleared_standby_is_ready_again() {
    let mut pair = Pair::running();
    pair.input(Backup, fault());
    pair.input(Backup, Input::Fault(None));
    pair.shows(Backup, Status::Standby, Status::Running);
    assert!(pair.view(Master).failover_ready);
    assert_eq!(pair.last_event(Backup).reason, "the fault was cleared");
}

#[test]
fn a_cleared_master_recovers() {
    for recovery in [RecoveryMode::Automatic, RecoveryMode::Manual] {
        let mut pair = Pair::running_with(recovery, true);
        pair.input(Master, fault());
        pair.input(Master, Input::Fault(None));
        pair.pass(FAILOVER);
        match recovery {
            RecoveryMode::Automatic => pair.shows(Master, Status::Running, Status::Standby),
            RecoveryMode::Manual => pair.shows(Master, Status::Standby, Status::Running),
        }
    }
}

#[test]
fn a_node_that_starts_with_a_fault_does_not_stand_by_as_ready() {
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.pass(WAIT);
    pair.restart(Backup);
    pair.input(Backup, fault());
    pair.connect();
    pair.shows(Backup, Status::Faulted, Status::Running);
    pair.shows(Master, Status::Running, Status::Faulted);
}

#[test]
fn the_peer_of_a_faulted_node_that_runs_no_more_takes_over() {
    let mut pair = Pair::running();
    pair.input(Backup, fault());
    pair.power_off(Master);
    pair.restart(Master);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Faulted);
}

#[test]
fn disk_trouble_of_the_standby_makes_it_not_ready_but_does_not_stop_a_takeover() {
    let mut pair = Pair::running();
    pair.input(Backup, Input::Disk(Some("disk full".into())));
    pair.shows(Backup, Status::Standby, Status::Running);
    pair.refuses_switch(Master, "the Standby node cannot run: disk full");
    pair.node(Backup).disk = Disk::Fails;
    pair.kill(Master);
    // Its next epoch was reserved while the disk worked.
    pair.shows(Backup, Status::Running, Status::Faulted);
}

#[test]
fn a_running_node_whose_disk_fails_hands_over_and_gets_running_back_when_it_works_again() {
    let mut pair = Pair::running();
    pair.input(Master, Input::Disk(Some("disk full".into())));
    pair.shows(Master, Status::Standby, Status::Running);
    pair.pass(WAIT);
    pair.shows(Master, Status::Standby, Status::Running);
    pair.input(Master, Input::Disk(None));
    pair.pass(WAIT);
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_running_node_whose_disk_fails_stays_running_when_the_other_is_no_better() {
    let mut pair = Pair::running();
    pair.input(Backup, Input::Disk(Some("disk full".into())));
    pair.input(Master, Input::Disk(Some("disk full".into())));
    pair.pass(WAIT);
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_start_that_cannot_store_its_epoch_is_a_fault() {
    let mut pair = Pair::new();
    pair.node(Master).disk = Disk::Fails;
    pair.restart(Master);
    pair.pass(WAIT);
    pair.shows(Master, Status::Faulted, Status::Disconnected);
    assert_eq!(pair.view(Master).reason, "the epoch cannot be stored: disk full");
    assert!(!pair.node(Master).works);
    pair.node(Master).disk = Disk::Works;
    pair.input(Master, Input::Fault(None));
    pair.pass(WAIT);
    assert_eq!(pair.view(Master).status, Status::Running);
}

#[test]
fn a_takeover_that_cannot_store_its_epoch_is_a_fault() {
    let mut pair = Pair::running();
    pair.node(Backup).disk = Disk::Fails;
    pair.node(Backup).arbiter.reserved = 0;
    pair.kill(Master);
    pair.shows(Backup, Status::Faulted, Status::Faulted);
    pair.node(Backup).disk = Disk::Works;
    pair.input(Backup, Input::Fault(None));
    pair.shows(Backup, Status::Running, Status::Faulted);
}

#[test]
fn a_node_that_offered_running_and_cannot_run_alone_follows_the_one_that_took_it() {
    let mut pair = Pair::running_with(RecoveryMode::Manual, true);
    pair.slow_messages = true;
    pair.input(Master, Input::Disk(Some("disk full".into())));
    pair.node(Master).disk = Disk::Fails;
    pair.node(Master).arbiter.reserved = 0;
    pair.cut();
    pair.pass(FAILOVER);
    pair.shows(Backup, Status::Running, Status::Faulted);
    pair.shows(Master, Status::Faulted, Status::Faulted);
    pair.slow_messages = false;
    pair.node(Master).disk = Disk::Works;
    pair.connect();
    pair.input(Master, Input::Disk(None));
    pair.shows(Master, Status::Standby, Status::Running);
    assert!(pair.view(Backup).failover_ready);
}

#[test]
fn a_faulted_node_that_stops_says_goodbye() {
    let mut pair = Pair::running();
    pair.input(Master, fault());
    pair.stop(Master);
    assert!(pair.node(Master).sent(|m| matches!(m, Control::Goodbye { .. })));
    pair.shows(Backup, Status::Running, Status::Disconnected);
}

#[test]
fn a_bulk_connection_that_carries_nothing_costs_the_link_and_no_status() {
    for who in [Master, Backup] {
        let mut pair = Pair::running();
        pair.input(who, Input::LaneStuck);
        assert!(pair.node(who).effects.contains(&crate::arbiter::Effect::DropLink));
        assert_eq!((pair.view(Master).status, pair.view(Backup).status), (Status::Running, Status::Standby));
    }
}
