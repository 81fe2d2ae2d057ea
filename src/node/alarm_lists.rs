//! The alarms as a program that embeds a node reads them.

use super::NodeHandle;
use crate::alarms_shown::{AlarmsShown, ShelvingShown};

impl NodeHandle {
    /// The alarms that are not normal and the shelvings in force, as they are now. Of very many it takes a while, in which
    /// nobody judges values: [`NodeHandle::alarm_table`] can be read in parts.
    pub fn alarms(&self) -> AlarmsShown {
        AlarmsShown::of(&self.alarm_table(), self.shared().clock.both())
    }

    /// The shelvings in force.
    pub fn shelvings(&self) -> Vec<ShelvingShown> {
        ShelvingShown::all(&self.alarm_table(), self.shared().clock.both())
    }
}
