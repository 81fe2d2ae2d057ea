//! Numbers for `/metrics`.

use hotpair_actors::shared::Shared;
use hotpair_core::alarms::AlarmCounts;
use hotpair_core::protocol::Tenure;
use parking_lot::Mutex;

use crate::status::{Cause, NodeMetrics, NodeStatus, RttHistogram};

/// What is counted outside of the actors.
#[derive(Default)]
pub(super) struct Counts {
    rtt: Mutex<RttHistogram>,
}

impl Counts {
    /// Takes the round trips that came since the last time.
    pub(super) fn collect(&self, shared: &Shared) -> RttHistogram {
        let fresh = std::mem::take(&mut shared.rtt.lock().fresh_us);
        let mut rtt = self.rtt.lock();
        for us in fresh {
            rtt.observe_us(us);
        }
        rtt.clone()
    }
}

pub(super) fn all(shared: &Shared, counts: &Counts, status: &NodeStatus, alarms: AlarmCounts) -> NodeMetrics {
    let (done, refused) = shared.switches();
    let replication = shared.replication();
    let failovers = [Tenure::Failover, Tenure::Recovery, Tenure::DualRunning]
        .into_iter()
        .map(|tenure| (Cause::from(tenure), shared.tenures_begun(tenure)))
        .collect();
    let snapshots = shared.directory.snapshots();
    NodeMetrics {
        status: Some(status.node.status),
        peer_status: status.peer.as_ref().map(|peer| peer.status),
        failover_ready: status.failover_ready,
        epoch: status.epoch,
        failovers,
        switches: vec![("done", done), ("refused", refused)],
        peer_rtt: counts.collect(shared),
        missed_pings: shared.missed_pings().1,
        sync_lag_updates: replication.lag_updates,
        sync_lag_seconds: replication.lag_ms as f64 / 1000.0,
        tag_updates: replication.updates_total,
        tags: shared.table.read().catalog().len() as u64,
        alarms,
        actor_restarts: snapshots
            .iter()
            .flat_map(|(name, snapshot)| {
                [("panic", snapshot.panics), ("stop", snapshot.stops), ("hang", snapshot.hangs)]
                    .map(|(cause, count)| ((*name).to_owned(), cause, count))
            })
            .collect(),
        mailbox_depth: snapshots.iter().map(|(name, snapshot)| ((*name).to_owned(), snapshot.mailbox_depth)).collect(),
    }
}
