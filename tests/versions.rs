//! A peer of another version: neighbours work together, strangers are refused and told why.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};

use hotpair_core::protocol::{Control, Greeting, PROTOCOL_VERSIONS, Refusal, RefusalCode};
use hotpair_core::types::Mode;
use hotpair_core::wire::{HEADER_BYTES, decode_control, encode_control};
use pair::link::{greeting_of_a_backup, read_frame};
use pair::{Node, Pair};

const NEWEST: u16 = PROTOCOL_VERSIONS.1;

#[test]
fn a_peer_of_a_version_far_away_is_refused_and_both_versions_are_named() {
    let pair = lone_master();
    let refusal = refusal_of(&pair.master, |greeting| greeting.protocol = (NEWEST + 7, NEWEST + 9));
    assert_eq!(refusal.code, RefusalCode::Version, "{refusal:?}");
    let named = |version: u16| refusal.reason.contains(&version.to_string());
    assert!(named(NEWEST) && (named(NEWEST + 7) || named(NEWEST + 9)), "{refusal:?}");
    // The log is written by another process, a moment after its answer.
    pair.master.wait_log(&refusal.reason);
}

#[test]
fn a_peer_of_the_next_version_with_unknown_features_is_greeted() {
    let pair = lone_master();
    let answer = answer_to(&pair.master, |greeting| {
        greeting.protocol = (NEWEST, NEWEST + 1);
        greeting.features = u64::MAX;
        greeting.version = "99.0.0".to_owned();
    });
    assert!(matches!(answer, Control::Greeting(_)), "{answer:?}");
}

#[test]
fn another_master_is_refused() {
    let pair = lone_master();
    let refusal = refusal_of(&pair.master, |greeting| greeting.mode = Mode::Master);
    assert_eq!(refusal.code, RefusalCode::Mode, "{refusal:?}");
    assert!(refusal.reason.contains("Master"), "{refusal:?}");
}

/// A Master whose Backup has not come.
fn lone_master() -> Pair {
    let pair = Pair::builder().connection_wait_time_ms(500).prepare();
    pair.master.start();
    pair.master.wait_shows("Running", "Disconnected");
    pair
}

#[track_caller]
fn refusal_of(master: &Node, change: impl FnOnce(&mut Greeting)) -> Refusal {
    match answer_to(master, change) {
        Control::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Greets the Master as a real Backup would, but for the change, and gives what it answers first.
#[track_caller]
fn answer_to(master: &Node, change: impl FnOnce(&mut Greeting)) -> Control {
    let recorded = greeting_of_a_backup();
    let Ok(Control::Greeting(mut greeting)) = decode_control(&recorded[HEADER_BYTES..]) else {
        panic!("a Backup does not begin with a greeting")
    };
    change(&mut greeting);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, master.link_port)).expect("the Master listens");
    stream.write_all(&encode_control(&Control::Greeting(greeting)).unwrap()).unwrap();
    let answer = read_frame(&mut stream).expect("an answer");
    decode_control(&answer[HEADER_BYTES..]).expect("a control message")
}
