//! What befalls the pair. Each fault begins when the pair is ready and ends with everything mended; then the pair must
//! become ready again by itself.

use std::fs::{self, File};
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::pair::site::{BACKUP, MASTER, Site};
use crate::pair::{Node, Pair};
use crate::people::Gone;
use crate::report::Report;

/// A number drawn from the seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn time(&mut self, choices_ms: &[u64]) -> Duration {
        Duration::from_millis(self.one_of(choices_ms))
    }
}

/// What a fault excuses.
pub struct Excuse {
    /// The nodes could not hear each other.
    pub cut: bool,
    /// Both were off: nobody could run.
    pub both_off: bool,
    /// What may be gone with it.
    pub gone: Gone,
}

const DOWN_MS: [u64; 5] = [0, 30, 300, 1500, 3000];
const SHORT_MS: [u64; 3] = [50, 150, 300];
const LONG_MS: [u64; 3] = [1500, 2500, 4000];

/// Draws one and plays it. Gives its name.
pub fn play(dice: &mut Dice, site: &Site, pair: &Pair, report: &mut Report) -> (&'static str, Excuse) {
    let (running, standby) = pair.running_and_other();
    let mut excuse = Excuse { cut: false, both_off: false, gone: Gone::Nothing };
    let name = match dice.below(20) {
        0 | 1 => {
            excuse.gone = Gone::OneMemory;
            crash(dice, report, running, "crash of the Running node")
        }
        2 => crash(dice, report, standby, "crash of the Standby node"),
        3 => pause(dice, running, &SHORT_MS, "short pause of the Running node"),
        4 => pause(dice, running, &LONG_MS, "long pause of the Running node"),
        5 => pause(dice, standby, &LONG_MS, "long pause of the Standby node"),
        6 | 7 => {
            switch(dice, pair, report);
            "switch"
        }
        8 => restart(dice, report, running, "clean restart of the Running node"),
        9 => restart(dice, report, standby, "clean restart of the Standby node"),
        10 => {
            excuse.cut = true;
            cut(site, dice.time(&SHORT_MS), Site::cut);
            "short cut of the link"
        }
        11 => {
            excuse.cut = true;
            let pulled = dice.one_of(&[MASTER, BACKUP]);
            site.unplug(pulled);
            thread::sleep(dice.time(&LONG_MS));
            site.plug(pulled);
            "plug of the link pulled for long"
        }
        12 => {
            excuse.cut = true;
            let deaf = dice.one_of(&[MASTER, BACKUP]);
            cut(site, dice.time(&LONG_MS), |site| site.swallow_towards(deaf));
            "one direction of the link lost for long"
        }
        13 => {
            excuse.cut = true;
            for _ in 0..20 {
                cut(site, Duration::from_millis(dice.below(120)), Site::cut);
                thread::sleep(Duration::from_millis(dice.below(120)));
            }
            "link cut 20 times in a few seconds"
        }
        14 => {
            excuse.cut = true;
            excuse.gone = Gone::OneMemory;
            site.cut();
            thread::sleep(dice.time(&[100, 800, 2500]));
            crash(dice, report, running, "");
            site.let_pass();
            "crash of the Running node behind a cut link"
        }
        15 => {
            excuse.gone = Gone::OneMemory;
            power_loss(dice, site, report, running);
            "power loss of the Running node's machine"
        }
        16 => {
            excuse.both_off = true;
            excuse.gone = Gone::BothMemories;
            pair.power_cut();
            let [first, second] = dice.one_of(&[[&pair.master, &pair.backup], [&pair.backup, &pair.master]]);
            start(report, first);
            thread::sleep(dice.time(&[0, 200, 1000]));
            start(report, second);
            "power cut of both nodes"
        }
        17 => full_disk(dice, running, "disk of the Running node full"),
        18 => full_disk(dice, standby, "disk of the Standby node full"),
        _ => {
            site.rate("1mbit", 100);
            crash(dice, report, standby, "");
            thread::sleep(Duration::from_secs(1));
            switch(dice, pair, report);
            site.full_speed();
            "line of 1 Mbit/s, with a crash of the Standby node and a switch"
        }
    };
    (name, excuse)
}

fn start(report: &mut Report, node: &Node) {
    report.restarts += 1;
    node.start();
}

fn crash(dice: &mut Dice, report: &mut Report, node: &Node, name: &'static str) -> &'static str {
    node.kill9();
    thread::sleep(dice.time(&DOWN_MS));
    start(report, node);
    name
}

fn pause(dice: &mut Dice, node: &Node, times: &[u64], name: &'static str) -> &'static str {
    node.sigstop();
    thread::sleep(dice.time(times));
    node.sigcont();
    name
}

fn restart(dice: &mut Dice, report: &mut Report, node: &Node, name: &'static str) -> &'static str {
    node.terminate();
    thread::sleep(dice.time(&DOWN_MS));
    start(report, node);
    name
}

fn switch(dice: &mut Dice, pair: &Pair, report: &mut Report) {
    let node = dice.one_of(&[&pair.master, &pair.backup]);
    let reply =
        node.client(Duration::from_secs(5)).try_post("/api/v1/redundancy/switch", &[], &json!({"reason": "soak"}));
    if reply.is_ok_and(|reply| reply.status != 200) {
        report.switches_refused += 1;
    }
}

fn cut(site: &Site, time: Duration, how: impl Fn(&Site)) {
    how(site);
    thread::sleep(time);
    site.let_pass();
}

fn power_loss(dice: &mut Dice, site: &Site, report: &mut Report, node: &Node) {
    let which = if node.name == "master" { MASTER } else { BACKUP };
    site.goes_dark(which);
    node.kill9();
    site.power_off(which);
    thread::sleep(dice.time(&DOWN_MS));
    site.power_on(which);
    start(report, node);
}

/// Its data stands on a small disk of its own: see `round.rs`.
fn full_disk(dice: &mut Dice, node: &Node, name: &'static str) -> &'static str {
    let file = node.data_dir().join("ballast");
    let mut ballast = File::create(&file).expect("a file");
    for size in [65_536, 4096, 1] {
        while ballast.write_all(&vec![0; size]).is_ok() {}
    }
    thread::sleep(dice.time(&[300, 1500, 3000]));
    drop(ballast);
    fs::remove_file(file).expect("the ballast");
    name
}
