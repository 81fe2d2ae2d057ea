//! Both nodes in a few aligned lines.

use hotpair_core::types::{Authorization, Configuration, Mode, Status, SyncPhase};

use super::terminal::Paint;
use crate::status::{LinkState, NodeStatus, PeerStatus, rfc3339};

/// The lines of a status, without a line break at the end.
pub(super) fn lines(status: &NodeStatus, paint: Paint) -> String {
    let mut rows = vec![("node", node(status, paint)), ("peer", peer(status, paint)), ("epoch", epoch(status))];
    if status.node.mode != Mode::Independent {
        rows.push(("in sync", in_sync(status, paint)));
        rows.push(("failover", failover(status, paint)));
        rows.push(("hold", hold(status, paint)));
        rows.push(("authorization", authorization(status, paint)));
        rows.push(("configuration", configuration(status, paint)));
    }
    if let Some(refused) = &status.link.refused {
        rows.push(("link refused", paint.bad(&refused.reason)));
    }
    rows.extend(status.link.remarks.iter().map(|remark| ("remark", paint.unsure(remark))));
    rows.extend(status.disk.iter().map(|trouble| ("disk", paint.bad(trouble))));
    rows.extend(status.insecure.iter().map(|what| ("insecure", paint.unsure(what))));
    let rows: Vec<String> = rows.iter().map(|(label, text)| format!("{label:<14} {text}")).collect();
    rows.join("\n")
}

/// The same status with every number at rest that moves without meaning a change.
pub(super) fn at_rest(status: &NodeStatus) -> NodeStatus {
    let mut status = status.clone();
    status.node.uptime_s = 0;
    if let Some(peer) = &mut status.peer {
        (peer.last_seen_ms, peer.rtt_us, peer.missed_pings) = (None, None, 0);
    }
    (status.sync.local_seq, status.sync.peer_seq) = (0, None);
    (status.sync.lag_updates, status.sync.lag_ms) = (0, 0.0);
    if let Some(hold) = &mut status.hold {
        hold.remaining_s = 0;
    }
    status
}

fn node(status: &NodeStatus, paint: Paint) -> String {
    let node = &status.node;
    let name = paint.strong(&format!("{} ({})", node.name, node.mode));
    let mut parts = vec![format!("{name}: {} since {}", shown(node.status, paint), rfc3339::text(node.since))];
    if !node.reason.is_empty() {
        parts.push(node.reason.clone());
    }
    if status.switching {
        parts.push(paint.unsure("a switch is under way"));
    }
    parts.join(", ")
}

fn peer(status: &NodeStatus, paint: Paint) -> String {
    let Some(peer) = &status.peer else { return "no redundancy configured".to_owned() };
    let mode = peer.mode.map_or_else(|| "other node".to_owned(), |mode| mode.to_string());
    let name = format!("{}: {}", paint.strong(&mode), shown(peer.status, paint));
    let link = if peer.connected { connected(peer) } else { not_connected(status, peer) };
    format!("{name}, {link}")
}

fn connected(peer: &PeerStatus) -> String {
    let mut parts = vec![match &peer.address {
        Some(address) => format!("connected with {address}"),
        None => "connected".to_owned(),
    }];
    parts.extend(peer.last_seen_ms.map(|ms| format!("last seen {ms} ms ago")));
    parts.extend(peer.rtt_us.map(|us| format!("round trip {:.2} ms", us as f64 / 1000.0)));
    if peer.missed_pings > 0 {
        parts.push(format!("{} pings missed", peer.missed_pings));
    }
    parts.join(", ")
}

fn not_connected(status: &NodeStatus, peer: &PeerStatus) -> String {
    let doing = match status.link.state {
        LinkState::Listening => "waiting for its connection",
        LinkState::Connecting => "trying to connect",
        LinkState::None | LinkState::Up => "not connected",
    };
    let seen = peer.last_seen_ms.map(|ms| format!(", last seen {:.1} s ago", ms as f64 / 1000.0));
    format!("{doing}{}", seen.unwrap_or_default())
}

fn epoch(status: &NodeStatus) -> String {
    let taken_by = match status.epoch_node {
        None => return "none yet".to_owned(),
        Some(id) if id == status.node.id => "this node".to_owned(),
        Some(id) if status.peer.as_ref().is_some_and(|peer| peer.id == Some(id)) => "the peer".to_owned(),
        Some(id) => format!("node {id}"),
    };
    format!("{}, taken by {taken_by}", status.epoch)
}

fn in_sync(status: &NodeStatus, paint: Paint) -> String {
    let sync = &status.sync;
    match sync.phase {
        SyncPhase::None => paint.unsure("no: nothing is followed"),
        SyncPhase::Full => paint.unsure(&format!("no: full sync, {:.0} %", sync.progress * 100.0)),
        SyncPhase::Incremental if sync.progress < 1.0 => {
            paint.unsure(&format!("no: catching up, {:.0} %", sync.progress * 100.0))
        }
        SyncPhase::Incremental => {
            let yes = paint.good("yes");
            format!("{yes}, at change {}, {} updates ({:.1} ms) behind", sync.local_seq, sync.lag_updates, sync.lag_ms)
        }
    }
}

fn failover(status: &NodeStatus, paint: Paint) -> String {
    if status.failover_ready {
        return paint.good("ready");
    }
    let reasons = if status.not_ready_reasons.is_empty() {
        "no reason told".to_owned()
    } else {
        status.not_ready_reasons.join("; ")
    };
    paint.unsure(&format!("not ready: {reasons}"))
}

fn hold(status: &NodeStatus, paint: Paint) -> String {
    let Some(hold) = &status.hold else { return "none".to_owned() };
    paint.unsure(&format!("no automatic failover or recovery until {}: {}", rfc3339::text(hold.until), hold.reason))
}

fn authorization(status: &NodeStatus, paint: Paint) -> String {
    let text = status.authorization.to_string();
    match status.authorization {
        Authorization::Match => text,
        Authorization::Unknown | Authorization::Mismatch => paint.unsure(&text),
    }
}

fn configuration(status: &NodeStatus, paint: Paint) -> String {
    let text = status.configuration.to_string();
    match status.configuration {
        Configuration::Same => text,
        Configuration::Unknown | Configuration::Different => paint.unsure(&text),
    }
}

fn shown(status: Status, paint: Paint) -> String {
    let text = status.to_string();
    match status {
        Status::Running => paint.good(&text),
        Status::Standby => paint.calm(&text),
        Status::Faulted => paint.bad(&text),
        Status::Unknown | Status::Disconnected => paint.unsure(&text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn example() -> NodeStatus {
        serde_json::from_str(
            r#"{
            "node": {"name": "Line1", "id": "6f0c000000000001", "mode": "Master", "status": "Running",
              "since": "2026-01-05T08:00:00.000Z", "reason": "backup not connected within connection wait time",
              "version": "0.1.0", "uptimeS": 512},
            "peer": {"status": "Standby", "connected": true, "id": "91ab000000000002", "mode": "Backup",
              "address": "10.0.0.2:51044", "http": null, "lastSeenMs": 41, "rttUs": 180, "missedPings": 0},
            "authorization": "Match", "configuration": "Same", "epoch": 3, "epochNode": "6f0c000000000001",
            "sync": {"phase": "Incremental", "progress": 1.0, "localSeq": 90144, "peerSeq": 90144, "lagUpdates": 0,
              "lagMs": 0.4},
            "failoverReady": true, "notReadyReasons": [], "recoveryMode": "Automatic", "standbyActivityLevel": "Warm",
            "hold": null, "switching": false, "link": {"state": "Up", "refused": null, "remarks": []},
            "running": null, "disk": null, "insecure": []
            }"#,
        )
        .unwrap()
    }

    #[test]
    fn a_healthy_pair() {
        let expected = "\
node           Line1 (Master): Running since 2026-01-05T08:00:00.000Z, backup not connected within connection wait time
peer           Backup: Standby, connected with 10.0.0.2:51044, last seen 41 ms ago, round trip 0.18 ms
epoch          3, taken by this node
in sync        yes, at change 90144, 0 updates (0.4 ms) behind
failover       ready
hold           none
authorization  Match
configuration  Same";
        assert_eq!(lines(&example(), Paint::PLAIN), expected);
    }

    #[test]
    fn a_lost_peer() {
        let mut status = example();
        let peer = status.peer.as_mut().unwrap();
        (peer.status, peer.connected, peer.last_seen_ms) = (Status::Faulted, false, Some(2340));
        (status.failover_ready, status.not_ready_reasons) = (false, vec!["no peer".into(), "no sync".into()]);
        (status.sync.phase, status.link.state) = (SyncPhase::None, LinkState::Listening);
        status.disk = Some("disk full".into());
        status.insecure = vec!["the link is not encrypted".into()];
        let expected = "\
node           Line1 (Master): Running since 2026-01-05T08:00:00.000Z, backup not connected within connection wait time
peer           Backup: Faulted, waiting for its connection, last seen 2.3 s ago
epoch          3, taken by this node
in sync        no: nothing is followed
failover       not ready: no peer; no sync
hold           none
authorization  Match
configuration  Same
disk           disk full
insecure       the link is not encrypted";
        assert_eq!(lines(&status, Paint::PLAIN), expected);
    }

    #[test]
    fn an_independent_node() {
        let mut status = example();
        (status.peer, status.node.mode, status.node.reason) = (None, Mode::Independent, String::new());
        let expected = "\
node           Line1 (Independent): Running since 2026-01-05T08:00:00.000Z
peer           no redundancy configured
epoch          3, taken by this node";
        assert_eq!(lines(&status, Paint::PLAIN), expected);
    }

    #[test]
    fn moving_numbers_are_no_change() {
        let (first, mut second) = (example(), example());
        (second.node.uptime_s, second.sync.local_seq) = (600, 90200);
        second.peer.as_mut().unwrap().last_seen_ms = Some(3);
        assert_eq!(at_rest(&first), at_rest(&second));
        second.epoch += 1;
        assert_ne!(at_rest(&first), at_rest(&second));
    }
}
