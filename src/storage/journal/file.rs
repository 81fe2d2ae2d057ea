//! `journal.db`: its format.
//!
//! Format 1:
//!
//! ```text
//! PRAGMA application_id      0x68706a31 ("hpj1")
//! PRAGMA user_version        the format
//! meta(key, value)           clean         1 byte: 1 while no process uses the folder after a clean stop, else 0
//! entries(id, ...)           id            1, 2, ... in the order in which they were stored, so that each log loses its
//!                                          oldest entries first
//!                            time          milliseconds since 1970
//!                            counter, node, position
//!                                          origin and place in its log; node and event as bytes, big-endian, which are
//!                                          sorted as the numbers are
//!                            event         16 bytes
//!                            kind          0 Raised, 1 Cleared, 2 Acknowledged, 3 Commented, 4 Shelved, 5 Unshelved
//!                            hidden        1: another log says the same, and it is shown instead of this one
//!                            path, name    of the alarm
//!                            operation     the operation id, if it has one
//!                            entry         the whole entry as MessagePack with named fields
//! origins(counter, node, last)
//!                            the last position of each log; stays when its entries are gone
//! skipped(counter, node, last)
//!                            up to where entries of a log were gone at the other node before it gave them: before this
//!                            position a log may have gaps
//! included(counter, node, last)
//!                            up to where `states` take each log into account
//! states(key, state)         alarm's key (16 bytes) and MessagePack of `PortableState`, of those not the default
//! shelves(path, shelf)       MessagePack of `PortableShelf`
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use hotpair_core::alarms::Positions;
use rusqlite::Connection;

use crate::storage::error::{OpenError, explain};

/// Name of the file in the data folder.
pub(super) const FILE: &str = "journal.db";
const APPLICATION: i64 = 0x6870_6a31;
const FORMAT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE meta(key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE entries(
        id INTEGER PRIMARY KEY NOT NULL, time INTEGER NOT NULL,
        counter INTEGER NOT NULL, node BLOB NOT NULL, position INTEGER NOT NULL,
        event BLOB NOT NULL, kind INTEGER NOT NULL, hidden INTEGER NOT NULL,
        path TEXT NOT NULL, name TEXT NOT NULL, operation TEXT, entry BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX entries_log ON entries(counter, node, position);
    CREATE INDEX entries_time ON entries(time, counter, node, position) WHERE hidden = 0;
    CREATE UNIQUE INDEX entries_shown ON entries(event, kind) WHERE hidden = 0 AND kind < 2;
    CREATE UNIQUE INDEX entries_shown_said ON entries(event, kind, operation)
        WHERE hidden = 0 AND kind IN (2, 3) AND operation IS NOT NULL;
    CREATE INDEX entries_hidden ON entries(event, kind) WHERE hidden = 1;
    CREATE INDEX entries_operation ON entries(time) WHERE operation IS NOT NULL;
    CREATE TABLE origins(
        counter INTEGER NOT NULL, node BLOB NOT NULL, last INTEGER NOT NULL, PRIMARY KEY(counter, node)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE skipped(
        counter INTEGER NOT NULL, node BLOB NOT NULL, last INTEGER NOT NULL, PRIMARY KEY(counter, node)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE included(
        counter INTEGER NOT NULL, node BLOB NOT NULL, last INTEGER NOT NULL, PRIMARY KEY(counter, node)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE states(key BLOB PRIMARY KEY NOT NULL, state BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE shelves(path TEXT PRIMARY KEY NOT NULL, shelf BLOB NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta(key, value) VALUES('clean', x'01');";
pub(super) const PUT_CLEAN: &str = "UPDATE meta SET value = ?1 WHERE key = 'clean'";

/// The open file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// Of each log the last position that is in the file.
    pub(super) held: Positions,
    /// The ids of the oldest and the newest entry; without any, one more and one less.
    pub(super) first: i64,
    pub(super) last: i64,
    /// So many of the newest entries stay.
    pub(super) keep: i64,
}

impl File {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes a clean stop and folds the write-ahead log into the file.
    pub(super) fn close(self) -> Result<(), String> {
        super::step("before the clean mark");
        self.connection.execute(PUT_CLEAN, [[1u8]]).map_err(|error| explain(&error))?;
        super::step("before the last checkpoint");
        checkpoint(&self.connection).map_err(|error| explain(&error))?;
        super::step("after the last checkpoint");
        self.connection.close().map_err(|(_, error)| explain(&error))
    }
}

/// Folds the write-ahead log into the file and empties it.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "locking_mode", "NORMAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", super::wal_pages())?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    // Of kibibytes: the ends of the indexes, of which those by event are hit at random.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// Makes a new file, or checks that an existing one is ours and of a format that is known.
pub(super) fn prepare_format(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let number = |connection: &Connection, name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sqlite)
    };
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    match (number(connection, "application_id")?, number(connection, "user_version")?) {
        (APPLICATION, FORMAT) => Ok(()),
        (APPLICATION, found) if found > FORMAT => Err(OpenError::Newer { path: path.into(), found, known: FORMAT }),
        // Made just now, or its maker was killed before the first transaction.
        (0, 0) if tables == 0 => create(connection).map_err(sqlite),
        _ => Err(OpenError::Corrupt { path: path.into(), what: "it is a database of another program".into() }),
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    super::step("before a new file is committed");
    transaction.commit()
}
