//! The identity of a tenure.

use super::pair::{Backup, Disk, FAILOVER, Master, Pair, WAIT};
use crate::arbiter::{Effect, Input, State};
use crate::lineage::Lineage;
use crate::types::{RecoveryMode, Status};

#[test]
fn each_promotion_takes_a_counter_above_all_that_were_seen() {
    let mut pair = Pair::running();
    let mut last = pair.counter(Master);
    for round in 0..4 {
        let runs = if round % 2 == 0 { Backup } else { Master };
        pair.press_switch_at(Master);
        assert!(pair.counter(runs) > last);
        last = pair.counter(runs);
    }
    pair.kill(Master);
    assert!(pair.counter(Backup) > last);
}

#[test]
fn an_epoch_is_on_disk_before_it_takes_effect() {
    let mut pair = Pair::new();
    pair.node(Master).disk = Disk::Slow;
    pair.restart(Master);
    pair.pass(WAIT * 2);
    assert!(!pair.node(Master).works);
    assert_eq!(pair.view(Master).status, Status::Unknown);
    pair.disk_answers(Master);
    assert!(pair.node(Master).works);
    assert_eq!(pair.node(Master).stored.last_counter, 1);
}

#[test]
fn a_standby_reserves_its_next_epoch_so_that_a_takeover_waits_for_no_disk() {
    let mut pair = Pair::running();
    pair.node(Backup).disk = Disk::Slow;
    pair.kill(Master);
    pair.shows(Backup, Status::Running, Status::Faulted);
    let taken = pair.counter(Backup);
    assert!(taken <= pair.node(Backup).stored.reserved);
    assert!(pair.node(Backup).stored.lineage.epoch().counter < taken);
    // And the tenure itself follows to the disk.
    pair.disk_answers(Backup);
    assert_eq!(pair.node(Backup).stored.lineage.epoch().counter, taken);
}

#[test]
fn a_reserved_epoch_that_may_have_been_used_is_not_used_after_a_restart() {
    let mut pair = Pair::running();
    pair.node(Backup).disk = Disk::Slow;
    pair.kill(Master);
    let taken = pair.counter(Backup);
    // It dies before its tenure is on disk, and starts alone.
    pair.power_off(Backup);
    pair.node(Backup).disk = Disk::Works;
    pair.restart(Backup);
    pair.pass(WAIT);
    assert_eq!(pair.view(Backup).status, Status::Running);
    assert!(pair.counter(Backup) > taken);
}

#[test]
fn a_node_that_meets_a_running_peer_while_its_epoch_is_stored_stands_by() {
    let mut pair = Pair::running_with(RecoveryMode::Manual, true);
    pair.power_off(Backup);
    pair.cut();
    pair.node(Backup).disk = Disk::Slow;
    pair.restart(Backup);
    pair.pass(WAIT.max(FAILOVER) * 2);
    assert!(!pair.node(Backup).works);
    pair.connect();
    pair.disk_answers(Backup);
    assert!(!pair.node(Backup).works);
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
    // What is on its disk in the end is the tenure that it follows.
    let followed = pair.view(Master).epoch;
    assert_eq!(pair.node(Backup).stored.lineage.epoch(), followed);
}

#[test]
fn a_takeover_starts_at_the_last_change_that_was_applied() {
    let mut pair = Pair::running();
    pair.replicates = false;
    pair.write(Master, 20);
    pair.kill(Master);
    let led = pair.node(Backup).effects.iter().rev().find_map(|effect| match effect {
        Effect::Lead(lineage) => lineage.forks().last().copied(),
        _ => None,
    });
    assert_eq!(led.map(|fork| (fork.at, fork.epoch.node)), Some((500, Backup.id())));
}

#[test]
fn epochs_stay_different_through_many_troubles() {
    // The fixture asserts that no epoch is led twice.
    let mut pair = Pair::running();
    for round in 0..30 {
        let who = if round % 2 == 0 { Master } else { Backup };
        match round % 5 {
            0 => pair.cut(),
            1 => pair.power_off(who),
            2 => pair.kill(who),
            3 => pair.stop(who),
            _ => pair.lose_link(),
        }
        pair.pass(FAILOVER + WAIT);
        for who in [Master, Backup] {
            if !pair.node(who).up {
                pair.restart(who);
            }
        }
        if round % 3 != 0 {
            pair.connect();
        }
        pair.pass(WAIT * 2);
        let running = [Master, Backup].map(|who| pair.view(who).status == Status::Running);
        assert!(running.contains(&true), "nobody runs in round {round}");
        assert!(round % 3 == 0 || running != [true, true], "two run in round {round}");
    }
}

/// A review of EPOCH-6: its data joined the other node's history while its own epoch was on the way to the disk, and that
/// node was met again before it was there.
#[test]
fn what_the_data_joined_while_an_epoch_was_stored_is_not_forgotten_when_that_is_given_up() {
    let mut pair = Pair::switched();
    let joined = pair.node(Master).stored.lineage.clone();
    let before = Lineage::new(joined.forks()[..1].to_vec());
    pair.node(Master).arbiter.lineage = before.clone();
    pair.node(Master).arbiter.reserved = 0;
    pair.node(Master).disk = Disk::Slow;
    pair.replicates = false;
    pair.cut();
    pair.pass(FAILOVER);
    assert!(matches!(pair.node(Master).arbiter.state, State::Taking(_)));
    pair.input(Master, Input::Adopted(joined.clone()));
    pair.connect();
    pair.disk_answers(Master);
    let now = pair.now;
    assert_eq!(pair.node(Master).arbiter.report(now).lineage, joined);
    assert_eq!(pair.node(Master).stored.lineage, joined);
}
