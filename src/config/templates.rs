//! A configuration to start from: what `hotpair init` writes.

use hotpair_core::types::Mode;

/// The tags of the simulated plant.
pub const TAGS_CSV: &str = include_str!("templates/tags.csv");
/// Alarms on them.
pub const ALARMS_CSV: &str = include_str!("templates/alarms.csv");
/// The simulator.
pub const SOURCES_TOML: &str = include_str!("templates/sources.toml");
/// The defaults of history, as comments.
pub const HISTORY_TOML: &str = include_str!("templates/history.toml");

/// `hotpair.toml` of a node of this mode, for a first try on one machine: a Backup has its own ports and data folder.
pub fn hotpair_toml(mode: Mode) -> String {
    let (mode, data_dir, http_port) = match mode {
        Mode::Independent => ("independent", "data", "8066"),
        Mode::Master => ("master", "data-master", "8066"),
        Mode::Backup => ("backup", "data-backup", "8067"),
    };
    include_str!("templates/hotpair.toml")
        .replace("{mode}", mode)
        .replace("{data_dir}", data_dir)
        .replace("{http_port}", http_port)
}
