//! After a split, rule by rule: Ann works at the node that goes on, Bob at the other.

use std::sync::Arc;

use super::stage::*;
use crate::alarms::*;
use crate::types::UnixMillis;

/// Two nodes that were one until now.
pub struct Split {
    pub ours: Node,
    pub theirs: Node,
    /// Entries that both have.
    pub common: usize,
}

impl Split {
    /// Both went through `before`.
    pub fn after(defs: Vec<AlarmDef>, before: impl FnOnce(&mut Node)) -> Self {
        let list = list(defs);
        let mut ours = Node::with(list.clone(), EngineSettings::default(), 1, 1);
        before(&mut ours);
        Self::of(ours)
    }

    pub fn of(mut ours: Node) -> Self {
        let mut theirs = Node::with(ours.table.list().clone(), EngineSettings::default(), 2, 2);
        theirs.time = ours.time;
        theirs.samples.clone_from(&ours.samples);
        let states = ours.table.states().map(|(key, state)| (key, state.clone())).collect();
        theirs.table.replace(states, ours.table.shelves().cloned().collect());
        theirs.begin(None);
        theirs.journal.clone_from(&ours.journal);
        assert_eq!(theirs.journal, ours.journal);
        ours.out.clear();
        Self { common: ours.journal.len(), ours, theirs }
    }

    pub fn until(&mut self, time: i64) {
        self.ours.until(time);
        self.theirs.until(time);
    }

    /// What the other node wrote in the split.
    pub fn their_entries(&self) -> &[Arc<AlarmEntry>] {
        &self.theirs.journal[self.common..]
    }

    /// Our node takes the other's entries; gives what it wrote. Doing it again changes nothing, and a follower that is
    /// told the changes is equal.
    pub fn heal(&mut self) -> Vec<Arc<AlarmEntry>> {
        let mut follower = AlarmTable::new(self.ours.table.list().clone());
        let states = self.ours.table.states().map(|(key, state)| (key, state.clone())).collect();
        follower.replace(states, self.ours.table.shelves().cloned().collect());
        let before = self.ours.journal.len();
        self.absorb();
        follow(&mut follower, self.ours.now().mono, &self.ours);
        assert_eq!(follower.digest(), self.ours.table.digest());
        check_derived(&self.ours.table);
        let (digest, version, pen) = (self.ours.table.digest(), self.ours.table.version(), self.ours.pen.clone());
        self.absorb();
        assert_eq!(self.ours.out, [], "the second time changes nothing");
        assert_eq!((self.ours.table.digest(), self.ours.table.version()), (digest, version));
        assert_eq!(self.ours.pen, pen);
        self.ours.journal[before..].to_vec()
    }

    fn absorb(&mut self) {
        let mut absorption = Absorption::new();
        self.their_entries().iter().for_each(|entry| absorption.add(entry));
        let samples = self.ours.samples.clone();
        self.ours.work(|engine, table, pen, now, out| {
            absorption.finish(engine, table, &mut |tag| samples.get(&tag).cloned(), pen, now, out);
        });
    }
}

fn bob(node: &mut Node, action: AlarmAction) {
    let who = Who { operator: Arc::from("Bob"), node: node.pen.node };
    let request = AlarmRequest { action, who, operation: None };
    let result = node.work(|engine, table, pen, now, out| engine.operate(table, &request, pen, now, out));
    assert_eq!(result, AlarmResult::Good);
}

fn bob_acks(node: &mut Node, comment: &str) {
    let event = node.event(0);
    bob(node, AlarmAction::Acknowledge { event, comment: comment.into() });
}

fn one() -> Vec<AlarmDef> {
    vec![alarm(0, high(100.0, 0.0))]
}

fn active() -> Split {
    Split::after(one(), |node| node.value_at(10, 110.0))
}

#[test]
fn an_acknowledgement_of_the_same_occurrence_counts_here_too() {
    let mut split = active();
    split.until(50);
    bob_acks(&mut split.theirs, "seen");
    assert_eq!(split.heal(), [], "its entry is in the other log");
    assert_eq!(split.ours.shown(0), "Active,Acked");
    let live = split.ours.live(0).unwrap();
    assert_eq!((&*live.operator, &*live.comment, live.ack_time), ("Bob", "seen", Some(UnixMillis(50))));
}

#[test]
fn an_occurrence_that_cleared_here_and_was_acknowledged_there_is_over() {
    let mut split = active();
    split.ours.value_at(20, 90.0);
    bob_acks(&mut split.theirs, "");
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Normal");
}

#[test]
fn an_acknowledgement_counts_also_when_the_other_node_went_on_to_later_occurrences() {
    let mut split = active();
    let theirs = &mut split.theirs;
    bob_acks(theirs, "the first one");
    for time in [20, 40, 60] {
        theirs.value_at(time, 90.0);
        theirs.value_at(time + 10, 110.0);
    }
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Active,Acked");
    assert_eq!(&*split.ours.live(0).unwrap().comment, "the first one");
    split.ours.value_at(100, 90.0);
    split.ours.value_at(110, 110.0);
    assert_eq!(split.ours.journal.last().unwrap().number, 5, "no number is used twice");
}

#[test]
fn clearing_at_the_other_node_does_not_count() {
    let mut split = active();
    split.theirs.value_at(20, 90.0);
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Active,Unacked");
}

#[test]
fn the_same_occurrence_raised_on_both_sides_has_one_id() {
    let mut split = Split::after(one(), |_| {});
    for node in [&mut split.ours, &mut split.theirs] {
        node.value_at(20, 110.0);
    }
    assert_eq!(split.ours.event(0), split.theirs.event(0));
    bob_acks(&mut split.theirs, "");
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Active,Acked");
}

#[test]
fn of_two_occurrences_ours_is_shown_and_the_acknowledgement_of_the_other_carries_over() {
    let mut split = Split::after(one(), |_| {});
    split.ours.value_at(20, 110.0);
    split.theirs.value_at(23, 110.0);
    split.until(30);
    bob_acks(&mut split.theirs, "on my way");
    split.until(99);
    let event = split.ours.event(0);
    let written = split.heal();
    assert_eq!((split.ours.shown(0), split.ours.event(0)), ("Active,Acked", event));
    let [entry] = &written[..] else { panic!("{written:?}") };
    assert_eq!((entry.kind, entry.event, entry.number), (EntryKind::Acknowledged, event, 1));
    assert_eq!((&*entry.operator, &*entry.comment), ("Bob", "carried over from the other node: on my way"));
    assert_eq!((entry.origin, entry.node), (split.ours.pen.origin, split.theirs.pen.node));
}

#[test]
fn a_long_comment_is_carried_over_as_far_as_it_fits() {
    let mut split = Split::after(one(), |_| {});
    split.ours.value_at(20, 110.0);
    split.theirs.value_at(23, 110.0);
    bob_acks(&mut split.theirs, &"é".repeat(MAX_COMMENT_BYTES / 2));
    let comment = split.heal()[0].comment.clone();
    assert!(comment.len() <= MAX_COMMENT_BYTES && comment.len() > MAX_COMMENT_BYTES - 2 && comment.ends_with('é'));
}

#[test]
fn an_acknowledgement_does_not_carry_over_to_a_later_occurrence() {
    // The common one is acknowledged there, and over; here another one began since.
    let mut split = active();
    bob_acks(&mut split.theirs, "");
    split.theirs.value_at(20, 90.0);
    split.ours.value_at(30, 90.0);
    split.ours.value_at(40, 110.0);
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Active,Unacked");

    // One that was raised and over there before ours began.
    let mut split = Split::after(one(), |_| {});
    split.theirs.value_at(20, 110.0);
    bob_acks(&mut split.theirs, "");
    split.theirs.value_at(30, 90.0);
    split.ours.value_at(40, 110.0);
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Active,Unacked");

    // And not back to one that was over before Bob saw anything.
    let mut split = Split::after(one(), |_| {});
    split.ours.value_at(20, 110.0);
    split.ours.value_at(30, 90.0);
    split.theirs.value_at(40, 110.0);
    bob_acks(&mut split.theirs, "");
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Cleared,Unacked");
}

#[test]
fn what_waits_only_there_is_taken_over_and_judged_here() {
    let mut split = Split::after(one(), |node| node.value_at(5, 90.0));
    split.theirs.value_at(20, 110.0);
    let event = split.theirs.event(0);
    split.until(50);
    let written = split.heal();
    assert_eq!((split.ours.shown(0), split.ours.event(0)), ("Cleared,Unacked", event), "90 here");
    assert_eq!(split.ours.live(0).unwrap().epoch, split.theirs.pen.origin);
    let [entry] = &written[..] else { panic!("{written:?}") };
    assert_eq!((entry.kind, entry.event, entry.number, entry.time), (EntryKind::Cleared, event, 1, UnixMillis(5)));
    assert_eq!(split.ours.ack(event, ""), AlarmResult::Good, "an operator who saw it there can acknowledge it here");
    assert_eq!(split.heal(), [], "and it does not come back");
    assert_eq!(split.ours.shown(0), "Normal");
}

#[test]
fn what_is_over_there_is_not_taken_over() {
    let mut split = Split::after(one(), |_| {});
    split.theirs.value_at(20, 110.0);
    bob_acks(&mut split.theirs, "");
    split.theirs.value_at(30, 90.0);
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Normal");
    split.ours.value_at(40, 110.0);
    assert_eq!(split.ours.journal.last().unwrap().number, 2);
}

#[test]
fn what_was_acknowledged_and_over_here_does_not_come_back() {
    // The common occurrence still waits there.
    let mut split = active();
    split.ours.ack(split.ours.event(0), "");
    split.ours.value_at(20, 90.0);
    split.theirs.value_at(30, 90.0);
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Normal");

    // One that both raised with the same id.
    let mut split = Split::after(one(), |_| {});
    split.ours.value_at(20, 110.0);
    split.theirs.value_at(20, 110.0);
    split.ours.ack(split.ours.event(0), "");
    split.ours.value_at(30, 90.0);
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Normal");
}

/// Seed 1784 of the simulation: it was cleared a second time in the journal.
#[test]
fn one_that_both_raised_does_not_come_back_when_another_took_its_place_here_by_a_clock_that_is_behind() {
    let mut split = Split::after(one(), |_| {});
    split.ours.value_at(20, 110.0);
    split.theirs.value_at(20, 110.0);
    split.ours.value_at(30, 90.0);
    split.ours.sample(0, good(110.0, 15));
    split.ours.ack(split.ours.event(0), "");
    split.ours.sample(0, good(90.0, 16));
    assert_eq!(split.ours.shown(0), "Normal");
    assert_eq!(split.heal(), []);
    assert_eq!(split.ours.shown(0), "Normal");
}

#[test]
fn of_several_occurrences_the_last_one_is_taken_over() {
    let mut split = Split::after(one(), |node| node.value_at(5, 110.0));
    split.ours.ack(split.ours.event(0), "");
    split.ours.value_at(10, 90.0);
    for time in [10, 30, 50] {
        split.theirs.value_at(time, 90.0);
        split.theirs.value_at(time + 10, 110.0);
    }
    let event = split.theirs.event(0);
    split.heal();
    assert_eq!((split.ours.event(0), split.ours.state(0).number), (event, 4));
}

#[test]
fn entries_of_two_logs_may_come_in_any_order() {
    let mut split = Split::after(one(), |node| node.value_at(5, 90.0));
    let theirs = &mut split.theirs;
    theirs.value_at(20, 110.0);
    theirs.pen = Pen { origin: crate::types::Epoch { counter: 4, ..theirs.pen.origin }, next: 1, ..theirs.pen };
    theirs.value_at(30, 90.0);
    let event = theirs.event(0);
    theirs.journal.swap(0, 1);
    split.heal();
    let live = split.ours.live(0).unwrap();
    assert_eq!((live.event, live.active, live.clear_time), (event, false, Some(UnixMillis(30))));
}

#[test]
fn a_system_alarm_that_is_taken_over_is_judged_by_what_the_node_said_last() {
    let mut split = Split::after(vec![], |_| {});
    let id = split.ours.table.list().of_system(SystemAlarm::PeerLost).unwrap().0;
    let say = |node: &mut Node, holds| {
        node.work(|engine, table, pen, now, out| engine.system(table, SystemAlarm::PeerLost, holds, pen, now, out));
    };
    say(&mut split.theirs, Some(crate::value::Value::Bool(true)));
    say(&mut split.ours, None);
    split.heal();
    assert_eq!(split.ours.shown(id), "Cleared,Unacked");
}

#[test]
fn a_shelving_of_the_other_node_goes_on_here_for_what_is_left_of_it() {
    let mut split = Split::after(one(), |_| {});
    split.until(1000);
    bob(&mut split.theirs, AlarmAction::Shelve { path: "Plant/*".into(), for_ms: 5000, comment: "test".into() });
    split.until(4000);
    let written = split.heal();
    let [entry] = &written[..] else { panic!("{written:?}") };
    assert_eq!((entry.kind, &*entry.operator, entry.shelved_ms), (EntryKind::Shelved, "Bob", 2000));
    assert_eq!(&*entry.comment, "carried over from the other node: test");
    split.ours.until(5999);
    assert!(split.ours.table.is_shelved(AlarmId(0)));
    split.ours.until(6000);
    assert!(!split.ours.table.is_shelved(AlarmId(0)));
    split.heal();
    assert!(!split.ours.table.is_shelved(AlarmId(0)), "and it does not come back");
}

#[test]
fn a_shelving_that_somebody_ended_here_does_not_come_back() {
    let mut split = Split::after(one(), |_| {});
    bob(&mut split.theirs, AlarmAction::Shelve { path: "Plant/*".into(), for_ms: HOUR, comment: "".into() });
    split.heal();
    assert_eq!(split.ours.unshelve("Plant/*"), AlarmResult::Good);
    assert_eq!(split.heal(), []);
    assert!(!split.ours.table.is_shelved(AlarmId(0)));
}

#[test]
fn a_shelving_that_both_knew_ends_when_it_was_ended_there() {
    let mut split = Split::after(one(), |node| assert_eq!(node.shelve("Plant/*", HOUR), AlarmResult::Good));
    bob(&mut split.theirs, AlarmAction::Unshelve { path: "Plant/*".into(), comment: "done".into() });
    let written = split.heal();
    assert_eq!(
        written.iter().map(|entry| (entry.kind, &*entry.operator)).collect::<Vec<_>>(),
        [(EntryKind::Unshelved, "Bob")]
    );
    assert!(!split.ours.table.is_shelved(AlarmId(0)));
    assert_eq!(split.ours.engine.next_deadline(), None);

    // But not one that somebody began here since.
    let mut split = Split::after(one(), |node| assert_eq!(node.shelve("Plant/*", HOUR), AlarmResult::Good));
    split.ours.shelve("Plant/*", 2 * HOUR);
    bob(&mut split.theirs, AlarmAction::Unshelve { path: "Plant/*".into(), comment: "done".into() });
    assert_eq!(split.heal(), []);
    assert!(split.ours.table.is_shelved(AlarmId(0)));
}
