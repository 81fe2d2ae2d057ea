//! Batches of changes: the hot frame. MessagePack written directly, without an allocation for each update.
//!
//! ```text
//! [sync, watermark, last, [update …], [operation …]]      sync, watermark, last: 64 bits; updates: 32-bit count
//! update     [id, seq - previous seq, time - previous time, value]  or  [… , value, quality] when it is not Good
//! operation  [id, request hash, seq, age in ms, [result …]]
//! ```
//!
//! *Previous* is the update before it in the batch, or 0. A value has MessagePack's own type; a DateTime is extension
//! type 1 of eight bytes (milliseconds, big endian).

use rmp::encode::{ByteBuf, write_array_len};

use super::record;
use crate::operations::Record;
use crate::protocol::MAX_OPERATION_ID_BYTES;
use crate::types::Seq;
use crate::value::{MAX_STRING_BYTES, Sample, Value};
use crate::wire::{self, HEADER_BYTES, Kind, MAX_BULK_BODY_BYTES, WireError, at_most};

/// The most results of an operation that travel. The record of a longer write stays at the leader.
pub const MAX_OPERATION_RESULTS: usize = 65_536;

/// MessagePack: array of five, unsigned 64 bits, array with a 32-bit count.
const ARRAY_5: u8 = 0x95;
const U64: u8 = 0xCF;
const ARRAY_32: u8 = 0xDD;
/// Where in the frame the fixed-width fields stand.
const SYNC: usize = HEADER_BYTES + 2;
const WATERMARK: usize = SYNC + 9;
const LAST: usize = WATERMARK + 9;
const UPDATES: usize = LAST + 9;
const FIRST_UPDATE: usize = UPDATES + 4;
/// Longest frame; room is left for the count of operations.
const MAX_FRAME_BYTES: usize = HEADER_BYTES + MAX_BULK_BODY_BYTES - 5;
/// The most bytes that an update has besides its text, and an operation besides its id and results.
const RECORD_BYTES: usize = 48;
/// The least bytes that an update or an operation takes.
const LEAST_RECORD_BYTES: usize = 5;

/// What stands at the front of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Number of the sync.
    pub sync: u64,
    /// Whoever applied this batch, and those before it, holds every change up to here.
    pub watermark: Seq,
    /// The leader's last change.
    pub last: Seq,
    /// How many updates follow.
    pub updates: u32,
}

/// What [`read_batch`] shows, in this order: the header, all updates, all operations.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchItem {
    /// First.
    Header(BatchHeader),
    /// The leader's id of a tag, its last change, and what it holds since.
    Update(u32, Seq, Sample),
    /// The result of a write, for those who repeat it.
    Operation {
        /// The write and its result.
        record: Record,
        /// How long ago it was made, in milliseconds.
        age_ms: u64,
    },
}

/// Writes batches, one after the other, into the same memory.
#[derive(Debug, Default)]
pub struct BatchWriter {
    frame: ByteBuf,
    operations: ByteBuf,
    updates: u32,
    operation_count: u32,
    /// Change number and time of the last update.
    previous: (Seq, i64),
}

impl BatchWriter {
    /// A writer; call [`Self::start`] first.
    pub fn new() -> Self {
        let mut writer = Self::default();
        writer.start(0);
        writer
    }

    /// Drops what was written and starts a batch of this sync.
    pub fn start(&mut self, sync: u64) {
        self.operations.as_mut_vec().clear();
        (self.updates, self.operation_count, self.previous) = (0, 0, (0, 0));
        let frame = self.frame.as_mut_vec();
        frame.clear();
        frame.resize(FIRST_UPDATE, 0);
        frame[HEADER_BYTES] = ARRAY_5;
        for field in [SYNC, WATERMARK, LAST] {
            frame[field - 1] = U64;
        }
        frame[UPDATES - 1] = ARRAY_32;
        frame[SYNC..SYNC + 8].copy_from_slice(&sync.to_be_bytes());
    }

    /// Appends an update. Errors, which leave the batch as it was: no room, or a text longer than [`MAX_STRING_BYTES`].
    pub fn update(&mut self, id: u32, seq: Seq, sample: &Sample) -> Result<(), WireError> {
        let text_bytes = if let Value::String(text) = &sample.value { text.len() } else { 0 };
        at_most("bytes of a tag's text", text_bytes, MAX_STRING_BYTES)?;
        self.check_room(RECORD_BYTES + text_bytes)?;
        record::write_update(&mut self.frame, id, seq, sample, self.previous);
        self.previous = (seq, sample.time.0);
        self.updates += 1;
        Ok(())
    }

    /// Appends the result of a write that was made `age_ms` ago. Errors, which leave the batch as it was: no room, an id
    /// longer than [`MAX_OPERATION_ID_BYTES`], more than [`MAX_OPERATION_RESULTS`].
    pub fn operation(&mut self, operation: &Record, age_ms: u64) -> Result<(), WireError> {
        at_most("bytes of an operation id", operation.id.len(), MAX_OPERATION_ID_BYTES)?;
        at_most("results of an operation", operation.results.len(), MAX_OPERATION_RESULTS)?;
        self.check_room(RECORD_BYTES + operation.id.len() + operation.results.len())?;
        record::write_operation(&mut self.operations, operation, age_ms);
        self.operation_count += 1;
        Ok(())
    }

    /// Whether one more update or operation fits, however long it is.
    pub fn has_room(&self) -> bool {
        const LONGEST: usize = RECORD_BYTES + MAX_OPERATION_ID_BYTES + MAX_OPERATION_RESULTS;
        const { assert!(LONGEST > RECORD_BYTES + MAX_STRING_BYTES) };
        self.check_room(LONGEST).is_ok()
    }

    /// How many updates it holds.
    pub fn updates(&self) -> u32 {
        self.updates
    }

    /// How many operations it holds.
    pub fn operations(&self) -> u32 {
        self.operation_count
    }

    /// The whole frame, to be sent before the next [`Self::start`]. Once for each batch.
    pub fn finish(&mut self, watermark: Seq, last: Seq) -> Result<&[u8], WireError> {
        let Ok(_) = write_array_len(&mut self.frame, self.operation_count);
        let frame = self.frame.as_mut_vec();
        frame.extend_from_slice(self.operations.as_slice());
        frame[WATERMARK..WATERMARK + 8].copy_from_slice(&watermark.to_be_bytes());
        frame[LAST..LAST + 8].copy_from_slice(&last.to_be_bytes());
        frame[UPDATES..UPDATES + 4].copy_from_slice(&self.updates.to_be_bytes());
        wire::seal(frame, Kind::Bulk)?;
        Ok(frame)
    }

    fn check_room(&self, needed: usize) -> Result<(), WireError> {
        let length = self.frame.as_vec().len() + self.operations.as_vec().len() + needed;
        if length <= MAX_FRAME_BYTES {
            return Ok(());
        }
        Err(WireError::TooLong { kind: Kind::Bulk, length: length - HEADER_BYTES, limit: MAX_BULK_BODY_BYTES })
    }
}

/// Whether the body of a bulk frame is a batch.
pub(super) fn is_batch(body: &[u8]) -> bool {
    body.first() == Some(&ARRAY_5)
}

/// Shows everything in a batch to `visit`.
///
/// On an error some of it may have been shown already: the watermark must then not be believed, and the connection is
/// to be closed. (A frame's checksum makes this a fault of the peer's program, not of the network.)
pub fn read_batch(body: &[u8], mut visit: impl FnMut(BatchItem)) -> Result<BatchHeader, WireError> {
    let rest = &mut &*body;
    if record::array_len(rest)? != 5 {
        return Err(WireError::malformed("a batch has 5 parts"));
    }
    let (sync, watermark, last) =
        (record::unsigned(rest, "sync")?, record::unsigned(rest, "watermark")?, record::unsigned(rest, "last")?);
    let updates = record::count(rest, "updates", LEAST_RECORD_BYTES)?;
    let header = BatchHeader { sync, watermark, last, updates };
    visit(BatchItem::Header(header));
    let mut previous = (0, 0);
    for _ in 0..updates {
        let (id, seq, sample) = record::read_update(rest, previous)?;
        previous = (seq, sample.time.0);
        visit(BatchItem::Update(id, seq, sample));
    }
    for _ in 0..record::count(rest, "operations", LEAST_RECORD_BYTES)? {
        let (record, age_ms) = record::read_operation(rest)?;
        visit(BatchItem::Operation { record, age_ms });
    }
    match rest.len() {
        0 => Ok(header),
        bytes => Err(WireError::TrailingBytes { bytes }),
    }
}
