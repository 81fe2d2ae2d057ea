//! One number for what a table holds, by which two nodes prove that they hold the same.
//!
//! It is a sum over tags, so that two nodes whose ids differ get the same, and it takes each tag by its path, raw value,
//! quality and time. Change numbers are no part of it: two nodes may have numbered equal values differently.

use xxhash_rust::xxh3::xxh3_64;

use super::TagTable;
use super::slot::Slot;
use crate::catalog::TagId;
use crate::value::Value;

impl TagTable {
    /// Of the tags that the open outbox's follower has; of all tags while no outbox is open.
    pub fn digest(&self) -> u64 {
        sum(self.slots.iter().filter(|slot| !slot.is_excluded()))
    }

    /// Of these tags, each given once: at a follower those that its leader has too. Ids that the catalog does not have
    /// are left out.
    pub fn digest_of(&self, ids: impl IntoIterator<Item = TagId>) -> u64 {
        sum(ids.into_iter().filter_map(|id| self.slots.get(id.0 as usize)))
    }
}

fn sum<'a>(slots: impl Iterator<Item = &'a Slot>) -> u64 {
    slots.fold(0, |sum, slot| sum.wrapping_add(of_slot(slot)))
}

fn of_slot(slot: &Slot) -> u64 {
    let (kind, value) = match &slot.sample.value {
        Value::Bool(value) => (0, u64::from(*value)),
        Value::Int64(value) => (1, *value as u64),
        Value::Float64(value) => (2, value.to_bits()),
        Value::String(value) => (3, xxh3_64(value.as_bytes())),
        Value::DateTime(value) => (4, value.0 as u64),
    };
    let quality = u64::from(slot.sample.quality.0) << 8 | kind;
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(8).zip([slot.path_hash, value, quality, slot.sample.time.0 as u64]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes)
}
