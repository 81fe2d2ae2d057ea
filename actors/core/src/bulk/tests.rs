#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::lineage::{Fork, MAX_FORKS};
use crate::operations::Record;
use crate::protocol::ItemResult;
use crate::quality::Quality;
use crate::types::{NodeId, UnixMillis};
use crate::value::{MAX_STRING_BYTES, Value};
use crate::wire::tests::{assert_no_flipped_bit_passes, documented_example, sealed};
use crate::wire::{HEADER_BYTES, MAX_BULK_BODY_BYTES, MAX_PATH_BYTES};

fn sample(value: Value) -> Sample {
    Sample { value, quality: Quality::GOOD, time: UnixMillis(1_767_600_000_000) }
}

/// One message of each variant.
fn all_messages() -> Vec<Bulk> {
    let epoch = Epoch { counter: 7, node: NodeId(1) };
    let lineage = Lineage::new((0..MAX_FORKS as u64).map(|at| Fork { epoch, at }).collect());
    vec![
        Bulk::SyncRequest { sync: 1, leader: epoch, from: 90, tag_list: u64::MAX, partial: None },
        Bulk::SyncRequest {
            sync: 2,
            leader: epoch,
            from: 0,
            tag_list: 7,
            partial: Some(Partial { below: 4096, since: 77 }),
        },
        Bulk::SyncRefused { sync: 1, reason: "not running".into() },
        Bulk::SyncStart {
            sync: 1,
            lineage,
            from: 80,
            last: 100,
            count: 20,
            stale_before: 40,
            paths_follow: true,
            resumed: false,
        },
        Bulk::Paths { sync: 1, first: 0, paths: vec![("Plant/A".into(), ValueType::Bool)], more: false },
        Bulk::Unmatched { sync: 1, ids: vec![0, u32::MAX], more: true },
        Bulk::Digest { sync: 1, at: 100, digest: u64::MAX, tags: 5 },
        Bulk::DigestResult { sync: 1, equal: true },
        Bulk::Beat,
        Bulk::Ack { sync: 1, frames: 3, applied: 100, durable: 90 },
        Bulk::Divergent {
            sync: 1,
            fork: 80,
            items: vec![("Plant/A".into(), sample(Value::Float64(1.5)))],
            operations: vec![DoneOperation {
                id: "op-1".into(),
                request_hash: u64::MAX,
                results: vec![
                    ItemResult::Good,
                    ItemResult::BadNodeIdUnknown,
                    ItemResult::BadNotWritable,
                    ItemResult::BadTypeMismatch,
                    ItemResult::BadOutOfRange,
                ],
                age_ms: 250,
            }],
            more: false,
        },
        Bulk::DivergentTaken { sync: 1, count: 1 },
    ]
}

fn message(frame: &[u8]) -> Result<Bulk, WireError> {
    let frame = wire::decode(frame, Kind::Bulk)?.unwrap();
    match decode(frame.body)? {
        Incoming::Message(message) => Ok(message),
        Incoming::Batch(_) => panic!("a batch"),
    }
}

fn items(body: &[u8]) -> Result<Vec<BatchItem>, WireError> {
    let mut items = Vec::new();
    read_batch(body, |item| items.push(item))?;
    Ok(items)
}

fn a_batch() -> Vec<u8> {
    let mut writer = BatchWriter::new();
    writer.start(3);
    let bad = Sample { quality: Quality::BAD_SENSOR_FAILURE, ..sample(Value::Int64(-5)) };
    writer.update(4, 1_000_000, &sample(Value::Float64(41.5))).unwrap();
    writer.update(70_000, 1_000_001, &bad).unwrap();
    writer.update(5, 999_990, &sample(Value::String("on".into()))).unwrap();
    writer.update(6, 1_000_002, &sample(Value::DateTime(UnixMillis(7)))).unwrap();
    writer.update(7, 1_000_003, &sample(Value::Bool(true))).unwrap();
    let record = Record { id: "op-1".into(), request_hash: 9, seq: 1_000_001, results: vec![ItemResult::Good; 2] };
    writer.operation(&record, 250).unwrap();
    writer.finish(1_000_003, 1_000_010).unwrap().to_vec()
}

#[test]
fn messages_come_back_as_they_went() {
    for sent in all_messages() {
        assert_eq!(message(&encode(&sent).unwrap()), Ok(sent));
    }
}

#[test]
fn no_flipped_bit_and_no_part_passes() {
    for frame in [a_batch(), encode(&all_messages()[0]).unwrap()] {
        for end in 0..frame.len() {
            assert_eq!(wire::decode(&frame[..end], Kind::Bulk), Ok(None));
            if let Some(body) = frame[..end].get(HEADER_BYTES..) {
                assert!(!matches!(decode(body), Ok(Incoming::Message(_))));
                assert!(items(body).is_err());
            }
        }
    }
    assert_no_flipped_bit_passes(&a_batch(), Kind::Bulk);
}

#[test]
fn what_comes_after_a_batch_is_an_error() {
    let mut frame = a_batch();
    frame.push(0xC0);
    assert_eq!(items(&frame[HEADER_BYTES..]), Err(WireError::TrailingBytes { bytes: 1 }));
}

#[test]
fn the_largest_of_each_fits_a_frame_and_one_more_is_refused() {
    let path: Arc<str> = "p".repeat(MAX_PATH_BYTES).into();
    let longest = Sample {
        quality: Quality::BAD_SENSOR_FAILURE,
        ..sample(Value::String("ä".repeat(MAX_STRING_BYTES / 2).into()))
    };
    let paths = |count| Bulk::Paths {
        sync: u64::MAX,
        first: 0,
        paths: vec![(path.clone(), ValueType::DateTime); count],
        more: true,
    };
    let ids = |count| Bulk::Unmatched { sync: u64::MAX, ids: vec![u32::MAX; count], more: true };
    let operation = |id_bytes, results| DoneOperation {
        id: "i".repeat(id_bytes).into(),
        request_hash: u64::MAX,
        results: vec![ItemResult::Good; results],
        age_ms: u64::MAX,
    };
    let each = MAX_OPERATION_RESULTS / OPERATIONS_PER_FRAME;
    let united = |count, operations| Bulk::Divergent {
        sync: u64::MAX,
        fork: u64::MAX,
        items: vec![(path.clone(), longest.clone()); count],
        operations,
        more: true,
    };
    let divergent = |count| united(count, vec![operation(MAX_OPERATION_ID_BYTES, each); OPERATIONS_PER_FRAME]);
    let operations = |count, results| united(0, vec![operation(MAX_OPERATION_ID_BYTES, results); count]);
    for (fits, does_not) in [
        (paths(PATHS_PER_FRAME), paths(PATHS_PER_FRAME + 1)),
        (ids(UNMATCHED_PER_FRAME), ids(UNMATCHED_PER_FRAME + 1)),
        (divergent(DIVERGENT_PER_FRAME), divergent(DIVERGENT_PER_FRAME + 1)),
        (operations(OPERATIONS_PER_FRAME, 1), operations(OPERATIONS_PER_FRAME + 1, 1)),
        (operations(1, MAX_OPERATION_RESULTS), operations(1, MAX_OPERATION_RESULTS + 1)),
        (united(0, vec![operation(1, 1)]), united(0, vec![operation(MAX_OPERATION_ID_BYTES + 1, 1)])),
    ] {
        assert_eq!(message(&encode(&fits).unwrap()), Ok(fits));
        let error = encode(&does_not).unwrap_err();
        assert!(matches!(error, WireError::Limit { .. }), "{error}");
        assert_eq!(decode(&rmp_serde::to_vec_named(&does_not).unwrap()), Err(error));
    }
}

#[test]
fn divergent_changes_of_a_peer_that_names_no_operations_are_understood() {
    #[derive(Serialize)]
    enum Older {
        Divergent { sync: u64, fork: Seq, items: Vec<(Arc<str>, Sample)>, more: bool },
    }
    let items = vec![("a".into(), sample(Value::Bool(true)))];
    let body = rmp_serde::to_vec_named(&Older::Divergent { sync: 1, fork: 2, items: items.clone(), more: false });
    let expected = Bulk::Divergent { sync: 1, fork: 2, items, operations: Vec::new(), more: false };
    assert_eq!(decode(&body.unwrap()), Ok(Incoming::Message(expected)));
}

#[test]
fn a_batch_takes_what_fits_and_is_reused() {
    let mut writer = BatchWriter::new();
    let longest = sample(Value::String("x".repeat(MAX_STRING_BYTES).into()));
    let too_long = sample(Value::String("x".repeat(MAX_STRING_BYTES + 1).into()));
    assert!(matches!(writer.update(0, 1, &too_long), Err(WireError::Limit { .. })));
    for round in 0..2 {
        writer.start(round);
        let mut updates = 0;
        while writer.has_room() {
            writer.update(updates, u64::MAX - u64::from(updates), &longest).unwrap();
            updates += 1;
        }
        let record = |count| Record {
            id: "i".repeat(128).into(),
            request_hash: 0,
            seq: 0,
            results: vec![ItemResult::Good; count],
        };
        assert!(matches!(writer.operation(&record(MAX_OPERATION_RESULTS + 1), 0), Err(WireError::Limit { .. })));
        while writer.update(updates, 0, &longest).is_ok() {
            updates += 1;
        }
        assert!(matches!(writer.update(0, 0, &longest), Err(WireError::TooLong { .. })));
        assert!(updates > 60 && writer.updates() == updates && writer.operations() == 0);
        let frame = writer.finish(1, 2).unwrap();
        assert!(frame.len() <= HEADER_BYTES + MAX_BULK_BODY_BYTES);
        let found = items(&frame[HEADER_BYTES..]).unwrap();
        assert_eq!(found[0], BatchItem::Header(BatchHeader { sync: round, watermark: 1, last: 2, updates }));
        assert_eq!(found.len() as u32, updates + 1);
    }
}

#[test]
fn counts_and_types_that_lie_are_errors() {
    let frame = a_batch();
    let body = &frame[HEADER_BYTES..];
    for count in [0, 1, 4, 6, 7, 60, u32::MAX] {
        let mut body = body.to_vec();
        body[29..33].copy_from_slice(&count.to_be_bytes());
        assert!(items(&body).is_err(), "{count}");
    }
    let head = &body[..28];
    for (rest, wrong) in [
        (&b"\x91\x94\x01\x01\x01\xC0\x90"[..], "value"),
        (b"\x91\x94\x01\x01\x01\xD7\x02\0\0\0\0\0\0\0\0\x90", "extension type 2"),
        (b"\x91\x94\x01\x01\x01\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x90", "value"),
        (b"\x91\x94\x01\x01\x01\xA2\xFF\xFF\x90", "text"),
        (b"\x91\x93\x01\x01\x01\x90\x90\x90", "4 or 5 parts, not 3"),
        (b"\x91\x94\xCF\0\0\0\x01\0\0\0\0\x01\x01\xC2\x90", "id of a tag"),
        (b"\x91\x95\x01\x01\x01\xC2\xFF\x90", "quality"),
        (b"\x90\x91\x95\xA1i\x01\x01\x01\x91\x05", "unknown code 5"),
        (b"\x90\x91\x95\xA1i\x01\x01\x01\xDD\xFF\xFF\xFF\xFF", "results of an operation"),
        (b"\xDD\xFF\xFF\xFF\xFF", "updates"),
    ] {
        let error = items(&[head, rest].concat()).unwrap_err().to_string();
        assert!(error.contains(wrong), "{wrong:?} is not in: {error}");
    }
}

#[test]
fn a_usual_update_takes_16_bytes() {
    let mut writer = BatchWriter::new();
    let now = 1_767_600_000_000;
    for update in 0..256_u32 {
        let value = Value::Float64(f64::from(update) * 0.37);
        let id = update.wrapping_mul(2_654_435_761) % 65_536;
        writer
            .update(
                id,
                90_000_000 + u64::from(update),
                &Sample { value, quality: Quality::GOOD, time: UnixMillis(now) },
            )
            .unwrap();
    }
    let bytes = writer.finish(1, 2).unwrap().len();
    println!("{:.1} bytes an update, frame and header included", bytes as f64 / 256.0);
    assert!(bytes <= 256 * 16);
}

#[test]
fn the_documented_batch_is_true() {
    let mut writer = BatchWriter::new();
    writer.start(3);
    let time = UnixMillis(1_767_600_000_000);
    let level = Sample { value: Value::Float64(41.5), quality: Quality::GOOD, time };
    let pump = Sample { value: Value::Bool(true), quality: Quality::UNCERTAIN_LAST_USABLE_VALUE, time };
    writer.update(4, 1000, &level).unwrap();
    writer.update(200, 1001, &pump).unwrap();
    let record = Record { id: "op-1".into(), request_hash: 258, seq: 1001, results: vec![ItemResult::Good] };
    writer.operation(&record, 250).unwrap();
    let frame = writer.finish(1001, 1010).unwrap();
    assert_eq!(documented_example("### Example: a batch"), frame, "{frame:02X?}");
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int64),
        prop::num::f64::ANY.prop_filter("comparable", |value| !value.is_nan()).prop_map(Value::Float64),
        ".{0,40}".prop_map(|text| Value::String(text.into())),
        any::<i64>().prop_map(|time| Value::DateTime(UnixMillis(time))),
    ]
}

fn any_update() -> impl Strategy<Value = (u32, Seq, Sample)> {
    let quality = prop_oneof![Just(0), any::<u32>()].prop_map(Quality);
    let sample = (any_value(), quality, any::<i64>()).prop_map(|(value, quality, time)| Sample {
        value,
        quality,
        time: UnixMillis(time),
    });
    (any::<u32>(), any::<u64>(), sample)
}

fn any_record() -> impl Strategy<Value = (Record, u64)> {
    let result = prop::sample::select(vec![
        ItemResult::Good,
        ItemResult::BadNodeIdUnknown,
        ItemResult::BadNotWritable,
        ItemResult::BadTypeMismatch,
        ItemResult::BadOutOfRange,
    ]);
    (".{0,30}", any::<u64>(), any::<u64>(), vec(result, 0..40), any::<u64>()).prop_map(
        |(id, request_hash, seq, results, age_ms)| (Record { id: id.into(), request_hash, seq, results }, age_ms),
    )
}

proptest! {
    #[test]
    fn batches_come_back_as_they_went(
        updates in vec(any_update(), 0..60),
        records in vec(any_record(), 0..8),
        (sync, watermark, last) in any::<(u64, u64, u64)>(),
        (at, byte) in (any::<prop::sample::Index>(), any::<u8>()),
    ) {
        let mut writer = BatchWriter::new();
        writer.start(sync);
        // In any order: operations lie behind the updates all the same.
        let (early, late) = records.split_at(records.len() / 2);
        for (record, age_ms) in early {
            writer.operation(record, *age_ms).unwrap();
        }
        for (id, seq, sample) in &updates {
            writer.update(*id, *seq, sample).unwrap();
        }
        for (record, age_ms) in late {
            writer.operation(record, *age_ms).unwrap();
        }
        let frame = writer.finish(watermark, last).unwrap();
        let frame = wire::decode(frame, Kind::Bulk).unwrap().unwrap();
        prop_assert_eq!(decode(frame.body), Ok(Incoming::Batch(frame.body)));
        let header = BatchHeader { sync, watermark, last, updates: updates.len() as u32 };
        let mut expected = vec![BatchItem::Header(header)];
        expected.extend(updates.into_iter().map(|(id, seq, sample)| BatchItem::Update(id, seq, sample)));
        expected.extend(records.into_iter().map(|(record, age_ms)| BatchItem::Operation { record, age_ms }));
        prop_assert_eq!(items(frame.body).unwrap(), expected);

        // One changed byte is a batch or an error, never a panic; so is a part of it.
        let mut body = frame.body.to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = items(&body);
        prop_assert!(items(&frame.body[..at]).is_err());
    }

    #[test]
    fn garbage_is_never_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = items(&bytes);
        let mut batch = vec![0x95, 1, 2, 3, 0xDC];
        batch.extend_from_slice(&bytes);
        let _ = items(&batch);
        let frame = sealed(Kind::Bulk, &bytes);
        prop_assert!(matches!(wire::decode(&frame, Kind::Bulk), Ok(Some(_))));
    }
}
