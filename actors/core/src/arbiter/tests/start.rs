//! Start of each mode, and fresher data first.

use super::pair::{Backup, FAILOVER, MISSED_PINGS, Master, Pair, WAIT};
use crate::arbiter::{Arbiter, ArbiterSettings, Effect, Input, Restored, TagFacts};
use crate::authority::Availability;
use crate::protocol::Tenure;
use crate::types::{Millis, Mode, NodeId, RecoveryMode, Status};

fn independent() -> Arbiter {
    let settings = ArbiterSettings {
        node: NodeId(9),
        mode: Mode::Independent,
        recovery: RecoveryMode::Automatic,
        failover_time_ms: FAILOVER,
        connection_wait_time_ms: WAIT,
        switch_timeout_ms: 2000,
    };
    let authority = Availability { failover_time_ms: FAILOVER, fast_failover: true };
    Arbiter::new(settings, Box::new(authority), Restored::default())
}

fn first_ticket(effects: &[Effect]) -> u64 {
    effects.iter().find_map(|e| if let Effect::Store { ticket, .. } = e { Some(*ticket) } else { None }).unwrap()
}

#[test]
fn an_independent_node_runs_at_once_and_is_never_ready_for_a_failover() {
    let mut arbiter = independent();
    let effects = arbiter.handle(Input::Start, Millis(5));
    let effects = arbiter.handle(Input::Stored { ticket: first_ticket(&effects) }, Millis(6));
    assert!(matches!(effects[0], Effect::Lead(_)), "{effects:?}");
    let view = arbiter.view(Millis(7));
    assert_eq!((view.status, view.peer, view.failover_ready), (Status::Running, None, false));
    assert_eq!(view.not_ready, ["no redundancy configured"]);
    assert_eq!(view.epoch.counter, 1);
}

#[test]
fn an_independent_node_runs_again_when_its_fault_is_cleared() {
    let mut arbiter = independent();
    let effects = arbiter.handle(Input::Start, Millis(5));
    let failed = Input::StoreFailed { ticket: first_ticket(&effects), reason: "disk full".into() };
    arbiter.handle(failed, Millis(6));
    assert_eq!(arbiter.view(Millis(6)).status, Status::Faulted);
    let effects = arbiter.handle(Input::Fault(None), Millis(7));
    arbiter.handle(Input::Stored { ticket: first_ticket(&effects) }, Millis(8));
    assert_eq!(arbiter.view(Millis(8)).status, Status::Running);
}

/// Seed 134 of the simulation as it was when this was found: a Backup that came back with a new disk while its Master
/// still held the connection of the old one ran beside it, with nothing in its tables.
#[test]
fn a_backup_that_is_refused_does_not_run_before_it_could_ask_again() {
    let settings = ArbiterSettings {
        node: NodeId(9),
        mode: Mode::Backup,
        recovery: RecoveryMode::Automatic,
        failover_time_ms: 500,
        connection_wait_time_ms: 300,
        switch_timeout_ms: 2000,
    };
    let authority = Availability { failover_time_ms: 500, fast_failover: true };
    let mut arbiter = Arbiter::new(settings, Box::new(authority), Restored::default());
    arbiter.handle(Input::Start, Millis(0));
    for at in [1, 900, 1800] {
        arbiter.handle(Input::Refused { reason: "there is another Backup".into() }, Millis(at));
        arbiter.handle(Input::Tick, Millis(at + 898));
        assert_eq!(arbiter.view(Millis(at + 898)).status, Status::Standby);
    }
    // Nobody refuses it any more, and nobody is there.
    assert_eq!(arbiter.next_deadline(Millis(2700)), Some(Millis(3800)));
    let effects = arbiter.handle(Input::Tick, Millis(3800));
    arbiter.handle(Input::Stored { ticket: first_ticket(&effects) }, Millis(3801));
    assert_eq!(arbiter.view(Millis(3801)).status, Status::Running);
}

#[test]
fn a_master_without_a_backup_runs_after_the_connection_wait() {
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.shows(Master, Status::Unknown, Status::Unknown);
    pair.pass(WAIT - 10);
    pair.shows(Master, Status::Unknown, Status::Unknown);
    assert!(!pair.node(Master).works);
    pair.pass(10);
    pair.shows(Master, Status::Running, Status::Disconnected);
    assert_eq!(pair.view(Master).tenure, Tenure::Start);
    assert_eq!(pair.view(Master).reason, "backup not connected within connection wait time");
}

#[test]
fn a_master_that_meets_its_backup_runs_before_the_wait_ends() {
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.restart(Backup);
    pair.shows(Backup, Status::Standby, Status::Unknown);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
    assert!(pair.view(Backup).failover_ready);
}

#[test]
fn a_backup_without_a_master_runs_after_the_wait_and_shows_the_master_faulted() {
    let mut pair = Pair::new();
    pair.restart(Backup);
    pair.pass(WAIT - 10);
    pair.shows(Backup, Status::Standby, Status::Unknown);
    pair.pass(10);
    pair.shows(Backup, Status::Running, Status::Faulted);
    assert_eq!(pair.view(Backup).reason, "no Master within connection wait time");
}

#[test]
fn no_proof_of_death_counts_while_a_node_starts() {
    let mut pair = Pair::new();
    pair.restart(Backup);
    pair.input(Backup, Input::ProvenDead);
    pair.pass(WAIT - 10);
    assert_eq!(pair.view(Backup).status, Status::Standby);
    pair.pass(10);
    assert_eq!(pair.view(Backup).status, Status::Running);
}

#[test]
fn a_backup_that_comes_later_follows_the_running_master() {
    let mut pair = Pair::new();
    pair.restart(Master);
    pair.pass(WAIT);
    pair.write(Master, 40);
    pair.restart(Backup);
    pair.connect();
    pair.shows(Backup, Status::Standby, Status::Running);
    assert_eq!(pair.node(Backup).facts.applied, 40);
}

#[test]
fn a_stale_master_takes_the_fresher_data_before_it_runs() {
    let mut pair = Pair::new();
    pair.holds(Master, &[(1, Master)], 500);
    pair.holds(Backup, &[(1, Master), (2, Backup)], 90_000);
    pair.replicates = false;
    pair.restart(Master);
    pair.restart(Backup);
    pair.connect();
    pair.pass(WAIT * 2);
    pair.shows(Master, Status::Unknown, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Unknown);
    pair.replicates = true;
    pair.settle();
    pair.shows(Master, Status::Running, Status::Standby);
    assert_eq!(pair.node(Master).facts.applied, 90_000);
    assert_eq!(pair.view(Master).reason, "took the Backup's data first");
    assert!(pair.counter(Master) > 2);
}

/// It has the values of the Backup, and not its alarms yet, for which it waits no longer.
fn master_without_alarms() -> Pair {
    let mut pair = master_that_waits_for_alarms();
    pair.pass(WAIT + FAILOVER - 10);
    pair.shows(Master, Status::Unknown, Status::Standby);
    pair
}

fn master_that_waits_for_alarms() -> Pair {
    let mut pair = Pair::new();
    pair.holds(Backup, &[(2, Backup)], 90_000);
    pair.replicates = false;
    pair.restart(Master);
    pair.restart(Backup);
    pair.connect();
    let now = pair.now;
    let lineage = pair.node(Backup).arbiter.report(now).lineage;
    let leader = lineage.epoch();
    pair.input(Master, Input::Adopted(lineage));
    let facts = TagFacts { applied: 90_000, durable: 90_000, last: 90_000, leader, ..pair.node(Master).facts };
    pair.node(Master).facts = facts;
    pair.input(Master, Input::Tags(facts));
    pair
}

/// Seed 1134 of the simulation: it ran as soon as it had the values, with a quarter of the alarms' journal.
#[test]
fn a_master_that_takes_the_backups_data_waits_for_its_alarms_too() {
    let mut pair = master_without_alarms();
    let facts = TagFacts { in_sync: true, ..pair.node(Master).facts };
    pair.node(Master).facts = facts;
    pair.input(Master, Input::Tags(facts));
    assert_eq!(pair.view(Master).reason, "took the Backup's data first");
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_master_does_not_wait_for_the_alarms_for_ever() {
    let mut pair = master_without_alarms();
    pair.pass(10);
    pair.shows(Master, Status::Running, Status::Standby);
    let reason = "took the Backup's data first, but not all of its alarms came in time";
    assert_eq!(pair.view(Master).reason, reason);
}

#[test]
fn a_master_whose_disk_cannot_take_the_alarms_does_not_wait_for_them() {
    let mut pair = master_without_alarms();
    pair.input(Master, Input::Disk(Some("the disk is full".into())));
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_master_goes_on_waiting_for_the_alarms_when_the_connection_is_made_anew() {
    let mut pair = master_without_alarms();
    let facts = TagFacts { in_sync: true, ..pair.node(Master).facts };
    pair.lose_link();
    pair.connect();
    pair.shows(Master, Status::Unknown, Status::Standby);
    pair.node(Master).facts = facts;
    pair.input(Master, Input::Tags(facts));
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_master_goes_on_waiting_for_the_backups_data_through_a_short_silence() {
    let mut pair = master_that_waits_for_alarms();
    pair.hold(Backup, 60_000);
    pair.pass(WAIT - 200);
    pair.cut();
    pair.pass(FAILOVER - 10);
    assert_eq!(pair.view(Master).status, Status::Unknown);
    pair.mend();
    pair.shows(Master, Status::Unknown, Status::Standby);
    pair.pass(FAILOVER);
    let reason = "took the Backup's data first, but not all of its alarms came in time";
    assert_eq!(pair.view(Master).reason, reason);
}

#[test]
fn a_stale_master_runs_with_what_it_has_when_the_backup_dies_meanwhile() {
    let mut pair = Pair::new();
    pair.holds(Backup, &[(2, Backup)], 90_000);
    pair.replicates = false;
    pair.restart(Master);
    pair.restart(Backup);
    pair.connect();
    pair.kill(Backup);
    assert_eq!(pair.view(Master).status, Status::Unknown);
    pair.pass(WAIT);
    pair.shows(Master, Status::Running, Status::Faulted);
}

#[test]
fn a_master_with_equal_or_fresher_data_runs_at_once() {
    for applied in [90_000, 90_001] {
        let mut pair = Pair::new();
        pair.holds(Master, &[(2, Backup)], applied);
        pair.holds(Backup, &[(2, Backup)], 90_000);
        pair.replicates = false;
        pair.restart(Master);
        pair.restart(Backup);
        pair.connect();
        pair.shows(Master, Status::Running, Status::Standby);
    }
}

#[test]
fn a_running_master_that_meets_a_higher_stored_epoch_takes_one_above_it() {
    let mut pair = Pair::new();
    pair.holds(Master, &[(1, Master)], 500);
    pair.holds(Backup, &[(1, Master), (7, Backup)], 90_000);
    pair.restart(Master);
    pair.pass(WAIT);
    pair.restart(Backup);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
    assert_eq!(pair.counter(Master), 8);
}

#[test]
fn a_master_that_crashed_and_came_back_within_milliseconds_takes_the_backups_data() {
    let mut pair = Pair::running();
    pair.node(Master).facts.durable = 100;
    pair.replicates = false;
    // Nobody noticed that it was down: the Backup learns it from the new boot id.
    pair.power_off(Master);
    pair.restart(Master);
    pair.connect();
    pair.shows(Backup, Status::Running, Status::Standby);
    assert_eq!(pair.last_event(Backup).reason, "the peer was restarted");
    pair.replicates = true;
    pair.settle();
    pair.shows(Master, Status::Running, Status::Standby);
    assert_eq!(pair.node(Master).facts.applied, 500);
}

#[test]
fn a_master_that_came_back_within_milliseconds_and_lost_nothing_runs() {
    let mut pair = Pair::running();
    pair.power_off(Master);
    pair.restart(Master);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
    assert!(pair.node(Backup).events.iter().all(|event| event.to != Status::Running || event.peer));
}

#[test]
fn a_backup_that_ran_and_came_back_within_milliseconds_finds_the_master_running() {
    let mut pair = Pair::switched();
    pair.power_off(Backup);
    pair.restart(Backup);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
    assert_eq!(pair.last_event(Master).reason, "the peer was restarted");
}

#[test]
fn a_backup_that_lost_the_starting_master_takes_over() {
    let mut pair = Pair::new();
    pair.holds(Backup, &[(2, Backup)], 90_000);
    pair.replicates = false;
    pair.restart(Master);
    pair.restart(Backup);
    pair.connect();
    pair.power_off(Master);
    pair.pass(FAILOVER.max(MISSED_PINGS));
    pair.shows(Backup, Status::Running, Status::Faulted);
}
