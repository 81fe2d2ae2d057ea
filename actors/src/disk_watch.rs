//! Disks that do not answer. What waits for one has a limit: then its owner hears that it failed, as if the disk had
//! said so, and goes on by the same rules. An answer that comes later is not heard; what it was about is on disk all the
//! same, which no owner of a failed operation may exclude.

use std::collections::VecDeque;
use std::sync::Arc;

use hotpair_core::alarms::{AlarmEntry, JournalBatch};
use hotpair_core::types::{Epoch, Millis, Seq};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::durable::{DiskError, Done, Durable, DurableTenure, RetainedBatch};
use crate::journal::{Appended, Entries, JournalStore};

/// A disk that has not answered for so long has failed. Large groups on slow disks take less.
pub(crate) const ANSWERS_WITHIN_MS: u64 = 5000;

/// A disk with a limit for its answers.
pub(crate) struct Watched<D: ?Sized> {
    disk: Arc<D>,
    waits: Arc<Mutex<Waits>>,
    clock: Clock,
}

#[derive(Default)]
struct Waits {
    /// In the order of their beginning. Most are answered in that order too.
    operations: VecDeque<(u64, Millis, GiveUp)>,
    next: u64,
    /// The disk has left something unanswered, and has not answered since.
    silent: Option<DiskError>,
}

type GiveUp = Box<dyn FnOnce(DiskError) + Send>;
type Answer<T> = Box<dyn FnOnce(Result<T, DiskError>) + Send>;

impl<D: ?Sized> Watched<D> {
    pub(crate) fn new(disk: Arc<D>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { disk, waits: Arc::default(), clock })
    }

    /// `done`, for the disk; whoever is first calls it, the disk or the limit.
    fn begin<T: 'static>(&self, done: Answer<T>) -> Answer<T> {
        let done = Arc::new(Mutex::new(Some(done)));
        let late = done.clone();
        let mut waits = self.waits.lock();
        let id = waits.next;
        waits.next += 1;
        let give_up = move |error| {
            let done = late.lock().take();
            if let Some(done) = done {
                done(Err(error));
            }
        };
        waits.operations.push_back((id, self.clock.now(), Box::new(give_up)));
        drop(waits);
        let waits = self.waits.clone();
        Box::new(move |result| {
            {
                let mut waits = waits.lock();
                waits.silent = None;
                if let Ok(at) = waits.operations.binary_search_by_key(&id, |(id, ..)| *id) {
                    waits.operations.remove(at);
                }
            }
            let done = done.lock().take();
            if let Some(done) = done {
                done(result);
            }
        })
    }

    /// Gives up what waits for too long. `what`: the disk's name for people.
    pub(crate) fn give_up_late(&self, what: &str) {
        let now = self.clock.now();
        let mut waits = self.waits.lock();
        let late = waits.operations.iter().take_while(|(_, since, _)| now.since(*since) >= ANSWERS_WITHIN_MS).count();
        if late == 0 {
            return;
        }
        let error = DiskError(Arc::from(format!(
            "{what} does not answer: an operation has waited for {} s. Look for a broken disk, a network drive that is \
             gone, or another program that keeps it busy.",
            ANSWERS_WITHIN_MS / 1000
        )));
        waits.silent = Some(error.clone());
        let late: Vec<_> = waits.operations.drain(..late).collect();
        drop(waits);
        for (.., give_up) in late {
            give_up(error.clone());
        }
    }

    fn silence(&self) -> Option<String> {
        self.waits.lock().silent.as_ref().map(ToString::to_string)
    }
}

impl Durable for Watched<dyn Durable> {
    fn store_tenure(&self, tenure: DurableTenure, done: Done) {
        self.disk.store_tenure(tenure, self.begin(done));
    }

    fn store_retained(&self, batch: RetainedBatch, done: Done) {
        self.disk.store_retained(batch, self.begin(done));
    }

    fn adopt(&self, tenure: DurableTenure, durable: Seq, done: Done) {
        self.disk.adopt(tenure, durable, self.begin(done));
    }

    fn store_report(&self, name: String, json: Vec<u8>, done: Done) {
        self.disk.store_report(name, json, self.begin(done));
    }

    fn trouble(&self) -> Option<String> {
        self.silence().or_else(|| self.disk.trouble())
    }
}

impl JournalStore for Watched<dyn JournalStore> {
    fn append(&self, batch: JournalBatch, done: Appended) {
        self.disk.append(batch, self.begin(done));
    }

    fn read(&self, origin: Epoch, from: u64, max: usize, done: Entries) {
        let done: Answer<Vec<Arc<AlarmEntry>>> = done;
        self.disk.read(origin, from, max, self.begin(done));
    }

    fn trouble(&self) -> Option<String> {
        self.silence().or_else(|| self.disk.trouble())
    }
}
