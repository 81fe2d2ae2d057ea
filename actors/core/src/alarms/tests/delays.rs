//! Delays and dead-bands to the millisecond.

use super::stage::*;
use crate::alarms::EntryKind::{Cleared, Raised};
use crate::alarms::*;
use crate::quality::Quality;
use crate::value::Sample;

fn node(active_delay: u64, resume_delay: u64) -> Node {
    Node::new(vec![delayed(alarm(0, high(100.0, 5.0)), active_delay, resume_delay)])
}

#[test]
fn an_alarm_is_raised_when_its_condition_held_long_enough() {
    let mut node = node(500, 0);
    node.value_at(1000, 101.0);
    node.until(1499);
    assert_eq!(node.shown(0), "Normal");
    node.until(1500);
    assert_eq!(node.shown(0), "Active,Unacked");
    assert_eq!(node.said(), [(Raised, 1500)]);
    assert_eq!(node.live(0).unwrap().active_time.0, 1500);
}

#[test]
fn a_value_that_is_back_a_millisecond_earlier_raises_nothing() {
    let mut node = node(500, 0);
    node.value_at(1000, 101.0);
    node.value_at(1499, 100.0);
    assert_eq!(node.engine.next_deadline(), None);
    node.until(5000);
    assert_eq!(node.said(), []);
    // The delay begins anew, and not by what was left.
    node.value_at(6000, 101.0);
    node.until(6499);
    assert_eq!(node.said(), []);
    node.until(6500);
    assert_eq!(node.said(), [(Raised, 6500)]);
}

#[test]
fn a_value_that_is_back_in_the_same_millisecond_comes_after_the_alarm() {
    let mut node = node(500, 0);
    node.value_at(1000, 101.0);
    // Nothing but the value itself wakes the engine.
    node.time = 1500;
    node.value(90.0);
    assert_eq!(node.said(), [(Raised, 1500), (Cleared, 1500)]);
    assert_eq!(node.shown(0), "Cleared,Unacked");
}

#[test]
fn an_engine_that_is_woken_late_says_when_it_was_due() {
    let mut node = node(500, 700);
    node.value_at(1000, 101.0);
    node.time = 9000;
    node.value(90.0);
    assert_eq!(node.said(), [(Raised, 1500)]);
    node.time = 20_000;
    node.work(|engine, table, pen, now, out| engine.tick(table, pen, now, out));
    assert_eq!(node.said(), [(Raised, 1500), (Cleared, 9700)]);
}

#[test]
fn further_values_beyond_the_limit_do_not_prolong_the_delay() {
    let mut node = node(500, 0);
    for time in (1000..1500).step_by(7) {
        node.value_at(time, 101.0 + time as f64);
    }
    node.until(1500);
    assert_eq!(node.said(), [(Raised, 1500)]);
    assert_eq!(node.live(0).unwrap().value, Some(crate::value::Value::Float64(1101.0)), "the value that began it");
}

#[test]
fn an_alarm_clears_when_its_condition_was_gone_long_enough() {
    let mut node = node(0, 300);
    node.value_at(1000, 101.0);
    node.value_at(2000, 95.0);
    node.until(2299);
    assert_eq!(node.shown(0), "Active,Unacked");
    node.until(2300);
    assert_eq!(node.said(), [(Raised, 1000), (Cleared, 2300)]);
    assert_eq!(node.live(0).unwrap().clear_time.unwrap().0, 2300);
}

#[test]
fn the_dead_band_counts_on_the_clearing_side_only() {
    let mut node = node(200, 300);
    node.value_at(1000, 101.0);
    node.value_at(1100, 97.0);
    node.until(1999);
    assert_eq!(node.said(), [], "97 is not beyond 100: the delay is dropped");
    node.value_at(2000, 101.0);
    node.until(2200);
    assert_eq!(node.said(), [(Raised, 2200)]);
    for (time, value) in [(3000, 97.0), (3100, 95.001)] {
        node.value_at(time, value);
        assert_eq!(node.engine.next_deadline(), None, "{value} is within the dead-band");
    }
    node.value_at(4000, 95.0);
    node.value_at(4299, 95.001);
    node.until(4999);
    assert_eq!(node.shown(0), "Active,Unacked", "back in the dead-band a millisecond before the end");
    node.value_at(5000, 94.0);
    node.until(5300);
    assert_eq!(node.said(), [(Raised, 2200), (Cleared, 5300)]);
}

#[test]
fn a_bad_value_does_not_touch_a_running_delay() {
    for quality in [Quality::BAD, Quality(0xFFFF_FFFF)] {
        let mut node = node(500, 500);
        node.value_at(1000, 101.0);
        node.until(1200);
        node.sample(0, Sample { quality, ..good(0.0, 1200) });
        node.until(1500);
        node.value_at(2000, 90.0);
        node.until(2200);
        node.sample(0, Sample { quality, ..good(200.0, 2200) });
        node.until(9000);
        assert_eq!(node.said(), [(Raised, 1500), (Cleared, 2500)], "{quality}");
    }
}

#[test]
fn a_last_usable_value_begins_no_delay_to_clear_but_one_to_raise() {
    let last = |value: f64, time| Sample { quality: Quality::UNCERTAIN_LAST_USABLE_VALUE, ..good(value, time) };
    let mut node = node(500, 500);
    node.until(1000);
    node.sample(0, last(101.0, 1000));
    node.until(1500);
    assert_eq!(node.said(), [(Raised, 1500)]);
    node.until(2000);
    node.sample(0, last(0.0, 2000));
    assert_eq!(node.engine.next_deadline(), None);
    // One that runs goes on.
    node.value_at(3000, 0.0);
    node.until(3100);
    node.sample(0, last(0.0, 3100));
    node.until(3500);
    assert_eq!(node.said(), [(Raised, 1500), (Cleared, 3500)]);
}

#[test]
fn at_a_takeover_the_last_value_drops_a_delay_only_if_it_is_newer_than_it() {
    for (time, raised) in [(999, true), (1000, true), (1001, false)] {
        let mut node = node(500, 500);
        node.value_at(1000, 101.0);
        node.until(1100);
        node.engine.end();
        node.samples.insert(crate::catalog::TagId(0), good(50.0, time));
        node.begin(Some(Quality::UNCERTAIN_LAST_USABLE_VALUE));
        node.until(5000);
        assert_eq!(node.said().len(), usize::from(raised), "last value of {time}");
    }
}

#[test]
fn times_of_entries_are_those_of_the_source() {
    let mut node = node(500, 300);
    node.until(10_000);
    node.sample(0, good(101.0, 400));
    node.until(10_500);
    node.until(20_000);
    node.sample(0, good(90.0, 70_000));
    node.until(20_300);
    assert_eq!(node.said(), [(Raised, 900), (Cleared, 70_300)]);
    node.shelve("Plant/*", 1000);
    assert_eq!(node.journal.last().unwrap().time.0, 20_300, "what an operator does carries this node's time");
}

#[test]
fn each_limit_is_judged_by_itself_and_has_its_own_delay() {
    let limit = |level, limit| AlarmCondition::Limit { level, limit, inclusive: false, deadband: 0.0 };
    let defs = [(LimitLevel::H, 100.0, 300), (LimitLevel::H2, 110.0, 100), (LimitLevel::H3, 120.0, 0)];
    let mut node = Node::new(
        defs.map(|(level, at, delay)| AlarmDef { active_delay_ms: delay, ..alarm(0, limit(level, at)) }).into(),
    );
    node.value_at(1000, 130.0);
    node.until(2000);
    node.value_at(3000, 115.0);
    let said: Vec<_> = node.journal.iter().map(|entry| (&*entry.name, entry.kind, entry.time.0)).collect();
    assert_eq!(said, [("H3", Raised, 1000), ("H2", Raised, 1100), ("H", Raised, 1300), ("H3", Cleared, 3000)]);
}
