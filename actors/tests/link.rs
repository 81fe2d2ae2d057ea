//! The link against a peer that misbehaves: one that does not read, sends garbage, or floods.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use hotpair_actors::directory::names;
use hotpair_actors::injure::answers;
use hotpair_core::lineage::Lineage;
use hotpair_core::protocol::{Control, Greeting, Hold, LicenseFacts, PROTOCOL_VERSIONS, Report, Tenure};
use hotpair_core::types::{BootId, Mode, NodeId, RecoveryMode, Status, SyncPhase};
use hotpair_core::wire::{self, Kind};
use pair::{CALM, Node, PATIENCE, door, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

fn greeting(boot: u64) -> Control {
    Control::Greeting(Box::new(Greeting {
        protocol: PROTOCOL_VERSIONS,
        features: 0,
        version: "test".into(),
        node: NodeId(2),
        boot: BootId(boot),
        name: "Line1".into(),
        mode: Mode::Backup,
        recovery: RecoveryMode::Manual,
        http: String::new(),
        alive_at: String::new(),
        project: hotpair_core::protocol::ProjectHash::default(),
        session: 0,
        report: Report {
            status: Status::Standby,
            lineage: Lineage::default(),
            tenure: Tenure::None,
            applied: 0,
            durable: 0,
            last: 0,
            sync: SyncPhase::None,
            in_sync: false,
            faults: Vec::new(),
            hold: Hold::default(),
            switching: 0,
            running_ms: 0,
            recoveries_ms: Vec::new(),
        },
    }))
}

fn pings(from: u64, count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in from..from + count {
        wire::append_control(&mut bytes, &Control::Ping { number, stalled_ms: 0 }).unwrap();
    }
    bytes
}

fn master() -> (Node, u16) {
    let (listener, port) = door();
    (Node::start(settings(Mode::Master, 1, port, CALM), Some(listener), Box::new(|_| {})), port)
}

/// A Backup made by hand, connected and greeted.
async fn connected(node: &Node, port: u16, boot: u64) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    stream.write_all(&wire::encode_control(&greeting(boot)).unwrap()).await.unwrap();
    let mut buffer = Vec::new();
    let theirs = loop {
        if let Some(frame) = wire::decode(&buffer, Kind::Control).unwrap() {
            break wire::decode_control(frame.body).unwrap();
        }
        assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0, "refused");
    };
    assert!(matches!(theirs, Control::Greeting(_)), "{theirs:?}");
    stream.write_all(&wire::encode_control(&Control::Accepted).unwrap()).await.unwrap();
    let is_this = |greeting: Box<Greeting>| greeting.boot == BootId(boot);
    node.until("linked", |node| node.link.view().up && node.link.greeting().is_some_and(is_this)).await;
    stream
}

/// The other side ended the connection, however.
async fn until_closed(stream: &mut TcpStream) {
    let mut sink = [0; 4096];
    let all = async { while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(PATIENCE, all).await.expect("the connection is still open");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped_with_all_that_it_was_owed() {
    let (mut node, port) = master();
    for boot in 1..=2 {
        let mut peer = connected(&node, port, boot).await;
        // Each ping is owed a pong; nobody fetches them.
        let chunk = pings(1, 1000);
        let flood = async {
            loop {
                if let Err(error) = peer.write_all(&chunk).await {
                    break error;
                }
            }
        };
        let error = tokio::time::timeout(Duration::from_mins(1), flood).await.expect("the socket is kept for ever");
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
        node.until("dropped", |node| !node.link.view().up).await;
    }
    // Another one is welcome.
    drop(connected(&node, port, 3).await);
    node.shut_down().await;
}

#[tokio::test]
async fn a_peer_that_sends_garbage_is_dropped_and_may_come_again() {
    let (mut node, port) = master();
    let mut broken = wire::encode_control(&Control::License(LicenseFacts::default())).unwrap();
    *broken.last_mut().unwrap() ^= 1;
    let mut huge = broken.clone();
    huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut other_kind = broken.clone();
    other_kind[2] = 2;
    let garbage = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), broken, huge, other_kind, vec![0; 100_000], vec![0xF5; 100_000]];
    for (boot, garbage) in (1..).zip(garbage) {
        let mut peer = connected(&node, port, boot).await;
        // It may be dropped before everything was sent.
        let _ = peer.write_all(&garbage).await;
        until_closed(&mut peer).await;
        node.until("dropped", |node| !node.link.view().up).await;
    }
    let mut peer = connected(&node, port, 100).await;
    peer.write_all(&pings(1, 1)).await.unwrap();
    assert_ne!(peer.read(&mut [0; 100]).await.unwrap(), 0);
    node.shut_down().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_keep_the_true_peer_out() {
    let (mut node, port) = master();
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    let begun = Instant::now();
    let peer = connected(&node, port, 1).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "it waited {:?}", begun.elapsed());
    drop(peer);
    node.shut_down().await;
}

#[tokio::test]
async fn a_flood_of_pings_starves_nobody() {
    let (mut node, port) = master();
    let (mut read, mut write) = connected(&node, port, 1).await.into_split();
    let flood = tokio::spawn(async move {
        let chunk = pings(1, 1000);
        while write.write_all(&chunk).await.is_ok() {}
    });
    let drain = tokio::spawn(async move {
        let mut sink = vec![0; 65536];
        while read.read(&mut sink).await.is_ok_and(|read| read > 0) {}
    });
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(2) {
        for name in [names::STATE_ARBITER, names::HEARTBEAT, names::PEER_LINK, names::TAG_REPLICATOR] {
            let asked = Instant::now();
            assert!(tokio::time::timeout(PATIENCE, answers(&node.shared.directory, name)).await.unwrap(), "{name}");
            slowest = slowest.max(asked.elapsed());
        }
    }
    println!("slowest answer during the flood: {slowest:?}");
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    assert!(node.shared.link.view().up, "a peer that reads is no reason to drop it");
    // Its own ticks came in time: it blames nobody.
    assert_eq!(node.shared.view().peer.unwrap().status, Status::Standby);
    flood.abort();
    drain.abort();
    node.shut_down().await;
}
