//! Parts of the real program that fail while it works: actors, threads of the disk, sources. Needs the feature
//! `fault-injection`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::time::{Duration, Instant};

use hotpair::actors::injure::{Injure, NotInjured, WITH_A_MACHINE};
use hotpair::core::catalog::TagDef;
use hotpair::core::types::Mode;
use hotpair::core::value::{Value as TagValue, ValueType};
use hotpair::node::{TagUpdate, WriteBatch};
use pair::{Node, Overlap, Pair, Reply, Status, TIMEOUT};
use serde_json::{Value, json};

const ACTORS: [&str; 7] =
    ["Supervisor", "PeerLink", "Heartbeat", "StateArbiter", "TagReplicator", "AlarmReplicator", "LicenseChecker"];
/// Retained.
const TAG: &str = pair::project::SETPOINT;

fn try_injure(node: &Node, part: &str, how: &str, ms: Option<u64>) -> Reply {
    node.http.post(&format!("/api/v1/test/actors/{part}/{how}"), &[], &json!({ "ms": ms }))
}

#[track_caller]
fn injure(node: &Node, part: &str, how: &str, ms: Option<u64>) {
    let reply = try_injure(node, part, how, ms);
    assert_eq!(reply.status, 202, "{part} {how}: {reply:?}");
}

fn restarts(node: &Node, part: &str, cause: &str) -> u64 {
    node.metric(&format!("hotpair_actor_restarts_total{{actor=\"{part}\",cause=\"{cause}\"}}")) as u64
}

#[track_caller]
fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn who_can_fail_is_told() {
    let pair = Pair::builder().replay("idv1.csv", 1.0);
    let single = pair.start_independent();
    let node = &single.node;
    let parts = node.http.get_json("/api/v1/test/actors");
    let mut expected: Vec<_> = ACTORS.into_iter().chain(["Disk", "Journal"]).map(str::to_owned).collect();
    let source = parts.as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    assert!(source.starts_with("Source/"), "{parts}");
    expected.push(source);
    assert_eq!(parts, json!(expected));

    let reply = try_injure(node, "heartbeat", "panic", None);
    assert_eq!((reply.status, reply.error_code()), (404, "unknown_part".to_owned()));
    assert!(expected.iter().all(|part| reply.error_message().contains(part)), "{reply:?}");
    let reply = try_injure(node, "Heartbeat", "explode", None);
    assert_eq!((reply.status, reply.error_code()), (400, "bad_request".to_owned()));
    assert!(reply.error_message().contains("known: panic, tear, stop, hang, stuck, flood"), "{reply:?}");
    let reply = try_injure(node, "Disk", "panic", None);
    assert_eq!((reply.status, reply.error_code()), (409, "cannot_fail_so".to_owned()));
    assert!(reply.error_message().contains("a thread of a disk can only hang"), "{reply:?}");
}

/// Both nodes, each actor, one after the other; a client writes all the time.
#[test]
fn actors_that_panic_and_stop_are_replaced_and_nobody_notices() {
    let pair = Pair::builder().start();
    let events = [pair.master.events().len(), pair.backup.events().len()];
    let mut value = 0.0;
    for actor in ACTORS {
        for node in [&pair.master, &pair.backup] {
            for (how, cause) in [("panic", "panic"), ("stop", "stop"), ("flood", "none")] {
                injure(node, actor, how, None);
                value += 1.0;
                let reply = node.write(TAG, value, None);
                assert!(reply.all_written(), "{actor} {how} at the {}: {reply:?}", node.name);
                if cause != "none" {
                    until("it was replaced", || restarts(node, actor, cause) == 1);
                }
            }
        }
        // The bulk connection, if it was hit, is there again before the next one fails.
        pair.wait_ready("Running", "Standby");
    }
    assert_eq!([pair.master.events().len(), pair.backup.events().len()], events);
    for node in [&pair.master, &pair.backup] {
        let shown = node.http.get_json("/api/v1/redundancy/actors");
        for actor in shown.as_array().unwrap() {
            assert_eq!((&actor["state"], &actor["restarts"]), (&json!("Running"), &json!(2)), "{actor}");
        }
        assert!(pair::node::same(&node.value(TAG), &value.into()));
    }
    pair.verify(Overlap::None);
}

/// The Running node ends itself with clear last words; the other one has taken over, and what was acknowledged is there.
#[test]
fn an_essential_actor_that_hangs_ends_the_process_and_the_other_node_runs() {
    for (actor, how) in [
        ("Supervisor", "hang"),
        ("PeerLink", "stuck"),
        ("Heartbeat", "hang"),
        ("StateArbiter", "hang"),
        ("TagReplicator", "hang"),
        ("AlarmReplicator", "stuck"),
    ] {
        let pair = Pair::builder().start();
        pair.master.write_replicated(TAG, 5.0);
        injure(&pair.master, actor, how, None);
        let ended = pair.master.wait_ended();
        assert_eq!(ended.code(), Some(1), "{actor}: {ended}");
        let log = pair.master.log();
        // Another thread's line may come behind it.
        let words = log.lines().rfind(|line| line.contains("the node ends itself")).unwrap_or_default();
        let hang = words.contains(" hang");
        assert!(hang && (words.contains(actor) || how == "hang"), "{actor}: {words}");
        pair.backup.wait("it runs", TIMEOUT, Status::is_running);
        assert!(pair::node::same(&pair.backup.value(TAG), &5.0.into()), "{actor}");
        // As the service manager does.
        pair.master.start();
        pair.wait_ready("Standby", "Running");
    }
}

/// A mistake in hotpair itself, found in the middle of a change of its state.
#[test]
fn a_node_whose_state_is_torn_ends_itself_and_the_other_node_runs() {
    for actor in WITH_A_MACHINE {
        let pair = Pair::builder().start();
        pair.master.write_replicated(TAG, 5.0);
        // The process may be gone before it has answered.
        let _ = pair.master.http.try_post(&format!("/api/v1/test/actors/{actor}/tear"), &[], &json!({}));
        let ended = pair.master.wait_ended();
        assert_eq!(ended.code(), Some(1), "{actor}: {ended}");
        let words = format!("the node ends itself: the actor {actor} panicked in the middle of a step");
        assert!(pair.master.log().contains(&words), "{}", pair.master.log());
        pair.backup.wait("it runs", TIMEOUT, Status::is_running);
        assert!(pair::node::same(&pair.backup.value(TAG), &5.0.into()), "{actor}");
        pair.master.start();
        pair.wait_ready("Standby", "Running");
    }
    let pair = Pair::builder().start();
    let reply = try_injure(&pair.master, "PeerLink", "tear", None);
    assert_eq!((reply.status, reply.error_code()), (409, "cannot_fail_so".to_owned()), "{reply:?}");
}

#[test]
fn a_licence_checker_that_hangs_is_replaced() {
    let pair = Pair::builder().start();
    let events = [pair.master.events().len(), pair.backup.events().len()];
    injure(&pair.master, "LicenseChecker", "hang", None);
    until("it was replaced", || restarts(&pair.master, "LicenseChecker", "hang") == 1);
    pair.master.write_replicated(TAG, 6.0);
    assert_eq!([pair.master.events().len(), pair.backup.events().len()], events);
}

#[test]
fn an_actor_that_keeps_failing_makes_the_node_faulted_until_it_is_cleared() {
    let pair = Pair::builder().start();
    for n in 1..=6 {
        injure(&pair.master, "LicenseChecker", "panic", None);
        until("it ended", || restarts(&pair.master, "LicenseChecker", "panic") == n);
    }
    pair.backup.wait_shows("Running", "Faulted");
    let status = pair.master.wait_shows("Faulted", "Running");
    assert!(status.node.reason.contains("the actor LicenseChecker keeps failing"), "{status:?}");
    assert_eq!(pair.master.http.post("/api/v1/redundancy/clearFault", &[], &json!({})).status, 200);
    pair.wait_ready("Standby", "Running");
    pair.verify(Overlap::None);
}

/// Neither success nor an error comes from it.
#[test]
fn a_disk_that_hangs_keeps_no_client_and_the_other_node_runs() {
    let pair = Pair::builder().start();
    let patient = pair::Client::at(std::net::Ipv4Addr::LOCALHOST, pair.master.http_port, TIMEOUT);
    injure(&pair.master, "Disk", "hang", Some(60_000));
    let reply = patient.post("/api/v1/tagValues", &[], &json!([{"key": TAG, "value": 7.0}]));
    assert_eq!((reply.status, reply.error_code()), (507, "disk".to_owned()), "{reply:?}");
    assert!(reply.error_message().contains("does not answer"), "{reply:?}");
    pair.backup.wait("it runs", TIMEOUT, Status::is_running);
    let trouble = pair.master.http.get_json("/api/v1/redundancy/status")["disk"].clone();
    assert!(trouble.as_str().is_some_and(|trouble| trouble.contains("does not answer")), "{trouble}");
    // Nor does it keep the process.
    assert_eq!(pair.master.terminate().code(), Some(0));
    pair.backup.wait_shows("Running", "Disconnected");
}

#[test]
fn a_source_that_panics_or_hangs_is_replaced_and_feeds_again() {
    let single = Pair::builder().replay("idv1.csv", 50.0).start_independent();
    let node = &single.node;
    let parts = node.http.get_json("/api/v1/test/actors");
    let source = parts.as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    let updates = || node.metric("hotpair_tag_updates_total");
    let feeds = || {
        let before = updates();
        until("it feeds", || updates() > before);
    };
    feeds();
    injure(node, &source, "panic", None);
    until("it panicked", || restarts(node, &source, "panic") == 1);
    feeds();
    injure(node, &source, "hang", Some(30_000));
    until("it was replaced", || restarts(node, &source, "hang") == 1);
    feeds();
    assert_eq!(restarts(node, &source, "panic"), 1);
    // Two hang at once: the one that was replaced, and its successor. The stop waits for neither.
    injure(node, &source, "hang", Some(30_000));
    assert_eq!(node.terminate().code(), Some(0));
}

/// Requests beyond what fits are answered, the memory stays, and afterwards everything goes on.
#[test]
fn a_full_mailbox_costs_no_more_than_its_size() {
    let pair = Pair::builder().start();
    let before = pair.master.resident_kib();
    injure(&pair.master, "TagReplicator", "flood", Some(1000));
    let waiting = || pair.master.metric("hotpair_mailbox_depth{actor=\"TagReplicator\"}") as u64;
    until("it is full", || waiting() >= 4000);
    let items: Vec<_> = (0..100).map(|_| json!({"key": pair::project::FLEETING, "value": 1.0})).collect();
    let answers: Vec<Reply> = std::thread::scope(|scope| {
        let write = || pair.master.http.clone().post("/api/v1/tagValues", &[], &Value::from(items.clone()));
        let clients: Vec<_> = (0..64).map(|_| scope.spawn(write)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(answers.iter().all(Reply::all_written), "{:?}", answers.iter().find(|reply| !reply.all_written()));
    let grown = pair.master.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
    pair.wait_ready("Running", "Standby");
    until("all was worked through", || waiting() == 0);
    pair.master.write_replicated(TAG, 8.0);
}

/// Threads of nodes in this process: their own, and those that actix gives to actors.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).filter(|n| n.starts_with("hp-") || n.starts_with("actix-rt")).collect()
}

/// As a program that embeds a node does it.
#[tokio::test]
async fn a_program_injures_its_own_node_and_nothing_of_it_is_left_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = hotpair::Config::new(Mode::Independent);
    "Embedded".clone_into(&mut config.node.name);
    config.node.data_dir = folder.path().to_owned();
    config.http.enabled = false;
    let tag = |path: &str| TagDef { writable: true, retain: true, ..TagDef::new(path, ValueType::Int64) };
    let project = hotpair::config::Project::of_tags(vec![tag("Plant/Count")]).unwrap();
    let node = hotpair::Node::start_with(config, project).await.unwrap();
    node.subscribe_status().wait_for(|_| node.is_running()).await.unwrap();
    // It runs before the last of its threads has a name.
    let end = Instant::now() + TIMEOUT;
    while !threads().iter().any(|name| name == "hp-disk") || threads().len() < 8 {
        assert!(Instant::now() < end, "there are: {:?}", threads());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let mut count = 0;
    for part in node.parts() {
        for how in [Injure::Panic, Injure::Stop, Injure::Flood { ms: 50 }, Injure::Hang { ms: 50 }] {
            match node.injure(&part, how) {
                Ok(()) => {}
                Err(NotInjured::Cannot { .. }) => continue,
                Err(error) => panic!("{part} {how:?}: {error}"),
            }
            count += 1;
            let item = hotpair::core::protocol::WriteItem {
                path: "Plant/Count".into(),
                value: TagValue::Int64(count),
                quality: hotpair::core::quality::Quality::GOOD,
                time: None,
            };
            node.write(WriteBatch { items: vec![item], operation: None }).await.unwrap();
        }
    }
    assert_eq!(count, 7 * 4 + 2);
    assert_eq!(node.read("Plant/Count").unwrap().value, TagValue::Int64(count));
    assert!(node.is_running());
    assert!(node.publish(Vec::<TagUpdate>::new()).await.is_ok());
    node.shutdown().await;
    assert_eq!(
        node.injure("Heartbeat", Injure::Panic),
        Err(NotInjured::NotThere { name: "Heartbeat".to_owned() }),
        "it has ended"
    );
    // The threads of the actors end by themselves: nothing tells when.
    let end = Instant::now() + TIMEOUT;
    while !threads().is_empty() {
        assert!(Instant::now() < end, "left: {:?}", threads());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
