//! A node is not woken for what it cannot do yet.

use std::sync::Arc;

use super::pair::Pair;
use crate::alarms::AlarmAction;

fn later(pair: &Pair) -> bool {
    pair.nodes[0].machine.next_deadline().is_none_or(|next| next > pair.now.mono)
}

#[test]
fn requests_that_a_hanging_disk_keeps_do_not_wake_the_node_again_and_again() {
    let mut pair = Pair::new(false);
    pair.change(0, 15.0);
    pair.change(2, 15.0);
    pair.settle(100);
    let events = [0, 1].map(|which| pair.some_event(0, which).expect("it is raised"));
    for event in events {
        pair.ask(0, AlarmAction::Comment { event, comment: Arc::from("seen") }, None);
        pair.wait(10);
    }
    pair.wait(2000);
    assert!(later(&pair), "nothing can be done before the disk answers");
    pair.settle(3000);
    pair.assert_equal();
}

#[test]
fn delays_that_are_due_while_nothing_may_be_judged_do_not_wake_the_node_again_and_again() {
    let mut pair = Pair::new(false);
    pair.nodes[0].disk.failing = true;
    pair.change(1, 15.0);
    for turn in 0..200_u8 {
        pair.change(0, if turn % 2 == 0 { 15.0 } else { 0.0 });
    }
    while pair.deliver(0) || pair.deliver(1) || pair.work(0) || pair.work(1) {}
    pair.wait(400);
    assert!(pair.nodes[0].machine.unjudged, "too much waits for the disk");
    assert!(later(&pair), "the disk is tried again later, and nothing else can be done");
    pair.nodes[0].disk.failing = false;
    pair.settle(10_000);
    pair.assert_equal();
}

#[test]
fn a_request_at_a_follower_whose_link_is_lost_is_answered_and_nothing_wakes_it() {
    let mut pair = Pair::new(false);
    pair.change(0, 15.0);
    pair.settle(100);
    let event = pair.some_event(1, 0).expect("it is raised");
    let ticket = pair.ask(1, AlarmAction::Comment { event, comment: Arc::from("seen") }, None);
    pair.link_down();
    assert!(pair.nodes[1].answers.contains_key(&ticket));
    pair.wait(60_000);
    assert!(pair.nodes[1].machine.next_deadline().is_none());
}

/// Seed 723517 of the simulation: the entry had its effect at the follower, and never came there itself. Both said that they
/// were in sync.
#[test]
fn a_delay_that_is_due_just_as_the_follower_asks_keeps_no_entry_from_its_journal() {
    let mut pair = Pair::new(false);
    pair.change(1, 15.0);
    pair.settle(100);
    pair.lane_down();
    pair.lane_up();
    // The leader hears nothing but the follower's request in that millisecond.
    pair.now.mono = pair.now.mono.plus(300);
    assert!(pair.deliver(0));
    pair.settle(1000);
    pair.assert_equal();
}
