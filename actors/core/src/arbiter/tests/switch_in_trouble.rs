//! A switch that something goes wrong with, in each of its steps.

use super::pair::{Backup, Disk, FAILOVER, Master, Pair, SWITCH_TIMEOUT};
use crate::arbiter::{Effect, Input, Running, State, TagFacts};
use crate::lineage::{Fork, Lineage};
use crate::protocol::{Control, Tenure};
use crate::types::{Epoch, Status};

/// The Master offered Running; the Backup has not applied its last change yet.
fn offered() -> (Pair, u64) {
    let mut pair = Pair::running();
    pair.replicates = false;
    pair.write(Master, 1);
    let request = pair.press_switch_at(Master);
    assert!(pair.node(Master).sent(|m| matches!(m, Control::Offer { .. })));
    (pair, request)
}

const TOO_LONG: &str = "the switch took too long: the Standby node did not take Running in time";

#[test]
fn an_offer_that_is_not_taken_in_time_is_withdrawn() {
    let (mut pair, request) = offered();
    pair.pass(SWITCH_TIMEOUT - 10);
    assert_eq!(pair.answer(Master, request), None);
    pair.pass(10);
    assert_eq!(pair.answer(Master, request), Some(Err(TOO_LONG)));
    assert!(pair.node(Master).effects.contains(&Effect::RefuseWaiting));
    assert!(pair.node(Backup).sent(|m| matches!(m, Control::AbortConfirmed { .. })));
    assert!(pair.node(Master).works);
    pair.replicates = true;
    pair.settle();
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
}

#[test]
fn an_order_of_the_standby_hears_of_the_abort_too() {
    let mut pair = Pair::running();
    pair.replicates = false;
    pair.write(Master, 1);
    let request = pair.press_switch_at(Backup);
    pair.pass(SWITCH_TIMEOUT);
    assert_eq!(pair.answer(Backup, request), Some(Err(TOO_LONG)));
}

#[test]
fn an_order_that_ends_in_a_takeover_from_a_silent_node_is_not_done() {
    let mut pair = Pair::running();
    pair.slow_messages = true;
    let request = pair.press_switch_at(Backup);
    pair.cut();
    pair.pass(FAILOVER);
    pair.shows(Backup, Status::Running, Status::Faulted);
    pair.shows(Master, Status::Running, Status::Faulted);
    let why = "the other node does not answer: this one took over, and the other one may be Running too";
    assert_eq!(pair.answer(Backup, request), Some(Err(why)));
}

#[test]
fn an_order_that_ends_in_a_takeover_from_a_dead_node_is_done() {
    let mut pair = Pair::running();
    pair.slow_messages = true;
    let request = pair.press_switch_at(Backup);
    pair.kill(Master);
    assert_eq!(pair.answer(Backup, request), Some(Ok(())));
}

#[test]
fn having_offered_the_old_node_does_not_run_before_the_abort_is_confirmed() {
    let (mut pair, _) = offered();
    pair.slow_messages = true;
    pair.pass(SWITCH_TIMEOUT * 5);
    assert!(!pair.node(Master).works);
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.slow_messages = false;
    pair.settle();
    assert!(pair.node(Master).works);
    pair.pass(FAILOVER * 3);
    pair.shows(Backup, Status::Standby, Status::Running);
}

#[test]
fn an_abort_that_comes_too_late_is_answered_with_taken() {
    let (mut pair, request) = offered();
    pair.slow_messages = true;
    pair.pass(SWITCH_TIMEOUT);
    pair.replicates = true;
    pair.settle();
    assert_eq!(pair.view(Backup).status, Status::Running);
    assert!(!pair.node(Master).works);
    pair.slow_messages = false;
    pair.settle();
    pair.shows(Master, Status::Standby, Status::Running);
    pair.shows(Backup, Status::Running, Status::Standby);
    assert_eq!(pair.answer(Master, request), Some(Err(TOO_LONG)));
}

#[test]
fn a_late_taken_of_an_ended_switch_changes_nothing() {
    let (mut pair, _) = offered();
    pair.pass(SWITCH_TIMEOUT);
    let epoch = crate::types::Epoch { counter: 1, node: Backup.id() };
    pair.input(Master, crate::arbiter::Input::Message(Control::Taken { switch: 1, epoch }));
    pair.pass(FAILOVER * 3);
    assert!(pair.node(Master).works);
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn an_abort_while_the_epoch_is_being_stored() {
    let mut pair = Pair::running();
    // Its next epoch is not reserved: it must be stored first.
    pair.node(Backup).disk = Disk::Slow;
    pair.node(Backup).arbiter.reserved = 0;
    let request = pair.press_switch_at(Master);
    assert!(!pair.node(Backup).works);
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.pass(SWITCH_TIMEOUT);
    assert_eq!(pair.answer(Master, request), Some(Err(TOO_LONG)));
    assert!(pair.node(Master).works);
    // The disk answers after all: nobody is interested.
    pair.disk_answers(Backup);
    pair.shows(Backup, Status::Standby, Status::Running);
    pair.node(Backup).disk = Disk::Works;
    pair.press_switch_at(Master);
    pair.shows(Backup, Status::Running, Status::Standby);
}

#[test]
fn link_lost_while_the_running_node_stops_its_work() {
    let mut pair = Pair::running();
    pair.node(Master).never_quiesces = true;
    let request = pair.press_switch_at(Master);
    pair.lose_link();
    assert_eq!(pair.answer(Master, request), Some(Err("the link was lost")));
    assert!(pair.node(Master).works);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn the_standby_node_falls_behind_while_the_running_node_stops_its_work() {
    let mut pair = Pair::running();
    pair.node(Master).never_quiesces = true;
    let request = pair.press_switch_at(Master);
    let lagging = TagFacts { lagging: true, ..pair.node(Master).facts };
    pair.input(Master, Input::Tags(lagging));
    pair.input(Master, Input::Quiesced { last: lagging.last });
    assert_eq!(pair.answer(Master, request), Some(Err("the Standby node is no longer in sync")));
    assert!(pair.node(Master).works);
}

#[test]
fn link_lost_after_the_offer_and_met_again() {
    let (mut pair, request) = offered();
    pair.lose_link();
    assert!(!pair.node(Master).works);
    assert_eq!(pair.answer(Master, request), None);
    pair.pass(100);
    pair.replicates = true;
    pair.connect();
    assert_eq!(pair.answer(Master, request), Some(Err("the link was lost in the middle of the switch")));
    assert!(pair.node(Master).works);
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
}

/// Seed 22451 of the simulation: both ran, for the greeting on the new connection was older than the offer's arrival.
#[test]
fn the_offer_arrives_on_the_old_connection_after_the_greeting_on_the_new_one() {
    let mut pair = Pair::running();
    let greeting = pair.greeting(Backup);
    pair.slow_messages = true;
    pair.press_switch_at(Master);
    pair.input(Master, Input::LinkDown);
    pair.input(Master, Input::LinkUp(Box::new(greeting)));
    assert!(!pair.node(Master).works);
    let sent = pair.node(Master).effects.iter().filter_map(|effect| match effect {
        Effect::Send(message) => Some(message.clone()),
        _ => None,
    });
    // The report that says so goes before the offer.
    let sent: Vec<_> = sent.skip_while(|m| !matches!(m, Control::Report(report) if report.switching != 0)).collect();
    assert!(matches!(sent[1], Control::Offer { .. }));
    for message in sent.into_iter().take(2) {
        pair.input(Backup, Input::Message(message));
    }
    assert!(pair.node(Backup).works);
    pair.slow_messages = false;
    pair.connect();
    assert!(!pair.node(Master).works);
    pair.shows(Master, Status::Standby, Status::Running);
    pair.shows(Backup, Status::Running, Status::Standby);
}

#[test]
fn link_lost_when_the_offer_was_taken_and_met_again() {
    let (mut pair, request) = offered();
    pair.slow_messages = true;
    pair.replicates = true;
    pair.settle();
    assert!(pair.node(Backup).works);
    pair.slow_messages = false;
    pair.lose_link();
    assert!(!pair.node(Master).works);
    pair.connect();
    pair.shows(Master, Status::Standby, Status::Running);
    pair.shows(Backup, Status::Running, Status::Standby);
    assert_eq!(pair.answer(Master, request), Some(Ok(())));
    // It was a deliberate switch.
    pair.pass(FAILOVER * 10);
    pair.shows(Master, Status::Standby, Status::Running);
}

#[test]
fn link_lost_when_the_offer_was_taken_by_a_node_that_then_stood_still() {
    let (mut pair, _) = offered();
    pair.slow_messages = true;
    pair.replicates = true;
    pair.settle();
    pair.input(Backup, Input::Stalled { for_ms: 2 * FAILOVER });
    pair.slow_messages = false;
    pair.lose_link();
    pair.connect();
    // It shows no status before it knows who runs. But it took Running.
    assert!(!pair.node(Master).works);
    pair.input(Backup, Input::AnsweredAfterStall);
    pair.shows(Master, Status::Standby, Status::Running);
    pair.shows(Backup, Status::Running, Status::Standby);
}

#[test]
fn link_lost_after_the_offer_and_met_again_by_one_that_runs_under_an_older_epoch() {
    let mut pair = Pair::switched();
    pair.press_switch_at(Master);
    pair.replicates = false;
    pair.write(Master, 1);
    pair.press_switch_at(Master);
    pair.lose_link();
    assert_eq!((pair.counter(Master), pair.view(Master).switching), (3, true));
    // What it runs under it was given by a process that is dead: nothing it knows of is as new as this offer.
    let backup = pair.node(Backup);
    backup.arbiter.lineage = Lineage::new(vec![Fork { epoch: Epoch { counter: 2, node: Backup.id() }, at: 0 }]);
    backup.arbiter.state = State::Running(Running::default());
    backup.works = true;
    pair.replicates = true;
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
    assert!(pair.node(Master).works && !pair.node(Backup).works);
}

#[test]
fn the_peer_runs_while_the_running_node_stops_its_work() {
    let mut pair = Pair::running();
    pair.node(Master).never_quiesces = true;
    let request = pair.press_switch_at(Master);
    let now = pair.now;
    let mut report = pair.node(Backup).arbiter.report(now);
    report.status = Status::Running;
    report.lineage = report.lineage.promoted(Fork { epoch: Epoch { counter: 2, node: Backup.id() }, at: 500 });
    pair.anything_goes = true;
    pair.input(Master, Input::Message(Control::Report(Box::new(report))));
    assert_eq!(pair.answer(Master, request), Some(Err("both nodes are Running")));
    pair.pass(SWITCH_TIMEOUT);
    assert!(!pair.node(Master).works);
}

#[test]
fn link_lost_while_the_epoch_is_stored_and_met_again() {
    let mut pair = Pair::running();
    pair.node(Backup).disk = Disk::Slow;
    pair.node(Backup).arbiter.reserved = 0;
    pair.press_switch_at(Master);
    pair.lose_link();
    pair.connect();
    assert!(!pair.node(Master).works);
    pair.disk_answers(Backup);
    pair.shows(Master, Status::Standby, Status::Running);
    assert!(pair.node(Backup).works);
}

#[test]
fn link_cut_after_the_offer_for_good() {
    let (mut pair, request) = offered();
    pair.cut();
    pair.pass(FAILOVER);
    // Failover rules promote each of them, under epochs of their own.
    pair.shows(Master, Status::Running, Status::Faulted);
    pair.shows(Backup, Status::Running, Status::Faulted);
    assert_eq!(pair.answer(Master, request), Some(Err("the peer was silent for 1000 ms")));
    pair.replicates = true;
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn the_standby_dies_after_the_offer() {
    let (mut pair, request) = offered();
    let epoch = pair.counter(Master);
    pair.kill(Backup);
    assert_eq!(pair.answer(Master, request), Some(Err("the peer's process is dead")));
    assert!(pair.node(Master).works);
    pair.shows(Master, Status::Running, Status::Faulted);
    assert!(pair.counter(Master) > epoch);
}

#[test]
fn the_standby_dies_after_the_offer_and_is_back_at_once() {
    let (mut pair, _) = offered();
    pair.replicates = true;
    pair.power_off(Backup);
    pair.restart(Backup);
    pair.connect();
    assert!(pair.node(Master).works);
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
}

#[test]
fn the_running_node_dies_after_the_offer() {
    let (mut pair, _) = offered();
    pair.kill(Master);
    pair.shows(Backup, Status::Running, Status::Faulted);
    assert_eq!(pair.view(Backup).tenure, Tenure::Failover);
    assert_eq!(pair.node(Backup).facts.applied, 500);
}

#[test]
fn an_offer_is_refused_by_a_node_that_is_not_in_sync() {
    let mut pair = Pair::running();
    let facts = crate::arbiter::TagFacts { in_sync: false, ..pair.node(Backup).facts };
    pair.slow_messages = true;
    pair.replicates = false;
    pair.press_switch_at(Master);
    pair.input(Backup, crate::arbiter::Input::Tags(facts));
    pair.slow_messages = false;
    pair.settle();
    assert!(pair.node(Master).works);
    assert_eq!(pair.node(Master).answers[0].1, Err("this node is not in sync".into()));
}

#[test]
fn the_standby_cannot_store_its_epoch() {
    let mut pair = Pair::running();
    pair.node(Backup).disk = Disk::Fails;
    pair.node(Backup).arbiter.reserved = 0;
    let request = pair.press_switch_at(Master);
    assert_eq!(pair.answer(Master, request), Some(Err("the epoch cannot be stored: disk full")));
    pair.shows(Master, Status::Running, Status::Faulted);
    pair.shows(Backup, Status::Faulted, Status::Running);
    assert!(pair.node(Master).works);
}

#[test]
fn a_node_that_stood_still_in_the_middle_of_its_switch_takes_no_write_before_it_knows_who_runs() {
    let mut pair = Pair::running();
    pair.node(Master).never_quiesces = true;
    let request = pair.press_switch_at(Master);
    let before = pair.node(Master).effects.len();
    pair.input(Master, Input::Stalled { for_ms: FAILOVER * 2 });
    assert_eq!(pair.answer(Master, request), Some(Err("this node was stopped in the middle of the switch")));
    assert!(!pair.node(Master).effects[before..].contains(&Effect::Resume));
    pair.input(Master, Input::AnsweredAfterStall);
    assert!(pair.node(Master).effects[before..].contains(&Effect::Resume));
    pair.shows(Master, Status::Running, Status::Standby);
}
