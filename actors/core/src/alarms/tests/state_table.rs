//! What becomes of an alarm in each state, whatever happens.

use super::stage::*;
use crate::alarms::*;
use crate::quality::Quality;

/// The alarm is `H` at 100 with a dead-band of 5 and no delays. Values: beyond 110, between 97, behind 90. `=`: nothing
/// changes and nothing is journaled.
const TABLE: &str = "
    from            | what                        | to              | journal
    Normal          | Good beyond                 | Active,Unacked  | Raised
    Normal          | Good between                | =               |
    Normal          | Good behind                 | =               |
    Normal          | Uncertain beyond            | Active,Unacked  | Raised
    Normal          | Uncertain_LastUsable beyond | Active,Unacked  | Raised
    Normal          | Uncertain_NoComm beyond     | Active,Unacked  | Raised
    Normal          | Bad beyond                  | =               |
    Normal          | Error beyond                | =               |
    Normal          | NaN                         | =               |
    Normal          | acknowledge                 | refused         |
    Normal          | comment                     | refused         |
    Normal          | a day                       | =               |
    Normal          | shelve                      | same, hidden    | Shelved
    Normal          | takeover                    | =               |

    Active,Unacked  | Good beyond                 | =               |
    Active,Unacked  | Good between                | =               |
    Active,Unacked  | Good behind                 | Cleared,Unacked | Cleared
    Active,Unacked  | Uncertain behind            | Cleared,Unacked | Cleared
    Active,Unacked  | Uncertain_LastUsable behind | =               |
    Active,Unacked  | Uncertain_NoComm behind     | =               |
    Active,Unacked  | Bad behind                  | =               |
    Active,Unacked  | Error behind                | =               |
    Active,Unacked  | NaN                         | =               |
    Active,Unacked  | acknowledge                 | Active,Acked    | Acknowledged
    Active,Unacked  | comment                     | same, commented | Commented
    Active,Unacked  | a day                       | =               |
    Active,Unacked  | shelve                      | same, hidden    | Shelved
    Active,Unacked  | takeover                    | =               |

    Active,Acked    | Good beyond                 | =               |
    Active,Acked    | Good between                | =               |
    Active,Acked    | Good behind                 | Normal          | Cleared
    Active,Acked    | Uncertain behind            | Normal          | Cleared
    Active,Acked    | Uncertain_LastUsable behind | =               |
    Active,Acked    | Uncertain_NoComm behind     | =               |
    Active,Acked    | Bad behind                  | =               |
    Active,Acked    | Error behind                | =               |
    Active,Acked    | NaN                         | =               |
    Active,Acked    | acknowledge                 | refused         |
    Active,Acked    | comment                     | same, commented | Commented
    Active,Acked    | a day                       | =               |
    Active,Acked    | shelve                      | same, hidden    | Shelved
    Active,Acked    | takeover                    | =               |

    Cleared,Unacked | Good beyond                 | Active,Unacked  | Raised
    Cleared,Unacked | Good between                | =               |
    Cleared,Unacked | Good behind                 | =               |
    Cleared,Unacked | Uncertain beyond            | Active,Unacked  | Raised
    Cleared,Unacked | Uncertain_LastUsable beyond | Active,Unacked  | Raised
    Cleared,Unacked | Uncertain_NoComm beyond     | Active,Unacked  | Raised
    Cleared,Unacked | Bad beyond                  | =               |
    Cleared,Unacked | Error beyond                | =               |
    Cleared,Unacked | NaN                         | =               |
    Cleared,Unacked | acknowledge                 | Normal          | Acknowledged
    Cleared,Unacked | comment                     | same, commented | Commented
    Cleared,Unacked | a day                       | Normal          | Acknowledged
    Cleared,Unacked | shelve                      | same, hidden    | Shelved
    Cleared,Unacked | takeover                    | =               |
";

fn in_state(state: &str) -> Node {
    let mut node = Node::new(vec![alarm(0, high(100.0, 5.0))]);
    node.value(90.0);
    if state != "Normal" {
        node.value_at(1000, 120.0);
    }
    match state {
        "Active,Acked" => assert_eq!(node.ack(node.event(0), ""), AlarmResult::Good),
        "Cleared,Unacked" => node.value_at(2000, 80.0),
        _ => {}
    }
    node.until(3000);
    assert_eq!(node.shown(0), state);
    node
}

fn happens(node: &mut Node, what: &str) -> Option<AlarmResult> {
    let value = match what.rsplit(' ').next() {
        Some("beyond") => 110.0,
        Some("between") => 97.0,
        Some("behind") => 90.0,
        _ => f64::NAN,
    };
    let quality = match what.split(' ').next() {
        Some("Uncertain") => Quality::UNCERTAIN,
        Some("Uncertain_LastUsable") => Quality::UNCERTAIN_LAST_USABLE_VALUE,
        Some("Uncertain_NoComm") => Quality::UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE,
        Some("Bad") => Quality::BAD_SENSOR_FAILURE,
        Some("Error") => Quality(0xC000_0000),
        _ => Quality::GOOD,
    };
    let event = node.live(0).map_or(EventId(1), |live| live.event);
    match what {
        "acknowledge" => return Some(node.ack(event, "seen")),
        "comment" => return Some(node.operate(AlarmAction::Comment { event, comment: "hm".into() })),
        "shelve" => return Some(node.shelve("Plant/*", HOUR)),
        "a day" => drop(node.until(2000 + 24 * HOUR as i64)),
        "takeover" => {
            node.engine.end();
            node.begin(Some(Quality::UNCERTAIN_LAST_USABLE_VALUE));
        }
        _ => node.sample(0, crate::value::Sample { quality, ..good(value, 3000) }),
    }
    None
}

#[test]
fn every_state_and_everything_that_happens() {
    for row in TABLE.lines().map(str::trim).filter(|row| !row.is_empty()).skip(1) {
        let [from, what, to, journaled] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let mut node = in_state(from);
        let (before, written) = (node.state(0).clone(), node.journal.len());
        let result = happens(&mut node, what);
        let kinds: Vec<_> = node.journal[written..].iter().map(|entry| format!("{:?}", entry.kind)).collect();
        assert_eq!(kinds.join(","), journaled, "{row}");
        let after = node.state(0);
        assert_eq!(node.table.is_shelved(AlarmId(0)), what == "shelve", "{row}");
        match to {
            "=" => assert_eq!((after, result), (&before, None), "{row}"),
            "refused" => {
                assert_eq!(after, &before, "{row}");
                assert_ne!(result, Some(AlarmResult::Good), "{row}");
            }
            "same, hidden" => assert_eq!((after, result), (&before, Some(AlarmResult::Good)), "{row}"),
            "same, commented" => {
                assert_eq!(node.shown(0), from, "{row}");
                assert_eq!(&*node.live(0).unwrap().comment, "hm", "{row}");
            }
            state => assert_eq!(node.shown(0), state, "{row}"),
        }
        // An occurrence that begins is another one; one that goes on stays the same.
        let raised = journaled == "Raised";
        assert_eq!(after.number, before.number + u64::from(raised), "{row}");
        if let (false, Some(before), Some(after)) = (raised, &before.live, &after.live) {
            assert_eq!(before.event, after.event, "{row}");
        }
        check_derived(&node.table);
    }
}

#[test]
fn an_alarm_that_acknowledges_itself_is_over_when_it_clears() {
    let mut node = Node::new(vec![AlarmDef { ack_mode: AckMode::Automatic, ..alarm(0, high(100.0, 0.0)) }]);
    node.value_at(10, 101.0);
    assert_eq!(node.shown(0), "Active,Unacked");
    node.value_at(20, 100.0);
    assert_eq!(node.shown(0), "Normal");
    let cleared = node.journal.last().unwrap();
    assert_eq!((cleared.kind, cleared.active, cleared.acked), (EntryKind::Cleared, false, true));
    node.value_at(30, 101.0);
    assert_eq!(node.ack(node.event(0), ""), AlarmResult::Good, "an operator may do it earlier");
    assert_eq!(node.shown(0), "Active,Acked");
}

#[test]
fn a_stale_alarm_says_why_it_is_acknowledged() {
    let mut node = in_state("Cleared,Unacked");
    node.until(2000 + 24 * HOUR as i64 - 1);
    assert_eq!(node.shown(0), "Cleared,Unacked", "not a millisecond too early");
    node.until(2000 + 24 * HOUR as i64);
    let entry = node.journal.last().unwrap();
    assert_eq!((&*entry.operator, &*entry.comment), ("", "stale: nobody acknowledged it for 24 h"));
    assert_eq!(node.engine.next_deadline(), None);
}

#[test]
fn the_next_leader_does_not_wait_anew_until_an_alarm_is_stale() {
    let mut first = in_state("Cleared,Unacked");
    let settings = EngineSettings { stale_after_ms: Some(24 * HOUR) };
    let mut second = Node::with(first.table.list().clone(), settings, 2, 2);
    second.table.replace(first.table.states().map(|(key, state)| (key, state.clone())).collect(), vec![]);
    first.until(10 * HOUR as i64);
    second.time = first.time;
    second.begin(None);
    second.until(2000 + 24 * HOUR as i64 - 1);
    assert_eq!(second.shown(0), "Cleared,Unacked");
    second.until(2000 + 24 * HOUR as i64);
    assert_eq!(second.shown(0), "Normal");
}

#[test]
fn a_replay_of_old_values_is_not_stale_at_once() {
    let mut node = Node::new(vec![alarm(0, high(100.0, 5.0))]);
    node.time = 100 * HOUR as i64;
    node.sample(0, good(110.0, 5));
    node.sample(0, good(10.0, 6));
    node.until(124 * HOUR as i64 - 1);
    assert_eq!(node.shown(0), "Cleared,Unacked");
    node.until(124 * HOUR as i64);
    assert_eq!(node.shown(0), "Normal");
}

#[test]
fn a_system_alarm_is_an_ordinary_one() {
    let mut node = Node::new(vec![]);
    let id = node.table.list().of_system(SystemAlarm::PeerLost).unwrap();
    let say = |node: &mut Node, holds: Option<&str>| {
        let holds = holds.map(|text| crate::value::Value::String(text.into()));
        node.work(|engine, table, pen, now, out| engine.system(table, SystemAlarm::PeerLost, holds, pen, now, out));
    };
    say(&mut node, None);
    assert_eq!(node.shown(id.0), "Normal");
    node.until(7);
    say(&mut node, Some("no answer for 1 s"));
    say(&mut node, Some("no answer for 2 s"));
    assert_eq!(node.shown(id.0), "Active,Unacked");
    assert_eq!(node.journal[0].value, Some(crate::value::Value::String("no answer for 1 s".into())));
    node.until(9);
    say(&mut node, None);
    assert_eq!(node.shown(id.0), "Cleared,Unacked");
    assert_eq!(node.said(), [(EntryKind::Raised, 7), (EntryKind::Cleared, 9)]);
}
