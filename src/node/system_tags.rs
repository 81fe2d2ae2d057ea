//! Read-only tags about the pair itself, under `System/Redundancy/`. Each node has its own; they do not travel.

use std::sync::Arc;

use hotpair_core::catalog::TagDef;
use hotpair_core::quality::Quality;
use hotpair_core::types::{Mode, Status, UnixMillis};
use hotpair_core::value::{Sample, Value};

use crate::status::NodeStatus;

/// Every system tag with its present value, in the order of their paths.
pub(super) fn all(status: &NodeStatus, now: UnixMillis) -> Vec<(TagDef, Sample)> {
    let text = |value: String| Value::String(Arc::from(value));
    let peer = status.peer.as_ref();
    let since = status.node.since;
    let peer_id = peer.and_then(|peer| peer.id).map(|id| id.to_string()).unwrap_or_default();
    let rows = [
        ("CurrentNode/IsActive", "This node is Running", Value::Bool(status.node.status == Status::Running), since),
        ("CurrentNode/IsMaster", "This node is the Master", Value::Bool(status.node.mode == Mode::Master), now),
        ("CurrentNode/Mode", "What this node was configured to be", text(status.node.mode.to_string()), now),
        ("CurrentNode/State", "What this node does now", text(status.node.status.to_string()), since),
        ("PeerNode/IsConnected", "The link to the peer is up", Value::Bool(peer.is_some_and(|p| p.connected)), now),
        ("PeerNode/NodeId", "Identity of the peer", text(peer_id), now),
    ];
    let tag = |(name, description, value, time): (&str, &str, Value, UnixMillis)| {
        let def = TagDef {
            path: Arc::from(format!("System/Redundancy/{name}")),
            value_type: value.value_type(),
            unit: String::new(),
            description: description.to_owned(),
            writable: false,
            retain: false,
            initial: None,
            eu_low: None,
            eu_high: None,
            deadband: 0.0,
            source_fed: false,
            stale_after_ms: None,
        };
        (def, Sample { value, quality: Quality::GOOD, time })
    };
    rows.into_iter().map(tag).collect()
}
