//! Alarms in each state, and entries of each kind, as clients get them.

use std::sync::Arc;

use hotpair_core::alarms::{AlarmCondition, AlarmKind, AlarmList, LimitLevel, SystemAlarm, Watched};
use hotpair_core::catalog::TagId;
use hotpair_core::types::{Epoch, Millis};
use serde_json::json;

use super::*;

const NOW: Now = Now { mono: Millis(5_000), wall: UnixMillis(1_767_600_005_000) };

fn def(path: &str, priority: AlarmPriority) -> AlarmDef {
    AlarmDef {
        path: path.into(),
        name: "H".into(),
        watched: Watched::Tag(TagId(0)),
        condition: AlarmCondition::Limit { level: LimitLevel::H, limit: 5.0, inclusive: false, deadband: 0.0 },
        active_delay_ms: 0,
        resume_delay_ms: 0,
        priority,
        ack_mode: AckMode::Manual,
        description: "Too high".into(),
    }
}

fn entry(kind: EntryKind, path: &str) -> AlarmEntry {
    let time = UnixMillis(1_767_600_000_000);
    AlarmEntry {
        origin: Epoch { counter: 3, node: NodeId(7) },
        position: 1,
        kind,
        event: EventId(0xab),
        number: 1,
        path: path.into(),
        name: "H".into(),
        alarm: AlarmKind::Limit(LimitLevel::H),
        priority: AlarmPriority::High,
        ack_mode: AckMode::Manual,
        description: "Too high".into(),
        time,
        active: true,
        acked: false,
        active_time: time,
        value: Some(Value::Float64(6.5)),
        node: NodeId(8),
        operator: "".into(),
        comment: "".into(),
        operation: None,
        shelved_ms: 0,
    }
}

fn table(paths: &[(&str, AlarmPriority)]) -> AlarmTable {
    let defs = paths.iter().map(|(path, priority)| def(path, *priority)).collect();
    AlarmTable::new(Arc::new(AlarmList::new(defs).unwrap()))
}

#[test]
fn an_alarm_is_the_documented_json_both_ways() {
    let mut table = table(&[("Plant/A", AlarmPriority::High)]);
    assert!(table.apply(&entry(EntryKind::Raised, "Plant/A"), NOW.mono));
    let shown = AlarmShown::of(&table, AlarmId(0)).unwrap();
    let written = serde_json::to_value(&shown).unwrap();
    let expected = json!({
        "eventId": "000000000000000000000000000000ab", "path": "Plant/A", "name": "H", "type": "H",
        "priority": "High", "state": "Active,Unacked", "activeTime": "2026-01-05T08:00:00.000Z", "clearTime": null,
        "ackTime": null, "operator": "", "ackNotes": "", "value": 6.5, "description": "Too high",
        "ackMode": "Manual", "shelved": false
    });
    assert_eq!(written, expected);
    assert_eq!(serde_json::from_value::<AlarmShown>(written).unwrap(), shown);
}

#[test]
fn an_alarm_is_followed_until_it_is_normal() {
    let mut table = table(&[("Plant/A", AlarmPriority::Low)]);
    let shown = |table: &AlarmTable| AlarmShown::of(table, AlarmId(0)).unwrap();
    assert_eq!((shown(&table).state.as_str(), shown(&table).event_id), ("Cleared,Acked", None));
    let mut entry = entry(EntryKind::Raised, "Plant/A");
    table.apply(&entry, NOW.mono);
    entry.kind = EntryKind::Cleared;
    entry.time = UnixMillis(entry.time.0 + 1000);
    (entry.active, entry.value) = (false, Some(Value::Float64(4.0)));
    table.apply(&entry, NOW.mono);
    let cleared = shown(&table);
    assert_eq!((cleared.state.as_str(), cleared.value), ("Cleared,Unacked", json!(4.0)));
    assert_eq!(cleared.clear_time, Some(UnixMillis(1_767_600_001_000)));
    entry.kind = EntryKind::Acknowledged;
    (entry.acked, entry.operator, entry.comment) = (true, "ann".into(), "seen".into());
    table.apply(&entry, NOW.mono);
    assert_eq!((shown(&table).state.as_str(), shown(&table).event_id), ("Cleared,Acked", None));
}

#[test]
fn the_most_urgent_and_newest_come_first_and_shelved_ones_say_so() {
    let mut table = table(&[
        ("Plant/A", AlarmPriority::Low),
        ("Plant/B", AlarmPriority::Critical),
        ("Plant/C", AlarmPriority::Critical),
    ]);
    for (i, path) in (0_u8..).zip(["Plant/A", "Plant/B", "Plant/C"]) {
        let mut raised = entry(EntryKind::Raised, path);
        raised.event = EventId(i.into());
        raised.active_time = UnixMillis(raised.active_time.0 + i64::from(i));
        table.apply(&raised, NOW.mono);
    }
    let mut shelved = entry(EntryKind::Shelved, "Plant/B");
    (shelved.shelved_ms, shelved.operator, shelved.comment) = (90_500, "ann".into(), "works".into());
    assert!(table.apply(&shelved, NOW.mono));
    let shown = AlarmsShown::of(&table, Now { mono: Millis(6_000), wall: UnixMillis(NOW.wall.0 + 1000) });
    let order: Vec<_> = shown.alarms.iter().map(|alarm| (alarm.path.as_str(), alarm.shelved)).collect();
    assert_eq!(order, [("Plant/C", false), ("Plant/B", true), ("Plant/A", false)]);
    let shelving = &shown.shelvings[0];
    assert_eq!((shelving.path.as_str(), shelving.remaining_s), ("Plant/B", 90));
    assert_eq!(shelving.until, UnixMillis(NOW.wall.0 + 90_500));
    let by_plan = AlarmsShown::of(&table, Now { mono: Millis(6_000), wall: UnixMillis(shelved.time.0 + 1_003) });
    assert_eq!(by_plan.shelvings[0].until, UnixMillis(shelved.time.0 + 90_500), "it does not move by milliseconds");
    let written = serde_json::to_value(&shown).unwrap();
    assert_eq!(serde_json::from_value::<AlarmsShown>(written).unwrap(), shown);
}

#[test]
fn rows_of_the_journal() {
    let mut acknowledged = entry(EntryKind::Acknowledged, "Plant/A");
    (acknowledged.acked, acknowledged.operator, acknowledged.comment) = (true, "ann".into(), "seen".into());
    let row = AlarmRow::from(&acknowledged);
    let written = serde_json::to_value(&row).unwrap();
    let expected = json!({
        "eventId": "000000000000000000000000000000ab", "path": "Plant/A", "name": "H", "type": "H",
        "priority": "High", "kind": "Acknowledged", "eventTime": "2026-01-05T08:00:00.000Z",
        "status": "Active,Acked", "value": 6.5, "valueType": "Float64", "description": "Too high",
        "ackTime": "2026-01-05T08:00:00.000Z", "ackNotes": "seen", "operator": "ann", "ackMode": "Manual",
        "shelvedMinutes": null, "node": "0000000000000008", "epoch": 3, "epochNode": "0000000000000007"
    });
    assert_eq!(written, expected);
    assert_eq!(serde_json::from_value::<AlarmRow>(written).unwrap(), row);
    let raised = AlarmRow::from(&entry(EntryKind::Raised, "Plant/A"));
    assert_eq!((raised.status.as_str(), raised.ack_time), ("Active,Unacked", None));
    let mut shelved = entry(EntryKind::Shelved, "Plant/*");
    shelved.shelved_ms = 90_000;
    let shelved = AlarmRow::from(&shelved);
    assert_eq!((shelved.alarm.as_str(), shelved.status.as_str()), ("Shelving", "Shelved"));
    assert_eq!((shelved.priority, shelved.ack_mode, shelved.shelved_minutes), (None, None, Some(1.5)));
}

#[test]
fn system_alarms_are_alarms_like_others() {
    let list = AlarmList::new(Vec::new()).unwrap();
    let id = list.of_system(SystemAlarm::PeerLost).unwrap();
    let shown = AlarmShown::of(&AlarmTable::new(Arc::new(list)), id).unwrap();
    assert_eq!(
        (shown.path.as_str(), shown.name.as_str(), shown.alarm.as_str()),
        ("System/Redundancy", "PeerLost", "System")
    );
}
