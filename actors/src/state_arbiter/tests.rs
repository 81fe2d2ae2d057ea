#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hotpair_core::types::{Mode, Status};

use super::*;
use crate::testing::shared;

/// An arbiter that runs, stood still, and asks its peer who runs.
fn fenced(shared: &Shared) {
    let now = shared.clock.now();
    let mut arbiter = shared.arbiter.lock();
    arbiter.handle(Input::Start, now);
    for effect in arbiter.handle(Input::Tick, now.plus(shared.settings.connection_wait_time_ms)) {
        if let Effect::Store { ticket, .. } = effect {
            arbiter.handle(Input::Stored { ticket }, now);
        }
    }
    assert_eq!(arbiter.view(now).status, Status::Running);
    arbiter.handle(Input::Stalled { for_ms: shared.settings.failover_time_ms }, now);
    assert_eq!(arbiter.view(now).status, Status::Unknown);
}

#[test]
fn one_that_is_started_again_in_a_node_that_stood_still_waits_for_its_heartbeat() {
    actix_rt::System::new().block_on(async {
        tokio::time::pause();
        let shared = shared(Mode::Master, 0);
        shared.gate.beat(shared.clock.now());
        fenced(&shared);
        // It stands still a second time; when it wakes its fence is over by the clock.
        tokio::time::advance(Duration::from_millis(2 * shared.settings.failover_time_ms)).await;
        let arbiter = StateArbiter::new(shared.clone()).start();
        let status = || shared.arbiter.lock().view(shared.clock.now()).status;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(STOOD_STILL_MS)).await;
            arbiter.send(Probe).await.unwrap();
            assert_eq!(status(), Status::Unknown, "the peer may have taken over");
        }
        // The heart beats: what this node missed is told before.
        shared.gate.beat(shared.clock.now());
        tokio::time::sleep(Duration::from_millis(2 * STOOD_STILL_MS)).await;
        assert_eq!(status(), Status::Running);
    });
}
