//! What the actors ask of the journal's disk. They never do I/O themselves: each operation returns at once, and `done`
//! tells later, on the disk's thread or the caller's: hold no lock that it takes.
//!
//! Unlike [`crate::durable::Durable`] nothing is owed: a batch that failed is not stored, and its owner gives it again.
//! What was given after it and depends on it fails likewise, for it would leave a gap.

mod fit;
mod memory;

use std::sync::Arc;

use hotpair_core::alarms::{AlarmEntry, JournalBatch};
use hotpair_core::types::Epoch;

use crate::durable::DiskError;

pub use fit::{Fitting, remaining, stored_state};
pub use memory::MemoryJournal;

/// So many of the newest entries a journal keeps unless told otherwise.
pub const KEPT_ENTRIES: u64 = 1_000_000;

/// Tells what became of a batch.
pub type Appended = Box<dyn FnOnce(Result<(), DiskError>) + Send>;
/// Gives entries in the order of their positions.
pub type Entries = Box<dyn FnOnce(Result<Vec<Arc<AlarmEntry>>, DiskError>) + Send>;

/// The journal of a node: of each tenure the log that it wrote, and the states of the alarms.
pub trait JournalStore: Send + Sync + 'static {
    /// Stores a batch. `done(Ok)`: it is on disk as a whole and survives a crash of the machine. `done(Err)`: nothing of
    /// it is. Batches take effect in the order of the calls.
    fn append(&self, batch: JournalBatch, done: Appended);

    /// Reads entries of one log from position `from` on, or from the first one behind it that is held, without a gap
    /// between them, at most `max`. Fewer, or none: there are no more (any more), or there is a gap.
    fn read(&self, origin: Epoch, from: u64, max: usize, done: Entries);

    /// Why the last operation failed; none when it succeeded. Shown by status.
    fn trouble(&self) -> Option<String>;
}
