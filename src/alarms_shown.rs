//! Alarms as clients see them: the JSON of the calls about alarms.
//!
//! The same types are written by the web server and read by the command line.

use std::cmp::Reverse;

use hotpair_core::alarms::{
    AckMode, AlarmDef, AlarmEntry, AlarmId, AlarmPriority, AlarmTable, EntryKind, EventId, Occurrence, Shelf,
};
use hotpair_core::replicator::Now;
use hotpair_core::types::{NodeId, UnixMillis};
use hotpair_core::value::{Value, ValueType};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::plain_json;
use crate::status::{node_id, rfc3339};

/// All live alarms, shelved ones too, and the shelvings in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmsShown {
    /// What is not normal: the most urgent first, of equal ones the newest.
    pub alarms: Vec<AlarmShown>,
    /// In the order of their paths.
    pub shelvings: Vec<ShelvingShown>,
}

/// An alarm that is not normal: `GET /api/v1/alarms`. There is one of each path and name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmShown {
    /// Names the occurrence, for acknowledging it; none when it is over and not known any more.
    #[serde(with = "optional_event_id")]
    pub event_id: Option<EventId>,
    /// The path of its tag.
    pub path: String,
    /// Its name, unique at its path.
    pub name: String,
    /// Its kind: `H4`, `RateOfChange` and so on.
    #[serde(rename = "type")]
    pub alarm: String,
    /// How urgent it is.
    pub priority: AlarmPriority,
    /// `Active,Unacked`, `Active,Acked`, `Cleared,Unacked`, or `Cleared,Acked` when it is normal again.
    pub state: String,
    /// When the occurrence began.
    #[serde(with = "optional_rfc3339")]
    pub active_time: Option<UnixMillis>,
    /// When it cleared; none while it is active.
    #[serde(with = "optional_rfc3339")]
    pub clear_time: Option<UnixMillis>,
    /// When it was acknowledged; none before.
    #[serde(with = "optional_rfc3339")]
    pub ack_time: Option<UnixMillis>,
    /// Who acknowledged it; empty when nobody did.
    pub operator: String,
    /// The last comment.
    pub ack_notes: String,
    /// The value that raised or cleared it.
    pub value: Json,
    /// For people.
    pub description: String,
    /// How it is acknowledged.
    pub ack_mode: AckMode,
    /// A shelving hides it.
    pub shelved: bool,
}

/// A shelving in force: `GET /api/v1/alarms/shelved`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShelvingShown {
    /// Its name in the journal.
    #[serde(with = "event_id")]
    pub event_id: EventId,
    /// As it was shelved: the path of a tag, or that and an alarm's name, or a pattern.
    pub path: String,
    /// When it began.
    #[serde(with = "rfc3339")]
    pub since: UnixMillis,
    /// When it ends by itself.
    #[serde(with = "rfc3339")]
    pub until: UnixMillis,
    /// Seconds until then.
    pub remaining_s: u64,
    /// Who shelved.
    pub operator: String,
    /// Why.
    pub comment: String,
}

/// An entry of the journal: a row of `GET /api/v1/historicalData/alarms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmRow {
    /// The occurrence that it is about; of a shelving its own.
    #[serde(with = "event_id")]
    pub event_id: EventId,
    /// The path of the alarm's tag; of a shelving what was shelved.
    pub path: String,
    /// The alarm's name; empty of a shelving.
    pub name: String,
    /// The alarm's kind; `Shelving` of a shelving.
    #[serde(rename = "type")]
    pub alarm: String,
    /// How urgent the alarm is; none of a shelving.
    pub priority: Option<AlarmPriority>,
    /// What happened.
    pub kind: EntryKind,
    /// When it happened.
    #[serde(with = "rfc3339")]
    pub event_time: UnixMillis,
    /// The alarm's state after it, as in [`AlarmShown::state`]; `Shelved` or `Unshelved` of a shelving.
    pub status: String,
    /// The value that raised or cleared it.
    pub value: Json,
    /// The type of that value; none when there is none.
    pub value_type: Option<ValueType>,
    /// What the alarm is, for people.
    pub description: String,
    /// When it was acknowledged, in the row of the acknowledgement.
    #[serde(with = "optional_rfc3339")]
    pub ack_time: Option<UnixMillis>,
    /// What the operator said.
    pub ack_notes: String,
    /// Who; empty when a rule did it.
    pub operator: String,
    /// How the alarm is acknowledged; none of a shelving.
    pub ack_mode: Option<AckMode>,
    /// For how long was shelved, in minutes; none of other rows.
    pub shelved_minutes: Option<f64>,
    /// The node where the operator was, or that judged the value.
    #[serde(with = "node_id")]
    pub node: NodeId,
    /// Counter of the tenure of Running in which it was written.
    pub epoch: u64,
    /// The node whose tenure that was.
    #[serde(with = "node_id")]
    pub epoch_node: NodeId,
}

/// A page of the journal: `GET /api/v1/historicalData/pagedAlarms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmPage {
    /// Rows on all pages.
    pub total_count: u64,
    /// This page, from 0.
    pub page_index: u64,
    /// Rows on a full page.
    pub page_size: usize,
    /// Its rows, oldest first.
    pub data: Vec<AlarmRow>,
}

impl AlarmsShown {
    /// What the table says now.
    pub fn of(table: &AlarmTable, now: Now) -> Self {
        let mut alarms: Vec<_> = table.live().filter_map(|(id, _)| AlarmShown::of(table, id)).collect();
        alarms.sort_by_key(|alarm| Reverse((alarm.priority, alarm.active_time)));
        Self { alarms, shelvings: ShelvingShown::all(table, now) }
    }
}

impl AlarmShown {
    /// The alarm as it is now, also a normal one; none for an id of another list.
    pub fn of(table: &AlarmTable, id: AlarmId) -> Option<Self> {
        let def = table.list().get(id)?;
        let live = table.state(id)?.live.as_ref();
        Some(live.map_or_else(|| Self::normal(def), |live| Self::live(def, live, table.is_shelved(id))))
    }

    fn live(def: &AlarmDef, live: &Occurrence, shelved: bool) -> Self {
        Self {
            event_id: Some(live.event),
            state: state(live.active, live.acked).to_owned(),
            active_time: Some(live.active_time),
            clear_time: live.clear_time,
            ack_time: live.ack_time,
            operator: live.operator.to_string(),
            ack_notes: live.comment.to_string(),
            value: json(live.value.as_ref()),
            shelved,
            ..Self::normal(def)
        }
    }

    fn normal(def: &AlarmDef) -> Self {
        Self {
            event_id: None,
            path: def.path.to_string(),
            name: def.name.to_string(),
            alarm: def.condition.kind().to_string(),
            priority: def.priority,
            state: state(false, true).to_owned(),
            active_time: None,
            clear_time: None,
            ack_time: None,
            operator: String::new(),
            ack_notes: String::new(),
            value: Json::Null,
            description: def.description.to_string(),
            ack_mode: def.ack_mode,
            shelved: false,
        }
    }
}

impl ShelvingShown {
    /// The shelvings in force, in the order of their paths.
    pub fn all(table: &AlarmTable, now: Now) -> Vec<Self> {
        table.shelves().map(|shelf| Self::of(shelf, now)).collect()
    }

    fn of(shelf: &Shelf, now: Now) -> Self {
        let left_ms = shelf.until.since(now.mono);
        // What is left counts. Unless the clock was set meanwhile this is the same, and does not move by milliseconds.
        let (until, planned) =
            (now.wall.0.saturating_add_unsigned(left_ms), shelf.since.0.saturating_add_unsigned(shelf.for_ms));
        let until = if until.abs_diff(planned) < 1000 { planned } else { until };
        Self {
            event_id: shelf.event,
            path: shelf.path.to_string(),
            since: shelf.since,
            until: UnixMillis(until),
            remaining_s: left_ms.div_ceil(1000),
            operator: shelf.operator.to_string(),
            comment: shelf.comment.to_string(),
        }
    }
}

impl From<&AlarmEntry> for AlarmRow {
    fn from(entry: &AlarmEntry) -> Self {
        let of_alarm = !entry.is_shelving();
        let status = if of_alarm { state(entry.active, entry.acked).to_owned() } else { format!("{:?}", entry.kind) };
        let acknowledged = entry.kind == EntryKind::Acknowledged;
        Self {
            event_id: entry.event,
            path: entry.path.to_string(),
            name: entry.name.to_string(),
            alarm: if of_alarm { entry.alarm.to_string() } else { "Shelving".to_owned() },
            priority: of_alarm.then_some(entry.priority),
            kind: entry.kind,
            event_time: entry.time,
            status,
            value: json(entry.value.as_ref()),
            value_type: entry.value.as_ref().map(Value::value_type),
            description: entry.description.to_string(),
            ack_time: acknowledged.then_some(entry.time),
            ack_notes: entry.comment.to_string(),
            operator: entry.operator.to_string(),
            ack_mode: of_alarm.then_some(entry.ack_mode),
            shelved_minutes: (entry.kind == EntryKind::Shelved).then_some(entry.shelved_ms as f64 / 60_000.0),
            node: entry.node,
            epoch: entry.origin.counter,
            epoch_node: entry.origin.node,
        }
    }
}

fn state(active: bool, acked: bool) -> &'static str {
    match (active, acked) {
        (true, false) => "Active,Unacked",
        (true, true) => "Active,Acked",
        (false, false) => "Cleared,Unacked",
        (false, true) => "Cleared,Acked",
    }
}

fn json(value: Option<&Value>) -> Json {
    value.map_or(Json::Null, plain_json::of)
}

/// Event ids as 32 hexadecimal digits.
pub mod event_id {
    use hotpair_core::alarms::EventId;
    use serde::{Deserialize, Deserializer, Serializer};

    /// The id of a text of 32 hexadecimal digits, in which `-` may stand anywhere.
    pub fn parse(text: &str) -> Result<EventId, String> {
        text.parse().map_err(|()| format!("'{text}' is not an event id: 32 hexadecimal digits are needed"))
    }

    pub(super) fn serialize<S: Serializer>(id: &EventId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<EventId, D::Error> {
        parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

mod optional_event_id {
    use hotpair_core::alarms::EventId;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(id: &Option<EventId>, to: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => to.collect_str(id),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<EventId>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| super::event_id::parse(&text)).transpose().map_err(serde::de::Error::custom)
    }
}

mod optional_rfc3339 {
    use hotpair_core::types::UnixMillis;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::status::rfc3339;

    #[expect(clippy::ref_option, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(time: &Option<UnixMillis>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => rfc3339::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UnixMillis>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| rfc3339::parse(&text)).transpose().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
