//! What a pair does, to the millisecond.

use hotpair_actors::directory::names;
use hotpair_actors::injure::Injure;
use hotpair_core::types::Status;

use crate::stage::{Backup, Master, Stage};

#[tokio::test(start_paused = true)]
async fn a_pair_is_ready_without_waiting_for_anything() {
    let stage = Stage::ready(|_| {}).await;
    println!("ready after {} ms", stage.now());
    println!("{}", stage.tell());
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_is_taken_over_at_once() {
    let mut stage = Stage::ready(|_| {}).await;
    stage.pass(12_345).await;
    stage.kill(Master);
    let after = stage.until("taken over", |stage| stage.status(Backup) == Status::Running).await;
    println!("after {after}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_taken_over_after_exactly_the_failover_time() {
    let mut stage = Stage::ready(|_| {}).await;
    stage.pass(12_345).await;
    stage.power_off(Master);
    let sign = stage.node(Backup).last_seen_ms();
    let after = stage.until("taken over", |stage| stage.status(Backup) == Status::Running).await;
    println!("after {after}, last sign {sign} ms before");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_heartbeat_is_found() {
    let mut stage = Stage::ready(|_| {}).await;
    stage.pass(12_345).await;
    stage.injure(Master, names::HEARTBEAT, Injure::Stuck { ms: 60_000 });
    let after = stage.until("fatal", |stage| stage.fatal(Master).is_some()).await;
    println!("after {after}: {:?}\n{}", stage.fatal(Master), stage.tell());
}

#[tokio::test(start_paused = true)]
async fn a_stuck_supervisor() {
    let mut stage = Stage::ready(|_| {}).await;
    stage.pass(12_345).await;
    stage.injure(Master, names::SUPERVISOR, Injure::Stuck { ms: 3_600_000 });
    stage.pass(20_000).await;
    println!("{}", stage.tell());
}
