//! The cable between two living nodes is cut: both run, both raise and acknowledge. When it is whole again there is one
//! journal with all of it, and one live list.

use std::thread;

use serde_json::Value;

use crate::pair::alarms::{full_name, is_good, is_replicated, of_kind, of_the_plant, text};
use crate::pair::cable::Towards;
use crate::pair::{Node, Overlap, Pair, Status, TIMEOUT};
use crate::{ACTIVE, ACTIVE_ACKED, CLEARED, HIGH, LEVEL, LEVEL_H, NORMAL, SPARE, plant, spare_h};

// What becomes of each spare alarm. Of those that are active before the cut:
const ACKED_AT_THE_LOSER: usize = 0;
const ACKED_AT_THE_WINNER: usize = 1;
const CLEARED_AT_THE_LOSER: usize = 2;
// Of those that come while the cable is cut:
const RAISED_AT_BOTH_ACKED_AT_THE_LOSER: usize = 3;
const RAISED_AT_BOTH: usize = 4;
const RAISED_AT_THE_LOSER: usize = 5;
const RAISED_AND_ACKED_AT_THE_LOSER: usize = 6;
const RAISED_AND_ACKED_AT_THE_WINNER: usize = 7;

const DUAL_RUNNING: &str = "System/Redundancy/DualRunning";

#[test]
fn with_automatic_recovery_the_masters_list_stays_and_nothing_is_lost() {
    both_sides_are_united("automatic");
}

#[test]
fn with_manual_recovery_the_backups_list_stays_and_nothing_is_lost() {
    both_sides_are_united("manual");
}

fn both_sides_are_united(recovery: &'static str) {
    let pair = Pair::builder().recovery(recovery).cable().project(plant()).start();
    let before = [ACKED_AT_THE_LOSER, ACKED_AT_THE_WINNER, CLEARED_AT_THE_LOSER];
    for number in before {
        pair.master.write_replicated(SPARE[number], HIGH);
    }
    let before = before.map(|number| pair.both_show(&spare_h(number), ACTIVE));

    pair.part();
    let (winner, loser) =
        if recovery == "automatic" { (&pair.master, &pair.backup) } else { (&pair.backup, &pair.master) };
    for number in [RAISED_AT_BOTH_ACKED_AT_THE_LOSER, RAISED_AT_BOTH, RAISED_AND_ACKED_AT_THE_WINNER] {
        raise(winner, number);
    }
    for number in
        [RAISED_AT_BOTH_ACKED_AT_THE_LOSER, RAISED_AT_BOTH, RAISED_AT_THE_LOSER, RAISED_AND_ACKED_AT_THE_LOSER]
    {
        raise(loser, number);
    }
    assert!(loser.write(SPARE[CLEARED_AT_THE_LOSER], NORMAL, None).all_written());
    loser.wait_alarm(&spare_h(CLEARED_AT_THE_LOSER), CLEARED);
    for number in [ACKED_AT_THE_WINNER, RAISED_AND_ACKED_AT_THE_WINNER] {
        acknowledge(winner, number);
    }
    for number in [ACKED_AT_THE_LOSER, RAISED_AT_BOTH_ACKED_AT_THE_LOSER, RAISED_AND_ACKED_AT_THE_LOSER] {
        acknowledge(loser, number);
    }
    assert!(is_good(&loser.shelve(LEVEL, 30, "is being cleaned")));
    let sides = [Side::of(winner), Side::of(loser)];

    pair.cable().heal();
    pair.wait_ready_with(winner);
    let dual = pair.both_show(DUAL_RUNNING, CLEARED);
    assert!(tells_for_how_long(text(&dual, "value")), "{dual:#}");
    the_journal_is_complete(&pair, &sides);
    let [winners, losers] = &sides;

    // The same occurrence on both sides: it stays, and an acknowledgement of either side counts.
    for (number, state, comment) in [
        (ACKED_AT_THE_LOSER, ACTIVE_ACKED, said(loser, ACKED_AT_THE_LOSER)),
        (ACKED_AT_THE_WINNER, ACTIVE_ACKED, said(winner, ACKED_AT_THE_WINNER)),
        // The newer value survives, and by it the alarm is judged.
        (CLEARED_AT_THE_LOSER, CLEARED, String::new()),
    ] {
        let shown = pair.both_show(&spare_h(number), state);
        assert_eq!(shown["eventId"], before[number]["eventId"], "{shown:#}");
        assert_eq!(text(&shown, "ackNotes"), comment, "{shown:#}");
    }
    // An occurrence of its own on each side: the winner's is shown, acknowledged if the other was.
    let shown = pair.both_show(&spare_h(RAISED_AT_BOTH_ACKED_AT_THE_LOSER), ACTIVE_ACKED);
    assert_eq!(&shown["eventId"], winners.event(RAISED_AT_BOTH_ACKED_AT_THE_LOSER));
    let carried_over = format!("carried over from the other node: {}", said(loser, RAISED_AT_BOTH_ACKED_AT_THE_LOSER));
    assert_eq!(text(&shown, "ackNotes"), carried_over);
    let shown = pair.both_show(&spare_h(RAISED_AT_BOTH), ACTIVE);
    assert_eq!(&shown["eventId"], winners.event(RAISED_AT_BOTH));
    for number in [RAISED_AT_BOTH_ACKED_AT_THE_LOSER, RAISED_AT_BOTH] {
        assert_ne!(winners.event(number), losers.event(number), "two occurrences have the same id");
    }
    // On one side only: it is shown as it was there.
    for (number, side, state) in [
        (RAISED_AT_THE_LOSER, losers, ACTIVE),
        (RAISED_AND_ACKED_AT_THE_LOSER, losers, ACTIVE_ACKED),
        (RAISED_AND_ACKED_AT_THE_WINNER, winners, ACTIVE_ACKED),
    ] {
        let shown = pair.both_show(&spare_h(number), state);
        assert_eq!(&shown["eventId"], side.event(number), "{shown:#}");
    }
    let shelved: Vec<_> = [&pair.master, &pair.backup].map(|node| node.shelved()).concat();
    assert!(shelved.len() == 2 && shelved.iter().all(|row| text(row, "path") == LEVEL), "{shelved:#?}");

    a_repetition_is_known_at_the_other_node(&pair, loser, winner, &before[ACKED_AT_THE_LOSER]);

    // The loser has all of it, too: it goes on from there when it becomes Running.
    let list = of_the_plant(pair.same_alarms());
    pair.switch();
    assert_eq!(of_the_plant(pair.same_alarms()), list);
    pair.verify(Overlap::LinkWasCut);
}

#[test]
fn after_a_reset_link_both_sides_are_united_too() {
    let pair = Pair::builder().recovery("automatic").cable().project(plant()).start();
    pair.master.write_replicated(LEVEL, HIGH);
    let raised = pair.both_show(LEVEL_H, ACTIVE);
    for round in 0..2 {
        pair.cable().cut_hard();
        for node in [&pair.master, &pair.backup] {
            node.wait_shows("Running", "Faulted");
            raise(node, 2 * round + usize::from(node.name == "backup"));
        }
        if round == 0 {
            assert!(is_good(&pair.backup.ack(&raised, "seen", Some("ack at the Backup"))));
        }
        let sides = [Side::of(&pair.master), Side::of(&pair.backup)];
        pair.cable().heal();
        pair.wait_ready("Running", "Standby");
        let dual = pair.both_show(DUAL_RUNNING, CLEARED);
        assert!(tells_for_how_long(text(&dual, "value")), "{dual:#}");
        assert!(text(&dual, "activeTime") < text(&dual, "clearTime"), "since when: {dual:#}");
        assert!(is_good(&pair.backup.ack(&dual, "seen", None)));
        pair.master.wait_normal(DUAL_RUNNING);
        for number in 0..2 * (round + 1) {
            pair.both_show(&spare_h(number), ACTIVE);
        }
        let shown = pair.both_show(LEVEL_H, ACTIVE_ACKED);
        assert_eq!(shown["eventId"], raised["eventId"]);
        the_journal_is_complete(&pair, &sides);
    }
    let journal = pair.same_journal();
    assert_eq!(of_kind(&journal, DUAL_RUNNING, "Raised").len(), 2, "{journal:#?}");
    pair.verify(Overlap::LinkWasCut);
}

#[test]
fn an_acknowledgement_whose_answer_was_lost_with_the_cable_is_one_when_it_is_repeated_at_the_other_node() {
    let pair = Pair::builder().recovery("manual").cable().project(plant()).start();
    pair.master.write_replicated(LEVEL, HIGH);
    let raised = pair.both_show(LEVEL_H, ACTIVE);

    // The Master hears of it and does it; nobody hears of that.
    pair.cable().cut_towards(Towards::Backup);
    thread::scope(|scope| {
        scope.spawn(|| {
            let lost = pair.backup.ack(&raised, "seen", Some("lost answer"));
            assert!([503, 504].contains(&lost.status), "{lost:?}");
        });
        pair.master.wait_alarm(LEVEL_H, ACTIVE_ACKED);
    });
    pair.master.kill9();
    pair.backup.wait("it takes over", TIMEOUT, Status::is_running);
    assert!(is_good(&pair.backup.ack(&raised, "seen", Some("lost answer"))));

    pair.cable().heal();
    pair.master.start();
    pair.wait_ready("Standby", "Running");
    let shown = pair.both_show(LEVEL_H, ACTIVE_ACKED);
    assert_eq!((&shown["eventId"], text(&shown, "ackNotes")), (&raised["eventId"], "seen"));
    let journal = pair.same_journal();
    assert_eq!(of_kind(&journal, LEVEL_H, "Acknowledged").len(), 1, "{journal:#?}");
    pair.verify(Overlap::LinkWasCut);
}

#[test]
fn over_a_slow_link_an_acknowledgement_at_the_standby_takes_longer_and_is_right() {
    let pair = Pair::builder().cable().project(plant()).start();
    pair.cable().delay(40);
    pair.master.write_replicated(LEVEL, HIGH);
    let raised = pair.both_show(LEVEL_H, ACTIVE);
    let asked = std::time::Instant::now();
    let reply = pair.backup.ack(&raised, "seen", None);
    assert!(is_replicated(&reply), "{reply:?}");
    // There and back: forwarded, and answered.
    assert!(asked.elapsed().as_millis() >= 80, "the cable is not slow: {:?}", asked.elapsed());
    pair.both_show(LEVEL_H, ACTIVE_ACKED);
    pair.same_journal();
    pair.verify(Overlap::None);
}

#[track_caller]
fn raise(node: &Node, number: usize) {
    assert!(node.write(SPARE[number], HIGH, None).all_written());
    node.wait_alarm(&spare_h(number), ACTIVE);
}

#[track_caller]
fn acknowledge(node: &Node, number: usize) {
    let (alarm, said) = (node.wait_alarm(&spare_h(number), ACTIVE), said(node, number));
    let reply = node.ack(&alarm, &said, Some(&said));
    assert!(is_good(&reply) && !is_replicated(&reply), "the node is alone: {reply:?}");
}

/// The comment of an acknowledgement, and its operation id.
fn said(node: &Node, number: usize) -> String {
    format!("seen at the {}, number {number}", node.name)
}

/// What one side has at the end of the cut.
struct Side {
    alarms: Vec<Value>,
    journal: Vec<Value>,
}

impl Side {
    #[track_caller]
    fn of(node: &Node) -> Self {
        Self { alarms: node.alarms(), journal: node.journal() }
    }

    /// The event id of a spare alarm.
    #[track_caller]
    fn event(&self, number: usize) -> &Value {
        let row = self.alarms.iter().find(|row| full_name(row) == spare_h(number));
        &row.unwrap_or_else(|| panic!("spare alarm {number} is not in {:#?}", self.alarms))["eventId"]
    }
}

/// Both journals are equal and hold every row of both sides once.
#[track_caller]
fn the_journal_is_complete(pair: &Pair, sides: &[Side; 2]) {
    let journal = pair.same_journal();
    for side in sides {
        for row in &side.journal {
            let found = journal.iter().filter(|other| *other == row).count();
            // Of what both saw of one occurrence one row is shown.
            let same = |other: &&Value| (&other["eventId"], &other["kind"]) == (&row["eventId"], &row["kind"]);
            let judged = ["Raised", "Cleared"].contains(&text(row, "kind"));
            let shown = if judged { journal.iter().filter(same).count() } else { found };
            assert_eq!(shown, 1, "each row of either side is there once, this one is not: {row:#}");
        }
    }
    for (at, row) in journal.iter().enumerate() {
        assert!(!journal[..at].contains(row), "twice in the journal: {row:#}");
    }
    assert!(journal.is_sorted_by_key(|row| text(row, "eventTime").to_owned()), "not in the order of time");
}

/// The operation ids of the other side are known after the union.
#[track_caller]
fn a_repetition_is_known_at_the_other_node(pair: &Pair, said_at: &Node, winner: &Node, alarm: &Value) {
    for node in [winner, said_at] {
        let said = said(said_at, ACKED_AT_THE_LOSER);
        let reply = node.ack(alarm, &said, Some(&said));
        assert!(is_good(&reply), "a repetition at the {}: {reply:?}", node.name);
    }
    let journal = pair.same_journal();
    let made = of_kind(&journal, &spare_h(ACKED_AT_THE_LOSER), "Acknowledged");
    assert_eq!(made.len(), 1, "a repetition was made again: {made:#?}");
}

/// `both nodes were Running for 1.234 s`, with a time of less than a minute.
fn tells_for_how_long(value: &str) -> bool {
    let time = value.strip_prefix("both nodes were Running for ").and_then(|rest| rest.strip_suffix(" s"));
    time.and_then(|seconds| seconds.parse::<f64>().ok()).is_some_and(|seconds| (0.001..60.0).contains(&seconds))
}
