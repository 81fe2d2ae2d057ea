//! Switch, takeover, and what readers see of values that nobody has read since.

use super::pair::*;
use crate::quality::Quality;
use crate::replicator::TagInput;
use crate::types::UnixMillis;

#[test]
fn a_switch_and_back_loses_nothing_and_sends_only_what_changed() {
    let mut pair = Pair::in_sync(many(50));
    for round in 0..4 {
        let leader = round % 2;
        pair.write(leader, "t1", round as i64);
        pair.input(leader, TagInput::Quiesce);
        pair.settle();
        pair.lead(1 - leader);
        pair.input(leader, TagInput::StandBy);
        pair.follow(leader);
        pair.write(1 - leader, "t2", round as i64);
        pair.deliver_all(leader);
        let updates: u32 = pair.nodes[1 - leader].batches_under_way().iter().map(|batch| batch.updates).sum();
        assert_eq!(updates, 1);
        pair.settle();
        pair.assert_in_sync(leader);
    }
    assert!(pair.nodes.iter().all(|node| node.reports.is_empty()));
}

#[test]
fn after_a_takeover_values_of_sources_are_last_usable_at_both_nodes_until_read_again() {
    let mut pair = Pair::in_sync(small());
    pair.publish(A, "fed", 1);
    pair.write(A, "a", 1);
    pair.settle();
    assert_eq!(pair.nodes[B].sample("fed").quality, Quality::GOOD);
    pair.cut();
    pair.lead(B);
    let fed = pair.nodes[B].sample("fed");
    assert_eq!((fed.quality, fed.time), (Quality::UNCERTAIN_LAST_USABLE_VALUE, UnixMillis(1_000)));
    assert_eq!(pair.nodes[B].sample("a").quality, Quality::GOOD, "memory tags stay as they are");
    pair.input(A, TagInput::StandBy);
    pair.connect();
    pair.follow(A);
    pair.settle();
    pair.assert_in_sync(A);
    assert_eq!(pair.nodes[A].sample("fed").quality, Quality::UNCERTAIN_LAST_USABLE_VALUE);
    pair.publish(B, "fed", 2);
    pair.settle();
    for node in &pair.nodes {
        assert_eq!(node.sample("fed").quality, Quality::GOOD);
    }
}

#[test]
fn a_value_of_a_source_that_is_united_at_lead_is_last_usable_too() {
    let mut pair = Pair::in_sync(small());
    pair.cut();
    pair.publish(A, "fed", 1);
    pair.input(A, TagInput::StandBy);
    pair.connect();
    pair.follow_as(A, false);
    pair.settle();
    assert_eq!(pair.nodes[A].int("fed"), 0, "the donor's");
    pair.lead(A);
    assert_eq!(pair.nodes[A].int("fed"), 1);
    assert_eq!(pair.nodes[A].sample("fed").quality, Quality::UNCERTAIN_LAST_USABLE_VALUE);
}

#[test]
fn a_takeover_in_the_middle_of_a_batch_numbers_on_above_everything_seen() {
    let mut pair = Pair::in_sync(many(20_000));
    pair.cut();
    for index in 0..20_000 {
        pair.write(A, &format!("t{index}"), 1);
    }
    pair.connect();
    pair.follow(B);
    pair.deliver_all(B);
    pair.deliver(A);
    pair.deliver(A);
    let facts = pair.nodes[B].facts();
    assert!(facts.applied < facts.last, "{facts:?}");
    pair.cut();
    pair.lead(B);
    assert!(pair.nodes[B].lineage.forks().last().unwrap().at <= facts.applied);
    pair.write(B, "t0", 2);
    assert!(pair.nodes[B].table.last_seq() > facts.last);
    pair.input(A, TagInput::StandBy);
    pair.connect();
    pair.follow(A);
    pair.settle();
    pair.wait_and_settle(5_000);
    pair.assert_in_sync(A);
    assert_eq!((pair.nodes[A].int("t0"), pair.nodes[A].int("t19999")), (2, 1), "what B missed came back");
}

#[test]
fn a_node_that_begins_a_further_tenure_feeds_nobody_until_it_is_asked_anew() {
    let mut pair = Pair::in_sync(small());
    let waits = pair.write(A, "a", 1);
    pair.lead(A);
    assert_eq!(pair.replicated(A, waits), Some(false));
    pair.settle();
    let after = pair.write(A, "a", 2);
    assert_eq!(pair.replicated(A, after), Some(false));
    pair.follow(B);
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn a_write_between_standing_by_and_following_is_forwarded() {
    let mut pair = Pair::in_sync(small());
    pair.input(A, TagInput::Quiesce);
    pair.input(A, TagInput::StandBy);
    let ticket = pair.write(A, "a", 7);
    assert_eq!(pair.answer(A, ticket), None);
    pair.lead(B);
    pair.follow(A);
    pair.settle();
    assert!(pair.replicated(A, ticket).is_some());
    assert_eq!(pair.nodes[B].int("a"), 7);
}
