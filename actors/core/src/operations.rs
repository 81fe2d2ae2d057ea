//! Records of operation ids: what was done under an id, so that repeating it gives the first result again, at either
//! node.
//!
//! The leader feeds its records to the follower along with the changes: a record goes once the changes of its operation
//! have gone. A follower that takes over then answers a repetition as the leader would have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use xxhash_rust::xxh3::Xxh3;

use crate::protocol::{ItemResult, OperationId, WriteItem};
use crate::types::{Millis, Seq};
use crate::value::Value;

/// How long a record is kept.
pub const KEEP_MS: u64 = 10 * 60 * 1000;

/// How many records are kept; the oldest give way.
pub const MAX_RECORDS: usize = 65_536;

/// How many item results all records hold together; the oldest records give way, but never the last one.
pub const MAX_ITEM_RESULTS: usize = 1 << 20;

/// What was done under an operation id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The id that the client chose.
    pub id: OperationId,
    /// What it asked for: see [`request_hash`].
    pub request_hash: u64,
    /// The last change that it made; 0 when it made none.
    pub seq: Seq,
    /// Its results in the order of its items, failed ones too.
    pub results: Vec<ItemResult>,
}

/// What is known of an operation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing (any more): do it.
    New,
    /// It was done: this is the result.
    Same(&'a Record),
    /// It was used for something else: refuse it.
    Reused,
}

/// The records of a node.
#[derive(Debug)]
pub struct Operations {
    capacity: usize,
    keep_ms: u64,
    item_results: usize,
    by_age: BTreeMap<Key, Record>,
    by_id: HashMap<OperationId, Key>,
    /// What the follower was not given yet, in the order of the changes; none while there is no follower.
    unsent: Option<BTreeSet<(Seq, Key)>>,
    inserted: u64,
}

/// When a record expires, and a number that tells records of one moment apart.
type Key = (Millis, u64);

impl Default for Operations {
    fn default() -> Self {
        Self::new(MAX_RECORDS, KEEP_MS)
    }
}

impl Operations {
    /// At most `capacity` records, each kept for `keep_ms`.
    pub fn new(capacity: usize, keep_ms: u64) -> Self {
        Self {
            capacity,
            keep_ms,
            item_results: 0,
            by_age: BTreeMap::new(),
            by_id: HashMap::new(),
            unsent: None,
            inserted: 0,
        }
    }

    /// How many records are held.
    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Whether no record is held.
    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    /// What is known of `id`, under which `request_hash` is asked for now.
    pub fn find(&self, id: &OperationId, request_hash: u64, now: Millis) -> Found<'_> {
        let Some((key, record)) = self.by_id.get(id).and_then(|key| self.by_age.get_key_value(key)) else {
            return Found::New;
        };
        if key.0 <= now {
            Found::New
        } else if record.request_hash == request_hash {
            Found::Same(record)
        } else {
            Found::Reused
        }
    }

    /// Keeps the record of an operation that was done now.
    pub fn insert(&mut self, record: Record, now: Millis) {
        self.insert_aged(record, 0, now);
    }

    /// Keeps a record that was made `age_ms` ago at the leader, in place of what was known under its id.
    pub fn insert_aged(&mut self, record: Record, age_ms: u64, now: Millis) {
        while let Some((&key, _)) = self.by_age.first_key_value()
            && key.0 <= now
        {
            self.remove(key);
        }
        let left_ms = self.keep_ms.saturating_sub(age_ms);
        if left_ms == 0 || self.capacity == 0 {
            return;
        }
        if let Some(&key) = self.by_id.get(&record.id) {
            self.remove(key);
        }
        while let Some((&key, _)) = self.by_age.first_key_value()
            && (self.by_age.len() >= self.capacity || self.item_results + record.results.len() > MAX_ITEM_RESULTS)
        {
            self.remove(key);
        }
        self.inserted += 1;
        let key = (now.plus(left_ms), self.inserted);
        if let Some(unsent) = &mut self.unsent {
            unsent.insert((record.seq, key));
        }
        self.item_results += record.results.len();
        self.by_id.insert(record.id.clone(), key);
        self.by_age.insert(key, record);
    }

    /// Keeps a record that was made `age_ms` ago at the other node, unless one is known under its id.
    pub fn insert_missing(&mut self, record: Record, age_ms: u64, now: Millis) {
        if !self.knows(&record.id, now) {
            self.insert_aged(record, age_ms, now);
        }
    }

    /// Whether something was done under `id`, whatever it was.
    pub fn knows(&self, id: &OperationId, now: Millis) -> bool {
        self.by_id.get(id).is_some_and(|key| now < key.0)
    }

    /// All records with their ages in milliseconds, oldest first.
    pub fn all(&self, now: Millis) -> impl Iterator<Item = (&Record, u64)> {
        let kept = self.by_age.iter().filter(move |(key, _)| now < key.0);
        kept.map(move |(key, record)| (record, self.keep_ms.saturating_sub(key.0.since(now))))
    }

    /// Begins to feed a follower: all records are to be sent.
    pub fn open_feed(&mut self) {
        self.unsent = Some(self.by_age.iter().map(|(&key, record)| (record.seq, key)).collect());
    }

    /// Ends the feed: the follower is gone.
    pub fn close_feed(&mut self) {
        self.unsent = None;
    }

    /// How many records the follower was not given yet.
    pub fn unsent(&self) -> usize {
        self.unsent.as_ref().map_or(0, BTreeSet::len)
    }

    /// The next record to send, with its age in milliseconds, in the order of their changes: one whose changes were all
    /// sent, `watermark` being that of the batch it goes with. None when there is none (yet), or no follower.
    pub fn next_unsent(&mut self, watermark: Seq, now: Millis) -> Option<(&Record, u64)> {
        let unsent = self.unsent.as_mut()?;
        loop {
            let &(seq, key) = unsent.first()?;
            if seq > watermark {
                return None;
            }
            unsent.pop_first();
            if now < key.0 {
                let age_ms = self.keep_ms.saturating_sub(key.0.since(now));
                return self.by_age.get(&key).map(|record| (record, age_ms));
            }
        }
    }

    fn remove(&mut self, key: Key) {
        let Some(record) = self.by_age.remove(&key) else { return };
        self.by_id.remove(&record.id);
        self.item_results -= record.results.len();
        if let Some(unsent) = &mut self.unsent {
            unsent.remove(&(record.seq, key));
        }
    }
}

/// What a write asks for, as one number: two writes are the same operation when their items are equal and in the same
/// order.
pub fn request_hash(items: &[WriteItem]) -> u64 {
    let mut hasher = Xxh3::new();
    // Every text goes with its length and every choice with its number, so that no two writes give the same bytes.
    for item in items {
        text(&mut hasher, &item.path);
        match &item.value {
            Value::Bool(value) => hasher.update(&[0, u8::from(*value)]),
            Value::Int64(value) => number(&mut hasher, 1, *value as u64),
            Value::Float64(value) => number(&mut hasher, 2, value.to_bits()),
            Value::String(value) => {
                hasher.update(&[3]);
                text(&mut hasher, value);
            }
            Value::DateTime(value) => number(&mut hasher, 4, value.0 as u64),
        }
        hasher.update(&item.quality.0.to_le_bytes());
        match item.time {
            None => hasher.update(&[0]),
            Some(time) => number(&mut hasher, 1, time.0 as u64),
        }
    }
    hasher.digest()
}

fn text(hasher: &mut Xxh3, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

fn number(hasher: &mut Xxh3, kind: u8, value: u64) {
    hasher.update(&[kind]);
    hasher.update(&value.to_le_bytes());
}

#[cfg(test)]
mod tests;
