//! Alarms as operators see them, on simulated time: [`stage`] is the node, each other file a chapter.
#![allow(clippy::cast_possible_wrap, clippy::needless_pass_by_value, clippy::redundant_closure_for_method_calls)]

mod absorb;
mod absorb_random;
mod delays;
mod failover;
mod hostile;
mod limits;
mod many;
mod operators;
mod reference;
mod reference_random;
mod stage;
mod state_table;
