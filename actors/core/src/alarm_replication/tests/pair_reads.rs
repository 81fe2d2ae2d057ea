//! A slow disk answers when what it was asked for is no longer wanted.

use std::sync::Arc;

use super::pair::Pair;
use crate::alarms::AlarmAction;

/// The follower's journal lacks some entries that the leader wrote while they were apart.
fn apart() -> Pair {
    let mut pair = Pair::new(false);
    pair.link_down();
    for turn in 0..30_u8 {
        pair.change(0, if turn % 2 == 0 { 15.0 } else { 0.0 });
        while pair.work(0) {}
    }
    pair.link_up();
    pair.follow(1);
    pair
}

#[test]
fn entries_read_for_an_earlier_connection_are_not_taken_for_those_of_the_next_one() {
    let mut pair = apart();
    pair.lane_up();
    // The leader gives the first entries, and begins to read on.
    while pair.deliver(0) {}
    pair.work(0);
    while pair.deliver(1) {}
    // The follower loses them with its process, and asks for them again.
    assert_eq!(pair.nodes[0].jobs.len(), 1, "a read of the leader is under way");
    pair.crash(1);
    pair.link_up();
    pair.follow(1);
    pair.lane_up();
    pair.settle(10_000);
    pair.assert_equal();
}

#[test]
fn entries_read_for_a_takeover_that_ended_are_not_taken_for_those_of_the_next_one() {
    let mut pair = Pair::new(false);
    pair.change(0, 15.0);
    pair.settle(1000);
    let event = pair.some_event(1, 0).expect("it is raised");
    pair.link_down();
    pair.lead(1);
    pair.ask(1, AlarmAction::Acknowledge { event, comment: Arc::from("seen") }, Some(1));
    for turn in 0..40_u8 {
        pair.change(2, if turn % 2 == 0 { 15.0 } else { 0.0 });
    }
    pair.settle(100);
    // The first node goes on, and reads what the other one did; then it stands by and leads again at once.
    pair.link_up();
    pair.hear(1, crate::alarm_replication::AlarmInput::StandBy);
    pair.lead(0);
    pair.follow(1);
    pair.lane_up();
    let reads = |pair: &Pair| {
        pair.nodes[0].jobs.iter().any(|job| match job {
            super::pair_disk::Job::Read { purpose, from, .. } => {
                matches!(purpose, crate::alarm_replication::ReadFor::Absorbing(_)) && *from > 3
            }
            super::pair_disk::Job::Append(_) => false,
        })
    };
    for _ in 0..5000 {
        if reads(&pair) {
            break;
        }
        let _ = pair.deliver(0) || pair.deliver(1) || pair.work(0) || pair.work(1);
        pair.wait(1);
    }
    assert!(reads(&pair), "it reads on");
    pair.hear(0, crate::alarm_replication::AlarmInput::StandBy);
    pair.lead(0);
    pair.follow(1);
    pair.settle(10_000);
    pair.assert_equal();
    let live = pair.nodes[0].table.live().find(|(_, live)| live.event == event);
    assert!(live.is_none_or(|(_, live)| live.acked), "the acknowledgement counts");
}
