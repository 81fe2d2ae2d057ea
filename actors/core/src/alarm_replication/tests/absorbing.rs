use std::sync::Arc;

use super::stage::{Stage, entries, epoch, lineage, reads};
use crate::alarm_replication::AlarmInput;
use crate::alarms::{AlarmEntry, EntryKind, JournalFound, PortableState, Positions};
use crate::types::Millis;

/// A node that was restarted with what this one knows.
fn restarted(node: &Stage, found: JournalFound, change: impl Fn(&mut PortableState)) -> Stage {
    let states = node.table.states().map(|(key, state)| {
        let mut state = state.to_portable(Millis(node.now));
        change(&mut state);
        (key, state)
    });
    Stage::new(JournalFound { states: states.collect(), ..found })
}

#[test]
fn an_occurrence_that_is_over_does_not_come_back_after_a_restart() {
    let mut node = Stage::new(JournalFound::default());
    node.lead(1);
    let raised = entries(&node.lose_peer(true)).remove(0);
    node.acknowledge(1, "one");
    node.lose_peer(false);
    assert_eq!(node.table.live().count(), 0);
    let found = JournalFound {
        held: Positions::from([(epoch(1), 3), (epoch(2), 1)]),
        included: Positions::from([(epoch(1), 3)]),
        ..JournalFound::default()
    };
    let mut node = restarted(&node, found, |_| {});
    let effects = node.hear(AlarmInput::Lead(lineage(3)));
    // The other node saw the same occurrence, and nobody acknowledged it there.
    let there = Arc::new(AlarmEntry { origin: epoch(2), position: 1, ..(*raised).clone() });
    let (purpose, from) = reads(&effects)[0];
    assert_eq!(from, 1);
    node.hear(AlarmInput::Read { purpose, origin: epoch(2), entries: Ok(vec![there]) });
    assert_eq!(node.machine.included().get(&epoch(2)), Some(&1));
    assert_eq!(node.table.live().count(), 0);
}

#[test]
fn an_occurrence_keeps_its_number_however_far_the_other_node_counted() {
    let mut node = Stage::new(JournalFound::default());
    node.lead(1);
    node.lose_peer(true);
    let mut node = restarted(&node, JournalFound::default(), |state| state.number += 1000);
    node.lead(3);
    let cleared = entries(&node.lose_peer(false)).remove(0);
    assert_eq!((cleared.kind, cleared.number), (EntryKind::Cleared, 1));
    node.hear(AlarmInput::Stored(Ok(())));
    let raised = entries(&node.lose_peer(true)).remove(0);
    assert_eq!((raised.kind, raised.number), (EntryKind::Raised, 1002));
}
