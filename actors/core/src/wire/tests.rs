#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::lineage::{Fork, Lineage, MAX_FORKS};
use crate::protocol::*;
use crate::quality::Quality;
use crate::types::*;
use crate::value::{MAX_STRING_BYTES, Value};

/// Of node `node` with boot id 100 more, all else as a fresh "Line1".
pub(crate) fn greeting(node: u64, mode: Mode) -> Greeting {
    Greeting {
        protocol: PROTOCOL_VERSIONS,
        features: 0,
        version: "0.1.0".into(),
        node: NodeId(node),
        boot: BootId(100 + node),
        name: "Line1".into(),
        mode,
        recovery: RecoveryMode::Automatic,
        http: "10.0.0.1:8066".into(),
        alive_at: String::new(),
        project: ProjectHash { tag_list: 1, files: vec![("alarms.csv".into(), 2), ("tags.csv".into(), 3)] },
        session: 77,
        report: report(Lineage::default()),
    }
}

fn report(lineage: Lineage) -> Report {
    Report {
        status: Status::Standby,
        lineage,
        tenure: Tenure::None,
        applied: 5,
        durable: 4,
        last: 5,
        sync: SyncPhase::Incremental,
        in_sync: true,
        faults: vec!["the disk is full".into()],
        hold: Hold::default(),
        switching: 0,
        running_ms: 0,
        recoveries_ms: vec![60_000],
    }
}

pub(crate) fn sealed(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend_from_slice(body);
    seal(&mut frame, kind).unwrap();
    frame
}

/// One message of each variant.
fn all_messages() -> Vec<Control> {
    let epoch = Epoch { counter: 7, node: NodeId(u64::MAX) };
    let lineage = Lineage::new((0..MAX_FORKS as u64).map(|at| Fork { epoch, at }).collect());
    let item = |value| WriteItem { path: "Plant/A".into(), value, quality: Quality::GOOD, time: Some(UnixMillis(-1)) };
    let values = [
        Value::Bool(true),
        Value::Int64(i64::MIN),
        Value::Float64(41.5),
        Value::String("ü".into()),
        Value::DateTime(UnixMillis(1)),
    ];
    vec![
        Control::Greeting(Box::new(greeting(1, Mode::Master))),
        Control::Accepted,
        Control::Refused(Refusal { code: RefusalCode::Mode, reason: "why".into() }),
        Control::JoinBulk { session: u64::MAX },
        Control::Ping { number: 1, stalled_ms: 0 },
        Control::Pong { number: 1, stalled_ms: 900 },
        Control::Report(Box::new(report(lineage))),
        Control::Goodbye { reason: "stopped".into() },
        Control::SwitchRequest(SwitchRequest {
            id: 3,
            tenure: Tenure::Recovery,
            expected_epoch: 7,
            to: NodeId(2),
            reason: "shift".into(),
            user: "ann".into(),
        }),
        Control::SwitchResult { id: 3, suspend: false, refused: String::new() },
        Control::Offer {
            switch: 9,
            epoch,
            last: 400,
            tenure: Tenure::Switch,
            cause: "maintenance".into(),
            user: "ann".into(),
        },
        Control::Taken { switch: 9, epoch },
        Control::Abort { switch: 9 },
        Control::AbortConfirmed { switch: 9, reason: String::new() },
        Control::Hold(Hold { version: 2, remaining_ms: 60_000, reason: "work".into() }),
        Control::License(LicenseFacts { modules: vec!["alarms".into()], invalid: String::new() }),
        Control::Forward(Forward {
            id: 4,
            operation: Some("op-1".into()),
            part: 1,
            request_hash: u64::MAX,
            deadline_ms: 900,
            items: values.map(item).into_iter().collect(),
        }),
        Control::Forwarded {
            id: 4,
            outcome: WriteOutcome::Done {
                results: vec![ItemResult::Good, ItemResult::BadOutOfRange],
                replicated: true,
            },
        },
        Control::Forwarded { id: 5, outcome: WriteOutcome::Refused(WriteRefusal::Disk("full".into())) },
        Control::Forwarded { id: 6, outcome: WriteOutcome::Refused(WriteRefusal::Busy) },
    ]
}

#[test]
fn messages_come_back_as_they_went() {
    let messages = all_messages();
    let mut stream = Vec::new();
    for message in &messages {
        append_control(&mut stream, message).unwrap();
    }
    let mut rest = stream.as_slice();
    for message in &messages {
        let frame = decode(rest, Kind::Control).unwrap().unwrap();
        assert_eq!(&decode_control(frame.body).unwrap(), message);
        rest = &rest[frame.bytes..];
    }
    assert_eq!(decode(rest, Kind::Control), Ok(None));
}

#[test]
fn a_part_of_a_frame_is_awaited_and_a_part_of_a_body_refused() {
    for message in all_messages() {
        let frame = encode_control(&message).unwrap();
        let body = &frame[HEADER_BYTES..];
        for end in 0..frame.len() {
            assert_eq!(decode(&frame[..end], Kind::Control), Ok(None), "{message:?} cut at {end}");
        }
        for end in 0..body.len() {
            assert!(decode_control(&body[..end]).is_err(), "{message:?} body cut at {end}");
        }
    }
}

/// Flips each bit of a frame, one at a time: never a frame, and an error at last.
pub(crate) fn assert_no_flipped_bit_passes(frame: &[u8], kind: Kind) {
    assert!(matches!(decode(frame, kind), Ok(Some(_))));
    // A greater length waits for more: what comes then must not make a frame of it either.
    let mut stream = frame.to_vec();
    stream.resize(HEADER_BYTES + kind.max_body_bytes(), 0xA5);
    for bit in 0..frame.len() * 8 {
        stream[bit / 8] ^= 1 << (bit % 8);
        assert!(!matches!(decode(&stream[..frame.len()], kind), Ok(Some(_))), "bit {bit}");
        let of_length = (32..64).contains(&bit);
        assert!(decode(if of_length { &stream } else { &stream[..frame.len()] }, kind).is_err(), "bit {bit}");
        stream[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn no_flipped_bit_passes() {
    for message in all_messages() {
        assert_no_flipped_bit_passes(&encode_control(&message).unwrap(), Kind::Control);
    }
}

#[test]
fn a_stranger_is_told_from_a_hotpair_by_its_first_bytes() {
    for (sent, hint) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a\r\n"[..],
            "sent \"GET / HTTP/1.1\\r\\nHost: a\\r\". A browser or another HTTP client",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n", "An HTTP server answers there: `master_host`"),
        (b"\x16\x03\x01\x02\x00\x01", "\"\\x16\\x03\\x01\\x02\\x00\\x01\". That is TLS: set `use_ssl`"),
        (b"SSH-2.0-OpenSSH", "Check `master_host` and `master_port`"),
        (b"\xF5q", "not a hotpair node"),
    ] {
        let error = decode(sent, Kind::Control).unwrap_err();
        assert!(error.to_string().contains(hint), "{hint:?} is not in: {error}");
        assert!(decode(&sent[..2.min(sent.len())], Kind::Control).is_err(), "two bytes are enough");
    }
    assert!(matches!(decode(&[0; 5000], Kind::Control), Err(WireError::NotHotpair { start }) if start.len() == 24));
}

#[test]
fn a_wrong_header_is_refused_before_its_body_comes() {
    let [f, p] = MAGIC;
    assert_eq!(decode(&[f, p, 9], Kind::Control), Err(WireError::UnknownKind { code: 9 }));
    let found = WireError::UnexpectedKind { found: Kind::Bulk, expected: Kind::Control };
    assert_eq!(decode(&[f, p, 2], Kind::Control), Err(found));
    assert_eq!(decode(&[f, p, 1, 4], Kind::Control), Err(WireError::UnknownFlags { flags: 4 }));
    for (kind, code) in [(Kind::Control, 1), (Kind::Bulk, 2)] {
        let limit = kind.max_body_bytes();
        for length in [limit + 1, u32::MAX as usize] {
            let mut header = vec![f, p, code, 0];
            header.extend_from_slice(&(length as u32).to_le_bytes());
            assert_eq!(decode(&header, kind), Err(WireError::TooLong { kind, length, limit }));
        }
    }
}

#[test]
fn lengths_that_lie_are_errors() {
    for length in [0_u32, 1, 5, 500, u32::MAX] {
        let length = length.to_be_bytes();
        // A text, an array, a map, binary and an extension of 32-bit length with nothing in it.
        for marker in [0xDB, 0xDD, 0xDF, 0xC6, 0xC9] {
            let mut body = vec![marker];
            body.extend_from_slice(&length);
            assert!(decode_control(&body).is_err());
            // The same as the content of a known message, and as a field of one.
            let known = [&b"\x81\xA7Goodbye"[..], &body].concat();
            assert!(decode_control(&known).is_err());
            let field = [&b"\x81\xA7Goodbye\x81\xA6reason"[..], &body].concat();
            assert!(decode_control(&field).is_err() || length == [0; 4]);
        }
    }
    let deep = [&b"\x81\xA7Goodbye\x81\xA3new"[..], &vec![0x91; 60_000]].concat();
    assert!(matches!(decode_control(&deep), Err(WireError::Malformed { .. })), "no stack overflow");
}

#[test]
fn bytes_after_a_message_are_an_error() {
    let frame = encode_control(&Control::Accepted).unwrap();
    let longer = [&frame[HEADER_BYTES..], &[0xC0, 0xC0]].concat();
    assert_eq!(decode_control(&longer), Err(WireError::TrailingBytes { bytes: 2 }));
}

#[test]
fn limits_hold_both_when_sending_and_when_receiving() {
    let text = |bytes: usize| "x".repeat(bytes);
    let greet = |change: fn(&mut Greeting)| {
        let mut greeting = greeting(1, Mode::Master);
        change(&mut greeting);
        Control::Greeting(Box::new(greeting))
    };
    let forks = vec![Fork { epoch: Epoch::NONE, at: 0 }; MAX_FORKS + 1];
    let lineage: Lineage = rmp_serde::from_slice(&rmp_serde::to_vec_named(&forks).unwrap()).unwrap();
    let forward = |operation: usize, path: usize, value: usize| {
        Control::Forward(Forward {
            id: 1,
            operation: Some(text(operation).into()),
            part: 0,
            request_hash: 7,
            deadline_ms: 1,
            items: vec![WriteItem {
                path: text(path).into(),
                value: Value::String(text(value).into()),
                quality: Quality::GOOD,
                time: None,
            }],
        })
    };
    let modules = |count| Control::License(LicenseFacts { modules: vec!["m".into(); count], invalid: String::new() });
    for good in [forward(MAX_OPERATION_ID_BYTES, MAX_PATH_BYTES, MAX_STRING_BYTES), modules(MAX_MODULES)] {
        assert_eq!(decode_control(&encode_control(&good).unwrap()[HEADER_BYTES..]), Ok(good));
    }
    for (message, part) in [
        (greet(|greeting| greeting.name = "n".repeat(257)), "name of a node"),
        (greet(|greeting| greeting.version = "n".repeat(257)), "version of the program"),
        (greet(|greeting| greeting.http = "n".repeat(257)), "HTTP address"),
        (greet(|greeting| greeting.alive_at = "n".repeat(257)), "address that proves"),
        (greet(|greeting| greeting.project.files = vec![(String::new(), 0); 257]), "files of a project"),
        (greet(|greeting| greeting.report.faults = vec![String::new(); 33]), "faults of a node"),
        (Control::Report(Box::new(report(lineage))), "fork points"),
        (Control::Goodbye { reason: text(MAX_STRING_BYTES + 1) }, "reason of a goodbye"),
        (forward(MAX_OPERATION_ID_BYTES + 1, 1, 1), "operation id"),
        (forward(1, MAX_PATH_BYTES + 1, 1), "path"),
        (forward(1, 1, MAX_STRING_BYTES + 1), "text"),
        (modules(MAX_MODULES + 1), "licence modules"),
    ] {
        let error = encode_control(&message).unwrap_err();
        assert!(matches!(error, WireError::Limit { what, .. } if what.contains(part)), "{part}: {error}");
        assert_eq!(decode_control(&rmp_serde::to_vec_named(&message).unwrap()), Err(error));
    }
}

#[test]
fn a_message_too_long_for_a_frame_is_an_error_and_leaves_nothing_behind() {
    let item = WriteItem { path: "Plant/A".into(), value: Value::Int64(1), quality: Quality::GOOD, time: None };
    let forward = Forward { id: 1, operation: None, part: 0, request_hash: 7, deadline_ms: 1, items: vec![item; 4096] };
    let mut out = vec![1, 2, 3];
    assert!(matches!(
        append_control(&mut out, &Control::Forward(forward)),
        Err(WireError::TooLong { kind: Kind::Control, limit: MAX_CONTROL_BODY_BYTES, .. })
    ));
    assert_eq!(out, [1, 2, 3]);
}

/// What a later version may do: fields with defaults, further messages.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum LaterControl {
    Accepted,
    Ping {
        #[serde(default = "LaterControl::default_note")]
        note: Vec<String>,
        number: u64,
        stalled_ms: u64,
    },
    Weather(Arc<str>),
    Rain,
}

impl LaterControl {
    fn default_note() -> Vec<String> {
        vec!["absent".into()]
    }
}

#[test]
fn neighbouring_versions_understand_each_other() {
    let later = LaterControl::Ping { note: vec!["new".into()], number: 5, stalled_ms: 6 };
    let now = Control::Ping { number: 5, stalled_ms: 6 };
    assert_eq!(decode_control(&rmp_serde::to_vec_named(&later).unwrap()), Ok(now.clone()));
    let body = encode_control(&now).unwrap().split_off(HEADER_BYTES);
    let note = vec!["absent".into()];
    assert_eq!(decode_message(&body), Ok(LaterControl::Ping { note, number: 5, stalled_ms: 6 }));
    for (later, name) in [(LaterControl::Weather("fine".into()), "Weather"), (LaterControl::Rain, "Rain")] {
        let error = decode_control(&rmp_serde::to_vec_named(&later).unwrap()).unwrap_err();
        assert_eq!(error, WireError::UnknownMessage { name: name.into() });
    }
    // A known message with an unknown choice inside is not one that may be skipped.
    let inside = rmp_serde::to_vec_named(&("Hibernating",)).unwrap();
    let body = [&b"\x81\xA7Refused\x82\xA6reason\xA0\xA4code"[..], &inside[1..]].concat();
    assert!(matches!(decode_control(&body), Err(WireError::Malformed { reason }) if reason.contains("Hibernating")));
}

/// The bytes of the example that follows `title` in the documentation: the left column of a block of `bytes | meaning`.
pub(crate) fn documented_example(title: &str) -> Vec<u8> {
    let page = include_str!("../../../../docs/protocol.md");
    let block = page.split_once(title).unwrap().1.split("```").nth(1).unwrap();
    let bytes = block.lines().filter_map(|line| line.split_once('|')).flat_map(|(left, _)| left.split_whitespace());
    bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_documented_ping_is_true() {
    let ping = encode_control(&Control::Ping { number: 7, stalled_ms: 0 }).unwrap();
    assert_eq!(documented_example("### Example: a ping"), ping, "{ping:02X?}");
}

proptest! {
    #[test]
    fn garbage_is_never_a_frame_and_never_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(!matches!(decode(&bytes, Kind::Control), Ok(Some(_))));
        let mut header = [&MAGIC[..], &[1, 0]].concat();
        header.extend_from_slice(&bytes);
        prop_assert!(!matches!(decode(&header, Kind::Control), Ok(Some(_))));
        let _ = decode_control(&bytes);
        let sealed = sealed(Kind::Control, &bytes);
        let frame = decode(&sealed, Kind::Control).unwrap().unwrap();
        prop_assert_eq!(frame.body, bytes.as_slice());
    }

    #[test]
    fn a_changed_body_is_never_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), which in any::<prop::sample::Index>()) {
        let mut body = encode_control(which.get(&all_messages())).unwrap().split_off(HEADER_BYTES);
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(message) = decode_control(&body) {
            prop_assert!(encode_control(&message).is_ok());
        }
    }
}

/// What comes out of the far end when this frame is sent in pieces of at most so many bytes.
fn in_pieces(frame: &[u8], most: usize) -> (usize, Vec<u8>) {
    let (mut pieces, mut assembly, mut out, mut count) = (Pieces::of(frame.to_vec()), Assembly::default(), vec![], 0);
    loop {
        let last = pieces.next(most, &mut out);
        assert!(out.len() <= most.max(HEADER_BYTES + 1), "{} bytes", out.len());
        count += 1;
        let piece = decode_any(&out, &[Kind::Bulk, Kind::Alarms]).unwrap().unwrap();
        assert_eq!(piece.bytes, out.len());
        assert_eq!(piece.goes_on, !last);
        let whole = assembly.take(&piece).unwrap();
        assert_eq!(whole.is_some(), last);
        if let Some((kind, body)) = whole {
            return (count, sealed(kind, &body));
        }
    }
}

proptest! {
    #[test]
    fn pieces_give_the_frame_again(body in vec(any::<u8>(), 0..500), most in 0usize..600) {
        for kind in [Kind::Bulk, Kind::Alarms] {
            let frame = sealed(kind, &body);
            let (count, again) = in_pieces(&frame, most);
            prop_assert_eq!(&again, &frame);
            prop_assert!(count == 1 || frame.len() > most);
        }
    }
}

#[test]
fn nothing_comes_between_pieces_and_they_are_not_longer_than_a_frame() {
    let mut out = vec![];
    let first = |kind, bytes, out: &mut Vec<u8>| Pieces::of(sealed(kind, &vec![7; bytes])).next(bytes / 2, out);
    let mut assembly = Assembly::default();
    assert!(!first(Kind::Bulk, 1000, &mut out));
    let piece = out.clone();
    assert_eq!(assembly.take(&decode(&piece, Kind::Bulk).unwrap().unwrap()), Ok(None));
    let other = sealed(Kind::Alarms, b"x");
    let error = assembly.take(&decode(&other, Kind::Alarms).unwrap().unwrap()).unwrap_err();
    assert!(error.to_string().contains("within the pieces of another"), "{error}");

    let mut assembly = Assembly::default();
    assert!(!first(Kind::Bulk, MAX_BULK_BODY_BYTES, &mut out));
    let piece = decode(&out, Kind::Bulk).unwrap().unwrap();
    let result: Vec<_> = (0..3).map(|_| assembly.take(&piece)).collect();
    assert!(
        matches!(&result[2], Err(WireError::TooLong { length, .. }) if *length > MAX_BULK_BODY_BYTES),
        "{result:?}"
    );
}

#[test]
fn only_frames_of_the_bulk_connection_have_pieces() {
    let mut frame = sealed(Kind::Control, b"");
    frame[3] = GOES_ON;
    assert_eq!(decode(&frame, Kind::Control), Err(WireError::UnknownFlags { flags: GOES_ON }));
    let mut frame = sealed(Kind::Bulk, b"");
    frame[3] = 2 | GOES_ON;
    assert_eq!(decode(&frame, Kind::Bulk), Err(WireError::UnknownFlags { flags: 3 }));
}

#[test]
fn what_has_arrived_is_a_number() {
    let frame = encode_arrived(0x0102_0304_0506_0708);
    let read = decode(&frame, Kind::Arrived).unwrap().unwrap();
    assert_eq!(decode_arrived(read.body), Ok(0x0102_0304_0506_0708));
    assert!(decode_arrived(b"1234").is_err());
    assert!(matches!(decode(&sealed_long(), Kind::Arrived), Err(WireError::TooLong { limit: 8, .. })));
}

fn sealed_long() -> Vec<u8> {
    let mut frame = encode_arrived(1);
    frame[4] = 9;
    frame
}
