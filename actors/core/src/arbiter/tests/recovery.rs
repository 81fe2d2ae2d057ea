//! What happens when a Master that was down comes back.

use super::pair::{Backup, FAILOVER, Master, Pair, WAIT};
use crate::arbiter::{Effect, Input, TagFacts};
use crate::protocol::{Control, Report, Tenure};
use crate::types::{RecoveryMode, Status};

/// The Backup took over from a dead Master, and ten changes were made since.
fn failed_over(recovery: RecoveryMode) -> Pair {
    let mut pair = Pair::running_with(recovery, true);
    pair.kill(Master);
    pair.write(Backup, 10);
    pair
}

#[test]
fn automatic_the_master_takes_the_backups_data_and_then_running() {
    let mut pair = failed_over(RecoveryMode::Automatic);
    pair.replicates = false;
    pair.restart(Master);
    pair.connect();
    pair.pass(FAILOVER * 20);
    pair.shows(Master, Status::Standby, Status::Running);
    pair.replicates = true;
    pair.settle();
    pair.shows(Master, Status::Running, Status::Standby);
    pair.shows(Backup, Status::Standby, Status::Running);
    assert_eq!(pair.node(Master).facts.applied, 510);
    let event = pair.last_event(Master);
    assert_eq!((event.tenure, event.reason.as_str()), (Tenure::Recovery, "automatic recovery of the Master"));
    assert_eq!(pair.last_event(Backup).reason, "automatic recovery of the Master");
}

#[test]
fn automatic_also_when_the_master_was_only_cut_off() {
    let mut pair = failed_over(RecoveryMode::Automatic);
    pair.restart(Master);
    pair.pass(100);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn manual_the_master_stays_standby_until_somebody_presses_switch() {
    let mut pair = failed_over(RecoveryMode::Manual);
    pair.restart(Master);
    pair.connect();
    pair.pass(WAIT * 4);
    pair.shows(Master, Status::Standby, Status::Running);
    assert_eq!(pair.node(Master).facts.applied, 510);
    let request = pair.press_switch_at(Master);
    assert_eq!(pair.answer(Master, request), Some(Ok(())));
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_mere_reconnection_after_a_deliberate_switch_moves_nothing() {
    let mut pair = Pair::switched();
    for _ in 0..3 {
        pair.lose_link();
        pair.pass(100);
        pair.connect();
        pair.pass(WAIT * 2);
        pair.shows(Master, Status::Standby, Status::Running);
    }
}

#[test]
fn a_switch_at_the_returned_master_decides_where_running_is() {
    let mut pair = failed_over(RecoveryMode::Automatic);
    pair.restart(Master);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
    pair.press_switch_at(Master);
    pair.pass(WAIT * 2);
    pair.lose_link();
    pair.connect();
    pair.pass(WAIT * 2);
    pair.shows(Master, Status::Standby, Status::Running);
}

#[test]
fn a_master_whose_process_restarted_after_a_switch_recovers() {
    let mut pair = Pair::switched();
    pair.kill(Master);
    pair.restart(Master);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
}

fn crash_and_return(pair: &mut Pair) {
    pair.kill(Master);
    pair.shows(Backup, Status::Running, Status::Faulted);
    pair.pass(1000);
    pair.restart(Master);
    pair.connect();
}

#[test]
fn after_three_recoveries_in_ten_minutes_it_acts_as_manual() {
    let mut pair = Pair::running();
    for _ in 0..3 {
        crash_and_return(&mut pair);
        pair.shows(Master, Status::Running, Status::Standby);
        assert_eq!(pair.view(Master).recovery_suspended, None);
    }
    crash_and_return(&mut pair);
    pair.pass(60_000);
    pair.shows(Master, Status::Standby, Status::Running);
    let why = "the Master recovered 3 times in 10 minutes: it stays Standby until somebody presses Switch";
    assert_eq!(pair.view(Master).recovery_suspended.as_deref(), Some(why));
    // The passing of time alone doesn't bring it back.
    pair.pass(10 * 60_000);
    pair.shows(Master, Status::Standby, Status::Running);
    pair.press_switch_at(Backup);
    pair.shows(Master, Status::Running, Status::Standby);
    assert_eq!(pair.view(Master).recovery_suspended, None);
    // From here on it recovers again.
    crash_and_return(&mut pair);
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_restart_of_either_node_forgets_no_recovery() {
    let mut pair = Pair::running();
    for _ in 0..3 {
        crash_and_return(&mut pair);
        pair.shows(Master, Status::Running, Status::Standby);
        pair.restart(Backup);
        pair.connect();
    }
    crash_and_return(&mut pair);
    pair.pass(60_000);
    pair.shows(Master, Status::Standby, Status::Running);
    assert!(pair.view(Backup).recovery_suspended.is_some(), "the alarm");
    // After ten minutes they count no more.
    pair.restart(Backup);
    pair.connect();
    pair.shows(Master, Status::Running, Status::Standby);
    pair.pass(10 * 60_000);
    crash_and_return(&mut pair);
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_master_of_an_earlier_version_does_not_tell_of_its_recoveries_and_they_count() {
    let mut pair = Pair::running();
    pair.forgets_recoveries = true;
    for _ in 0..3 {
        crash_and_return(&mut pair);
        pair.shows(Master, Status::Running, Status::Standby);
    }
    crash_and_return(&mut pair);
    pair.pass(60_000);
    pair.shows(Master, Status::Standby, Status::Running);
}

#[test]
fn recoveries_that_lie_apart_are_not_counted() {
    let mut pair = Pair::running();
    for _ in 0..6 {
        crash_and_return(&mut pair);
        pair.shows(Master, Status::Running, Status::Standby);
        pair.pass(4 * 60_000);
    }
}

#[test]
fn a_refused_recovery_is_tried_again() {
    let mut pair = failed_over(RecoveryMode::Automatic);
    pair.node(Backup).never_quiesces = true;
    pair.restart(Master);
    pair.connect();
    pair.pass(WAIT);
    pair.shows(Master, Status::Standby, Status::Running);
    assert!(pair.node(Master).sent(|m| matches!(m, Control::SwitchRequest(_))));
    pair.node(Backup).never_quiesces = false;
    pair.pass(WAIT);
    pair.shows(Master, Status::Running, Status::Standby);
}

/// What stopped nobody's writes is asked for again soon, however often: on a slow line the Standby is late now and then.
#[test]
fn a_recovery_that_was_refused_before_it_began_does_not_wait_longer_each_time() {
    let mut pair = failed_over(RecoveryMode::Automatic);
    let late = TagFacts { lagging: true, ..pair.node(Backup).facts };
    pair.input(Backup, Input::Tags(late));
    pair.restart(Master);
    pair.connect();
    // What it heard last is that it is in sync; meanwhile the Backup knows better.
    let now = pair.now;
    let report = Report { in_sync: true, ..pair.node(Backup).arbiter.report(now) };
    pair.input(Master, Input::Message(Control::Report(Box::new(report))));
    pair.pass(10_000);
    let requests = |e: &&Effect| matches!(e, Effect::Send(Control::SwitchRequest(_)));
    assert!(pair.node(Master).effects.iter().filter(requests).count() > 5);
    pair.input(Backup, Input::Tags(TagFacts { lagging: false, ..late }));
    pair.pass(1100);
    pair.shows(Master, Status::Running, Status::Standby);
}

#[test]
fn a_master_with_a_fault_does_not_recover() {
    let mut pair = failed_over(RecoveryMode::Automatic);
    pair.restart(Master);
    pair.input(Master, Input::Disk(Some("disk full".into())));
    pair.connect();
    pair.pass(WAIT);
    pair.shows(Master, Status::Standby, Status::Running);
    pair.input(Master, Input::Disk(None));
    pair.shows(Master, Status::Running, Status::Standby);
}
