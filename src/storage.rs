//! What must last: lineage, epoch counters and retained tags, in one SQLite file; the journal of alarms, in another one;
//! divergence reports, in a folder.
//!
//! ```text
//! data_dir/hotpair.lock      held by the process that uses the folder; names its process id
//! data_dir/hotpair.db        SQLite, WAL, synchronous=FULL (hotpair.db-wal beside it while the node works)
//! data_dir/journal.db        the journal: likewise, with a thread of its own (-wal and -shm beside it), see `journal`
//! data_dir/reports/          the newest divergence reports
//! ```
//!
//! One thread, `hp-disk`, does all writing. Everything that waits for it goes into one transaction (group commit), so
//! that a slow disk makes groups larger instead of a queue longer. `done` is called after the commit is on the disk.
//!
//! What a crash leaves: SIGKILL or a power cut at any moment loses nothing that was acknowledged. A *damaged* file is
//! another matter. Damage in `hotpair.db` is found when it is opened, and refused. SQLite takes a write-ahead log only
//! up to its first damaged entry: the node then finds a consistent older state, in which what was acknowledged last can
//! be missing. Nothing tells this from a log that simply ended there.

mod database;
mod error;
mod folder;
mod journal;
mod reports;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use hotpair_actors::durable::{
    DiskError, Done, Durable, DurableTenure, MAX_WAITING, RetainedBatch, RetainedItem, Unwritten,
};
use hotpair_core::lineage::Lineage;
use hotpair_core::types::{NodeId, Seq};
use parking_lot::{Condvar, Mutex};

pub use error::OpenError;
pub use journal::{Journal, JournalQuery};
pub use reports::{list_reports, read_report};

use database::Database;
use folder::Folder;

/// What was found in the data folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// The node's identity: drawn when the folder was first used.
    pub node: NodeId,
    /// The tenures that its data went through.
    pub lineage: Lineage,
    /// The highest epoch counter that may have been taken; a new tenure takes a greater one.
    pub reserved: u64,
    /// The highest epoch counter that was ever seen.
    pub last_counter: u64,
    /// Every change of a retained tag up to here is in `retained`.
    pub durable: Seq,
    /// Retained tags, sorted by path.
    pub retained: Vec<RetainedItem>,
    /// The last use of the folder ended with [`Storage::close`] and everything written; true for a new folder.
    pub previous_shutdown_clean: bool,
}

/// A data folder in use. Dropping it does what [`close`](Self::close) does.
#[derive(Debug)]
pub struct Storage {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    data_dir: PathBuf,
}

/// What callers and the disk's thread have in common.
#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    trouble: Mutex<Option<DiskError>>,
}

/// What waits for the disk's thread.
#[derive(Default)]
struct Queue {
    unwritten: Unwritten,
    /// Of the operations in `unwritten`.
    dones: Vec<Done>,
    reports: Vec<Report>,
    closing: bool,
    /// The thread is gone: nothing will be written any more.
    closed: bool,
}

struct Report {
    name: String,
    json: Vec<u8>,
    done: Done,
}

/// At most this many divergence reports wait: more than are kept would be written in vain.
const MAX_WAITING_REPORTS: usize = hotpair_actors::durable::MAX_REPORTS;

impl Storage {
    /// Opens a data folder for this process alone; makes it (mode 0700) when it is missing.
    pub fn open(data_dir: &Path) -> Result<(Self, Recovered), OpenError> {
        let folder = Folder::open(data_dir)?;
        let (database, recovered) = Database::open(data_dir)?;
        folder.sync()?;
        let shared = Arc::new(Shared::default());
        let writer = writer::Writer::new(shared.clone(), database, folder);
        let thread =
            std::thread::Builder::new().name("hp-disk".into()).spawn(move || writer.run()).map_err(|error| {
                OpenError::Folder {
                    path: data_dir.into(),
                    what: format!("its thread cannot be started ({error}); raise the limit of threads"),
                }
            })?;
        let thread = Mutex::new(Some(thread));
        Ok((Self { shared, thread, data_dir: data_dir.into() }, recovered))
    }

    /// Writes what waits, folds the write-ahead log into the file and releases the folder. Later operations fail. The
    /// error is what could not be written.
    pub fn close(&self) -> Result<(), DiskError> {
        self.shared.queue.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // The last handle may be dropped by a `done`, that is by the thread itself: it ends after that.
            if thread.thread().id() != std::thread::current().id() {
                // It catches the panics of each `done`, and has none of its own to pass on.
                drop(thread.join());
            }
        }
        self.shared.trouble.lock().clone().map_or(Ok(()), Err)
    }

    /// The folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn enqueue(&self, done: Done, operation: impl FnOnce(&mut Unwritten)) {
        let mut queue = self.shared.queue.lock();
        if queue.closing || queue.closed {
            drop(queue);
            return done(Err(closed()));
        }
        // Taken in any case: memory is bounded by the number of tags, and a value left out would make `durable` a lie.
        operation(&mut queue.unwritten);
        if queue.dones.len() >= MAX_WAITING {
            drop(queue);
            return done(Err(DiskError::too_slow()));
        }
        queue.dones.push(done);
        drop(queue);
        self.shared.wake.notify_one();
    }
}

impl Durable for Storage {
    fn store_tenure(&self, tenure: DurableTenure, done: Done) {
        self.enqueue(done, |unwritten| unwritten.store_tenure(tenure));
    }

    fn store_retained(&self, batch: RetainedBatch, done: Done) {
        self.enqueue(done, |unwritten| unwritten.store_retained(batch));
    }

    fn adopt(&self, tenure: DurableTenure, durable: Seq, done: Done) {
        self.enqueue(done, |unwritten| unwritten.adopt(tenure, durable));
    }

    fn store_report(&self, name: String, json: Vec<u8>, done: Done) {
        let mut queue = self.shared.queue.lock();
        if queue.closing || queue.closed {
            drop(queue);
            return done(Err(closed()));
        }
        if queue.reports.len() >= MAX_WAITING_REPORTS {
            drop(queue);
            return done(Err(DiskError::too_slow()));
        }
        queue.reports.push(Report { name, json, done });
        drop(queue);
        self.shared.wake.notify_one();
    }

    fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().as_ref().map(ToString::to_string)
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the last changes could not be stored");
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.dones.len())
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

fn closed() -> DiskError {
    DiskError(Arc::from("The data folder is closed: the node is stopping, nothing more is stored."))
}

#[cfg(test)]
mod tests;
