//! The fuzz targets on the stable toolchain: what is in their corpora, every input that once failed, and a bounded number
//! of changes to both, drawn from a seed. `./tests/run --fuzz MINUTES` looks for more.
//!
//! `HOTPAIR_FUZZ_SEED=7 HOTPAIR_FUZZ_ROUNDS=50000 cargo test --test fuzz_smoke tags` draws others, and as many.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "fuzz/targets/mod.rs"]
mod targets;

use targets::script::Script;

#[test]
fn frames() {
    smoke("frames", 200_000, targets::frames::run);
}

#[test]
fn messages() {
    smoke("messages", 200_000, targets::messages::run);
}

#[test]
fn tags() {
    smoke("tags", 20_000, targets::tags::run);
}

#[test]
fn alarms() {
    smoke("alarms", 10_000, targets::alarms::run);
}

#[test]
fn project() {
    smoke("project", 10_000, targets::project::run);
}

#[test]
fn settings() {
    smoke("settings", 10_000, targets::settings::run);
}

#[cfg(feature = "service")]
#[test]
fn http() {
    smoke("http", 5000, targets::http::run);
}

/// Every input of the folders as it is, then so many changed ones.
fn smoke(target: &str, rounds: usize, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let mut inputs = files(&folder.join("corpus").join(target));
    assert!(!inputs.is_empty(), "there is no corpus of {target}");
    inputs.extend(files(&folder.join("regressions").join(target)));
    for (name, input) in &inputs {
        play(target, run, input, &name.display().to_string());
    }
    let seed = number("HOTPAIR_FUZZ_SEED").unwrap_or(1);
    let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for round in 0..number("HOTPAIR_FUZZ_ROUNDS").unwrap_or(rounds as u64) {
        let mut input = inputs[draw.below(inputs.len())].1.clone();
        if draw.below(4) == 0 {
            // The beginning of one, the end of another.
            let other = &inputs[draw.below(inputs.len())].1;
            input.truncate(draw.below(input.len() + 1));
            input.extend(&other[draw.below(other.len() + 1)..]);
        }
        let choices: [u8; 64] = std::array::from_fn(|_| draw.next() as u8);
        Script::new(&choices).damage(&mut input);
        play(target, run, &input, &format!("round {round} of seed {seed}"));
    }
}

/// What fails is kept, to be played again.
fn play(target: &str, run: fn(&[u8]), input: &[u8], origin: &str) {
    if catch_unwind(AssertUnwindSafe(|| run(input))).is_err() {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{target}"));
        std::fs::write(&kept, input).unwrap();
        panic!(
            "{target} failed on {origin}. The input is kept in {}: copy it to tests/fuzz/regressions/{target}/ under a \
             name that says what it is",
            kept.display()
        );
    }
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    // The same order on every machine: a seed means the same there.
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Numbers that look random, the same for the same seed.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }
}
