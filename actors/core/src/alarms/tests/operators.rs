//! What operators ask for, and what they are answered.

use std::sync::Arc;

use super::stage::*;
use crate::alarms::AlarmResult::*;
use crate::alarms::*;
use crate::types::UnixMillis;

fn one() -> Node {
    Node::new(vec![alarm(0, high(100.0, 0.0))])
}

#[test]
fn an_acknowledgement_says_who_when_and_why() {
    let mut node = one();
    node.value_at(10, 110.0);
    node.until(25);
    let event = node.event(0);
    let who = Who { operator: Arc::from("Bob"), node: crate::types::NodeId(7) };
    let action = AlarmAction::Acknowledge { event, comment: "on my way".into() };
    let request = AlarmRequest { action, who, operation: Some(Arc::from("op-1")) };
    let result = node.work(|engine, table, pen, now, out| engine.operate(table, &request, pen, now, out));
    assert_eq!(result, Good);
    let entry = node.journal.last().unwrap();
    assert_eq!((entry.kind, entry.event, entry.number, entry.position), (EntryKind::Acknowledged, event, 1, 2));
    assert_eq!(
        (entry.active, entry.acked, entry.time, entry.active_time),
        (true, true, UnixMillis(25), UnixMillis(10))
    );
    assert_eq!((&*entry.operator, &*entry.comment, entry.node.0), ("Bob", "on my way", 7));
    assert_eq!(entry.operation.as_deref(), Some("op-1"));
    let live = node.live(0).unwrap();
    assert_eq!((live.ack_time, &*live.operator, &*live.comment), (Some(UnixMillis(25)), "Bob", "on my way"));
}

#[test]
fn acknowledging_an_occurrence_never_touches_a_later_one() {
    let mut node = one();
    node.value_at(10, 110.0);
    let first = node.event(0);
    node.value_at(20, 90.0);
    node.value_at(30, 110.0);
    let second = node.event(0);
    assert_ne!(first, second);
    assert_eq!(node.ack(first, ""), BadEventIdUnknown, "a new one took its place before anybody acknowledged it");
    assert_eq!(node.shown(0), "Active,Unacked");
    assert_eq!(node.ack(second, ""), Good);
    assert_eq!(node.ack(second, ""), BadConditionBranchAlreadyAcked);
    node.value_at(40, 90.0);
    assert_eq!(node.shown(0), "Normal");
    assert_eq!(node.ack(second, ""), BadConditionBranchAlreadyAcked, "it is over");
    node.value_at(50, 110.0);
    assert_eq!(node.ack(second, ""), BadConditionBranchAlreadyAcked);
    assert_eq!(node.shown(0), "Active,Unacked");
    assert_eq!(node.ack(EventId(5), ""), BadEventIdUnknown);
}

#[test]
fn the_next_leader_knows_what_was_acknowledged() {
    let mut node = one();
    let mut follower = AlarmTable::new(node.table.list().clone());
    node.value_at(10, 110.0);
    follow(&mut follower, node.now().mono, &node);
    let event = node.event(0);
    node.ack(event, "");
    follow(&mut follower, node.now().mono, &node);
    node.value_at(20, 90.0);
    follow(&mut follower, node.now().mono, &node);
    node.table = follower;
    assert_eq!(node.ack(event, ""), BadConditionBranchAlreadyAcked);
}

#[test]
fn an_alarm_that_wants_a_comment_is_not_acknowledged_without() {
    let mut node = Node::new(vec![AlarmDef { ack_mode: AckMode::ManualWithComment, ..alarm(0, high(100.0, 0.0)) }]);
    node.value_at(10, 110.0);
    let event = node.event(0);
    for comment in ["", "  "] {
        assert_eq!(node.ack(event, comment), BadCommentMissing);
    }
    assert_eq!(node.shown(0), "Active,Unacked");
    assert_eq!(node.ack(event, "valve 3 sticks"), Good);
}

#[test]
fn texts_that_are_too_long_or_no_text_are_refused() {
    let mut node = one();
    node.value_at(10, 110.0);
    let event = node.event(0);
    let long = "x".repeat(MAX_COMMENT_BYTES + 1);
    for comment in [long.as_str(), "two\nlines", "\u{7f}"] {
        assert_eq!(node.ack(event, comment), BadOutOfRange);
        assert_eq!(node.operate(AlarmAction::Comment { event, comment: comment.into() }), BadOutOfRange);
    }
    assert_eq!(node.operate(AlarmAction::Comment { event, comment: " ".into() }), BadCommentMissing);
    assert_eq!(node.operate(AlarmAction::Comment { event: EventId(1), comment: "hm".into() }), BadEventIdUnknown);
    let who = Who { operator: "o".repeat(MAX_OPERATOR_BYTES + 1).into(), node: node.pen.node };
    let action = AlarmAction::Acknowledge { event, comment: "".into() };
    let request = AlarmRequest { action, who, operation: None };
    let result = node.work(|engine, table, pen, now, out| engine.operate(table, &request, pen, now, out));
    assert_eq!(result, BadOutOfRange);
    assert_eq!(node.journal.len(), 1);
    assert_eq!(node.ack(event, &long[1..]), Good);
}

#[test]
fn shelved_alarms_are_judged_and_journaled_and_shown_again_at_the_end() {
    let mut node = Node::new(vec![alarm(0, high(100.0, 0.0)), alarm(1, high(100.0, 0.0))]);
    node.sample(1, good(110.0, 0));
    node.until(1000);
    assert_eq!(node.shelve("Plant/Tag0", 5000), Good);
    node.value_at(2000, 110.0);
    assert_eq!(node.shown(0), "Active,Unacked");
    assert!(node.table.is_shelved(AlarmId(0)) && !node.table.is_shelved(AlarmId(1)));
    let counts = AlarmCounts { active_unacked: 1, shelved: 1, ..AlarmCounts::default() };
    assert_eq!(node.table.counts(), counts);
    assert_eq!(node.table.live().count(), 2, "shelved ones too");
    node.until(5999);
    assert!(node.table.is_shelved(AlarmId(0)));
    node.until(6000);
    assert_eq!(node.table.counts().active_unacked, 2);
    let [.., shelved, _, unshelved] = &node.journal[..] else { panic!() };
    assert_eq!((shelved.kind, &*shelved.path, shelved.shelved_ms), (EntryKind::Shelved, "Plant/Tag0", 5000));
    assert_eq!((&*shelved.operator, &*unshelved.operator), ("Ann", ""));
    assert_eq!(
        (unshelved.kind, unshelved.time, unshelved.event),
        (EntryKind::Unshelved, UnixMillis(6000), shelved.event)
    );
    assert_eq!(node.engine.next_deadline(), None);
}

#[test]
fn shelvings_overlap_are_replaced_and_ended_by_their_path() {
    let mut node = Node::new(vec![alarm(0, high(100.0, 0.0)), alarm(1, high(100.0, 0.0))]);
    node.value(110.0);
    let shelved = |node: &Node| [0, 1].map(|id| node.table.is_shelved(AlarmId(id)));
    assert_eq!(node.shelve("Plant/Tag0/H", 100), Good);
    assert_eq!(shelved(&node), [true, false]);
    assert_eq!(node.shelve("Plant/*", 50), Good);
    assert_eq!(shelved(&node), [true, true]);
    node.until(50);
    assert_eq!(shelved(&node), [true, false]);
    node.until(90);
    assert_eq!(node.shelve("Plant/Tag0/H", 100), Good);
    node.until(189);
    assert_eq!(shelved(&node), [true, false], "the time of the first one does not count any more");
    assert_eq!(node.unshelve("Plant/Tag0"), BadConditionNotShelved);
    assert_eq!(node.unshelve("Plant/Tag0/H"), Good);
    assert_eq!(node.unshelve("Plant/Tag0/H"), BadConditionNotShelved);
    assert_eq!(shelved(&node), [false, false]);
    assert_eq!(node.engine.next_deadline(), None);
    check_derived(&node.table);
}

#[test]
fn shelvings_that_cannot_be() {
    let mut node = one();
    for (path, for_ms, result) in [
        ("Plant/*", 0, BadShelvingTimeOutOfRange),
        ("Plant/*", MAX_SHELVING_MS + 1, BadShelvingTimeOutOfRange),
        ("Plant/*", u64::MAX, BadShelvingTimeOutOfRange),
        ("Plant", 1, BadNodeIdUnknown),
        ("", 1, BadNodeIdUnknown),
        ("Plant/Tag0/L", 1, BadNodeIdUnknown),
        ("Plant/\u{0}*", 1, BadOutOfRange),
        ("Plant/*", MAX_SHELVING_MS, Good),
        ("System/Redundancy/PeerLost", 1, Good),
    ] {
        assert_eq!(node.shelve(path, for_ms), result, "{path} {for_ms}");
    }
    assert_eq!(node.shelve(&"*".repeat(MAX_SHELF_PATH_BYTES + 1), 1), BadOutOfRange);
    for count in 0..MAX_SHELVINGS - 2 {
        assert_eq!(node.shelve(&format!("{}Tag0", "*".repeat(count + 1)), HOUR), Good);
    }
    assert_eq!(node.shelve("*0", HOUR), BadOutOfRange, "there are too many");
    assert_eq!(node.shelve("Plant/*", HOUR), Good, "this one takes its own place");
    assert_eq!(node.table.shelves().count(), MAX_SHELVINGS);
}

#[test]
fn patterns_reach_what_they_say() {
    let path = |path: &str, name: &str| AlarmDef { path: path.into(), name: name.into(), ..alarm(0, high(1.0, 0.0)) };
    let defs = vec![path("A", "H"), path("A/B", "H"), path("A/B", "L"), path("AB", "H"), path("B/A", "H")];
    let table = AlarmTable::new(list(defs.clone()));
    for pattern in
        ["A", "A/B", "A/B/L", "A*", "A/*", "*", "*/H", "*B*", "B/A/H", "A*H", "B*A", "C", "A/B/L/", "", "*C*"]
    {
        let mut fitting = table.fitting(pattern);
        fitting.sort_unstable();
        let all = table.list().iter().filter(|(_, def)| {
            let fits = |path: &str| crate::catalog::path_matches(pattern, path);
            fits(&def.path) || fits(&format!("{}/{}", def.path, def.name))
        });
        assert_eq!(fitting, all.map(|(id, _)| id).collect::<Vec<_>>(), "{pattern}");
    }
}
