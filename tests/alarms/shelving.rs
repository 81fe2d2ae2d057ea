//! Shelving belongs to the pair: it outlives switches and kills.

use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pair::alarms::{full_name, is_good, is_replicated, of_the_plant, text};
use crate::pair::http::rows;
use crate::pair::{A_WHILE, Node, Overlap, Pair, Status, TIMEOUT};
use crate::{ACTIVE, HIGH, LEVEL, LEVEL_H, PRESSURE, plant};

const TANK: &str = "Plant/Tank/*";

#[test]
fn a_shelving_stays_in_force_with_what_is_left_of_it_whoever_runs() {
    let pair = Pair::builder().recovery("manual").project(plant()).start();
    assert_eq!(pair.backup.shelve("Plant/NoSuchTank/*", 30, "").status, 404);
    assert_eq!(pair.backup.shelve(TANK, 0, "").status, 400);
    let reply = pair.backup.shelve(TANK, 30, "is being cleaned");
    assert!(is_replicated(&reply), "{reply:?}");

    let first = pair.master.shelved();
    assert_eq!(first.len(), 1, "{first:#?}");
    assert_eq!((text(&first[0], "path"), text(&first[0], "comment")), (TANK, "is being cleaned"));
    assert!(!text(&first[0], "operator").is_empty());
    let until = time(&first[0], "until");
    assert_eq!(minutes(until - time(&first[0], "since")), 30);
    is_shelved_until(&pair.backup, &first[0], until);

    pair.master.write_replicated(LEVEL, HIGH);
    let raised = pair.both_show(LEVEL_H, ACTIVE);
    assert_eq!(raised["shelved"], true, "{raised:#}");
    // Long enough for a shelving that begins anew at a takeover to be seen.
    for node in [&pair.master, &pair.backup] {
        node.stays("a shelved alarm is not to be seen", A_WHILE, |_| listed(node) == 0);
        assert!((node.metric("hotpair_alarms") - 1.0).abs() < 0.5, "it is counted as shelved only");
    }

    pair.switch();
    is_shelved_until(&pair.backup, &first[0], until);
    is_shelved_until(&pair.master, &first[0], until);

    pair.backup.kill9();
    pair.master.wait("it takes over", TIMEOUT, Status::is_running);
    is_shelved_until(&pair.master, &first[0], until);
    assert_eq!(listed(&pair.master), 0, "a failover has taken an alarm from the shelf");

    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    is_shelved_until(&pair.backup, &first[0], until);
    let reply = pair.backup.unshelve(TANK, "clean");
    assert!(is_replicated(&reply), "{reply:?}");
    assert_eq!(pair.both_show(LEVEL_H, ACTIVE)["shelved"], false);
    for node in [&pair.master, &pair.backup] {
        assert_eq!(node.shelved(), Vec::<Value>::new(), "{}", node.name);
        assert_eq!(listed(node), 1, "{}", node.name);
        let again = node.unshelve(TANK, "clean");
        assert_eq!((again.status, again.error_code().as_str()), (409, "not_shelved"), "{again:?}");
    }

    let journal = pair.same_journal();
    let told: Vec<_> = journal
        .iter()
        .filter(|row| text(row, "path") == TANK)
        .map(|row| (text(row, "status"), text(row, "ackNotes"), row["shelvedMinutes"].as_f64(), &row["eventId"]))
        .collect();
    let event = &first[0]["eventId"];
    assert_eq!(told, [("Shelved", "is being cleaned", Some(30.0), event), ("Unshelved", "clean", None, event)]);
    pair.verify(Overlap::None);
}

#[test]
fn shelving_one_alarm_leaves_the_others_of_its_tag_and_a_new_time_replaces_the_old_one() {
    let pair = Pair::builder().project(plant()).start();
    assert!(is_good(&pair.master.shelve(LEVEL_H, 30, "")));
    assert!(is_good(&pair.backup.shelve(LEVEL_H, 60, "takes longer")));
    pair.master.write_replicated(LEVEL, HIGH);
    pair.master.write_replicated(PRESSURE, HIGH);
    pair.both_show(LEVEL_H, ACTIVE);
    for node in [&pair.master, &pair.backup] {
        let shelved = node.shelved();
        assert_eq!(shelved.len(), 1, "{shelved:#?}");
        assert_eq!(minutes(time(&shelved[0], "until") - time(&shelved[0], "since")), 60);
        let visible = rows(&node.http.get_json("/api/v1/alarms"));
        let visible: Vec<_> = visible.iter().map(full_name).collect();
        assert_eq!(visible, [crate::OVERPRESSURE], "{}", node.name);
    }
    pair.same_journal();
    pair.verify(Overlap::None);
}

/// How many alarms of the plant are in the list that operators see.
#[track_caller]
fn listed(node: &Node) -> usize {
    of_the_plant(rows(&node.http.get_json("/api/v1/alarms"))).len()
}

/// The same shelving, which ends when it ended before; each node counts by its own clock.
#[track_caller]
fn is_shelved_until(node: &Node, first: &Value, until: OffsetDateTime) {
    let shelved = node.shelved();
    assert_eq!(shelved.len(), 1, "{}: {shelved:#?}", node.name);
    for field in ["eventId", "path", "since", "operator", "comment"] {
        assert_eq!(shelved[0][field], first[field], "{}: {field}", node.name);
    }
    let off = (time(&shelved[0], "until") - until).unsigned_abs();
    assert!(off < Duration::from_millis(1500), "{}: it ends {off:?} off {until}: {shelved:#?}", node.name);
}

#[track_caller]
fn time(row: &Value, field: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text(row, field), &Rfc3339).unwrap_or_else(|problem| panic!("{field}, {problem}: {row:#}"))
}

fn minutes(span: time::Duration) -> i64 {
    (span.as_seconds_f64() / 60.0).round() as i64
}
