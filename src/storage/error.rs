//! What can go wrong with the data folder, in sentences that say how to mend it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotpair_actors::durable::DiskError;
use rusqlite::ErrorCode;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error(
        "The data folder {} is in use by another hotpair{}. Each node needs a folder of its own: stop the other \
         process, or set another data_dir.",
        path.display(),
        pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process, as far as it is known.
        pid: Option<u32>,
    },
    /// A later version of the program made the file.
    #[error(
        "{} was made by a newer hotpair: it has format {found}, this one reads formats up to {known}. Install the \
         newer version, or move the file away; its data will then be taken from the peer.",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format of this build.
        known: i64,
    },
    /// The file is damaged or not ours.
    #[error(
        "{0} cannot be read: {what}. The peer has the data: move the file away (and {1}-wal and {1}-shm, where they \
         exist) and start again; it will be taken from the peer. Without a peer, restore a backup of the folder.",
        path.display(),
        path.file_name().unwrap_or_default().display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The folder or file cannot be used by this process.
    #[error("The data folder cannot be used: {}: {what}.", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What fails, and how to mend it.
        what: String,
    },
}

impl OpenError {
    /// A call of the operating system failed.
    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        Self::Folder { path: path.into(), what: explain_io(error) }
    }

    /// A call of SQLite failed.
    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Folder { path: path.into(), what: explain(error) }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => {
                Self::Corrupt { path: path.into(), what: explain(error) }
            }
            Some(_) => Self::Folder { path: path.into(), what: explain(error) },
        }
    }
}

/// The error of a write while the node works.
pub(super) fn disk_error(path: &Path, what: &str) -> DiskError {
    DiskError(Arc::from(format!("Cannot store into {}: {what}. hotpair tries again by itself.", path.display())))
}

/// What failed in SQLite, and how to mend it.
pub(super) fn explain(error: &rusqlite::Error) -> String {
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full; free space on it",
        Some(ErrorCode::ReadOnly) => "it is read-only; mount the file system writable and allow this user to write",
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            "permission denied; let the user of the service own the data folder"
        }
        Some(ErrorCode::CannotOpen) => {
            "it cannot be opened; let the user of the service own the data folder and everything in it"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program (a database browser, a backup) has it open; close that program"
        }
        Some(ErrorCode::NotADatabase) => "it is not a hotpair database",
        Some(ErrorCode::DatabaseCorrupt) => "it is damaged",
        Some(ErrorCode::SystemIoFailure) => {
            "reading or writing failed; look for errors of the disk in the system's log"
        }
        _ => "an unexpected error",
    };
    format!("{remedy} ({error})")
}

/// What the operating system refused, and how to mend it.
pub(super) fn explain_io(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied; let the user of the service own the data folder",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only; mount it writable, or set another data_dir",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "not a folder; move the file away, or set another data_dir"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full; free space on it",
        _ => "the operating system refused",
    };
    format!("{remedy} ({error})")
}
