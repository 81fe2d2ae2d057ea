use proptest::prelude::*;

use super::*;
use crate::quality::Quality;
use crate::types::UnixMillis;

const NOW: Millis = Millis(5_000);

fn record(id: &str, seq: Seq) -> Record {
    Record { id: id.into(), request_hash: 7, seq, results: vec![ItemResult::Good, ItemResult::BadNotWritable] }
}

fn same(operations: &Operations, id: &str, now: Millis) -> bool {
    matches!(operations.find(&id.into(), 7, now), Found::Same(_))
}

#[test]
fn repeating_an_operation_gives_the_first_result_for_ten_minutes() {
    let mut operations = Operations::default();
    let id = OperationId::from("a");
    assert_eq!(operations.find(&id, 7, NOW), Found::New);
    operations.insert(record("a", 12), NOW);
    let almost = NOW.plus(KEEP_MS - 1);
    assert_eq!(operations.find(&id, 7, almost), Found::Same(&record("a", 12)));
    assert_eq!(operations.find(&id, 8, almost), Found::Reused, "the same id for another write");
    assert_eq!(operations.find(&id, 8, NOW.plus(KEEP_MS)), Found::New);
    operations.insert(record("b", 13), NOW.plus(KEEP_MS));
    assert_eq!(operations.len(), 1, "what expired takes no room");
}

#[test]
fn the_oldest_give_way_when_there_are_too_many() {
    let mut operations = Operations::new(2, KEEP_MS);
    for (id, at) in [("a", 0), ("b", 1), ("c", 2)] {
        operations.insert(record(id, 0), Millis(at));
    }
    assert!(!same(&operations, "a", NOW) && same(&operations, "b", NOW) && same(&operations, "c", NOW));

    let mut operations = Operations::default();
    let large = |id| Record { results: vec![ItemResult::Good; MAX_ITEM_RESULTS / 2], ..record(id, 0) };
    for id in ["a", "b", "c"] {
        operations.insert(large(id), NOW);
    }
    assert!(!same(&operations, "a", NOW) && same(&operations, "b", NOW) && same(&operations, "c", NOW));
    let huge = Record { results: vec![ItemResult::Good; MAX_ITEM_RESULTS + 1], ..record("d", 0) };
    operations.insert(huge, NOW);
    assert!(operations.len() == 1 && same(&operations, "d", NOW), "the last one is always kept");
    operations.insert(record("e", 0), NOW);
    assert!(operations.len() == 1 && same(&operations, "e", NOW));
}

#[test]
fn an_operation_that_is_recorded_again_replaces_what_was_known() {
    let mut operations = Operations::default();
    operations.insert(Record { request_hash: 99, ..record("a", 3) }, NOW);
    operations.insert_aged(record("a", 4), 1_000, NOW);
    assert_eq!(operations.find(&"a".into(), 7, NOW), Found::Same(&record("a", 4)));
    assert_eq!(operations.find(&"a".into(), 99, NOW), Found::Reused);
    assert_eq!(operations.len(), 1);
}

#[test]
fn a_record_goes_to_the_follower_once_its_changes_have_gone() {
    let mut operations = Operations::default();
    operations.insert(record("before", 10), NOW);
    assert!(operations.next_unsent(Seq::MAX, NOW).is_none(), "nobody follows");
    operations.open_feed();
    operations.insert(record("late", 20), NOW.plus(100));
    operations.insert(record("failed", 0), NOW.plus(200));
    let now = NOW.plus(300);
    assert_eq!(operations.unsent(), 3);
    assert_eq!(operations.next_unsent(15, now), Some((&record("failed", 0), 100)), "it made no change");
    assert_eq!(operations.next_unsent(15, now), Some((&record("before", 10), 300)));
    assert_eq!(operations.next_unsent(15, now), None);
    assert_eq!(operations.next_unsent(20, now), Some((&record("late", 20), 200)));
    assert_eq!(operations.next_unsent(99, now), None);
    operations.open_feed();
    assert_eq!(operations.unsent(), 3, "a new session gets all of them");
    assert!(operations.next_unsent(99, NOW.plus(KEEP_MS + 250)).is_none(), "but not what expired");
    operations.close_feed();
    assert_eq!(operations.unsent(), 0);
}

#[test]
fn a_follower_keeps_a_record_no_longer_than_the_leader() {
    let mut follower = Operations::default();
    follower.insert_aged(record("a", 1), KEEP_MS - 500, Millis(3));
    assert!(same(&follower, "a", Millis(502)) && !same(&follower, "a", Millis(503)));
    follower.insert_aged(record("b", 1), KEEP_MS, Millis(3));
    assert!(!same(&follower, "b", Millis(3)));
}

#[test]
fn a_request_is_known_by_everything_it_asks_for() {
    let item = |path: &str, value| WriteItem { path: path.into(), value, quality: Quality::GOOD, time: None };
    let one = item("Plant/A", Value::Float64(1.0));
    let two = item("Plant/B", Value::String("x".into()));
    let requests = [
        vec![],
        vec![one.clone()],
        vec![two.clone()],
        vec![one.clone(), two.clone()],
        vec![two.clone(), one.clone()],
        vec![one.clone(), one.clone()],
        vec![item("Plant/A", Value::Int64(1))],
        vec![item("Plant/A", Value::DateTime(UnixMillis(1)))],
        vec![item("Plant/A", Value::Bool(true))],
        vec![item("Plant/A", Value::Float64(1.5))],
        vec![item("Plant/", Value::String("Ax".into()))],
        vec![WriteItem { quality: Quality::BAD, ..one.clone() }],
        vec![WriteItem { time: Some(UnixMillis(0)), ..one.clone() }],
        vec![WriteItem { time: Some(UnixMillis(1)), ..one.clone() }],
    ];
    let hashes: BTreeSet<u64> = requests.iter().map(|items| request_hash(items)).collect();
    assert_eq!(hashes.len(), requests.len());
    assert_eq!(request_hash(&[one.clone(), two.clone()]), request_hash(&[one, two]));
}

proptest! {
    /// Ids are few, so that they come again; the follower's clock started elsewhere.
    #[test]
    fn a_follower_knows_what_the_leader_knows(
        steps in prop::collection::vec((0..20u8, 0..400u64, any::<bool>(), 0..60u64), 1..80),
        capacity in 1..12usize,
    ) {
        let (mut leader, mut follower) = (Operations::new(capacity, 2_000), Operations::new(capacity, 2_000));
        let (mut now, mut seq) = (Millis(0), 0);
        let elsewhere = |now: Millis| now.plus(777_777);
        leader.open_feed();
        for (id, pause_ms, again, behind) in steps {
            now = now.plus(pause_ms);
            let id = OperationId::from(format!("operation {id}"));
            if leader.find(&id, 7, now) == Found::New {
                seq += 1;
                leader.insert(record(&id, seq), now);
            }
            if again {
                leader.open_feed();
            }
            let watermark = seq.saturating_sub(behind);
            let mut last = 0;
            while let Some((record, age_ms)) = leader.next_unsent(watermark, now) {
                prop_assert!(record.seq <= watermark && record.seq > last, "in order and not too early");
                last = record.seq;
                follower.insert_aged(record.clone(), age_ms, elsewhere(now));
            }
            prop_assert!(leader.len() <= capacity && follower.len() <= capacity && leader.unsent() <= leader.len());
        }
        while let Some((record, age_ms)) = leader.next_unsent(seq, now) {
            follower.insert_aged(record.clone(), age_ms, elsewhere(now));
        }
        for id in (0..20u8).map(|id| OperationId::from(format!("operation {id}"))) {
            if let Found::Same(record) = leader.find(&id, 7, now) {
                prop_assert_eq!(follower.find(&id, 7, elsewhere(now)), Found::Same(record));
            }
        }
    }
}
