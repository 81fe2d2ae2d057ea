//! A simulated plant: heated tanks with inlet valves and outlet pumps on supply headers, which react to what is written
//! to their commands and setpoints, with noise and now and then a fault: a pump that trips until it is reset or told to
//! stop, a sensor that fails for a while, a leak.
//!
//! Which equipment there is follows from the tag list: each tag below `root` named like `…/Area1/Tank1/Level` that is
//! one of a tank's tags. Live tags are fed, commands and setpoints are read; a tag that is not there is not missed.
//! All of the plant's state is in its tags, so that another node goes on where this one stopped.

mod alarm_list;
mod area;
mod equipment;
mod random;
mod reading;
mod tag_list;
mod tank;

use std::sync::Arc;

use hotpair_core::catalog::Catalog;
use hotpair_core::types::StandbyActivityLevel;

pub use alarm_list::{demo_alarms_csv, plant_alarms_csv};
pub use tag_list::{demo_tags_csv, plant_tags_csv};

use self::area::Area;
use self::equipment::{AreaTags, Tags};
use self::random::Random;
use self::reading::Writer;
use super::{Next, ReadTags, Source, SourceError, SourceTime, SourceUpdate};

/// A step never makes up for more steps than this: a plant that stood still goes on from there.
const MOST_STEPS_MADE_UP: u64 = 10;

/// The settings of a simulator in `sources.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatorSettings {
    /// The source's name.
    pub name: String,
    /// Milliseconds between steps, 10 to 60000.
    pub step_ms: u64,
    /// For a plant that does the same each time; none: drawn from the time.
    pub seed: Option<u64>,
    /// Only equipment below this path is simulated; empty: all.
    pub root: String,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self { name: "simulator".to_owned(), step_ms: 100, seed: None, root: "Plant".to_owned() }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Simulator {
    settings: SimulatorSettings,
    found: Vec<AreaTags>,
    areas: Vec<Area>,
    random: Random,
    last_ms: u64,
}

impl Simulator {
    /// A simulator of the equipment in `catalog`. The error is a setting out of range, a tag of a type that it cannot
    /// feed, or no equipment.
    pub fn new(settings: SimulatorSettings, catalog: &Catalog) -> Result<Self, SourceError> {
        if !(10..=60_000).contains(&settings.step_ms) {
            return Err(SourceError::Setting {
                name: settings.name,
                key: "step_ms",
                found: settings.step_ms.to_string(),
                allowed: "10 to 60000 are allowed".to_owned(),
            });
        }
        let found = equipment::find(&settings.name, settings.root.trim_end_matches('/'), catalog)?;
        let mut simulator = Self { settings, found, areas: Vec::new(), random: Random::new(0), last_ms: 0 };
        if simulator.paths().is_empty() {
            let SimulatorSettings { name, root, .. } = simulator.settings;
            return Err(SourceError::NoEquipment { name, root });
        }
        simulator.random = Random::new(simulator.settings.seed.unwrap_or(0));
        Ok(simulator)
    }
}

/// Whether a simulator with this `root` feeds a tag of this path.
pub fn feeds(root: &str, path: &str) -> bool {
    equipment::feeds(root.trim_end_matches('/'), path)
}

impl Source for Simulator {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn paths(&self) -> Vec<Arc<str>> {
        let live = self.found.iter().flat_map(|area| area.tanks.iter().chain([&area.area]).flat_map(Tags::live));
        live.cloned().collect()
    }

    fn resume(&mut self, now: SourceTime, tags: &dyn ReadTags) {
        self.random = Random::new(self.settings.seed.unwrap_or(now.unix.0.cast_unsigned()));
        let random = &mut self.random;
        let areas = self.found.iter().enumerate();
        self.areas = areas.map(|(index, area)| Area::resume(area, index, tags, random)).collect();
        self.last_ms = now.mono_ms;
    }

    fn step(&mut self, now: SourceTime, tags: &dyn ReadTags, out: &mut Vec<SourceUpdate>) -> Next {
        let passed_ms = now.mono_ms.saturating_sub(self.last_ms).min(self.settings.step_ms * MOST_STEPS_MADE_UP);
        self.last_ms = now.mono_ms;
        let mut writer = Writer { time: now.unix, random: &mut self.random, out };
        for area in &mut self.areas {
            area.advance(now, passed_ms as f64 / 1_000.0, tags, writer.random);
            area.measure(&mut writer);
        }
        Next { after_ms: self.settings.step_ms }
    }

    fn standby(&mut self, _: StandbyActivityLevel) {
        // There is nothing to stay connected to: the plant is in the tags.
        self.areas.clear();
    }
}

#[cfg(test)]
mod tests;
