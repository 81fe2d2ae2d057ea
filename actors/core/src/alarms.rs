//! Alarms: what makes one active, what becomes of it, and what both nodes must know of it.
//!
//! Words of ISA-18.2 and OPC 10000-9. `definition`: what an alarm is. `state`: what a failover must not forget of it.
//! `entry`: what the journal says of it. `judge`: when a value is beyond its limit. `table`: the states of all alarms,
//! changed by entries alone. `engine`: values and time in, entries out. `action`: what an operator asks for. `batch`:
//! what goes to disk together. `pen`: how entries are written. `operate`: what operators ask for is done. `absorb`: two
//! nodes that were apart become one again.
// A shelf is no self.
#![allow(clippy::similar_names)]

mod absorb;
mod action;
mod batch;
mod definition;
mod engine;
mod entry;
mod judge;
mod operate;
mod pen;
mod state;
mod system;
mod table;
#[cfg(test)]
mod tests;

pub use absorb::Absorption;
pub use action::{AlarmAction, AlarmRequest, AlarmResult, MAX_SHELVING_MS, Who};
pub use batch::{JournalBatch, JournalFound, Positions};
pub use definition::{
    AckMode, AlarmCondition, AlarmDef, AlarmId, AlarmKey, AlarmKind, AlarmList, AlarmPriority, LimitLevel, SystemAlarm,
    Watched,
};
pub use engine::{AlarmChange, AlarmEngine, EngineSettings};
pub use entry::{AlarmEntry, EntryKind, EventId, MAX_COMMENT_BYTES, MAX_DESCRIPTION_BYTES, MAX_OPERATOR_BYTES};
pub use pen::Pen;
pub use state::{AlarmState, Occurrence, Pending, PendingKind, PortablePending, PortableShelf, PortableState, Shelf};
pub use system::{PairFacts, conditions, dual_running};
pub use table::{AlarmCounts, AlarmTable, MAX_SHELF_PATH_BYTES, MAX_SHELVINGS};
