//! What clients ask for, read beside the writer. Each step is a transaction of its own and short: while one is open, the
//! write-ahead log cannot be emptied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hotpair_core::alarms::{AlarmEntry, Positions};
use hotpair_core::catalog::path_matches;
use hotpair_core::types::UnixMillis;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::open::positions;
use super::rows::{Place, Unreadable, read_entry};
use crate::storage::error::OpenError;

/// So many entries are read in a step.
const ENTRIES_A_STEP: usize = 1000;
/// So many paths are looked at in a step.
const PATHS_A_STEP: usize = 10_000;

const COUNT: &str = "SELECT count(*) FROM entries WHERE hidden = 0 AND time >= ?1 AND time <= ?2";
const PAGE: &str = "
    SELECT time, counter, node, position, entry FROM entries
    WHERE hidden = 0 AND (time, counter, node, position) > (?1, ?2, ?3, ?4) AND time <= ?5
    ORDER BY time, counter, node, position LIMIT ?6 OFFSET ?7";
const PATHS: &str = "
    SELECT time, counter, node, position, id, path, name FROM entries
    WHERE hidden = 0 AND (time, counter, node, position) > (?1, ?2, ?3, ?4) AND time <= ?5
    ORDER BY time, counter, node, position LIMIT ?6";
const ENTRY: &str = "SELECT counter, node, position, entry FROM entries WHERE id = ?1";

/// Which entries of the journal a client wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalQuery {
    /// From this time on; none: from the oldest entry on.
    pub start: Option<UnixMillis>,
    /// Before this time; none: to the newest entry.
    pub end: Option<UnixMillis>,
    /// Only alarms whose path, or path and name with a `/` between them, fits one of these; `*` stands for any
    /// characters. Empty: all alarms.
    pub path: Vec<String>,
    /// So many entries at most.
    pub limit: usize,
    /// So many of the oldest ones are left out.
    pub offset: u64,
}

impl Default for JournalQuery {
    /// The oldest thousand entries.
    fn default() -> Self {
        Self { start: None, end: None, path: Vec::new(), limit: 1000, offset: 0 }
    }
}

/// A connection that only reads.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    /// None: closed.
    connection: Mutex<Option<Connection>>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let open = || -> rusqlite::Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            // The writer waits for nobody; what it keeps a reader from is over at once.
            connection.busy_timeout(Duration::from_secs(1))?;
            connection.pragma_update(None, "cache_size", -8192)?;
            connection.pragma_update(None, "trusted_schema", false)?;
            Ok(connection)
        };
        let connection = open().map_err(|error| OpenError::sqlite(path, &error))?;
        Ok(Self { path: path.into(), connection: Mutex::new(Some(connection)) })
    }

    /// What runs ends after its step.
    pub(super) fn close(&self) {
        drop(self.connection.lock().take());
    }

    pub(super) fn query(&self, query: &JournalQuery) -> Result<Vec<AlarmEntry>, String> {
        let mut found = Vec::new();
        let mut scan = Scan::new(query);
        while !scan.finished && found.len() < query.limit {
            self.step(|connection| {
                if query.path.is_empty() {
                    scan.page(connection, &mut found)
                } else {
                    scan.fitting(connection, &mut found)
                }
            })?;
        }
        Ok(found)
    }

    pub(super) fn count(&self, query: &JournalQuery) -> Result<u64, String> {
        let mut scan = Scan::new(query);
        if query.path.is_empty() && !scan.finished {
            return self.step(|connection| {
                let mut select = connection.prepare_cached(COUNT)?;
                let count: i64 = select.query_row((scan.after.0, scan.until), |row| row.get(0))?;
                Ok(u64::try_from(count).unwrap_or(0))
            });
        }
        let mut count = 0;
        while !scan.finished {
            self.step(|connection| {
                scan.paths(connection, |_| {
                    count += 1;
                    Ok(true)
                })
            })?;
        }
        Ok(count)
    }

    pub(super) fn positions(&self) -> Result<Positions, String> {
        self.step(|connection| positions(connection, "SELECT counter, node, last FROM origins"))
    }

    fn step<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Unreadable>) -> Result<T, String> {
        let connection = self.connection.lock();
        let Some(connection) = &*connection else {
            return Err("The journal is closed: the node is stopping.".into());
        };
        read(connection).map_err(|error| format!("Cannot read from {}: {}.", self.path.display(), error.explain()))
    }
}

/// How far a query is.
struct Scan<'a> {
    query: &'a JournalQuery,
    /// The last row that was looked at: time and place.
    after: (i64, Place),
    /// The last time that counts.
    until: i64,
    /// So many rows are still to be left out.
    skip: u64,
    finished: bool,
}

impl<'a> Scan<'a> {
    fn new(query: &'a JournalQuery) -> Self {
        let start = query.start.map_or(i64::MIN, |start| start.0);
        let until = query.end.map_or(Some(i64::MAX), |end| end.0.checked_sub(1));
        // Before all places: counters begin at 0.
        let after = (start, (-1, [0; 8], 0));
        let finished = until.is_none_or(|until| until < start);
        Self { query, after, until: until.unwrap_or(i64::MIN), skip: query.offset, finished }
    }

    /// A step of a query without paths: SQLite leaves out rows without reading them.
    fn page(&mut self, connection: &Connection, found: &mut Vec<AlarmEntry>) -> Result<(), Unreadable> {
        let limit = ENTRIES_A_STEP.min(self.query.limit - found.len());
        let mut select = connection.prepare_cached(PAGE)?;
        let (time, (counter, node, position)) = self.after;
        let skip = i64::try_from(self.skip).unwrap_or(i64::MAX);
        let mut rows = select.query(params![time, counter, node, position, self.until, limit, skip])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            found.push(read_entry(row, 1)?);
            self.after = cursor(row)?;
            count += 1;
        }
        self.skip = 0;
        self.finished = count < limit;
        Ok(())
    }

    /// A step of a query with paths.
    fn fitting(&mut self, connection: &Connection, found: &mut Vec<AlarmEntry>) -> Result<(), Unreadable> {
        let mut skip = self.skip;
        let limit = self.query.limit;
        let mut read = 0;
        let mut select = connection.prepare_cached(ENTRY)?;
        self.paths(connection, |id| {
            if skip > 0 {
                skip -= 1;
                return Ok(true);
            }
            // None: it was the oldest one, and is forgotten meanwhile.
            let entry = select.query_row([id], |row| Ok(read_entry(row, 0))).optional()?;
            found.extend(entry.transpose()?);
            read += 1;
            Ok(found.len() < limit && read < ENTRIES_A_STEP)
        })?;
        self.skip = skip;
        Ok(())
    }

    /// Gives the ids of the next rows whose path fits, until told `false`.
    fn paths(
        &mut self,
        connection: &Connection,
        mut each: impl FnMut(i64) -> Result<bool, Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut select = connection.prepare_cached(PATHS)?;
        let (time, (counter, node, position)) = self.after;
        let mut rows = select.query(params![time, counter, node, position, self.until, PATHS_A_STEP])?;
        let mut count = 0;
        let mut full = String::new();
        while let Some(row) = rows.next()? {
            self.after = cursor(row)?;
            count += 1;
            let text = |at| row.get_ref(at)?.as_str().map_err(|error| Unreadable::Content(error.to_string()));
            let (path, name) = (text(5)?, text(6)?);
            full.clear();
            full.extend([path, "/", name]);
            let fits = |pattern: &String| path_matches(pattern, path) || path_matches(pattern, &full);
            if self.query.path.iter().any(fits) && !each(row.get(4)?)? {
                return Ok(());
            }
        }
        self.finished = count < PATHS_A_STEP;
        Ok(())
    }
}

fn cursor(row: &Row<'_>) -> Result<(i64, Place), Unreadable> {
    Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?)))
}
