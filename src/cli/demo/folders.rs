//! What the demo's two nodes read: a folder each, with its settings and its copy of the project.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use hotpair_core::types::Mode;

use super::super::Failure;
use super::Ports;
use crate::sources::simulator;

/// First line of a file that the demo wrote and may write again.
const MARK: &str = "# Written by `hotpair demo`.";

const SOURCES: &str = "\
[[source]]
name = \"plant\"
type = \"simulator\"
";

/// The two nodes' folders under one root.
pub(super) struct Folders {
    root: PathBuf,
    temporary: bool,
}

impl Folders {
    /// Writes them under `dir`, or under a new temporary folder. Data of an earlier demo in `dir` is kept.
    ///
    /// # Errors
    /// They cannot be written, or there is a node in `dir` that is not the demo's.
    pub(super) fn write(dir: Option<&Path>, ports: Ports) -> Result<Self, Failure> {
        let folders = match dir {
            Some(dir) => Self { root: existing(dir)?, temporary: false },
            None => Self { root: new_temporary_folder()?, temporary: true },
        };
        let written = folders.write_node(Mode::Master, ports).and_then(|()| folders.write_node(Mode::Backup, ports));
        if written.is_err() {
            folders.remove_if_temporary();
        }
        written.map(|()| folders)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The settings of one of the two nodes.
    pub(super) fn config_of(&self, mode: Mode) -> PathBuf {
        self.folder_of(mode).join("hotpair.toml")
    }

    /// Removes a folder that the demo made for itself. What cannot be removed is left to the system's cleaning.
    pub(super) fn remove_if_temporary(&self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    fn folder_of(&self, mode: Mode) -> PathBuf {
        self.root.join(mode.to_string().to_lowercase())
    }

    fn write_node(&self, mode: Mode, ports: Ports) -> Result<(), Failure> {
        let (folder, config) = (self.folder_of(mode), self.config_of(mode));
        if fs::read_to_string(&config).is_ok_and(|text| !text.starts_with(MARK)) {
            let root = self.root.display();
            return Err(Failure::wrong_input(format!(
                "{} is not the demo's and is left alone; give --dir another folder than {root}",
                config.display()
            )));
        }
        let project = folder.join("project");
        fs::create_dir_all(&project).map_err(|error| not_written(&project, &error))?;
        write(&project.join("tags.csv"), &simulator::demo_tags_csv())?;
        write(&project.join("alarms.csv"), &simulator::demo_alarms_csv())?;
        write(&project.join("sources.toml"), SOURCES)?;
        write(&config, &settings(mode, ports))
    }
}

fn settings(mode: Mode, ports: Ports) -> String {
    let link = ports.link;
    let (http, mode, link) = match mode {
        Mode::Backup => (ports.backup_http, "backup", format!("master_host = \"127.0.0.1\"\nmaster_port = {link}")),
        Mode::Master | Mode::Independent => {
            (ports.master_http, "master", format!("bind = \"127.0.0.1\"\nport = {link}"))
        }
    };
    format!(
        "{MARK} Changes are lost when the demo starts again here.

[node]
name = \"Demo\"
data_dir = \"data\"

[project]
dir = \"project\"

[http]
bind = \"127.0.0.1\"
port = {http}
auth = \"off\"

[redundancy]
mode = \"{mode}\"
{link}
use_ssl = false
"
    )
}

/// The full path of `dir`: the commands that the demo prints hold wherever they are pasted.
fn existing(dir: &Path) -> Result<PathBuf, Failure> {
    let made = fs::create_dir_all(dir).and_then(|()| fs::canonicalize(dir));
    made.map_err(|error| Failure::wrong_input(format!("--dir {} cannot be used: {error}", dir.display())))
}

/// Nobody else may read or prepare it.
fn new_temporary_folder() -> Result<PathBuf, Failure> {
    let parent = std::env::temp_dir();
    let failed = |why: String| {
        Failure::other(format!(
            "no temporary folder can be made in {}: {why}; choose a folder with --dir",
            parent.display()
        ))
    };
    for _ in 0..16 {
        let number = getrandom::u32().map_err(|error| failed(error.to_string()))?;
        let folder = parent.join(format!("hotpair-demo-{number:08x}"));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error.to_string())),
        }
    }
    Err(failed("every name is taken".to_owned()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    Failure::other(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PORTS: Ports = Ports { master_http: 8066, backup_http: 8067, link: 8099 };

    #[test]
    fn a_temporary_folder_is_removed_and_a_named_one_stays() {
        let temporary = Folders::write(None, PORTS).unwrap();
        assert!(temporary.config_of(Mode::Master).is_file() && temporary.config_of(Mode::Backup).is_file());
        temporary.remove_if_temporary();
        assert!(!temporary.root().exists());

        let dir = tempfile::tempdir().unwrap();
        let named = Folders::write(Some(dir.path()), PORTS).unwrap();
        named.remove_if_temporary();
        assert!(named.config_of(Mode::Master).is_file());
        Folders::write(Some(dir.path()), PORTS).unwrap();
    }

    #[test]
    fn a_node_that_is_not_the_demos_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("master/hotpair.toml");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write(&config, "[node]\nname = \"Line1\"\n").unwrap();
        assert_eq!(Folders::write(Some(dir.path()), PORTS).map(drop).unwrap_err().exit_status(), 2);
        assert_eq!(fs::read_to_string(&config).unwrap(), "[node]\nname = \"Line1\"\n");
    }

    #[test]
    fn the_settings_are_accepted() {
        let folders = Folders::write(None, PORTS).unwrap();
        for mode in [Mode::Master, Mode::Backup] {
            let loaded = crate::config::Config::load(&folders.config_of(mode), false, []);
            let loaded = loaded.unwrap_or_else(|problems| panic!("{mode}: {problems}"));
            assert!(loaded.warnings.is_empty(), "{mode}: {}", loaded.warnings);
            assert!(loaded.project.alarms.len() > 150, "each of the 16 tanks has its alarms");
            let config = loaded.config;
            assert_eq!((config.redundancy.mode, config.redundancy.use_ssl), (mode, false));
        }
        folders.remove_if_temporary();
    }
}
