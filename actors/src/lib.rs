//! The actors of a hotpair node: thin shells around the machines of `hotpair-core`.
//!
//! | actor | thread | shell around |
//! |---|---|---|
//! | [`supervisor`] | its own | `core::restart`; starts, watches and restarts the others |
//! | [`peer_link`] | control | `core::greeting`, `core::wire`; owns connecting and accepting |
//! | [`heartbeat`] | control | `core::failure_detector` |
//! | [`state_arbiter`] | control | `core::arbiter` |
//! | [`tag_replicator`] | data | `core::replicator` beside `core::tags` |
//! | [`license_checker`] | leaf | `core::license` |
//!
//! What an actor must not lose when it is restarted stands in [`shared`] and is lent to it.
#![forbid(unsafe_code)]

pub mod alarm_replicator;
mod alarm_work;
pub mod clock;
pub mod connection;
pub mod directory;
mod disk_watch;
pub mod durable;
pub mod gate;
pub mod heartbeat;
pub mod host;
#[cfg(feature = "fault-injection")]
pub mod injure;
pub mod journal;
mod last_words;
pub mod license_checker;
pub mod link;
pub mod messages;
mod pair_facts;
pub mod peer_link;
pub mod post;
pub mod shared;
pub mod state_arbiter;
mod step;
pub mod supervised;
pub mod supervisor;
pub mod tag_replicator;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;
