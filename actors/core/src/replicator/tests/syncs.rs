//! First sync, catch-up, live changes, and the proof that both hold the same.

use super::pair::*;
use crate::bulk::Bulk;
use crate::catalog::TagDef;
use crate::types::{Millis, SyncPhase};
use crate::value::ValueType;

fn updates_under_way(pair: &Pair, from: usize) -> u32 {
    pair.nodes[from].batches_under_way().iter().map(|batch| batch.updates).sum()
}

#[test]
fn a_new_follower_is_given_everything_and_is_in_sync_once_both_are_proven_equal() {
    let mut pair = Pair::of(small(), small());
    pair.lead(A);
    pair.write(A, "a", 41);
    pair.write(A, "r", 7);
    pair.connect();
    pair.follow(B);
    assert_eq!(pair.nodes[B].facts().phase, SyncPhase::None);
    pair.deliver_all(B);
    assert_eq!(updates_under_way(&pair, A) as usize, small().len(), "tags that nobody wrote too");
    assert!(pair.deliver(A), "the start");
    assert_eq!(pair.nodes[B].facts().phase, SyncPhase::Full);
    assert!(pair.deliver(A), "the batch");
    assert!(!pair.nodes[B].facts().in_sync, "not before the tables were compared");
    pair.settle();
    pair.assert_in_sync(B);
    assert_eq!((pair.nodes[B].int("a"), pair.nodes[B].int("r")), (41, 7));
    assert!(pair.nodes[B].told.last().unwrap().in_sync, "the arbiter was told");
    assert_eq!(pair.nodes[B].lineage, pair.nodes[A].lineage);
}

#[test]
fn changes_flow_at_once() {
    let mut pair = Pair::in_sync(small());
    for value in 1..=5 {
        pair.write(A, "a", value);
        assert_eq!(updates_under_way(&pair, A), 1);
        pair.settle();
        assert_eq!(pair.nodes[B].int("a"), value);
        pair.assert_in_sync(B);
    }
}

#[test]
fn after_a_short_loss_only_what_changed_travels() {
    let mut pair = Pair::in_sync(many(100));
    pair.write(A, "t3", 1);
    pair.settle();
    pair.cut();
    assert_eq!(pair.nodes[B].facts().phase, SyncPhase::None);
    for value in 2..=9 {
        pair.write(A, "t5", value);
    }
    pair.write(A, "t90", 1);
    pair.connect();
    pair.follow(B);
    pair.deliver_all(B);
    assert_eq!(updates_under_way(&pair, A), 2);
    pair.deliver(A);
    assert_eq!(pair.nodes[B].facts().phase, SyncPhase::Incremental);
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn what_was_under_way_when_the_lane_broke_comes_again() {
    let mut pair = Pair::in_sync(many(20));
    for index in 0..20 {
        pair.write(A, &format!("t{index}"), 1);
        if index % 3 == 0 {
            pair.deliver(A);
        }
    }
    pair.lose_lane();
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn a_full_sync_while_writes_go_on_ends_equal() {
    let mut pair = Pair::connected(many(30_000));
    let mut value = 0;
    while !pair.nodes[B].facts().in_sync {
        value += 1;
        pair.write(A, &format!("t{}", value * 7_919 % 30_000), value);
        pair.deliver(A);
        if value % 2 == 0 {
            pair.deliver(B);
        }
        assert!(value < 1_000, "it does not end");
    }
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn a_sync_cut_in_the_middle_goes_on_where_it_was_and_promises_nothing_before() {
    let mut pair = Pair::of(many(30_000), many(30_000));
    pair.lead(A);
    pair.write(A, "t7", 7);
    pair.connect();
    pair.follow(B);
    pair.deliver_all(B);
    pair.deliver(A);
    pair.deliver(A);
    assert_eq!(pair.nodes[B].facts().applied, 0, "tags are missing");
    let got = pair.nodes[B].replicator.view(&pair.nodes[B].table, Millis(pair.now)).updates_total;
    assert!(got > 0);
    pair.lose_lane();
    assert_eq!(pair.nodes[B].facts().applied, 0);
    pair.write(A, "t7", 8);
    pair.write(A, "t29999", 9);
    pair.settle();
    pair.assert_in_sync(B);
    let total = pair.nodes[B].replicator.view(&pair.nodes[B].table, Millis(pair.now)).updates_total;
    assert_eq!(total, 30_000 + 1, "each tag once, and what changed after it was sent");
}

/// As it was with a link that breaks every few seconds: the sync never came to its end.
#[test]
fn a_sync_that_is_cut_after_each_batch_comes_to_its_end_while_everything_changes() {
    for of_b in [many(60), many(60).into_iter().rev().chain([tag("only/b")]).collect()] {
        let mut pair = Pair::of(many(60), of_b);
        pair.batches_of(4);
        pair.lead(A);
        for index in 0..60 {
            pair.write(A, &format!("t{index}"), 1);
        }
        pair.connect();
        pair.follow(B);
        let mut cuts = 0;
        while !pair.nodes[B].facts().in_sync {
            cuts += 1;
            assert!(cuts < 40, "{:?}", pair.nodes[B].facts());
            for index in 0..20 {
                pair.write(A, &format!("t{}", (index * 3 + cuts) % 60), 100 + i64::from(cuts));
            }
            pair.deliver_all(B);
            while pair.nodes[A].batches_under_way().is_empty() && pair.deliver(A) {
                pair.deliver_all(B);
            }
            // One batch arrives, or a few at the end, when little is left.
            let room = if cuts > 15 { 20 } else { 1 };
            for _ in 0..room {
                pair.deliver(A);
                pair.deliver_all(B);
            }
            if pair.nodes[B].facts().in_sync {
                break;
            }
            pair.lose_lane();
        }
        assert!(cuts > 15);
        pair.settle();
        assert!(pair.nodes[B].facts().in_sync);
        for index in 0..60 {
            let path = format!("t{index}");
            assert_eq!(pair.nodes[B].int(&path), pair.nodes[A].int(&path), "{path}");
        }
    }
}

#[test]
fn another_tenure_begins_the_sync_anew() {
    let mut pair = Pair::of(many(60), many(60));
    pair.batches_of(4);
    pair.lead(A);
    pair.write(A, "t1", 1);
    pair.connect();
    pair.follow(B);
    pair.deliver_all(B);
    pair.deliver(A);
    pair.deliver(A);
    pair.cut();
    pair.restart(A);
    pair.lead(A);
    pair.connect();
    pair.follow(B);
    let says = |message: &Bulk| matches!(message, Bulk::SyncRequest { from: 0, partial: None, .. });
    assert!(pair.nodes[B].messages_under_way().iter().any(says));
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn tables_that_differ_are_synced_anew_and_never_shown_as_in_sync() {
    let mut pair = Pair::in_sync(small());
    pair.write(A, "a", 41);
    pair.settle();
    pair.lose_lane();
    pair.nodes[B].tamper("a", 42);
    for _ in 0..100 {
        assert!(!pair.nodes[B].facts().in_sync || pair.nodes[B].int("a") == 41);
        let moved = pair.deliver(B) || pair.deliver(A);
        if !moved {
            break;
        }
    }
    assert!(!pair.nodes[B].facts().in_sync);
    pair.wait(5_000);
    let full = |message: &Bulk| matches!(message, Bulk::SyncRequest { from: 0, .. });
    assert!(pair.nodes[B].messages_under_way().iter().any(full));
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn tables_in_sync_are_compared_now_and_then() {
    let mut pair = Pair::in_sync(small());
    pair.nodes[B].tamper("c", 9);
    pair.wait_and_settle(VERIFY_EVERY - 1);
    assert!(pair.nodes[B].facts().in_sync, "nobody can know yet");
    assert!(pair.nodes[A].replicator.next_deadline().unwrap() <= Millis(pair.now + 1));
    pair.wait_and_settle(1);
    assert!(!pair.nodes[B].facts().in_sync);
    let written = pair.write(A, "a", 1);
    assert_eq!(pair.replicated(A, written), Some(false), "not in sync");
    pair.wait_and_settle(5_000);
    pair.assert_in_sync(B);
    assert_eq!(pair.nodes[B].int("c"), 0);
}

/// It also gets a new link: seed 29 of the simulation, with a bulk connection that carries nothing any more, not even that
/// it was closed, was never in sync again.
#[test]
fn a_follower_that_confirms_nothing_is_late_and_then_gets_a_new_connection() {
    let mut pair = Pair::in_sync(many(20));
    pair.write(A, "t1", 1);
    pair.wait(499);
    assert!(!pair.nodes[A].facts().lagging);
    pair.wait(1);
    assert!(pair.nodes[A].facts().lagging, "not ready for a failover, though nobody waits for an answer");
    pair.wait(9_000);
    assert!(!pair.nodes[A].closed_lane);
    pair.wait(500);
    assert!(pair.nodes[A].closed_lane && pair.nodes[A].stuck_lane);
    pair.lose_lane();
    pair.settle();
    pair.assert_in_sync(B);
    assert!(!pair.nodes[A].facts().lagging);
}

/// Seeds 85 and 97 of the simulation: nobody wrote, and the alarms were never in sync again.
#[test]
fn a_bulk_connection_that_carries_nothing_is_noticed_by_both_though_nobody_writes() {
    let mut pair = Pair::in_sync(small());
    for _ in 0..60 {
        pair.wait_and_settle(1000);
        assert!(!pair.nodes[A].stuck_lane && !pair.nodes[B].stuck_lane);
    }
    for _ in 0..9 {
        pair.wait(1000);
        assert!(!pair.nodes[A].stuck_lane && !pair.nodes[B].stuck_lane);
    }
    pair.wait(1500);
    assert!(pair.nodes[A].stuck_lane && pair.nodes[B].stuck_lane);
}

#[test]
fn what_arrives_for_the_alarms_is_a_sign_of_life_too() {
    let mut pair = Pair::in_sync(small());
    for _ in 0..60 {
        pair.wait(1000);
        for at in [A, B] {
            pair.nodes[at].replicator.hear_lane(Millis(pair.now));
        }
    }
    assert!(!pair.nodes[A].stuck_lane && !pair.nodes[B].stuck_lane);
}

#[test]
fn a_comparison_that_is_due_wakes_nobody_while_the_follower_is_slow() {
    let mut pair = Pair::in_sync(many(20));
    for index in 0..20 {
        pair.write(A, &format!("t{index}"), 1);
    }
    pair.wait(VERIFY_EVERY);
    pair.wait(1);
    assert!(pair.nodes[A].replicator.next_deadline().is_none_or(|due| due > Millis(pair.now)));
    pair.lose_lane();
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn nodes_whose_tag_lists_differ_keep_equal_what_both_have() {
    let as_text = |path| TagDef { value_type: ValueType::String, ..tag(path) };
    let of_a = vec![tag("only/a"), tag("x"), tag("y"), as_text("other/type"), retained("r")];
    let of_b = vec![retained("r"), tag("other/type"), tag("y"), tag("only/b"), tag("x")];
    let mut pair = Pair::of(of_a, of_b);
    pair.lead(A);
    pair.write(A, "y", 2);
    pair.connect();
    pair.follow(B);
    pair.deliver_all(B);
    let Some(Bulk::SyncStart { paths_follow: true, .. }) = pair.nodes[A].messages_under_way().first().cloned() else {
        panic!("paths go first");
    };
    assert_eq!(pair.nodes[A].batches_under_way(), []);
    pair.deliver_all(A);
    let says = |message: &Bulk| matches!(message, Bulk::Unmatched { ids, more: false, .. } if *ids == [0, 3]);
    assert!(pair.nodes[B].messages_under_way().iter().any(says), "the follower says what it does not have");
    pair.settle();
    assert!(pair.nodes[B].facts().in_sync);

    let both = pair.write(A, "x", 1);
    let alone = pair.write(A, "only/a", 9);
    pair.settle();
    assert_eq!((pair.replicated(A, both), pair.replicated(A, alone)), (Some(true), Some(false)));
    assert_eq!((pair.nodes[B].int("x"), pair.nodes[B].int("y"), pair.nodes[B].int("other/type")), (1, 2, 0));
    let facts = pair.nodes[B].facts();
    assert_eq!(facts.applied, pair.nodes[A].table.last_seq(), "also past changes of tags that it does not have");

    pair.switch(A);
    let back = pair.write(B, "x", 5);
    pair.settle();
    assert_eq!((pair.replicated(B, back), pair.nodes[A].int("x")), (Some(true), 5));
}

#[test]
fn long_tag_lists_go_in_parts() {
    let of_b: Vec<_> = many(70_000).into_iter().skip(69_000).collect();
    let mut pair = Pair::of(many(70_000), of_b);
    pair.lead(A);
    pair.write(A, "t69500", 5);
    pair.connect();
    pair.follow(B);
    pair.settle();
    assert!(pair.nodes[B].facts().in_sync);
    assert_eq!(pair.nodes[B].int("t69500"), 5);
}

#[test]
fn a_leader_in_another_epoch_refuses_and_is_asked_again() {
    let mut pair = Pair::in_sync(small());
    pair.lead(A);
    pair.lose_lane();
    pair.deliver_all(B);
    assert!(matches!(pair.nodes[A].messages_under_way()[..], [Bulk::SyncRefused { .. }]));
    pair.deliver_all(A);
    assert!(!pair.nodes[B].facts().in_sync);
    pair.wait(50);
    assert!(matches!(pair.nodes[B].messages_under_way()[..], [Bulk::SyncRequest { .. }]));
    pair.follow(B);
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn the_arbiter_hears_at_once_when_an_awaited_change_is_applied() {
    let mut pair = Pair::in_sync(small());
    pair.write(A, "a", 1);
    pair.write(A, "b", 2);
    pair.nodes[B].told.clear();
    let last = pair.nodes[A].table.last_seq();
    pair.input(B, crate::replicator::TagInput::AwaitApplied(last));
    pair.deliver(A);
    assert!(pair.nodes[B].told.is_empty());
    pair.deliver(A);
    assert_eq!(pair.nodes[B].told.iter().map(|facts| facts.applied).collect::<Vec<_>>(), [last]);
    pair.input(B, crate::replicator::TagInput::AwaitApplied(last));
    assert_eq!(pair.nodes[B].told.len(), 2, "it is applied already");
}

/// B does not have `a` and `r`, and has `c` with another type.
fn different_lists() -> Pair {
    let other = TagDef { value_type: ValueType::Float64, ..tag("c") };
    let of_b = small().into_iter().filter(|tag| !matches!(&*tag.path, "a" | "r" | "c")).chain([other]).collect();
    let mut pair = Pair::of(small(), of_b);
    pair.lead(A);
    pair.connect();
    pair.follow(B);
    pair.settle();
    assert!(pair.nodes[B].facts().in_sync);
    pair
}

#[test]
fn what_the_follower_has_no_tag_for_is_not_replicated_and_no_lag() {
    let mut pair = different_lists();
    pair.fast_disks = false;
    let under_way = pair.write(A, "b", 1);
    let missing = pair.write(A, "a", 1);
    let of_other_type = pair.write(A, "c", 1);
    let mixed = pair.write_items(A, None, vec![item("b", 2), item("a", 2)]);
    for ticket in [missing, of_other_type, mixed] {
        assert_eq!(pair.replicated(A, ticket), Some(false), "at once");
    }
    assert_eq!(pair.replicated(A, under_way), None);
    let kept_by_both = pair.write(A, "s", 1);
    let kept_here = pair.write(A, "r", 1);
    assert_eq!(pair.replicated(A, kept_here), None, "its own disk has to have it");
    pair.disk_answers(A);
    assert_eq!((pair.replicated(A, kept_by_both), pair.replicated(A, kept_here)), (None, Some(false)));
    pair.settle();
    pair.disk_answers(B);
    pair.settle();
    assert_eq!((pair.replicated(A, under_way), pair.replicated(A, kept_by_both)), (Some(true), Some(true)));
    let refused_there = pair.write_items(A, None, vec![item("b", 3), item("nowhere", 3)]);
    let forwarded = pair.write(B, "a", 4);
    pair.settle();
    assert_eq!(pair.replicated(A, refused_there), Some(true), "an item that was not written does not count");
    assert_eq!((pair.nodes[A].int("a"), pair.replicated(B, forwarded)), (4, Some(false)));
    for _ in 0..2 {
        let operation = pair.write_as(A, "op", vec![item("a", 5)]);
        pair.settle();
        assert_eq!(pair.replicated(A, operation), Some(false), "its repetition too");
    }
    assert!(pair.nodes[A].told.iter().all(|facts| !facts.lagging));
}

#[test]
fn a_write_that_waits_for_a_slow_disk_is_not_replicated_to_a_follower_without_its_tag() {
    let of_b = small().into_iter().filter(|tag| &*tag.path != "r").collect();
    let mut pair = Pair::of(small(), of_b);
    pair.fast_disks = false;
    pair.lead(A);
    let ticket = pair.write(A, "r", 1);
    pair.connect();
    pair.follow(B);
    for _ in 0..4 {
        pair.settle();
        pair.disk_answers(B);
    }
    assert!(pair.nodes[B].facts().in_sync);
    assert_eq!(pair.replicated(A, ticket), None);
    pair.disk_answers(A);
    assert_eq!(pair.replicated(A, ticket), Some(false));
}
