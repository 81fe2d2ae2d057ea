//! Alarms on a pair of real processes, as operators live with them: what was raised is raised once, what was
//! acknowledged stays acknowledged, whoever dies in between.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod acknowledging;
mod cut_cable;
mod failover;
#[path = "../pair/mod.rs"]
mod pair;
mod restart;
mod shelving;
mod system;

use std::fmt::Write as _;

use pair::Project;
use pair::project::HEADER;

/// A number that comes back after a power cut. Above 90 it is high, below 10 low.
const LEVEL: &str = "Plant/Tank/Level";
const LEVEL_H: &str = "Plant/Tank/Level/H";
/// A number that lives in memory only. Its alarm is named, and acknowledged with a comment.
const PRESSURE: &str = "Plant/Tank/Pressure";
const OVERPRESSURE: &str = "Plant/Tank/Pressure/Overpressure";
/// A switch; its alarm acknowledges itself.
const PUMP: &str = "Plant/Pump/Running";
const PUMP_STOPPED: &str = "Plant/Pump/Running/Stopped";
/// Beyond 100 for four seconds it is high, back for four seconds it is not any more.
const SLOW: [&str; 2] = ["Plant/Slow/A", "Plant/Slow/B"];
const SLOW_H: [&str; 2] = ["Plant/Slow/A/H", "Plant/Slow/B/H"];
const SLOW_MS: u64 = 4000;
/// Retained numbers for whoever needs many; above 100 high.
const SPARE: [&str; 8] = [
    "Plant/Spare/0",
    "Plant/Spare/1",
    "Plant/Spare/2",
    "Plant/Spare/3",
    "Plant/Spare/4",
    "Plant/Spare/5",
    "Plant/Spare/6",
    "Plant/Spare/7",
];

const NORMAL: f64 = 50.0;
const HIGH: f64 = 150.0;

const ACTIVE: &str = "Active,Unacked";
const ACTIVE_ACKED: &str = "Active,Acked";
const CLEARED: &str = "Cleared,Unacked";

fn plant() -> Project {
    let mut tags = format!(
        "{HEADER}{LEVEL},Float64,%,,true,50,true\n{PRESSURE},Float64,bar,,true,50,false\n{PUMP},Bool,,,true,true,true\n"
    );
    let mut alarms = format!(
        "tag,name,kind,limit,active_delay_ms,resume_delay_ms,priority,ack_mode,description\n\
         {LEVEL},,H,90,,,High,Manual,The tank runs over\n\
         {LEVEL},,L,10,,,Medium,Manual,The tank runs dry\n\
         {PRESSURE},Overpressure,H,90,,,Critical,ManualWithComment,The tank may burst\n\
         {PUMP},Stopped,TrueToFalse,,,,Low,Automatic,The pump stands still\n"
    );
    for tag in SLOW {
        writeln!(tags, "{tag},Float64,,,true,50,false").unwrap();
        writeln!(alarms, "{tag},,H,100,{SLOW_MS},{SLOW_MS},Medium,Manual,").unwrap();
    }
    for tag in SPARE {
        writeln!(tags, "{tag},Float64,,,true,50,true").unwrap();
        writeln!(alarms, "{tag},,H,100,,,Medium,Manual,").unwrap();
    }
    Project { tags, alarms, sources: String::new() }
}

/// The alarm of a spare tag.
fn spare_h(number: usize) -> String {
    format!("{}/H", SPARE[number])
}
