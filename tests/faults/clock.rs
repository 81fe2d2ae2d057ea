//! Wall clocks that are wrong and that jump. Nothing that the pair decides depends on them.

use std::thread;
use std::time::Duration;

use crate::between::Between;
use crate::pair::project::{COUNTERS, SETPOINT};
use crate::pair::{Overlap, Pair};

const HOUR_S: i64 = 3600;

#[test]
fn a_wall_clock_that_jumps_by_hours_moves_nothing_and_delays_no_write() {
    for jumps in ["master", "backup"] {
        let clocks = Between::new();
        let pair = with_clocks(&clocks, "automatic");
        let epoch = pair.master.status().epoch;
        clocks.set_clock("master", -HOUR_S);
        let before = time_of_a_write(&pair, 0);
        clocks.set_clock("master", 0);
        assert!(before < time_of_a_write(&pair, 0), "the test's clock does not work");
        for (round, offset) in [HOUR_S, -2 * HOUR_S, 0, 400 * 24 * HOUR_S, 0].into_iter().enumerate() {
            clocks.set_clock(jumps, offset);
            pair.master.write_replicated(COUNTERS[0], round + 1);
            // Longer than the failover time.
            thread::sleep(Duration::from_millis(1200));
            pair.backup.write_replicated(COUNTERS[1], round + 1);
            pair.wait_ready("Running", "Standby");
        }
        assert_eq!(pair.backup.status().epoch, epoch);
        pair.same_values();
        pair.verify(Overlap::None);
    }
}

/// Inside of a tenure and from one to the next the order of changes decides, not their times.
#[test]
fn what_the_new_running_node_writes_counts_although_its_clock_is_an_hour_behind() {
    for recovery in ["automatic", "manual"] {
        let clocks = Between::new();
        clocks.set_clock("backup", -HOUR_S);
        let pair = with_clocks(&clocks, recovery);
        pair.master.write_replicated(SETPOINT, 3.0);
        pair.master.write_replicated(COUNTERS[1], 3);
        pair.master.kill9();
        pair.backup.wait_shows("Running", "Faulted");
        for (path, value) in [(SETPOINT, 4.0), (COUNTERS[1], 4.0)] {
            let reply = pair.backup.write(path, value, None);
            assert!(reply.all_written(), "{reply:?}");
        }
        pair.master.start();
        if recovery == "automatic" {
            pair.wait_ready("Running", "Standby");
        } else {
            pair.wait_ready("Standby", "Running");
        }
        let values = pair.same_values();
        assert_eq!((&values[SETPOINT].0, &values[COUNTERS[1]].0), (&4.0.into(), &4.into()), "{recovery}");
        pair.verify(Overlap::None);
    }
}

/// RFC 3339: as texts they are in order.
fn time_of_a_write(pair: &Pair, value: u32) -> String {
    pair.master.write_replicated(SETPOINT, value);
    pair.master.read(SETPOINT, 1)[SETPOINT].2[.."2026-11-22T10".len()].to_owned()
}

fn with_clocks(clocks: &Between, recovery: &'static str) -> Pair {
    let pair = Pair::builder().recovery(recovery).prepare();
    for node in [&pair.master, &pair.backup] {
        clocks.stands_between(node);
        node.start();
    }
    pair.wait_ready("Running", "Standby");
    pair
}
