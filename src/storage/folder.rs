//! The data folder: made when it is missing, and held by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// The folder, held until this is dropped; the operating system releases it also when the process is killed.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        make(path)?;
        let lock_path = path.join("hotpair.lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut lock = options.open(&lock_path).map_err(|error| OpenError::io(&lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Best effort: the message is right without the number.
                let read = lock.take(20).read_to_string(&mut pid);
                let pid = read.ok().and_then(|_| pid.trim().parse().ok());
                return Err(OpenError::InUse { path: path.into(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(OpenError::io(&lock_path, &error)),
        }
        // Only for the message above, so a full disk must not stop the node here.
        let noted =
            lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
        if let Err(error) = noted {
            tracing::warn!(%error, "cannot note the process id in {}", lock_path.display());
        }
        Ok(Self { path: path.into(), lock })
    }

    /// Makes the names of new files in the folder last.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        sync_folder(&self.path).map_err(|error| OpenError::io(&self.path, &error))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    /// Closing the file alone would not do while a process that this one is just starting holds a copy of it.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "cannot release {}", self.path.display());
        }
    }
}

/// Makes names in `path` last. Where folders cannot be opened (Windows) there is nothing to do.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

fn make(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| OpenError::io(path, &error))?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && let Err(error) = sync_folder(parent)
    {
        // A parent that may be passed but not read (mode 0711) is no reason to refuse.
        tracing::debug!(%error, "cannot sync {}", parent.display());
    }
    Ok(())
}
