//! Read-only tags about the pair itself, under `System/Redundancy/`, and about its alarms, under `System/Alarm/`. Each
//! node has its own; they do not travel.

use std::sync::Arc;

use hotpair_core::alarms::AlarmCounts;
use hotpair_core::catalog::TagDef;
use hotpair_core::quality::Quality;
use hotpair_core::types::{Mode, Status, UnixMillis};
use hotpair_core::value::{Sample, Value};

use crate::status::NodeStatus;

/// Every system tag with its present value, in the order of their paths.
pub(super) fn all(status: &NodeStatus, alarms: AlarmCounts, now: UnixMillis) -> Vec<(TagDef, Sample)> {
    let text = |value: String| Value::String(Arc::from(value));
    let count = |alarms: u64| Value::Int64(i64::try_from(alarms).unwrap_or(i64::MAX));
    let peer = status.peer.as_ref();
    let since = status.node.since;
    let peer_id = peer.and_then(|peer| peer.id).map(|id| id.to_string()).unwrap_or_default();
    let rows = [
        ("Alarm/ActiveAcked", "Alarms that are active and acknowledged", count(alarms.active_acked), now),
        ("Alarm/ActiveUnacked", "Alarms that are active and not acknowledged", count(alarms.active_unacked), now),
        ("Alarm/ClearUnacked", "Alarms that cleared and are not acknowledged", count(alarms.cleared_unacked), now),
        (
            "Redundancy/CurrentNode/IsActive",
            "This node is Running",
            Value::Bool(status.node.status == Status::Running),
            since,
        ),
        (
            "Redundancy/CurrentNode/IsMaster",
            "This node is the Master",
            Value::Bool(status.node.mode == Mode::Master),
            now,
        ),
        ("Redundancy/CurrentNode/Mode", "What this node was configured to be", text(status.node.mode.to_string()), now),
        ("Redundancy/CurrentNode/State", "What this node does now", text(status.node.status.to_string()), since),
        (
            "Redundancy/PeerNode/IsConnected",
            "The link to the peer is up",
            Value::Bool(peer.is_some_and(|p| p.connected)),
            now,
        ),
        ("Redundancy/PeerNode/NodeId", "Identity of the peer", text(peer_id), now),
    ];
    let tag = |(name, description, value, time): (&str, &str, Value, UnixMillis)| {
        let def = TagDef {
            description: description.to_owned(),
            ..TagDef::new(Arc::from(format!("System/{name}")), value.value_type())
        };
        (def, Sample { value, quality: Quality::GOOD, time })
    };
    rows.into_iter().map(tag).collect()
}
