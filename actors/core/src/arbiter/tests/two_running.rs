//! Both nodes ran, and meet again.

use super::pair::{Backup, FAILOVER, Master, Pair, Who};
use crate::arbiter::{Effect, Input};
use crate::protocol::Tenure;
use crate::types::{RecoveryMode, Status};

#[track_caller]
fn stays(pair: &mut Pair, winner: Who) {
    let seen = pair.counter(Master).max(pair.counter(Backup));
    pair.connect();
    pair.shows(winner, Status::Running, Status::Standby);
    pair.shows(winner.other(), Status::Standby, Status::Running);
    assert!(pair.node(winner).works && !pair.node(winner.other()).works);
    assert!(pair.counter(winner) > seen, "the winner takes a higher epoch than both");
    assert_eq!(pair.view(winner).tenure, Tenure::DualRunning);
    let reason = &pair.last_event(winner.other()).reason;
    assert_eq!(reason, "two nodes were Running and the other one stays");
    pair.pass(FAILOVER * 20);
    pair.shows(winner, Status::Running, Status::Standby);
}

#[test]
fn under_automatic_recovery_the_master_stays() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    assert!(pair.counter(Backup) > pair.counter(Master));
    stays(&mut pair, Master);
}

#[test]
fn under_manual_recovery_the_higher_epoch_stays() {
    let mut pair = Pair::both_running(RecoveryMode::Manual);
    stays(&mut pair, Backup);

    let mut pair = Pair::running_with(RecoveryMode::Manual, true);
    pair.press_switch_at(Master);
    pair.cut();
    pair.pass(FAILOVER);
    assert!(pair.counter(Master) > pair.counter(Backup));
    stays(&mut pair, Master);
}

#[test]
fn under_manual_recovery_with_equal_counters_the_backup_stays() {
    let mut pair = Pair::new();
    pair.recovery = RecoveryMode::Manual;
    pair.restart(Master);
    pair.restart(Backup);
    pair.pass(5000);
    assert_eq!(pair.counter(Master), pair.counter(Backup));
    stays(&mut pair, Backup);
}

#[test]
fn two_that_never_met_and_both_run_under_automatic_recovery() {
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.restart(Backup);
    pair.pass(5000);
    stays(&mut pair, Master);
}

#[test]
fn the_winner_takes_no_write_before_the_loser_has_stopped() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.node(Backup).never_quiesces = true;
    pair.connect();
    assert!(!pair.node(Master).works && !pair.node(Backup).works);
    pair.shows(Master, Status::Running, Status::Running);
    pair.refuses_switch(Master, "it is being found out which node runs");
    assert_eq!(pair.view(Master).not_ready, ["both nodes are Running"]);
    // The loser's own work does not stop in time: it stands by nevertheless.
    pair.pass(2000);
    pair.shows(Master, Status::Running, Status::Standby);
    assert!(pair.node(Master).works);
}

#[test]
fn the_winner_goes_on_when_the_link_is_lost_again() {
    for silently in [false, true] {
        let mut pair = Pair::both_running(RecoveryMode::Automatic);
        pair.slow_messages = true;
        pair.connect();
        assert!(!pair.node(Master).works);
        if silently {
            pair.cut();
            pair.pass(FAILOVER / 2);
        } else {
            pair.lose_link();
        }
        assert!(pair.node(Master).works);
        pair.shows(Master, Status::Running, Status::Faulted);
        pair.slow_messages = false;
        pair.connect();
        pair.shows(Master, Status::Running, Status::Standby);
        pair.shows(Backup, Status::Standby, Status::Running);
    }
}

#[test]
fn the_loser_follows_the_winners_new_epoch() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.connect();
    let led = pair.node(Master).arbiter.epoch();
    let followed = pair.node(Backup).effects.iter().rev().find_map(|effect| match effect {
        Effect::Follow(leader) => Some(leader.lineage.epoch()),
        _ => None,
    });
    assert_eq!(followed, Some(led));
    assert!(pair.view(Master).failover_ready && pair.view(Backup).failover_ready);
}

#[test]
fn orders_given_while_both_run() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.refuses_switch(Master, "the other node is not connected");
    pair.refuses_switch(Backup, "the other node is not connected");
}

#[test]
fn a_pair_that_stalled_on_both_sides_has_one_running_node_in_the_end() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.input(Master, Input::Stalled { for_ms: 5000 });
    pair.input(Backup, Input::Stalled { for_ms: 5000 });
    pair.connect();
    pair.input(Master, Input::AnsweredAfterStall);
    pair.input(Backup, Input::AnsweredAfterStall);
    pair.pass(FAILOVER * 20);
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
}

#[test]
fn the_losers_epoch_does_not_go_back_while_the_winner_stops_its_work() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.node(Master).never_quiesces = true;
    pair.connect();
    pair.shows(Backup, Status::Standby, Status::Running);
    assert_eq!((pair.counter(Master), pair.counter(Backup)), (1, 2));
    let last = pair.node(Master).facts.last;
    pair.input(Master, Input::Quiesced { last });
    assert_eq!((pair.counter(Master), pair.counter(Backup)), (3, 3));
    assert!(pair.view(Backup).failover_ready);
}

#[test]
fn the_loser_does_not_wait_for_ever_for_a_higher_epoch() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.node(Master).never_quiesces = true;
    pair.connect();
    pair.pass(FAILOVER - 10);
    assert!(!pair.node(Backup).facts.in_sync);
    pair.pass(10);
    assert!(pair.node(Backup).facts.in_sync);
}

#[test]
fn the_winner_takes_a_higher_epoch_although_the_loser_has_joined_the_lower_one() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.node(Master).never_quiesces = true;
    pair.connect();
    pair.pass(FAILOVER);
    assert_eq!((pair.counter(Master), pair.counter(Backup)), (1, 1));
    pair.node(Master).never_quiesces = false;
    pair.lose_link();
    pair.connect();
    assert_eq!((pair.counter(Master), pair.counter(Backup)), (3, 3));
}

#[test]
fn the_winner_takes_a_higher_epoch_although_the_loser_with_an_equal_one_has_joined_it() {
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.restart(Backup);
    pair.pass(5000);
    pair.node(Master).never_quiesces = true;
    pair.connect();
    pair.pass(FAILOVER);
    assert!(pair.node(Backup).facts.in_sync);
    pair.node(Master).never_quiesces = false;
    pair.lose_link();
    pair.connect();
    assert_eq!((pair.counter(Master), pair.counter(Backup)), (2, 2));
}

#[test]
fn a_loser_whose_winner_is_gone_before_its_own_work_has_stopped_runs_again() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.node(Backup).never_quiesces = true;
    pair.connect();
    pair.cut();
    // Silent for longer than the failover time when the switch timeout ends the work: nothing else wakes it.
    pair.pass(2000);
    pair.shows(Backup, Status::Running, Status::Faulted);
    assert!(pair.node(Backup).works);
}
