//! Divergence reports: one JSON file each, the newest few are kept.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hotpair_actors::durable::MAX_REPORTS;

use super::folder::sync_folder;

const FOLDER: &str = "reports";
const UNFINISHED: &str = ".unfinished";

/// Names of the stored divergence reports of a data folder, newest first. Reads the disk: not for an actor's thread.
pub fn list_reports(data_dir: &Path) -> io::Result<Vec<String>> {
    let mut found = match by_age(&data_dir.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        found => found?,
    };
    found.reverse();
    Ok(found.into_iter().filter_map(|(_, name)| name.into_string().ok()).collect())
}

/// The JSON of one report. A name that `store_report` would refuse is "not found".
pub fn read_report(data_dir: &Path, name: &str) -> io::Result<Vec<u8>> {
    if !is_name(name) {
        return Err(io::ErrorKind::NotFound.into());
    }
    fs::read(data_dir.join(FOLDER).join(name))
}

/// Where the reports of a data folder are.
pub(super) fn folder_of(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// Writes a report; after a crash it is there completely or not at all. Deletes the oldest ones past [`MAX_REPORTS`].
pub(super) fn store(data_dir: &Path, name: &str, json: &[u8]) -> io::Result<()> {
    if !is_name(name) {
        let why = "a report's name has 1 to 128 letters, digits, '-', '_' and '.', and begins with no '.'";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let folder = folder_of(data_dir);
    if !folder.is_dir() {
        fs::create_dir(&folder)?;
        sync_folder(data_dir)?;
    }
    let unfinished = folder.join(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(json)?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(name))?;
    sync_folder(&folder)?;
    // The new one stays even if the clock was set back.
    let mut others = by_age(&folder)?;
    others.retain(|(_, other)| other != name);
    let surplus = (others.len() + 1).saturating_sub(MAX_REPORTS);
    for (_, old) in others.iter().take(surplus) {
        fs::remove_file(folder.join(old))?;
    }
    Ok(())
}

/// Oldest first; of the same age by name.
fn by_age(folder: &Path) -> io::Result<Vec<(SystemTime, OsString)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() && entry.file_name() != UNFINISHED {
            found.push((metadata.modified()?, entry.file_name()));
        }
    }
    found.sort();
    Ok(found)
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=128).contains(&name.len()) && !name.starts_with('.') && name.chars().all(allowed)
}
