//! `hotpair switch`: moves Running to the other node and waits for the result.

use hotpair_core::types::Status;

use super::node_client::NodeClient;
use super::{Failure, SwitchArgs, terminal};
use crate::status::NodeStatus;

pub(super) fn run(args: &SwitchArgs) -> Result<(), Failure> {
    let node = NodeClient::new(&args.node.url)?;
    let status = node.switch(args.reason.as_deref().unwrap_or("asked for on the command line"))?;
    terminal::say(&who_runs(&status, node.base()));
    Ok(())
}

fn who_runs(status: &NodeStatus, asked: &str) -> String {
    let epoch = status.epoch;
    if status.node.status == Status::Running {
        return format!("done: the {} at {asked} is Running, epoch {epoch}", status.node.mode);
    }
    match &status.peer {
        Some(peer) if peer.status == Status::Running => {
            let mode = peer.mode.map_or_else(|| "other node".to_owned(), |mode| mode.to_string());
            let place = peer.http.as_ref().map(|http| format!(" at {http}")).unwrap_or_default();
            format!(
                "done: the {mode}{place} is Running, epoch {epoch}; the {} is {}",
                status.node.mode, status.node.status
            )
        }
        _ => format!("done; 'hotpair status --url {asked}' shows who is Running"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const AFTER: &str = r#"{
        "node": {"name": "Line1", "id": "01", "mode": "Master", "status": "Standby", "since": "2026-01-05T08:00:00.000Z",
          "reason": "", "version": "0.1.0", "uptimeS": 5},
        "peer": {"status": "Running", "connected": true, "id": "02", "mode": "Backup", "address": null,
          "http": "http://10.0.0.2:8066", "lastSeenMs": 4, "rttUs": 180, "missedPings": 0},
        "authorization": "Match", "configuration": "Same", "epoch": 8, "epochNode": "02",
        "sync": {"phase": "Incremental", "progress": 1.0, "localSeq": 9, "peerSeq": 9, "lagUpdates": 0, "lagMs": 0.0},
        "failoverReady": true, "notReadyReasons": [], "recoveryMode": "Automatic", "standbyActivityLevel": "Warm",
        "hold": null, "switching": false, "link": {"state": "Up", "refused": null, "remarks": []},
        "running": null, "disk": null, "insecure": []
    }"#;

    #[test]
    fn it_tells_who_runs_now() {
        let mut status: NodeStatus = serde_json::from_str(AFTER).unwrap();
        let asked = "http://10.0.0.1:8066";
        assert_eq!(
            who_runs(&status, asked),
            "done: the Backup at http://10.0.0.2:8066 is Running, epoch 8; the Master is Standby"
        );
        status.node.status = Status::Running;
        assert_eq!(who_runs(&status, asked), "done: the Master at http://10.0.0.1:8066 is Running, epoch 8");
    }
}
