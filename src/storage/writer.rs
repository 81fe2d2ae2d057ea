//! The disk's thread: takes everything that waits, commits it as a group, and tells.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use hotpair_actors::durable::{DiskError, Done, Unwritten};

use super::database::Database;
use super::error::{disk_error, explain_io};
use super::folder::Folder;
use super::{Report, Shared, closed, reports};

/// What failed is tried again with the next operation, and at the latest after this. A new lineage is moved from the
/// log into the file when nothing else was to do for so long.
const IDLE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    shared: Arc<Shared>,
    database: Option<Database>,
    /// Held, that is locked, until the database is closed.
    folder: Folder,
    /// What failed; it goes with the next group.
    failed: Unwritten,
    /// A lineage is in the log only, not in the file yet.
    tenure_in_log: bool,
}

/// What was waiting.
struct Group {
    unwritten: Unwritten,
    dones: Vec<Done>,
    reports: Vec<Report>,
    closing: bool,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.unwritten.is_empty() && self.reports.is_empty()
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, database: Database, folder: Folder) -> Self {
        Self { shared, database: Some(database), folder, failed: Unwritten::default(), tenure_in_log: false }
    }

    pub(super) fn run(mut self) {
        loop {
            let group = self.wait();
            if group.is_empty() && self.failed.is_empty() {
                self.checkpoint();
            }
            self.failed.append(group.unwritten);
            if !self.failed.is_empty() {
                let result = self.commit();
                self.note(&result);
                for done in group.dones {
                    tell(done, result.clone());
                }
            }
            for report in group.reports {
                let result = self.store_report(&report);
                if result.is_err() || self.failed.is_empty() {
                    self.note(&result);
                }
                tell(report.done, result);
            }
            if group.closing {
                return;
            }
        }
    }

    fn wait(&self) -> Group {
        let mut queue = self.shared.queue.lock();
        while queue.unwritten.is_empty() && queue.reports.is_empty() && !queue.closing {
            if self.failed.is_empty() && !self.tenure_in_log {
                self.shared.wake.wait(&mut queue);
            } else if self.shared.wake.wait_for(&mut queue, IDLE).timed_out() {
                break;
            }
        }
        Group {
            unwritten: std::mem::take(&mut queue.unwritten),
            dones: std::mem::take(&mut queue.dones),
            reports: std::mem::take(&mut queue.reports),
            closing: queue.closing,
        }
    }

    fn commit(&mut self) -> Result<(), DiskError> {
        let Some(database) = &mut self.database else { return Err(closed()) };
        match database.write(&mut self.failed) {
            Ok(()) => {
                self.tenure_in_log |= self.failed.tenure().is_some();
                self.failed = Unwritten::default();
                Ok(())
            }
            Err(what) => Err(disk_error(database.path(), &what)),
        }
    }

    /// So that a log that is damaged later cannot take epoch counters back. It is safe in the log meanwhile, so a
    /// failure is none of the operation's.
    fn checkpoint(&mut self) {
        if let Some(database) = self.database.as_ref().filter(|_| self.tenure_in_log)
            && let Err(why) = database.checkpoint()
        {
            tracing::warn!("cannot fold the log of {} into the file: {why}", database.path().display());
        }
        self.tenure_in_log = false;
    }

    fn store_report(&self, report: &Report) -> Result<(), DiskError> {
        let data_dir = self.folder.path();
        reports::store(data_dir, &report.name, &report.json).map_err(|error| {
            let place = reports::folder_of(data_dir).join(&report.name);
            DiskError(Arc::from(format!(
                "Cannot store the divergence report {}: {}. It is not tried again.",
                place.display(),
                explain_io(&error)
            )))
        })
    }

    /// Whoever watches over the disk tells its trouble in the log, once.
    fn note(&self, result: &Result<(), DiskError>) {
        let before = std::mem::replace(&mut *self.shared.trouble.lock(), result.clone().err());
        match (before, result) {
            (None, Err(error)) => tracing::debug!("{error}"),
            (Some(_), Ok(())) => tracing::debug!("the disk works again"),
            _ => {}
        }
    }
}

impl Drop for Writer {
    /// Also when the thread panics, which nothing here should do: nobody may wait for ever.
    fn drop(&mut self) {
        let (dones, reports) = {
            let mut queue = self.shared.queue.lock();
            queue.closed = true;
            if !queue.closing {
                let ended = "The disk's thread has ended: nothing more is stored. Start this node again.";
                *self.shared.trouble.lock() = Some(DiskError(Arc::from(ended)));
            }
            (std::mem::take(&mut queue.dones), std::mem::take(&mut queue.reports))
        };
        for done in dones.into_iter().chain(reports.into_iter().map(|report| report.done)) {
            tell(done, Err(closed()));
        }
        if let Some(database) = self.database.take().filter(|_| self.failed.is_empty() && !std::thread::panicking()) {
            let path = database.path().to_path_buf();
            if let Err(what) = database.close() {
                self.note(&Err(disk_error(&path, &what)));
            }
        }
    }
}

/// A `done` that panics is the fault of its caller, and must not end the thread.
pub(super) fn tell<T>(done: Box<dyn FnOnce(Result<T, DiskError>) + Send>, result: Result<T, DiskError>) {
    if catch_unwind(AssertUnwindSafe(|| done(result))).is_err() {
        tracing::error!("the callback of a disk operation panicked");
    }
}
