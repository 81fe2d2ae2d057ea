//! Two replicators side by side: [`pair`] is the stage, each other file a chapter.
#![allow(clippy::cast_possible_wrap, clippy::type_complexity, clippy::unnecessary_wraps)]

mod divergence;
mod feeding;
mod forwarding;
mod frames;
mod pair;
mod random;
mod roles;
mod stores;
mod syncs;
mod writes;
