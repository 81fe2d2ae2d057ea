//! `hotpair.db`: its format, and the one transaction that writes it.
//!
//! Format 1:
//!
//! ```text
//! PRAGMA application_id      0x68707231 ("hpr1")
//! PRAGMA user_version        the format
//! meta(key, value)           node          8 bytes big-endian
//!                            lineage       MessagePack of the fork points
//!                            reserved, last_counter, durable
//!                                          8 bytes big-endian each
//!                            clean         1 byte: 1 while no process uses the folder after a clean stop, else 0
//! retained(path, seq, quality, time, value)
//!                            value is MessagePack of `Value`: columns of SQLite would turn NaN into NULL and Bool
//!                            into Int64
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotpair_actors::durable::Unwritten;
use hotpair_core::lineage::Lineage;
use hotpair_core::quality::Quality;
use hotpair_core::types::{NodeId, UnixMillis};
use hotpair_core::value::Sample;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::Recovered;
use super::error::{OpenError, explain};

/// Name of the file in the data folder.
pub(super) const FILE: &str = "hotpair.db";
const APPLICATION: i64 = 0x6870_7231;
const FORMAT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE meta(key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE retained(
        path TEXT PRIMARY KEY NOT NULL, seq INTEGER NOT NULL, quality INTEGER NOT NULL, time INTEGER NOT NULL,
        value BLOB NOT NULL
    ) WITHOUT ROWID;";
const PUT_META: &str = "INSERT INTO meta(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2";
const PUT_RETAINED: &str = "INSERT INTO retained(path, seq, quality, time, value) VALUES(?1, ?2, ?3, ?4, ?5)
    ON CONFLICT(path) DO UPDATE SET seq = ?2, quality = ?3, time = ?4, value = ?5";

/// The open file.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    connection: Connection,
    /// What the file holds; a counter or position that is greater here stays.
    reserved: u64,
    last_counter: u64,
    durable: u64,
}

impl Database {
    pub(super) fn open(data_dir: &Path) -> Result<(Self, Recovered), OpenError> {
        let path = data_dir.join(FILE);
        make_private(&path)?;
        let sqlite = |error: rusqlite::Error| OpenError::sqlite(&path, &error);
        let corrupt = |what: String| OpenError::Corrupt { path: path.clone(), what };

        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(sqlite)?;
        configure(&connection).map_err(sqlite)?;
        prepare_format(&mut connection, &path)?;
        if let Some(damage) = first_damage(&connection).map_err(sqlite)? {
            return Err(corrupt(format!("it is damaged ({damage})")));
        }
        let recovered = read(&connection).map_err(|unreadable| match unreadable {
            Unreadable::Sqlite(error) => sqlite(error),
            Unreadable::Content(what) => corrupt(format!("it is damaged ({what})")),
        })?;
        // Besides its purpose this shows at the start whether the file can be written at all.
        connection.execute(PUT_META, params!["clean", [0u8]]).map_err(sqlite)?;
        // What is found now no longer depends on the log. Left as it is on a full disk, where the log still is enough.
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!("cannot fold the log of {} into the file: {}", path.display(), explain(&error));
        }
        let (reserved, last_counter, durable) = (recovered.reserved, recovered.last_counter, recovered.durable);
        Ok((Self { path, connection, reserved, last_counter, durable }, recovered))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of it in one transaction, or nothing. It is on the disk when this returns. The error says what failed.
    pub(super) fn write(&mut self, unwritten: &mut Unwritten) -> Result<(), String> {
        if !self.path.exists() {
            return Err("the file was removed or renamed while hotpair works; put it back, or restart hotpair".into());
        }
        let mut after = (self.reserved, self.last_counter, self.durable);
        let transaction = self.connection.transaction().map_err(|error| explain(&error))?;
        let mut fill = || -> rusqlite::Result<()> {
            let mut put_meta = transaction.prepare_cached(PUT_META)?;
            if let Some(tenure) = unwritten.tenure() {
                after = (tenure.reserved.max(after.0), tenure.last_counter.max(after.1), after.2);
                put_meta.execute(params!["lineage", packed(&tenure.lineage)?])?;
                put_meta.execute(params!["reserved", after.0.to_be_bytes()])?;
                put_meta.execute(params!["last_counter", after.1.to_be_bytes()])?;
            }
            if let Some(step) = unwritten.durable() {
                after.2 = step.from(after.2);
                put_meta.execute(params!["durable", after.2.to_be_bytes()])?;
            }
            let mut put_retained = transaction.prepare_cached(PUT_RETAINED)?;
            for (path, sample, seq) in unwritten.items() {
                let Sample { value, quality, time } = sample;
                put_retained.execute(params![&**path, seq.cast_signed(), quality.0, time.0, packed(value)?])?;
            }
            Ok(())
        };
        fill().map_err(|error| explain(&error))?;
        transaction.commit().map_err(|error| explain(&error))?;
        (self.reserved, self.last_counter, self.durable) = after;
        Ok(())
    }

    /// Folds the write-ahead log into the file.
    pub(super) fn checkpoint(&self) -> Result<(), String> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|error| explain(&error))
    }

    /// Notes a clean stop and folds the write-ahead log into the file.
    pub(super) fn close(self) -> Result<(), String> {
        self.connection.execute(PUT_META, params!["clean", [1u8]]).map_err(|error| explain(&error))?;
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| explain(&error))?;
        self.connection.close().map_err(|(_, error)| explain(&error))
    }
}

/// SQLite makes files that everybody may read; the log beside it takes the rights of this one.
pub(super) fn make_private(path: &Path) -> Result<(), OpenError> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|error| OpenError::io(path, &error))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    // Before the first access: the index of the log then lives in memory, and no foreign reader can hold up a
    // checkpoint, which would let the log grow without limit.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// Makes a new file, or checks that an existing one is ours and of a format that is known.
fn prepare_format(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
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
        (0, 0) if tables == 0 => create(connection, path),
        _ => Err(OpenError::Corrupt { path: path.into(), what: "it is a database of another program".into() }),
    }
}

fn create(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let mut node = 0;
    // Node 0 stands for "none".
    while node == 0 {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| OpenError::Folder {
            path: path.into(),
            what: format!("the system gives no random numbers ({error}) for the node's identity"),
        })?;
        node = u64::from_be_bytes(bytes);
    }
    let mut fill = || -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.execute(PUT_META, params!["node", node.to_be_bytes()])?;
        transaction.execute(PUT_META, params!["lineage", packed(&Lineage::default())?])?;
        for key in ["reserved", "last_counter", "durable"] {
            transaction.execute(PUT_META, params![key, 0u64.to_be_bytes()])?;
        }
        transaction.execute(PUT_META, params!["clean", [1u8]])?;
        transaction.commit()
    };
    fill().map_err(|error| OpenError::sqlite(path, &error))
}

/// The first thing that SQLite's own check of the whole file complains about.
pub(super) fn first_damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let report: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((report != "ok").then_some(report))
}

enum Unreadable {
    Sqlite(rusqlite::Error),
    Content(String),
}

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn read(connection: &Connection) -> Result<Recovered, Unreadable> {
    let mut get = connection.prepare("SELECT value FROM meta WHERE key = ?1")?;
    let mut meta = |key: &str| -> Result<Vec<u8>, Unreadable> {
        let value: Option<Vec<u8>> = get.query_row([key], |row| row.get(0)).optional()?;
        value.ok_or_else(|| Unreadable::Content(format!("{key} is missing")))
    };
    let number = |key: &str, bytes: Vec<u8>| -> Result<u64, Unreadable> {
        let bytes = bytes.try_into().map_err(|_| Unreadable::Content(format!("{key} is not a number")))?;
        Ok(u64::from_be_bytes(bytes))
    };
    let lineage: Lineage = unpacked("the lineage", &meta("lineage")?)?;
    let mut select = connection.prepare("SELECT path, seq, quality, time, value FROM retained ORDER BY path")?;
    let mut rows = select.query([])?;
    let mut retained = Vec::new();
    while let Some(row) = rows.next()? {
        let path: Arc<str> = row.get(0)?;
        let seq: i64 = row.get(1)?;
        let value = unpacked(&path, row.get_ref(4)?.as_blob().unwrap_or_default())?;
        let sample = Sample { value, quality: Quality(row.get(2)?), time: UnixMillis(row.get(3)?) };
        retained.push((path, sample, seq.cast_unsigned()));
    }
    Ok(Recovered {
        node: NodeId(number("node", meta("node")?)?),
        // Through `new`, which bounds it.
        lineage: Lineage::new(lineage.forks().to_vec()),
        reserved: number("reserved", meta("reserved")?)?,
        last_counter: number("last_counter", meta("last_counter")?)?,
        durable: number("durable", meta("durable")?)?,
        retained,
        previous_shutdown_clean: meta("clean")? == [1],
    })
}

fn packed<T: serde::Serialize>(value: &T) -> rusqlite::Result<Vec<u8>> {
    rmp_serde::to_vec(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn unpacked<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Unreadable> {
    rmp_serde::from_slice(bytes).map_err(|error| Unreadable::Content(format!("{what}: {error}")))
}
