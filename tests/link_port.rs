//! Strangers at the Master's link port: the pair goes on, the log says what came, memory stays bounded.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use pair::link::greeting_of_a_backup;
use pair::project::SETPOINT;
use pair::{Node, Overlap, Pair, TIMEOUT};

/// Start of a control frame: magic, kind, flags, length of the body (little endian), checksum.
const HEADER_WITH_4_GIB_BODY: [u8; 12] = [0xF5, b'p', 1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];

/// How much the Master's memory may grow under all of this.
const MAX_GROWTH_KIB: u64 = 64 * 1024;

#[test]
fn garbage_at_the_link_port_changes_nothing() {
    let pair = Pair::builder().start();
    let garbage: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    the_pair_shrugs_off(&pair, |port| drop(send(port, &garbage)));
    the_pair_shrugs_off(&pair, |port| drop(send(port, &[0; 4096])));
    the_pair_shrugs_off(&pair, |port| drop(send(port, b"")));
    the_log_says(&pair.master, &["not a hotpair", "magic", "no hotpair", "not hotpair", "garbage", "frame"]);
    pair.verify(Overlap::None);
}

#[test]
fn an_http_request_at_the_link_port_is_recognised() {
    let pair = Pair::builder().start();
    let request = b"GET / HTTP/1.1\r\nHost: plant\r\n\r\n";
    the_pair_shrugs_off(&pair, |port| {
        let mut stream = send(port, request);
        assert!(is_closed_within(&mut stream, TIMEOUT), "a stranger is not entertained");
    });
    the_log_says(&pair.master, &["http", "not a hotpair"]);
    pair.verify(Overlap::None);
}

#[test]
fn an_oversized_frame_is_refused_before_it_takes_memory() {
    let pair = Pair::builder().start();
    for kind in [1, 2] {
        let mut header = HEADER_WITH_4_GIB_BODY;
        header[2] = kind;
        the_pair_shrugs_off(&pair, |port| {
            let mut stream = send(port, &header);
            let chunk = vec![0xAA; 65_536];
            // Up to 32 MiB of the body, as long as the Master reads at all.
            for _ in 0..512 {
                if stream.write_all(&chunk).is_err() {
                    break;
                }
            }
            assert!(is_closed_within(&mut stream, TIMEOUT), "an oversized frame ends the connection");
        });
    }
    the_log_says(
        &pair.master,
        &["too long", "too large", "longer than", "larger than", "at most", "limit", "oversize"],
    );
    pair.verify(Overlap::None);
}

#[test]
fn half_a_greeting_held_open_is_given_up() {
    let pair = Pair::builder().start();
    let greeting = greeting_of_a_backup();
    let parts = [1, 11, 12, greeting.len() / 2, greeting.len() - 1];
    the_pair_shrugs_off(&pair, |port| {
        // All at once: each is held for as long as the Master allows.
        let held: Vec<_> = parts.iter().map(|part| (part, send(port, &greeting[..*part]))).collect();
        for (part, mut stream) in held {
            assert!(is_closed_within(&mut stream, TIMEOUT), "the first {part} bytes of a greeting are held for ever");
        }
    });
    pair.verify(Overlap::None);
}

#[test]
fn a_greeting_with_a_changed_byte_is_refused() {
    let pair = Pair::builder().start();
    let greeting = greeting_of_a_backup();
    for place in (0..greeting.len()).step_by(greeting.len() / 20) {
        let mut changed = greeting.clone();
        changed[place] ^= 0x5A;
        the_pair_shrugs_off(&pair, |port| {
            let mut stream = send(port, &changed);
            stream.shutdown(Shutdown::Write).ok();
            assert!(is_closed_within(&mut stream, TIMEOUT), "byte {place} changed: the connection stays open");
        });
    }
    pair.verify(Overlap::None);
}

#[test]
fn a_second_backup_is_refused_and_told_why() {
    let pair = Pair::builder().start();
    let other = Pair::builder().connection_wait_time_ms(60_000).prepare();
    other.backup.edit_config("master_port", &pair.master.link_port.to_string());
    other.backup.start();
    the_log_says(&other.backup, &["backup already", "second backup", "another backup", "has a backup"]);
    the_log_says(&pair.master, &["refus", "second backup", "another backup"]);
    let status = pair.master.http.get_json("/api/v1/redundancy/status");
    assert_eq!(status["link"]["refused"]["code"], "SecondBackup", "{status}");
    pair.stays_ready("Running", "Standby");
    pair.verify(Overlap::None);
}

#[test]
fn a_backup_that_cannot_connect_says_why() {
    let pair = Pair::builder().connection_wait_time_ms(60_000).prepare();
    let backup = &pair.backup;
    let remarks = || backup.http.get_json("/api/v1/redundancy/status")["link"]["remarks"].to_string();
    let wait_remark = |wanted: &[&str]| {
        let end = Instant::now() + TIMEOUT;
        while !wanted.iter().all(|words| remarks().contains(words)) {
            assert!(Instant::now() < end, "no remark says {wanted:?}: {}", remarks());
            thread::sleep(Duration::from_millis(20));
        }
    };
    backup.start();
    wait_remark(&["cannot reach 127.0.0.1:", "refused"]);
    the_log_says(backup, &["warn cannot reach 127.0.0.1:"]);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(backup.log().matches("cannot reach").count(), 1, "{}", backup.log());
    pair.master.start();
    pair.wait_ready("Running", "Standby");
    assert_eq!(remarks(), "[]");
}

#[test]
fn two_hundred_connections_held_open_lock_nobody_out() {
    let pair = Pair::builder().start();
    let before = pair.master.resident_kib();
    let header = [0xF5, b'p', 1, 0];
    let held: Vec<TcpStream> = (0..200).map(|i| send(pair.master.link_port, &header[..i % 5])).collect();
    pair.stays_ready("Running", "Standby");

    pair.backup.kill9();
    pair.master.wait_shows("Running", "Faulted");
    pair.backup.start();
    pair.wait_ready("Running", "Standby");

    let growth = pair.master.resident_kib().saturating_sub(before);
    assert!(growth < MAX_GROWTH_KIB, "the Master grew by {growth} KiB");
    drop(held);
    pair.stays_ready("Running", "Standby");
    pair.verify(Overlap::None);
}

/// Does it to the Master's link port; afterwards the same nodes do the same, in the same epoch and connection, and a
/// write reaches both.
#[track_caller]
fn the_pair_shrugs_off(pair: &Pair, attack: impl Fn(u16)) {
    let (epoch, memory) = (pair.master.status().epoch, pair.master.resident_kib());
    attack(pair.master.link_port);
    assert!(pair.master.write(SETPOINT, 3.25, None).replicated(), "the pair is no longer in sync");
    assert!(pair.master.status().shows("Running", "Standby"), "{:#?}", pair.master.status());
    assert!(pair.backup.status().shows("Standby", "Running"), "{:#?}", pair.backup.status());
    assert_eq!(pair.backup.status().epoch, epoch);
    let growth = pair.master.resident_kib().saturating_sub(memory);
    assert!(growth < MAX_GROWTH_KIB, "the Master grew by {growth} KiB");
}

fn send(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the Master listens");
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    // The Master may close before it read everything.
    stream.write_all(bytes).ok();
    stream
}

/// Reads whatever is answered until the other side closes or resets the connection.
fn is_closed_within(stream: &mut TcpStream, time: Duration) -> bool {
    let end = Instant::now() + time;
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut answer = [0; 4096];
    while Instant::now() < end {
        match stream.read(&mut answer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
    false
}

/// Waits until the log holds one of these, in whatever case.
#[track_caller]
fn the_log_says(node: &Node, one_of: &[&str]) {
    let end = Instant::now() + TIMEOUT;
    loop {
        let log = node.log().to_lowercase();
        if one_of.iter().any(|words| log.contains(words)) {
            return;
        }
        assert!(Instant::now() < end, "the log of {} says none of {one_of:?}", node.name);
        thread::sleep(Duration::from_millis(20));
    }
}
