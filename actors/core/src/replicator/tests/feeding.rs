//! What a slow follower costs, and what a follower's word is worth.

use super::pair::*;
use crate::bulk::Bulk;
use crate::types::Millis;

#[test]
fn a_follower_that_confirms_nothing_is_sent_no_more_than_its_credit() {
    let mut pair = Pair::in_sync(many(200_000));
    for round in 1..=3 {
        for index in 0..1_000 {
            pair.write(A, &format!("t{index}"), round);
        }
        assert_eq!(pair.nodes[A].batches_under_way().len(), 8);
    }
    pair.wait(10);
    let view = pair.nodes[A].replicator.view(&pair.nodes[A].table, Millis(pair.now));
    assert_eq!((view.lag_updates, view.lag_ms), (3_000, 10));
    // Of a tag that changed thrice only the newest value travels.
    pair.deliver_all(A);
    pair.deliver_all(B);
    let updates: u32 = pair.nodes[A].batches_under_way().iter().map(|batch| batch.updates).sum();
    assert_eq!(updates, 1_000);
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn a_full_sync_stays_inside_the_credit() {
    let mut pair = Pair::connected(many(200_000));
    pair.deliver_all(B);
    let batches = pair.nodes[A].batches_under_way();
    assert_eq!(batches.len(), 8);
    assert!(pair.nodes[A].lane.iter().all(|frame| frame.len() < 256 * 1024));
    let mut most = 0;
    while pair.deliver(A) {
        pair.deliver_all(B);
        most = most.max(pair.nodes[A].batches_under_way().len());
    }
    assert_eq!(most, 8);
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn a_batch_ends_at_its_budget_of_bytes() {
    let text = |index: usize| crate::catalog::TagDef {
        value_type: crate::value::ValueType::String,
        ..tag(&format!("t{index}"))
    };
    let mut pair = Pair::of((0..100).map(text).collect(), (0..100).map(text).collect());
    pair.lead(A);
    let long = |path: String| crate::protocol::WriteItem {
        value: crate::value::Value::String("x".repeat(16 * 1024).into()),
        ..item(&path, 0)
    };
    pair.write_items(A, None, (0..100).map(|index| long(format!("t{index}"))).collect());
    pair.connect();
    pair.follow(B);
    pair.deliver_all(B);
    assert!(pair.nodes[A].lane.iter().all(|frame| frame.len() < 160 * 1024));
    assert!(pair.nodes[A].batches_under_way().len() > 1);
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn a_confirmation_of_what_was_not_sent_counts_for_nothing() {
    let mut pair = Pair::in_sync(many(40));
    let Bulk::Ack { sync, .. } = last_ack(&mut pair) else { unreachable!() };
    let written = pair.write(A, "t1", 1);
    for index in 0..40 {
        pair.write(A, &format!("t{index}"), 2);
    }
    let unsent = pair.write(A, "t39", 3);
    pair.forge(A, &Bulk::Ack { sync: sync + 1, frames: u64::MAX, applied: u64::MAX, durable: u64::MAX });
    assert_eq!(pair.replicated(A, written), None, "another sync");
    let sent = pair.nodes[A].batches_under_way().last().unwrap().watermark;
    pair.forge(A, &Bulk::Ack { sync, frames: 0, applied: u64::MAX, durable: u64::MAX });
    assert_eq!(pair.replicated(A, unsent), None, "sent up to {sent} only");
    pair.forge(A, &Bulk::Ack { sync, frames: u64::MAX, applied: 0, durable: 0 });
    pair.forge(A, &Bulk::Ack { sync, frames: 0, applied: 0, durable: 0 });
    assert!(pair.nodes[A].batches_under_way().len() <= 16, "it cannot confirm frames that were not sent");
    pair.settle();
    pair.assert_in_sync(B);
}

/// The follower's confirmation of a change that is made for it.
fn last_ack(pair: &mut Pair) -> Bulk {
    pair.write(A, "t0", 1);
    pair.deliver_all(A);
    let ack = pair.nodes[B].messages_under_way().pop().unwrap();
    assert!(matches!(ack, Bulk::Ack { .. }));
    pair.settle();
    ack
}
