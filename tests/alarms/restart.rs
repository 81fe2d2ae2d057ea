//! Both nodes are off for a while: what was known of alarms is known again.

use serde_json::Value;

use crate::pair::alarms::{full_name, is_replicated, of_the_plant, text};
use crate::pair::{Overlap, Pair};
use crate::{ACTIVE, ACTIVE_ACKED, CLEARED, HIGH, LEVEL, LEVEL_H, NORMAL, SPARE, plant, spare_h};

#[test]
fn after_a_clean_stop_of_both_nodes_alarms_shelvings_and_journal_are_as_before() {
    both_nodes_are_off("clean stop");
}

#[test]
fn after_a_power_cut_of_both_nodes_alarms_shelvings_and_journal_are_as_before() {
    both_nodes_are_off("power cut");
}

fn both_nodes_are_off(how: &str) {
    let pair = Pair::builder().recovery("manual").project(plant()).start();
    for tag in [LEVEL, SPARE[0], SPARE[1], SPARE[2]] {
        pair.master.write_replicated(tag, HIGH);
    }
    let acked = pair.both_show(&spare_h(1), ACTIVE);
    assert!(is_replicated(&pair.backup.ack(&acked, "seen", None)));
    pair.master.write_replicated(SPARE[2], NORMAL);
    assert!(is_replicated(&pair.backup.shelve(SPARE[0], 30, "is being cleaned")));
    let states = [(LEVEL_H, ACTIVE), (&spare_h(0), ACTIVE), (&spare_h(1), ACTIVE_ACKED), (&spare_h(2), CLEARED)];
    for (alarm, state) in states {
        pair.both_show(alarm, state);
    }
    let before = known(&pair);
    assert_eq!((before.alarms.len(), before.journal.len(), before.shelvings.len()), (4, 7, 1), "{:#?}", before.journal);

    if how == "power cut" {
        pair.power_cut();
    } else {
        pair.backup.sigterm();
        pair.master.sigterm();
        for node in [&pair.master, &pair.backup] {
            assert_eq!(node.wait_ended().code(), Some(0), "{}", node.name);
        }
    }
    pair.master.spawn();
    pair.backup.spawn();
    pair.wait_ready("Running", "Standby");

    // The conditions hold still: they were judged anew when the Master became Running.
    let after = known(&pair);
    assert_eq!(after.alarms, before.alarms);
    assert_eq!(after.shelvings, before.shelvings);
    assert_eq!(after.journal, before.journal);

    // And they are judged: what is over clears, what comes raises.
    pair.master.write_replicated(LEVEL, NORMAL);
    pair.both_show(LEVEL_H, CLEARED);
    pair.master.write_replicated(SPARE[3], HIGH);
    pair.both_show(&spare_h(3), ACTIVE);
    let journal = of_the_plant(pair.same_journal_with(&spare_h(3), "Raised", 1));
    let new: Vec<_> =
        journal[before.journal.len()..].iter().map(|row| (full_name(row), text(row, "kind").to_owned())).collect();
    assert_eq!(new, [(LEVEL_H.to_owned(), "Cleared".to_owned()), (spare_h(3), "Raised".to_owned())]);
    pair.verify(Overlap::None);
}

/// What both nodes know of the plant's alarms.
struct Known {
    alarms: Vec<Value>,
    journal: Vec<Value>,
    /// Without what counts on.
    shelvings: Vec<[Value; 5]>,
}

#[track_caller]
fn known(pair: &Pair) -> Known {
    let shelvings = |node: &crate::pair::Node| -> Vec<[Value; 5]> {
        let of = |row: &Value| ["eventId", "path", "since", "operator", "comment"].map(|field| row[field].clone());
        node.shelved().iter().map(of).collect()
    };
    let alarms = of_the_plant(pair.same_alarms());
    assert_eq!(shelvings(&pair.master), shelvings(&pair.backup));
    Known { alarms, journal: of_the_plant(pair.same_journal()), shelvings: shelvings(&pair.master) }
}
