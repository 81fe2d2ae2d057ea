//! Two real processes: killed, stopped, started again, switched. Who is Running, and is anything lost?
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::thread;
use std::time::{Duration, Instant};

use pair::node::same;
use pair::project::{FLEETING, SETPOINT};
use pair::{A_WHILE, Node, Overlap, Pair, Status, TIMEOUT};

/// One row of the Tennessee Eastman data (ten minutes) each third of a second.
const REPLAY_SPEED: f64 = 1800.0;

#[test]
fn a_master_that_was_killed_gets_running_back_holding_a_write_made_meanwhile() {
    let pair = Pair::builder().recovery("automatic").start();
    pair.master.write_replicated(SETPOINT, 2.5);
    pair.master.write_replicated(FLEETING, 2.5);

    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    assert!(pair.backup.write(SETPOINT, 42.5, None).all_written());
    assert!(pair.backup.write(FLEETING, 43.5, None).all_written());

    pair.master.spawn();
    holds_whenever_it_says_running(&pair.master, &[(SETPOINT, 42.5), (FLEETING, 43.5)]);
    pair.wait_ready("Running", "Standby");
    pair.same_values();
    pair.verify(Overlap::None);
}

#[test]
fn the_automatic_story_step_by_step_on_plant_data() {
    let pair = Pair::builder().recovery("automatic").replay("idv1.csv", REPLAY_SPEED).start();
    assert!(pair.same_values().len() >= 53);

    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    assert!(pair.backup.write(SETPOINT, 3.5, None).all_written());
    the_plant_moves(&pair.backup);

    pair.master.start();
    pair.wait_ready("Running", "Standby");
    assert_eq!(pair.same_values()[SETPOINT].0, 3.5);
    the_plant_moves(&pair.master);

    pair.backup.kill9();
    pair.master.wait_shows("Running", "Faulted");
    assert!(pair.master.write(SETPOINT, 4.5, None).all_written());

    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    assert_eq!(pair.same_values()[SETPOINT].0, 4.5);
    the_plant_moves(&pair.master);
    pair.verify(Overlap::None);
}

#[test]
fn the_manual_story_step_by_step_on_plant_data() {
    let pair = Pair::builder().recovery("manual").replay("idv1.csv", REPLAY_SPEED).start();
    pair.same_values();

    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    assert!(pair.backup.write(SETPOINT, 3.5, None).all_written());
    the_plant_moves(&pair.backup);

    pair.master.start();
    pair.wait_ready("Standby", "Running");
    pair.stays_ready("Standby", "Running");
    assert_eq!(pair.same_values()[SETPOINT].0, 3.5);

    switch(&pair.master);
    pair.wait_ready("Running", "Standby");
    pair.same_values();
    the_plant_moves(&pair.master);

    switch(&pair.backup);
    pair.wait_ready("Standby", "Running");
    pair.same_values();
    the_plant_moves(&pair.backup);
    pair.verify(Overlap::None);
}

#[test]
fn a_plant_that_has_not_been_read_again_after_a_takeover_says_so() {
    // The replay's next row comes two seconds after the last one.
    let pair = Pair::builder().replay("idv1.csv", 300.0).start();
    let measured = "Plant/Measurements/XMEAS07";
    let before = pair.same_values()[measured].clone();
    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    let after = pair.backup.read_all();
    let (value, quality, time) = &after[measured];
    let read_again = time != &before.2;
    assert!(read_again || quality == "Uncertain_LastUsableValue", "{value} {quality} {time}, before: {before:?}");
    assert_eq!(after[SETPOINT].1, pair.backup.read_all()[SETPOINT].1, "memory tags stay as they are");
    the_plant_moves(&pair.backup);
    pair.verify(Overlap::None);
}

#[test]
fn a_master_back_within_50_ms_does_not_overwrite_the_backup_with_older_data() {
    let pair = Pair::builder().recovery("automatic").start();
    for round in 1..=3 {
        let (kept, fleeting) = (f64::from(round) * 10.0, f64::from(round) * 10.0 + 1.0);
        pair.master.write_replicated(SETPOINT, kept);
        pair.master.write_replicated(FLEETING, fleeting);

        pair.master.kill9();
        pair.master.spawn();
        holds_whenever_it_says_running(&pair.master, &[(SETPOINT, kept), (FLEETING, fleeting)]);
        pair.wait_ready("Running", "Standby");
        pair.same_values();
    }
    pair.verify(Overlap::None);
}

#[test]
fn after_a_power_cut_the_stale_master_does_not_win_although_it_boots_first() {
    let pair = Pair::builder().recovery("automatic").connection_wait_time_ms(5000).start();
    a_power_cut_with_the_newest_write_on_the_backup_only(&pair);

    pair.master.start();
    thread::sleep(Duration::from_millis(500));
    pair.backup.spawn();
    // The fleeting tag was in memory only, and both memories are gone.
    holds_whenever_it_says_running(&pair.master, &[(SETPOINT, 7.5)]);
    pair.wait_ready("Running", "Standby");
    assert_eq!(pair.same_values()[SETPOINT].0, 7.5);
    pair.verify(Overlap::None);
}

#[test]
fn after_a_power_cut_a_stale_master_that_runs_already_takes_the_newer_values_when_the_backup_boots() {
    let pair = Pair::builder().recovery("manual").connection_wait_time_ms(500).start();
    a_power_cut_with_the_newest_write_on_the_backup_only(&pair);

    pair.master.start();
    pair.master.wait_shows("Running", "Disconnected");
    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    for node in [&pair.master, &pair.backup] {
        node.wait_value(SETPOINT, 7.5);
    }
    pair.same_values();
    pair.verify(Overlap::None);
}

#[test]
fn a_clean_stop_of_the_running_node_is_a_switch_and_a_goodbye() {
    // A failover would take ten seconds: whoever is faster has switched.
    let pair = Pair::builder().recovery("automatic").failover_time_ms(10_000).start();
    pair.master.write_replicated(SETPOINT, 5.5);

    let asked = Instant::now();
    pair.master.sigterm();
    pair.backup.wait("it is Running", TIMEOUT, Status::is_running);
    assert!(asked.elapsed() < Duration::from_secs(3), "the switch took {:?}", asked.elapsed());
    let exit = pair.master.wait_ended();
    assert_eq!(exit.code(), Some(0), "a clean stop exits 0");
    pair.backup.wait_shows("Running", "Disconnected");
    pair.backup.stays("its peer is Disconnected", A_WHILE, |s| s.shows("Running", "Disconnected"));
    assert!(same(&pair.backup.value(SETPOINT), &5.5.into()));

    pair.master.start();
    pair.wait_ready("Running", "Standby");

    assert_eq!(pair.backup.terminate().code(), Some(0), "a clean stop exits 0");
    pair.master.wait_shows("Running", "Disconnected");
    pair.verify(Overlap::None);
}

#[test]
fn a_running_master_that_was_suspended_finds_its_successor_and_takes_no_write_by_itself() {
    let pair = Pair::builder().recovery("manual").start();
    pair.master.sigstop();
    pair.backup.wait_shows("Running", "Faulted");
    assert!(pair.backup.write(SETPOINT, 0.5, None).all_written());

    thread::scope(|scope| {
        // The first of these waits in the stopped node's socket and is the first thing it reads when it goes on.
        let writer = scope.spawn(|| writes_at_the_old_node_are_at_the_new_one(&pair.master, &pair.backup));
        thread::sleep(Duration::from_millis(300));
        pair.master.sigcont();
        assert!(writer.join().unwrap() > 0, "no write was ever taken");
    });

    pair.wait_ready("Standby", "Running");
    pair.stays_ready("Standby", "Running");
    pair.same_values();
    pair.verify(Overlap::AtMostMs(100));
}

#[test]
fn a_pause_shorter_than_the_failover_time_moves_nothing() {
    let pair = Pair::builder().start();
    let epoch = pair.master.status().epoch;
    for _ in 0..3 {
        pair.master.sigstop();
        thread::sleep(Duration::from_millis(300));
        pair.master.sigcont();
        pair.wait_ready("Running", "Standby");
    }
    assert_eq!(pair.backup.status().epoch, epoch);
    pair.verify(Overlap::None);
}

#[test]
fn a_deliberate_switch_is_not_undone_by_a_reconnection() {
    let pair = Pair::builder().recovery("automatic").start();
    switch(&pair.master);
    pair.wait_ready("Standby", "Running");
    let epoch = pair.backup.status().epoch;

    // The Master's process lives on, only the link is lost for a while.
    pair.master.sigstop();
    pair.backup.wait_shows("Running", "Faulted");
    assert!(pair.backup.write(SETPOINT, 8.5, None).all_written());
    pair.master.sigcont();

    pair.wait_ready("Standby", "Running");
    pair.stays_ready("Standby", "Running");
    assert_eq!(pair.backup.status().epoch, epoch);
    assert_eq!(pair.same_values()[SETPOINT].0, 8.5);
    pair.verify(Overlap::None);
}

#[test]
fn a_master_that_crashes_in_a_loop_stops_taking_running_back_after_three_times() {
    let pair = Pair::builder().recovery("automatic").start();
    for _ in 0..3 {
        pair.master.kill9();
        pair.backup.wait_shows("Running", "Faulted");
        pair.master.start();
        pair.wait_ready("Running", "Standby");
    }
    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    pair.master.start();
    pair.wait_ready("Standby", "Running");
    pair.stays_ready("Standby", "Running");

    switch(&pair.backup);
    pair.wait_ready("Running", "Standby");
    pair.verify(Overlap::None);
}

#[test]
fn two_nodes_started_at_the_same_moment_20_times_agree_every_time() {
    let pair = Pair::builder().recovery("automatic").prepare();
    for round in 1..=20 {
        pair.master.spawn();
        pair.backup.spawn();
        pair.wait_ready("Running", "Standby");
        pair.same_values();
        pair.master.write_replicated(SETPOINT, round);
        pair.master.kill9();
        pair.backup.kill9();
    }
    pair.verify(Overlap::None);
}

#[test]
fn a_switch_is_refused_with_a_reason_while_the_standby_is_gone() {
    let pair = Pair::builder().start();
    pair.backup.kill9();
    pair.master.wait_shows("Running", "Faulted");
    let reply = pair.master.switch();
    assert_eq!(reply.status, 409, "{reply:?}");
    assert!(!reply.error_message().is_empty());
    assert!(pair.master.status().is_running());
    assert!(!pair.master.status().not_ready_reasons.is_empty());
    pair.verify(Overlap::None);
}

/// Both nodes lose power; the Backup alone has a write in a retained tag, 7.5 in the setpoint.
fn a_power_cut_with_the_newest_write_on_the_backup_only(pair: &Pair) {
    pair.master.write_replicated(SETPOINT, 6.5);
    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    assert!(pair.backup.write(SETPOINT, 7.5, None).all_written());
    thread::sleep(Duration::from_millis(300));
    pair.backup.kill9();
}

/// Watches a node from its first answer on until it was seen Running twenty times: it must hold the values each time.
#[track_caller]
fn holds_whenever_it_says_running(node: &Node, values: &[(&str, f64)]) {
    let (mut seen, end) = (0, Instant::now() + TIMEOUT);
    while seen < 20 {
        assert!(Instant::now() < end, "{} is not Running: {:#?}", node.name, node.try_status());
        if node.try_status().is_ok_and(|s| s.is_running()) {
            seen += 1;
            for (path, value) in values {
                let found = node.value(path);
                assert!(same(&found, &(*value).into()), "{} is Running without {path} = {value}: {found}", node.name);
            }
        } else {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Writes for two seconds at the old node; what it acknowledges must be at the new one at once. Gives how many it took.
fn writes_at_the_old_node_are_at_the_new_one(old: &Node, new: &Node) -> usize {
    let (mut taken, end) = (0, Instant::now() + Duration::from_secs(2));
    let mut number = 100.0;
    while Instant::now() < end {
        number += 1.0;
        if old.try_write(FLEETING, number, None).is_ok_and(|reply| reply.all_written()) {
            taken += 1;
            let found = new.value(FLEETING);
            assert!(same(&found, &number.into()), "{number} was taken by a node that is not Running; it is {found}");
        }
    }
    taken
}

/// Waits until a measurement changes and is Good.
#[track_caller]
fn the_plant_moves(node: &Node) {
    let measured = "Plant/Measurements/XMEAS07";
    let (before, end) = (node.read_all()[measured].clone(), Instant::now() + TIMEOUT);
    loop {
        let now = node.read_all()[measured].clone();
        if now.2 > before.2 && now.1 == "Good" {
            return;
        }
        assert!(Instant::now() < end, "{}: {measured} stands still at {now:?}", node.name);
        thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn switch(at: &Node) {
    let reply = at.switch();
    assert_eq!(reply.status, 200, "the switch was refused: {reply:?}");
}
