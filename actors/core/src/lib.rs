//! The decisions of a hotpair node.
//!
//! Everything here is a pure function of (state, input, now): no I/O, no clock, no randomness, no runtime. The actors
//! of `hotpair-actors` are thin shells around these machines; the same machines run in simulation.
#![forbid(unsafe_code)]

pub mod alarm_replication;
pub mod alarms;
pub mod arbiter;
pub mod authority;
pub mod bulk;
pub mod catalog;
pub mod failure_detector;
pub mod greeting;
pub mod invariants;
pub mod license;
pub mod lineage;
pub mod mutant;
pub mod operations;
pub mod pace;
pub mod protocol;
pub mod quality;
pub mod replicator;
pub mod restart;
pub mod route;
pub mod tags;
pub mod types;
pub mod value;
pub mod wire;
