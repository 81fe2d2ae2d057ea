//! Whatever a peer sends: no panic, and what a table derives stays right.

use std::sync::Arc;

use proptest::prelude::*;

use super::stage::*;
use crate::alarms::*;
use crate::types::{Epoch, Millis, NodeId, UnixMillis};
use crate::value::Value;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4u64, Just(u64::MAX), Just(u64::MAX - 1)]
}

fn time() -> impl Strategy<Value = UnixMillis> {
    prop_oneof![0..50i64, Just(i64::MIN), Just(i64::MAX)].prop_map(UnixMillis)
}

fn event() -> impl Strategy<Value = EventId> {
    (0..4u128).prop_map(EventId)
}

fn entry() -> impl Strategy<Value = AlarmEntry> {
    use EntryKind::{Acknowledged, Cleared, Commented, Raised, Shelved, Unshelved};
    let kind = prop::sample::select(vec![Raised, Cleared, Acknowledged, Commented, Shelved, Unshelved]);
    let path = prop::sample::select(vec!["Plant/Tag0", "Plant/Tag1", "Plant/*", "*", "", "Nowhere"]);
    let times = (time(), time());
    (kind, path, event(), number(), number(), times, any::<(bool, bool)>(), number()).prop_map(
        |(kind, path, event, number, position, (time, active_time), (active, acked), shelved_ms)| AlarmEntry {
            origin: Epoch { counter: position, node: NodeId(9) },
            position,
            kind,
            event,
            number,
            path: path.into(),
            name: "H".into(),
            alarm: AlarmKind::System,
            priority: AlarmPriority::Low,
            ack_mode: AckMode::Automatic,
            description: "".into(),
            time,
            active,
            acked,
            active_time,
            value: Some(Value::Float64(f64::NAN)),
            node: NodeId(u64::MAX),
            operator: "".into(),
            comment: "é".repeat(700).into(),
            operation: None,
            shelved_ms,
        },
    )
}

fn state() -> impl Strategy<Value = AlarmState> {
    let live = (event(), any::<(bool, bool)>(), time(), prop::option::of(time())).prop_map(
        |(event, (active, acked), active_time, clear_time)| Occurrence {
            event,
            epoch: Epoch::NONE,
            active,
            acked,
            active_time,
            clear_time,
            ack_time: None,
            operator: "".into(),
            comment: "".into(),
            value: None,
        },
    );
    let pending = (any::<bool>(), time(), number()).prop_map(|(raise, since, until)| Pending {
        kind: if raise { PendingKind::Raise } else { PendingKind::Clear },
        since,
        value: None,
        until: Millis(until),
    });
    let ended = (any::<u8>(), time()).prop_map(|(event, at)| (EventId(u128::from(event)), at));
    (number(), prop::option::of(live), prop::option::of(pending), any::<bool>(), prop::option::of(ended))
        .prop_map(|(number, live, pending, armed, ended)| AlarmState { number, live, pending, armed, ended })
}

fn shelf() -> impl Strategy<Value = Shelf> {
    let path = prop::sample::select(vec!["Plant/Tag0", "*", "**a*", ""]);
    (path, event(), number(), number()).prop_map(|(path, event, for_ms, until)| Shelf {
        path: path.into(),
        event,
        since: UnixMillis(i64::MIN),
        for_ms,
        until: Millis(until),
        operator: "".into(),
        comment: "".into(),
    })
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Box<AlarmEntry>),
    Set(u32, Box<AlarmState>),
    Replace(Vec<(u32, AlarmState)>, Vec<Shelf>),
    Absorb(Vec<AlarmEntry>),
    Begin,
    Value(bool, UnixMillis),
    Wait(i64),
    Ack(EventId),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => entry().prop_map(|entry| Step::Apply(Box::new(entry))),
        4 => (0..4u32, state()).prop_map(|(id, state)| Step::Set(id, Box::new(state))),
        1 => (prop::collection::vec((0..4u32, state()), 0..5), prop::collection::vec(shelf(), 0..3))
            .prop_map(|(states, shelves)| Step::Replace(states, shelves)),
        2 => prop::collection::vec(entry(), 0..8).prop_map(Step::Absorb),
        1 => Just(Step::Begin),
        4 => (any::<bool>(), time()).prop_map(|(beyond, time)| Step::Value(beyond, time)),
        2 => (0..30i64).prop_map(Step::Wait),
        1 => event().prop_map(Step::Ack),
    ]
}

/// Some of these keys belong to no alarm.
fn key(id: u32) -> AlarmKey {
    AlarmKey::of(&format!("Plant/Tag{id}"), "H")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_a_peer_sends_breaks_a_node(steps in prop::collection::vec(step(), 1..40)) {
        let mut node = Node::new(vec![delayed(alarm(0, high(6.0, 0.0)), 10, 0), delayed(alarm(1, high(6.0, 0.0)), 0, 10)]);
        for step in steps {
            let now = node.now();
            match step {
                Step::Apply(entry) => drop(node.table.apply(&entry, now.mono)),
                Step::Set(id, state) => prop_assert_eq!(node.table.set_state(key(id), *state), id < 2),
                Step::Replace(states, shelves) => {
                    node.table.replace(states.into_iter().map(|(id, state)| (key(id), state)).collect(), shelves);
                }
                Step::Absorb(entries) => {
                    let mut absorption = Absorption::new();
                    for entry in &entries {
 absorption.add(entry);
 }
                    node.work(|engine, table, pen, now, out| {
                        absorption.finish(engine, table, &mut |_| None, pen, now, out);
                    });
                }
                Step::Begin => node.begin(None),
                Step::Value(beyond, time) => {
                    for tag in 0..2 {
                        node.sample(tag, good(if beyond { 7.0 } else { 1.0 }, time.0));
                    }
                }
                Step::Wait(time) => drop(node.until(node.time + time)),
                Step::Ack(event) => drop(node.ack(event, "")),
            }
            check_counts(&node.table);
        }
        // Whatever was: the alarms work.
        for value in [1.0, 7.0, 1.0, 7.0] {
            node.until(node.time + 100);
            node.value(value);
        }
        node.until(node.time + 100);
        prop_assert!(node.live(0).unwrap().active);
    }
}

#[test]
fn an_entry_that_was_applied_changes_nothing_when_it_comes_again() {
    let mut node = Node::new(vec![alarm(0, high(100.0, 0.0))]);
    node.value(110.0);
    node.ack(node.event(0), "");
    node.shelve("Plant/*", HOUR);
    node.value(90.0);
    let entries: Vec<Arc<AlarmEntry>> = node.journal.clone();
    let (digest, version, now) = (node.table.digest(), node.table.version(), node.now().mono);
    for entry in &entries {
        assert!(!node.table.apply(entry, now), "{:?}", entry.kind);
    }
    assert_eq!((node.table.digest(), node.table.version()), (digest, version));
}

#[test]
fn a_delay_towards_an_occurrence_that_cannot_be_ends() {
    // The last number there is was used up, for an occurrence of the same time.
    let mut node = Node::new(vec![delayed(alarm(0, high(6.0, 0.0)), 10, 0)]);
    let event = EventId::of_occurrence(key(0), u64::MAX, UnixMillis(10));
    let mut pending = node.table.state(AlarmId(0)).unwrap().clone();
    node.value(7.0);
    pending.pending.clone_from(&node.state(0).pending);
    node.until(10);
    node.value(1.0);
    let live = Occurrence { event, ..node.live(0).unwrap().clone() };
    node.table.set_state(key(0), AlarmState { number: u64::MAX, live: Some(live), ..pending });
    node.samples.clear();
    node.begin(None);
    node.until(50);
    assert_eq!((&node.state(0).pending, node.event(0)), (&None, event));
}
