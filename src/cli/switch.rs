//! `hotpair switch`: moves Running to the other node and waits for the result.

use std::time::{Duration, Instant};

use hotpair_core::types::Status;

use super::node_client::NodeClient;
use super::{Failure, SwitchArgs, terminal};
use crate::status::NodeStatus;

/// How long the asked node may take to see what the switch has done.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn run(args: &SwitchArgs) -> Result<(), Failure> {
    let node = NodeClient::new(&args.node.url)?;
    let before = node.status()?.epoch;
    let answer = node.switch(args.reason.as_deref().unwrap_or("asked for on the command line"))?;
    let status = settled(answer, before, || node.status().ok());
    terminal::say(&who_runs(&status, node.base()));
    Ok(())
}

/// The status when the switch shows in it, or the last one of [`PATIENCE`].
fn settled(mut status: NodeStatus, before: u64, look: impl Fn() -> Option<NodeStatus>) -> NodeStatus {
    let end = Instant::now() + PATIENCE;
    while (status.switching || status.epoch <= before) && Instant::now() < end {
        std::thread::sleep(LOOK);
        status = look().unwrap_or(status);
    }
    status
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
    fn an_answer_with_the_old_roles_is_asked_again() {
        let after: NodeStatus = serde_json::from_str(AFTER).unwrap();
        let mut early = after.clone();
        (early.epoch, early.node.status) = (7, Status::Running);
        assert_eq!(settled(early.clone(), 7, || Some(after.clone())).epoch, 8);
        early.epoch = 8;
        early.switching = true;
        assert_eq!(settled(early, 7, || Some(after.clone())).node.status, Status::Standby);
        assert_eq!(settled(after, 7, || panic!("nothing to wait for")).epoch, 8);
    }

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
