//! Faults that belong together: each alone happens often, but what is hard to survive is one close upon the other. A
//! seed that has plots draws one now and then in place of a single fault.

use crate::fault::{Fault, KINDS, Returns};
use crate::rng::Rng;

/// So many microseconds after the one before: a fault, and the name of its kind.
pub type Step = (u64, &'static str, Fault);

const PLOTS: &[fn(&mut Rng) -> Vec<Step>] = &[
    switch_in_trouble,
    switch_that_takes_too_long,
    there_and_back,
    gone_under_a_hold,
    crashes_in_a_loop,
    stopped_when_all_is_well,
    meets_again_and_again,
    stands_still_with_its_cable_cut,
];

/// Steps of a plot, with the place of each kind in [`KINDS`].
pub fn draw(rng: &mut Rng) -> Vec<(u64, usize, Fault)> {
    let steps = rng.pick(PLOTS)(rng);
    let place = |name| KINDS.iter().position(|kind| kind.name == name).expect("a kind has this name");
    steps.into_iter().map(|(after, name, fault)| (after, place(name), fault)).collect()
}

fn node(rng: &mut Rng) -> usize {
    rng.range(0, 1) as usize
}

/// The disk of the one that is to run is slow or full, then something comes in between.
fn switch_in_trouble(rng: &mut Rng) -> Vec<Step> {
    let mut steps = Vec::new();
    let (to, pressed_at) = (node(rng), node(rng));
    if rng.percent(50) {
        let (more, lasts) = (rng.pick(&[100_000, 1_500_000, 5_000_000]), rng.pick(&[20_000, 700_000, 2_500_000]));
        steps.push((1_000, "disk slow", Fault::DiskSlow { node: to, more, lasts }));
    }
    steps.push((rng.range(100, 20_000), "switch", Fault::Switch { node: pressed_at }));
    let soon = rng.pick(&[2_000, 20_000, 300_000, 2_500_000]);
    let after = rng.range(100, soon);
    let lasts = rng.pick(&[60_000, 700_000, 2_500_000]);
    steps.push(match rng.range(0, 5) {
        0 => (after, "cut", Fault::Cut { to: None, lasts }),
        1 => (after, "one-way cut", Fault::Cut { to: Some(to), lasts }),
        2 => (after, "link reset", Fault::Reset { bulk: false, late: [0, rng.pick(&[0, 40_000])] }),
        3 => (after, "stuck link", Fault::Stuck { bulk: false }),
        4 => (after, "pause", Fault::Pause { node: to, lasts }),
        _ => (after, "disk full", Fault::DiskFull { node: to, lasts }),
    });
    steps
}

/// The last changes do not arrive in time, and the offer is withdrawn.
fn switch_that_takes_too_long(rng: &mut Rng) -> Vec<Step> {
    let pressed_at = node(rng);
    let stuck = ("stuck lane", Fault::Stuck { bulk: true });
    let held_up = if rng.percent(70) { stuck } else { ("lane reset", Fault::Reset { bulk: true, late: [0, 0] }) };
    let switch = (rng.range(100, 20_000), "switch", Fault::Switch { node: pressed_at });
    vec![(rng.range(500_000, 1_500_000), held_up.0, held_up.1), switch]
}

/// The one that has just given Running away gets it back before its next epoch is reserved on its slow disk.
fn there_and_back(rng: &mut Rng) -> Vec<Step> {
    let more = rng.pick(&[100_000, 1_500_000]);
    let slow = |node| ("disk slow", Fault::DiskSlow { node, more, lasts: 2_500_000 });
    let mut steps = Vec::new();
    for node in [0, 1] {
        if rng.percent(70) {
            let (name, fault) = slow(node);
            steps.push((1_000, name, fault));
        }
    }
    for _ in 0..rng.range(2, 3) {
        steps.push((rng.range(20_000, 600_000), "switch at both", Fault::SwitchAtBoth));
    }
    steps
}

/// Nobody takes over meanwhile.
fn gone_under_a_hold(rng: &mut Rng) -> Vec<Step> {
    let (begun_at, gone, lasts) = (node(rng), node(rng), rng.pick(&[60_000, 2_500_000]));
    let away = match rng.range(0, 3) {
        0 => ("cut", Fault::Cut { to: None, lasts }),
        1 => ("pause", Fault::Pause { node: gone, lasts }),
        2 => ("power off", Fault::PowerOff { node: gone, lasts, written: 100, returns: Returns::AsItWas }),
        _ => ("crash", Fault::Crash { node: gone, lasts, written: 100, returns: Returns::AsItWas }),
    };
    vec![(1_000, "hold", Fault::Hold { node: begun_at, ms: 3000 }), (rng.range(10_000, 600_000), away.0, away.1)]
}

/// It recovers each time, until it does no more.
fn crashes_in_a_loop(rng: &mut Rng) -> Vec<Step> {
    let times = rng.range(4, 6);
    let crash = |rng: &mut Rng| {
        let fault =
            Fault::Crash { node: 0, lasts: rng.pick(&[2_000, 60_000]), written: 100, returns: Returns::AsItWas };
        (rng.range(500_000, 1_800_000), "crash", fault)
    };
    (0..times).map(|_| crash(rng)).collect()
}

/// A planned restart of a pair that is ready.
fn stopped_when_all_is_well(rng: &mut Rng) -> Vec<Step> {
    let stop = Fault::CleanStop { node: node(rng), returns: Returns::AsItWas };
    vec![(rng.range(1_500_000, 3_000_000), "clean stop", stop)]
}

/// Both run, meet, and lose each other before they are one pair again.
fn meets_again_and_again(rng: &mut Rng) -> Vec<Step> {
    let apart = rng.pick(&[700_000, 2_500_000]);
    let mut steps = Vec::new();
    if rng.percent(50) {
        let by_ms = rng.pick(&[-180_000, 180_000]);
        steps.push((1_000, "wall clock set", Fault::WallJump { node: node(rng), by_ms }));
    }
    steps.push((1_000, "cut", Fault::Cut { to: None, lasts: apart }));
    let mut after = apart;
    for _ in 0..rng.range(1, 4) {
        after += rng.range(500, 150_000);
        steps.push(match rng.range(0, 2) {
            0 => (after, "link reset", Fault::Reset { bulk: false, late: [0, 0] }),
            1 => (after, "lane reset", Fault::Reset { bulk: true, late: [0, 0] }),
            _ => (after, "cut", Fault::Cut { to: None, lasts: 30_000 }),
        });
        after = 0;
    }
    steps
}

/// One stands still for longer than the failover time, and comes back before or after its cable does.
fn stands_still_with_its_cable_cut(rng: &mut Rng) -> Vec<Step> {
    let still = rng.pick(&[1_100_000, 2_500_000, 4_000_000]);
    let mut steps = vec![(1_000, "pause", Fault::Pause { node: node(rng), lasts: still })];
    if rng.percent(50) {
        let lasts = still - 1_000_000 + rng.range(0, 2_000_000);
        steps.push((rng.range(1_000, 500_000), "cut", Fault::Cut { to: None, lasts }));
    }
    steps
}
