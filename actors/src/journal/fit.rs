//! What every store of the journal must do alike: which entries of a batch are new, and what of a state is kept.

use std::sync::Arc;

use hotpair_core::alarms::{AlarmEntry, JournalBatch, PortableShelf, PortableState, Positions};
use hotpair_core::types::{Epoch, UnixMillis};

use crate::durable::DiskError;

/// Fits batches behind what is held, one after the other, without touching what is held.
#[derive(Debug)]
pub struct Fitting<'a> {
    held: &'a Positions,
    moved: Positions,
}

impl<'a> Fitting<'a> {
    /// Nothing is fitted yet behind these last positions.
    pub fn new(held: &'a Positions) -> Self {
        Self { held, moved: Positions::new() }
    }

    /// The entries of the next batch that are not held yet, in order. The error says where a log would have a gap; such
    /// a batch counts as not given.
    pub fn fit<'b>(&mut self, batch: &'b JournalBatch) -> Result<Vec<&'b Arc<AlarmEntry>>, DiskError> {
        let last = |(origin, skipped): (&Epoch, &u64)| (*skipped > self.last(*origin)).then_some((*origin, *skipped));
        let mut moved: Positions = batch.skipped.iter().filter_map(last).collect();
        let mut new = Vec::with_capacity(batch.entries.len());
        for entry in &batch.entries {
            let last = moved.get(&entry.origin).copied().unwrap_or_else(|| self.last(entry.origin));
            if entry.position == 0 || entry.position > last.saturating_add(1) {
                return Err(gap(entry, last));
            }
            if entry.position > last {
                moved.insert(entry.origin, entry.position);
                new.push(entry);
            }
        }
        self.moved.append(&mut moved);
        Ok(new)
    }

    /// The last positions of the logs that the batches made longer.
    pub fn moved(self) -> Positions {
        self.moved
    }

    fn last(&self, origin: Epoch) -> u64 {
        self.moved.get(&origin).or_else(|| self.held.get(&origin)).copied().unwrap_or(0)
    }
}

fn gap(entry: &AlarmEntry, last: u64) -> DiskError {
    DiskError(Arc::from(format!(
        "Entry {} of the log of tenure {} does not follow entry {last}, the last one that the journal holds of it: a log \
         has no gaps, so nothing of its batch is stored.",
        entry.position, entry.origin
    )))
}

/// A state as it is kept: without the delay that runs, which a start begins anew. None: the default, which is not kept.
pub fn stored_state(state: Option<PortableState>) -> Option<PortableState> {
    let state = PortableState { pending: None, ..state? };
    (state != PortableState::default()).then_some(state)
}

/// A shelving that was kept, with what is left of it at `now`. None: it is over. A clock that was set back makes none
/// longer than it was asked for.
pub fn remaining(shelf: PortableShelf, now: UnixMillis) -> Option<PortableShelf> {
    let end = shelf.since.0.saturating_add_unsigned(shelf.for_ms);
    let remaining_ms = u64::try_from(end.saturating_sub(now.0)).unwrap_or(0).min(shelf.for_ms);
    (remaining_ms > 0).then_some(PortableShelf { remaining_ms, ..shelf })
}
