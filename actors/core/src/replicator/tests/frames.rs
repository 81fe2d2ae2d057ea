//! Frames that are old, broken or hostile.

use super::pair::*;
use crate::bulk::{BatchWriter, Bulk};
use crate::operations::Record;
use crate::quality::Quality;
use crate::replicator::TagInput;
use crate::types::UnixMillis;
use crate::value::{Sample, Value, ValueType};
use crate::wire::HEADER_BYTES;

/// A batch of one change.
fn batch(sync: u64, seq: u64, watermark: u64, last: u64) -> Vec<u8> {
    let mut writer = BatchWriter::new();
    writer.start(sync);
    let sample = Sample { value: Value::Int64(666), quality: Quality::GOOD, time: UnixMillis(0) };
    writer.update(0, seq, &sample).unwrap();
    writer.finish(watermark, last).unwrap()[HEADER_BYTES..].to_vec()
}

fn sync_of(pair: &mut Pair) -> u64 {
    pair.write(A, "a", 1);
    let sync = pair.nodes[A].batches_under_way()[0].sync;
    pair.settle();
    sync
}

#[test]
fn frames_of_an_old_sync_are_ignored() {
    let mut pair = Pair::in_sync(small());
    let old = sync_of(&mut pair);
    pair.lose_lane();
    pair.input(B, TagInput::Frame(&batch(old, 90, 90, 90)));
    pair.forge(B, &Bulk::Digest { sync: old, at: 1, digest: 1, tags: 1 });
    pair.forge(B, &Bulk::DivergentTaken { sync: old, count: 1 });
    pair.forge(B, &Bulk::SyncRefused { sync: old, reason: String::new() });
    pair.settle();
    assert!(!pair.nodes[B].closed_lane);
    pair.forge(A, &Bulk::DigestResult { sync: old, equal: false });
    pair.forge(A, &Bulk::Unmatched { sync: old, ids: vec![0], more: false });
    let changes = vec![("a".into(), pair.nodes[A].sample("b"))];
    pair.forge(A, &Bulk::Divergent { sync: old, fork: 0, items: changes, operations: Vec::new(), more: false });
    pair.settle();
    assert_eq!(pair.nodes[A].int("a"), 1);
    pair.assert_in_sync(B);
}

#[test]
fn frames_that_nobody_asked_for_change_nothing() {
    let mut pair = Pair::in_sync(small());
    let sync = sync_of(&mut pair);
    pair.input(A, TagInput::Frame(&batch(sync, 90, 90, 90)));
    let lineage = pair.nodes[B].lineage.clone();
    pair.forge(
        A,
        &Bulk::SyncStart {
            sync,
            lineage,
            from: 0,
            last: 90,
            count: 1,
            stale_before: 90,
            paths_follow: false,
            resumed: false,
        },
    );
    pair.forge(A, &Bulk::Paths { sync, first: 0, paths: Vec::new(), more: false });
    assert_eq!((pair.nodes[A].int("a"), pair.nodes[A].table.last_seq()), (1, 1));
    pair.settle();
    pair.assert_in_sync(B);
}

#[test]
fn garbage_closes_the_lane() {
    let whole = batch(1, 1, 1, 1);
    for garbage in [&[][..], &[0xC1], b"GET / HTTP/1.1", &whole[..whole.len() - 3], &[whole.as_slice(), &[0]].concat()]
    {
        let mut pair = Pair::in_sync(small());
        let before = pair.nodes[B].facts().applied;
        pair.input(B, TagInput::Frame(garbage));
        assert!(pair.nodes[B].closed_lane, "{garbage:02x?}");
        assert_eq!(pair.nodes[B].facts().applied, before);
    }
}

#[test]
fn impossible_change_numbers_close_the_lane_and_are_not_believed() {
    for (seq, watermark, last) in [(9, 9, 8), (9, 8, 8), (u64::MAX, 1, 1), (u64::MAX, u64::MAX, u64::MAX)] {
        let mut pair = Pair::in_sync(small());
        let sync = sync_of(&mut pair);
        pair.input(B, TagInput::Frame(&batch(sync, seq, watermark, last)));
        assert!(pair.nodes[B].closed_lane, "{seq} {watermark} {last}");
        assert_eq!(pair.nodes[B].facts().applied, 1);
        pair.lead(B);
        pair.write(B, "a", 2);
    }
}

#[test]
fn a_message_of_a_later_version_is_skipped() {
    let mut pair = Pair::in_sync(small());
    let body = [&[0xA7][..], b"Weather"].concat();
    pair.input(B, TagInput::Frame(&body));
    assert!(!pair.nodes[B].closed_lane);
}

#[test]
fn paths_with_a_gap_are_asked_for_again() {
    let mut pair = Pair::of(many(2_000), many(1_000));
    pair.lead(A);
    pair.connect();
    pair.follow(B);
    pair.deliver_all(B);
    assert!(matches!(pair.nodes[A].messages_under_way()[1], Bulk::Paths { .. }));
    pair.nodes[A].lane.remove(1);
    pair.settle();
    assert!(!pair.nodes[B].facts().in_sync);
    pair.wait_and_settle(5_000);
    assert!(pair.nodes[B].facts().in_sync);
}

/// What a list of paths takes in memory has an end, also when the list has none.
#[test]
fn a_leader_that_never_ends_naming_its_tags_is_cut_off() {
    let mut pair = Pair::of(small(), vec![tag("b"), tag("a")]);
    pair.lead(A);
    pair.connect();
    pair.follow(B);
    pair.deliver_all(B);
    let started = pair.nodes[A].messages_under_way().into_iter().find_map(|message| match message {
        Bulk::SyncStart { sync, .. } => Some(sync),
        _ => None,
    });
    let sync = started.unwrap();
    assert!(pair.deliver(A));
    for first in (0..300_000_u32).step_by(500) {
        let paths = (0..500).map(|place| (format!("t{}", first + place).into(), ValueType::Bool)).collect();
        pair.forge(B, &Bulk::Paths { sync, first, paths, more: true });
    }
    assert!(pair.nodes[B].closed_lane);
}

/// Its follower would one day, as a leader, try for ever to send it on.
#[test]
fn a_record_of_changes_that_are_still_to_come_is_refused() {
    let mut pair = Pair::in_sync(small());
    let sync = sync_of(&mut pair);
    let mut writer = BatchWriter::new();
    writer.start(sync);
    let record = Record { id: "op".into(), request_hash: 1, seq: 90, results: Vec::new() };
    writer.operation(&record, 0).unwrap();
    pair.input(B, TagInput::Frame(&writer.finish(1, 1).unwrap()[HEADER_BYTES..]));
    assert!(pair.nodes[B].closed_lane);
    pair.cut();
    pair.input(A, TagInput::StandBy);
    pair.lead(B);
    pair.connect();
    pair.follow(A);
    pair.settle();
    pair.assert_in_sync(A);
}
