//! Clean stops, and maintenance holds.

use super::pair::{Backup, Disk, FAILOVER, Master, Pair, SWITCH_TIMEOUT, WAIT};
use crate::arbiter::Effect;
use crate::protocol::{Control, Tenure};
use crate::types::{RecoveryMode, Status};

#[test]
fn a_running_node_that_stops_switches_first_and_says_goodbye() {
    let mut pair = Pair::running();
    pair.stop(Master);
    assert!(!pair.node(Master).up);
    pair.shows(Backup, Status::Running, Status::Disconnected);
    assert_eq!(pair.view(Backup).tenure, Tenure::Switch);
    assert_eq!(pair.last_event(Backup).reason, "clean stop: update");
    assert_eq!(pair.node(Backup).facts.applied, 500);
}

#[test]
fn a_running_node_whose_peer_is_not_ready_says_goodbye_and_is_taken_over_at_once() {
    let mut pair = Pair::running_with(RecoveryMode::Automatic, false);
    pair.lose_link();
    pair.replicates = false;
    pair.connect();
    pair.stop(Master);
    assert!(pair.node(Master).effects.contains(&Effect::Quiesce));
    pair.shows(Backup, Status::Running, Status::Disconnected);
    assert_eq!(pair.view(Backup).tenure, Tenure::Failover);
    assert_eq!(pair.last_event(Backup).reason, "the peer stopped");
}

#[test]
fn a_stop_whose_switch_takes_too_long_goes_on_without_it() {
    let mut pair = Pair::running();
    pair.replicates = false;
    pair.write(Master, 1);
    pair.stop(Master);
    pair.pass(SWITCH_TIMEOUT - 10);
    assert!(pair.node(Master).up);
    pair.pass(10);
    assert!(!pair.node(Master).up);
    pair.shows(Backup, Status::Running, Status::Disconnected);
}

#[test]
fn a_stop_ends_also_when_the_peer_vanishes_in_the_switch() {
    let mut pair = Pair::running();
    pair.replicates = false;
    pair.write(Master, 1);
    pair.stop(Master);
    pair.power_off(Backup);
    pair.pass(SWITCH_TIMEOUT);
    assert!(!pair.node(Master).up);
}

#[test]
fn a_stop_of_the_standby_moves_nothing() {
    let mut pair = Pair::running();
    let epoch = pair.counter(Master);
    pair.stop(Backup);
    assert!(!pair.node(Backup).up);
    pair.shows(Master, Status::Running, Status::Disconnected);
    assert_eq!(pair.counter(Master), epoch);
    assert!(pair.node(Backup).sent(|m| matches!(m, Control::Goodbye { .. })));
}

#[test]
fn a_node_that_starts_or_runs_alone_stops_too() {
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.stop(Master);
    assert!(!pair.node(Master).up);
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.pass(WAIT);
    pair.node(Master).never_quiesces = true;
    pair.stop(Master);
    pair.pass(SWITCH_TIMEOUT);
    assert!(!pair.node(Master).up);
}

#[test]
fn a_hold_forbids_failover_until_it_ends() {
    let mut pair = Pair::running();
    pair.hold(Master, 10_000);
    let hold = Some((pair.now.plus(10_000), "new firmware (ann)".to_owned()));
    assert_eq!((pair.view(Master).hold, pair.view(Backup).hold), (hold.clone(), hold));
    pair.kill(Master);
    pair.pass(9_990);
    pair.shows(Backup, Status::Standby, Status::Faulted);
    pair.pass(10);
    pair.shows(Backup, Status::Running, Status::Faulted);
    assert_eq!(pair.view(Backup).hold, None);
}

#[test]
fn a_released_hold_forbids_nothing_more() {
    let mut pair = Pair::running();
    pair.hold(Backup, 600_000);
    pair.kill(Master);
    pair.pass(FAILOVER * 3);
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.hold(Backup, 0);
    pair.shows(Backup, Status::Running, Status::Faulted);
}

#[test]
fn a_hold_forbids_the_takeover_from_a_peer_that_stopped_or_came_back() {
    let mut pair = Pair::running();
    pair.hold(Backup, 60_000);
    pair.lose_link();
    pair.replicates = false;
    pair.connect();
    pair.stop(Master);
    pair.shows(Backup, Status::Standby, Status::Disconnected);

    let mut pair = Pair::switched();
    pair.hold(Backup, 60_000);
    pair.power_off(Backup);
    pair.restart(Backup);
    pair.connect();
    pair.pass(50_000);
    pair.shows(Master, Status::Standby, Status::Standby);
    pair.pass(10_000 + FAILOVER);
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_hold_forbids_automatic_recovery_and_switch_still_works() {
    let mut pair = Pair::running();
    pair.kill(Master);
    pair.hold(Backup, 60_000);
    pair.restart(Master);
    pair.connect();
    assert!(pair.view(Master).hold.is_some(), "the greeting tells it");
    pair.pass(50_000);
    pair.shows(Master, Status::Standby, Status::Running);
    pair.pass(10_000);
    pair.shows(Master, Status::Running, Status::Standby);

    pair.hold(Master, 60_000);
    for who in [Master, Backup] {
        let request = pair.press_switch_at(who);
        assert_eq!(pair.answer(who, request), Some(Ok(())));
    }
}

#[test]
fn a_hold_stops_a_takeover_whose_epoch_is_not_stored_yet() {
    let mut pair = Pair::running();
    pair.node(Backup).disk = Disk::Slow;
    pair.restart(Backup);
    pair.connect();
    pair.kill(Master);
    pair.shows(Backup, Status::Standby, Status::Faulted);
    pair.hold(Backup, 60_000);
    pair.disk_answers(Backup);
    pair.pass(50_000);
    pair.shows(Backup, Status::Standby, Status::Faulted);
    let now = pair.now;
    let node = pair.node(Backup);
    assert_eq!(node.stored.lineage, node.arbiter.report(now).lineage, "on its disk is what it goes by");
    pair.pass(10_000);
    pair.disk_answers(Backup);
    pair.shows(Backup, Status::Running, Status::Faulted);
}

#[test]
fn a_hold_stops_a_recovery_that_is_offered_already() {
    let mut pair = Pair::running();
    pair.kill(Master);
    pair.restart(Master);
    pair.replicates = false;
    pair.connect();
    pair.replicates = true;
    pair.slow_messages = true;
    pair.settle();
    assert!(pair.node(Master).sent(|m| matches!(m, Control::SwitchRequest(_))));
    // The request arrives, and before the offer does the hold begins.
    pair.hold(Master, 60_000);
    pair.slow_messages = false;
    pair.settle();
    assert!(pair.node(Backup).sent(|m| matches!(m, Control::Offer { tenure: Tenure::Recovery, .. })));
    pair.pass(50_000);
    pair.shows(Master, Status::Standby, Status::Running);
    assert!(pair.node(Backup).works);
    pair.pass(10_000);
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_hold_stops_a_recovery_whose_epoch_is_not_stored_yet() {
    let mut pair = Pair::running();
    pair.kill(Master);
    pair.node(Master).disk = Disk::Slow;
    pair.restart(Master);
    pair.connect();
    assert!(!pair.node(Backup).works, "it has offered Running");
    pair.hold(Backup, 60_000);
    pair.disk_answers(Master);
    pair.shows(Master, Status::Standby, Status::Running);
    assert!(pair.node(Backup).works);
}

#[test]
fn the_end_of_a_hold_travels_to_the_peer() {
    let mut pair = Pair::running();
    pair.hold(Master, 60_000);
    pair.hold(Backup, 0);
    assert_eq!((pair.view(Master).hold, pair.view(Backup).hold), (None, None));
}
