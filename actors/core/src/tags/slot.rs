//! The place of one tag in the table.

use xxhash_rust::xxh3::xxh3_64;

use crate::catalog::TagDef;
use crate::quality::Quality;
use crate::types::{Seq, UnixMillis};
use crate::value::{Sample, Value, ValueType};

/// One cache line, so that a change touches one.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    pub(super) sample: Sample,
    /// Number of the last change; 0: nobody wrote it.
    pub(super) seq: Seq,
    /// Of the path, which two nodes have in common, while ids may differ.
    pub(super) path_hash: u64,
    value_type: ValueType,
    flags: u8,
}

const SOURCE_FED: u8 = 1;
const RETAINED: u8 = 2;
/// It waits in the outbox.
const QUEUED: u8 = 4;
/// The follower of the open outbox does not have the tag.
const EXCLUDED: u8 = 8;
/// Alarms watch it.
const WATCHED: u8 = 16;

impl Slot {
    pub(super) fn new(tag: &TagDef) -> Self {
        // A catalog is checked when it is read; should an initial value not fit all the same, it is as if not there.
        let initial = tag.initial.clone().filter(|value| value.value_type() == tag.value_type);
        let (value, quality) = match initial {
            Some(value) => (value, Quality::UNCERTAIN_INITIAL_VALUE),
            None => (Value::default_of(tag.value_type), Quality::BAD_WAITING_FOR_INITIAL_DATA),
        };
        Self {
            sample: Sample { value, quality, time: UnixMillis(0) },
            seq: 0,
            path_hash: xxh3_64(tag.path.as_bytes()),
            value_type: tag.value_type,
            flags: if tag.source_fed { SOURCE_FED } else { 0 } | if tag.retain { RETAINED } else { 0 },
        }
    }

    #[inline]
    pub(super) fn fits(&self, value: &Value) -> bool {
        value.value_type() == self.value_type
    }

    // Field by field and inlined with its callers: a sample that is built first and moved then costs twice the time.
    #[inline]
    pub(super) fn set(&mut self, value: Value, quality: Quality, time: UnixMillis, seq: Seq) {
        self.sample.value = value;
        self.sample.quality = quality;
        self.sample.time = time;
        self.seq = seq;
    }

    pub(super) fn shown_quality(&self, stale_before: Seq) -> Quality {
        let quality = self.sample.quality;
        if self.flags & SOURCE_FED != 0 && self.seq <= stale_before && quality.is_good() {
            Quality::UNCERTAIN_LAST_USABLE_VALUE
        } else {
            quality
        }
    }

    pub(super) fn is_retained(&self) -> bool {
        self.flags & RETAINED != 0
    }

    /// Whether the follower has the tag and it does not wait in the outbox yet.
    #[inline]
    pub(super) fn can_queue(&self) -> bool {
        self.flags & (QUEUED | EXCLUDED) == 0
    }

    #[inline]
    pub(super) fn set_queued(&mut self, queued: bool) {
        self.set_flag(QUEUED, queued);
    }

    pub(super) fn is_excluded(&self) -> bool {
        self.flags & EXCLUDED != 0
    }

    pub(super) fn set_excluded(&mut self, excluded: bool) {
        self.set_flag(EXCLUDED, excluded);
    }

    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.flags & WATCHED != 0
    }

    pub(super) fn set_watched(&mut self) {
        self.set_flag(WATCHED, true);
    }

    #[inline]
    fn set_flag(&mut self, flag: u8, on: bool) {
        if on {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }
}
