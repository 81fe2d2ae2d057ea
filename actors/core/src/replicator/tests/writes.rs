//! What a client is answered, and when.

use super::pair::*;
use crate::catalog::TagDef;
use crate::protocol::ItemResult::{BadNodeIdUnknown, BadNotWritable, BadOutOfRange, BadTypeMismatch, Good};
use crate::protocol::{WriteItem, WriteOutcome, WriteRefusal};
use crate::quality::Quality;
use crate::replicator::TagInput;
use crate::types::UnixMillis;
use crate::value::{MAX_STRING_BYTES, Value, ValueType};

fn refused(pair: &Pair, at: usize, ticket: u64) -> &WriteRefusal {
    match pair.answer(at, ticket) {
        Some(WriteOutcome::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn each_item_has_its_own_result_and_numbers_fit_their_tag() {
    let double = TagDef { value_type: ValueType::Float64, ..tag("double") };
    let mut pair = Pair::of([small(), vec![double]].concat(), small());
    pair.lead(A);
    let of = |path: &str, value: Value| WriteItem { value, ..item(path, 0) };
    let ticket = pair.write_items(
        A,
        None,
        vec![
            item("a", 41),
            of("b", Value::Float64(7.0)),
            of("double", Value::Int64(3)),
            item("nowhere", 1),
            item("fed", 1),
            of("c", Value::Float64(1.5)),
            of("c", Value::Bool(true)),
            of("c", Value::Float64(1e300)),
            of("text", Value::String("x".repeat(MAX_STRING_BYTES + 1).into())),
        ],
    );
    let results = vec![
        Good,
        Good,
        Good,
        BadNodeIdUnknown,
        BadNotWritable,
        BadTypeMismatch,
        BadTypeMismatch,
        BadOutOfRange,
        BadOutOfRange,
    ];
    assert_eq!(pair.answer(A, ticket), Some(&WriteOutcome::Done { results, replicated: false }));
    assert_eq!((pair.nodes[A].int("a"), pair.nodes[A].int("b"), pair.nodes[A].int("c")), (41, 7, 0));
    assert_eq!(pair.nodes[A].sample("double").value, Value::Float64(3.0));
    assert_eq!(pair.nodes[A].table.last_seq(), 3, "what was refused is no change");
}

#[test]
fn a_write_keeps_its_quality_and_source_time_or_gets_the_time_of_the_running_node() {
    let mut pair = Pair::in_sync(small());
    let by_hand = WriteItem { quality: Quality::GOOD_LOCAL_OVERRIDE, ..item_at("a", 1, 77) };
    pair.write_items(A, None, vec![by_hand, item("b", 2)]);
    pair.settle();
    for node in &pair.nodes {
        let sample = node.sample("a");
        assert_eq!((sample.quality, sample.time), (Quality::GOOD_LOCAL_OVERRIDE, UnixMillis(77)));
        assert_eq!(node.sample("b").time, UnixMillis(10_000));
    }
}

#[test]
fn an_answer_waits_until_the_peer_applied_it() {
    let mut pair = Pair::in_sync(small());
    let first = pair.write(A, "a", 1);
    let second = pair.write(A, "b", 2);
    pair.deliver_all(A);
    assert_eq!(pair.replicated(A, first), None);
    pair.deliver(B);
    assert_eq!((pair.replicated(A, first), pair.replicated(A, second)), (Some(true), None));
    pair.deliver(B);
    assert_eq!(pair.replicated(A, second), Some(true));
}

#[test]
fn a_peer_that_takes_too_long_is_lagging_until_it_has_caught_up() {
    let mut pair = Pair::in_sync(small());
    let ticket = pair.write(A, "a", 1);
    assert_eq!(pair.nodes[A].replicator.next_deadline().unwrap().0, pair.now + REPLICATION_TIMEOUT);
    pair.wait(REPLICATION_TIMEOUT - 1);
    assert_eq!(pair.replicated(A, ticket), None);
    pair.wait(1);
    assert_eq!(pair.replicated(A, ticket), Some(false));
    assert!(pair.nodes[A].facts().lagging && pair.nodes[A].told.last().unwrap().lagging);
    pair.settle();
    assert!(!pair.nodes[A].facts().lagging && !pair.nodes[A].told.last().unwrap().lagging);
    pair.assert_in_sync(B);
}

#[test]
fn what_is_answered_while_the_end_of_a_sync_is_under_way_is_lag_until_the_peer_has_it() {
    for path in ["a", "r"] {
        let mut pair = Pair::connected(small());
        pair.write(A, "b", 1);
        while !pair.nodes[B].facts().in_sync {
            assert!(pair.deliver(A) || pair.deliver(B));
        }
        let ticket = pair.write(A, path, 2);
        assert_eq!(pair.replicated(A, ticket), Some(false), "this node has not heard yet that the sync is done");
        pair.deliver_all(B);
        assert!(pair.nodes[A].facts().lagging, "not ready for a failover: {path} would be lost");
        pair.settle();
        assert!(!pair.nodes[A].facts().lagging && !pair.nodes[A].told.last().unwrap().lagging);
        pair.assert_in_sync(B);
    }
}

#[test]
fn without_a_peer_in_sync_nobody_waits() {
    let mut pair = Pair::of(small(), small());
    pair.lead(A);
    let alone = pair.write(A, "a", 1);
    assert_eq!(pair.replicated(A, alone), Some(false), "no peer");
    pair.connect();
    pair.follow(B);
    pair.deliver_all(B);
    let in_full_sync = pair.write(A, "a", 2);
    assert_eq!(pair.replicated(A, in_full_sync), Some(false));
    pair.settle();
    let under_way = pair.write(A, "a", 3);
    pair.cut();
    assert_eq!(pair.replicated(A, under_way), Some(false), "the peer went away");
}

#[test]
fn a_write_at_a_node_that_does_not_run_and_knows_no_running_one_is_refused() {
    let mut pair = Pair::of(small(), small());
    let early = pair.write(B, "a", 1);
    assert!(matches!(refused(&pair, B, early), WriteRefusal::NotRunning(_)));
    pair.connect();
    pair.follow_as(B, false);
    let of_donor = pair.write(B, "a", 1);
    assert!(matches!(refused(&pair, B, of_donor), WriteRefusal::NotRunning(_)));
    assert_eq!(pair.nodes[B].int("a"), 0);
}

#[test]
fn values_of_sources_are_taken_only_while_leading() {
    let mut pair = Pair::in_sync(small());
    pair.publish(A, "fed", 1);
    pair.publish(B, "fed", 2);
    pair.settle();
    assert_eq!((pair.nodes[A].int("fed"), pair.nodes[B].int("fed")), (1, 1));
    pair.input(A, TagInput::Quiesce);
    pair.publish(A, "fed", 3);
    assert_eq!(pair.nodes[A].int("fed"), 1);
    assert_eq!(pair.nodes[A].quiesced, Some(pair.nodes[A].table.last_seq()));
    pair.input(A, TagInput::Resume);
    pair.publish(A, "fed", 4);
    assert_eq!(pair.nodes[A].int("fed"), 4);
}

#[test]
fn a_repeated_operation_is_done_once() {
    let mut pair = Pair::in_sync(small());
    let first = pair.write_as(A, "op", vec![item("a", 1), item("nowhere", 1)]);
    pair.settle();
    pair.write(A, "a", 2);
    let again = pair.write_as(A, "op", vec![item("a", 1), item("nowhere", 1)]);
    pair.settle();
    assert_eq!(pair.answer(A, again), pair.answer(A, first));
    assert_eq!(pair.nodes[A].int("a"), 2, "it was not written again");
    let other = pair.write_as(A, "op", vec![item("a", 3)]);
    assert_eq!(refused(&pair, A, other), &WriteRefusal::OperationIdReused);
    let other = pair.write_as(B, "op", vec![item("a", 3)]);
    pair.settle();
    assert_eq!(refused(&pair, B, other), &WriteRefusal::OperationIdReused);
    let at_standby = pair.write_as(B, "op", vec![item("a", 1), item("nowhere", 1)]);
    pair.settle();
    assert_eq!(pair.answer(B, at_standby), pair.answer(A, first));
    pair.wait(10 * 60 * 1_000);
    pair.write_as(A, "op", vec![item("a", 3)]);
    assert_eq!(pair.nodes[A].int("a"), 3, "after ten minutes the id is free");
}

#[test]
fn a_repetition_whose_first_is_not_at_the_peer_yet_waits_as_the_first_does() {
    let mut pair = Pair::in_sync(small());
    pair.write_as(A, "op", vec![item("a", 1)]);
    let again = pair.write_as(A, "op", vec![item("a", 1)]);
    assert_eq!(pair.replicated(A, again), None);
    pair.settle();
    assert_eq!(pair.replicated(A, again), Some(true));
}

#[test]
fn the_follower_knows_the_operations_after_a_failover_and_gives_them_back_to_a_restarted_node() {
    let mut pair = Pair::of(small(), small());
    pair.lead(A);
    pair.write_as(A, "before", vec![item("a", 1)]);
    pair.connect();
    pair.follow(B);
    pair.settle();
    pair.write_as(A, "live", vec![item("b", 1), item("fed", 1)]);
    pair.settle();
    pair.cut();
    pair.lead(B);
    pair.write(B, "a", 8);
    pair.write(B, "b", 8);
    let repeat = |pair: &mut Pair, at| {
        let one = pair.write_as(at, "before", vec![item("a", 1)]);
        let two = pair.write_as(at, "live", vec![item("b", 1), item("fed", 1)]);
        pair.settle();
        for (ticket, expected) in [(one, vec![Good]), (two, vec![Good, BadNotWritable])] {
            let Some(WriteOutcome::Done { results, .. }) = pair.answer(at, ticket) else { panic!("not done") };
            assert_eq!(results, &expected);
        }
        assert_eq!((pair.nodes[at].int("a"), pair.nodes[at].int("b")), (8, 8), "nothing was written again");
        let other = pair.write_as(at, "before", vec![item("c", 1)]);
        assert_eq!(refused(pair, at, other), &WriteRefusal::OperationIdReused);
    };
    repeat(&mut pair, B);

    pair.restart(A);
    pair.connect();
    pair.follow(A);
    pair.settle();
    pair.assert_in_sync(A);
    pair.cut();
    pair.lead(A);
    repeat(&mut pair, A);
}
