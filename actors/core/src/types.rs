//! The words of the pair: identities, positions, modes and statuses.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node's lasting identity, drawn once and kept in its data folder. Shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

/// Drawn anew at each process start: a peer that greets with another boot id *was* down, however short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootId(pub u64);

/// Number of a change. It grows by one with each change along a lineage, also across epochs; 0 is "before any change".
pub type Seq = u64;

/// Monotonic time in milliseconds since an arbitrary start of this process. Never compared between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Millis(pub u64);

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixMillis(pub i64);

impl Millis {
    /// This moment, `ms` milliseconds later.
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 when `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The identity of a tenure of Running: a counter and the node that took it, so that two nodes never hold the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// Greater than every counter its node had seen when it took it.
    pub counter: u64,
    /// The node that took it.
    pub node: NodeId,
}

impl Epoch {
    /// Before any tenure.
    pub const NONE: Self = Self { counter: 0, node: NodeId(0) };
}

/// A place in the stream of changes: change number `seq` as numbered in tenure `epoch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The tenure that numbered the change.
    pub epoch: Epoch,
    /// The change.
    pub seq: Seq,
}

/// What a node was configured to be. It never changes at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// No peer: Running at once.
    Independent,
    /// Listens for its Backup; preferred under automatic recovery.
    Master,
    /// Connects to its Master.
    Backup,
}

/// What a node does now, or what is known of its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Does the plant's work.
    Running,
    /// Follows the Running node, ready to take over.
    Standby,
    /// Of itself: it gave up Running because a part of it cannot work. Of the peer: lost without goodbye, or reported.
    Faulted,
    /// Still starting, or nothing known yet.
    Unknown,
    /// Of the peer only: never connected (at a Master), or it said goodbye.
    Disconnected,
}

impl Status {
    /// All of them, in the order in which metrics list them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Standby, Self::Faulted, Self::Unknown, Self::Disconnected];
}

/// What happens when a Master that was down comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecoveryMode {
    /// It takes the Backup's data, then Running.
    Automatic,
    /// It stays Standby until somebody presses Switch.
    Manual,
}

/// Whether a Standby keeps its source connections open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StandbyActivityLevel {
    /// Not connected to its sources.
    Cold,
    /// Connected and reading, what is read is discarded.
    Warm,
}

/// Whether both nodes have the same licence modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Authorization {
    /// The peer's modules are not known yet.
    Unknown,
    /// The same modules.
    Match,
    /// Different modules.
    Mismatch,
}

/// Whether both nodes have the same project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Configuration {
    /// The peer's project is not known yet.
    Unknown,
    /// Equal hashes.
    Same,
    /// Something differs.
    Different,
}

/// How far a node is in following its peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SyncPhase {
    /// Nothing is followed.
    #[default]
    None,
    /// The whole table is on its way.
    Full,
    /// Only changes travel.
    Incremental,
}

macro_rules! shown_by_name {
    ($($t:ty),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{self:?}"))
            }
        }
    )*};
}
shown_by_name!(Mode, Status, RecoveryMode, StandbyActivityLevel, Authorization, Configuration, SyncPhase);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.counter, self.node)
    }
}
