//! A node that is stopped for a while and goes on, as a suspended virtual machine. What a Running Master does then is in
//! `tests/failover.rs`.

use std::thread;
use std::time::Duration;

use crate::pair::node::same;
use crate::pair::project::{FLEETING, SETPOINT};
use crate::pair::{Node, Overlap, Pair};

/// The default failover time is a second.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_millis(2500);

#[test]
fn a_pause_of_a_standby_backup_shorter_or_longer_than_the_failover_time_moves_nothing() {
    let pair = Pair::builder().recovery("automatic").start();
    a_standby_is_stopped(&pair, &pair.master, &pair.backup);
}

#[test]
fn a_pause_of_a_standby_master_shorter_or_longer_than_the_failover_time_moves_nothing() {
    let pair = Pair::builder().recovery("manual").start();
    pair.switch();
    a_standby_is_stopped(&pair, &pair.backup, &pair.master);
}

/// It must not blame its peer for the time that it did not hear it.
fn a_standby_is_stopped(pair: &Pair, running: &Node, standby: &Node) {
    let epoch = running.status().epoch;
    for (pause, value) in [(SHORT, 2.0), (LONG, 3.0), (LONG, 4.0)] {
        standby.sigstop();
        assert!(running.write(SETPOINT, value, None).all_written());
        thread::sleep(pause);
        assert!(running.status().is_running());
        standby.sigcont();
        pair.wait_ready_with(running);
        assert!(same(&standby.value(SETPOINT), &value.into()));
    }
    assert_eq!((running.status().epoch, standby.status().epoch), (epoch, epoch));
    pair.verify(Overlap::None);
}

#[test]
fn a_running_backup_that_was_suspended_finds_the_master_running_and_stands_by() {
    let pair = Pair::builder().recovery("automatic").start();
    pair.switch();
    pair.backup.write_replicated(FLEETING, 2.0);
    pair.backup.sigstop();
    pair.master.wait_shows("Running", "Faulted");
    assert!(pair.master.write(FLEETING, 3.0, None).all_written());
    pair.backup.sigcont();
    pair.wait_ready("Running", "Standby");
    assert_eq!(pair.same_values()[FLEETING].0, 3.0);
    pair.verify(Overlap::AtMostMs(100));
}

#[test]
fn both_nodes_suspended_together_go_on_as_they_were() {
    let pair = Pair::builder().recovery("automatic").start();
    pair.master.write_replicated(SETPOINT, 2.0);
    for _ in 0..3 {
        pair.backup.sigstop();
        pair.master.sigstop();
        thread::sleep(LONG);
        pair.master.sigcont();
        pair.backup.sigcont();
        pair.wait_ready("Running", "Standby");
    }
    assert_eq!(pair.same_values()[SETPOINT].0, 2.0);
    pair.verify(Overlap::AtMostMs(100));
}
