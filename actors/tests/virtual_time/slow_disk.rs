//! A disk that stops answering, and goes on later.

use std::sync::Arc;

use hotpair_actors::durable::{Done, Durable, DurableTenure, MemoryDisk, RetainedBatch};
use hotpair_actors::journal::{Appended, Entries, JournalStore, MemoryJournal};
use hotpair_core::alarms::JournalBatch;
use hotpair_core::types::{Epoch, Seq};
use parking_lot::Mutex;

/// What was asked for meanwhile is done later, in its order.
type Later = Box<dyn FnOnce() + Send>;

/// In front of a disk in memory.
pub struct SlowDisk<D> {
    pub disk: Arc<D>,
    hung: Mutex<Option<Vec<Later>>>,
}

impl<D: Send + Sync + 'static> SlowDisk<D> {
    pub fn of(disk: &Arc<D>) -> Arc<Self> {
        Arc::new(Self { disk: disk.clone(), hung: Mutex::default() })
    }

    pub fn hang(&self) {
        self.hung.lock().get_or_insert_default();
    }

    pub fn wake(&self) {
        for work in self.hung.lock().take().unwrap_or_default() {
            work();
        }
    }

    fn perform(&self, work: impl FnOnce(&D) + Send + 'static) {
        let mut hung = self.hung.lock();
        if let Some(later) = &mut *hung {
            let disk = self.disk.clone();
            later.push(Box::new(move || work(&disk)));
        } else {
            drop(hung);
            work(&self.disk);
        }
    }
}

impl Durable for SlowDisk<MemoryDisk> {
    fn store_tenure(&self, tenure: DurableTenure, done: Done) {
        self.perform(|disk| disk.store_tenure(tenure, done));
    }

    fn store_retained(&self, batch: RetainedBatch, done: Done) {
        self.perform(|disk| disk.store_retained(batch, done));
    }

    fn adopt(&self, tenure: DurableTenure, durable: Seq, done: Done) {
        self.perform(move |disk| disk.adopt(tenure, durable, done));
    }

    fn store_report(&self, name: String, json: Vec<u8>, done: Done) {
        self.perform(|disk| disk.store_report(name, json, done));
    }

    fn trouble(&self) -> Option<String> {
        self.disk.trouble()
    }
}

impl JournalStore for SlowDisk<MemoryJournal> {
    fn append(&self, batch: JournalBatch, done: Appended) {
        self.perform(|journal| journal.append(batch, done));
    }

    fn read(&self, origin: Epoch, from: u64, max: usize, done: Entries) {
        self.perform(move |journal| journal.read(origin, from, max, done));
    }

    fn trouble(&self) -> Option<String> {
        self.disk.trouble()
    }
}
