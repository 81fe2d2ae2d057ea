//! The tag table: the newest value of every tag, with the number of its last change.
//!
//! The table is used in one of two roles. *Leading* it numbers changes and keeps an *outbox* for its follower;
//! first sync, catch-up and live changes are the same thing, an outbox that starts with more or with less. *Following*
//! it takes what the leader sends. After a split, [`TagTable::divergent`] and [`TagTable::unite`] bring two tables
//! together again.

mod convert;
mod digest;
mod outbox;
mod slot;
mod unite;

use std::sync::Arc;

pub use self::convert::convert;
pub use self::outbox::{Drained, OutboxState, Partial, encoded_size};
pub(crate) use self::unite::equal_value;
pub use self::unite::{Divergent, United};

use self::outbox::Outbox;
use self::slot::Slot;
use crate::catalog::{Catalog, TagId};
use crate::mutant::{self, Mutant};
use crate::quality::Quality;
use crate::types::{Seq, UnixMillis};
use crate::value::{Sample, Value};

/// The newest value of every tag of a catalog.
///
/// It takes 64 bytes a tag beside the catalog and texts, and 12 more while a follower's outbox is open.
#[derive(Debug)]
pub struct TagTable {
    catalog: Arc<Catalog>,
    slots: Vec<Slot>,
    last_seq: Seq,
    /// What sources fed up to this change is only *last usable*.
    stale_before: Seq,
    /// How many changes of a leader were taken.
    taken: u64,
    /// How often a leader was followed anew.
    followed: u64,
    outbox: Option<Outbox>,
}

/// How a table was at some time: see [`TagTable::moment`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    last_seq: Seq,
    stale_before: Seq,
    taken: u64,
    followed: u64,
}

impl Moment {
    /// Whether a tag that had the same change number at both moments had the same value too. It need not when a leader
    /// was followed anew in between: he may have used numbers again that this node had used.
    pub fn numbers_like(self, other: Self) -> bool {
        self.followed == other.followed
    }
}

/// What became of a change that the leader sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is the tag's value now.
    Taken,
    /// The table holds a newer one.
    Older,
    /// The value is not of the tag's type.
    WrongType,
    /// The catalog has no such tag.
    UnknownTag,
}

impl TagTable {
    /// A table in which nobody wrote yet: each tag has its initial value (`Uncertain_InitialValue`) or its type's
    /// default (`Bad_WaitingForInitialData`), time 0 and change 0.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        let slots = catalog.iter().map(|(_, tag)| Slot::new(tag)).collect();
        Self { catalog, slots, last_seq: 0, stale_before: 0, taken: 0, followed: 0, outbox: None }
    }

    /// The tags of this table.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Puts a retained value from disk in place. False, and nothing is done, when the catalog has no such tag or its
    /// type is another one now.
    pub fn restore(&mut self, id: TagId, sample: Sample, seq: Seq) -> bool {
        let Some(slot) = self.slots.get_mut(id.0 as usize) else { return false };
        if !slot.fits(&sample.value) {
            return false;
        }
        slot.set(sample.value, sample.quality, sample.time, seq);
        self.raise_last_seq(seq);
        true
    }

    /// Ends the restoring: restored values of sources are last usable until their sources were read again.
    pub fn finish_restore(&mut self) {
        self.stale_before = self.last_seq;
    }

    /// The greatest change number that was used or seen.
    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// Takes note that changes up to `seq` exist, also when none of them is in this table: the watermark of an applied
    /// batch (its last changes may be of tags that this node does not have), or the position that was kept on disk.
    /// Without it a promotion could number its changes below its own fork point.
    pub fn raise_last_seq(&mut self, seq: Seq) {
        self.last_seq = self.last_seq.max(seq);
    }

    /// What sources fed up to this change is only last usable.
    pub fn stale_before(&self) -> Seq {
        self.stale_before
    }

    /// For readers that come again: at two equal moments the table holds, and shows, the same.
    pub fn moment(&self) -> Moment {
        let Self { last_seq, stale_before, taken, followed, .. } = *self;
        Moment { last_seq, stale_before, taken, followed }
    }

    /// The value of a tag as a reader sees it: a good value that a source fed before the present tenure shows
    /// `Uncertain_LastUsableValue` until the source was read again. None when the catalog has no such tag.
    pub fn get(&self, id: TagId) -> Option<Sample> {
        let slot = self.slots.get(id.0 as usize)?;
        Some(Sample { quality: slot.shown_quality(self.stale_before), ..slot.sample.clone() })
    }

    /// The value of a tag as it was written, which is what is sent, stored and compared.
    pub fn raw(&self, id: TagId) -> Option<&Sample> {
        self.slots.get(id.0 as usize).map(|slot| &slot.sample)
    }

    /// The number of a tag's last change; 0 when nobody wrote it, or the catalog has no such tag.
    pub fn slot_seq(&self, id: TagId) -> Seq {
        self.slots.get(id.0 as usize).map_or(0, |slot| slot.seq)
    }

    /// Whether the value of a tag has to be on disk.
    pub fn is_retained(&self, id: TagId) -> bool {
        self.slots.get(id.0 as usize).is_some_and(Slot::is_retained)
    }

    /// Whether the follower of the open outbox does not have this tag, or has it with another type.
    pub fn is_excluded(&self, id: TagId) -> bool {
        self.slots.get(id.0 as usize).is_some_and(Slot::is_excluded)
    }

    /// Alarms watch these tags: their changes are told.
    pub fn watch(&mut self, tags: impl IntoIterator<Item = TagId>) {
        for id in tags {
            if let Some(slot) = self.slots.get_mut(id.0 as usize) {
                slot.set_watched();
            }
        }
    }

    /// Whether alarms watch a tag.
    #[inline]
    pub fn is_watched(&self, id: TagId) -> bool {
        self.slots.get(id.0 as usize).is_some_and(Slot::is_watched)
    }

    /// Retained tags whose last change is past `after`, in the order of their ids.
    pub fn retained_changes(&self, after: Seq) -> impl Iterator<Item = (TagId, Seq, &Sample)> {
        self.enumerate()
            .filter(move |(_, slot)| slot.is_retained() && slot.seq > after)
            .map(|(id, slot)| (id, slot.seq, &slot.sample))
    }

    fn enumerate(&self) -> impl Iterator<Item = (TagId, &Slot)> {
        self.slots.iter().enumerate().map(|(index, slot)| (TagId(index as u32), slot))
    }
}

/// Leading.
impl TagTable {
    /// Begins a tenure of Running: what sources fed before is last usable until they were read again.
    pub fn begin_tenure(&mut self) {
        self.stale_before = self.last_seq;
    }

    /// Makes a change and returns its number. The value must be of the tag's type: see [`convert`]. A tag that the
    /// catalog does not have is not written; the answer is the last number then.
    #[inline]
    pub fn write(&mut self, id: TagId, value: Value, quality: Quality, time: UnixMillis) -> Seq {
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            debug_assert!(false, "write of {id:?}, which the catalog does not have");
            return self.last_seq;
        };
        debug_assert!(slot.fits(&value), "write of {value:?} to {id:?}, which is of another type");
        self.last_seq += 1;
        let again = mutant::on(Mutant::NumbersGoBack) && self.last_seq.is_multiple_of(64);
        slot.set(value, quality, time, if again { 1 } else { self.last_seq });
        if let Some(outbox) = &mut self.outbox {
            outbox.mark(id, slot, self.last_seq);
        }
        self.last_seq
    }
}

/// Following.
impl TagTable {
    /// Begins to follow a leader with which this table has everything up to `from` in common. What it has past that
    /// gives way to whatever the leader sends: the leader's word counts. An open outbox is closed.
    pub fn begin_following(&mut self, from: Seq) {
        self.close_outbox();
        self.followed += 1;
        for slot in &mut self.slots {
            slot.seq = slot.seq.min(from);
        }
        self.raise_last_seq(from);
    }

    /// Takes the leader's word on what is last usable: see [`TagTable::begin_tenure`].
    pub fn set_stale_before(&mut self, seq: Seq) {
        self.stale_before = seq;
    }

    /// Takes a change that the leader sent, unless the table holds a newer one or the type does not fit.
    #[inline]
    pub fn apply(&mut self, id: TagId, seq: Seq, sample: Sample) -> Applied {
        debug_assert!(self.outbox.is_none(), "a table that follows has no follower");
        let Some(slot) = self.slots.get_mut(id.0 as usize) else { return Applied::UnknownTag };
        self.last_seq = self.last_seq.max(seq);
        if !slot.fits(&sample.value) {
            return Applied::WrongType;
        }
        if seq < slot.seq {
            return Applied::Older;
        }
        slot.set(sample.value, sample.quality, sample.time, seq);
        self.taken += 1;
        Applied::Taken
    }
}

#[cfg(test)]
mod tests;
