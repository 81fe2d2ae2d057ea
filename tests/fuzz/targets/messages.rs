//! Messages in the bodies of frames: whatever is understood can be said again, and means the same then.

use hotpair_core::alarm_replication;
use hotpair_core::bulk::{self, BatchItem, BatchWriter, Incoming, read_batch};
use hotpair_core::greeting;
use hotpair_core::protocol::{Control, Greeting};
use hotpair_core::wire::{HEADER_BYTES, Kind, WireError, decode, decode_control, encode_control, validate};

/// The first byte says what the rest is the body of.
pub fn run(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    match kind % 3 {
        0 => control(body),
        1 => bulk_message(body),
        _ => alarms(body),
    }
}

fn control(body: &[u8]) {
    let Ok(message) = decode_control(body) else { return };
    assert_eq!(validate(&message), Ok(()));
    let Some(frame) = said_again(encode_control(&message)) else { return };
    let again = decode_control(body_of(&frame, Kind::Control)).expect("it was encoded here");
    // Compared as bytes: a number that is none is not equal to itself.
    assert_eq!(encode_control(&again).as_ref(), Ok(&frame));
    if let Control::Greeting(theirs) = message {
        greeted(&theirs);
    }
}

/// Both sides come to the same end, and can tell it.
fn greeted(theirs: &Greeting) {
    let mut mine = theirs.clone();
    mine.node.0 ^= 1;
    mine.boot.0 ^= 1;
    mine.name = "Line1".into();
    mine.project.files.truncate(1);
    mine.mode = match theirs.mode {
        hotpair_core::types::Mode::Master => hotpair_core::types::Mode::Backup,
        _ => hotpair_core::types::Mode::Master,
    };
    for mine in [&mine, theirs] {
        match (greeting::check(mine, theirs), greeting::check(theirs, mine)) {
            (Ok(here), Ok(there)) => {
                assert_eq!((here.protocol, here.features), (there.protocol, there.features));
                assert_eq!(here.remarks.len(), there.remarks.len());
                here.remarks.iter().for_each(|remark| drop(remark.to_string()));
            }
            (Err(here), Err(there)) => {
                assert_eq!(here.code, there.code);
                assert!(encode_control(&Control::Refused(here)).is_ok(), "the reason cannot be sent");
            }
            (here, there) => panic!("one takes what the other refuses: {here:?} {there:?}"),
        }
    }
}

fn bulk_message(body: &[u8]) {
    match bulk::decode(body) {
        Ok(Incoming::Message(message)) => {
            let Some(frame) = said_again(bulk::encode(&message)) else { return };
            let Ok(Incoming::Message(again)) = bulk::decode(body_of(&frame, Kind::Bulk)) else {
                panic!("not understood again: {message:?}");
            };
            assert_eq!(bulk::encode(&again).as_ref(), Ok(&frame));
        }
        Ok(Incoming::Batch(batch)) => {
            let mut items = Vec::new();
            let Ok(header) = read_batch(batch, |item| items.push(item)) else { return };
            assert_eq!(items.first(), Some(&BatchItem::Header(header)));
            let Some(frame) = written(&items) else { return };
            let mut again = Vec::new();
            read_batch(body_of(&frame, Kind::Bulk), |item| again.push(item)).expect("it was written here");
            assert_eq!(written(&again).as_ref(), Some(&frame));
            assert_eq!(again.len(), items.len());
        }
        Err(_) => {}
    }
}

fn written(items: &[BatchItem]) -> Option<Vec<u8>> {
    let mut writer = BatchWriter::new();
    let (mut watermark, mut last) = (0, 0);
    for item in items {
        match item {
            BatchItem::Header(header) => {
                writer.start(header.sync);
                (watermark, last) = (header.watermark, header.last);
            }
            BatchItem::Update(id, seq, sample) => said_again(writer.update(*id, *seq, sample))?,
            BatchItem::Operation { record, age_ms } => said_again(writer.operation(record, *age_ms))?,
        }
    }
    said_again(writer.finish(watermark, last).map(<[u8]>::to_vec))
}

fn alarms(body: &[u8]) {
    let Ok(message) = alarm_replication::decode(body) else { return };
    let Some(frame) = said_again(alarm_replication::encode(&message)) else { return };
    let again = alarm_replication::decode(body_of(&frame, Kind::Alarms)).expect("it was encoded here");
    assert_eq!(alarm_replication::encode(&again).as_ref(), Ok(&frame));
}

/// What came in a shorter form than this node's own may be too long for a frame in that one; nothing else is an excuse.
fn said_again<T>(result: Result<T, WireError>) -> Option<T> {
    match result {
        Ok(said) => Some(said),
        Err(WireError::TooLong { .. }) => None,
        Err(error) => panic!("it was understood, and cannot be said: {error}"),
    }
}

fn body_of(frame: &[u8], kind: Kind) -> &[u8] {
    let found = decode(frame, kind).expect("a right header").expect("a whole frame");
    assert_eq!(found.bytes, frame.len());
    &frame[HEADER_BYTES..]
}
