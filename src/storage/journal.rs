//! The journal of alarms: of each tenure the log that it wrote, and the states of the alarms, in one SQLite file.
//!
//! One thread, `hp-journal`, does all writing. The batches that wait go into one transaction (group commit), and each
//! `done` is called after the commit is on the disk. What clients ask for is read beside it, on a connection that only
//! reads, in short steps, so that neither a commit waits nor the write-ahead log grows.
//!
//! `file`: the format. `open`: what is found. `write`: the transactions. `rows`: what stands in the columns. `read`: what
//! clients ask for. `writer`: the thread.

mod file;
mod open;
mod read;
mod rows;
mod write;
mod writer;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use hotpair_actors::clock::Clock;
use hotpair_actors::durable::{DiskError, MAX_WAITING};
use hotpair_actors::journal::{Appended, Entries, JournalStore};
use hotpair_core::alarms::{AlarmEntry, JournalBatch, JournalFound, Positions};
use hotpair_core::types::{Epoch, UnixMillis};
use parking_lot::{Condvar, Mutex};

pub use read::JournalQuery;

use super::{OpenError, closed};
use file::File;
use read::Reader;

/// So many entries and states wait for the disk at most, unless a single batch has more.
const MAX_WAITING_ROWS: usize = 100_000;

/// The journal of a node, in its data folder. Dropping it does what [`close`](Self::close) does.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    reader: Reader,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What callers and the journal's thread have in common.
#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    trouble: Mutex<Option<DiskError>>,
}

/// What waits for the journal's thread.
#[derive(Default)]
struct Queue {
    operations: VecDeque<Operation>,
    /// Of all operations.
    rows: usize,
    closing: bool,
    /// The thread is gone: nothing will be done any more.
    closed: bool,
}

enum Operation {
    Append { batch: JournalBatch, done: Appended },
    Read { origin: Epoch, from: u64, max: usize, done: Entries },
}

impl Operation {
    /// How much work it is, and how much memory it takes.
    fn rows(&self) -> usize {
        match self {
            Self::Append { batch, .. } => 1 + batch.entries.len() + batch.states.len(),
            Self::Read { .. } => 1,
        }
    }

    fn fail(self, why: DiskError) {
        match self {
            Self::Append { done, .. } => done(Err(why)),
            Self::Read { done, .. } => done(Err(why)),
        }
    }
}

impl Journal {
    /// Opens the journal of a data folder that this process holds (see [`super::Storage::open`]); makes it when it is
    /// missing. The newest `keep` entries stay, see [`hotpair_actors::journal::KEPT_ENTRIES`].
    pub fn open(data_dir: &Path, keep: u64) -> Result<(Self, JournalFound), OpenError> {
        Self::open_at(data_dir, keep, Clock::start().wall())
    }

    fn open_at(data_dir: &Path, keep: u64, now: UnixMillis) -> Result<(Self, JournalFound), OpenError> {
        let (file, found) = File::open(data_dir, keep, now)?;
        let reader = Reader::open(file.path())?;
        let shared = Arc::new(Shared::default());
        let writer = writer::Writer::new(shared.clone(), file);
        let thread =
            std::thread::Builder::new().name("hp-journal".into()).spawn(move || writer.run()).map_err(|error| {
                OpenError::Folder {
                    path: data_dir.into(),
                    what: format!("its thread cannot be started ({error}); raise the limit of threads"),
                }
            })?;
        Ok((Self { shared, reader, thread: Mutex::new(Some(thread)) }, found))
    }

    /// Stores what waits and folds the write-ahead log into the file. Later operations fail. The error is what could not
    /// be done.
    pub fn close(&self) -> Result<(), DiskError> {
        // Before the writer: the last one to close the file folds the log.
        self.reader.close();
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

    /// The entries that a client asks for, oldest first: by time, origin and position. Of an occurrence that the logs of
    /// two nodes raise both, clear both, or acknowledge or comment both under one operation id, only the row of the smallest origin
    /// and position is shown. Reads the disk: not for an actor's thread. The error is a sentence for people.
    pub fn query(&self, query: &JournalQuery) -> Result<Vec<AlarmEntry>, String> {
        self.reader.query(query)
    }

    /// How many entries [`query`](Self::query) would give without limit and offset. Reads the disk.
    pub fn count(&self, query: &JournalQuery) -> Result<u64, String> {
        self.reader.count(query)
    }

    /// The last position that is held of each log. Reads the disk.
    pub fn positions(&self) -> Result<Positions, String> {
        self.reader.positions()
    }

    fn enqueue(&self, operation: Operation) {
        let rows = operation.rows();
        let mut queue = self.shared.queue.lock();
        let refused = if queue.closing || queue.closed {
            Some(closed())
        } else if queue.operations.len() >= MAX_WAITING || queue.rows > 0 && queue.rows + rows > MAX_WAITING_ROWS {
            Some(DiskError::too_slow())
        } else {
            None
        };
        if let Some(why) = refused {
            drop(queue);
            return operation.fail(why);
        }
        queue.rows += rows;
        queue.operations.push_back(operation);
        drop(queue);
        self.shared.wake.notify_one();
    }
}

impl JournalStore for Journal {
    fn append(&self, batch: JournalBatch, done: Appended) {
        self.enqueue(Operation::Append { batch, done });
    }

    fn read(&self, origin: Epoch, from: u64, max: usize, done: Entries) {
        self.enqueue(Operation::Read { origin, from, max, done });
    }

    fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().as_ref().map(ToString::to_string)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the journal could not be closed cleanly");
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.operations.len())
            .field("rows", &self.rows)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

/// After so many pages the write-ahead log is folded into the file, without waiting for those who read.
#[cfg(not(test))]
const fn wal_pages() -> u32 {
    1000
}

/// A place in the course of a write at which tests kill the process.
#[cfg(not(test))]
const fn step(_: &str) {}

#[cfg(test)]
use tests::crash::{step, wal_pages};

#[cfg(test)]
mod tests;
