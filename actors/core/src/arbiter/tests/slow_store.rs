//! The disk is slow, and much happens while the next epoch is on its way there.

use super::pair::{Backup, Disk, FAILOVER, MISSED_PINGS, Master, Pair, SWITCH_TIMEOUT};
use crate::arbiter::{Effect, Input};
use crate::types::{RecoveryMode, Status};

/// Both ran and met; the Master stays, and its higher epoch waits for its disk.
fn winner_stores() -> Pair {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.node(Master).disk = Disk::Slow;
    pair.connect();
    assert!(!pair.node(Master).works && !pair.node(Backup).works);
    pair
}

#[test]
fn the_winner_goes_above_what_the_loser_ran_under_meanwhile() {
    let mut pair = winner_stores();
    pair.cut();
    pair.pass(FAILOVER);
    pair.shows(Backup, Status::Running, Status::Faulted);
    let again = pair.counter(Backup);
    pair.connect();
    pair.node(Master).disk = Disk::Works;
    pair.disk_answers(Master);
    pair.shows(Master, Status::Running, Status::Standby);
    assert!(pair.node(Master).works);
    assert!(pair.counter(Master) > again, "{} after {again}", pair.counter(Master));
}

#[test]
fn a_winner_that_its_peer_cannot_answer_any_more_drops_the_link() {
    let mut pair = winner_stores();
    pair.node(Master).effects.clear();
    pair.cut();
    pair.pass(MISSED_PINGS);
    assert!(pair.node(Master).effects.contains(&Effect::DropLink), "half a link would stay for ever");
    pair.disk_answers(Master);
    pair.shows(Master, Status::Running, Status::Faulted);
    assert!(pair.node(Master).works);
}

#[test]
fn a_winner_that_stood_still_asks_before_its_next_tenure_begins() {
    let mut pair = winner_stores();
    pair.input(Master, Input::Stalled { for_ms: FAILOVER * 3 });
    pair.disk_answers(Master);
    assert!(!pair.node(Master).works);
    assert_eq!(pair.view(Master).status, Status::Unknown);
    pair.node(Master).disk = Disk::Works;
    pair.input(Master, Input::AnsweredAfterStall);
    pair.shows(Master, Status::Running, Status::Standby);
    assert!(pair.node(Master).works);
}

#[test]
fn a_winner_that_stood_still_before_it_stored_asks_first() {
    let mut pair = Pair::both_running(RecoveryMode::Automatic);
    pair.node(Master).never_quiesces = true;
    pair.connect();
    pair.input(Master, Input::Stalled { for_ms: FAILOVER * 3 });
    let last = pair.node(Master).facts.last;
    pair.input(Master, Input::Quiesced { last });
    assert_eq!((pair.counter(Master), pair.node(Master).works), (1, false));
    pair.input(Master, Input::AnsweredAfterStall);
    assert_eq!((pair.counter(Master), pair.node(Master).works), (3, true));
}

#[test]
fn an_offer_is_not_taken_when_the_old_node_runs_again() {
    let mut pair = Pair::running();
    pair.node(Backup).disk = Disk::Slow;
    pair.node(Backup).arbiter.reserved = 0;
    pair.press_switch_at(Master);
    assert!(!pair.node(Master).works);
    pair.cut();
    pair.pass(FAILOVER + SWITCH_TIMEOUT);
    // Failover rules have promoted the old node, under an epoch of its own.
    assert!(pair.node(Master).works);
    pair.connect();
    pair.disk_answers(Backup);
    let led = pair.node(Backup).effects.iter().any(|effect| matches!(effect, Effect::Lead(_)));
    assert!(!led && pair.node(Master).works, "it would have run beside the other node, if only for a moment");
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
}
