//! An area: tanks on one supply header.

use hotpair_core::types::UnixMillis;

use super::equipment::{AreaTags, Tags, area as at};
use super::random::Random;
use super::reading::{Reading, Writer};
use super::tank::Tank;
use crate::sources::{ReadTags, SourceTime};

/// The longest time that the balances are integrated over in one go.
const LONGEST_SLICE_S: f64 = 0.25;
const HEADER_LAG_S: f64 = 5.0;
/// How much the header's pressure falls for each m3/h that a tank draws beyond the usual.
const DROOP_KPA_H_M3: f64 = 0.5;
const USUAL_INFLOW_M3_H: f64 = 20.0;
/// The other users of the header let its pressure swing by this share of the setpoint …
const SWING: f64 = 0.06;
/// … in this time.
const SWING_PERIOD_MS: i64 = 180_000;

/// An area of the simulated plant.
#[derive(Debug)]
pub(super) struct Area {
    tags: Tags,
    /// Areas swing one after the other.
    phase: f64,
    supply_kpa: f64,
    tanks: Vec<Tank>,
}

impl Area {
    /// The area of these tags, as they read now; `index` of all areas.
    pub fn resume(found: &AreaTags, index: usize, reader: &dyn ReadTags, random: &mut Random) -> Self {
        let supply_kpa = Reading { tags: &found.area, reader }.number(at::SUPPLY_PRESSURE).clamp(0.0, 700.0);
        let tanks = found.tanks.iter().map(|tags| Tank::resume(tags.clone(), reader, random)).collect();
        Self { tags: found.area.clone(), phase: index as f64, supply_kpa, tanks }
    }

    /// Lets `dt_s` seconds pass up to `now` under the commands that the tags hold.
    pub fn advance(&mut self, now: SourceTime, dt_s: f64, reader: &dyn ReadTags, random: &mut Random) {
        let setpoint_kpa = Reading { tags: &self.tags, reader }.number(at::SUPPLY_PRESSURE_SETPOINT).clamp(0.0, 600.0);
        let header_target_kpa = setpoint_kpa * (1.0 + SWING * self.swing(now.unix));
        let commands: Vec<_> = self.tanks.iter().map(|tank| tank.commands(reader)).collect();
        for (tank, commands) in self.tanks.iter_mut().zip(&commands) {
            tank.faults(commands, now.unix, dt_s, random);
        }
        let count = (dt_s / LONGEST_SLICE_S).ceil();
        let slice_s = dt_s / count.max(1.0);
        for _ in 0..count as u32 {
            let drawn: f64 = self.tanks.iter().map(|tank| tank.inflow_m3_h() - USUAL_INFLOW_M3_H).sum();
            let target_kpa = (header_target_kpa - DROOP_KPA_H_M3 * drawn).clamp(0.0, 700.0);
            self.supply_kpa += (target_kpa - self.supply_kpa) * slice_s / HEADER_LAG_S;
            for (tank, commands) in self.tanks.iter_mut().zip(&commands) {
                tank.advance(commands, self.supply_kpa, slice_s);
            }
        }
    }

    /// Writes what its instruments show.
    pub fn measure(&self, writer: &mut Writer<'_>) {
        writer.number(&self.tags, at::SUPPLY_PRESSURE, self.supply_kpa);
        writer.number(&self.tags, at::POWER, self.tanks.iter().map(Tank::power_kw).sum());
        for tank in &self.tanks {
            tank.measure(writer);
        }
    }

    /// By the wall clock, which two nodes have in common, so that a takeover does not disturb it.
    fn swing(&self, now: UnixMillis) -> f64 {
        let turn = now.0.rem_euclid(SWING_PERIOD_MS) as f64 / SWING_PERIOD_MS as f64;
        (turn * std::f64::consts::TAU + self.phase).sin()
    }

    #[cfg(test)]
    pub fn tanks_mut(&mut self) -> &mut [Tank] {
        &mut self.tanks
    }
}
