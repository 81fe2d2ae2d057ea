//! The journal's thread: takes what waits, commits it as a group, and tells.

use std::collections::VecDeque;
use std::sync::Arc;

use hotpair_actors::durable::DiskError;

use super::file::File;
use super::{Operation, Shared, step};
use crate::storage::closed;
use crate::storage::error::disk_error;
use crate::storage::writer::tell;

/// A group has so many entries and states at most, unless a single batch has more: the first of many batches need not
/// wait for the last one.
const GROUP_ROWS: usize = 10_000;

pub(super) struct Writer {
    shared: Arc<Shared>,
    file: Option<File>,
    /// Forgetting failed: it is tried again after the next group that was stored.
    prune_failed: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, file: File) -> Self {
        Self { shared, file: Some(file), prune_failed: false }
    }

    pub(super) fn run(mut self) {
        while let Some(group) = self.wait() {
            let rows: usize = group.iter().map(Operation::rows).sum();
            if !group.is_empty() {
                self.perform(group);
            }
            self.prune(rows);
        }
    }

    /// What is to be done next; nothing when there is only something to forget. None: the journal is closed.
    fn wait(&self) -> Option<Vec<Operation>> {
        let mut queue = self.shared.queue.lock();
        while queue.operations.is_empty() {
            if queue.closing {
                return None;
            }
            if self.can_prune() {
                break;
            }
            self.shared.wake.wait(&mut queue);
        }
        let (mut group, mut rows) = (Vec::new(), 0);
        while let Some(next) = queue.operations.front() {
            rows += next.rows();
            if rows > GROUP_ROWS && !group.is_empty() {
                break;
            }
            queue.rows = queue.rows.saturating_sub(next.rows());
            group.extend(queue.operations.pop_front());
        }
        Some(group)
    }

    /// The batches of a group in one transaction, then its reads, which see them.
    fn perform(&mut self, group: Vec<Operation>) {
        let (mut batches, mut dones, mut reads) = (Vec::new(), VecDeque::new(), Vec::new());
        for operation in group {
            match operation {
                Operation::Append { batch, done } => {
                    batches.push(batch);
                    dones.push_back(done);
                }
                Operation::Read { origin, from, max, done } => reads.push((origin, from, max, done)),
            }
        }
        let Some(file) = &mut self.file else { return };
        if !batches.is_empty() {
            let outcome = file.append(&batches);
            if let Some(result) = &outcome.disk {
                self.prune_failed &= result.is_err();
                note(&self.shared, result);
            }
            for (done, result) in dones.into_iter().zip(outcome.results) {
                tell(done, result);
                step("after a done");
            }
        }
        for (origin, from, max, done) in reads {
            let result = file.read(origin, from, max);
            note(&self.shared, &result);
            tell(done, result);
        }
    }

    fn can_prune(&self) -> bool {
        !self.prune_failed && self.file.as_ref().is_some_and(File::has_surplus)
    }

    /// A step of forgetting: batches that came meanwhile wait for no more. Only when there are far too many entries, as
    /// many are forgotten as came, and some more.
    fn prune(&mut self, came: usize) {
        let mut forgotten = 0;
        while self.can_prune()
            && let Some(file) = &mut self.file
        {
            match file.prune() {
                Ok(count) => forgotten += count,
                Err(what) => {
                    tracing::warn!("cannot remove the oldest entries from {}: {what}", file.path().display());
                    self.prune_failed = true;
                }
            }
            if forgotten > came || !file.has_large_surplus() {
                return;
            }
        }
    }
}

/// Whoever watches over the disk tells its trouble in the log, once.
fn note<T>(shared: &Shared, result: &Result<T, DiskError>) {
    let now = result.as_ref().err().cloned();
    let before = std::mem::replace(&mut *shared.trouble.lock(), now.clone());
    match (before, now) {
        (None, Some(error)) => tracing::debug!("{error}"),
        (Some(_), None) => tracing::debug!("the journal's disk works again"),
        _ => {}
    }
}

impl Drop for Writer {
    /// Also when the thread panics, which nothing here should do: nobody may wait for ever.
    fn drop(&mut self) {
        let operations = {
            let mut queue = self.shared.queue.lock();
            queue.closed = true;
            if !queue.closing {
                let ended =
                    "The thread of the alarms' journal has ended: nothing more is stored. Start this node again.";
                *self.shared.trouble.lock() = Some(DiskError(Arc::from(ended)));
            }
            queue.rows = 0;
            std::mem::take(&mut queue.operations)
        };
        for operation in operations {
            operation.fail(closed());
        }
        if let Some(file) = self.file.take().filter(|_| !std::thread::panicking()) {
            let path = file.path().to_path_buf();
            if let Err(what) = file.close() {
                note(&self.shared, &Err::<(), _>(disk_error(&path, &what)));
            }
        }
    }
}
