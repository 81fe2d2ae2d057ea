//! The contract of a pair, rule by rule.

#![allow(clippy::unwrap_used)]

mod any_order;
mod epochs;
mod failover;
mod faults;
mod pair;
mod recovery;
mod slow_store;
mod start;
mod stop_and_hold;
mod switch;
mod switch_in_trouble;
mod two_running;
