//! Tags that have to be on disk, and a disk that fails.

use super::pair::*;
use crate::protocol::{WriteOutcome, WriteRefusal};

fn slow_disks() -> Pair {
    let mut pair = Pair::in_sync(small());
    pair.fast_disks = false;
    pair
}

fn refused_by_disk(pair: &Pair, ticket: u64) -> bool {
    matches!(pair.answer(A, ticket), Some(WriteOutcome::Refused(WriteRefusal::Disk(reason))) if reason.contains("no space"))
}

#[test]
fn a_retained_tag_is_on_both_disks_before_the_answer() {
    let mut pair = slow_disks();
    let retained = pair.write(A, "r", 1);
    let plain = pair.write(A, "a", 1);
    pair.settle();
    assert_eq!((pair.replicated(A, plain), pair.replicated(A, retained)), (Some(true), None));
    pair.disk_answers(B);
    pair.settle();
    assert_eq!(pair.replicated(A, retained), None, "not on this node's disk");
    let second = pair.write(A, "s", 1);
    pair.settle();
    pair.disk_answers(A);
    assert_eq!((pair.replicated(A, retained), pair.replicated(A, second)), (Some(true), None), "not on the peer's");
    pair.disk_answers(B);
    pair.settle();
    assert_eq!(pair.replicated(A, second), Some(true));
    for node in &pair.nodes {
        assert_eq!(node.disk.len(), 2);
    }
}

#[test]
fn without_a_peer_this_nodes_disk_is_waited_for_all_the_same() {
    let mut pair = Pair::of(small(), small());
    pair.lead(A);
    pair.fast_disks = false;
    let ticket = pair.write(A, "r", 1);
    pair.wait(10 * REPLICATION_TIMEOUT);
    assert_eq!(pair.answer(A, ticket), None);
    pair.disk_answers(A);
    assert_eq!(pair.replicated(A, ticket), Some(false));
}

#[test]
fn durable_is_never_ahead_of_the_disk() {
    let mut pair = slow_disks();
    for value in 1..=3 {
        pair.write(A, "r", value);
    }
    pair.settle();
    for at in [A, B] {
        for durable in 0..3 {
            let facts = pair.nodes[at].facts();
            assert_eq!((facts.applied, facts.durable), (3, durable));
            pair.disk_answers_once(at);
        }
        assert_eq!(pair.nodes[at].facts().durable, 3);
        pair.settle();
    }
    pair.write(A, "a", 1);
    pair.settle();
    assert_eq!(pair.nodes[B].facts().durable, 4, "a tag that is not retained needs no disk");
}

#[test]
fn a_peer_whose_disk_is_slow_lags_until_its_disk_has_caught_up() {
    let mut pair = slow_disks();
    let ticket = pair.write(A, "r", 1);
    pair.disk_answers(A);
    pair.settle();
    pair.wait(REPLICATION_TIMEOUT);
    assert_eq!(pair.replicated(A, ticket), Some(false));
    assert!(pair.nodes[A].facts().lagging);
    pair.disk_answers(B);
    pair.settle();
    assert!(!pair.nodes[A].facts().lagging);
}

#[test]
fn while_the_disk_fails_retained_writes_are_refused_and_others_go_on() {
    let mut pair = slow_disks();
    let retained = pair.write(A, "r", 1);
    pair.disk_fails(A);
    assert!(refused_by_disk(&pair, retained));
    let plain = pair.write(A, "a", 1);
    pair.settle();
    assert_eq!(pair.replicated(A, plain), Some(true));
    assert!(pair.nodes[A].facts().durable < pair.nodes[A].facts().applied);
    let value = pair.nodes[A].int("s");
    let second = pair.write(A, "s", 2);
    assert!(refused_by_disk(&pair, second), "at once: nothing is written that cannot be stored");
    assert_eq!(pair.nodes[A].int("s"), value);

    pair.wait(999);
    assert_eq!(pair.nodes[A].disk_queue.len(), 0);
    pair.wait(1);
    assert_eq!(pair.nodes[A].disk_queue.len(), 1, "it is tried again");
    pair.wait(10_000);
    assert_eq!(pair.nodes[A].disk_queue.len(), 1, "one at a time");
    pair.fast_disks = true;
    pair.disk_answers(A);
    pair.disk_answers(B);
    pair.settle();
    assert_eq!(pair.nodes[A].facts().durable, pair.nodes[A].facts().applied);
    let works_again = pair.write(A, "r", 3);
    pair.settle();
    assert_eq!(pair.replicated(A, works_again), Some(true));
}

#[test]
fn a_write_that_is_on_disk_already_is_not_refused_when_a_later_one_fails() {
    let mut pair = slow_disks();
    let first = pair.write(A, "r", 1);
    let second = pair.write(A, "s", 2);
    pair.disk_answers_once(A);
    pair.disk_fails(A);
    assert!(refused_by_disk(&pair, second));
    assert_eq!(pair.answer(A, first), None, "it waits for the peer");
    pair.settle();
    pair.disk_answers(B);
    pair.settle();
    assert_eq!(pair.replicated(A, first), Some(true));
}

#[test]
fn repeating_an_operation_that_the_disk_refused_waits_for_the_disk() {
    let mut pair = slow_disks();
    let first = pair.write_as(A, "op", vec![item("r", 1)]);
    pair.disk_fails(A);
    assert!(refused_by_disk(&pair, first));
    let again = pair.write_as(A, "op", vec![item("r", 1)]);
    pair.settle();
    pair.disk_answers(B);
    pair.settle();
    assert_eq!(pair.answer(A, again), None);
    pair.wait(1_000);
    pair.disk_answers(A);
    assert!(pair.replicated(A, again).is_some());
}

#[test]
fn a_follower_whose_disk_fails_confirms_what_is_in_its_table_only() {
    let mut pair = slow_disks();
    let retained = pair.write(A, "r", 1);
    let plain = pair.write(A, "a", 1);
    pair.disk_answers(A);
    pair.deliver_all(A);
    pair.disk_fails(B);
    pair.settle();
    assert_eq!((pair.replicated(A, plain), pair.replicated(A, retained)), (Some(true), None));
    pair.wait(1_000);
    pair.disk_answers(B);
    pair.settle();
    assert_eq!(pair.replicated(A, retained), Some(false), "its time was over");
    let next = pair.write(A, "r", 2);
    pair.disk_answers(A);
    pair.settle();
    pair.disk_answers(B);
    pair.settle();
    assert_eq!(pair.replicated(A, next), Some(true));
}

/// What A stored of its own tenure says nothing about B's, whose change numbers are the same.
#[test]
fn a_store_of_the_old_lineage_that_ends_late_does_not_count_for_the_new_one() {
    let mut pair = slow_disks();
    pair.cut();
    for value in 1..=20 {
        pair.write(A, "r", value);
    }
    pair.lead(B);
    pair.write(B, "a", 1);
    pair.input(A, crate::replicator::TagInput::StandBy);
    pair.connect();
    pair.follow(A);
    pair.settle();
    for _ in 0..20 {
        assert!(pair.disk_answers_once(A));
        pair.settle();
        assert_eq!(pair.nodes[A].facts().durable, 0, "fork point");
    }
    pair.disk_answers(B);
    let ticket = pair.write(B, "s", 5);
    pair.disk_answers(B);
    pair.settle();
    assert!(!pair.nodes[A].disk.contains_key("s"));
    assert_eq!(pair.answer(B, ticket), None);
    pair.disk_answers(A);
    pair.settle();
    assert_eq!(pair.replicated(B, ticket), Some(true));
}

#[test]
fn after_a_restart_what_was_on_disk_is_known_and_the_rest_is_fetched() {
    let mut pair = Pair::in_sync(small());
    pair.write(A, "r", 1);
    pair.write(A, "a", 1);
    pair.settle();
    pair.restart(B);
    assert_eq!((pair.nodes[B].facts().applied, pair.nodes[B].facts().durable), (0, 1));
    assert_eq!((pair.nodes[B].int("r"), pair.nodes[B].int("a")), (1, 0));
    pair.connect();
    pair.follow(B);
    pair.settle();
    pair.assert_in_sync(B);
    assert_eq!(pair.nodes[A].reports, [], "nothing parted");
}
