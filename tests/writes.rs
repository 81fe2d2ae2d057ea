//! Writes at either node: what an answer promises holds, whoever is killed afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pair::node::same;
use pair::project::{COUNTERS, FLEETING, SETPOINT};
use pair::{EndOnDrop, Node, Overlap, Pair, Profile, Reply, Status, TIMEOUT};
use serde_json::{Value, json};

#[test]
fn a_write_at_the_standby_is_forwarded_and_answered_with_its_result() {
    let pair = Pair::builder().start();
    let reply = pair.backup.write(SETPOINT, 12.5, None);
    assert!(reply.replicated(), "{reply:?}");
    for node in [&pair.master, &pair.backup] {
        assert!(same(&node.value(SETPOINT), &12.5.into()), "{} must hold it at once", node.name);
    }

    let items = json!([
        {"key": FLEETING, "value": 1.25},
        {"key": "Plant/Operator/ReadOnly", "value": 1},
        {"key": "Plant/NoSuchTag", "value": 1},
        {"key": "Plant/Operator/Enabled", "value": "perhaps"},
    ]);
    for node in [&pair.master, &pair.backup] {
        let json = node.try_write_many(&items, None).unwrap().json();
        assert_eq!(
            (&json["totalCount"], &json["successCount"], &json["failedCount"]),
            (&4.into(), &1.into(), &3.into())
        );
        assert_eq!(json["data"][0]["value"], "Good");
        assert_eq!(json["data"][0]["key"], FLEETING);
        for failed in 1..4 {
            let result = json["data"][failed]["value"].as_str().unwrap();
            assert!(result.starts_with("Bad"), "{} at {}: {result}", json["data"][failed]["key"], node.name);
        }
    }
    pair.verify(Overlap::None);
}

#[test]
fn while_nobody_is_running_a_write_is_refused_and_never_made_later() {
    for lone in ["backup", "master"] {
        let pair = Pair::builder().connection_wait_time_ms(5000).prepare();
        let node = if lone == "master" { &pair.master } else { &pair.backup };
        node.start();
        assert!(!node.status().is_running(), "{lone} still waits for its peer");

        let reply = node.write(SETPOINT, 99.0, Some("too-early"));
        assert_eq!(reply.status, 503, "{reply:?}");
        assert_eq!(reply.error_code(), "not_running");
        assert!(reply.error_message().len() > 10, "{reply:?}");
        let seconds: u64 = reply.headers["retry-after"].parse().expect("Retry-After in seconds");
        assert!((1..=60).contains(&seconds));
        assert!(!node.status().is_running(), "{lone} still waits for its peer");

        node.wait("it is Running", TIMEOUT, Status::is_running);
        assert!(same(&node.value(SETPOINT), &1.5.into()), "a refused write was made later");
        assert!(node.write(SETPOINT, 98.0, Some("too-early")).all_written(), "the same id may be tried again");
    }
}

#[test]
fn a_repeated_operation_id_gets_the_first_answer_at_either_node_also_after_a_kill() {
    let pair = Pair::builder().start();
    let items = json!([{"key": SETPOINT, "value": 1.25}, {"key": "Plant/NoSuchTag", "value": 1}]);
    let first = pair.master.try_write_many(&items, Some("operation-1")).unwrap();
    assert_eq!(first.status, 200, "{first:?}");
    pair.master.write_replicated(SETPOINT, 2.25);

    for node in [&pair.master, &pair.backup] {
        let again = node.try_write_many(&items, Some("operation-1")).unwrap();
        assert_eq!(results(&again), results(&first), "at {}", node.name);
        assert!(same(&node.value(SETPOINT), &2.25.into()), "a repeated write was made twice");
    }

    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    let again = pair.backup.try_write_many(&items, Some("operation-1")).unwrap();
    assert_eq!(results(&again), results(&first), "after the kill");
    assert!(same(&pair.backup.value(SETPOINT), &2.25.into()), "a repeated write was made twice");
    pair.verify(Overlap::None);
}

#[test]
fn an_operation_id_used_for_another_write_is_a_conflict() {
    let pair = Pair::builder().start();
    assert!(pair.master.write(SETPOINT, 1.25, Some("operation-2")).replicated());
    for node in [&pair.master, &pair.backup] {
        let reply = node.write(SETPOINT, 9.75, Some("operation-2"));
        assert_eq!(reply.status, 409, "at {}: {reply:?}", node.name);
        assert!(!reply.error_code().is_empty());
        assert!(reply.error_message().to_lowercase().contains("id"), "{reply:?}");
        assert!(same(&node.value(SETPOINT), &1.25.into()));
    }
    pair.verify(Overlap::None);
}

#[test]
fn with_a_stopped_standby_no_write_says_replicated() {
    let pair = Pair::builder().start();
    assert!(pair.master.write(SETPOINT, 1.0, None).replicated());
    pair.backup.sigstop();
    let (mut number, end) = (1.0, Instant::now() + Duration::from_secs(2));
    while Instant::now() < end {
        number += 1.0;
        let reply = pair.master.write(SETPOINT, number, None);
        assert!(reply.all_written(), "the Running node goes on: {reply:?}");
        assert!(!reply.replicated(), "the Standby is stopped: {reply:?}");
    }
    assert!(!pair.master.status().failover_ready);

    pair.backup.sigcont();
    pair.wait_ready("Running", "Standby");
    assert!(same(&pair.backup.value(SETPOINT), &number.into()));
    assert!(pair.master.write(SETPOINT, 0.5, None).replicated());
    pair.verify(Overlap::None);
}

#[test]
fn a_forwarded_write_whose_answer_is_lost_can_be_repeated_with_its_id() {
    let pair = Pair::builder().start();
    pair.master.sigstop();
    let end = Instant::now() + TIMEOUT;
    loop {
        let reply = pair.backup.write(SETPOINT, 31.5, Some("lost-answer"));
        if reply.status == 200 {
            assert!(reply.all_written(), "{reply:?}");
            break;
        }
        assert!([503, 504].contains(&reply.status), "neither done nor a reason to repeat: {reply:?}");
        assert!(Instant::now() < end, "the repetitions never succeed: {reply:?}");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(same(&pair.backup.value(SETPOINT), &31.5.into()));
    pair.master.sigcont();
    pair.wait_ready("Standby", "Running");
    assert_eq!(pair.same_values()[SETPOINT].0, 31.5);
    pair.verify(Overlap::AtMostMs(100));
}

#[test]
fn writes_during_a_switch_are_taken_by_one_of_the_nodes() {
    let pair = Pair::builder().start();
    let ended = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0;
            while !ended.load(Ordering::Relaxed) {
                let node = if number % 2 == 0 { &pair.master } else { &pair.backup };
                let reply = node.write(COUNTERS[1], number + 1, None);
                assert!(reply.all_written(), "write {} at {}: {reply:?}", number + 1, node.name);
                number += 1;
            }
            number
        });
        let end = EndOnDrop(&ended);
        for at in [&pair.master, &pair.backup, &pair.backup, &pair.master].into_iter().cycle().take(12) {
            let reply = at.switch();
            assert_eq!(reply.status, 200, "{reply:?}");
            let (running, _) = pair.running_and_other();
            let roles = if running.name == "master" { ("Running", "Standby") } else { ("Standby", "Running") };
            pair.wait_ready(roles.0, roles.1);
        }
        drop(end);
        writer.join().unwrap()
    });
    assert!(written > 10, "only {written} writes");
    assert_eq!(pair.same_values()[COUNTERS[1]].0, written);
    pair.verify(Overlap::None);
}

#[test]
fn what_was_said_to_be_replicated_survives_every_kill_of_the_running_node() {
    let rounds = std::env::var("HOTPAIR_ROUNDS").map_or(10, |text| text.parse().expect("HOTPAIR_ROUNDS: a number"));
    let pair = Pair::builder().profile(Profile::Fast).recovery("manual").start();
    let keys: Vec<Key> = COUNTERS.iter().map(|path| Key::new(path)).collect();

    for round in 1..=rounds {
        let (running, standby) = pair.running_and_other();
        let killed = AtomicBool::new(false);
        thread::scope(|scope| {
            for (i, key) in keys.iter().enumerate() {
                let first = if i < 2 { running } else { standby };
                let killed = &killed;
                scope.spawn(move || key.write_increasing_numbers(first, standby, killed));
            }
            let _end = EndOnDrop(&killed);
            wait_for_acknowledged_writes(&keys, 20);
            running.kill9();
        });
        standby.wait("it takes over", TIMEOUT, Status::is_running);
        for key in &keys {
            key.holds_at(standby, round);
        }

        running.start();
        let (master, backup) = if running.name == "master" { ("Standby", "Running") } else { ("Running", "Standby") };
        pair.wait_ready(master, backup);
        pair.same_values();
        for key in &keys {
            key.holds_at(running, round);
        }
    }
    pair.verify(Overlap::None);
}

/// A tag that one thread writes, with numbers that only grow.
struct Key {
    path: &'static str,
    /// The last number that was sent.
    sent: AtomicU64,
    /// The last number of which an answer said that both nodes have it.
    replicated: AtomicU64,
    /// How many answers said so since the last round.
    count: AtomicU64,
}

impl Key {
    fn new(path: &'static str) -> Self {
        Self { path, sent: AtomicU64::new(0), replicated: AtomicU64::new(0), count: AtomicU64::new(0) }
    }

    /// Writes at `first` until the Running node is killed; an answer that does not come may mean either.
    fn write_increasing_numbers(&self, first: &Node, standby: &Node, killed: &AtomicBool) {
        let mut node = first;
        while !killed.load(Ordering::Relaxed) {
            let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
            match node.try_write(self.path, number, None) {
                Ok(reply) if reply.replicated() => {
                    self.replicated.store(number, Ordering::Relaxed);
                    self.count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(reply) => assert!([200, 503, 504].contains(&reply.status), "{reply:?}"),
                Err(_) => node = standby,
            }
        }
    }

    #[track_caller]
    fn holds_at(&self, node: &Node, round: u32) {
        let found = node.value(self.path).as_u64().expect("a number");
        let (replicated, sent) = (self.replicated.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed));
        let Self { path, .. } = self;
        assert!(found >= replicated, "round {round}, {}: {path} lost {replicated}, it is {found}", node.name);
        assert!(found <= sent, "round {round}, {}: {path} is {found}, never written (up to {sent})", node.name);
    }
}

/// Until each key had `count` acknowledged writes since the last call.
#[track_caller]
fn wait_for_acknowledged_writes(keys: &[Key], count: u64) {
    for key in keys {
        key.count.store(0, Ordering::Relaxed);
    }
    let end = Instant::now() + TIMEOUT;
    while keys.iter().any(|key| key.count.load(Ordering::Relaxed) < count) {
        assert!(Instant::now() < end, "the writers do not get on");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What a repetition must say again. `replicated` may have become true or false since.
#[track_caller]
fn results(reply: &Reply) -> (u16, Value, Value) {
    let json = reply.json();
    (reply.status, json["successCount"].clone(), json["data"].clone())
}
