//! What tags a tank and an area have: one table for the tag list of a new project and for finding equipment in one.

use std::collections::BTreeMap;
use std::sync::Arc;

use hotpair_core::catalog::Catalog;
use hotpair_core::value::ValueType;

use crate::sources::SourceError;

/// A tag of a piece of equipment.
#[derive(Debug)]
pub(super) struct Row {
    /// What follows the equipment's path.
    pub suffix: &'static str,
    pub unit: &'static str,
    pub description: &'static str,
    /// Fed by the simulator; the others are written by people.
    pub live: bool,
    pub start: Start,
    /// Engineering range.
    pub range: Option<(f64, f64)>,
    /// In the tag's unit.
    pub deadband: f64,
    /// Standard deviation of the measurement's noise, in the tag's unit: two fifths of the deadband, so that a plant
    /// at rest gives each tag about one change a second.
    pub noise: f64,
}

/// What a tag reads, or counts as, before anybody gave it a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    Number(f64),
    Switch(bool),
}

impl Start {
    pub fn value_type(self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Float64,
            Self::Switch(_) => ValueType::Bool,
        }
    }
}

/// Places in [`TANK`].
pub(super) mod tank {
    pub const LEVEL: usize = 0;
    pub const TEMPERATURE: usize = 1;
    pub const PRESSURE: usize = 2;
    pub const INFLOW: usize = 3;
    pub const OUTFLOW: usize = 4;
    pub const INLET_VALVE_POSITION: usize = 5;
    pub const PUMP_RUNNING: usize = 6;
    pub const PUMP_SPEED: usize = 7;
    pub const PUMP_CURRENT: usize = 8;
    pub const PUMP_TRIPPED: usize = 9;
    pub const HEATER_POWER: usize = 10;
    pub const LEAK_DETECTED: usize = 11;
    pub const INLET_VALVE_COMMAND: usize = 12;
    pub const PUMP_COMMAND: usize = 13;
    pub const PUMP_SPEED_SETPOINT: usize = 14;
    pub const PUMP_RESET: usize = 15;
    pub const HEATER_ENABLED: usize = 16;
    pub const HEATER_SETPOINT: usize = 17;
}

/// Places in [`AREA`].
pub(super) mod area {
    pub const SUPPLY_PRESSURE: usize = 0;
    pub const POWER: usize = 1;
    pub const SUPPLY_PRESSURE_SETPOINT: usize = 2;
}

/// The tags of a tank, below `…/Tank1`.
#[rustfmt::skip]
pub(super) const TANK: &[Row] = &[
    Row { suffix: "Level", unit: "%", description: "Level", live: true, start: Start::Number(50.0), range: Some((0.0, 100.0)), deadband: 0.1, noise: 0.04 },
    Row { suffix: "Temperature", unit: "°C", description: "Temperature of the content", live: true, start: Start::Number(40.0), range: Some((0.0, 120.0)), deadband: 0.15, noise: 0.06 },
    Row { suffix: "Pressure", unit: "kPa", description: "Pressure at the bottom", live: true, start: Start::Number(111.3), range: Some((90.0, 140.0)), deadband: 0.1, noise: 0.04 },
    Row { suffix: "Inflow", unit: "m3/h", description: "Flow through the inlet valve", live: true, start: Start::Number(20.0), range: Some((0.0, 60.0)), deadband: 0.25, noise: 0.1 },
    Row { suffix: "Outflow", unit: "m3/h", description: "Flow through the pump", live: true, start: Start::Number(20.0), range: Some((0.0, 60.0)), deadband: 0.25, noise: 0.1 },
    Row { suffix: "InletValve/Position", unit: "%", description: "Where the inlet valve stands", live: true, start: Start::Number(50.0), range: Some((0.0, 100.0)), deadband: 0.1, noise: 0.0 },
    Row { suffix: "Pump/Running", unit: "", description: "The pump turns", live: true, start: Start::Switch(true), range: None, deadband: 0.0, noise: 0.0 },
    Row { suffix: "Pump/Speed", unit: "%", description: "Speed of the pump", live: true, start: Start::Number(50.0), range: Some((0.0, 100.0)), deadband: 0.25, noise: 0.1 },
    Row { suffix: "Pump/Current", unit: "A", description: "Motor current of the pump", live: true, start: Start::Number(6.8), range: Some((0.0, 25.0)), deadband: 0.1, noise: 0.04 },
    Row { suffix: "Pump/Tripped", unit: "", description: "The pump tripped; Reset or a stop command clears it", live: true, start: Start::Switch(false), range: None, deadband: 0.0, noise: 0.0 },
    Row { suffix: "Heater/Power", unit: "%", description: "Heating power", live: true, start: Start::Number(58.0), range: Some((0.0, 100.0)), deadband: 0.5, noise: 0.2 },
    Row { suffix: "LeakDetected", unit: "", description: "Liquid in the drip tray", live: true, start: Start::Switch(false), range: None, deadband: 0.0, noise: 0.0 },
    Row { suffix: "InletValve/Command", unit: "%", description: "Where the inlet valve shall stand", live: false, start: Start::Number(50.0), range: Some((0.0, 100.0)), deadband: 0.0, noise: 0.0 },
    Row { suffix: "Pump/Command", unit: "", description: "The pump shall run", live: false, start: Start::Switch(true), range: None, deadband: 0.0, noise: 0.0 },
    Row { suffix: "Pump/SpeedSetpoint", unit: "%", description: "Speed that the pump shall have", live: false, start: Start::Number(50.0), range: Some((0.0, 100.0)), deadband: 0.0, noise: 0.0 },
    Row { suffix: "Pump/Reset", unit: "", description: "Write true to clear a trip", live: false, start: Start::Switch(false), range: None, deadband: 0.0, noise: 0.0 },
    Row { suffix: "Heater/Enabled", unit: "", description: "The heater may heat", live: false, start: Start::Switch(true), range: None, deadband: 0.0, noise: 0.0 },
    Row { suffix: "Heater/Setpoint", unit: "°C", description: "Temperature that the content shall have", live: false, start: Start::Number(40.0), range: Some((20.0, 90.0)), deadband: 0.0, noise: 0.0 },
];

/// The tags of an area, below what the paths of its tanks have in common: `…/Area1`.
#[rustfmt::skip]
pub(super) const AREA: &[Row] = &[
    Row { suffix: "Supply/Pressure", unit: "kPa", description: "Pressure of the supply header", live: true, start: Start::Number(400.0), range: Some((0.0, 700.0)), deadband: 0.5, noise: 0.2 },
    Row { suffix: "Power", unit: "kW", description: "Heating and pumping power of the area", live: true, start: Start::Number(1880.0), range: Some((0.0, 4000.0)), deadband: 5.0, noise: 2.0 },
    Row { suffix: "Supply/PressureSetpoint", unit: "kPa", description: "Pressure that the supply header shall have", live: false, start: Start::Number(400.0), range: Some((0.0, 600.0)), deadband: 0.0, noise: 0.0 },
];

/// The tags of one piece of equipment, at the places of its table; none where the project has no such tag.
#[derive(Clone, Debug)]
pub(super) struct Tags {
    pub table: &'static [Row],
    pub paths: Vec<Option<Arc<str>>>,
}

impl Tags {
    fn none(table: &'static [Row]) -> Self {
        Self { table, paths: vec![None; table.len()] }
    }

    /// The tags that the simulator feeds.
    pub fn live(&self) -> impl Iterator<Item = &Arc<str>> {
        self.table.iter().zip(&self.paths).filter(|(row, _)| row.live).filter_map(|(_, path)| path.as_ref())
    }
}

/// The tags of an area and its tanks.
#[derive(Debug)]
pub(super) struct AreaTags {
    pub area: Tags,
    pub tanks: Vec<Tags>,
}

/// Finds the areas and tanks below `root` (all, when it is empty) in the order of their paths.
pub(super) fn find(name: &str, root: &str, catalog: &Catalog) -> Result<Vec<AreaTags>, SourceError> {
    let mut areas = BTreeMap::<&str, (Tags, BTreeMap<&str, Tags>)>::new();
    for (_, tag) in catalog.iter() {
        let Some(place) = tank_place(root, &tag.path) else { continue };
        check_type(name, &tag.path, &TANK[place.row], tag.value_type)?;
        let (_, tanks) = areas.entry(place.area).or_insert_with(|| (Tags::none(AREA), BTreeMap::new()));
        tanks.entry(place.tank).or_insert_with(|| Tags::none(TANK)).paths[place.row] = Some(tag.path.clone());
    }
    for (&area, (tags, _)) in &mut areas {
        for (row, path) in AREA.iter().zip(&mut tags.paths) {
            let Some(tag) = catalog.find(&format!("{area}/{}", row.suffix)).and_then(|id| catalog.get(id)) else {
                continue;
            };
            check_type(name, &tag.path, row, tag.value_type)?;
            *path = Some(tag.path.clone());
        }
    }
    Ok(areas.into_values().map(|(area, tanks)| AreaTags { area, tanks: tanks.into_values().collect() }).collect())
}

struct Place<'a> {
    area: &'a str,
    tank: &'a str,
    row: usize,
}

/// Where `Plant/Area1/Tank1/Pump/Speed` belongs: area `Plant/Area1`, tank `Plant/Area1/Tank1`, row `Pump/Speed`.
fn tank_place<'a>(root: &str, path: &'a str) -> Option<Place<'a>> {
    let below = if root.is_empty() { path } else { path.strip_prefix(root)?.strip_prefix('/')? };
    let mut start = path.len() - below.len();
    for segment in below.split('/') {
        let end = start + segment.len();
        let number = segment.strip_prefix("Tank");
        if number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())) {
            let suffix = path.get(end + 1..)?;
            let row = TANK.iter().position(|row| row.suffix == suffix)?;
            return Some(Place { area: path[..start].trim_end_matches('/'), tank: &path[..end], row });
        }
        start = end + 1;
    }
    None
}

fn check_type(name: &str, path: &Arc<str>, row: &Row, found: ValueType) -> Result<(), SourceError> {
    let fed = row.start.value_type();
    if found == fed {
        return Ok(());
    }
    Err(SourceError::WrongType { name: name.to_owned(), path: path.clone(), fed, found })
}

/// Whether `path` is a live tag of equipment below `root`.
pub(super) fn feeds(root: &str, path: &str) -> bool {
    if let Some(place) = tank_place(root, path) {
        return TANK[place.row].live;
    }
    let below = root.is_empty() || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    let area = |row: &Row| row.live && path.strip_suffix(row.suffix).is_some_and(|area| area.ends_with('/'));
    below && AREA.iter().any(area)
}
