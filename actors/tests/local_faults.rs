//! An actor that ends is started again, and nobody else notices.
#![allow(clippy::unwrap_used)]

mod pair;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hotpair_actors::directory::names;
use hotpair_actors::injure::{Injure, answers, injure};
use hotpair_actors::shared::EventRecord;
use hotpair_core::protocol::WriteOutcome;
use hotpair_core::types::{Mode, Status};
use hotpair_core::value::Value;
use pair::{CALM, Node, Pair, door, path, replicated, settings};

/// The contract says 100 ms; a busy machine gets more.
const BACK_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn two_nodes_pair_up_and_hold_the_same() {
    let mut pair = Pair::ready(CALM).await;
    assert_eq!(pair.master.shown(), (Status::Running, Some(Status::Standby)));
    assert_eq!(pair.backup.shown(), (Status::Standby, Some(Status::Running)));
    for tag in 0..10 {
        assert!(replicated(&pair.master.write(tag, 7).await));
        assert_eq!(pair.backup.read(tag), Value::Int64(7));
    }
    // Written at the Standby it is made at the Running node.
    assert!(replicated(&pair.backup.write(3, 8).await));
    assert_eq!((pair.master.read(3), pair.backup.read(3)), (Value::Int64(8), Value::Int64(8)));
    let on_disk = pair.backup.disk.retained();
    let (_, sample, _) = on_disk.iter().find(|(of, ..)| **of == *path(2)).unwrap();
    assert_eq!(sample.value, Value::Int64(7));

    pair.master.shut_down().await;
    pair.backup.until("Running", |node| node.view().status == Status::Running).await;
    pair.backup.shut_down().await;
}

async fn nobody_notices(name: &'static str, how: Injure) {
    let mut pair = Pair::ready(CALM).await;
    let before = (pair.master.shown(), pair.backup.shown());
    let events = (pair.master.events().len(), pair.backup.events().len());
    let session = pair.master.shared.link.greeting();
    let mut value = 0;
    for at_master in [true, false] {
        let victim = if at_master { &pair.master } else { &pair.backup };
        injure(&victim.shared.directory, name, how).unwrap();
        let begun = Instant::now();
        assert!(tokio::time::timeout(BACK_WITHIN, answers(&victim.shared.directory, name)).await.unwrap());
        println!("{name} at the {} was back after {:?}", victim.shared.settings.mode, begun.elapsed());

        if name == names::TAG_REPLICATOR {
            // The bulk connection belongs to it and is made anew: until then a write is on one node only, and says so.
            pair.until_ready().await;
        }
        value += 1;
        for tag in 0..5 {
            assert!(replicated(&pair.master.write(tag, value).await), "{name}");
            assert_eq!(pair.backup.read(tag), Value::Int64(value));
        }
        assert!(replicated(&pair.backup.write(5, value).await));
        let snapshots = victim.shared.directory.snapshots();
        let (_, snapshot) = snapshots.iter().find(|(of, _)| *of == name).unwrap();
        assert_eq!((snapshot.panics, snapshot.stops), if how == Injure::Panic { (1, 0) } else { (0, 1) });
    }
    assert_eq!((pair.master.shown(), pair.backup.shown()), before);
    assert_eq!((pair.master.events().len(), pair.backup.events().len()), events, "{:?}", pair.master.events());
    assert_eq!(pair.master.shared.link.greeting(), session, "the link was made anew");
    assert_eq!((*pair.master.shared.fatal().borrow()).clone(), None);
    pair.backup.shut_down().await;
    pair.master.shut_down().await;
}

macro_rules! nobody_notices {
    ($($test:ident: $name:expr, $how:expr;)*) => {$(
        #[tokio::test]
        async fn $test() {
            nobody_notices($name, $how).await;
        }
    )*};
}
nobody_notices! {
    a_panic_of_the_link: names::PEER_LINK, Injure::Panic;
    a_stop_of_the_link: names::PEER_LINK, Injure::Stop;
    a_panic_of_the_heartbeat: names::HEARTBEAT, Injure::Panic;
    a_stop_of_the_heartbeat: names::HEARTBEAT, Injure::Stop;
    a_panic_of_the_arbiter: names::STATE_ARBITER, Injure::Panic;
    a_stop_of_the_arbiter: names::STATE_ARBITER, Injure::Stop;
    a_panic_of_the_tag_replicator: names::TAG_REPLICATOR, Injure::Panic;
    a_stop_of_the_tag_replicator: names::TAG_REPLICATOR, Injure::Stop;
    a_panic_of_the_alarm_replicator: names::ALARM_REPLICATOR, Injure::Panic;
    a_stop_of_the_alarm_replicator: names::ALARM_REPLICATOR, Injure::Stop;
    a_panic_of_the_licence_checker: names::LICENSE_CHECKER, Injure::Panic;
    a_panic_of_the_supervisor: names::SUPERVISOR, Injure::Panic;
    a_stop_of_the_supervisor: names::SUPERVISOR, Injure::Stop;
}

#[tokio::test]
async fn writes_go_on_while_every_actor_of_both_nodes_panics() {
    let mut pair = Pair::ready(CALM).await;
    let events = (pair.master.events().len(), pair.backup.events().len());
    let all = [names::LICENSE_CHECKER, names::PEER_LINK, names::HEARTBEAT, names::STATE_ARBITER, names::TAG_REPLICATOR];
    for (value, name) in (1..).zip(all) {
        for node in [&pair.master, &pair.backup] {
            injure(&node.shared.directory, name, Injure::Panic).unwrap();
        }
        // Never refused; whether the other node has it already is another matter.
        let outcome = pair.master.write(1, value).await;
        assert!(matches!(outcome, WriteOutcome::Done { .. }), "{outcome:?}");
    }
    pair.until_ready().await;
    assert!(replicated(&pair.master.write(1, 99).await));
    assert_eq!(pair.backup.read(1), Value::Int64(99));
    assert_eq!((pair.master.events().len(), pair.backup.events().len()), events);
    pair.backup.shut_down().await;
    pair.master.shut_down().await;
}

/// The arbiter wants several things done at once; the one that panics must not take the others with it: here its report
/// to the peer.
#[tokio::test]
async fn a_panic_over_an_event_loses_nothing_else() {
    let first = AtomicBool::new(true);
    let on_event = move |record: &EventRecord| {
        let runs = !record.event.peer && record.event.to == Status::Running;
        assert!(!runs || !first.swap(false, Ordering::SeqCst), "a broken hook");
    };
    let (listener, port) = door();
    let master = Node::start(settings(Mode::Master, 1, port, CALM), Some(listener), Box::new(on_event));
    let backup = Node::start(settings(Mode::Backup, 2, port, CALM), None, Box::new(|_| {}));
    let mut pair = Pair { master, backup };
    pair.until_ready().await;
    assert_eq!(pair.backup.shown(), (Status::Standby, Some(Status::Running)));
    pair.backup.shut_down().await;
    pair.master.shut_down().await;
}

/// The Standby node confirms nothing for a while; meanwhile the Running node's tag replicator panics.
#[tokio::test]
async fn a_write_under_way_is_answered_though_the_tag_replicator_panics() {
    let mut pair = Pair::ready(CALM).await;
    for tag in [0, 1] {
        injure(&pair.backup.shared.directory, names::TAG_REPLICATOR, Injure::Hang { ms: 300 }).unwrap();
        let directory = &pair.master.shared.directory;
        let panics = async {
            // Behind the write in the same queue.
            injure(directory, names::TAG_REPLICATOR, Injure::Panic).unwrap();
        };
        let (outcome, ()) = tokio::join!(pair.master.write(tag, 5), panics);
        assert!(matches!(outcome, WriteOutcome::Done { replicated: false, .. }), "{outcome:?}");
    }
    pair.until_ready().await;
    assert_eq!((pair.backup.read(0), pair.backup.read(1)), (Value::Int64(5), Value::Int64(5)));
    pair.backup.shut_down().await;
    pair.master.shut_down().await;
}
