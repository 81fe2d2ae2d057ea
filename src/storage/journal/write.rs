//! The transactions that write the file: a group of batches, and a step of forgetting the oldest entries.

use std::sync::Arc;

use hotpair_actors::durable::DiskError;
use hotpair_actors::journal::{Fitting, stored_state};
use hotpair_core::alarms::{AlarmEntry, AlarmKey, EntryKind, JournalBatch, PortableState, Positions};
use hotpair_core::types::Epoch;
use rusqlite::{OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::file::File;
use super::rows::{Place, Unreadable, kind_number, packed, place_of, read_entry, stored};
use super::step;
use crate::storage::error::{disk_error, explain};

/// So many entries are forgotten in one transaction, so that no batch waits for long.
const PRUNED_AT_ONCE: i64 = 500;

const PUT_ENTRY: &str = "
    INSERT INTO entries(id, time, counter, node, position, event, kind, hidden, path, name, operation, entry)
    VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
const SHOWN: &str = "
    SELECT id, counter, node, position FROM entries WHERE event = ?1 AND kind = ?2 AND hidden = 0 AND kind < 2";
const SHOWN_SAID: &str = "
    SELECT id, counter, node, position FROM entries
    WHERE event = ?1 AND kind = ?2 AND kind IN (2, 3) AND operation = ?3 AND hidden = 0";
const HIDE: &str = "UPDATE entries SET hidden = 1 WHERE id = ?1";
const PUT_ORIGIN: &str = "
    INSERT INTO origins(counter, node, last) VALUES(?1, ?2, ?3) ON CONFLICT(counter, node) DO UPDATE SET last = ?3";
const PUT_SKIPPED: &str = "
    INSERT INTO skipped(counter, node, last) VALUES(?1, ?2, ?3)
    ON CONFLICT(counter, node) DO UPDATE SET last = max(last, ?3)";
const PUT_INCLUDED: &str = "
    INSERT INTO included(counter, node, last) VALUES(?1, ?2, ?3) ON CONFLICT(counter, node) DO UPDATE SET last = ?3";
const PUT_STATE: &str = "
    INSERT INTO states(key, state) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET state = ?2";
const READ_LOG: &str = "
    SELECT counter, node, position, entry FROM entries WHERE counter = ?1 AND node = ?2 AND position >= ?3
    ORDER BY position LIMIT ?4";

/// Of what several entries say alike, where the one that is shown has an id below ?1 and a hidden one stays: event and
/// kind, of an acknowledgement or a comment its operation id.
const LEFT_ALONE: &str = "
    SELECT DISTINCT twin.event, twin.kind, CASE WHEN twin.kind IN (2, 3) THEN twin.operation END
    FROM entries gone CROSS JOIN entries twin
    ON twin.event = gone.event AND twin.kind = gone.kind AND twin.hidden = 1 AND twin.id >= ?1
    AND (gone.kind < 2 OR twin.operation = gone.operation)
    WHERE gone.id < ?1 AND gone.hidden = 0 AND (gone.kind < 2 OR gone.kind IN (2, 3) AND gone.operation IS NOT NULL)";
const FORGET: &str = "DELETE FROM entries WHERE id < ?1";
const SHOW_NEXT: &str = "
    UPDATE entries SET hidden = 0 WHERE id =
    (SELECT id FROM entries WHERE event = ?1 AND kind = ?2 AND hidden = 1 AND (?3 IS NULL OR operation = ?3)
     ORDER BY counter, node, position LIMIT 1)";

/// What became of a group of batches.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Of each batch.
    pub(super) results: Vec<Result<(), DiskError>>,
    /// Of the disk; none: it was not asked. A batch that did not fit is no failure of it.
    pub(super) disk: Option<Result<(), DiskError>>,
}

/// A batch, and those of its entries that are new.
type Fitted<'a> = (&'a JournalBatch, Vec<&'a Arc<AlarmEntry>>);

impl File {
    /// Stores the batches that fit, all in one transaction: they are on the disk when this returns, or none of them.
    pub(super) fn append(&mut self, batches: &[JournalBatch]) -> Outcome {
        let mut fitting = Fitting::new(&self.held);
        let mut refused = Vec::with_capacity(batches.len());
        let mut fitted: Vec<Fitted<'_>> = Vec::with_capacity(batches.len());
        for batch in batches {
            let new = check_numbers(batch).and_then(|()| fitting.fit(batch));
            refused.push(new.as_ref().err().cloned());
            fitted.extend(new.ok().map(|new| (batch, new)));
        }
        let moved = fitting.moved();
        let disk = fitted.iter().any(changes).then(|| self.transact(&fitted, moved));
        let disk = disk.map(|result| result.map_err(|what| disk_error(&self.path, &what)));
        let of_fitting = disk.clone().unwrap_or(Ok(()));
        let results = refused.into_iter().map(|refused| refused.map_or_else(|| of_fitting.clone(), Err)).collect();
        Outcome { results, disk }
    }

    fn transact(&mut self, batches: &[Fitted<'_>], mut moved: Positions) -> Result<(), String> {
        if !self.path.exists() {
            return Err("the file was removed or renamed while hotpair works; put it back, or restart hotpair".into());
        }
        let mut fill = || -> rusqlite::Result<i64> {
            step("before BEGIN");
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            step("after BEGIN");
            let mut last = self.last;
            for (batch, new) in batches {
                for entry in new {
                    last += 1;
                    put_entry(&transaction, last, entry)?;
                    step("after an entry");
                }
                put_positions(&transaction, PUT_SKIPPED, &batch.skipped)?;
                put_rest(&transaction, batch)?;
                step("after a batch");
            }
            put_positions(&transaction, PUT_ORIGIN, &moved)?;
            step("before COMMIT");
            transaction.commit()?;
            step("after COMMIT");
            Ok(last)
        };
        self.last = fill().map_err(|error| explain(&error))?;
        self.held.append(&mut moved);
        Ok(())
    }

    /// See [`hotpair_actors::journal::JournalStore::read`].
    pub(super) fn read(&self, origin: Epoch, from: u64, max: usize) -> Result<Vec<Arc<AlarmEntry>>, DiskError> {
        let mut entries: Vec<Arc<AlarmEntry>> = Vec::new();
        let mut fill = || -> Result<(), Unreadable> {
            let (Some(counter), Some(from)) = (stored(origin.counter), stored(from)) else { return Ok(()) };
            let mut select = self.connection.prepare_cached(READ_LOG)?;
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            let mut rows = select.query((counter, origin.node.0.to_be_bytes(), from, max))?;
            while let Some(row) = rows.next()? {
                let entry = read_entry(row, 0)?;
                if entries.last().is_some_and(|before| before.position + 1 != entry.position) {
                    // What the other node had forgotten before it gave the rest: the next reading begins behind it.
                    let skipped: Option<i64> = self.connection.query_row(
                        "SELECT max(last) FROM skipped WHERE counter = ?1 AND node = ?2 AND last >= ?3",
                        params![counter, origin.node.0.to_be_bytes(), stored(entry.position - 1)],
                        |row| row.get(0),
                    )?;
                    if skipped.is_some() {
                        break;
                    }
                    let what = format!("entry {} of the log of tenure {origin} is missing", entry.position - 1);
                    return Err(Unreadable::Content(what));
                }
                entries.push(Arc::new(entry));
            }
            Ok(())
        };
        fill().map_err(|error| {
            DiskError(Arc::from(format!("Cannot read from {}: {}.", self.path.display(), error.explain())))
        })?;
        Ok(entries)
    }

    /// Whether there are so many entries too many that forgetting some is worth a transaction.
    pub(super) fn has_surplus(&self) -> bool {
        self.last - self.first - self.keep + 1 >= self.prune_step()
    }

    /// Whether there are a fifth more than must stay.
    pub(super) fn has_large_surplus(&self) -> bool {
        self.last - self.first - self.keep + 1 > self.keep / 5
    }

    /// Forgets some of the oldest entries, never those that must stay; how many.
    pub(super) fn prune(&mut self) -> Result<usize, String> {
        let end = (self.last - self.keep + 1).min(self.first + self.prune_step());
        let mut forget = || -> rusqlite::Result<(i64, usize)> {
            step("before a prune");
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let alone: Vec<([u8; 16], i64, Option<String>)> = transaction
                .prepare_cached(LEFT_ALONE)?
                .query_map([end], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            let forgotten = transaction.prepare_cached(FORGET)?.execute([end])?;
            step("inside a prune");
            for (event, kind, operation) in alone {
                transaction.prepare_cached(SHOW_NEXT)?.execute((event, kind, operation))?;
            }
            let first: Option<i64> =
                transaction.prepare_cached("SELECT min(id) FROM entries")?.query_row([], |row| row.get(0))?;
            step("before the COMMIT of a prune");
            transaction.commit()?;
            step("after a prune");
            Ok((first.unwrap_or(end), forgotten))
        };
        let (first, forgotten) = forget().map_err(|error| explain(&error))?;
        self.first = first;
        Ok(forgotten)
    }

    fn prune_step(&self) -> i64 {
        (self.keep / 10).clamp(1, PRUNED_AT_ONCE)
    }
}

/// Whether there is something to write.
fn changes((batch, new): &Fitted<'_>) -> bool {
    !new.is_empty()
        || !batch.skipped.is_empty()
        || batch.replace
        || !batch.states.is_empty()
        || batch.shelves.is_some()
        || !batch.included.is_empty()
}

/// The numbers of SQLite end at 2^63 - 1: no tenure and no log comes that far.
fn check_numbers(batch: &JournalBatch) -> Result<(), DiskError> {
    let numbers = |(origin, last): (&Epoch, &u64)| stored(origin.counter).is_some() && stored(*last).is_some();
    let positions = batch.included.iter().chain(&batch.skipped);
    if batch.entries.iter().all(|entry| place_of(entry).is_some()) && positions.into_iter().all(numbers) {
        return Ok(());
    }
    Err(DiskError(Arc::from(
        "A tenure or position is above 2^63 - 1, which no real one is: nothing of its batch is stored.",
    )))
}

fn put_entry(transaction: &Transaction<'_>, id: i64, entry: &AlarmEntry) -> rusqlite::Result<()> {
    let Some(place) = place_of(entry) else { return Err(rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX)) };
    let hidden = hides(transaction, entry, place)?;
    let (counter, node, position) = place;
    transaction.prepare_cached(PUT_ENTRY)?.execute(params![
        id,
        entry.time.0,
        counter,
        node,
        position,
        entry.event.0.to_be_bytes(),
        kind_number(entry.kind),
        hidden,
        &*entry.path,
        &*entry.name,
        entry.operation.as_deref(),
        packed(entry)?
    ])?;
    Ok(())
}

/// Whether an entry that says the same is shown instead of this new one. If this one is to be shown instead, the other
/// is hidden.
///
/// The same is: that an occurrence began, that it cleared, and what was said of it under an operation id. A node
/// that died before anybody heard of it has the first one, the node where it was repeated the second.
fn hides(transaction: &Transaction<'_>, entry: &AlarmEntry, place: Place) -> rusqlite::Result<bool> {
    let event = entry.event.0.to_be_bytes();
    let read = |row: &Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?)));
    let shown: Option<(i64, Place)> = match (entry.kind, entry.operation.as_deref()) {
        (EntryKind::Raised | EntryKind::Cleared, _) => {
            transaction.prepare_cached(SHOWN)?.query_row((event, kind_number(entry.kind)), read).optional()?
        }
        (EntryKind::Acknowledged | EntryKind::Commented, Some(operation)) => {
            let said = (event, kind_number(entry.kind), operation);
            transaction.prepare_cached(SHOWN_SAID)?.query_row(said, read).optional()?
        }
        _ => None,
    };
    match shown {
        None => Ok(false),
        Some((_, other)) if other < place => Ok(true),
        Some((id, _)) => {
            transaction.prepare_cached(HIDE)?.execute([id])?;
            Ok(false)
        }
    }
}

/// All of a batch but its entries.
fn put_rest(transaction: &Transaction<'_>, batch: &JournalBatch) -> rusqlite::Result<()> {
    if batch.replace {
        transaction.execute("DELETE FROM states", [])?;
        transaction.execute("DELETE FROM included", [])?;
        step("after the states are gone");
    }
    for (key, state) in &batch.states {
        put_state(transaction, *key, state.as_ref())?;
    }
    put_positions(transaction, PUT_INCLUDED, &batch.included)?;
    if let Some(shelves) = &batch.shelves {
        transaction.execute("DELETE FROM shelves", [])?;
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO shelves(path, shelf) VALUES(?1, ?2)")?;
        for shelf in shelves {
            put.execute(params![&*shelf.path, packed(shelf)?])?;
        }
    }
    Ok(())
}

fn put_state(transaction: &Transaction<'_>, key: AlarmKey, state: Option<&PortableState>) -> rusqlite::Result<()> {
    let key = key.0.to_be_bytes();
    match stored_state(state.cloned()) {
        Some(state) => transaction.prepare_cached(PUT_STATE)?.execute(params![key, packed(&state)?])?,
        None => transaction.prepare_cached("DELETE FROM states WHERE key = ?1")?.execute([key])?,
    };
    Ok(())
}

fn put_positions(transaction: &Transaction<'_>, put: &str, positions: &Positions) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(put)?;
    for (origin, last) in positions {
        put.execute(params![origin.counter, origin.node.0.to_be_bytes(), last])?;
    }
    Ok(())
}
