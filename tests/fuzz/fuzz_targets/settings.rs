#![no_main]
#[path = "../targets/folder.rs"]
mod folder;
#[path = "../targets/settings.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
