//! Delays go on over a failover, and what is active stays as it is.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pair::alarms::{full_name, is_replicated, of_kind, of_the_plant, text};
use crate::pair::{Node, Overlap, Pair, Profile, Status, TIMEOUT};
use crate::{
    ACTIVE, ACTIVE_ACKED, CLEARED, HIGH, LEVEL, LEVEL_H, NORMAL, OVERPRESSURE, PRESSURE, PUMP, PUMP_STOPPED, SLOW,
    SLOW_H, SLOW_MS, plant,
};

/// The Standby is killed so long after a delay began, and comes back: whoever counted anew from then on would be late.
const KILLED_AFTER: Duration = Duration::from_millis(1500);
/// How late a transition may be seen, on a busy machine.
const LATE: Duration = Duration::from_millis(1200);

#[test]
fn delays_that_run_go_on_over_a_kill_and_end_when_they_should() {
    let pair = Pair::builder().profile(Profile::Fast).recovery("manual").project(plant()).start();
    let [rising, falling] = SLOW;
    let [rising_h, falling_h] = SLOW_H;
    pair.master.write_replicated(falling, HIGH);
    pair.both_show(falling_h, ACTIVE);

    // One delay towards active and one towards clear, from now on.
    let began = Instant::now();
    let both = json!([{"key": rising, "value": HIGH}, {"key": falling, "value": NORMAL}]);
    assert!(pair.master.try_write_many(&both, None).unwrap().replicated());
    let since = [rising, falling].map(|tag| time(&pair.master.read(tag, 1)[tag].2));
    let unchanged = |node: &Node| {
        assert_eq!(node.alarm_state(rising_h), "", "{}: raised too early", node.name);
        assert_eq!(node.alarm_state(falling_h), ACTIVE, "{}: cleared too early", node.name);
    };
    while began.elapsed() < KILLED_AFTER {
        unchanged(&pair.master);
        thread::sleep(Duration::from_millis(20));
    }
    // The one that takes over has heard of it in the middle of the delay.
    pair.backup.kill9();
    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    pair.master.kill9();
    pair.backup.wait("it takes over", TIMEOUT, Status::is_running);
    let delay = Duration::from_millis(SLOW_MS);
    assert!(began.elapsed() < delay, "this machine is too slow to show anything");
    unchanged(&pair.backup);

    // Asked one after the other: each is late by no more than the machine is.
    for (alarm, state) in [(rising_h, ACTIVE), (falling_h, CLEARED)] {
        pair.backup.wait_alarm(alarm, state);
        let took = began.elapsed();
        assert!((delay..delay + LATE).contains(&took), "{alarm} was {state} after {took:?}, not after {delay:?}");
    }
    pair.master.start();
    pair.wait_ready("Standby", "Running");
    for (alarm, kind, since) in [(rising_h, "Raised", since[0]), (falling_h, "Cleared", since[1])] {
        let journal = pair.same_journal_with(alarm, kind, 1);
        let rows = of_kind(&journal, alarm, kind);
        assert_eq!(rows.len(), 1, "{alarm} {kind}: {journal:#?}");
        let at = time(text(rows[0], "eventTime"));
        assert_eq!(at - since, delay, "{alarm}: the delay counts from the value that began it");
    }
    let raised = pair.both_show(rising_h, ACTIVE);
    assert_eq!(time(text(&raised, "activeTime")) - since[0], delay, "{raised:#}");

    // A delay that began before the kill and that the new Running node sees end: nothing comes of it.
    assert!(pair.backup.try_write(falling, HIGH, None).unwrap().replicated());
    pair.backup.kill9();
    pair.master.wait("it takes over", TIMEOUT, Status::is_running);
    assert!(pair.master.write(falling, NORMAL, None).all_written());
    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    let end = Instant::now() + delay;
    while Instant::now() < end {
        assert_eq!(pair.master.alarm_state(falling_h), CLEARED, "raised although the value was back in time");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(of_kind(&pair.same_journal(), falling_h, "Raised").len(), 1);
    pair.verify(Overlap::None);
}

#[test]
fn five_switches_and_two_kills_neither_clear_nor_raise_what_is_active() {
    let pair = Pair::builder().profile(Profile::Fast).recovery("manual").project(plant()).start();
    pair.master.write_replicated(LEVEL, HIGH);
    pair.master.write_replicated(PRESSURE, HIGH);
    pair.master.write_replicated(PUMP, false);
    for alarm in [OVERPRESSURE, PUMP_STOPPED] {
        pair.both_show(alarm, ACTIVE);
    }
    let reply = pair.backup.ack(&pair.both_show(LEVEL_H, ACTIVE), "seen", None);
    assert!(is_replicated(&reply), "{reply:?}");
    pair.both_show(LEVEL_H, ACTIVE_ACKED);
    let (list, journal) = (of_the_plant(pair.same_alarms()), of_the_plant(pair.same_journal()));
    assert_eq!(journal.len(), 4, "{journal:#?}");

    for step in ["switch", "switch", "kill", "switch", "switch", "kill", "switch"] {
        if step == "switch" {
            pair.switch();
        } else {
            let (running, other) = pair.running_and_other();
            running.kill9();
            other.wait("it takes over", TIMEOUT, Status::is_running);
            running.start();
            pair.wait_ready_with(other);
        }
        assert_eq!(of_the_plant(pair.same_alarms()), list, "after a {step}");
    }
    // A value judged anew says the same; only a change makes a row.
    let (running, _) = pair.running_and_other();
    running.write_replicated(LEVEL, HIGH + 1.0);
    assert_eq!(of_the_plant(pair.same_journal()), journal);
    running.write_replicated(LEVEL, NORMAL);
    running.wait_normal(LEVEL_H);
    let after = of_the_plant(pair.same_journal_with(LEVEL_H, "Cleared", 1));
    let new: Vec<_> = after[journal.len()..].iter().map(|row| (full_name(row), text(row, "status"))).collect();
    assert_eq!(new, [(LEVEL_H.to_owned(), "Cleared,Acked")]);
    pair.verify(Overlap::None);
}

#[track_caller]
fn time(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap_or_else(|problem| panic!("{problem}: {text}"))
}
