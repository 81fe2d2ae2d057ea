//! Random runs: whatever happens to connections, disks, roles and processes, both end equal and no answer was a lie.

use std::sync::Arc;

use proptest::prelude::*;

use super::pair::{Pair, TAGS};
use crate::alarms::AlarmAction;

#[derive(Clone, Debug)]
enum Step {
    Change(usize, u8),
    Flood(u8),
    Acknowledge(usize, usize, Option<u8>),
    Comment(usize, usize),
    Shelve(usize, u8, u64, Option<u8>),
    Unshelve(usize, u8),
    Deliver(usize, u8),
    Tell(usize),
    Disk(usize, u8),
    DiskFails(usize),
    DiskWorks(usize),
    Wait(u64),
    CutLane,
    OpenLane,
    CutLink,
    Heal(usize),
    Takeover(usize),
    Crash(usize),
    Switch,
    GoOn,
    AbortSwitch,
    Prune(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..2_usize;
    prop_oneof![
        14 => (0..TAGS, any::<u8>()).prop_map(|(tag, value)| Step::Change(tag, value)),
        1 => (20..120_u8).prop_map(Step::Flood),
        6 => (node.clone(), 0..8_usize, prop::option::of(0..6_u8)).prop_map(|(at, which, id)| Step::Acknowledge(at, which, id)),
        2 => (node.clone(), 0..8_usize).prop_map(|(at, which)| Step::Comment(at, which)),
        2 => (node.clone(), 0..4_u8, 1..4000_u64, prop::option::of(6..9_u8)).prop_map(|(at, path, ms, id)| Step::Shelve(at, path, ms, id)),
        1 => (node.clone(), 0..4_u8).prop_map(|(at, path)| Step::Unshelve(at, path)),
        14 => (node.clone(), 1..6_u8).prop_map(|(at, frames)| Step::Deliver(at, frames)),
        5 => node.clone().prop_map(Step::Tell),
        14 => (node.clone(), 1..4_u8).prop_map(|(at, jobs)| Step::Disk(at, jobs)),
        1 => node.clone().prop_map(Step::DiskFails),
        2 => node.clone().prop_map(Step::DiskWorks),
        5 => prop_oneof![1..20_u64, 100..1500_u64, Just(6000)].prop_map(Step::Wait),
        2 => Just(Step::CutLane),
        4 => Just(Step::OpenLane),
        2 => Just(Step::CutLink),
        4 => node.clone().prop_map(Step::Heal),
        2 => node.clone().prop_map(Step::Takeover),
        1 => node.clone().prop_map(Step::Crash),
        2 => Just(Step::Switch),
        4 => Just(Step::GoOn),
        1 => Just(Step::AbortSwitch),
        1 => node.prop_map(Step::Prune),
    ]
}

fn path(which: u8) -> Arc<str> {
    Arc::from(["t0", "t*", "t1/H", "t2*"][which as usize])
}

fn run(pair: &mut Pair, step: &Step, prunes: bool) {
    match *step {
        Step::Change(tag, value) => pair.change(tag, f64::from(value % 20)),
        Step::Flood(count) => {
            for turn in 0..count {
                let round = usize::from(turn) / TAGS;
                pair.change(usize::from(turn) % TAGS, if round.is_multiple_of(2) { 15.0 } else { 0.0 });
            }
        }
        Step::Acknowledge(at, which, id) => {
            if let Some(event) = pair.some_event(at, which) {
                pair.ask(at, AlarmAction::Acknowledge { event, comment: Arc::from("seen") }, id);
            }
        }
        Step::Comment(at, which) => {
            if let Some(event) = pair.some_event(at, which) {
                pair.ask(at, AlarmAction::Comment { event, comment: Arc::from("look") }, None);
            }
        }
        Step::Shelve(at, which, for_ms, id) => {
            pair.ask(at, AlarmAction::Shelve { path: path(which), for_ms, comment: Arc::from("") }, id);
        }
        Step::Unshelve(at, which) => {
            pair.ask(at, AlarmAction::Unshelve { path: path(which), comment: Arc::from("") }, None);
        }
        Step::Deliver(at, frames) => {
            for _ in 0..frames {
                pair.deliver(at);
            }
        }
        Step::Tell(at) => {
            pair.tell(at);
        }
        Step::Disk(at, jobs) => {
            for _ in 0..jobs {
                pair.work(at);
            }
        }
        Step::DiskFails(at) => pair.nodes[at].disk.failing = true,
        Step::DiskWorks(at) => pair.nodes[at].disk.failing = false,
        Step::Wait(ms) => pair.wait(ms),
        Step::CutLane => pair.lane_down(),
        Step::OpenLane => pair.lane_up(),
        Step::CutLink => pair.link_down(),
        Step::Heal(winner) => {
            if !pair.linked || pair.leader().is_none() {
                pair.heal(winner);
            }
        }
        Step::Takeover(at) => {
            if !pair.linked && !pair.nodes[at].machine.leads() {
                pair.lead(at);
            }
        }
        Step::Crash(at) => pair.crash(at),
        Step::Switch => pair.begin_switch(),
        Step::GoOn => pair.go_on_with_switch(),
        Step::AbortSwitch => pair.abort_switch(),
        Step::Prune(at) if prunes => pair.nodes[at].disk.prune(2),
        Step::Prune(_) => {}
    }
}

fn end(pair: &mut Pair, winner: usize) {
    pair.heal(winner);
    pair.settle(40_000);
    pair.assert_equal();
}

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default);
    ProptestConfig { cases, max_shrink_iters: 20_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn whatever_happens_both_end_equal_and_no_answer_was_a_lie(
        steps in prop::collection::vec(step(), 1..120),
        winner in 0..2_usize,
    ) {
        let mut pair = Pair::new(false);
        for step in &steps {
            run(&mut pair, step, false);
        }
        end(&mut pair, winner);
        pair.assert_operations();
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn what_the_other_node_has_forgotten_is_not_waited_for(
        steps in prop::collection::vec(step(), 1..120),
        winner in 0..2_usize,
    ) {
        let mut pair = Pair::new(false);
        for step in &steps {
            run(&mut pair, step, true);
        }
        end(&mut pair, winner);
    }

    #[test]
    fn nodes_with_other_alarms_have_the_same_journal_and_agree_on_what_both_have(
        steps in prop::collection::vec(step(), 1..120),
        winner in 0..2_usize,
    ) {
        let mut pair = Pair::new(true);
        for step in &steps {
            run(&mut pair, step, false);
        }
        end(&mut pair, winner);
        pair.assert_operations();
    }
}
