//! A Standby takes over from a peer that is gone; what each node shows of the other; stalls.

use super::pair::{Backup, Disk, FAILOVER, MISSED_PINGS, Master, Pair, WAIT};
use crate::arbiter::{Effect, Input, TagFacts};
use crate::protocol::Tenure;
use crate::types::{RecoveryMode, Status};

#[test]
fn a_silent_master_is_taken_over_after_the_failover_time_and_not_before() {
    let mut pair = Pair::running();
    pair.power_off(Master);
    pair.pass(MISSED_PINGS);
    pair.shows(Backup, Status::Standby, Status::Faulted);
    pair.pass(FAILOVER - MISSED_PINGS - 10);
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.pass(10);
    pair.shows(Backup, Status::Running, Status::Faulted);
    let event = pair.last_event(Backup);
    assert_eq!((event.from, event.to, event.tenure), (Status::Standby, Status::Running, Tenure::Failover));
    assert_eq!(event.reason, "the peer was silent for 1000 ms");
}

#[test]
fn the_failover_time_alone_is_not_enough_while_pings_are_not_missed() {
    let mut pair = Pair::running();
    pair.lose_link();
    let last_sign = pair.now;
    pair.now = pair.now.plus(FAILOVER * 3);
    pair.input(Backup, Input::Tick);
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.input(Backup, Input::Unavailable { last_sign });
    assert_eq!(pair.view(Backup).status, Status::Running);
}

#[test]
fn a_peer_that_answers_again_in_time_is_not_taken_over() {
    let mut pair = Pair::running();
    pair.cut();
    pair.pass(FAILOVER - 10);
    pair.mend();
    // The Running node has dropped the silent connection: the Backup greets anew.
    pair.connect();
    pair.pass(FAILOVER * 3);
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
}

#[test]
fn a_short_loss_of_the_link_moves_nothing() {
    let mut pair = Pair::running();
    pair.lose_link();
    pair.shows(Backup, Status::Standby, Status::Faulted);
    pair.pass(100);
    pair.connect();
    pair.pass(FAILOVER * 3);
    pair.shows(Master, Status::Running, Status::Standby);
    assert!(pair.view(Master).failover_ready);
}

#[test]
fn a_proven_dead_master_is_taken_over_at_once() {
    let mut pair = Pair::running();
    pair.kill(Master);
    pair.shows(Backup, Status::Running, Status::Faulted);
    assert_eq!(pair.last_event(Backup).reason, "the peer's process is dead");
}

#[test]
fn without_fast_failover_a_dead_master_is_taken_over_after_the_failover_time() {
    let mut pair = Pair::running_with(RecoveryMode::Automatic, false);
    pair.kill(Master);
    pair.pass(FAILOVER - 10);
    pair.shows(Backup, Status::Standby, Status::Faulted);
    pair.pass(10);
    pair.shows(Backup, Status::Running, Status::Faulted);
}

#[test]
fn without_fast_failover_a_new_boot_id_is_no_proof() {
    let mut pair = Pair::running_with(RecoveryMode::Automatic, false);
    pair.node(Master).facts.durable = 100;
    pair.power_off(Master);
    pair.restart(Master);
    pair.connect();
    // The Master takes the Backup's data itself.
    pair.shows(Master, Status::Running, Status::Standby);
    assert_eq!(pair.node(Master).facts.applied, 500);
    assert_eq!(pair.view(Master).reason, "took the Backup's data first");
}

#[test]
fn a_master_that_stands_by_takes_over_from_a_running_backup_too() {
    let mut pair = Pair::switched();
    pair.power_off(Backup);
    pair.pass(FAILOVER);
    pair.shows(Master, Status::Running, Status::Faulted);
}

#[test]
fn the_running_node_is_not_moved_by_the_death_of_the_standby() {
    let mut pair = Pair::running();
    let epoch = pair.counter(Master);
    pair.kill(Backup);
    pair.pass(FAILOVER * 3);
    pair.shows(Master, Status::Running, Status::Faulted);
    assert_eq!(pair.counter(Master), epoch);
}

#[test]
fn what_is_shown_of_the_peer() {
    // Before the first connection.
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.restart(Backup);
    pair.shows(Master, Status::Unknown, Status::Unknown);
    pair.shows(Backup, Status::Standby, Status::Unknown);
    pair.pass(WAIT);
    pair.shows(Master, Status::Running, Status::Disconnected);
    pair.shows(Backup, Status::Running, Status::Faulted);
    // Connected: as the peer reports.
    let mut pair = Pair::running();
    pair.lose_link();
    pair.shows(Master, Status::Running, Status::Faulted);
    pair.shows(Backup, Status::Standby, Status::Faulted);
    assert_eq!(pair.last_peer_event(Master).reason, "the connection was lost");
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
    // A goodbye, until it connects again.
    pair.stop(Backup);
    pair.pass(FAILOVER * 10);
    pair.shows(Master, Status::Running, Status::Disconnected);
    assert_eq!(pair.last_peer_event(Master).reason, "update");
    pair.restart(Backup);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
    pair.stop(Master);
    pair.shows(Backup, Status::Running, Status::Disconnected);
    // A connected peer that reports a fault.
    let mut pair = Pair::running();
    pair.input(Backup, Input::Fault(Some("the web server keeps failing".into())));
    pair.shows(Master, Status::Running, Status::Faulted);
    pair.shows(Backup, Status::Faulted, Status::Running);
    // A connected peer that still starts.
    let mut pair = Pair::new();
    pair.holds(Backup, &[(2, Backup)], 10);
    pair.replicates = false;
    pair.restart(Master);
    pair.restart(Backup);
    pair.connect();
    pair.shows(Backup, Status::Standby, Status::Unknown);
}

#[track_caller]
fn not_ready(pair: &Pair, reason: &str) {
    for who in [Master, Backup] {
        let view = pair.view(who);
        assert!(!view.failover_ready, "{who:?}");
        assert_eq!(view.not_ready, [reason], "{who:?}");
    }
}

#[test]
fn both_nodes_say_the_same_of_the_readiness_for_a_failover() {
    let mut pair = Pair::running();
    assert!(pair.view(Master).failover_ready && pair.view(Backup).failover_ready);
    pair.input(Backup, Input::Disk(Some("disk full".into())));
    not_ready(&pair, "the Standby node cannot run: disk full");
    pair.input(Backup, Input::Disk(None));
    assert!(pair.view(Master).failover_ready && pair.view(Backup).failover_ready);

    let lagging = TagFacts { lagging: true, ..pair.node(Master).facts };
    pair.input(Master, Input::Tags(lagging));
    not_ready(&pair, "the Standby node is not in sync");
    pair.input(Master, Input::Tags(TagFacts { lagging: false, ..lagging }));
    assert!(pair.view(Master).failover_ready && pair.view(Backup).failover_ready);

    pair.hold(Backup, 60_000);
    not_ready(&pair, "maintenance hold: new firmware (ann)");
    pair.hold(Master, 0);

    pair.input(Backup, Input::Fault(Some("source 1".into())));
    not_ready(&pair, "the Standby node is Faulted");
    pair.input(Backup, Input::Fault(None));
    assert!(pair.view(Master).failover_ready && pair.view(Backup).failover_ready);

    pair.lose_link();
    not_ready(&pair, "the other node is not connected");
    pair.replicates = false;
    pair.connect();
    not_ready(&pair, "the Standby node is not in sync");
}

#[test]
fn a_running_node_that_stood_still_does_nothing_until_its_peer_answers() {
    let mut pair = Pair::running();
    pair.input(Master, Input::Stalled { for_ms: FAILOVER + 1 });
    assert!(!pair.node(Master).works);
    pair.shows(Master, Status::Unknown, Status::Standby);
    pair.refuses_switch(Master, "it is being found out which node runs");
    pair.input(Master, Input::AnsweredAfterStall);
    assert!(pair.node(Master).works);
    pair.shows(Master, Status::Running, Status::Standby);
    let event = pair.last_event(Master);
    assert_eq!((event.from, event.to), (Status::Unknown, Status::Running));
    assert_eq!(event.reason, "nobody took over while this node was stopped");
}

#[test]
fn a_short_stall_changes_nothing() {
    let mut pair = Pair::running();
    pair.input(Master, Input::Stalled { for_ms: FAILOVER - 1 });
    assert!(pair.node(Master).works);
    // At the failover time the peer may have taken over.
    pair.input(Master, Input::Stalled { for_ms: FAILOVER });
    assert!(!pair.node(Master).works);
}

#[test]
fn a_running_node_that_stood_still_and_hears_nothing_runs_after_another_failover_time() {
    let mut pair = Pair::running();
    pair.kill(Backup);
    pair.input(Master, Input::Stalled { for_ms: 5000 });
    pair.pass(FAILOVER - 10);
    assert!(!pair.node(Master).works);
    pair.pass(10);
    assert!(pair.node(Master).works);
    assert_eq!(pair.view(Master).status, Status::Running);
}

#[test]
fn the_fence_of_a_node_that_stands_still_twice_does_not_end_before_its_heart_beats() {
    let mut pair = Pair::running();
    pair.kill(Backup);
    pair.input(Master, Input::Stalled { for_ms: 5000 });
    // It stands still once more, and reads what lies in its mailbox first.
    pair.now = pair.now.plus(5000);
    pair.input(Master, Input::Disk(None));
    assert!(!pair.node(Master).works);
    pair.input(Master, Input::Stalled { for_ms: 5000 });
    pair.pass(FAILOVER - 10);
    assert!(!pair.node(Master).works);
    pair.pass(10);
    assert!(pair.node(Master).works);
}

#[test]
fn a_running_node_that_stood_still_stands_by_when_its_peer_took_over() {
    let mut pair = Pair::running_with(RecoveryMode::Manual, true);
    pair.cut();
    pair.pass(FAILOVER);
    pair.input(Master, Input::Stalled { for_ms: 5000 });
    pair.connect();
    pair.shows(Master, Status::Standby, Status::Running);
    assert!(pair.node(Backup).works);
    assert_eq!(pair.last_event(Master).reason, "it was stopped, and the peer took over");
}

#[test]
fn after_its_stall_a_master_recovers_with_the_data_of_its_backup() {
    let mut pair = Pair::running();
    pair.cut();
    pair.pass(FAILOVER);
    pair.write(Backup, 20);
    pair.input(Master, Input::Stalled { for_ms: 5000 });
    pair.replicates = false;
    pair.connect();
    pair.shows(Backup, Status::Running, Status::Standby);
    assert!(pair.node(Backup).works);
    pair.replicates = true;
    pair.settle();
    pair.shows(Master, Status::Running, Status::Standby);
    assert_eq!(pair.node(Master).facts.applied, 520);
    assert_eq!(pair.view(Master).tenure, Tenure::Recovery);
}

#[test]
fn a_standby_that_stood_still_does_not_blame_its_peer() {
    let mut pair = Pair::running();
    pair.cut();
    pair.pass(MISSED_PINGS);
    // It was found silent just before this node itself was stopped.
    pair.now = pair.now.plus(5000);
    pair.input(Backup, Input::Stalled { for_ms: 5000 });
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.pass(FAILOVER - 10);
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.pass(10);
    assert_eq!(pair.view(Backup).status, Status::Running);
}

#[test]
fn half_a_link_is_dropped_at_a_takeover() {
    let mut pair = Pair::running();
    pair.cut();
    pair.pass(FAILOVER);
    assert!(pair.node(Backup).effects.contains(&Effect::DropLink));
    assert!(!pair.view(Backup).peer.unwrap().connected);
}

/// Seed 502836 of the simulation: the Master went on holding half a link, so that a Backup that came back with a new disk
/// was refused as a second one for ever.
#[test]
fn half_a_link_is_dropped_by_a_master_that_starts_without_its_faulted_backup() {
    let mut pair = Pair::running();
    pair.node(Backup).disk = Disk::Fails;
    pair.node(Backup).arbiter.reserved = 0;
    pair.kill(Master);
    pair.replicates = false;
    pair.holds(Master, &[], 0);
    pair.restart(Master);
    pair.connect();
    pair.shows(Master, Status::Unknown, Status::Faulted);
    pair.cut();
    pair.pass(WAIT);
    assert_eq!(pair.view(Master).status, Status::Running);
    assert!(pair.node(Master).effects.contains(&Effect::DropLink));
    assert!(!pair.view(Master).peer.unwrap().connected);
}

#[test]
fn half_a_link_is_dropped_after_the_failover_time_though_a_hold_stops_the_takeover() {
    let mut pair = Pair::running();
    pair.hold(Backup, 60_000);
    pair.cut();
    pair.pass(FAILOVER - 10);
    assert!(!pair.node(Backup).effects.contains(&Effect::DropLink), "a short silence costs no link");
    pair.pass(10);
    assert!(pair.node(Backup).effects.contains(&Effect::DropLink));
    assert_eq!(pair.view(Backup).status, Status::Standby);
    assert!(!pair.view(Backup).peer.unwrap().connected);
}

#[test]
fn half_a_link_is_dropped_by_a_faulted_node() {
    let mut pair = Pair::running();
    pair.input(Backup, Input::Fault(Some("the actor TagReplicator keeps failing".into())));
    pair.cut();
    pair.pass(FAILOVER);
    assert!(pair.node(Backup).effects.contains(&Effect::DropLink));
    assert_eq!(pair.view(Backup).status, Status::Faulted);
    assert!(!pair.view(Backup).peer.unwrap().connected);
}

/// Seed 47674 of the simulation: it waited for a peer that could say that nobody runs, and was not woken for its silence.
#[test]
fn a_peer_that_falls_silent_while_nobody_runs_is_taken_over_after_the_failover_time() {
    let mut pair = Pair::new();
    pair.node(Master).disk = Disk::Fails;
    pair.restart(Master);
    pair.restart(Backup);
    pair.connect();
    pair.shows(Backup, Status::Standby, Status::Faulted);
    pair.pass(FAILOVER / 5);
    pair.cut();
    pair.pass(FAILOVER * 2);
    pair.shows(Backup, Status::Running, Status::Faulted);
    assert_eq!(pair.last_event(Backup).reason, format!("the peer was silent for {FAILOVER} ms"));
}

/// The model's plan `both_stand_still`: its time had passed while it stood still, and so had the one after which its peer
/// may have taken over.
#[test]
fn a_node_that_stood_still_while_nobody_ran_hears_its_peer_before_it_runs() {
    let mut pair = Pair::new();
    pair.node(Master).disk = Disk::Fails;
    pair.restart(Master);
    pair.restart(Backup);
    pair.connect();
    pair.shows(Backup, Status::Standby, Status::Faulted);
    pair.now = pair.now.plus(FAILOVER * 3);
    pair.input(Backup, Input::Stalled { for_ms: FAILOVER * 3 });
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.pass(FAILOVER);
    pair.shows(Backup, Status::Running, Status::Faulted);
}

#[test]
fn a_node_that_stood_still_as_it_started_looks_for_its_peer_before_it_runs() {
    let mut pair = Pair::new();
    pair.restart(Backup);
    pair.now = pair.now.plus(WAIT * 2);
    pair.input(Backup, Input::Stalled { for_ms: WAIT * 2 });
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.pass(FAILOVER);
    assert_eq!(pair.view(Backup).status, Status::Running);
}
