//! The pair's alarms about itself.

use std::fs;

use crate::pair::alarms::{full_name, is_replicated, of_kind, text};
use crate::pair::{A_WHILE, Overlap, Pair};
use crate::{ACTIVE, ACTIVE_ACKED, CLEARED, HIGH, LEVEL, LEVEL_H, NORMAL, PRESSURE, SPARE, plant, spare_h};

const PEER_LOST: &str = "System/Redundancy/PeerLost";
const AUTHORIZATION: &str = "System/Redundancy/AuthorizationMismatch";
const CONFIGURATION: &str = "System/Redundancy/ConfigurationDifferent";

#[test]
fn a_killed_standby_is_an_alarm_until_it_is_back_and_a_stopped_one_is_none() {
    let pair = Pair::builder().project(plant()).start();
    pair.backup.kill9();
    let lost = pair.master.wait_alarm(PEER_LOST, ACTIVE);
    assert_eq!(text(&lost, "priority"), "High", "{lost:#}");
    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    let back = pair.both_show(PEER_LOST, CLEARED);
    assert_eq!(back["eventId"], lost["eventId"]);
    let reply = pair.backup.ack(&back, "the fan was replaced", None);
    assert!(is_replicated(&reply), "{reply:?}");
    for node in [&pair.master, &pair.backup] {
        node.wait_normal(PEER_LOST);
    }
    let journal = pair.same_journal();
    let told: Vec<_> = journal.iter().map(|row| (full_name(row), text(row, "kind"))).collect();
    assert_eq!(told, ["Raised", "Cleared", "Acknowledged"].map(|kind| (PEER_LOST.to_owned(), kind)));

    assert_eq!(pair.backup.terminate().code(), Some(0));
    pair.master.wait_shows("Running", "Disconnected");
    pair.master.stays("no alarm about it", A_WHILE, |_| pair.master.alarms().is_empty());
    assert_eq!(pair.master.journal(), journal, "a clean stop is no trouble");
    pair.verify(Overlap::None);
}

#[test]
fn different_licence_modules_are_an_alarm_that_says_which() {
    let pair = Pair::builder().project(plant()).prepare();
    pair.master.append_config("[license]\nmodules = [\"core\", \"mqtt\"]");
    pair.backup.append_config("[license]\nmodules = [\"core\"]");
    pair.master.start();
    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    let shown = pair.both_show(AUTHORIZATION, ACTIVE);
    assert_eq!(text(&shown, "value"), "only at this node: mqtt");
    assert!(is_replicated(&pair.backup.ack(&shown, "ordered", None)));
    // It never stops a takeover, which does not raise it anew.
    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    pair.master.start();
    pair.wait_ready("Standby", "Running");
    let journal = pair.same_journal();
    assert_eq!(of_kind(&journal, AUTHORIZATION, "Acknowledged").len(), 1, "{journal:#?}");
    pair.verify(Overlap::None);
}

#[test]
fn alarms_that_one_node_alone_has_disturb_no_others() {
    let pair = Pair::builder().project(plant()).prepare();
    let (only_master, only_backup) = (SPARE[6], SPARE[7]);
    for (node, foreign) in [(&pair.master, only_backup), (&pair.backup, only_master)] {
        let file = node.project_dir().join("alarms.csv");
        let alarms = fs::read_to_string(&file).unwrap();
        let kept: Vec<_> = alarms.lines().filter(|line| !line.starts_with(foreign)).collect();
        fs::write(&file, kept.join("\n")).unwrap();
    }
    pair.master.start();
    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    let shown = pair.both_show(CONFIGURATION, ACTIVE);
    assert!(text(&shown, "value").len() > 10, "it says what differs: {shown:#}");

    for tag in [LEVEL, only_master, only_backup] {
        pair.master.write_replicated(tag, HIGH);
    }
    let raised = pair.both_show(LEVEL_H, ACTIVE);
    let (masters, backups) = (spare_h(6), spare_h(7));
    pair.master.wait_alarm(&masters, ACTIVE);
    assert_eq!(pair.backup.alarm_state(&masters), "", "the Backup does not know this alarm");
    assert_eq!(pair.master.alarm_state(&backups), "", "the Master does not know this alarm");
    let journal = pair.same_journal_with(&masters, "Raised", 1);
    assert_eq!(of_kind(&journal, &masters, "Raised").len(), 1, "the journal is the pair's: {journal:#?}");
    assert!(is_replicated(&pair.backup.ack(&raised, "seen", None)));
    pair.both_show(LEVEL_H, ACTIVE_ACKED);

    // The other node judges by its own alarms.
    pair.switch();
    pair.backup.wait_alarm(&backups, ACTIVE);
    pair.backup.write_replicated(LEVEL, NORMAL);
    for node in [&pair.master, &pair.backup] {
        node.wait_normal(LEVEL_H);
    }
    pair.backup.write_replicated(PRESSURE, HIGH);
    pair.both_show(crate::OVERPRESSURE, ACTIVE);
    pair.stays_ready("Standby", "Running");
    let journal = pair.same_journal_with(crate::OVERPRESSURE, "Raised", 1);
    for alarm in [masters.as_str(), &backups, LEVEL_H, CONFIGURATION] {
        assert_eq!(of_kind(&journal, alarm, "Raised").len(), 1, "{alarm}: {journal:#?}");
    }
    pair.verify(Overlap::None);
}
