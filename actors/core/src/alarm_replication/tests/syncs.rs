use super::stage::{Stage, entries, epoch, frames, lineage, log, reads};
use crate::alarm_replication::{AlarmEffect, AlarmFrame, AlarmInput};
use crate::alarms::{JournalFound, Positions};
use crate::arbiter::Leader;

fn holding(counter: u64, last: u64) -> JournalFound {
    JournalFound {
        held: Positions::from([(epoch(counter), last)]),
        included: Positions::from([(epoch(counter), last)]),
        ..JournalFound::default()
    }
}

fn held(sync: u64, counter: u64, last: u64) -> AlarmFrame {
    AlarmFrame::Held { sync, held: vec![(epoch(counter), last)], more: false }
}

#[test]
fn what_an_earlier_sync_read_is_of_no_use_to_a_later_one() {
    let mut node = Stage::new(holding(1, 10));
    node.follow(2);
    let before = reads(&node.frame(&held(1, 1, 5)));
    assert_eq!(before[0].1, 6);
    node.hear(AlarmInput::LaneDown);
    node.hear(AlarmInput::LaneUp);
    // The leader was restarted: its disk had less of the log.
    let now = reads(&node.frame(&held(2, 1, 2)));
    assert_eq!(now[0].1, 3);
    let read = |purpose, entries| AlarmInput::Read { purpose, origin: epoch(1), entries: Ok(entries) };
    assert_eq!(frames(&node.hear(read(before[0].0, log(1, 6..=10)))), []);
    assert_eq!(frames(&node.hear(read(before[0].0, Vec::new()))), []);
    let given = frames(&node.hear(read(now[0].0, log(1, 3..=5))));
    let AlarmFrame::Entries { after: 2, entries, .. } = &given[0] else { panic!("{given:?}") };
    assert_eq!(entries.iter().map(|entry| entry.position).collect::<Vec<_>>(), [3, 4, 5]);
}

#[test]
fn a_disk_that_does_not_answer_keeps_no_entry_from_the_follower() {
    let mut node = Stage::new(JournalFound::default());
    node.lead(1);
    assert_eq!(entries(&node.lose_peer(true)).len(), 1);
    node.lose_peer(false);
    let effects = node.is_asked(1, 1, Vec::new());
    assert_eq!(reads(&effects), []);
    let given = frames(&effects);
    let AlarmFrame::Entries { after: 0, entries, .. } = &given[1] else { panic!("{given:?}") };
    assert_eq!(entries.len(), 2);
}

#[test]
fn states_come_when_the_journal_of_the_follower_lacks_nothing() {
    let mut node = Stage::new(holding(1, 3));
    node.lead(3);
    let effects = node.is_asked(1, 3, Vec::new());
    assert_eq!(frames(&effects), [held(1, 1, 3)]);
    // Written while it reads: not an item, for the follower could not take it into its log yet.
    let purpose = reads(&effects)[0].0;
    assert_eq!(frames(&node.lose_peer(true)), []);
    let given = frames(&node.hear(AlarmInput::Read { purpose, origin: epoch(1), entries: Ok(log(1, 1..=3)) }));
    let what = |frame: &AlarmFrame| match frame {
        AlarmFrame::Entries { origin, entries, .. } => format!("{} of {}", entries.len(), origin.counter),
        AlarmFrame::States { states, .. } => format!("{} states", states.len()),
        AlarmFrame::Included { .. } => "included".into(),
        AlarmFrame::Whole { .. } => "whole".into(),
        AlarmFrame::NothingMissing { .. } => "nothing missing".into(),
        AlarmFrame::Digest { .. } => "digest".into(),
        other => format!("{other:?}"),
    };
    let order: Vec<_> = given.iter().map(what).collect();
    assert_eq!(order, ["3 of 1", "1 of 3", "1 states", "included", "whole", "nothing missing", "digest"]);
    // From now on as items.
    let given = frames(&node.lose_peer(false));
    assert!(matches!(&given[..], [AlarmFrame::Items { first: 1, .. }]), "{given:?}");
}

/// Seeds 8238 and 21645 of the simulation: the word that there is no leader comes after the starting Master has asked.
#[test]
fn a_node_that_stands_by_already_goes_on_giving_when_it_is_told_to_stand_by() {
    let mut node = Stage::new(holding(2, 3));
    node.hear(AlarmInput::LinkUp);
    node.hear(AlarmInput::LaneUp);
    let effects = node.is_asked(1, 2, Vec::new());
    let purpose = reads(&effects)[0].0;
    assert_eq!(frames(&node.hear(AlarmInput::StandBy)), []);
    let given = frames(&node.hear(AlarmInput::Read { purpose, origin: epoch(2), entries: Ok(log(2, 1..=3)) }));
    assert!(matches!(&given[0], AlarmFrame::Entries { entries, .. } if entries.len() == 3), "{given:?}");
    assert!(matches!(given.last(), Some(AlarmFrame::Digest { sync: 1, .. })), "{given:?}");
}

/// Seed 183073 of the simulation: a Backup with a new disk had the tags, and not yet the alarms, of a Master that is
/// restarted, takes the Backup's data and finds all it had acknowledged unacknowledged.
#[test]
fn a_standby_that_knows_less_takes_no_states_away() {
    for running in [false, true] {
        let mut node = Stage::new(JournalFound::default());
        node.lead(1);
        node.lose_peer(true);
        node.acknowledge(1, "a");
        let held = node.held();
        node.hear(AlarmInput::StandBy);
        node.hear(AlarmInput::Follow(Leader { lineage: lineage(1), applied: 0, running }));
        let sync = 1;
        node.frame(&AlarmFrame::Held { sync, held: Vec::new(), more: false });
        let less = held.iter().map(|(origin, last)| (*origin, last - 1)).collect();
        node.frame(&AlarmFrame::Included { sync, included: less });
        node.frame(&AlarmFrame::Whole { sync });
        node.frame(&AlarmFrame::NothingMissing { sync });
        while node.hear(AlarmInput::Stored(Ok(()))).iter().any(|effect| matches!(effect, AlarmEffect::Store(_))) {}
        let list = node.table.list().hash();
        let told = frames(&node.frame(&AlarmFrame::Digest { sync, list, digest: 1, held: Vec::new() }));
        assert_eq!(node.table.live().count(), usize::from(!running), "the word of one that runs counts");
        assert!(node.table.live().all(|(_, occurrence)| occurrence.acked));
        assert_eq!(told, [AlarmFrame::Compared { sync, equal: !running }]);
    }
}

#[test]
fn a_leader_without_a_follower_in_sync_is_not_ready_for_a_switch() {
    let mut node = Stage::new(JournalFound::default());
    assert!(!node.machine.facts().lagging);
    node.lead(1);
    assert!(node.machine.facts().lagging);
    node.is_asked(1, 1, Vec::new());
    node.is_live(1, 0, Some(0));
    assert!(!node.machine.facts().lagging);
    node.hear(AlarmInput::LaneDown);
    assert!(node.machine.facts().lagging, "whatever the follower has not got it cannot get");
}

/// Whatever lost it: "in sync" speaks of the journal too.
#[test]
fn a_follower_whose_journal_lacks_what_the_leaders_holds_is_not_in_sync_and_asks_anew() {
    let mut node = Stage::new(holding(1, 5));
    node.follow(1);
    let sync = 1;
    node.frame(&held(sync, 1, 5));
    node.frame(&AlarmFrame::Whole { sync });
    node.frame(&AlarmFrame::NothingMissing { sync });
    while node.hear(AlarmInput::Stored(Ok(()))).iter().any(|effect| matches!(effect, AlarmEffect::Store(_))) {}
    let (list, digest) = (node.table.list().hash(), node.table.digest());
    let digest = |last| AlarmFrame::Digest { sync, list, digest, held: vec![(epoch(1), last)] };
    assert_eq!(frames(&node.frame(&digest(5))), [AlarmFrame::Compared { sync, equal: true }]);
    assert!(node.machine.facts().in_sync);
    assert_eq!(frames(&node.frame(&digest(6))), [AlarmFrame::Compared { sync, equal: false }]);
    assert!(!node.machine.facts().in_sync);
    node.now += 10_000;
    let asked = frames(&node.hear(AlarmInput::Tick));
    assert!(
        matches!(&asked[..], [AlarmFrame::Follow { sync: 2, held, .. }] if held[..] == [(epoch(1), 5)]),
        "{asked:?}"
    );
}
