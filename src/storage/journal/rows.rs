//! What stands in the columns. Nothing that is read is trusted: the file may be damaged.

use hotpair_core::alarms::{AlarmEntry, EntryKind};
use hotpair_core::types::{Epoch, NodeId};
use rusqlite::{ErrorCode, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::storage::error::explain;

/// Why something cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// SQLite says why.
    Sqlite(rusqlite::Error),
    /// What was read makes no sense.
    Content(String),
}

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        match error {
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => {
                Self::Content(error.to_string())
            }
            // Such as a table that is missing.
            error if error.sqlite_error_code() == Some(ErrorCode::Unknown) => Self::Content(error.to_string()),
            error => Self::Sqlite(error),
        }
    }
}

impl Unreadable {
    /// For people.
    pub(super) fn explain(&self) -> String {
        match self {
            Self::Sqlite(error) => explain(error),
            Self::Content(what) => format!("it is damaged ({what})"),
        }
    }
}

/// The number that stands for a kind in the file.
pub(super) fn kind_number(kind: EntryKind) -> i64 {
    match kind {
        EntryKind::Raised => 0,
        EntryKind::Cleared => 1,
        EntryKind::Acknowledged => 2,
        EntryKind::Commented => 3,
        EntryKind::Shelved => 4,
        EntryKind::Unshelved => 5,
    }
}

/// A counter or position as SQLite stores it. None: no real one is as great.
pub(super) fn stored(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

/// A place in the order of the logs: counter, node and position, each as in its column.
pub(super) type Place = (i64, [u8; 8], i64);

/// Where an entry stands; none: its numbers are too great to be real.
pub(super) fn place_of(entry: &AlarmEntry) -> Option<Place> {
    Some((stored(entry.origin.counter)?, entry.origin.node.0.to_be_bytes(), stored(entry.position)?))
}

/// Origin and position from the columns `at`, `at + 1` and `at + 2`.
pub(super) fn read_place(row: &Row<'_>, at: usize) -> Result<(Epoch, u64), Unreadable> {
    let (counter, node, position): Place = (row.get(at)?, row.get(at + 1)?, row.get(at + 2)?);
    match (u64::try_from(counter), u64::try_from(position)) {
        (Ok(counter), Ok(position)) => Ok((Epoch { counter, node: NodeId(u64::from_be_bytes(node)) }, position)),
        _ => Err(Unreadable::Content(format!("tenure {counter}, position {position}"))),
    }
}

/// The entry from column `at + 3`, which must be the one that the columns before it name.
pub(super) fn read_entry(row: &Row<'_>, at: usize) -> Result<AlarmEntry, Unreadable> {
    let (origin, position) = read_place(row, at)?;
    let named = || format!("entry {position} of the log of tenure {origin}");
    let entry: AlarmEntry = unpacked(&named, blob(row, at + 3)?)?;
    if (entry.origin, entry.position) != (origin, position) {
        return Err(Unreadable::Content(format!(
            "instead of {} stands entry {} of tenure {}",
            named(),
            entry.position,
            entry.origin
        )));
    }
    Ok(entry)
}

/// The bytes in a column.
pub(super) fn blob<'a>(row: &'a Row<'_>, at: usize) -> Result<&'a [u8], Unreadable> {
    row.get_ref(at)?.as_blob().map_err(|error| Unreadable::Content(error.to_string()))
}

/// As MessagePack, with the names of the fields, so that later versions can add some.
pub(super) fn packed<T: Serialize>(value: &T) -> rusqlite::Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// From MessagePack.
pub(super) fn unpacked<T: DeserializeOwned>(what: &dyn Fn() -> String, bytes: &[u8]) -> Result<T, Unreadable> {
    rmp_serde::from_slice(bytes).map_err(|error| Unreadable::Content(format!("{}: {error}", what())))
}
