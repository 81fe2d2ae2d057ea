//! An actor that hangs is replaced if it is a leaf; else the node ends its process and the peer takes over.
#![allow(clippy::unwrap_used)]

mod pair;

use std::time::{Duration, Instant};

use hotpair_actors::directory::{ActorState, Snapshot, names};
use hotpair_actors::injure::{Injure, WITH_A_MACHINE, answers, injure};
use hotpair_core::protocol::{WriteOutcome, WriteRefusal};
use hotpair_core::types::Status;
use pair::{CALM, Node, PATIENCE, Pace, Pair, QUICK, replicated};

fn snapshot(node: &Node, name: &str) -> Snapshot {
    node.shared.directory.snapshots().into_iter().find(|(of, _)| *of == name).unwrap().1
}

#[tokio::test]
async fn a_hung_licence_checker_is_replaced() {
    let mut pair = Pair::ready(Pace { hang_after_ms: QUICK.hang_after_ms, ..CALM }).await;
    let events = pair.master.events().len();
    let begun = Instant::now();
    injure(&pair.master.shared.directory, names::LICENSE_CHECKER, Injure::Hang { ms: 4000 }).unwrap();
    pair.master.until("replaced", |_| snapshot(&pair.master, names::LICENSE_CHECKER).hangs == 1).await;
    // The address in the directory is soon the new one's.
    let answered = async {
        while !tokio::time::timeout(
            Duration::from_millis(50),
            answers(&pair.master.shared.directory, names::LICENSE_CHECKER),
        )
        .await
        .unwrap_or(false)
        {}
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "it is the old one, awake");
    assert!(replicated(&pair.master.write(0, 1).await));
    assert_eq!(*pair.master.shared.fatal().borrow(), None);
    assert_eq!(pair.master.events().len(), events);
    pair.backup.shut_down().await;
    pair.master.shut_down().await;
}

/// The Running node's actor hangs. Returns the node's last words; the peer has taken over by then.
async fn hang_of(name: &'static str) -> (Pair, String) {
    let pair = Pair::ready(QUICK).await;
    injure(&pair.master.shared.directory, name, Injure::Hang { ms: 8000 }).unwrap();
    let begun = Instant::now();
    let reason = pair.master.fatal().await;
    println!("{name}: {reason:?} after {:?}", begun.elapsed());
    assert!(reason.contains(name), "{reason}");
    assert!(begun.elapsed() < Duration::from_secs(4));
    let snapshot = snapshot(&pair.master, name);
    assert_eq!((snapshot.state, snapshot.hangs), (ActorState::Hanging, 1));
    pair.backup.until("Running", |node| node.view().status == Status::Running).await;
    println!("{name}: the peer ran after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(8), "only because it woke");
    (pair, reason)
}

/// Nothing acts as Running on a node whose heart does not beat, though everything else of it works.
async fn acts_no_more(node: &Node) {
    assert!(!node.shared.gate.is_open(node.shared.clock.now()));
    assert_eq!(node.shared.view().status, Status::Unknown);
    let outcome = node.write(0, 1).await;
    assert!(matches!(&outcome, WriteOutcome::Refused(WriteRefusal::NotRunning(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_hung_arbiter_ends_the_process() {
    let (pair, _) = hang_of(names::STATE_ARBITER).await;
    acts_no_more(&pair.master).await;
}

#[tokio::test]
async fn a_hung_heartbeat_ends_the_process() {
    let (pair, _) = hang_of(names::HEARTBEAT).await;
    acts_no_more(&pair.master).await;
}

#[tokio::test]
async fn a_hung_link_ends_the_process() {
    let (pair, _) = hang_of(names::PEER_LINK).await;
    acts_no_more(&pair.master).await;
}

#[tokio::test]
async fn a_hung_tag_replicator_ends_the_process() {
    let (_pair, reason) = hang_of(names::TAG_REPLICATOR).await;
    // Tags and alarms have one thread: what holds up the one holds up the other.
    assert!(
        reason.contains("TagReplicator") && reason.ends_with(" hang") || reason.ends_with("TagReplicator hangs"),
        "{reason}"
    );
}

/// A program that embeds a node and does not listen to its last words: the torn node does nothing any more, and its peer
/// takes over as from one that hangs.
#[tokio::test]
async fn a_node_whose_state_is_torn_does_nothing_any_more_though_its_program_goes_on() {
    for name in WITH_A_MACHINE {
        let pair = Pair::ready(QUICK).await;
        injure(&pair.master.shared.directory, name, Injure::Tear).unwrap();
        let reason = pair.master.fatal().await;
        assert!(reason.contains(name), "{reason}");
        pair.backup.until("Running", |node| node.view().status == Status::Running).await;
        assert!(!pair.master.shared.gate.is_open(pair.master.shared.clock.now()), "{name}");
        assert_eq!(pair.master.shared.view().status, Status::Unknown, "{name}");
        pair.master.shared.link.close().await;
    }
}
