//! What is found when the file is opened, and whether it can be true.

use std::path::Path;
use std::sync::Arc;

use hotpair_actors::journal::{remaining, stored_state};
use hotpair_core::alarms::{AlarmEntry, AlarmKey, JournalFound, PortableShelf, PortableState, Positions};
use hotpair_core::operations::{KEEP_MS, MAX_RECORDS};
use hotpair_core::types::{Epoch, UnixMillis};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::file::{FILE, File, PUT_CLEAN, checkpoint, configure, prepare_format};
use super::rows::{Unreadable, blob, read_entry, read_place, stored, unpacked};
use crate::storage::database::{first_damage, make_private};
use crate::storage::error::{OpenError, explain};
use crate::storage::folder::sync_folder;

impl File {
    pub(super) fn open(data_dir: &Path, keep: u64, now: UnixMillis) -> Result<(Self, JournalFound), OpenError> {
        let path = data_dir.join(FILE);
        make_private(&path)?;
        let sqlite = |error: rusqlite::Error| OpenError::sqlite(&path, &error);
        let damaged = |what: String| OpenError::Corrupt { path: path.clone(), what: format!("it is damaged ({what})") };
        let unreadable = |error: Unreadable| match error {
            Unreadable::Sqlite(error) => sqlite(error),
            Unreadable::Content(what) => damaged(what),
        };

        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(sqlite)?;
        configure(&connection).map_err(sqlite)?;
        prepare_format(&mut connection, &path)?;
        let clean = is_clean(&connection).map_err(unreadable)?;
        // It reads the whole file, which takes seconds when that is large.
        if !clean && let Some(damage) = first_damage(&connection).map_err(sqlite)? {
            return Err(damaged(damage));
        }
        let found = read(&connection, now).map_err(unreadable)?;
        check_ends(&connection, &found.held).map_err(unreadable)?;
        if !clean {
            check_gaps(&connection, &found.held).map_err(unreadable)?;
        }
        let (first, last) = ids(&connection).map_err(unreadable)?;
        // Besides its purpose this shows at the start whether the file can be written at all.
        connection.execute(PUT_CLEAN, [[0u8]]).map_err(sqlite)?;
        // What is found now no longer depends on the log. Left as it is on a full disk, where the log still is enough.
        if let Err(error) = checkpoint(&connection) {
            tracing::warn!("cannot fold the log of {} into the file: {}", path.display(), explain(&error));
        }
        sync_folder(data_dir).map_err(|error| OpenError::io(data_dir, &error))?;
        let keep = stored(keep).unwrap_or(i64::MAX).max(1);
        let held = found.held.clone();
        Ok((Self { path, connection, held, first, last, keep }, found))
    }
}

fn is_clean(connection: &Connection) -> Result<bool, Unreadable> {
    let clean: Option<Vec<u8>> =
        connection.query_row("SELECT value FROM meta WHERE key = 'clean'", [], |row| row.get(0)).optional()?;
    clean.map(|clean| clean == [1]).ok_or_else(|| Unreadable::Content("its mark of a clean stop is missing".into()))
}

fn read(connection: &Connection, now: UnixMillis) -> Result<JournalFound, Unreadable> {
    Ok(JournalFound {
        held: positions(connection, "SELECT counter, node, last FROM origins")?,
        included: positions(connection, "SELECT counter, node, last FROM included")?,
        states: states(connection)?,
        shelves: shelves(connection, now)?,
        operations: operations(connection, now)?,
    })
}

pub(super) fn positions(connection: &Connection, select: &str) -> Result<Positions, Unreadable> {
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([])?;
    let mut positions = Positions::new();
    while let Some(row) = rows.next()? {
        let (origin, last) = read_place(row, 0)?;
        positions.insert(origin, last);
    }
    Ok(positions)
}

fn states(connection: &Connection) -> Result<Vec<(AlarmKey, PortableState)>, Unreadable> {
    let mut select = connection.prepare("SELECT key, state FROM states ORDER BY key")?;
    let mut rows = select.query([])?;
    let mut states = Vec::new();
    while let Some(row) = rows.next()? {
        let key = AlarmKey(u128::from_be_bytes(row.get(0)?));
        let state = unpacked(&|| format!("the state of alarm {:032x}", key.0), blob(row, 1)?)?;
        if let Some(state) = stored_state(Some(state)) {
            states.push((key, state));
        }
    }
    Ok(states)
}

fn shelves(connection: &Connection, now: UnixMillis) -> Result<Vec<PortableShelf>, Unreadable> {
    let mut select = connection.prepare("SELECT path, shelf FROM shelves ORDER BY path")?;
    let mut rows = select.query([])?;
    let mut shelves = Vec::new();
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        let shelf: PortableShelf = unpacked(&|| format!("the shelving of {path}"), blob(row, 1)?)?;
        shelves.extend(remaining(shelf, now));
    }
    Ok(shelves)
}

/// Not more of them than the node would remember anyway, the newest ones.
fn operations(connection: &Connection, now: UnixMillis) -> Result<Vec<Arc<AlarmEntry>>, Unreadable> {
    let mut select = connection.prepare(
        "SELECT counter, node, position, entry FROM entries WHERE operation IS NOT NULL AND time > ?1
         ORDER BY time DESC, counter DESC, node DESC, position DESC LIMIT ?2",
    )?;
    let mut rows = select.query((now.0.saturating_sub_unsigned(KEEP_MS), MAX_RECORDS))?;
    let mut operations = Vec::new();
    while let Some(row) = rows.next()? {
        operations.push(Arc::new(read_entry(row, 0)?));
    }
    operations.reverse();
    Ok(operations)
}

const SKIPPED: &str = "SELECT counter, node, last FROM skipped";

/// Each log ends where `origins` says, or all its entries are gone.
fn check_ends(connection: &Connection, held: &Positions) -> Result<(), Unreadable> {
    let mut select = connection.prepare("SELECT max(position) FROM entries WHERE counter = ?1 AND node = ?2")?;
    let skipped = positions(connection, SKIPPED)?;
    for (origin, last) in held {
        if skipped.get(origin) == Some(last) {
            continue;
        }
        let Some(counter) = stored(origin.counter) else { continue };
        let end: Option<i64> = select.query_row((counter, origin.node.0.to_be_bytes()), |row| row.get(0))?;
        if end.is_some_and(|end| stored(*last) != Some(end)) {
            return Err(Unreadable::Content(format!("the log of tenure {origin} does not end at {last}")));
        }
    }
    Ok(())
}

/// No log has a gap, but for what was gone before it came here, and there is none that `origins` does not know. Reads the whole index.
fn check_gaps(connection: &Connection, held: &Positions) -> Result<(), Unreadable> {
    let mut select = connection
        .prepare("SELECT counter, node, min(position), max(position), count(*) FROM entries GROUP BY counter, node")?;
    let skipped = positions(connection, SKIPPED)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (origin, first): (Epoch, u64) = read_place(row, 0)?;
        let (last, count): (i64, i64) = (row.get(3)?, row.get(4)?);
        let (last, count) = (last.cast_unsigned(), count.cast_unsigned());
        let ends = held.get(&origin);
        let whole = if skipped.contains_key(&origin) {
            ends.is_some_and(|end| last <= *end) && count <= last - first + 1
        } else {
            ends == Some(&last) && last - first + 1 == count
        };
        if first == 0 || !whole {
            return Err(Unreadable::Content(format!(
                "of the log of tenure {origin} there are {count} entries from {first} to {last}, and it should end at {}",
                held.get(&origin).copied().unwrap_or(0)
            )));
        }
    }
    Ok(())
}

/// The ids of the oldest and the newest entry; 1 and 0 when there are none.
fn ids(connection: &Connection) -> Result<(i64, i64), Unreadable> {
    let ends: (Option<i64>, Option<i64>) =
        connection.query_row("SELECT (SELECT min(id) FROM entries), (SELECT max(id) FROM entries)", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    match ends {
        (Some(first), Some(last)) if first >= 1 && last <= i64::MAX / 2 => Ok((first, last)),
        (Some(first), Some(last)) => Err(Unreadable::Content(format!("its entries have the ids {first} to {last}"))),
        _ => Ok((1, 0)),
    }
}
