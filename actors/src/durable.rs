//! What the actors ask of the disk. They never do I/O themselves: each operation returns at once, and `done` tells later.
//!
//! The contract of every [`Durable`]:
//!
//! - Operations take effect in the order of the calls; what is on disk is always the result of the first so many.
//! - `done(Ok)` means: on disk, it survives a crash of the machine.
//! - `done(Err)` means: not on disk *yet*. Tenures, adoptions and retained tags that failed stay [`Unwritten`] and go with
//!   the next attempt, so that `durable` never passes a change that is not there. A caller that gave up a tenure whose
//!   store failed therefore stores the tenure that it stays with. A report that failed is not tried again.
//! - Counters only grow: a tenure with smaller ones leaves the greater ones stored.
//! - `done` may also run on the calling thread, before the call returns: hold no lock that it takes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use hotpair_core::lineage::Lineage;
use hotpair_core::types::Seq;
use hotpair_core::value::Sample;

/// At most this many operations wait for the disk. A further one is refused with [`DiskError::too_slow`].
pub const MAX_WAITING: usize = 4096;

/// How many divergence reports are kept; the oldest goes first.
pub const MAX_REPORTS: usize = 20;

/// What a node must find again after a stop. See the module for the contract.
pub trait Durable: Send + Sync + 'static {
    /// Stores lineage and counters.
    fn store_tenure(&self, tenure: DurableTenure, done: Done);

    /// Stores changed retained tags. Batches that wait are written together, of each tag the newest value.
    fn store_retained(&self, batch: RetainedBatch, done: Done);

    /// A follower adopts its leader's lineage: lineage and `durable` position change together. Unlike
    /// [`store_retained`](Self::store_retained) this may move `durable` back. Stored values stay, also those with
    /// greater change numbers: the sync from `durable` on replaces them.
    fn adopt(&self, tenure: DurableTenure, durable: Seq, done: Done);

    /// Writes a divergence report under `name` (letters, digits, `-`, `_`, `.`) and keeps the newest [`MAX_REPORTS`].
    fn store_report(&self, name: String, json: Vec<u8>, done: Done);

    /// Why the last operation failed; none when it succeeded. Shown by status.
    fn trouble(&self) -> Option<String>;
}

/// Called once, on the disk's thread or the caller's, when an operation is on disk, or with why it is not.
pub type Done = Box<dyn FnOnce(Result<(), DiskError>) + Send>;

/// What a node must know of tenures before it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurableTenure {
    /// The tenures that its data went through.
    pub lineage: Lineage,
    /// The highest epoch counter that this node may take without another write. After a start it takes a greater one.
    pub reserved: u64,
    /// The highest epoch counter it has ever seen.
    pub last_counter: u64,
}

/// Retained tags that changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetainedBatch {
    /// With this batch every change of a retained tag up to here is on disk.
    pub durable: Seq,
    /// Path, newest value, and its change number, which may be greater than `durable`. Of a path that stands here
    /// twice the last one counts.
    pub items: Vec<RetainedItem>,
}

/// A retained tag: path, value, and the number of the change that gave it this value.
pub type RetainedItem = (Arc<str>, Sample, Seq);

/// Why something is not on disk. One or two full sentences: what failed, where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError(pub Arc<str>);

impl DiskError {
    /// More than [`MAX_WAITING`] operations wait.
    pub fn too_slow() -> Self {
        Self(Arc::from(format!(
            "The disk is too slow: more than {MAX_WAITING} operations wait for it. \
             Look for other programs that write to it, or move data_dir to a faster one."
        )))
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DiskError {}

/// Operations that are not on disk yet, folded into one. Memory is bounded by the number of retained tags.
#[derive(Debug, Default)]
pub struct Unwritten {
    tenure: Option<DurableTenure>,
    durable: Option<DurableMove>,
    items: Vec<RetainedItem>,
    /// Fold `items` when there are more than this.
    fold_above: usize,
}

/// How the stored `durable` position changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurableMove {
    /// Forward to this one; where it is further already it stays.
    Raise(Seq),
    /// To exactly this one: a lineage was adopted.
    Set(Seq),
}

impl DurableMove {
    /// The position after this move from `old`.
    pub fn from(self, old: Seq) -> Seq {
        match self {
            Self::Raise(to) => old.max(to),
            Self::Set(to) => to,
        }
    }
}

impl Unwritten {
    /// Fewer items than this are never folded before they are written.
    const FOLD_AT_LEAST: usize = 8192;

    /// See [`Durable::store_tenure`].
    pub fn store_tenure(&mut self, tenure: DurableTenure) {
        let before = self.tenure.take().unwrap_or_default();
        self.tenure = Some(DurableTenure {
            lineage: tenure.lineage,
            reserved: tenure.reserved.max(before.reserved),
            last_counter: tenure.last_counter.max(before.last_counter),
        });
    }

    /// See [`Durable::store_retained`].
    pub fn store_retained(&mut self, mut batch: RetainedBatch) {
        self.durable = Some(match self.durable {
            None => DurableMove::Raise(batch.durable),
            Some(DurableMove::Raise(to)) => DurableMove::Raise(to.max(batch.durable)),
            Some(DurableMove::Set(to)) => DurableMove::Set(to.max(batch.durable)),
        });
        self.items.append(&mut batch.items);
        if self.items.len() > self.fold_above.max(Self::FOLD_AT_LEAST) {
            self.fold();
        }
    }

    /// See [`Durable::adopt`].
    pub fn adopt(&mut self, tenure: DurableTenure, durable: Seq) {
        self.store_tenure(tenure);
        self.durable = Some(DurableMove::Set(durable));
    }

    /// What came later, on top of this.
    pub fn append(&mut self, later: Self) {
        if let Some(tenure) = later.tenure {
            self.store_tenure(tenure);
        }
        match later.durable {
            Some(DurableMove::Set(to)) => self.durable = Some(DurableMove::Set(to)),
            Some(DurableMove::Raise(durable)) => self.store_retained(RetainedBatch { durable, items: Vec::new() }),
            None => {}
        }
        self.items.extend(later.items);
        self.fold();
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.tenure.is_none() && self.durable.is_none()
    }

    /// Lineage and counters, when they change. A counter that is greater on disk stays.
    pub fn tenure(&self) -> Option<&DurableTenure> {
        self.tenure.as_ref()
    }

    /// How the `durable` position changes, if at all.
    pub fn durable(&self) -> Option<DurableMove> {
        self.durable
    }

    /// The newest value of each tag that changed, each path once.
    pub fn items(&mut self) -> &[RetainedItem] {
        self.fold();
        &self.items
    }

    /// Keeps the last item of each path. It runs when the items have doubled, so its cost an item is constant.
    fn fold(&mut self) {
        let mut place: HashMap<Arc<str>, usize> = HashMap::with_capacity(self.items.len());
        let mut kept: Vec<RetainedItem> = Vec::with_capacity(self.items.len());
        for item in self.items.drain(..) {
            if let Some(&at) = place.get(&item.0) {
                kept[at] = item;
            } else {
                place.insert(item.0.clone(), kept.len());
                kept.push(item);
            }
        }
        self.fold_above = kept.len() * 2;
        self.items = kept;
    }
}

/// A disk that forgets: for tests, and for programs that embed a node and keep nothing. `done` runs on the caller's thread.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    inner: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    tenure: DurableTenure,
    durable: Seq,
    retained: BTreeMap<Arc<str>, (Sample, Seq)>,
    reports: Vec<(String, Vec<u8>)>,
    unwritten: Unwritten,
    failing: Option<DiskError>,
    trouble: Option<DiskError>,
}

impl MemoryDisk {
    /// An empty one that works.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every operation fails with this sentence; with none it works again.
    pub fn fail_with(&self, why: Option<&str>) {
        self.inner.lock().failing = why.map(|why| DiskError(Arc::from(why)));
    }

    /// Lineage and counters as they would be found after a stop.
    pub fn tenure(&self) -> DurableTenure {
        self.inner.lock().tenure.clone()
    }

    /// The position as it would be found after a stop.
    pub fn durable(&self) -> Seq {
        self.inner.lock().durable
    }

    /// The retained tags as they would be found after a stop, sorted by path.
    pub fn retained(&self) -> Vec<RetainedItem> {
        let inner = self.inner.lock();
        inner.retained.iter().map(|(path, (sample, seq))| (path.clone(), sample.clone(), *seq)).collect()
    }

    /// The reports that are kept, oldest first.
    pub fn reports(&self) -> Vec<(String, Vec<u8>)> {
        self.inner.lock().reports.clone()
    }

    fn perform(&self, done: Done, operation: impl FnOnce(&mut Unwritten)) {
        let mut inner = self.inner.lock();
        operation(&mut inner.unwritten);
        let result = inner.attempt();
        if result.is_ok() {
            inner.write();
        }
        drop(inner);
        done(result);
    }
}

impl Memory {
    fn attempt(&mut self) -> Result<(), DiskError> {
        self.trouble.clone_from(&self.failing);
        self.failing.clone().map_or(Ok(()), Err)
    }

    fn write(&mut self) {
        let mut unwritten = std::mem::take(&mut self.unwritten);
        if let Some(tenure) = unwritten.tenure() {
            self.tenure = DurableTenure {
                lineage: tenure.lineage.clone(),
                reserved: tenure.reserved.max(self.tenure.reserved),
                last_counter: tenure.last_counter.max(self.tenure.last_counter),
            };
        }
        if let Some(step) = unwritten.durable() {
            self.durable = step.from(self.durable);
        }
        for (path, sample, seq) in unwritten.items() {
            self.retained.insert(path.clone(), (sample.clone(), *seq));
        }
    }
}

impl Durable for MemoryDisk {
    fn store_tenure(&self, tenure: DurableTenure, done: Done) {
        self.perform(done, |unwritten| unwritten.store_tenure(tenure));
    }

    fn store_retained(&self, batch: RetainedBatch, done: Done) {
        self.perform(done, |unwritten| unwritten.store_retained(batch));
    }

    fn adopt(&self, tenure: DurableTenure, durable: Seq, done: Done) {
        self.perform(done, |unwritten| unwritten.adopt(tenure, durable));
    }

    fn store_report(&self, name: String, json: Vec<u8>, done: Done) {
        let mut inner = self.inner.lock();
        let result = inner.attempt();
        if result.is_ok() {
            inner.reports.retain(|(kept, _)| *kept != name);
            inner.reports.push((name, json));
            let surplus = inner.reports.len().saturating_sub(MAX_REPORTS);
            inner.reports.drain(..surplus);
        }
        drop(inner);
        done(result);
    }

    fn trouble(&self) -> Option<String> {
        self.inner.lock().trouble.as_ref().map(ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotpair_core::quality::Quality;
    use hotpair_core::types::{Epoch, NodeId, UnixMillis};
    use hotpair_core::value::Value;

    fn item(path: &str, value: i64, seq: Seq) -> RetainedItem {
        (Arc::from(path), Sample { value: Value::Int64(value), quality: Quality::GOOD, time: UnixMillis(0) }, seq)
    }

    fn tenure(counter: u64, at: Seq) -> DurableTenure {
        let epoch = Epoch { counter, node: NodeId(1) };
        let lineage = Lineage::default().promoted(hotpair_core::lineage::Fork { epoch, at });
        DurableTenure { lineage, reserved: counter, last_counter: counter }
    }

    type Seen = Arc<Mutex<Option<Result<(), DiskError>>>>;

    fn outcome() -> (Done, Seen) {
        let seen = Arc::new(Mutex::new(None));
        let sink = seen.clone();
        (Box::new(move |result| *sink.lock() = Some(result)), seen)
    }

    #[test]
    fn what_failed_goes_with_the_next_operation() {
        let disk = MemoryDisk::new();
        disk.fail_with(Some("The disk is full."));
        let (done, seen) = outcome();
        disk.store_retained(RetainedBatch { durable: 5, items: vec![item("a", 1, 4), item("b", 2, 5)] }, done);
        assert!(matches!(&*seen.lock(), Some(Err(_))));
        assert_eq!(disk.trouble().unwrap(), "The disk is full.");
        assert_eq!((disk.durable(), disk.retained().len()), (0, 0));
        disk.fail_with(None);
        let (done, seen) = outcome();
        disk.store_retained(RetainedBatch { durable: 6, items: vec![item("a", 3, 6)] }, done);
        assert_eq!(*seen.lock(), Some(Ok(())));
        assert_eq!(disk.trouble(), None);
        assert_eq!((disk.durable(), disk.retained()), (6, vec![item("a", 3, 6), item("b", 2, 5)]));
    }

    #[test]
    fn counters_only_grow_and_only_an_adoption_moves_durable_back() {
        let disk = MemoryDisk::new();
        disk.store_tenure(tenure(7, 0), outcome().0);
        disk.store_retained(RetainedBatch { durable: 9, items: vec![] }, outcome().0);
        disk.store_retained(RetainedBatch { durable: 8, items: vec![] }, outcome().0);
        assert_eq!(disk.durable(), 9);
        disk.adopt(tenure(3, 2), 2, outcome().0);
        assert_eq!((disk.durable(), disk.tenure().reserved, disk.tenure().last_counter), (2, 7, 7));
        assert_eq!(disk.tenure().lineage, tenure(3, 2).lineage);
    }

    #[test]
    fn waiting_batches_are_bounded_by_the_number_of_tags() {
        let mut unwritten = Unwritten::default();
        for round in 0..1000 {
            let items = (0..100).map(|tag| item(&format!("t{tag}"), round, round as Seq)).collect();
            unwritten.store_retained(RetainedBatch { durable: round as Seq, items });
            assert!(unwritten.items.len() <= Unwritten::FOLD_AT_LEAST);
        }
        assert_eq!(unwritten.items().len(), 100);
        assert_eq!(unwritten.items()[42], item("t42", 999, 999));
    }

    #[test]
    fn appending_is_the_same_as_doing_it_in_order() {
        let mut first = Unwritten::default();
        first.store_retained(RetainedBatch { durable: 9, items: vec![item("a", 1, 9)] });
        let mut later = Unwritten::default();
        later.adopt(tenure(4, 2), 2);
        later.store_retained(RetainedBatch { durable: 3, items: vec![item("a", 2, 3)] });
        first.append(later);
        assert_eq!(first.durable(), Some(DurableMove::Set(3)));
        assert_eq!(first.items(), [item("a", 2, 3)]);
    }

    #[test]
    fn the_newest_reports_are_kept() {
        let disk = MemoryDisk::new();
        for number in 0..30 {
            disk.store_report(format!("{number:02}"), vec![number], outcome().0);
        }
        assert_eq!(disk.reports().len(), MAX_REPORTS);
        assert_eq!(disk.reports()[0].0, "10");
    }
}
