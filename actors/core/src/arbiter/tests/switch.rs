//! The planned move of Running.

use super::pair::{Backup, FAILOVER, Master, Pair, SWITCH_TIMEOUT};
use crate::arbiter::{Effect, Input};
use crate::protocol::{Control, Tenure};
use crate::types::{NodeId, Status};

#[test]
fn switch_at_either_node_moves_running_and_pressing_again_moves_it_back() {
    for who in [Master, Backup] {
        let mut pair = Pair::running();
        let epoch = pair.counter(Master);
        let request = pair.press_switch_at(who);
        assert_eq!(pair.answer(who, request), Some(Ok(())));
        pair.shows(Master, Status::Standby, Status::Running);
        pair.shows(Backup, Status::Running, Status::Standby);
        assert!(pair.view(Backup).failover_ready && pair.view(Master).failover_ready);
        assert!(pair.counter(Backup) > epoch);
        assert_eq!(pair.counter(Master), pair.counter(Backup));
        let event = pair.last_event(Backup);
        assert_eq!((event.from, event.to, event.tenure), (Status::Standby, Status::Running, Tenure::Switch));
        assert_eq!(event.reason, "works at pump 3");
        let event = pair.last_event(Master);
        assert_eq!((event.from, event.to), (Status::Running, Status::Standby));
        assert_eq!(event.reason, "works at pump 3");
        pair.press_switch_at(who);
        pair.shows(Master, Status::Running, Status::Standby);
        pair.shows(Backup, Status::Standby, Status::Running);
    }
}

#[test]
fn the_offer_comes_after_the_last_change_and_is_taken_when_it_is_applied() {
    let mut pair = Pair::running();
    pair.replicates = false;
    pair.write(Master, 7);
    let request = pair.press_switch_at(Master);
    assert!(!pair.node(Master).works);
    assert!(pair.node(Master).sent(|m| matches!(m, Control::Offer { last: 507, .. })));
    assert!(pair.node(Backup).effects.contains(&Effect::AwaitApplied(507)));
    assert_eq!(pair.answer(Master, request), None);
    assert!(pair.view(Master).switching && pair.view(Backup).switching);
    pair.shows(Backup, Status::Standby, Status::Running);
    pair.replicates = true;
    pair.settle();
    pair.shows(Backup, Status::Running, Status::Standby);
    let now = pair.now;
    assert_eq!(pair.node(Backup).arbiter.report(now).lineage.forks().last().unwrap().at, 507);
    assert!(!pair.view(Master).switching && !pair.view(Backup).switching);
    assert_eq!(pair.answer(Master, request), Some(Ok(())));
}

#[test]
fn nothing_is_offered_before_the_running_node_stopped_its_work() {
    let mut pair = Pair::running();
    pair.node(Master).never_quiesces = true;
    let request = pair.press_switch_at(Master);
    assert!(!pair.node(Master).sent(|m| matches!(m, Control::Offer { .. })));
    pair.pass(SWITCH_TIMEOUT - 10);
    assert_eq!(pair.answer(Master, request), None);
    pair.pass(10);
    let refused = "the switch took too long: this node's own work did not stop in time";
    assert_eq!(pair.answer(Master, request), Some(Err(refused)));
    assert!(pair.node(Master).works);
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn refusals_say_why() {
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.refuses_switch(Master, "the other node is not connected");

    let mut pair = Pair::running();
    pair.input(Backup, Input::Disk(Some("disk full".into())));
    for who in [Master, Backup] {
        pair.refuses_switch(who, "the Standby node cannot run: disk full");
    }

    let mut pair = Pair::running();
    pair.input(Backup, Input::Fault(Some("source 1".into())));
    for who in [Master, Backup] {
        pair.refuses_switch(who, "the Standby node is Faulted");
    }

    let mut pair = Pair::running();
    pair.lose_link();
    for who in [Master, Backup] {
        pair.refuses_switch(who, "the other node is not connected");
    }
    pair.replicates = false;
    pair.connect();
    for who in [Master, Backup] {
        pair.refuses_switch(who, "the Standby node is not in sync");
    }

    let mut pair = Pair::running();
    pair.cut();
    pair.pass(FAILOVER / 2);
    pair.refuses_switch(Backup, "the other node is not connected");

    let mut pair = Pair::new();
    pair.holds(Backup, &[(2, Backup)], 10);
    pair.replicates = false;
    pair.restart(Master);
    pair.restart(Backup);
    pair.connect();
    pair.refuses_switch(Master, "no node is Running");
    pair.refuses_switch(Backup, "no node is Running");

    let mut pair = Pair::running();
    pair.slow_messages = true;
    pair.press_switch_at(Master);
    pair.refuses_switch(Master, "a switch is under way");
}

#[test]
fn a_second_order_while_a_switch_is_under_way() {
    let mut pair = Pair::running();
    pair.replicates = false;
    pair.write(Master, 1);
    let first = pair.press_switch_at(Master);
    let second = pair.press_switch_at(Backup);
    assert_eq!(pair.answer(Backup, second), Some(Err("this node is not Running")));
    pair.replicates = true;
    pair.settle();
    assert_eq!(pair.answer(Master, first), Some(Ok(())));
}

#[test]
fn an_order_may_name_the_epoch_it_expects() {
    for who in [Master, Backup] {
        let mut pair = Pair::running();
        let epoch = pair.counter(Master);
        let request = pair.order(who, epoch + 1, NodeId(0));
        let refused = format!("the epoch is {epoch}, not {}: somebody switched meanwhile", epoch + 1);
        assert_eq!(pair.answer(who, request), Some(Err(refused.as_str())));
        let request = pair.order(who, epoch, NodeId(0));
        assert_eq!(pair.answer(who, request), Some(Ok(())));
    }
}

#[test]
fn the_expected_epoch_is_the_running_nodes_also_after_a_restart_of_the_standby() {
    let mut pair = Pair::running();
    pair.kill(Backup);
    pair.restart(Backup);
    pair.connect();
    let epoch = pair.counter(Master);
    let request = pair.order(Backup, epoch, NodeId(0));
    assert_eq!(pair.answer(Backup, request), Some(Ok(())));
}

#[test]
fn an_order_may_name_the_node_that_is_to_run() {
    for who in [Master, Backup] {
        let mut pair = Pair::running();
        let request = pair.order(who, 0, Master.id());
        assert_eq!(pair.answer(who, request), Some(Err("that node is Running already")));
        let request = pair.order(who, 0, Backup.id());
        assert_eq!(pair.answer(who, request), Some(Ok(())));
        pair.shows(Backup, Status::Running, Status::Standby);
    }
}

#[test]
fn an_order_that_the_running_node_does_not_answer_ends_in_time() {
    let mut pair = Pair::running();
    pair.slow_messages = true;
    let request = pair.press_switch_at(Backup);
    pair.pass(SWITCH_TIMEOUT * 2 - 10);
    assert_eq!(pair.answer(Backup, request), None);
    pair.pass(10);
    assert_eq!(pair.answer(Backup, request), Some(Err("the Running node did not answer in time")));
}

/// What the peer says when it greets may speak of an earlier leader.
#[test]
fn a_greeting_is_no_proof_of_being_in_sync() {
    let mut pair = Pair::running();
    let greeting = pair.greeting(Backup);
    assert!(greeting.report.in_sync && pair.view(Master).failover_ready);
    let now = pair.now;
    pair.node(Master).arbiter.handle(Input::LinkUp(Box::new(greeting)), now);
    assert_eq!(pair.view(Master).not_ready, ["the Standby node is not in sync"]);
    pair.refuses_switch(Master, "the Standby node is not in sync");
}
