//! A node's shared state for unit tests.

use std::sync::Arc;

use hotpair_core::catalog::Catalog;
use hotpair_core::protocol::{LicenseFacts, ProjectHash};
use hotpair_core::types::{BootId, Mode, NodeId, RecoveryMode};

use crate::durable::MemoryDisk;
use crate::host::Host;
use crate::journal::MemoryJournal;
use crate::shared::{Disks, Found, HttpAt, Settings, Shared};

/// A node without tags that has not started. A Backup's Master is at that port of this machine.
pub(crate) fn shared(mode: Mode, master_port: u16) -> Arc<Shared> {
    let settings = Settings {
        node: NodeId(1),
        boot: BootId(1),
        name: "Line1".into(),
        version: "test".into(),
        mode,
        recovery: RecoveryMode::Manual,
        failover_time_ms: 5000,
        connection_wait_time_ms: 5000,
        switch_timeout_ms: 1000,
        replication_timeout_ms: 1000,
        connect_timeout_ms: 1000,
        ping_rate_ms: 100,
        ping_timeout_ms: 1000,
        missed_pings: 3,
        fast_failover: true,
        master: ("127.0.0.1".into(), master_port),
        http: HttpAt::default(),
        project: ProjectHash::default(),
        license: LicenseFacts::default(),
        hang_after_ms: 5000,
        alarms_stale_after_ms: None,
    };
    let catalog = Arc::new(Catalog::new(Vec::new()).unwrap());
    let disks = Disks { durable: Arc::new(MemoryDisk::new()), journal: Arc::new(MemoryJournal::new()) };
    Shared::new(
        settings,
        catalog,
        Found::default(),
        disks,
        Host::of_process(None),
        Box::new(|_| {}),
        Box::new(|_| Ok(("report".into(), Vec::new()))),
    )
}

/// Runs a test inside a [`actix_rt::System`], for ten seconds at most.
pub(crate) fn within_system(test: impl Future<Output = ()>) {
    let limit = std::time::Duration::from_secs(10);
    actix_rt::System::new().block_on(async { tokio::time::timeout(limit, test).await.unwrap() });
}
