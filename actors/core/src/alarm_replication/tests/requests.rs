use super::stage::{REPLICATION_TIMEOUT, Stage, answers};
use crate::alarm_replication::AlarmInput;
use crate::alarms::JournalFound;
use crate::types::Millis;

/// A leader with an alarm that somebody can acknowledge; it is on the disk.
fn leader() -> Stage {
    let mut node = Stage::new(JournalFound::default());
    node.lead(1);
    node.lose_peer(true);
    node.hear(AlarmInput::Stored(Ok(())));
    node
}

#[test]
fn a_slow_disk_makes_no_ticks() {
    let mut node = leader();
    node.is_asked(1, 1, node.held());
    node.is_live(1, 0, Some(0));
    node.acknowledge(1, "one");
    node.comment(2);
    node.now += REPLICATION_TIMEOUT;
    node.hear(AlarmInput::Tick);
    let next = node.machine.next_deadline();
    assert!(next.is_none_or(|at| at > Millis(node.now)), "{next:?} at {}", node.now);
}

#[test]
fn a_repeated_request_waits_for_the_follower_s_disk_too() {
    let mut node = leader();
    node.acknowledge(1, "one");
    assert_eq!(answers(&node.hear(AlarmInput::Stored(Ok(())))), [(1, false)]);
    node.is_asked(1, 1, node.held());
    node.is_live(1, 0, None);
    assert_eq!(answers(&node.acknowledge(2, "one")), [], "its journal may lack it");
    assert_eq!(answers(&node.is_live(1, 0, Some(0))), [(2, true)]);
}

#[test]
fn a_follower_that_was_restarted_counts_anew() {
    let mut node = leader();
    node.is_asked(1, 1, node.held());
    for _ in 0..3 {
        node.lose_peer(false);
        node.lose_peer(true);
    }
    node.is_live(1, 6, Some(6));
    node.acknowledge(1, "one");
    // It dies, and the next one gives its first sync the same number.
    node.hear(AlarmInput::LaneDown);
    node.hear(AlarmInput::LaneUp);
    node.is_asked(1, 1, node.held());
    node.is_live(1, 0, Some(0));
    let mut told = Vec::new();
    for _ in 0..4 {
        told.extend(answers(&node.hear(AlarmInput::Stored(Ok(())))));
    }
    assert_eq!(told, [(1, true)], "it began with that");
    assert!(!node.machine.facts().lagging);
}

#[test]
fn what_waits_at_a_node_that_stood_still_is_done_when_it_may_act_again() {
    let mut node = leader();
    node.hear(AlarmInput::Pause);
    node.acknowledge(1, "one");
    node.machine.set_fenced(true);
    node.hear(AlarmInput::Resume);
    node.comment(2);
    assert_eq!(answers(&node.hear(AlarmInput::Stored(Ok(())))), [], "nothing was done");
    let look_again = node.machine.next_deadline().unwrap();
    assert!(look_again > Millis(node.now));
    node.now = look_again.0;
    node.machine.set_fenced(false);
    node.hear(AlarmInput::Tick);
    assert_eq!(answers(&node.hear(AlarmInput::Stored(Ok(())))), [(1, false), (2, false)]);
}
