use std::collections::BTreeMap;

use hotpair_core::catalog::TagDef;
use hotpair_core::quality::Quality;
use hotpair_core::types::UnixMillis;
use hotpair_core::value::{Sample, Value, ValueType};

use super::*;

mod alarms;

const START: i64 = 1_767_600_000_000;

/// A plant, of one area with two tanks if nothing else is said, whose tags are kept here.
struct Bench {
    tags: BTreeMap<String, Sample>,
    catalog: Catalog,
    simulator: Simulator,
    now: SourceTime,
}

impl ReadTags for BTreeMap<String, Sample> {
    fn read(&self, path: &str) -> Option<Sample> {
        self.get(path).cloned()
    }
}

fn catalog(csv: &str) -> Catalog {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let tags = reader.records().map(Result::unwrap).map(|row| TagDef {
        writable: &row[4] == "true",
        eu_low: row[7].parse().ok(),
        eu_high: row[8].parse().ok(),
        deadband: row[9].parse().unwrap_or(0.0),
        source_fed: &row[4] == "false",
        ..TagDef::new(
            &row[0],
            match &row[1] {
                "Float64" => ValueType::Float64,
                "Bool" => ValueType::Bool,
                _ => ValueType::String,
            },
        )
    });
    Catalog::new(tags.collect()).unwrap()
}

impl Bench {
    fn new(step_ms: u64) -> Self {
        Self::of(&plant_tags_csv(1, 2), step_ms)
    }

    fn of(tags_csv: &str, step_ms: u64) -> Self {
        let catalog = catalog(tags_csv);
        let settings = SimulatorSettings { step_ms, seed: Some(42), ..SimulatorSettings::default() };
        let mut simulator = Simulator::new(settings, &catalog).unwrap();
        let now = SourceTime { unix: UnixMillis(START), mono_ms: 5 };
        let tags = BTreeMap::new();
        simulator.resume(now, &tags);
        Self { tags, catalog, simulator, now }
    }

    fn step(&mut self) {
        let mut out = Vec::new();
        let next = self.simulator.step(self.now, &self.tags, &mut out);
        assert_eq!(out.len(), self.simulator.paths().len());
        for update in out {
            let id = self.catalog.find(&update.path).unwrap();
            let tag = self.catalog.get(id).unwrap();
            assert_eq!(tag.value_type, update.value.value_type());
            if let Value::Float64(number) = update.value {
                assert!(tag.eu_low.unwrap() <= number && number <= tag.eu_high.unwrap(), "{} {number}", update.path);
            }
            let sample = Sample { value: update.value, quality: update.quality, time: update.time };
            self.tags.insert(update.path.to_string(), sample);
        }
        self.now.mono_ms += next.after_ms;
        self.now.unix.0 += next.after_ms.cast_signed();
    }

    fn run_s(&mut self, seconds: u64) {
        let until = self.now.mono_ms + seconds * 1_000;
        while self.now.mono_ms < until {
            self.step();
        }
    }

    fn write(&mut self, tag: &str, value: Value) {
        let sample = Sample { value, quality: Quality::GOOD, time: self.now.unix };
        self.tags.insert(format!("Plant/Area1/{tag}"), sample);
    }

    fn number(&self, tag: &str) -> f64 {
        match self.tags[&format!("Plant/Area1/{tag}")].value {
            Value::Float64(number) => number,
            ref other => panic!("{tag} is {other:?}"),
        }
    }

    fn on(&self, tag: &str) -> bool {
        self.tags[&format!("Plant/Area1/{tag}")].value == Value::Bool(true)
    }
}

#[test]
fn the_level_rises_when_the_inlet_valve_opens() {
    let mut bench = Bench::new(100);
    bench.run_s(60);
    let (level, other) = (bench.number("Tank1/Level"), bench.number("Tank2/Level"));
    assert!((level - 50.0).abs() < 8.0, "{level}");
    bench.write("Tank1/InletValve/Command", Value::Float64(65.0));
    bench.run_s(1);
    let opening = bench.number("Tank1/InletValve/Position");
    assert!((55.0..65.0).contains(&opening), "the valve takes its time: {opening}");
    bench.run_s(60);
    assert!(bench.number("Tank1/Level") > level + 10.0, "{}", bench.number("Tank1/Level"));
    assert!((bench.number("Tank2/Level") - other).abs() < 8.0);
    assert!((bench.number("Tank1/Inflow") - 26.0).abs() < 3.0);
}

#[test]
fn the_temperature_follows_its_setpoint() {
    let mut bench = Bench::new(100);
    bench.write("Tank1/Heater/Setpoint", Value::Float64(50.0));
    bench.run_s(600);
    assert!((bench.number("Tank1/Temperature") - 50.0).abs() < 1.0, "{}", bench.number("Tank1/Temperature"));
    bench.write("Tank1/Heater/Enabled", Value::Bool(false));
    bench.run_s(600);
    assert!(bench.number("Tank1/Temperature") < 22.0);
}

#[test]
fn a_tripped_pump_stands_until_it_is_reset_or_told_to_stop() {
    for reset in [true, false] {
        let mut bench = Bench::new(100);
        bench.write("Tank1/Pump/Reset", Value::Bool(true));
        bench.run_s(10);
        let now = bench.now.unix;
        bench.simulator.areas[0].tanks_mut()[0].trip(now);
        bench.run_s(10);
        assert!(bench.on("Tank1/Pump/Tripped") && !bench.on("Tank1/Pump/Running"), "an older reset does not count");
        assert!(bench.number("Tank1/Level") > 52.0);
        bench.simulator.resume(bench.now, &bench.tags);
        bench.run_s(100);
        assert!(bench.on("Tank1/Pump/Tripped"), "also after a takeover");
        assert!(bench.number("Tank1/Level") < 97.0, "the interlock closed the inlet valve");
        if reset {
            bench.write("Tank1/Pump/Reset", Value::Bool(true));
        } else {
            bench.write("Tank1/Pump/Command", Value::Bool(false));
            bench.step();
            bench.write("Tank1/Pump/Command", Value::Bool(true));
        }
        bench.run_s(10);
        assert!(!bench.on("Tank1/Pump/Tripped") && bench.on("Tank1/Pump/Running"));
        bench.run_s(200);
        assert!(bench.number("Tank1/Level") < 65.0);
    }
}

#[test]
fn a_takeover_does_not_make_the_plant_jump() {
    let mut bench = Bench::new(100);
    bench.write("Tank1/InletValve/Command", Value::Float64(70.0));
    bench.write("Tank2/Heater/Setpoint", Value::Float64(60.0));
    for after_s in [3, 7, 30, 100] {
        bench.run_s(after_s);
        let before = bench.tags.clone();
        // Another node, with another clock, half a second later.
        let settings = SimulatorSettings { seed: Some(after_s), ..SimulatorSettings::default() };
        bench.simulator = Simulator::new(settings, &bench.catalog).unwrap();
        bench.now = SourceTime { unix: UnixMillis(bench.now.unix.0 + 500), mono_ms: 70_000 };
        bench.simulator.resume(bench.now, &bench.tags);
        bench.step();
        for (path, was) in &before {
            let (Value::Float64(was), Value::Float64(is)) = (&was.value, &bench.tags[path].value) else { continue };
            let tag = bench.catalog.get(bench.catalog.find(path).unwrap()).unwrap();
            let near = 5.0 * tag.deadband;
            assert!((was - is).abs() <= near, "{path} jumps from {was} to {is}");
        }
    }
}

#[test]
fn a_day_with_an_operator_has_faults_and_stays_in_range() {
    let mut bench = Bench::new(1_000);
    let (mut trips, mut leaks, mut failures, mut out_of_band) = (0, 0, 0, 0);
    for _ in 0..24 * 60 {
        bench.run_s(60);
        for tank in ["Tank1", "Tank2"] {
            if bench.on(&format!("{tank}/Pump/Tripped")) {
                trips += 1;
                bench.write(&format!("{tank}/Pump/Reset"), Value::Bool(true));
            }
            leaks += u32::from(bench.on(&format!("{tank}/LeakDetected")));
            let level = bench.number(&format!("{tank}/Level"));
            assert!((5.0..97.0).contains(&level), "{level}");
            out_of_band += u32::from(!(25.0..75.0).contains(&level));
        }
        failures += bench.tags.values().filter(|sample| sample.quality == Quality::BAD_SENSOR_FAILURE).count();
    }
    assert!(trips > 2 && leaks > 2 && failures > 2, "{trips} {leaks} {failures}");
    assert!(out_of_band < 100, "{out_of_band}");
}

#[test]
fn equal_seeds_make_equal_plants() {
    let (mut one, mut other) = (Bench::new(100), Bench::new(100));
    one.run_s(30);
    other.run_s(30);
    assert_eq!(one.tags, other.tags);
}

#[test]
fn equipment_is_found_by_its_name_and_only_tags_that_exist_are_fed() {
    let few = catalog(
        "path,type,,,writable,,,,,,,\nPlant/Tank7/Level,Float64,,,false,,,,,,,\nPlant/Tank7/Other,Bool,,,false,,,,,,,\n\
         Plant/TankX/Level,Bool,,,false,,,,,,,\nOther/Tank1/Level,Bool,,,false,,,,,,,\nPlant/Power,Float64,,,false,,,,,,,\n",
    );
    let simulator = Simulator::new(SimulatorSettings::default(), &few).unwrap();
    assert_eq!(simulator.paths().iter().map(|path| &**path).collect::<Vec<_>>(), ["Plant/Tank7/Level", "Plant/Power"]);
    assert!(feeds("Plant", "Plant/Tank7/Level") && !feeds("Plant", "Plant/Tank7/Pump/Reset"));

    let error = |root: &str| {
        let settings = SimulatorSettings { root: root.to_owned(), ..SimulatorSettings::default() };
        Simulator::new(settings, &few).unwrap_err().to_string()
    };
    assert!(
        error("Other").contains("feeds Other/Tank1/Level as Float64, but tags.csv says Bool"),
        "{}",
        error("Other")
    );
    assert!(error("Plan").contains("no tag below \"Plan\""), "{}", error("Plan"));
}
