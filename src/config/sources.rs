//! What a source of the project is: an entry of `sources.toml`.

use std::path::PathBuf;

use crate::sources::{ReplaySettings, SimulatorSettings, TimeUnit};

/// Something that feeds tags.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceDef {
    /// The plant model in the program.
    Simulator(SimulatorDef),
    /// A recording.
    Replay(ReplayDef),
}

impl SourceDef {
    /// Its name, unique in the project.
    pub fn name(&self) -> &str {
        match self {
            Self::Simulator(simulator) => &simulator.name,
            Self::Replay(replay) => &replay.name,
        }
    }

    /// Its type as in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Simulator(_) => "simulator",
            Self::Replay(_) => "replay",
        }
    }
}

/// `type = "simulator"`: feeds the live tags of the equipment under `root`.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatorDef {
    /// Unique in the project.
    pub name: String,
    /// The beginning of the paths of its plant, with a `/` at the end.
    pub root: String,
    /// The model moves on each so many milliseconds.
    pub step_ms: u64,
    /// For a plant that does the same each time; none: drawn from the time.
    pub seed: Option<u64>,
}

/// `type = "replay"`: feeds the tags that the header of its file names.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayDef {
    /// Unique in the project.
    pub name: String,
    /// The recording, joined with the project's folder.
    pub file: PathBuf,
    /// What separates its cells: `,` or `;`.
    pub delimiter: u8,
    /// The name of the column that holds the time; by default the file's first column.
    pub time_column: String,
    /// The unit of that column.
    pub time_unit: TimeUnit,
    /// Times real time; above 0.
    pub speed: f64,
    /// Whether it starts over at its end.
    pub repeat: bool,
}

impl From<&SimulatorDef> for SimulatorSettings {
    fn from(def: &SimulatorDef) -> Self {
        Self { name: def.name.clone(), step_ms: def.step_ms, seed: def.seed, root: def.root.clone() }
    }
}

impl From<&ReplayDef> for ReplaySettings {
    fn from(def: &ReplayDef) -> Self {
        Self {
            name: def.name.clone(),
            file: def.file.clone(),
            delimiter: def.delimiter,
            time_column: def.time_column.clone(),
            time_unit: def.time_unit,
            speed: def.speed,
            repeat: def.repeat,
        }
    }
}
