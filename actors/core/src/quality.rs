//! Quality of a value: an OPC UA StatusCode (OPC 10000-4, 7.39 and OPC 10000-8, 6.3), stored whole, shown by its name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An OPC UA StatusCode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quality(pub u32);

/// The severity of a [`Quality`]: the two highest bits of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QualityLevel {
    /// Usable.
    Good,
    /// Usable with care.
    Uncertain,
    /// Not usable.
    Bad,
    /// The reserved severity `11`: a code that no OPC UA product may send; never usable.
    Error,
}

impl Quality {
    /// `Good`.
    pub const GOOD: Self = Self(0);
    /// The value was set by hand instead of read.
    pub const GOOD_LOCAL_OVERRIDE: Self = Self(0x0096_0000);
    /// `Uncertain` without a reason.
    pub const UNCERTAIN: Self = Self(0x4000_0000);
    /// The last value of a source that nothing was heard of for too long.
    pub const UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE: Self = Self(0x408F_0000);
    /// What updated this value has stopped doing so: after a takeover, until the source was read again.
    pub const UNCERTAIN_LAST_USABLE_VALUE: Self = Self(0x4090_0000);
    /// The value of the configuration; nobody wrote another yet.
    pub const UNCERTAIN_INITIAL_VALUE: Self = Self(0x4092_0000);
    /// `Bad` without a reason.
    pub const BAD: Self = Self(0x8000_0000);
    /// The source cannot be reached.
    pub const BAD_NO_COMMUNICATION: Self = Self(0x8031_0000);
    /// Nobody gave this tag a value yet.
    pub const BAD_WAITING_FOR_INITIAL_DATA: Self = Self(0x8032_0000);
    /// The sensor reports a failure of itself.
    pub const BAD_SENSOR_FAILURE: Self = Self(0x808C_0000);

    /// The severity.
    pub fn level(self) -> QualityLevel {
        match self.0 >> 30 {
            0 => QualityLevel::Good,
            1 => QualityLevel::Uncertain,
            2 => QualityLevel::Bad,
            _ => QualityLevel::Error,
        }
    }

    /// Whether the value can be used as it is.
    pub fn is_good(self) -> bool {
        self.level() == QualityLevel::Good
    }
}

/// Sub-codes that data access sources use, by the upper 16 bits (OPC 10000-8, table 18).
const NAMES: &[(u16, &str)] = &[
    (0x0000, "Good"),
    (0x0096, "Good_LocalOverride"),
    (0x4000, "Uncertain"),
    (0x408F, "Uncertain_NoCommunicationLastUsableValue"),
    (0x4090, "Uncertain_LastUsableValue"),
    (0x4091, "Uncertain_SubstituteValue"),
    (0x4092, "Uncertain_InitialValue"),
    (0x4093, "Uncertain_SensorNotAccurate"),
    (0x4094, "Uncertain_EngineeringUnitsExceeded"),
    (0x4095, "Uncertain_SubNormal"),
    (0x8000, "Bad"),
    (0x8005, "Bad_CommunicationError"),
    (0x800A, "Bad_Timeout"),
    (0x8031, "Bad_NoCommunication"),
    (0x8032, "Bad_WaitingForInitialData"),
    (0x8089, "Bad_ConfigurationError"),
    (0x808A, "Bad_NotConnected"),
    (0x808B, "Bad_DeviceFailure"),
    (0x808C, "Bad_SensorFailure"),
    (0x808D, "Bad_OutOfService"),
];

impl fmt::Display for Quality {
    /// `Uncertain_LastUsableValue`; a code without a name here as its level and number: `Bad_0x80AB0000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(code, _)| *code == (self.0 >> 16) as u16) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "{:?}_0x{:08X}", self.level(), self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_sub_codes_are_shown_by_name() {
        for (code, shown, level) in [
            (0x0000_0000, "Good", QualityLevel::Good),
            (0x4090_0000, "Uncertain_LastUsableValue", QualityLevel::Uncertain),
            (0x8032_0000, "Bad_WaitingForInitialData", QualityLevel::Bad),
            (0x80AB_0000, "Bad_0x80AB0000", QualityLevel::Bad),
            (0xC000_0001, "Error_0xC0000001", QualityLevel::Error),
        ] {
            assert_eq!(Quality(code).to_string(), shown);
            assert_eq!(Quality(code).level(), level);
        }
    }
}
