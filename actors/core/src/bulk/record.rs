//! One update, one operation: how each lies in a batch.

use rmp::Marker;
use rmp::decode::{RmpRead, read_int, read_marker};
use rmp::encode::{
    ByteBuf, RmpWrite, write_array_len, write_bool, write_ext_meta, write_f64, write_sint, write_str, write_uint,
};

use super::batch::MAX_OPERATION_RESULTS;
use crate::operations::Record;
use crate::protocol::{ItemResult, MAX_OPERATION_ID_BYTES};
use crate::quality::Quality;
use crate::types::{Seq, UnixMillis};
use crate::value::{MAX_STRING_BYTES, Sample, Value};
use crate::wire::{WireError, at_most};

/// MessagePack extension type of a DateTime.
const DATE_TIME: i8 = 1;

// Writing into memory cannot fail: each `let Ok(..)` below is a pattern that always matches.

pub(super) fn write_update(out: &mut ByteBuf, id: u32, seq: Seq, sample: &Sample, previous: (Seq, i64)) {
    let Ok(_) = write_array_len(out, if sample.quality == Quality::GOOD { 4 } else { 5 });
    let Ok(_) = write_uint(out, u64::from(id));
    // Wrapping: every pair of numbers has a difference, and adding it gives back the number.
    let Ok(_) = write_sint(out, seq.wrapping_sub(previous.0).cast_signed());
    let Ok(_) = write_sint(out, sample.time.0.wrapping_sub(previous.1));
    match &sample.value {
        Value::Bool(value) => {
            let Ok(()) = write_bool(out, *value);
        }
        Value::Int64(value) => {
            let Ok(_) = write_sint(out, *value);
        }
        Value::Float64(value) => {
            let Ok(()) = write_f64(out, *value);
        }
        Value::String(value) => {
            let Ok(()) = write_str(out, value);
        }
        Value::DateTime(value) => {
            let Ok(_) = write_ext_meta(out, 8, DATE_TIME);
            let Ok(()) = out.write_bytes(&value.0.to_be_bytes());
        }
    }
    if sample.quality != Quality::GOOD {
        let Ok(_) = write_uint(out, u64::from(sample.quality.0));
    }
}

pub(super) fn read_update(rest: &mut &[u8], previous: (Seq, i64)) -> Result<(u32, Seq, Sample), WireError> {
    let length = array_len(rest)?;
    if !matches!(length, 4 | 5) {
        return Err(WireError::malformed(format!("an update has 4 or 5 parts, not {length}")));
    }
    let id = unsigned_32(rest, "id of a tag")?;
    let seq = previous.0.wrapping_add_signed(signed(rest, "change number")?);
    let time = UnixMillis(previous.1.wrapping_add(signed(rest, "time")?));
    let value = read_value(rest)?;
    let quality = if length == 5 { Quality(unsigned_32(rest, "quality")?) } else { Quality::GOOD };
    Ok((id, seq, Sample { value, quality, time }))
}

fn read_value(rest: &mut &[u8]) -> Result<Value, WireError> {
    let before = *rest;
    let marker = read_marker(rest).map_err(|_| cut_short("value"))?;
    Ok(match marker {
        Marker::F64 => Value::Float64(rest.read_data_f64().map_err(|_| cut_short("value"))?),
        Marker::False => Value::Bool(false),
        Marker::True => Value::Bool(true),
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            *rest = before;
            Value::String(string(rest, "bytes of a tag's text", MAX_STRING_BYTES)?.into())
        }
        Marker::FixExt8 => {
            let Some((bytes, after)) = rest.split_first_chunk::<9>() else { return Err(cut_short("value")) };
            let [kind, time @ ..] = *bytes;
            if kind.cast_signed() != DATE_TIME {
                return Err(WireError::malformed(format!("a value of unknown extension type {}", kind.cast_signed())));
            }
            *rest = after;
            Value::DateTime(UnixMillis(i64::from_be_bytes(time)))
        }
        _ => {
            *rest = before;
            Value::Int64(signed(rest, "value")?)
        }
    })
}

pub(super) fn write_operation(out: &mut ByteBuf, operation: &Record, age_ms: u64) {
    let Ok(_) = write_array_len(out, 5);
    let Ok(()) = write_str(out, &operation.id);
    let Ok(_) = write_uint(out, operation.request_hash);
    let Ok(_) = write_uint(out, operation.seq);
    let Ok(_) = write_uint(out, age_ms);
    let Ok(_) = write_array_len(out, operation.results.len() as u32);
    for result in &operation.results {
        let Ok(_) = write_uint(out, code_of(*result));
    }
}

pub(super) fn read_operation(rest: &mut &[u8]) -> Result<(Record, u64), WireError> {
    if array_len(rest)? != 5 {
        return Err(WireError::malformed("an operation has 5 parts"));
    }
    let id = string(rest, "bytes of an operation id", MAX_OPERATION_ID_BYTES)?.into();
    let request_hash = unsigned(rest, "hash of a request")?;
    let seq = unsigned(rest, "change number of an operation")?;
    let age_ms = unsigned(rest, "age of an operation")?;
    let count = count(rest, "results of an operation", 1)? as usize;
    at_most("results of an operation", count, MAX_OPERATION_RESULTS)?;
    let results =
        (0..count).map(|_| unsigned(rest, "result of a write").and_then(result_of)).collect::<Result<_, _>>()?;
    Ok((Record { id, request_hash, seq, results }, age_ms))
}

fn code_of(result: ItemResult) -> u64 {
    match result {
        ItemResult::Good => 0,
        ItemResult::BadNodeIdUnknown => 1,
        ItemResult::BadNotWritable => 2,
        ItemResult::BadTypeMismatch => 3,
        ItemResult::BadOutOfRange => 4,
    }
}

fn result_of(code: u64) -> Result<ItemResult, WireError> {
    Ok(match code {
        0 => ItemResult::Good,
        1 => ItemResult::BadNodeIdUnknown,
        2 => ItemResult::BadNotWritable,
        3 => ItemResult::BadTypeMismatch,
        4 => ItemResult::BadOutOfRange,
        _ => return Err(WireError::malformed(format!("a write's result of unknown code {code}"))),
    })
}

/// Results in a message written with names: as the numbers that a batch has, for their names would not fit a frame.
pub(super) mod codes {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{ItemResult, code_of, result_of};

    pub(in crate::bulk) fn serialize<S: Serializer>(results: &[ItemResult], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(results.iter().map(|result| code_of(*result)))
    }

    pub(in crate::bulk) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ItemResult>, D::Error> {
        let codes = Vec::<u8>::deserialize(from)?;
        codes.into_iter().map(|code| result_of(u64::from(code)).map_err(D::Error::custom)).collect()
    }
}

pub(super) fn unsigned(rest: &mut &[u8], what: &str) -> Result<u64, WireError> {
    read_int(rest).map_err(|error| WireError::malformed(format!("{what}: {error}")))
}

fn signed(rest: &mut &[u8], what: &str) -> Result<i64, WireError> {
    read_int(rest).map_err(|error| WireError::malformed(format!("{what}: {error}")))
}

fn unsigned_32(rest: &mut &[u8], what: &str) -> Result<u32, WireError> {
    read_int(rest).map_err(|error| WireError::malformed(format!("{what}: {error}")))
}

pub(super) fn array_len(rest: &mut &[u8]) -> Result<u32, WireError> {
    rmp::decode::read_array_len(rest).map_err(|error| WireError::malformed(format!("array: {error}")))
}

/// The length of an array whose items take `least` bytes each: never more than what is left can hold.
pub(super) fn count(rest: &mut &[u8], what: &'static str, least: usize) -> Result<u32, WireError> {
    let count = array_len(rest)?;
    at_most(what, count as usize, rest.len() / least)?;
    Ok(count)
}

fn string<'a>(rest: &mut &'a [u8], what: &'static str, limit: usize) -> Result<&'a str, WireError> {
    let before = *rest;
    let (string, after) =
        rmp::decode::read_str_from_slice(before).map_err(|error| WireError::malformed(format!("{what}: {error}")))?;
    at_most(what, string.len(), limit)?;
    *rest = after;
    Ok(string)
}

fn cut_short(what: &str) -> WireError {
    WireError::malformed(format!("{what}: the batch ends within it"))
}
