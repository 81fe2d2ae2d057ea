//! Acknowledging at the Standby node, refusals, and kills around the answer.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::pair::alarms::{is_good, is_replicated, of_kind, text};
use crate::pair::{Node, Overlap, Pair, Profile, Reply, Status, TIMEOUT};
use crate::{ACTIVE, ACTIVE_ACKED, CLEARED, HIGH, LEVEL, LEVEL_H, NORMAL, OVERPRESSURE, PRESSURE, plant};

#[test]
fn an_acknowledgement_at_the_standby_is_there_once_on_both_nodes_with_who_and_why() {
    let pair = Pair::builder().project(plant()).start();
    pair.master.write_replicated(LEVEL, HIGH);
    let raised = pair.both_show(LEVEL_H, ACTIVE);
    assert_eq!((&raised["value"], &raised["priority"]), (&HIGH.into(), &"High".into()), "{raised:#}");

    let reply = pair.backup.ack(&raised, "the feed was closed", Some("ack-1"));
    assert_eq!((reply.status, reply.text.as_str()), (200, r#"{"result":"Good","replicated":true}"#));

    // "replicated" means: both have it now.
    for node in [&pair.master, &pair.backup] {
        let shown = node.alarm(LEVEL_H).unwrap();
        assert_eq!(text(&shown, "state"), ACTIVE_ACKED, "{}", node.name);
        assert_eq!(shown["eventId"], raised["eventId"]);
        assert_eq!(text(&shown, "ackNotes"), "the feed was closed");
        assert!(!text(&shown, "operator").is_empty() && !shown["ackTime"].is_null(), "{shown:#}");
    }
    pair.same_alarms();

    let journal = pair.same_journal();
    let acknowledged = of_kind(&journal, LEVEL_H, "Acknowledged");
    assert_eq!((of_kind(&journal, LEVEL_H, "Raised").len(), acknowledged.len()), (1, 1), "{journal:#?}");
    let row = acknowledged[0];
    assert_eq!(row["eventId"], raised["eventId"]);
    assert_eq!((text(row, "status"), text(row, "ackNotes")), (ACTIVE_ACKED, "the feed was closed"));
    assert!(!text(row, "operator").is_empty(), "{row:#}");
    assert_eq!(text(row, "node"), pair.backup.status().node.id, "it was said at the Backup");
    pair.verify(Overlap::None);
}

#[test]
fn what_cannot_be_acknowledged_is_refused_with_a_reason_and_changes_nothing() {
    let pair = Pair::builder().project(plant()).start();
    pair.master.write_replicated(PRESSURE, HIGH);
    let raised = pair.both_show(OVERPRESSURE, ACTIVE);

    for node in [&pair.backup, &pair.master] {
        for silence in ["", "   "] {
            let reply = node.ack(&raised, silence, None);
            assert_eq!((reply.status, reply.error_code().as_str()), (400, "comment_missing"), "{reply:?}");
            assert!(reply.error_message().contains("comment"), "{reply:?}");
        }
        let reply = node.try_ack(&"0123456789abcdef".repeat(2), "why not", None).unwrap();
        assert_eq!((reply.status, reply.error_code().as_str()), (404, "event_unknown"), "{reply:?}");
        let reply = node.try_ack("no-id", "why not", None).unwrap();
        assert_eq!(reply.status, 400, "{reply:?}");
    }
    assert_eq!(pair.both_show(OVERPRESSURE, ACTIVE), raised);

    let first = pair.backup.ack(&raised, "valve opened", Some("ack-2"));
    assert!(is_replicated(&first), "{first:?}");
    for node in [&pair.master, &pair.backup] {
        let repeated = node.ack(&raised, "valve opened", Some("ack-2"));
        assert_eq!(result(&repeated), result(&first), "{}", node.name);
        let another = node.ack(&raised, "valve opened", Some(&format!("another at {}", node.name)));
        assert_eq!((another.status, another.error_code().as_str()), (409, "already_acknowledged"), "{another:?}");
        let conflict = node.ack(&raised, "something else", Some("ack-2"));
        assert_eq!(conflict.status, 409, "the same id for another request: {conflict:?}");
        assert_ne!(conflict.error_code(), "already_acknowledged", "{conflict:?}");
    }
    let journal = pair.same_journal();
    assert_eq!(of_kind(&journal, OVERPRESSURE, "Acknowledged").len(), 1, "{journal:#?}");
    pair.verify(Overlap::None);
}

#[test]
fn the_id_of_an_old_occurrence_never_touches_the_new_one() {
    let pair = Pair::builder().project(plant()).start();
    let come = || {
        pair.master.write_replicated(LEVEL, HIGH);
        pair.both_show(LEVEL_H, ACTIVE)
    };
    let go = |state: &str| {
        pair.master.write_replicated(LEVEL, NORMAL);
        if state.is_empty() {
            pair.master.wait_normal(LEVEL_H);
        } else {
            pair.both_show(LEVEL_H, state);
        }
    };

    let first = come();
    assert!(is_replicated(&pair.backup.ack(&first, "first", None)));
    go("");
    let second = come();
    assert_ne!(second["eventId"], first["eventId"]);
    stays_untouched(&pair, &first, &second);

    // Nobody acknowledged the second one when the third one takes its place.
    go(CLEARED);
    let third = come();
    assert_ne!(third["eventId"], second["eventId"]);
    stays_untouched(&pair, &first, &third);
    stays_untouched(&pair, &second, &third);

    // Nor after a failover.
    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    for old in [&first, &second] {
        assert!([404, 409].contains(&pair.backup.ack(old, "late", None).status));
    }
    assert_eq!(pair.backup.alarm(LEVEL_H).unwrap(), third);
    assert!(is_good(&pair.backup.ack(&third, "third", None)));
    let journal = pair.backup.journal();
    let acknowledged = of_kind(&journal, LEVEL_H, "Acknowledged");
    let of: Vec<_> = acknowledged.iter().map(|row| (&row["eventId"], text(row, "ackNotes"))).collect();
    assert_eq!(of, [(&first["eventId"], "first"), (&third["eventId"], "third")]);
    pair.verify(Overlap::None);
}

#[track_caller]
fn stays_untouched(pair: &Pair, old: &Value, new: &Value) {
    for node in [&pair.backup, &pair.master] {
        let reply = node.ack(old, "late", None);
        assert!([404, 409].contains(&reply.status), "{reply:?}");
        assert!(!reply.error_message().is_empty());
    }
    assert_eq!(&pair.both_show(LEVEL_H, ACTIVE), new);
}

/// When the Running node is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kill {
    Before,
    /// So long after the request was sent.
    While(Duration),
    After,
}

impl Kill {
    /// A different moment each round, spread over somewhat more time than an acknowledgement takes.
    fn of(round: u32, calm: Duration) -> Self {
        match round % 6 {
            0 => Self::Before,
            3 => Self::After,
            _ => Self::While(calm.mul_f64(1.3 * f64::from(round.wrapping_mul(2_654_435_761) >> 16) / 65_536.0)),
        }
    }
}

/// How long an acknowledgement at the Standby takes while nobody dies.
#[track_caller]
fn calm_time(pair: &Pair) -> Duration {
    let mut times = [0, 1, 2].map(|_| {
        pair.master.write_replicated(LEVEL, NORMAL);
        pair.master.write_replicated(LEVEL, HIGH);
        let raised = pair.both_show(LEVEL_H, ACTIVE);
        let asked = Instant::now();
        assert!(is_replicated(&pair.backup.ack(&raised, "calm", None)));
        asked.elapsed()
    });
    times.sort_unstable();
    times[1]
}

#[test]
fn an_acknowledgement_is_made_once_whenever_the_running_node_is_killed() {
    let rounds = std::env::var("HOTPAIR_ROUNDS").map_or(12, |text| text.parse().expect("HOTPAIR_ROUNDS: a number"));
    let pair = Pair::builder().profile(Profile::Fast).recovery("manual").project(plant()).start();
    let calm = calm_time(&pair);
    let mut made: Vec<(u32, Kill, String)> = Vec::new();
    let mut answered = 0;
    for round in 0..rounds {
        let kill = Kill::of(round, calm);
        let (running, standby) = pair.running_and_other();
        running.write_replicated(LEVEL, NORMAL);
        running.write_replicated(LEVEL, HIGH);
        let raised = pair.both_show(LEVEL_H, ACTIVE);
        let (event, operation) = (text(&raised, "eventId").to_owned(), format!("operation {round}"));

        let first = acknowledge_and_kill(standby, running, &event, &operation, kill);
        standby.wait("it takes over", TIMEOUT, Status::is_running);
        let promised = first.as_ref().is_some_and(is_replicated);
        if promised {
            let state = standby.alarm_state(LEVEL_H);
            assert_eq!(state, ACTIVE_ACKED, "round {round}, {kill:?}: a replicated acknowledgement is lost");
        }
        let last = repeat_until_answered(standby, &event, &operation);
        assert!(is_good(&last), "round {round}, {kill:?}: first {first:?}, then {last:?}");
        if let Some(first) = first.filter(|first| first.status == 200) {
            answered += 1;
            assert_eq!(result(&last), result(&first), "round {round}, {kill:?}");
        }
        made.push((round, kill, event));

        running.start();
        pair.wait_ready_with(standby);
        pair.both_show(LEVEL_H, ACTIVE_ACKED);
    }

    println!("an acknowledgement takes {calm:?}; {answered} of {rounds} were answered before the Running node died");
    assert!((1..rounds).contains(&answered), "the kills come always before, or always after the answer: {answered}");
    let journal = pair.same_journal();
    let mut acknowledged = of_kind(&journal, LEVEL_H, "Acknowledged");
    acknowledged.retain(|row| text(row, "ackNotes") != "calm");
    for (round, kill, event) in &made {
        let of_event: Vec<_> = acknowledged.iter().filter(|row| text(row, "eventId") == event).collect();
        assert_eq!(of_event.len(), 1, "round {round}, {kill:?}: {of_event:#?}");
        assert_eq!(text(of_event[0], "ackNotes"), format!("operation {round}"), "{kill:?}");
    }
    assert_eq!(acknowledged.len(), made.len(), "an acknowledgement that nobody made");
    let (raised, cleared) = (of_kind(&journal, LEVEL_H, "Raised"), of_kind(&journal, LEVEL_H, "Cleared"));
    let occurrences = made.len() + 3;
    assert_eq!((raised.len(), cleared.len()), (occurrences, occurrences - 1), "one occurrence a round");
    pair.verify(Overlap::None);
}

/// The answer, if one came.
#[track_caller]
fn acknowledge_and_kill(standby: &Node, running: &Node, event: &str, operation: &str, kill: Kill) -> Option<Reply> {
    let acknowledge = || standby.try_ack(event, operation, Some(operation)).ok();
    let answer = match kill {
        Kill::Before => {
            running.kill9();
            acknowledge()
        }
        Kill::While(time) => thread::scope(|scope| {
            let (sender, sent) = mpsc::channel();
            let request = scope.spawn(move || {
                sender.send(Instant::now()).unwrap();
                acknowledge()
            });
            let at = sent.recv().unwrap() + time;
            // Sleeping takes longer than what is to be waited for.
            while Instant::now() < at {
                std::hint::spin_loop();
            }
            running.kill9();
            request.join().unwrap()
        }),
        Kill::After => {
            let answer = acknowledge();
            assert!(answer.as_ref().is_some_and(is_replicated), "nobody is killed yet: {answer:?}");
            running.kill9();
            answer
        }
    };
    if let Some(reply) = &answer {
        assert!([200, 503, 504].contains(&reply.status), "neither done nor a reason to repeat: {reply:?}");
    }
    answer
}

#[track_caller]
fn repeat_until_answered(node: &Node, event: &str, operation: &str) -> Reply {
    let end = Instant::now() + TIMEOUT;
    loop {
        let reply = node.try_ack(event, operation, Some(operation)).unwrap();
        if ![503, 504].contains(&reply.status) {
            return reply;
        }
        assert!(Instant::now() < end, "the repetitions never succeed: {reply:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What a repetition must say again. `replicated` may have become true or false since.
#[track_caller]
fn result(reply: &Reply) -> (u16, Value) {
    (reply.status, reply.json()["result"].clone())
}
