//! A peer that is not what it says: whatever comes over the lane harms nothing but the lane.

use std::sync::Arc;

use proptest::prelude::*;

use super::pair::{Pair, lists};
use crate::alarm_replication::{AlarmForward, AlarmFrame, AlarmInput, AlarmItem, decode, encode};
use crate::alarms::{
    AckMode, AlarmAction, AlarmEntry, AlarmKey, AlarmKind, AlarmPriority, AlarmRequest, EntryKind, EventId, Occurrence,
    PendingKind, PortablePending, PortableShelf, PortableState, Who,
};
use crate::types::{Epoch, NodeId, UnixMillis};
use crate::value::Value;
use crate::wire::HEADER_BYTES;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..6_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (0..4_u64, 0..3_u64).prop_map(|(counter, node)| Epoch { counter, node: NodeId(node) })
}

fn time() -> impl Strategy<Value = UnixMillis> {
    prop_oneof![4 => 0..3_000_000_i64, 1 => any::<i64>()].prop_map(UnixMillis)
}

fn key() -> impl Strategy<Value = (Arc<str>, Arc<str>)> {
    let names = prop_oneof![Just("H"), Just("B"), Just("")];
    (0..4_usize, names).prop_map(|(tag, name)| (Arc::from(format!("t{tag}")), Arc::from(name)))
}

fn event() -> impl Strategy<Value = EventId> {
    prop_oneof![
        (0..4_u128).prop_map(EventId),
        (key(), number(), time()).prop_map(|((path, name), number, time)| {
            EventId::of_occurrence(AlarmKey::of(&path, &name), number, time)
        }),
    ]
}

fn kind() -> impl Strategy<Value = EntryKind> {
    prop_oneof![
        Just(EntryKind::Raised),
        Just(EntryKind::Cleared),
        Just(EntryKind::Acknowledged),
        Just(EntryKind::Commented),
        Just(EntryKind::Shelved),
        Just(EntryKind::Unshelved),
    ]
}

prop_compose! {
    fn entry()(
        origin in epoch(), position in number(), kind in kind(), event in event(), number in number(),
        (path, name) in key(), time in time(), active in any::<bool>(), acked in any::<bool>(), active_time in time(),
        shelved_ms in number(), id in prop::option::of(0..3_u8),
    ) -> AlarmEntry {
        AlarmEntry {
            origin, position, kind, event, number, path, name, alarm: AlarmKind::System, priority: AlarmPriority::Low,
            ack_mode: AckMode::Manual, description: Arc::from(""), time, active, acked, active_time,
            value: Some(Value::Float64(f64::NAN)), node: NodeId(7), operator: Arc::from("Eve"), comment: Arc::from("x"),
            operation: id.map(super::pair::operation), shelved_ms,
        }
    }
}

prop_compose! {
    fn state()(
        number in number(), event in event(), live in any::<bool>(), active in any::<bool>(), acked in any::<bool>(),
        at in time(), remaining_ms in number(), pending in any::<bool>(), armed in any::<bool>(), epoch in epoch(),
    ) -> PortableState {
        PortableState {
            number,
            live: live.then(|| Occurrence {
                event, epoch, active, acked, active_time: at, clear_time: Some(at), ack_time: None,
                operator: Arc::from(""), comment: Arc::from(""), value: None,
            }),
            pending: pending.then_some(PortablePending {
                kind: if active { PendingKind::Clear } else { PendingKind::Raise }, since: at, value: None, remaining_ms,
            }),
            armed,
            ended: acked.then_some((event, at)),
        }
    }
}

fn states() -> impl Strategy<Value = Vec<(AlarmKey, PortableState)>> {
    prop::collection::vec((key(), state()).prop_map(|((path, name), state)| (AlarmKey::of(&path, &name), state)), 0..4)
}

fn positions() -> impl Strategy<Value = Vec<(Epoch, u64)>> {
    prop::collection::vec((epoch(), number()), 0..4)
}

fn shelf() -> impl Strategy<Value = PortableShelf> {
    (key(), event(), time(), number(), number()).prop_map(|((path, _), event, since, for_ms, remaining_ms)| {
        let (operator, comment) = (Arc::from(""), Arc::from(""));
        PortableShelf { path, event, since, for_ms, remaining_ms, operator, comment }
    })
}

fn item() -> impl Strategy<Value = AlarmItem> {
    prop_oneof![
        4 => entry().prop_map(AlarmItem::Entry),
        2 => (key(), state()).prop_map(|((path, name), state)| AlarmItem::State(AlarmKey::of(&path, &name), state)),
        1 => (epoch(), number()).prop_map(|(origin, position)| AlarmItem::Included(origin, position)),
    ]
}

fn frame() -> impl Strategy<Value = AlarmFrame> {
    let sync = || prop_oneof![6 => 1..4_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    prop_oneof![
        (sync(), epoch(), positions(), any::<bool>()).prop_map(|(sync, leader, held, more)| AlarmFrame::Follow {
            sync,
            leader,
            held,
            more
        }),
        sync().prop_map(|sync| AlarmFrame::NotNow { sync }),
        (sync(), positions(), any::<bool>()).prop_map(|(sync, held, more)| AlarmFrame::Held { sync, held, more }),
        (sync(), states()).prop_map(|(sync, states)| AlarmFrame::States { sync, states }),
        (sync(), positions()).prop_map(|(sync, included)| AlarmFrame::Included { sync, included }),
        (sync(), prop::collection::vec(shelf(), 0..3))
            .prop_map(|(sync, shelves)| AlarmFrame::Shelves { sync, shelves }),
        sync().prop_map(|sync| AlarmFrame::Whole { sync }),
        (sync(), epoch(), number(), prop::collection::vec(entry(), 0..4))
            .prop_map(|(sync, origin, after, entries)| AlarmFrame::Entries { sync, origin, after, entries }),
        (sync(), number()).prop_map(|(sync, frames)| AlarmFrame::EntriesTaken { sync, frames }),
        sync().prop_map(|sync| AlarmFrame::NothingMissing { sync }),
        (sync(), number(), prop::collection::vec(item(), 0..4)).prop_map(|(sync, first, items)| AlarmFrame::Items {
            sync,
            first,
            items
        }),
        (sync(), number(), number()).prop_map(|(sync, applied, stored)| AlarmFrame::Confirm {
            sync,
            applied,
            stored: Some(stored)
        }),
        (sync(), any::<bool>(), number(), positions()).prop_map(|(sync, same, digest, held)| {
            let list = if same { lists(false)[0].hash() } else { 0 };
            AlarmFrame::Digest { sync, list, digest, held }
        }),
        (sync(), any::<bool>()).prop_map(|(sync, equal)| AlarmFrame::Compared { sync, equal }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Frame(usize, AlarmFrame),
    Bytes(usize, Vec<u8>),
    Forward(usize, u64, u64, EventId),
    Change(usize, bool),
    Deliver(usize),
    Disk(usize),
    Wait(u64),
    Reconnect,
    Switch,
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..2_usize;
    prop_oneof![
        20 => (node.clone(), frame()).prop_map(|(to, frame)| Step::Frame(to, frame)),
        1 => (node.clone(), prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(to, bytes)| Step::Bytes(to, bytes)),
        1 => (node.clone(), number(), number(), event()).prop_map(|(to, id, ms, event)| Step::Forward(to, id, ms, event)),
        4 => (0..4_usize, any::<bool>()).prop_map(|(tag, high)| Step::Change(tag, high)),
        6 => node.clone().prop_map(Step::Deliver),
        6 => node.prop_map(Step::Disk),
        2 => (1..3000_u64).prop_map(Step::Wait),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Switch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The model of the disk refuses a gap by a panic.
    #[test]
    fn frames_of_any_content_in_any_order_never_panic_and_never_write_a_gap(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new(false);
        for step in steps {
            match step {
                Step::Frame(to, frame) => {
                    if let Ok(bytes) = encode(&frame) {
                        pair.hear(to, AlarmInput::Frame(&bytes[HEADER_BYTES..]));
                    }
                }
                Step::Bytes(to, bytes) => pair.hear(to, AlarmInput::Frame(&bytes)),
                Step::Forward(to, id, deadline_ms, event) => {
                    let action = AlarmAction::Comment { event, comment: Arc::from("x") };
                    let request = AlarmRequest { action, who: Who::default(), operation: None };
                    pair.hear(to, AlarmInput::Forward(AlarmForward { id, deadline_ms, request }));
                }
                Step::Change(tag, high) => pair.change(tag, if high { 15.0 } else { 0.0 }),
                Step::Deliver(to) => { pair.deliver(to); }
                Step::Disk(at) => { pair.work(at); }
                Step::Wait(ms) => pair.wait(ms),
                Step::Reconnect => {
                    pair.lane_down();
                    pair.lane_up();
                }
                Step::Switch => {
                    pair.begin_switch();
                    pair.go_on_with_switch();
                }
            }
        }
    }

    #[test]
    fn bytes_are_a_frame_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(frame) = decode(&bytes) {
            prop_assert!(encode(&frame).is_ok());
        }
    }
}

#[test]
fn a_leader_that_never_ends_saying_what_it_holds_is_cut_off() {
    let mut pair = Pair::new(false);
    pair.lane_down();
    pair.lane_up();
    let sync = pair.nodes[1].machine.following.as_ref().expect("it asked").sync();
    let before = pair.nodes[1].closes;
    let per_frame = super::super::frames::POSITIONS_PER_FRAME as u64;
    for frame in 0..2 * (1 << 20) / per_frame + 2 {
        let place = |at: u64| (Epoch { counter: frame * per_frame + at, node: NodeId(9) }, 1);
        let included = (0..per_frame).map(place).collect::<Vec<_>>();
        let frame = if frame % 2 == 0 {
            AlarmFrame::Included { sync, included }
        } else {
            AlarmFrame::Held { sync, held: included, more: true }
        };
        let bytes = encode(&frame).expect("it is within the limits");
        pair.hear(1, AlarmInput::Frame(&bytes[HEADER_BYTES..]));
        if pair.nodes[1].closes > before {
            return;
        }
    }
    panic!("it takes whatever comes");
}

/// Whatever the disk does, what waits for it has an end.
#[test]
fn a_peer_that_does_not_wait_for_the_disk_is_cut_off() {
    for victim in [0, 1] {
        let mut pair = Pair::new(false);
        let sync = pair.nodes[1].machine.following.as_ref().expect("it asked").sync();
        let (origin, before) = (Epoch { counter: 3, node: NodeId(9) }, pair.nodes[victim].closes);
        for position in 1..1000 {
            let entries = vec![a_comment(origin, position)];
            let frame = AlarmFrame::Entries { sync, origin, after: position - 1, entries };
            let bytes = encode(&frame).expect("it is within the limits");
            pair.hear(victim, AlarmInput::Frame(&bytes[HEADER_BYTES..]));
        }
        assert!(pair.nodes[victim].closes > before, "node {victim} takes whatever comes");
        pair.settle(3000);
        assert_eq!(pair.nodes[0].table.digest(), pair.nodes[1].table.digest());
    }
}

fn a_comment(origin: Epoch, position: u64) -> AlarmEntry {
    AlarmEntry {
        origin,
        position,
        kind: EntryKind::Commented,
        event: EventId(1),
        number: 1,
        path: Arc::from("t0"),
        name: Arc::from("H"),
        alarm: AlarmKind::System,
        priority: AlarmPriority::Low,
        ack_mode: AckMode::Manual,
        description: Arc::from(""),
        time: UnixMillis(0),
        active: true,
        acked: false,
        active_time: UnixMillis(0),
        value: None,
        node: NodeId(9),
        operator: Arc::from("Eve"),
        comment: Arc::from("x"),
        operation: None,
        shelved_ms: 0,
    }
}

#[test]
fn a_leader_that_makes_up_tenures_without_end_is_cut_off() {
    let mut pair = Pair::new(false);
    let sync = pair.nodes[1].machine.following.as_ref().expect("it asked").sync();
    let (before, per_frame) = (pair.nodes[1].closes, super::super::frames::ITEMS_PER_FRAME as u64);
    for frame in 0..(1 << 20) / per_frame + 2 {
        let made_up = |at: u64| AlarmItem::Included(Epoch { counter: frame * per_frame + at, node: NodeId(9) }, 1);
        let items = (0..per_frame).map(made_up).collect();
        let bytes =
            encode(&AlarmFrame::Items { sync, first: frame * per_frame + 1, items }).expect("within the limits");
        pair.hear(1, AlarmInput::Frame(&bytes[HEADER_BYTES..]));
        pair.nodes[0].lane.clear();
        if pair.nodes[1].closes > before {
            return;
        }
    }
    panic!("it takes whatever comes");
}
