//! A heated tank: water comes in through a valve, is heated, and is pumped out.
//!
//! The valve passes in proportion to its opening and the root of the supply pressure, the pump in proportion to its
//! speed and the root of the level. So the level finds a new balance after each change of a command.

use hotpair_core::quality::Quality;
use hotpair_core::types::UnixMillis;
use hotpair_core::value::Value;

use super::equipment::{Tags, tank as at};
use super::random::Random;
use super::reading::{Reading, Writer};
use crate::sources::ReadTags;

/// Flow through an open valve at [`NOMINAL_SUPPLY_KPA`], and through the pump at full speed and half level.
const FULL_FLOW_M3_H: f64 = 40.0;
const NOMINAL_SUPPLY_KPA: f64 = 400.0;
const LEAK_FLOW_M3_H: f64 = 6.0;
const VOLUME_M3: f64 = 0.5;
/// What cannot be pumped out: keeps the heat balance defined for an empty tank.
const REST_M3: f64 = 0.02;

const VALVE_TRAVEL_PERCENT_S: f64 = 10.0;
const PUMP_RAMP_PERCENT_S: f64 = 20.0;
const PUMP_COAST_PERCENT_S: f64 = 40.0;
const PUMP_FULL_KW: f64 = 7.5;

/// The high level interlock closes the inlet valve here …
const INTERLOCK_CLOSES_PERCENT: f64 = 95.0;
/// … and lets go here.
const INTERLOCK_OPENS_PERCENT: f64 = 90.0;
/// A spring shuts the valve when the interlock lets go of its air.
const INTERLOCK_TRAVEL_PERCENT_S: f64 = 40.0;

const HEATER_FULL_KW: f64 = 800.0;
const INLET_C: f64 = 20.0;
const AMBIENT_C: f64 = 20.0;
const BOILING_C: f64 = 100.0;
const LOSS_KW_K: f64 = 0.5;
/// Heat that warms one cubic metre of water by one kelvin.
const HEAT_KJ_M3_K: f64 = 4_190.0;
const HEATER_GAIN_PERCENT_K: f64 = 4.0;
const HEATER_INTEGRAL_S: f64 = 40.0;

const ATMOSPHERE_KPA: f64 = 101.3;
/// A full tank is about two metres high.
const KPA_PER_PERCENT: f64 = 0.2;

/// Mean times between faults of one tank.
const TRIP_EVERY_S: f64 = 6.0 * 3_600.0;
const LEAK_EVERY_S: f64 = 4.0 * 3_600.0;
const SENSOR_FAILURE_EVERY_S: f64 = 2.0 * 3_600.0;
/// Sensors that fail now and then.
const SENSORS: [usize; 4] = [at::LEVEL, at::TEMPERATURE, at::PRESSURE, at::INFLOW];

/// A tank of the simulated plant.
#[derive(Debug)]
pub(super) struct Tank {
    tags: Tags,
    level_percent: f64,
    temperature_c: f64,
    valve_percent: f64,
    speed_percent: f64,
    heater_percent: f64,
    inflow_m3_h: f64,
    outflow_m3_h: f64,
    interlock: bool,
    tripped_at: Option<UnixMillis>,
    leak_left_s: f64,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    sensor: usize,
    left_s: f64,
    /// What it goes on showing.
    stuck: f64,
}

/// What people want of a tank.
#[derive(Debug)]
pub(super) struct Commands {
    valve_percent: f64,
    run: bool,
    speed_percent: f64,
    reset_at: Option<UnixMillis>,
    heat: bool,
    temperature_c: f64,
}

impl Tank {
    /// The tank of these tags, as they read now.
    pub fn resume(tags: Tags, reader: &dyn ReadTags, random: &mut Random) -> Self {
        let reading = Reading { tags: &tags, reader };
        let level_percent = reading.number(at::LEVEL).clamp(0.0, 100.0);
        let valve_percent = reading.number(at::INLET_VALVE_POSITION).clamp(0.0, 100.0);
        let failed = SENSORS
            .into_iter()
            .find(|&sensor| reading.sample(sensor).is_some_and(|s| s.quality == Quality::BAD_SENSOR_FAILURE))
            .map(|sensor| Failed { sensor, left_s: random.between(5.0, 30.0), stuck: reading.number(sensor) });
        let tripped = reading.sample(at::PUMP_TRIPPED).filter(|sample| sample.value == Value::Bool(true));
        Self {
            level_percent,
            temperature_c: reading.number(at::TEMPERATURE).clamp(0.0, BOILING_C),
            valve_percent,
            speed_percent: reading.number(at::PUMP_SPEED).clamp(0.0, 100.0),
            heater_percent: reading.number(at::HEATER_POWER).clamp(0.0, 100.0),
            inflow_m3_h: reading.number(at::INFLOW).clamp(0.0, 2.0 * FULL_FLOW_M3_H),
            outflow_m3_h: reading.number(at::OUTFLOW).clamp(0.0, 2.0 * FULL_FLOW_M3_H),
            interlock: level_percent > INTERLOCK_OPENS_PERCENT
                && valve_percent < reading.number(at::INLET_VALVE_COMMAND) - 1.0,
            tripped_at: tripped.map(|sample| sample.time),
            leak_left_s: if reading.switch(at::LEAK_DETECTED) { random.between(30.0, 120.0) } else { 0.0 },
            failed,
            tags,
        }
    }

    /// What people want of it now.
    pub fn commands(&self, reader: &dyn ReadTags) -> Commands {
        let reading = Reading { tags: &self.tags, reader };
        let reset = reading.sample(at::PUMP_RESET).filter(|sample| sample.value == Value::Bool(true));
        Commands {
            valve_percent: reading.number(at::INLET_VALVE_COMMAND).clamp(0.0, 100.0),
            run: reading.switch(at::PUMP_COMMAND),
            speed_percent: reading.number(at::PUMP_SPEED_SETPOINT).clamp(0.0, 100.0),
            reset_at: reset.map(|sample| sample.time),
            heat: reading.switch(at::HEATER_ENABLED),
            temperature_c: reading.number(at::HEATER_SETPOINT).clamp(0.0, BOILING_C),
        }
    }

    /// Lets `dt_s` seconds pass, at most a quarter of one: the balances are integrated in one go.
    pub fn advance(&mut self, commands: &Commands, supply_kpa: f64, dt_s: f64) {
        self.move_valve(commands, dt_s);
        self.turn_pump(commands, dt_s);
        let content_m3 = VOLUME_M3 * self.level_percent / 100.0;
        let head = (self.level_percent / 50.0).sqrt();
        self.inflow_m3_h = FULL_FLOW_M3_H * self.valve_percent / 100.0 * (supply_kpa / NOMINAL_SUPPLY_KPA).sqrt();
        self.outflow_m3_h = FULL_FLOW_M3_H * self.speed_percent / 100.0 * head;
        let leak_m3_h = if self.leak_left_s > 0.0 { LEAK_FLOW_M3_H * head } else { 0.0 };
        let gain_m3 = (self.inflow_m3_h - self.outflow_m3_h - leak_m3_h) * dt_s / 3_600.0;
        self.level_percent = (100.0 * (content_m3 + gain_m3) / VOLUME_M3).clamp(0.0, 100.0);
        self.heat(commands, content_m3 + REST_M3, dt_s);
        self.leak_left_s = (self.leak_left_s - dt_s).max(0.0);
    }

    /// Lets faults begin and end by chance, and trips be cleared. `dt_s` is the time since the last call.
    pub fn faults(&mut self, commands: &Commands, now: UnixMillis, dt_s: f64, random: &mut Random) {
        if let Some(tripped_at) = self.tripped_at {
            // By the time of the write and not by an edge: a reset given while the nodes changed roles counts as well.
            if !commands.run || commands.reset_at.is_some_and(|reset_at| reset_at >= tripped_at) {
                self.tripped_at = None;
            }
        } else if self.running() && random.happens(TRIP_EVERY_S, dt_s) {
            self.trip(now);
        }
        if self.leak_left_s <= 0.0 && random.happens(LEAK_EVERY_S, dt_s) {
            self.leak_left_s = random.between(60.0, 300.0);
        }
        match &mut self.failed {
            Some(failed) if failed.left_s > dt_s => failed.left_s -= dt_s,
            Some(_) => self.failed = None,
            None if random.happens(SENSOR_FAILURE_EVERY_S, dt_s) => {
                let sensor = SENSORS[(random.between(0.0, SENSORS.len() as f64) as usize).min(SENSORS.len() - 1)];
                let stuck = self.measured(sensor);
                self.failed = Some(Failed { sensor, left_s: random.between(20.0, 60.0), stuck });
            }
            None => {}
        }
    }

    /// Trips the pump. A reset given in the same millisecond is an older one.
    pub fn trip(&mut self, now: UnixMillis) {
        self.tripped_at = Some(UnixMillis(now.0 + 1));
    }

    /// Writes what its instruments show.
    pub fn measure(&self, writer: &mut Writer<'_>) {
        for sensor in [
            at::LEVEL,
            at::TEMPERATURE,
            at::PRESSURE,
            at::INFLOW,
            at::OUTFLOW,
            at::INLET_VALVE_POSITION,
            at::PUMP_SPEED,
            at::PUMP_CURRENT,
            at::HEATER_POWER,
        ] {
            match &self.failed {
                Some(failed) if failed.sensor == sensor => {
                    writer.give(&self.tags, sensor, Value::Float64(failed.stuck), Quality::BAD_SENSOR_FAILURE);
                }
                _ => writer.number(&self.tags, sensor, self.measured(sensor)),
            }
        }
        for (sensor, on) in [
            (at::PUMP_RUNNING, self.running()),
            (at::PUMP_TRIPPED, self.tripped_at.is_some()),
            (at::LEAK_DETECTED, self.leak_left_s > 0.0),
        ] {
            writer.give(&self.tags, sensor, Value::Bool(on), Quality::GOOD);
        }
    }

    /// What flows in from the supply header.
    pub fn inflow_m3_h(&self) -> f64 {
        self.inflow_m3_h
    }

    /// What its heater and its pump take.
    pub fn power_kw(&self) -> f64 {
        HEATER_FULL_KW * self.heater_percent / 100.0 + PUMP_FULL_KW * (self.speed_percent / 100.0).powi(3)
    }

    fn running(&self) -> bool {
        self.speed_percent > 0.5
    }

    fn measured(&self, sensor: usize) -> f64 {
        match sensor {
            at::LEVEL => self.level_percent,
            at::TEMPERATURE => self.temperature_c,
            at::PRESSURE => ATMOSPHERE_KPA + KPA_PER_PERCENT * self.level_percent,
            at::INFLOW => self.inflow_m3_h,
            at::OUTFLOW => self.outflow_m3_h,
            at::INLET_VALVE_POSITION => self.valve_percent,
            at::PUMP_SPEED => self.speed_percent,
            at::PUMP_CURRENT if self.running() => 1.8 + 20.0 * (self.speed_percent / 100.0).powi(2),
            at::HEATER_POWER => self.heater_percent,
            _ => 0.0,
        }
    }

    fn move_valve(&mut self, commands: &Commands, dt_s: f64) {
        self.interlock = if self.interlock {
            self.level_percent > INTERLOCK_OPENS_PERCENT
        } else {
            self.level_percent >= INTERLOCK_CLOSES_PERCENT
        };
        let (target, rate) = if self.interlock {
            (0.0, INTERLOCK_TRAVEL_PERCENT_S)
        } else {
            (commands.valve_percent, VALVE_TRAVEL_PERCENT_S)
        };
        self.valve_percent = towards(self.valve_percent, target, rate * dt_s);
    }

    fn turn_pump(&mut self, commands: &Commands, dt_s: f64) {
        let turns = commands.run && self.tripped_at.is_none();
        let (target, rate) =
            if turns { (commands.speed_percent, PUMP_RAMP_PERCENT_S) } else { (0.0, PUMP_COAST_PERCENT_S) };
        self.speed_percent = towards(self.speed_percent, target, rate * dt_s);
    }

    /// A PI controller in its incremental form: its only memory is the heater's power, which is a tag.
    fn heat(&mut self, commands: &Commands, content_m3: f64, dt_s: f64) {
        let before = self.temperature_c;
        let heating_kw = HEATER_FULL_KW * self.heater_percent / 100.0 - LOSS_KW_K * (before - AMBIENT_C);
        let mixing_k = self.inflow_m3_h * dt_s / 3_600.0 / content_m3 * (INLET_C - before);
        let change_k = mixing_k + heating_kw * dt_s / (HEAT_KJ_M3_K * content_m3);
        self.temperature_c = (before + change_k).clamp(0.0, BOILING_C);
        // Without enough water over it the heater must not heat.
        self.heater_percent = if commands.heat && self.level_percent > 5.0 {
            let error_k = commands.temperature_c - self.temperature_c;
            let step = HEATER_GAIN_PERCENT_K * (error_k * dt_s / HEATER_INTEGRAL_S - (self.temperature_c - before));
            (self.heater_percent + step).clamp(0.0, 100.0)
        } else {
            towards(self.heater_percent, 0.0, 50.0 * dt_s)
        };
    }
}

fn towards(from: f64, to: f64, by: f64) -> f64 {
    from + (to - from).clamp(-by, by)
}
