//! Many alarms, many changes.

use super::stage::*;
use crate::alarms::*;
use crate::types::Millis;

#[test]
fn readers_are_told_what_changed_since_they_read_last() {
    let mut node = Node::new((0..3).map(|tag| delayed(alarm(tag, high(100.0, 0.0)), u64::from(tag) * 10, 0)).collect());
    let start = node.table.version();
    node.sample(0, good(110.0, 0));
    node.sample(1, good(110.0, 0));
    let raised = node.table.version();
    assert_eq!(node.table.changed_since(start), Some(vec![AlarmId(0)]), "a delay is nothing to see");
    node.until(10);
    node.sample(0, good(90.0, 10));
    node.ack(node.event(0), "");
    assert_eq!(node.table.changed_since(raised), Some(vec![AlarmId(0), AlarmId(1)]), "each once, also what is over");
    assert_eq!(node.table.changed_since(node.table.version()), Some(vec![]));
    assert_eq!(node.table.changed_since(node.table.version() + 1), None, "no version of this table");
    let before = node.table.version();
    node.shelve("Plant/*", HOUR);
    assert!(node.table.version() > before);
    assert_eq!(node.table.changed_since(before), Some(vec![AlarmId(1)]), "of those that are shown");
}

#[test]
fn a_reader_that_is_far_behind_reads_all() {
    let mut node = Node::new(vec![alarm(0, high(100.0, 0.0)), alarm(1, high(100.0, 0.0))]);
    node.sample(1, good(110.0, 0));
    let version = node.table.version();
    for change in 0..8192 {
        node.value(if change % 2 == 0 { 110.0 } else { 90.0 });
    }
    assert_eq!(node.table.changed_since(version), Some(vec![AlarmId(0)]));
    assert_eq!(node.table.changed_since(version - 1), None);
}

#[test]
fn taking_another_table_tells_only_what_differs() {
    let mut node = Node::new((0..3).map(|tag| alarm(tag, high(100.0, 0.0))).collect());
    node.sample(0, good(110.0, 0));
    node.sample(1, good(110.0, 0));
    let mut states: Vec<_> = node.table.states().map(|(key, state)| (key, state.clone())).collect();
    states.pop();
    let (event, version) = (node.event(1), node.table.version());
    node.table.replace(states, vec![]);
    assert_eq!(node.table.changed_since(version), Some(vec![AlarmId(1)]));
    assert_eq!((node.shown(0), node.shown(1)), ("Active,Unacked", "Normal"));
    assert_eq!(node.table.find_event(event), None);
    check_derived(&node.table);
}

#[test]
fn a_flapping_value_leaves_nothing_behind() {
    let mut node = Node::new(vec![delayed(alarm(0, high(100.0, 0.0)), HOUR, HOUR)]);
    for time in 0..10_000 {
        node.value_at(time, if time % 2 == 0 { 110.0 } else { 90.0 });
    }
    assert_eq!((node.said(), node.engine.next_deadline()), (vec![], None));
}

#[test]
fn a_hundred_thousand_alarms_and_ten_thousand_transitions() {
    let defs = (0..100_000).map(|tag| delayed(alarm(tag, high(100.0, 0.0)), u64::from(tag % 3) * 10, 0)).collect();
    let mut node = Node::new(defs);
    let mut follower = AlarmTable::new(node.table.list().clone());
    for tag in (0..100_000).step_by(10) {
        node.sample(tag, good(110.0, 0));
        follow(&mut follower, Millis(9), &node);
    }
    node.until(20);
    follow(&mut follower, Millis(9), &node);
    assert_eq!(node.table.counts().active_unacked, 10_000);
    assert_eq!(follower.digest(), node.table.digest());
    assert_eq!(node.shelve("*", HOUR), AlarmResult::Good);
    assert_eq!(node.table.counts(), AlarmCounts { shelved: 10_000, ..AlarmCounts::default() });
}
