//! The real arbiters of two nodes, in every order of events up to a bound.
//!
//! `docs/testing.md`, "Model", says what the bound means and what this proves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod begin;
mod data;
mod explore;
mod node;
mod pair;
mod plan;
mod plans;
mod quiet;
mod run;
mod steps;
mod tell;
