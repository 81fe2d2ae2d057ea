//! Real messages, one of each kind: `cargo test --test fuzz_smoke messages_are_written -- --ignored` writes them into the
//! corpora of `frames` and `messages` anew, after the protocol has changed.

use std::path::Path;

use hotpair_core::alarm_replication::{self, AlarmFrame, AlarmItem};
use hotpair_core::alarms::{
    AckMode, AlarmAction, AlarmEntry, AlarmKey, AlarmKind, AlarmPriority, AlarmRequest, AlarmResult, EntryKind,
    EventId, LimitLevel, Occurrence, PendingKind, PortablePending, PortableShelf, PortableState, Who,
};
use hotpair_core::bulk::{self, BatchWriter, Bulk, DoneOperation};
use hotpair_core::lineage::{Fork, Lineage};
use hotpair_core::operations::Record;
use hotpair_core::protocol::{
    AlarmForward, AlarmOutcome, Control, Forward, Greeting, Hold, ItemResult, LicenseFacts, PROTOCOL_VERSIONS,
    ProjectHash, Refusal, RefusalCode, Report, SwitchRequest, Tenure, WriteItem, WriteOutcome, WriteRefusal,
};
use hotpair_core::quality::Quality;
use hotpair_core::tags::Partial;
use hotpair_core::types::{BootId, Epoch, Mode, NodeId, RecoveryMode, Status, SyncPhase, UnixMillis};
use hotpair_core::value::{Sample, Value, ValueType};
use hotpair_core::wire::{HEADER_BYTES, Pieces, encode_arrived, encode_control};

const EPOCH: Epoch = Epoch { counter: 3, node: NodeId(0xA1) };

#[test]
#[ignore = "writes files"]
fn messages_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let kinds = [("control", control()), ("bulk", bulk()), ("alarms", alarms())];
    for (kind, (name, frames)) in kinds.into_iter().enumerate() {
        for (number, frame) in frames.iter().enumerate() {
            let body = [&[kind as u8], &frame[HEADER_BYTES..]].concat();
            std::fs::write(folder.join(format!("messages/{name}-{number:02}")), body).unwrap();
        }
        // As a stream: all of them, one after the other.
        let expected = [0, 1, 2][kind];
        let stream = [&[expected][..], &frames.concat()].concat();
        std::fs::write(folder.join(format!("frames/{name}")), stream).unwrap();
    }
    std::fs::write(folder.join("frames/pieces"), [&[2][..], &in_pieces(&bulk())].concat()).unwrap();
    std::fs::write(folder.join("frames/text"), b"\0GET / HTTP/1.1\r\nHost: plant\r\n\r\n").unwrap();
}

/// As over a slow line: each in pieces, between which the other side is told what has arrived.
fn in_pieces(frames: &[Vec<u8>]) -> Vec<u8> {
    let (mut stream, mut out) = (Vec::new(), Vec::new());
    for frame in frames {
        let mut pieces = Pieces::of(frame.clone());
        loop {
            let last = pieces.next(50, &mut out);
            stream.extend_from_slice(&out);
            stream.extend(encode_arrived(stream.len() as u64));
            if last {
                break;
            }
        }
    }
    stream
}

fn control() -> Vec<Vec<u8>> {
    let event = EventId(7);
    let lineage = Lineage::new(vec![Fork { epoch: EPOCH, at: 480 }]);
    let report = Report {
        status: Status::Running,
        lineage,
        tenure: Tenure::Failover,
        applied: 480,
        durable: 470,
        last: 481,
        sync: SyncPhase::Incremental,
        in_sync: true,
        faults: vec!["the disk is full".into()],
        hold: Hold { version: 1, remaining_ms: 60_000, reason: "works".into() },
        switching: 0,
        running_ms: 5,
        recoveries_ms: vec![599_000],
    };
    let greeting = Greeting {
        protocol: PROTOCOL_VERSIONS,
        features: 0,
        version: "0.1.0".into(),
        node: NodeId(0xA1),
        boot: BootId(0xB1),
        name: "Line1".into(),
        mode: Mode::Master,
        recovery: RecoveryMode::Automatic,
        http: "127.0.0.1:8066".into(),
        alive_at: "127.0.0.1:8042".into(),
        project: ProjectHash { tag_list: 9, files: vec![("alarms.csv".into(), 10)] },
        session: 11,
        report: report.clone(),
    };
    let item = |value| WriteItem { path: "Plant/A".into(), value, quality: Quality::GOOD, time: None };
    let forward = Forward {
        id: 1,
        operation: Some("a1".into()),
        part: 0,
        request_hash: 2,
        deadline_ms: 5000,
        items: vec![item(Value::Float64(1.5)), item(Value::String("x".into())), item(Value::DateTime(UnixMillis(3)))],
    };
    let asked = |action| {
        let who = Who { operator: "Ann".into(), node: NodeId(1) };
        let request = AlarmRequest { action, who, operation: Some("o".into()) };
        Control::AlarmForward(AlarmForward { id: 4, deadline_ms: 1000, request })
    };
    let offer = Control::Offer {
        switch: 1,
        epoch: EPOCH,
        last: 481,
        tenure: Tenure::Switch,
        cause: "planned work".into(),
        user: "Ann".into(),
    };
    let request = SwitchRequest {
        id: 1,
        tenure: Tenure::Recovery,
        expected_epoch: 3,
        to: NodeId(2),
        reason: "back".into(),
        user: String::new(),
    };
    let messages = [
        Control::Greeting(Box::new(greeting)),
        Control::Accepted,
        Control::Refused(Refusal { code: RefusalCode::Mode, reason: "both are Master".into() }),
        Control::JoinBulk { session: 11 },
        Control::Ping { number: 1, stalled_ms: 0 },
        Control::Pong { number: 1, stalled_ms: 2 },
        Control::Report(Box::new(report)),
        Control::Goodbye { reason: "a stop".into() },
        Control::SwitchRequest(request),
        Control::SwitchResult { id: 1, refused: "not in sync".into(), suspend: true },
        offer,
        Control::Taken { switch: 1, epoch: EPOCH },
        Control::Abort { switch: 1 },
        Control::AbortConfirmed { switch: 1, reason: String::new() },
        Control::Hold(Hold::default()),
        Control::License(LicenseFacts { modules: vec!["alarms".into()], invalid: String::new() }),
        Control::Forward(forward),
        Control::Forwarded {
            id: 1,
            outcome: WriteOutcome::Done {
                results: vec![ItemResult::Good, ItemResult::BadNotWritable],
                replicated: true,
            },
        },
        Control::Forwarded { id: 2, outcome: WriteOutcome::Refused(WriteRefusal::NotRunning("why".into())) },
        asked(AlarmAction::Acknowledge { event, comment: "seen".into() }),
        asked(AlarmAction::Shelve { path: "Plant/*".into(), for_ms: 60_000, comment: "works".into() }),
        Control::AlarmForwarded { id: 4, outcome: AlarmOutcome::Done { result: AlarmResult::Good, replicated: false } },
    ];
    messages.iter().map(|message| encode_control(message).unwrap()).collect()
}

fn bulk() -> Vec<Vec<u8>> {
    let sample = |value| Sample { value, quality: Quality::UNCERTAIN, time: UnixMillis(1_767_600_000_000) };
    let done =
        DoneOperation { id: "a1".into(), request_hash: 1, results: vec![ItemResult::BadTypeMismatch], age_ms: 5 };
    let messages = [
        Bulk::SyncRequest {
            sync: 1,
            leader: EPOCH,
            from: 480,
            tag_list: 9,
            partial: Some(Partial { below: 7, since: 4 }),
        },
        Bulk::SyncRefused { sync: 1, reason: "another epoch".into() },
        Bulk::SyncStart {
            sync: 1,
            lineage: Lineage::new(vec![Fork { epoch: EPOCH, at: 0 }]),
            from: 0,
            last: 481,
            count: 3,
            stale_before: 2,
            paths_follow: true,
            resumed: false,
        },
        Bulk::Paths { sync: 1, first: 0, paths: vec![("Plant/A".into(), ValueType::Float64)], more: false },
        Bulk::Unmatched { sync: 1, ids: vec![0, 70_000], more: false },
        Bulk::Digest { sync: 1, at: 481, digest: u64::MAX, tags: 3 },
        Bulk::DigestResult { sync: 1, equal: true },
        Bulk::Beat,
        Bulk::Ack { sync: 1, frames: 2, applied: 481, durable: 480 },
        Bulk::Divergent {
            sync: 1,
            fork: 480,
            items: vec![("Plant/A".into(), sample(Value::Int64(7)))],
            operations: vec![done],
            more: false,
        },
        Bulk::DivergentTaken { sync: 1, count: 1 },
    ];
    let mut writer = BatchWriter::new();
    writer.start(1);
    let values = [
        Value::Bool(true),
        Value::Int64(-300),
        Value::Float64(1.5),
        Value::String("text".into()),
        Value::DateTime(UnixMillis(5)),
    ];
    for (id, value) in values.into_iter().enumerate() {
        writer.update(id as u32, 480 + id as u64, &sample(value)).unwrap();
    }
    let record = Record { id: "a1".into(), request_hash: 1, seq: 484, results: vec![ItemResult::Good] };
    writer.operation(&record, 7).unwrap();
    let batch = writer.finish(484, 485).unwrap().to_vec();
    messages.iter().map(|message| bulk::encode(message).unwrap()).chain([batch]).collect()
}

fn alarms() -> Vec<Vec<u8>> {
    let (sync, held) = (1, vec![(EPOCH, 12)]);
    let key = AlarmKey::of("Plant/A", "High");
    let entry = AlarmEntry {
        origin: EPOCH,
        position: 13,
        kind: EntryKind::Raised,
        event: EventId(7),
        number: 1,
        path: "Plant/A".into(),
        name: "High".into(),
        alarm: AlarmKind::Limit(LimitLevel::H),
        priority: AlarmPriority::High,
        ack_mode: AckMode::Manual,
        description: "too much".into(),
        time: UnixMillis(5),
        active: true,
        acked: false,
        active_time: UnixMillis(4),
        value: Some(Value::Float64(99.5)),
        node: NodeId(1),
        operator: "Ann".into(),
        comment: "seen".into(),
        operation: Some("o".into()),
        shelved_ms: 0,
    };
    let live = Occurrence {
        event: EventId(7),
        epoch: EPOCH,
        active: true,
        acked: false,
        active_time: UnixMillis(4),
        clear_time: None,
        ack_time: Some(UnixMillis(6)),
        operator: "".into(),
        comment: "".into(),
        value: Some(Value::Bool(true)),
    };
    let pending = PortablePending { kind: PendingKind::Clear, since: UnixMillis(5), value: None, remaining_ms: 300 };
    let state = PortableState {
        number: 1,
        live: Some(live),
        pending: Some(pending),
        armed: true,
        ended: Some((EventId(6), UnixMillis(3))),
    };
    let shelf = PortableShelf {
        path: "Plant/*".into(),
        event: EventId(8),
        since: UnixMillis(4),
        for_ms: 60_000,
        remaining_ms: 50_000,
        operator: "Ann".into(),
        comment: "works".into(),
    };
    let items =
        vec![AlarmItem::Entry(entry.clone()), AlarmItem::State(key, state.clone()), AlarmItem::Included(EPOCH, 13)];
    let messages = [
        AlarmFrame::Follow { sync, leader: EPOCH, held: held.clone(), more: false },
        AlarmFrame::NotNow { sync },
        AlarmFrame::Held { sync, held: held.clone(), more: true },
        AlarmFrame::States { sync, states: vec![(key, state)] },
        AlarmFrame::Included { sync, included: held },
        AlarmFrame::Shelves { sync, shelves: vec![shelf] },
        AlarmFrame::Whole { sync },
        AlarmFrame::Entries { sync, origin: EPOCH, after: 12, entries: vec![entry] },
        AlarmFrame::EntriesTaken { sync, frames: 2 },
        AlarmFrame::NothingMissing { sync },
        AlarmFrame::Items { sync, first: 1, items },
        AlarmFrame::Confirm { sync, applied: 3, stored: Some(2) },
        AlarmFrame::Digest { sync, list: 4, digest: 5, held: vec![(EPOCH, 13)] },
        AlarmFrame::Compared { sync, equal: true },
    ];
    messages.iter().map(|message| alarm_replication::encode(message).unwrap()).collect()
}
