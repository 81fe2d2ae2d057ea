//! The frame decoder: streams of any bytes, cut anywhere.

use hotpair_core::wire::{Assembly, HEADER_BYTES, Kind, WireError, decode_any, decode_arrived, decode_control};
use hotpair_core::{alarm_replication, bulk};

/// The first byte says which kinds are expected, and whether the first header is made right, as no chance would make it.
pub fn run(data: &[u8]) {
    let Some((choice, stream)) = data.split_first() else { return };
    let expected: &[Kind] = match choice & 3 {
        0 => &[Kind::Control],
        1 => &[Kind::Bulk],
        2 => &[Kind::Bulk, Kind::Alarms, Kind::Arrived],
        _ => &[],
    };
    let mut stream = stream.to_vec();
    if choice & 4 != 0 {
        make_right(&mut stream);
    }
    said_once_is_said_for_good(&stream, expected);
    let mut rest = &stream[..];
    let mut assembly = Assembly::default();
    while let Ok(Some(frame)) = decode_any(rest, expected) {
        assert!(expected.contains(&frame.kind));
        assert_eq!(frame.bytes, HEADER_BYTES + frame.body.len());
        assert!(frame.body.len() <= frame.kind.max_body_bytes());
        if matches!(frame.kind, Kind::Bulk | Kind::Alarms) {
            let Ok(whole) = assembly.take(&frame) else { return };
            if let Some((kind, body)) = whole {
                assert!(body.len() <= kind.max_body_bytes());
                read(kind, &body);
            }
        } else {
            read(frame.kind, frame.body);
        }
        rest = &rest[frame.bytes..];
    }
}

/// A peer that sends byte by byte is told the same as one that sends all at once.
fn said_once_is_said_for_good(stream: &[u8], expected: &[Kind]) {
    let whole = decode_any(stream, expected);
    let cuts = (0..stream.len().min(3 * HEADER_BYTES)).chain(stream.len().saturating_sub(2)..stream.len());
    for cut in cuts {
        match decode_any(&stream[..cut], expected) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                assert_eq!(whole, Ok(Some(frame)), "cut at {cut}");
            }
            // It may show more of what came.
            Err(WireError::NotHotpair { .. }) => assert!(matches!(whole, Err(WireError::NotHotpair { .. }))),
            Err(error) => assert_eq!(whole, Err(error), "cut at {cut}"),
        }
    }
}

fn read(kind: Kind, body: &[u8]) {
    match kind {
        Kind::Control => drop(decode_control(body)),
        Kind::Bulk => {
            if let Ok(bulk::Incoming::Batch(batch)) = bulk::decode(body) {
                drop(bulk::read_batch(batch, |_| {}));
            }
        }
        Kind::Alarms => drop(alarm_replication::decode(body)),
        Kind::Arrived => drop(decode_arrived(body)),
    }
}

/// Magic, length and checksum of a frame that takes all of the stream.
fn make_right(stream: &mut [u8]) {
    if stream.len() < HEADER_BYTES {
        return;
    }
    let length = (stream.len() - HEADER_BYTES) as u32;
    stream[..2].copy_from_slice(&hotpair_core::wire::MAGIC);
    stream[2] = 1 + stream[2] % 4;
    stream[3] = u8::from(stream[3] > 127);
    stream[4..8].copy_from_slice(&length.to_le_bytes());
    // Whoever is refused for its checksum is told the right one.
    if let Err(WireError::Checksum { computed, .. }) =
        decode_any(stream, &[Kind::Control, Kind::Bulk, Kind::Alarms, Kind::Arrived])
    {
        stream[8..12].copy_from_slice(&computed.to_le_bytes());
    }
}
