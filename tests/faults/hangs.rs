//! A node that is stalled and still answers pings: its disk hangs. No call fails, none returns.

use std::time::Instant;

use serde_json::{Value, json};

use crate::between::Between;
use crate::pair::alarms::text;
use crate::pair::node::same;
use crate::pair::project::{COUNTERS, FLEETING, SETPOINT};
use crate::pair::{Node, Overlap, Pair, Reply, Status, TIMEOUT};

#[test]
fn a_running_node_whose_disk_hangs_answers_its_clients_and_hands_over() {
    let (between, pair) = on_disks_that_can_hang();
    pair.master.write_replicated(SETPOINT, 2.0);
    between.hang_disk("master");
    let reply = write_patiently(&pair.master, 3.0);
    assert!(answers_honestly(&reply), "{reply:?}");
    let reason = pair.backup.wait("it was handed Running", TIMEOUT, Status::is_running).node.reason;
    assert!(reason.contains("does not answer"), "{reason}");
    pair.master.wait_shows("Standby", "Running");
    // The old node's disk is no matter for who writes now.
    for node in [&pair.backup, &pair.master] {
        let reply = node.write(SETPOINT, 4.0, None);
        assert!(reply.all_written() && !reply.replicated(), "{}: {reply:?}", node.name);
    }
    between.release_disk("master");
    pair.wait_ready("Standby", "Running");
    assert_eq!(pair.same_values()[SETPOINT].0, 4.0);
    pair.verify(Overlap::AtMostMs(100));
}

#[test]
fn a_node_that_runs_alone_goes_on_while_its_disk_hangs_and_stores_when_it_goes_on() {
    let (between, pair) = on_disks_that_can_hang();
    pair.backup.kill9();
    pair.master.wait_shows("Running", "Faulted");
    between.hang_disk("master");
    let reply = write_patiently(&pair.master, 3.0);
    assert_eq!((reply.status, reply.error_code().as_str()), (507, "disk"), "{reply:?}");
    assert!(pair.master.write(FLEETING, 3.0, None).all_written(), "what lives in memory goes on");
    assert!(pair.master.status().is_running());

    between.release_disk("master");
    pair.master.wait_log("the disk works again");
    let end = Instant::now() + TIMEOUT;
    while !pair.master.write(COUNTERS[0], 5, None).all_written() {
        assert!(Instant::now() < end, "what must last is not taken again");
    }
    pair.master.kill9();
    pair.master.start();
    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    let values = pair.same_values();
    assert_eq!((&values[SETPOINT].0, &values[COUNTERS[0]].0), (&3.0.into(), &5.into()), "both are on the disk");
    pair.verify(Overlap::None);
}

#[test]
fn a_standby_whose_disk_hangs_makes_the_pair_not_ready_and_takes_over_all_the_same() {
    let (between, pair) = on_disks_that_can_hang();
    pair.master.write_replicated(COUNTERS[1], 2);
    between.hang_disk("backup");
    let reply = write_patiently(&pair.master, 3.0);
    assert!(reply.all_written() && !reply.replicated(), "it is not on the Standby's disk: {reply:?}");
    assert!(!pair.master.status().failover_ready);

    pair.master.kill9();
    pair.backup.wait("it takes over under the epoch that it reserved", TIMEOUT, Status::is_running);
    assert!(same(&pair.backup.value(COUNTERS[1]), &2.into()));
    assert!(pair.backup.write(FLEETING, 4.0, None).all_written());
    between.release_disk("backup");
    pair.master.start();
    pair.wait_ready("Standby", "Running");
    let values = pair.same_values();
    assert_eq!((&values[SETPOINT].0, &values[FLEETING].0), (&3.0.into(), &4.0.into()));
    pair.verify(Overlap::None);
}

#[test]
fn an_acknowledgement_at_a_node_whose_disk_hangs_is_answered_and_made_once() {
    let (between, pair) = on_disks_that_can_hang();
    pair.master.write_replicated(COUNTERS[0], 200);
    let alarm = format!("{}/H", COUNTERS[0]);
    let raised = pair.both_show(&alarm, "Active,Unacked");
    between.hang_disk("master");
    let body = json!({"comment": "seen", "operationId": "ack-1"});
    let reply = post_patiently(&pair.master, &format!("/api/v1/alarms/{}/ack", text(&raised, "eventId")), &body);
    assert!(answers_honestly(&reply), "{reply:?}");
    pair.backup.wait("it was handed Running", TIMEOUT, Status::is_running);
    let again = pair.backup.ack(&raised, "seen", Some("ack-1"));
    assert_eq!((again.status, again.json()["result"].as_str()), (200, Some("Good")), "{again:?}");
    between.release_disk("master");
    pair.wait_ready("Standby", "Running");
    let journal = pair.same_journal_with(&alarm, "Acknowledged", 1);
    let made = journal.iter().filter(|row| row["eventId"] == raised["eventId"] && text(row, "kind") == "Acknowledged");
    assert_eq!(made.count(), 1, "{journal:#?}");
    pair.verify(Overlap::AtMostMs(100));
}

/// A retained tag.
#[track_caller]
fn write_patiently(node: &Node, value: f64) -> Reply {
    post_patiently(node, "/api/v1/tagValues", &json!([{"key": SETPOINT, "value": value}]))
}

/// A node takes five seconds to give up its disk.
#[track_caller]
fn post_patiently(node: &Node, path: &str, body: &Value) -> Reply {
    node.client(TIMEOUT).post(path, &[], body)
}

/// Done, or a reason to ask again: never nothing.
fn answers_honestly(reply: &Reply) -> bool {
    [200, 503, 504, 507].contains(&reply.status)
}

fn on_disks_that_can_hang() -> (Between, Pair) {
    let between = Between::new();
    let alarms = format!("tag,kind,limit,priority,ack_mode\n{},H,100,Medium,Manual\n", COUNTERS[0]);
    let pair = Pair::builder().recovery("manual").alarms(&alarms).prepare();
    let start = |node: &Node| {
        between.stands_between(node);
        node.start();
    };
    start(&pair.master);
    start(&pair.backup);
    pair.wait_ready("Running", "Standby");
    (between, pair)
}
