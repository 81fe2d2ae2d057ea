//! Writes made at the Standby node, and writes that wait for the end of a switch.

use super::pair::*;
use crate::protocol::ItemResult::{BadNodeIdUnknown, Good};
use crate::protocol::{Control, MAX_OPERATION_ID_BYTES, WriteItem, WriteOutcome, WriteRefusal};
use crate::replicator::TagInput;
use crate::value::Value;
use crate::wire::encode_control;

fn refused(refusal: WriteRefusal) -> Option<WriteOutcome> {
    Some(WriteOutcome::Refused(refusal))
}

/// So many texts that they go in three parts.
fn large(fill: &str) -> Vec<WriteItem> {
    let text = |_| WriteItem { value: Value::String(fill.repeat(5_000).into()), ..item("text", 0) };
    [vec![item("a", 1)], (0..3).map(text).collect(), vec![item("nowhere", 1)]].concat()
}

#[test]
fn the_running_node_does_it_and_answers() {
    let mut pair = Pair::in_sync(small());
    let ticket = pair.write_items(B, None, vec![item("a", 5), item("nowhere", 1)]);
    assert_eq!(pair.answer(B, ticket), None);
    assert!(pair.tell(B));
    assert_eq!(pair.nodes[A].int("a"), 5);
    assert!(!pair.tell(A), "it waits for the follower as any write");
    pair.settle();
    let results = vec![Good, BadNodeIdUnknown];
    assert_eq!(pair.answer(B, ticket), Some(&WriteOutcome::Done { results, replicated: true }));
    assert_eq!(pair.nodes[B].int("a"), 5);
}

#[test]
fn a_refusal_comes_back() {
    let mut pair = Pair::in_sync(small());
    pair.input(A, TagInput::StandBy);
    let ticket = pair.write(B, "a", 5);
    pair.settle();
    assert!(matches!(pair.answer(B, ticket), Some(WriteOutcome::Refused(WriteRefusal::NotRunning(_)))));
}

#[test]
fn an_answer_lost_with_the_link_is_an_unknown_outcome() {
    let mut pair = Pair::in_sync(small());
    let ticket = pair.write(B, "a", 5);
    pair.tell(B);
    pair.cut();
    assert_eq!(pair.answer(B, ticket).cloned(), refused(WriteRefusal::OutcomeUnknown));
    let after = pair.write(B, "a", 6);
    assert!(matches!(pair.answer(B, after), Some(WriteOutcome::Refused(WriteRefusal::NotRunning(_)))));
}

#[test]
fn an_answer_that_does_not_come_is_an_unknown_outcome_and_a_late_one_changes_nothing() {
    let mut pair = Pair::in_sync(small());
    let ticket = pair.write(B, "a", 5);
    let deadline = pair.now + SWITCH_TIMEOUT + 2 * REPLICATION_TIMEOUT;
    pair.wait(deadline - pair.now - 1);
    assert!(pair.nodes[B].replicator.next_deadline().unwrap().0 <= deadline);
    assert_eq!(pair.answer(B, ticket), None);
    pair.wait(1);
    assert_eq!(pair.answer(B, ticket).cloned(), refused(WriteRefusal::OutcomeUnknown));
    pair.settle();
}

#[test]
fn more_than_the_window_is_refused() {
    let mut pair = Pair::in_sync(small());
    let tickets: Vec<_> = (0..257).map(|value| pair.write(B, "a", value)).collect();
    assert_eq!(pair.answer(B, tickets[256]).cloned(), refused(WriteRefusal::Busy));
    pair.settle();
    assert!(tickets[..256].iter().all(|ticket| pair.replicated(B, *ticket) == Some(true)));
    let free_again = pair.write(B, "a", 1);
    pair.settle();
    assert_eq!(pair.replicated(B, free_again), Some(true));
}

#[test]
fn a_large_write_goes_in_parts_one_after_the_other() {
    let mut pair = Pair::in_sync(small());
    let ticket = pair.write_items(B, Some("x".repeat(MAX_OPERATION_ID_BYTES).into()), large("x"));
    let mut parts = 0;
    while pair.answer(B, ticket).is_none() {
        assert_eq!(pair.nodes[B].control.len(), 1, "one at a time");
        let frame = encode_control(&pair.nodes[B].control[0]).unwrap();
        assert!(frame.len() < 16 * 1024, "a heartbeat does not wait long");
        parts += 1;
        pair.tell(B);
        while !pair.tell(A) {
            assert!(pair.deliver(A) || pair.deliver(B));
        }
    }
    assert!(parts > 2);
    let results = vec![Good, Good, Good, Good, BadNodeIdUnknown];
    assert_eq!(pair.answer(B, ticket), Some(&WriteOutcome::Done { results, replicated: true }));
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn a_large_write_that_breaks_off_has_an_unknown_outcome_and_its_repetition_ends_it() {
    let mut pair = Pair::in_sync(small());
    let ticket = pair.write_as(B, "op", large("x"));
    pair.tell(B);
    pair.deliver_all(A);
    pair.deliver_all(B);
    pair.tell(A);
    pair.cut();
    assert_eq!(pair.answer(B, ticket).cloned(), refused(WriteRefusal::OutcomeUnknown));
    pair.connect();
    pair.follow(B);
    pair.settle();
    pair.write(A, "a", 9);
    let again = pair.write_as(B, "op", large("x"));
    pair.settle();
    let results = vec![Good, Good, Good, Good, BadNodeIdUnknown];
    assert_eq!(pair.answer(B, again), Some(&WriteOutcome::Done { results, replicated: true }));
    assert_eq!(pair.nodes[A].int("a"), 9, "the first part was done already");
    assert!(matches!(pair.nodes[A].sample("text").value, Value::String(_)));
}

#[test]
fn a_large_write_under_an_operation_id_is_done_once_wherever_it_is_repeated() {
    for (first_at, failover) in [(B, false), (B, true), (A, false), (A, true)] {
        let mut pair = Pair::in_sync(small());
        let first = pair.write_as(first_at, "op", large("x"));
        pair.settle();
        let first = pair.answer(first_at, first).cloned();
        if failover {
            pair.switch(A);
        }
        let leader = if failover { B } else { A };
        pair.write(leader, "a", 9);
        for at in [A, B] {
            let again = pair.write_as(at, "op", large("x"));
            pair.settle();
            assert_eq!(pair.answer(at, again).cloned(), first, "{first_at} {failover} {at}");
            for others in [large("y"), large("x")[..2].to_vec(), vec![item("a", 2)]] {
                let ticket = pair.write_as(at, "op", others);
                pair.settle();
                assert_eq!(pair.answer(at, ticket).cloned(), refused(WriteRefusal::OperationIdReused));
            }
        }
        assert_eq!(pair.nodes[leader].int("a"), 9, "nothing was written again");
    }
}

#[test]
fn a_small_operation_is_not_taken_for_a_large_one() {
    let mut pair = Pair::in_sync(small());
    pair.write_as(A, "op", vec![item("a", 1)]);
    for at in [A, B] {
        let ticket = pair.write_as(at, "op", large("x"));
        pair.settle();
        assert_eq!(pair.answer(at, ticket).cloned(), refused(WriteRefusal::OperationIdReused));
    }
}

#[test]
fn writes_wait_during_a_switch_and_are_done_when_it_is_aborted() {
    let mut pair = Pair::in_sync(small());
    pair.input(A, TagInput::Quiesce);
    let here = pair.write(A, "a", 1);
    let there = pair.write(B, "b", 2);
    pair.settle();
    assert_eq!((pair.answer(A, here), pair.answer(B, there), pair.nodes[A].int("a")), (None, None, 0));
    pair.input(A, TagInput::Resume);
    pair.settle();
    assert_eq!((pair.replicated(A, here), pair.replicated(B, there)), (Some(true), Some(true)));
    assert_eq!((pair.nodes[B].int("a"), pair.nodes[B].int("b")), (1, 2));
}

/// Seed 41975 of the simulation: it did them before its peer, which had taken over meanwhile, could say so.
#[test]
fn what_waits_at_a_node_that_stood_still_is_done_when_it_may_act_again() {
    for role_first in [true, false] {
        let mut pair = Pair::in_sync(small());
        pair.input(A, TagInput::Quiesce);
        let early = pair.write(A, "a", 1);
        if role_first {
            pair.nodes[A].replicator.set_fenced(true);
            pair.input(A, TagInput::Resume);
        } else {
            pair.input(A, TagInput::Resume);
            pair.nodes[A].replicator.set_fenced(true);
        }
        let late = pair.write(A, "b", 2);
        pair.wait(100);
        assert_eq!((pair.nodes[A].int("a"), pair.nodes[A].int("b")), (i64::from(!role_first), 0));
        assert_eq!(pair.answer(A, late), None);
        let look_again = pair.nodes[A].replicator.next_deadline().unwrap();
        pair.nodes[A].replicator.set_fenced(false);
        pair.wait(look_again.0 - pair.now);
        pair.settle();
        assert_eq!((pair.replicated(A, early), pair.replicated(A, late)), (Some(true), Some(true)));
        assert_eq!((pair.nodes[B].int("a"), pair.nodes[B].int("b")), (1, 2));
    }
}

#[test]
fn writes_that_waited_are_done_by_the_new_running_node() {
    let mut pair = Pair::in_sync(small());
    pair.input(A, TagInput::Quiesce);
    let here = pair.write(A, "a", 1);
    let there = pair.write(B, "b", 2);
    pair.settle();
    pair.lead(B);
    pair.input(A, TagInput::StandBy);
    let between = pair.write(A, "c", 3);
    assert_eq!(pair.answer(A, between), None);
    pair.follow(A);
    pair.settle();
    // One that was forwarded to the old node is taken back. The others came before the new follower was in sync.
    for (at, ticket) in [(A, here), (B, there), (A, between)] {
        assert!(matches!(pair.answer(at, ticket), Some(WriteOutcome::Done { .. })), "{ticket} at {at}");
    }
    pair.settle();
    pair.assert_in_sync(A);
    assert_eq!((pair.nodes[A].int("a"), pair.nodes[A].int("b"), pair.nodes[A].int("c")), (1, 2, 3));
}

#[test]
fn writes_that_waited_too_long_are_refused_and_never_done_later() {
    let mut pair = Pair::in_sync(small());
    pair.input(A, TagInput::Quiesce);
    let early = pair.write(A, "a", 1);
    let forwarded = pair.write(B, "b", 2);
    pair.settle();
    pair.wait(1);
    let later = pair.write(A, "c", 3);
    pair.wait(SWITCH_TIMEOUT - 2);
    assert!(pair.nodes[A].replicator.next_deadline().unwrap().0 <= pair.now + 1);
    pair.wait(1);
    pair.settle();
    assert_eq!(pair.answer(A, early).cloned(), refused(WriteRefusal::Switching));
    assert_eq!(pair.answer(B, forwarded).cloned(), refused(WriteRefusal::Switching));
    assert_eq!(pair.answer(A, later), None);
    pair.input(A, TagInput::RefuseWaiting);
    assert_eq!(pair.answer(A, later).cloned(), refused(WriteRefusal::Switching));
    pair.input(A, TagInput::Resume);
    pair.settle();
    assert_eq!(["a", "b", "c"].map(|path| pair.nodes[A].int(path)), [0, 0, 0]);
}

#[test]
fn a_write_that_is_late_when_the_switch_ends_is_not_done_although_nobody_ticked() {
    let mut pair = Pair::in_sync(small());
    pair.input(A, TagInput::Quiesce);
    let ticket = pair.write(A, "a", 1);
    pair.now += SWITCH_TIMEOUT;
    pair.input(A, TagInput::Resume);
    assert_eq!(pair.answer(A, ticket).cloned(), refused(WriteRefusal::Switching));
    assert_eq!(pair.nodes[A].int("a"), 0);
}

#[test]
fn a_forwarded_write_is_not_done_after_the_deadline_of_its_sender() {
    let mut pair = Pair::in_sync(small());
    pair.input(A, TagInput::Quiesce);
    pair.write(B, "a", 1);
    let Some(Control::Forward(mut forward)) = pair.nodes[B].control.pop_front() else { panic!("not forwarded") };
    forward.deadline_ms = 100;
    pair.input(A, TagInput::Forward(forward));
    pair.wait(100);
    pair.input(A, TagInput::Resume);
    assert_eq!(pair.nodes[A].int("a"), 0);
}

#[test]
fn writes_of_a_peer_that_went_away_are_forgotten() {
    let mut pair = Pair::in_sync(small());
    pair.input(A, TagInput::Quiesce);
    pair.write(B, "a", 1);
    pair.settle();
    pair.restart(B);
    pair.connect();
    pair.follow(B);
    let fresh = pair.write(B, "b", 2);
    pair.settle();
    pair.input(A, TagInput::Resume);
    pair.settle();
    assert_eq!(pair.nodes[A].int("a"), 0, "its client was told that the outcome is unknown");
    assert_eq!(pair.replicated(B, fresh), Some(true));
    assert_eq!(pair.nodes[A].int("b"), 2);
}

#[test]
fn only_so_many_writes_wait() {
    let mut pair = Pair::in_sync(small());
    pair.input(A, TagInput::Quiesce);
    let tickets: Vec<_> = (0..4_097).map(|value| pair.write(A, "a", value)).collect();
    assert_eq!(pair.answer(A, tickets[4_096]).cloned(), refused(WriteRefusal::Busy));
    assert_eq!(pair.answer(A, tickets[4_095]), None);
}

#[test]
fn only_so_many_writes_are_under_way() {
    let mut pair = Pair::in_sync(small());
    let tickets: Vec<_> = (0..65_537).map(|value| pair.write(A, "a", value)).collect();
    assert_eq!(pair.answer(A, tickets[65_536]).cloned(), refused(WriteRefusal::Busy));
    pair.settle();
    assert_eq!(pair.replicated(A, tickets[65_535]), Some(true));
}
