//! What is fuzzed: one function a file, from bytes. The fuzzer's programs in `../fuzz_targets` and `../../fuzz_smoke.rs`
//! run the same ones. A panic is a finding; what they assert is written at their heads.

pub mod alarms;
pub mod folder;
pub mod frames;
#[cfg(feature = "service")]
pub mod http;
pub mod messages;
pub mod project;
pub mod script;
pub mod settings;
pub mod tags;
