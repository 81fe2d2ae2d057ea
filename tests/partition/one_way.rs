//! One direction only is lost: one node hears the other, and is not heard.

use std::thread;
use std::time::Duration;

use crate::pair::project::SETPOINT;
use crate::pair::site::{BACKUP, MASTER};
use crate::pair::{Overlap, Pair, world};
use crate::{holds_and_works, two_machines, write_alone};

#[test]
fn what_the_backup_says_is_lost_for_long_with_automatic_recovery() {
    world::alone(|| one_direction(MASTER, "automatic"));
}

#[test]
fn what_the_backup_says_is_lost_for_long_with_manual_recovery() {
    world::alone(|| one_direction(MASTER, "manual"));
}

#[test]
fn what_the_master_says_is_lost_for_long_with_automatic_recovery() {
    world::alone(|| one_direction(BACKUP, "automatic"));
}

#[test]
fn what_the_master_says_is_lost_for_long_with_manual_recovery() {
    world::alone(|| one_direction(BACKUP, "manual"));
}

/// Nothing gets to `deaf`. Who does not hear its peer takes it for gone; who is not heard gets no answer to its pings,
/// and does so too.
fn one_direction(deaf: usize, recovery: &'static str) {
    let (site, pair) = two_machines(Pair::builder().recovery(recovery));
    pair.master.write_replicated(SETPOINT, 3.0);
    site.swallow_towards(deaf);
    for node in [&pair.master, &pair.backup] {
        node.wait_shows("Running", "Faulted");
    }
    write_alone(&pair.master, SETPOINT, 4.0);
    write_alone(&pair.backup, SETPOINT, 5.0);
    site.let_pass();
    pair.wait_ready_with(if recovery == "automatic" { &pair.master } else { &pair.backup });
    holds_and_works(&pair, 5.0);
    pair.verify(Overlap::LinkWasCut);
}

#[test]
fn one_direction_that_is_lost_for_a_moment_moves_nothing() {
    world::alone(|| {
        let (site, pair) = two_machines(Pair::builder().failover_time_ms(10_000));
        pair.master.write_replicated(SETPOINT, 3.0);
        let epoch = pair.master.status().epoch;
        for deaf in [MASTER, BACKUP] {
            site.swallow_towards(deaf);
            write_alone(&pair.master, SETPOINT, 4.0 + deaf as f64);
            thread::sleep(Duration::from_millis(300));
            site.let_pass();
            pair.wait_ready("Running", "Standby");
        }
        assert_eq!(pair.backup.status().epoch, epoch);
        holds_and_works(&pair, 5.0);
        pair.verify(Overlap::None);
    });
}
