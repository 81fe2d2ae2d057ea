//! hotpair: hot-standby redundancy for SCADA and IIoT nodes.
//!
//! Two nodes, a Master and a Backup, joined over TCP. One is Running, the other Standby and always up to date. The
//! Running one dies, the other takes over in milliseconds and nothing is lost.
//!
//! A program embeds a node through [`Node`] and [`NodeHandle`]; the service `hotpair` (feature `service`) is such a
//! program.
#![forbid(unsafe_code)]

pub mod alarms_shown;
#[cfg(feature = "service")]
pub mod cli;
pub mod config;
pub mod node;
mod plain_json;
pub mod sources;
pub mod status;
pub mod storage;
#[cfg(feature = "service")]
pub mod web;

pub use config::Config;
pub use hotpair_actors as actors;
pub use hotpair_core as core;
pub use node::{Node, NodeHandle, StartError};
