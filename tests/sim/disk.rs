//! A simulated disk: operations take effect in their order, after a while; what failed goes with the next attempt; what
//! is not written at a crash is lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hotpair_core::lineage::Lineage;
use hotpair_core::types::Seq;
use hotpair_core::value::Sample;

use crate::rng::Rng;

pub type Items = Vec<(Arc<str>, Sample, Seq)>;

#[derive(Clone, Debug)]
pub enum Op {
    Tenure { ticket: u64, lineage: Lineage, reserved: u64, last_counter: u64 },
    Retained { durable: Seq, items: Items },
    Adopt { lineage: Lineage, durable: Seq },
}

/// What a node finds when it starts.
#[derive(Clone, Default)]
pub struct Stored {
    pub lineage: Lineage,
    pub reserved: u64,
    pub last_counter: u64,
    pub durable: Seq,
    pub retained: BTreeMap<Arc<str>, (Sample, Seq)>,
}

#[derive(Default)]
pub struct Disk {
    pub stored: Stored,
    pub queue: VecDeque<Op>,
    /// Failed, and owed.
    unwritten: Vec<Op>,
    pub full: bool,
    pub full_until: u64,
    /// Each operation takes so much longer, until then.
    pub slow: Option<(u64, u64)>,
    pub trouble: bool,
    pub busy: bool,
    /// Broken on purpose: it answers before it has written.
    pub lies: bool,
}

impl Disk {
    /// An empty one in its place.
    pub fn fresh(&self) -> Self {
        Self { lies: self.lies, ..Self::default() }
    }

    /// The next attempt ends: these operations are done, or failed.
    pub fn complete(&mut self, rng: &mut Rng) -> (Vec<Op>, bool) {
        let count = if self.queue.is_empty() { 0 } else { rng.range(1, self.queue.len() as u64) as usize };
        let ops: Vec<_> = self.queue.drain(..count).collect();
        self.unwritten.extend(ops.iter().cloned());
        if !self.full && !self.lies {
            self.write();
        }
        (ops, !self.full)
    }

    pub fn write(&mut self) {
        for op in std::mem::take(&mut self.unwritten) {
            match op {
                Op::Tenure { lineage, reserved, last_counter, .. } => {
                    self.stored.lineage = lineage;
                    self.stored.reserved = self.stored.reserved.max(reserved);
                    self.stored.last_counter = self.stored.last_counter.max(last_counter);
                }
                Op::Retained { durable, items } => {
                    self.stored.durable = self.stored.durable.max(durable);
                    for (path, sample, seq) in items {
                        self.stored.retained.insert(path, (sample, seq));
                    }
                }
                Op::Adopt { lineage, durable } => {
                    self.stored.lineage = lineage;
                    self.stored.durable = durable;
                }
            }
        }
    }

    /// The process is gone. So much of what was under way (percent, from the first on) reached the disk all the same.
    pub fn crash(&mut self, written: u64) {
        if !self.full && written > 0 {
            let count = self.queue.len() * written as usize / 100;
            let ops: Vec<_> = self.queue.drain(..count).collect();
            self.unwritten.extend(ops);
            if !self.lies {
                self.write();
            }
        }
        self.queue.clear();
        self.unwritten.clear();
        self.busy = false;
        self.trouble = false;
    }

    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.unwritten.is_empty()
    }
}
