//! A pair on paused time: real actors, timers and streams, and nothing else that is real. Here times are exact.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod disk;
mod drawn;
mod matrix;
mod network;
#[path = "../pair/mod.rs"]
mod pair;
mod slow_disk;
mod stage;
mod stories;
