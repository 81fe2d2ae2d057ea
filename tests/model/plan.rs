//! What is explored: settings, where it begins, and how much may happen.

use hotpair_core::types::RecoveryMode;

pub const FAILOVER_MS: u64 = 1000;
pub const WAIT_MS: u64 = 5000;
pub const SWITCH_TIMEOUT_MS: u64 = 2000;
/// A silent peer is suspected after so long.
pub const MISSED_PINGS_MS: u64 = 400;

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Nothing is started; nothing is on disk.
    Cold,
    /// Master Running, Backup Standby and in sync.
    Running,
    /// The same after a Switch.
    Switched,
    /// The cable was cut, both run, and it is whole again.
    Both,
    /// The Master died, the Backup took over.
    FailedOver,
    /// The same, and the Master is back: they have just met.
    Returned,
}

/// What is broken on purpose, so that it must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The disk answers before it has written.
    LyingDisk,
    /// A silent peer is taken over without waiting for the failover time.
    NoPatience,
    /// The arbiter does not hear that an offer is withdrawn.
    DeafToAborts,
}

/// Something worth to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Both take changes, a cable between them.
    BothRun,
    /// A tenure of this kind.
    Failover,
    Switch,
    Recovery,
    DualRunning,
    /// A node shows itself Faulted.
    Faulted,
    /// A node that stood still shows no status.
    Fenced,
    /// A node has stopped for good.
    Down,
}

/// How often each kind of trouble may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub deaths: u8,
    /// Connections that break in the middle, with what is under way.
    pub cuts: u8,
    /// A peer that is there seems silent.
    pub silences: u8,
    pub standstills: u8,
    pub switches: u8,
    pub disk_failures: u8,
    pub lanes: u8,
    pub changes: u8,
    pub holds: u8,
    pub faults: u8,
    pub stops: u8,
    /// How often time passes until something is due, both nodes together.
    pub deadlines: u8,
}

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub name: &'static str,
    pub recovery: RecoveryMode,
    pub fast_failover: bool,
    pub begin: Begin,
    pub budget: Budget,
    /// So many steps are explored in every order.
    pub depth: usize,
    /// What must be seen on the way: else it explores less than it says.
    pub reaches: &'static [Reached],
    pub broken: Option<Broken>,
}
