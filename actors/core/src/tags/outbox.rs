//! What a follower does not have yet.
//!
//! The outbox is a queue of tags, not of changes: a tag that changes again before it was sent keeps its place, and its
//! newest value goes. So it never holds more than each tag once, and a slow follower costs no memory that grows.
//!
//! Each entry knows the tag's *oldest* unsent change; the queue is in that order. Everything below the oldest unsent
//! change of the front has been sent: that is the watermark, which the follower may call "applied" once it has applied
//! the batch. Of a tag that changed while no outbox was open only the last change is known, not its oldest unsent one:
//! for it the first change past the follower's position is assumed, so the watermark stays there until all of these
//! have been sent.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::TagTable;
use super::slot::Slot;
use crate::catalog::TagId;
use crate::mutant::{self, Mutant};
use crate::types::Seq;
use crate::value::{Sample, Value};

/// See [`TagTable::open_outbox`].
#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<Entry>,
    excluded: Vec<TagId>,
    total_at_open: usize,
}

/// 12 bytes: a `u64` beside the id would make it 16.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u32,
    oldest: [u32; 2],
}

/// How far a follower came that asked for everything and was cut off: what it got need not travel again, however much
/// changed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    /// It has every tag whose id (the leader's) is less.
    pub below: u32,
    /// As it was at this change, or later.
    pub since: Seq,
}

/// How much a follower does not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxState {
    /// Tags that wait; never more than there are tags.
    pub pending: usize,
    /// Every change up to here has been sent.
    pub watermark: Seq,
    /// Tags that waited when the outbox was opened: what the sync began with.
    pub total_at_open: usize,
}

/// What a drain took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Tags.
    pub count: usize,
    /// Estimate of their encoded size.
    pub bytes: usize,
    /// Every change up to here has been sent now.
    pub watermark: Seq,
    /// Nothing waits any more.
    pub empty: bool,
}

/// The most that one change takes on the wire, in bytes: id, seq, quality and time beside its value.
pub fn encoded_size(sample: &Sample) -> usize {
    // MessagePack: 1 for the array, then 5 + 9 + 5 + 9.
    29 + match &sample.value {
        Value::Bool(_) => 1,
        Value::Int64(_) | Value::Float64(_) => 9,
        Value::DateTime(_) => 10,
        Value::String(text) => 5 + text.len(),
    }
}

impl Entry {
    fn new(id: u32, oldest: Seq) -> Self {
        Self { id, oldest: [(oldest >> 32) as u32, oldest as u32] }
    }

    fn oldest(self) -> Seq {
        Seq::from(self.oldest[0]) << 32 | Seq::from(self.oldest[1])
    }
}

impl Outbox {
    #[inline]
    pub(super) fn mark(&mut self, id: TagId, slot: &mut Slot, seq: Seq) {
        if slot.can_queue() || mutant::on(Mutant::OutboxWithoutLimit) {
            debug_assert!(self.queue.back().is_none_or(|last| last.oldest() <= seq), "the queue is in order");
            slot.set_queued(true);
            self.queue.push_back(Entry::new(id.0, seq));
        }
    }

    fn watermark(&self, last_seq: Seq) -> Seq {
        let below = u64::from(!mutant::on(Mutant::WatermarkTooHigh));
        self.queue.front().map_or(last_seq, |front| front.oldest() - below)
    }
}

impl TagTable {
    /// Opens the outbox of a follower that has every change up to `from`; one that is open is closed first. From 0 all
    /// tags are sent, also those that nobody wrote. `excluded`: tags that the follower does not have; they are never
    /// sent.
    pub fn open_outbox(&mut self, from: Seq, excluded: &[TagId]) {
        self.open_outbox_at(from, Partial::default(), excluded);
    }

    /// Opens the outbox of a follower that has a part of everything: first goes what it never got, so that it comes
    /// further each time it is cut off, then what changed since of the rest.
    pub fn resume_outbox(&mut self, partial: Partial, excluded: &[TagId]) {
        self.open_outbox_at(0, partial, excluded);
    }

    fn open_outbox_at(&mut self, from: Seq, partial: Partial, excluded: &[TagId]) {
        self.close_outbox();
        let from = from.min(self.last_seq);
        for id in excluded {
            if let Some(slot) = self.slots.get_mut(id.0 as usize) {
                slot.set_excluded(true);
            }
        }
        // All the room it can ever need, so that no later write allocates.
        let mut outbox =
            Outbox { queue: VecDeque::with_capacity(self.slots.len()), excluded: excluded.to_vec(), total_at_open: 0 };
        let below = self.slots.len().min(partial.below as usize);
        for (index, slot) in self.slots.iter_mut().enumerate().skip(below) {
            if slot.seq > from || from == 0 {
                outbox.mark(TagId(index as u32), slot, from + 1);
            }
        }
        for (index, slot) in self.slots.iter_mut().enumerate().take(below) {
            if slot.seq > partial.since {
                outbox.mark(TagId(index as u32), slot, partial.since + 1);
            }
        }
        outbox.total_at_open = outbox.queue.len();
        self.outbox = Some(outbox);
    }

    /// Closes the outbox: the follower is gone.
    pub fn close_outbox(&mut self) {
        let Some(outbox) = self.outbox.take() else { return };
        for entry in outbox.queue {
            self.slots[entry.id as usize].set_queued(false);
        }
        for id in outbox.excluded {
            if let Some(slot) = self.slots.get_mut(id.0 as usize) {
                slot.set_excluded(false);
            }
        }
    }

    /// How much the follower does not have yet; none while no outbox is open.
    pub fn outbox(&self) -> Option<OutboxState> {
        self.outbox.as_ref().map(|outbox| OutboxState {
            pending: outbox.queue.len(),
            watermark: outbox.watermark(self.last_seq),
            total_at_open: outbox.total_at_open,
        })
    }

    /// Takes what has waited longest, newest values, and hands it to `sink`: at most `max_updates`, and no more than fit
    /// `max_bytes` by [`encoded_size`], except that the first one goes whatever its size. Without an open outbox there
    /// is nothing to take and everything counts as sent.
    pub fn drain(
        &mut self,
        max_updates: usize,
        max_bytes: usize,
        mut sink: impl FnMut(TagId, Seq, &Sample),
    ) -> Drained {
        let mut drained = Drained { count: 0, bytes: 0, watermark: self.last_seq, empty: true };
        let Some(outbox) = &mut self.outbox else { return drained };
        while drained.count < max_updates
            && let Some(entry) = outbox.queue.front()
        {
            let slot = &mut self.slots[entry.id as usize];
            let bytes = encoded_size(&slot.sample);
            if drained.count > 0 && drained.bytes + bytes > max_bytes {
                break;
            }
            sink(TagId(entry.id), slot.seq, &slot.sample);
            slot.set_queued(false);
            outbox.queue.pop_front();
            drained.count += 1;
            drained.bytes += bytes;
        }
        drained.watermark = outbox.watermark(self.last_seq);
        drained.empty = outbox.queue.is_empty();
        drained
    }
}
