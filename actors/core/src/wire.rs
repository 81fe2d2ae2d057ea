//! Frames: how messages lie on a connection. Checked before anything is believed, limited before anything is kept.
//!
//! ```text
//! offset  0       2      3       4            8            12
//!         magic   kind   flags   length       CRC-32C      body …
//!         F5 70   1..=4  0 or 1  u32 LE       u32 LE       MessagePack, `length` bytes
//! ```
//!
//! The checksum covers the first eight bytes and the body. The magic's first byte occurs in no UTF-8 text, so that
//! HTTP, TLS or a telnet session at this port is recognised by its first byte.
//!
//! Messages are MessagePack maps with field and variant names, so that neighbouring versions understand each other:
//! a field that a decoder does not know is skipped, a field added later carries `#[serde(default)]`, and a variant that
//! it does not know is [`WireError::UnknownMessage`], which the caller may skip (the frame is taken already). The rules
//! in full are in `docs/protocol.md`.

mod error;
mod limits;
mod pieces;
#[cfg(test)]
pub(crate) mod tests;

use std::io::Cursor;

use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize, de};

pub use error::WireError;
pub use limits::{MAX_FAULTS, MAX_FILES, MAX_MODULES, MAX_NAME_BYTES, MAX_PATH_BYTES, validate};
pub(crate) use limits::{at_most, lineage, path, text, value};
pub use pieces::{Assembly, Pieces};

use crate::protocol::Control;

/// The first two bytes of every frame.
pub const MAGIC: [u8; 2] = [0xF5, b'p'];
/// Bytes before the body.
pub const HEADER_BYTES: usize = 12;
/// The longest body of a control frame, the greeting included: a write of a hundred values, a few strings.
pub const MAX_CONTROL_BODY_BYTES: usize = 64 * 1024;
/// The longest body of a bulk frame: what one read of a fast link brings.
pub const MAX_BULK_BODY_BYTES: usize = 1024 * 1024;
/// The flag of a piece: the frame goes on in the next one of this kind. Only frames of the bulk connection have pieces.
pub const GOES_ON: u8 = 1;
/// How deep values may lie in each other; today's messages need 12.
const MAX_DEPTH: usize = 32;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A [`Control`] message.
    Control,
    /// What [`crate::bulk`] reads.
    Bulk,
    /// What [`crate::alarm_replication`] reads; on the bulk connection too.
    Alarms,
    /// How much of kinds 2 and 3 has arrived; on the bulk connection, see [`crate::pace`].
    Arrived,
}

impl Kind {
    /// The longest body of a frame of this kind.
    pub fn max_body_bytes(self) -> usize {
        match self {
            Self::Control => MAX_CONTROL_BODY_BYTES,
            Self::Bulk | Self::Alarms => MAX_BULK_BODY_BYTES,
            Self::Arrived => size_of::<u64>(),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Control => 1,
            Self::Bulk => 2,
            Self::Alarms => 3,
            Self::Arrived => 4,
        }
    }

    fn flags(self) -> u8 {
        match self {
            Self::Control | Self::Arrived => 0,
            Self::Bulk | Self::Alarms => GOES_ON,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        [Self::Control, Self::Bulk, Self::Alarms, Self::Arrived].into_iter().find(|kind| kind.code() == code)
    }
}

/// A whole frame at the front of a buffer; its checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it carries.
    pub kind: Kind,
    /// For [`decode_control`] or [`crate::bulk::decode`].
    pub body: &'a [u8],
    /// It is a piece, and not the last one.
    pub goes_on: bool,
    /// How many bytes of the buffer the frame takes: remove them before the next call.
    pub bytes: usize,
}

/// The frame at the front of `buffer`; none while it is not complete. An error is final: close the connection.
///
/// What is wrong with a header is said as soon as its bytes are there, not when the body is. Nothing is allocated, and
/// each call costs the same however much of a body is still missing.
pub fn decode(buffer: &[u8], expected: Kind) -> Result<Option<Frame<'_>>, WireError> {
    decode_any(buffer, &[expected])
}

/// As [`decode`], where frames of several kinds may come.
pub fn decode_any<'a>(buffer: &'a [u8], expected: &[Kind]) -> Result<Option<Frame<'a>>, WireError> {
    if !buffer.iter().zip(&MAGIC).all(|(found, magic)| found == magic) {
        return Err(WireError::not_hotpair(buffer));
    }
    let Some(&code) = buffer.get(2) else { return Ok(None) };
    let kind = Kind::of_code(code).ok_or(WireError::UnknownKind { code })?;
    if !expected.contains(&kind) {
        let expected = expected.first().copied().unwrap_or(kind);
        return Err(WireError::UnexpectedKind { found: kind, expected });
    }
    let Some(&flags) = buffer.get(3) else { return Ok(None) };
    if flags & !kind.flags() != 0 {
        return Err(WireError::UnknownFlags { flags });
    }
    let Some(length) = u32_at(buffer, 4) else { return Ok(None) };
    let (length, limit) = (length as usize, kind.max_body_bytes());
    if length > limit {
        return Err(WireError::TooLong { kind, length, limit });
    }
    let Some(stated) = u32_at(buffer, 8) else { return Ok(None) };
    let bytes = HEADER_BYTES + length;
    let Some(body) = buffer.get(HEADER_BYTES..bytes) else { return Ok(None) };
    let computed = checksum(&buffer[..8], body);
    if stated != computed {
        return Err(WireError::Checksum { stated, computed });
    }
    Ok(Some(Frame { kind, body, goes_on: flags & GOES_ON != 0, bytes }))
}

/// The message in the body of a control frame, inside all limits.
///
/// [`WireError::UnknownMessage`] may be skipped; every other error is final.
pub fn decode_control(body: &[u8]) -> Result<Control, WireError> {
    let message = decode_message(body)?;
    validate(&message)?;
    Ok(message)
}

/// A frame of this message. Errors: it exceeds a limit, so that the peer would refuse it.
pub fn encode_control(message: &Control) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(128);
    append_control(&mut out, message)?;
    Ok(out)
}

/// Appends a frame of this message to `out`, which an error leaves as it was. Errors as of [`encode_control`].
pub fn append_control(out: &mut Vec<u8>, message: &Control) -> Result<(), WireError> {
    validate(message)?;
    append_message(out, Kind::Control, message)
}

/// Appends a frame of `message`, by field names; an error leaves `out` as it was.
pub(crate) fn append_message<T: Serialize>(out: &mut Vec<u8>, kind: Kind, message: &T) -> Result<(), WireError> {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    let written = rmp_serde::encode::write_named(out, message)
        .map_err(|error| WireError::Malformed { reason: error.to_string() })
        .and_then(|()| seal(&mut out[start..], kind));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// A frame that says how many bytes of frames of kinds 2 and 3, headers included, have arrived on this connection.
pub fn encode_arrived(total: u64) -> Vec<u8> {
    let mut out = vec![0; HEADER_BYTES];
    out.extend_from_slice(&total.to_le_bytes());
    // Its body has the length that its kind may have.
    let _ = seal(&mut out, Kind::Arrived);
    out
}

/// What [`encode_arrived`] said.
pub fn decode_arrived(body: &[u8]) -> Result<u64, WireError> {
    let bytes = body.try_into().map_err(|_| WireError::malformed("a count of bytes that does not have eight"))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Writes the header of a frame whose body stands after [`HEADER_BYTES`] of room. Errors: the body is too long.
pub(crate) fn seal(frame: &mut [u8], kind: Kind) -> Result<(), WireError> {
    seal_with(frame, kind, 0)
}

fn seal_with(frame: &mut [u8], kind: Kind, flags: u8) -> Result<(), WireError> {
    let Some((header, body)) = frame.split_first_chunk_mut::<HEADER_BYTES>() else {
        return Err(WireError::Malformed { reason: "a frame without room for its header".into() });
    };
    let (length, limit) = (body.len(), kind.max_body_bytes());
    if length > limit {
        return Err(WireError::TooLong { kind, length, limit });
    }
    header[..2].copy_from_slice(&MAGIC);
    header[2] = kind.code();
    header[3] = flags;
    header[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    let sum = checksum(&header[..8], body);
    header[8..].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// A message written by field names, with nothing after it.
pub(crate) fn decode_message<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, WireError> {
    let mut deserializer = rmp_serde::Deserializer::new(Cursor::new(body));
    deserializer.set_max_depth(MAX_DEPTH);
    let message = T::deserialize(&mut deserializer).map_err(|error| match message_name(body) {
        Some(name) if !is_known::<T>(name) => WireError::unknown_message(name),
        _ => WireError::Malformed { reason: error.to_string() },
    })?;
    match body.len() - deserializer.position() as usize {
        0 => Ok(message),
        bytes => Err(WireError::TrailingBytes { bytes }),
    }
}

/// The name of the variant that a body starts with.
fn message_name(mut body: &[u8]) -> Option<&str> {
    /// MessagePack: a map of one entry, which is how a variant with content is written.
    const MAP_OF_ONE: u8 = 0x81;
    if body.first() == Some(&MAP_OF_ONE) {
        body = &body[1..];
    }
    rmp::decode::read_str_from_slice(body).ok().map(|(name, _)| name)
}

/// Whether the enum `T` has a variant of this name: asked of serde, so that there is no second list of them.
fn is_known<T: for<'de> Deserialize<'de>>(name: &str) -> bool {
    !matches!(T::deserialize(StrDeserializer::<NameError>::new(name)), Err(NameError::UnknownVariant))
}

#[derive(Debug)]
enum NameError {
    UnknownVariant,
    /// The name is known: its content is missing, as it must.
    Other,
}

impl std::fmt::Display for NameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for NameError {}

impl de::Error for NameError {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::UnknownVariant
    }
}

fn checksum(start: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(start), body)
}

fn u32_at(buffer: &[u8], offset: usize) -> Option<u32> {
    buffer.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
