//! What a node says about itself: the JSON of the redundancy calls and the plain numbers of its metrics.
//!
//! The same types are written by the web server and read by the command line.

use hotpair_core::alarms::AlarmCounts;
use hotpair_core::protocol::{Refusal, Tenure};
use hotpair_core::types::{
    Authorization, Configuration, Mode, NodeId, RecoveryMode, StandbyActivityLevel, Status, SyncPhase, UnixMillis,
};
use serde::{Deserialize, Serialize};

/// Both nodes at a glance: `GET /api/v1/redundancy/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// This node.
    pub node: ThisNode,
    /// The other node; none for an Independent node.
    pub peer: Option<PeerStatus>,
    /// Whether both have the same licence modules.
    pub authorization: Authorization,
    /// Whether both have the same project.
    pub configuration: Configuration,
    /// Counter of the present tenure of Running; 0 before the first.
    pub epoch: u64,
    /// The node that took this tenure; none before the first.
    #[serde(with = "optional_node_id")]
    pub epoch_node: Option<NodeId>,
    /// How far the Standby node follows the Running one.
    pub sync: SyncStatus,
    /// The Standby node of this pair could take over now.
    pub failover_ready: bool,
    /// Why it could not; empty when it could.
    pub not_ready_reasons: Vec<String>,
    /// What happens when a Master that was down comes back.
    pub recovery_mode: RecoveryMode,
    /// Whether the Standby node keeps its source connections open.
    pub standby_activity_level: StandbyActivityLevel,
    /// A maintenance hold; none when automatic failover and recovery are allowed.
    pub hold: Option<HoldStatus>,
    /// A switch is under way.
    pub switching: bool,
    /// The connection to the peer.
    pub link: LinkStatus,
    /// Where the Running node serves HTTP, as `http://host:port`; none when nobody runs or it serves none.
    pub running: Option<String>,
    /// What keeps this node from storing; none when it stores well.
    pub disk: Option<String>,
    /// What of this node's settings is not secure, in words; empty when nothing is.
    pub insecure: Vec<String>,
}

/// See [`NodeStatus::node`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThisNode {
    /// The name of the pair; history is stored under it.
    pub name: String,
    /// Its lasting identity.
    #[serde(with = "node_id")]
    pub id: NodeId,
    /// What it was configured to be.
    pub mode: Mode,
    /// What it does now.
    pub status: Status,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: UnixMillis,
    /// Why, in words.
    pub reason: String,
    /// Version of the program.
    pub version: String,
    /// Seconds since the process started.
    pub uptime_s: u64,
}

/// See [`NodeStatus::peer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// What is known of it.
    pub status: Status,
    /// The link is up.
    pub connected: bool,
    /// Its identity; none before the first greeting.
    #[serde(with = "optional_node_id")]
    pub id: Option<NodeId>,
    /// What it was configured to be; none before the first greeting.
    pub mode: Option<Mode>,
    /// Address of the other end of the link; none while there is none.
    pub address: Option<String>,
    /// Where a browser reaches it, as `http://host:port`; none when not known.
    pub http: Option<String>,
    /// Milliseconds since its last sign of life; none when there was none.
    pub last_seen_ms: Option<u64>,
    /// Round trip of the last ping in microseconds; none while not connected.
    pub rtt_us: Option<u64>,
    /// Pings in a row that stayed unanswered.
    pub missed_pings: u32,
}

/// See [`NodeStatus::sync`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// What travels now.
    pub phase: SyncPhase,
    /// Part of the present phase that is done, from 0 to 1.
    pub progress: f64,
    /// Last change this node holds.
    pub local_seq: u64,
    /// Last change the peer holds; none when not known.
    pub peer_seq: Option<u64>,
    /// Changes that the Standby node does not hold yet.
    pub lag_updates: u64,
    /// Age of the oldest of them in milliseconds.
    pub lag_ms: f64,
}

/// See [`NodeStatus::hold`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldStatus {
    /// When it ends by itself.
    #[serde(with = "rfc3339")]
    pub until: UnixMillis,
    /// Seconds until then.
    pub remaining_s: u64,
    /// Why, as its author said.
    pub reason: String,
}

/// See [`NodeStatus::link`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkStatus {
    /// What the connection does now.
    pub state: LinkState,
    /// Why the last attempt was refused, by either side; none when it was not.
    pub refused: Option<Refusal>,
    /// What is unwise or different, but does not keep the nodes apart.
    pub remarks: Vec<String>,
}

/// See [`LinkStatus::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LinkState {
    /// This node is Independent: there is no link.
    None,
    /// A Master that waits for its Backup.
    Listening,
    /// A Backup that tries to reach its Master.
    Connecting,
    /// In use.
    Up,
}

/// A transition of a node: `GET /api/v1/redundancy/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    #[serde(with = "rfc3339")]
    pub time: UnixMillis,
    /// Whose status changed.
    #[serde(with = "node_id")]
    pub node: NodeId,
    /// Status before.
    pub from: Status,
    /// Status after.
    pub to: Status,
    /// What brought it about.
    pub cause: Cause,
    /// Who asked for it; empty when nobody did.
    pub user: String,
    /// Counter of the tenure that it began or ended in.
    pub epoch: u64,
    /// In words.
    pub reason: String,
}

/// What brings a transition about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// The node started.
    Start,
    /// The Running node was gone.
    Failover,
    /// Somebody asked for a switch.
    Switch,
    /// A returned Master took Running back.
    Recovery,
    /// Both were Running: one gave it up.
    DualRunning,
    /// A part of the node cannot work.
    Fault,
    /// Somebody cleared a fault.
    FaultCleared,
    /// The node stops cleanly, or stood still and asks its peer who runs.
    Stop,
    /// The peer's report or its silence: the transition is the peer's.
    Peer,
}

impl From<Tenure> for Cause {
    fn from(tenure: Tenure) -> Self {
        match tenure {
            Tenure::None | Tenure::Start => Self::Start,
            Tenure::Failover => Self::Failover,
            Tenure::Switch => Self::Switch,
            Tenure::Recovery => Self::Recovery,
            Tenure::DualRunning => Self::DualRunning,
        }
    }
}

/// An actor, as its supervisor sees it: `GET /api/v1/redundancy/actors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActorStatus {
    /// Its name.
    pub name: String,
    /// What it does now.
    pub state: ActorState,
    /// How often it was replaced since the process started.
    pub restarts: u64,
    /// Milliseconds since it last showed progress; none when it is not probed.
    pub progress_age_ms: Option<u64>,
}

/// See [`ActorStatus::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActorState {
    /// It works.
    Running,
    /// It ended and its replacement waits for its time.
    Restarting,
    /// It does not answer its probe.
    Hung,
    /// It keeps failing: it is started anew, but only once a second.
    Failed,
}

/// A stored divergence report: `GET /api/v1/redundancy/divergence`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DivergenceFile {
    /// Its name, by which it is fetched.
    pub name: String,
    /// When the changes were united.
    #[serde(with = "rfc3339")]
    pub time: UnixMillis,
}

/// The comparison of licences: `GET /api/v1/license`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LicenseComparison {
    /// The verdict.
    pub authorization: Authorization,
    /// This node's modules, sorted.
    pub modules: Vec<String>,
    /// The peer's modules, sorted; none when not known.
    pub peer_modules: Option<Vec<String>>,
    /// Modules that the peer lacks.
    pub only_here: Vec<String>,
    /// Modules that this node lacks.
    pub only_there: Vec<String>,
    /// Why this node's licence is not valid; none when it is.
    pub invalid: Option<String>,
    /// Why the peer's licence is not valid; none when it is or is not known.
    pub peer_invalid: Option<String>,
}

/// Numbers for `GET /metrics`. Counts are since the process started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeMetrics {
    /// This node's status; none while starting up.
    pub status: Option<Status>,
    /// The peer's status; none for an Independent node.
    pub peer_status: Option<Status>,
    /// As [`NodeStatus::failover_ready`].
    pub failover_ready: bool,
    /// Counter of the present tenure.
    pub epoch: u64,
    /// Promotions of this node that nobody asked for, by cause.
    pub failovers: Vec<(Cause, u64)>,
    /// Switches that were asked for at this node, by result: `done`, `refused`.
    pub switches: Vec<(&'static str, u64)>,
    /// Round trips of pings.
    pub peer_rtt: RttHistogram,
    /// Pings that stayed unanswered.
    pub missed_pings: u64,
    /// As [`SyncStatus::lag_updates`].
    pub sync_lag_updates: u64,
    /// As [`SyncStatus::lag_ms`], in seconds.
    pub sync_lag_seconds: f64,
    /// Changes of tags applied by this node, from whatever side.
    pub tag_updates: u64,
    /// Tags of the project.
    pub tags: u64,
    /// How many alarms are in which state.
    pub alarms: AlarmCounts,
    /// Replacements of actors, by actor and cause (`panic`, `hang`, `stop`).
    pub actor_restarts: Vec<(String, &'static str, u64)>,
    /// Messages that wait in an actor's mailbox.
    pub mailbox_depth: Vec<(String, u64)>,
}

/// Round trips of pings, counted by duration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RttHistogram {
    counts: [u64; RTT_BOUNDS_S.len() + 1],
    sum_s: f64,
}

/// Upper bounds of the classes of [`RttHistogram`] in seconds; one more class takes what is slower.
const RTT_BOUNDS_S: [f64; 13] = [50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0];

impl RttHistogram {
    /// Counts a round trip of this many microseconds.
    pub fn observe_us(&mut self, us: u64) {
        let seconds = us as f64 / 1e6;
        let class = RTT_BOUNDS_S.iter().position(|bound| seconds <= *bound).unwrap_or(RTT_BOUNDS_S.len());
        self.counts[class] += 1;
        self.sum_s += seconds;
    }

    /// Sum of all round trips in seconds.
    pub fn sum_s(&self) -> f64 {
        self.sum_s
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Upper bound in seconds (the last: `f64::MAX`) and count of each class.
    pub fn classes(&self) -> impl Iterator<Item = (f64, u64)> {
        RTT_BOUNDS_S.into_iter().chain([f64::MAX]).zip(self.counts)
    }
}

/// Times as RFC 3339 in UTC with milliseconds: `2026-01-05T08:00:00.000Z`.
pub mod rfc3339 {
    use hotpair_core::types::UnixMillis;
    use serde::{Deserialize, Deserializer, Serializer};
    use time::format_description::well_known::Rfc3339;
    use time::{OffsetDateTime, UtcOffset};

    /// The text of a time. A time outside of the years 0 to 9999 is shown as the nearest one inside.
    pub fn text(time: UnixMillis) -> String {
        const FIRST: i64 = -62_167_219_200_000;
        const LAST: i64 = 253_402_300_799_999;
        let format =
            time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let nanos = i128::from(time.0.clamp(FIRST, LAST)) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|at| at.format(&format).ok())
            .unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned())
    }

    /// The time of a text, of any offset; what is finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Result<UnixMillis, time::error::Parse> {
        let at = OffsetDateTime::parse(text, &Rfc3339)?.to_offset(UtcOffset::UTC);
        Ok(UnixMillis(at.unix_timestamp_nanos().div_euclid(1_000_000) as i64))
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn serialize<S: Serializer>(time: &UnixMillis, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixMillis, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text)
            .map_err(|e| serde::de::Error::custom(format!("'{text}' is not a time like 2026-01-05T08:00:00.000Z: {e}")))
    }
}

/// Node identities as 16 hexadecimal digits: JSON numbers of 64 bits do not survive every reader.
pub mod node_id {
    use hotpair_core::types::NodeId;
    use serde::{Deserialize, Deserializer, Serializer};

    /// The identity of a text of 1 to 16 hexadecimal digits.
    pub fn parse(text: &str) -> Result<NodeId, String> {
        let valid = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        let parsed = if valid { u64::from_str_radix(text, 16).ok() } else { None };
        parsed.map(NodeId).ok_or_else(|| format!("'{text}' is not a node id: 16 hexadecimal digits are needed"))
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn serialize<S: Serializer>(id: &NodeId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeId, D::Error> {
        parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

mod optional_node_id {
    use hotpair_core::types::NodeId;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(id: &Option<NodeId>, to: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => to.collect_str(id),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NodeId>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|t| super::node_id::parse(&t)).transpose().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(value: &serde_json::Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// The documented example, plus what this program adds to it.
    const EXAMPLE: &str = r#"{
      "node": {"name": "Line1", "id": "6f0c000000000001", "mode": "Master", "status": "Running",
        "since": "2026-01-05T08:00:00.000Z", "reason": "backup not connected within connection wait time",
        "version": "0.1.0", "uptimeS": 512},
      "peer": {"status": "Standby", "connected": true, "id": "91ab000000000002", "mode": "Backup",
        "address": "10.0.0.2:51044", "http": "http://10.0.0.2:8066", "lastSeenMs": 41, "rttUs": 180, "missedPings": 0},
      "authorization": "Match", "configuration": "Same", "epoch": 3, "epochNode": "6f0c000000000001",
      "sync": {"phase": "Incremental", "progress": 1.0, "localSeq": 90144, "peerSeq": 90144, "lagUpdates": 0, "lagMs": 0.4},
      "failoverReady": true, "notReadyReasons": [], "recoveryMode": "Automatic", "standbyActivityLevel": "Warm",
      "hold": {"until": "2026-01-05T08:30:00.000Z", "remainingS": 1800, "reason": "new pump"},
      "switching": false,
      "link": {"state": "Up", "refused": {"code": "SecondBackup", "reason": "…"}, "remarks": []},
      "running": null, "disk": null, "insecure": []
    }"#;

    #[test]
    fn status_is_the_documented_json_both_ways() {
        let status: NodeStatus = serde_json::from_str(EXAMPLE).unwrap();
        assert_eq!(status.node.since, UnixMillis(1_767_600_000_000));
        assert_eq!(status.epoch_node, Some(NodeId(0x6f0c_0000_0000_0001)));
        let written = serde_json::to_value(&status).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(EXAMPLE).unwrap());
        assert_eq!(keys(&written["link"]), ["refused", "remarks", "state"]);
    }

    #[test]
    fn an_independent_node_has_no_peer() {
        let mut status: NodeStatus = serde_json::from_str(EXAMPLE).unwrap();
        (status.peer, status.hold, status.epoch_node) = (None, None, None);
        let written = serde_json::to_value(&status).unwrap();
        assert!(written["peer"].is_null() && written["hold"].is_null() && written["epochNode"].is_null());
        assert_eq!(serde_json::from_value::<NodeStatus>(written).unwrap(), status);
    }

    #[test]
    fn times() {
        assert_eq!(rfc3339::text(UnixMillis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339::text(UnixMillis(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339::text(UnixMillis(i64::MAX)), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339::text(UnixMillis(i64::MIN)), "0000-01-01T00:00:00.000Z");
        assert_eq!(rfc3339::parse("2026-01-05T09:00:00.0019+01:00").unwrap(), UnixMillis(1_767_600_000_001));
        assert!(rfc3339::parse("yesterday").is_err());
    }

    #[test]
    fn node_ids() {
        assert_eq!(node_id::parse("91ab").unwrap(), NodeId(0x91ab));
        for wrong in ["", "+1", "xyz", "00000000000000001", "-1", " 1"] {
            assert!(node_id::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn round_trips_fall_into_classes() {
        let mut rtt = RttHistogram::default();
        for us in [50, 51, 180, 2_000_000] {
            rtt.observe_us(us);
        }
        let classes: Vec<_> = rtt.classes().filter(|(_, n)| *n > 0).map(|(_, n)| n).collect();
        assert_eq!((rtt.count(), classes), (4, vec![1, 1, 1, 1]));
        assert_eq!(rtt.classes().last(), Some((f64::MAX, 1)));
    }
}
