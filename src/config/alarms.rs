//! What an alarm of the project is: a row of `alarms.csv`.

use hotpair_core::catalog::TagId;
use hotpair_core::value::Value;

/// An alarm on a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmDef {
    /// The tag it watches.
    pub tag: TagId,
    /// Its name, unique among the alarms of its tag; by default the name of its kind.
    pub name: String,
    /// What makes it active.
    pub condition: AlarmCondition,
    /// The condition must hold so long before the alarm is active, in milliseconds.
    pub active_delay_ms: u64,
    /// The condition must be gone so long before the alarm is clear, in milliseconds.
    pub resume_delay_ms: u64,
    /// How urgent it is.
    pub priority: AlarmPriority,
    /// How it is acknowledged.
    pub ack_mode: AckMode,
    /// For people.
    pub description: String,
}

/// What makes an alarm active.
#[derive(Clone, Debug, PartialEq)]
pub enum AlarmCondition {
    /// The value is beyond a limit; on tags of type Int64 and Float64.
    Limit {
        /// Which of the limits.
        level: LimitLevel,
        /// The limit, in the tag's unit.
        limit: f64,
        /// The limit itself is beyond the limit.
        inclusive: bool,
        /// The value must come back so far behind the limit before the alarm clears; in the tag's unit, not negative.
        deadband: f64,
    },
    /// The value changes faster than this, up or down; on tags of type Int64 and Float64.
    RateOfChange {
        /// In the tag's unit per second, above 0.
        limit: f64,
        /// A change exactly that fast is too fast.
        inclusive: bool,
        /// The rate must fall so far below the limit before the alarm clears; not negative.
        deadband: f64,
    },
    /// The value equals this one, which is of the tag's type.
    Equivalent(Value),
    /// A Bool became false.
    TrueToFalse,
    /// A Bool became true.
    FalseToTrue,
}

/// The limits of a tag, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitLevel {
    /// Lowest.
    L4,
    /// Third low limit.
    L3,
    /// Second low limit.
    L2,
    /// Low.
    L,
    /// High.
    H,
    /// Second high limit.
    H2,
    /// Third high limit.
    H3,
    /// Highest.
    H4,
}

impl LimitLevel {
    /// Whether values above the limit are beyond it.
    pub fn is_high(self) -> bool {
        self >= Self::H
    }
}

/// How urgent an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmPriority {
    /// Look at it during the shift.
    Low,
    /// The default.
    Medium,
    /// Act soon.
    High,
    /// Act now.
    Critical,
}

/// How an alarm is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckMode {
    /// By the system, at once.
    Automatic,
    /// By an operator; the default.
    Manual,
    /// By an operator who says why.
    ManualWithComment,
}
