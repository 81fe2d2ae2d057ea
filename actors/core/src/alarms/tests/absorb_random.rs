//! Two sides do whatever they do; then one takes the other's entries into account.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::absorb::Split;
use super::stage::*;
use crate::alarms::*;

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Value(u32, i64),
    Ack(u32),
    Shelve(u32, u64),
    Unshelve(u32),
}

const TAGS: u32 = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..30i64).prop_map(Step::Wait),
        10 => (0..TAGS, 0..10i64).prop_map(|(tag, value)| Step::Value(tag, value)),
        4 => (0..TAGS).prop_map(Step::Ack),
        1 => (0..TAGS, 1..400u64).prop_map(|(tag, time)| Step::Shelve(tag, time)),
        1 => (0..TAGS).prop_map(Step::Unshelve),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..25)
}

fn defs() -> Vec<AlarmDef> {
    let automatic = AlarmDef { ack_mode: AckMode::Automatic, ..alarm(2, high(5.0, 1.0)) };
    vec![alarm(0, high(5.0, 1.0)), delayed(alarm(1, high(5.0, 1.0)), 15, 15), automatic]
}

fn play(node: &mut Node, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Wait(time) => drop(node.until(node.time + time)),
            Step::Value(tag, value) => node.sample(*tag, good(*value, node.time)),
            Step::Ack(id) => {
                if let Some(event) = node.live(*id).map(|live| live.event) {
                    node.ack(event, "seen");
                }
            }
            Step::Shelve(tag, time) => drop(node.shelve(&format!("Plant/Tag{tag}"), *time)),
            Step::Unshelve(tag) => drop(node.unshelve(&format!("Plant/Tag{tag}"))),
        }
    }
}

/// Of an occurrence in a journal: when it began and, if it did, cleared.
fn span(journal: &[std::sync::Arc<AlarmEntry>], event: EventId) -> (i64, Option<i64>) {
    let of = |kind| journal.iter().find(|entry| entry.event == event && entry.kind == kind);
    let began = journal.iter().find(|entry| entry.event == event).unwrap().active_time.0;
    (began, of(EntryKind::Cleared).map(|entry| entry.time.0))
}

fn acked(journal: &[std::sync::Arc<AlarmEntry>]) -> BTreeSet<EventId> {
    journal.iter().filter(|entry| entry.kind == EntryKind::Acknowledged).map(|entry| entry.event).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_moves(before in steps(), ours in steps(), theirs in steps()) {
        let mut split = Split::after(defs(), |node| play(node, &before));
        play(&mut split.ours, &ours);
        play(&mut split.theirs, &theirs);
        split.until(split.ours.time.max(split.theirs.time));
        let was: Vec<AlarmState> = (0..TAGS).map(|id| split.ours.state(id).clone()).collect();

        // Equal occurrences have equal ids, others have others.
        for one in &split.ours.journal {
            for other in split.their_entries().iter().filter(|entry| !entry.is_shelving() && !one.is_shelving()) {
                let same = |entry: &AlarmEntry| (entry.alarm_key(), entry.number, entry.active_time);
                prop_assert_eq!(one.event == other.event, same(one) == same(other));
            }
        }

        let acked_here = acked(&split.ours.journal);
        let written = split.heal();
        let acked_there = acked(&split.theirs.journal);
        for id in 0..TAGS {
            let (was, is, there) = (&was[id as usize], split.ours.state(id), split.theirs.state(id));
            prop_assert!(is.number >= was.number && is.number >= there.number);
            // No acknowledgement is lost: what one of them acknowledged waits for nobody any more.
            if let Some(live) = is.live.as_ref().filter(|live| !live.acked) {
                prop_assert!(!acked_there.contains(&live.event) && !acked_here.contains(&live.event));
            }
            // Ours stays, unless it is over by that.
            if let Some(own) = &was.live {
                let over = !own.active && acked_there.contains(&own.event);
                let carried = written.iter().any(|entry| entry.event == own.event && entry.kind == EntryKind::Acknowledged);
                prop_assert!(over || carried || is.live.as_ref().is_some_and(|live| live.event == own.event));
            }
            // What waits there for somebody is shown here, or was dealt with here.
            if let Some(live) = there.live.as_ref().filter(|live| !live.acked && was.live.is_none()) {
                let dealt_with = acked_here.contains(&live.event)
                    || split.ours.journal.iter().any(|entry| entry.event == live.event && entry.acked)
                    || was.number > there.number;
                prop_assert!(dealt_with || is.live.as_ref().is_some_and(|own| own.event == live.event));
            }
        }
        // An acknowledgement moves only to what stood here at the same time as the acknowledged one stood there.
        for entry in written.iter().filter(|entry| entry.kind == EntryKind::Acknowledged) {
            let alike = acked_there.iter().filter(|event| {
                let of = split.theirs.journal.iter().find(|other| other.event == **event).unwrap();
                let (began, ended) = span(&split.theirs.journal, **event);
                let (own_began, own_ended) = span(&split.ours.journal, entry.event);
                of.alarm_key() == entry.alarm_key()
                    && of.number >= entry.number
                    && ended.is_none_or(|ended| ended > own_began)
                    && own_ended.is_none_or(|ended| ended > began)
            });
            prop_assert_eq!(alike.count().min(1), 1);
        }
        // And all works on.
        split.ours.until(split.ours.time + 500);
        prop_assert!(split.ours.table.shelves().next().is_none());
    }
}
