//! `hotpair init`: a commented `hotpair.toml` and a small `project/` to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use hotpair_core::types::Mode;
use thiserror::Error;

use crate::config::templates;

/// Why nothing was written, or not all.
#[derive(Debug, Error)]
pub enum InitError {
    /// Files are there already; nothing was written.
    #[error("{} would be overwritten: remove or rename, or choose another folder with --dir", list(.0))]
    Exists(Vec<PathBuf>),
    /// The disk refuses.
    #[error("{} cannot be written: {error}", .path.display())]
    Io {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl InitError {
    /// The exit status of the program.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Exists(_) => 2,
            Self::Io { .. } => 1,
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Writes the files for a node of `mode` into `dir`, which is created, and gives their paths. A file that is there
/// already is never overwritten.
pub fn run(mode: Mode, dir: &Path) -> Result<Vec<PathBuf>, InitError> {
    let files = [
        ("hotpair.toml", templates::hotpair_toml(mode)),
        ("project/tags.csv", templates::TAGS_CSV.to_owned()),
        ("project/alarms.csv", templates::ALARMS_CSV.to_owned()),
        ("project/sources.toml", templates::SOURCES_TOML.to_owned()),
        ("project/history.toml", templates::HISTORY_TOML.to_owned()),
    ]
    .map(|(name, content)| (dir.join(name), content));

    let there: Vec<_> =
        files.iter().filter(|(path, _)| path.symlink_metadata().is_ok()).map(|(path, _)| path.clone()).collect();
    if !there.is_empty() {
        return Err(InitError::Exists(there));
    }
    let project = dir.join("project");
    std::fs::create_dir_all(&project).map_err(|error| InitError::Io { path: project, error })?;
    let mut written = Vec::new();
    for (path, content) in files {
        // A file that came since the look above is not overwritten either.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .map_err(|error| InitError::Io { path: path.clone(), error })?;
        written.push(path);
    }
    Ok(written)
}
