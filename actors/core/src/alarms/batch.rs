//! What of the alarms goes to disk together, and what is found there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::definition::AlarmKey;
use super::entry::AlarmEntry;
use super::state::{PortableShelf, PortableState};
use crate::types::Epoch;

/// Of each log the last position.
pub type Positions = BTreeMap<Epoch, u64>;

/// Changes that are on disk together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalBatch {
    /// Of each log the positions up to here are gone for good at the other node: the next entry may follow on this. Taken
    /// into account before the entries.
    pub skipped: Positions,
    /// Entries, each directly behind what is held of its log. One that is held already changes nothing.
    pub entries: Vec<Arc<AlarmEntry>>,
    /// The states replace all that is stored, and `included` too: another node's were taken.
    pub replace: bool,
    /// States that changed; none: it is the default again. Of a key that stands here twice the last one counts.
    pub states: Vec<(AlarmKey, Option<PortableState>)>,
    /// All shelvings in force, if they changed.
    pub shelves: Option<Vec<PortableShelf>>,
    /// Up to where the states take each log into account, of those that changed.
    pub included: Positions,
}

/// What was found on the disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JournalFound {
    /// The last position that is held of each log.
    pub held: Positions,
    /// Up to where the states take each log into account.
    pub included: Positions,
    /// The states that are not the default.
    pub states: Vec<(AlarmKey, PortableState)>,
    /// The shelvings, what is left of each counted from now.
    pub shelves: Vec<PortableShelf>,
    /// Entries of the last ten minutes that carry an operation id, oldest first.
    pub operations: Vec<Arc<AlarmEntry>>,
}

impl JournalBatch {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
