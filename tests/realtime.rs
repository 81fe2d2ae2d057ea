//! The WebSocket of present values: first all, then what changes, and nothing that is old.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use pair::project::{COUNTERS, SETPOINT};
use pair::socket::{REALTIME, Socket, open_deaf, read_to_end};
use pair::{Node, Overlap, Pair};
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;

/// A client has so long to answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn first_all_then_what_changes_at_both_nodes_and_after_a_failover() {
    let pair = Pair::builder().start();
    let mut sockets = [&pair.master, &pair.backup].map(|node| (node, Socket::open(node.http_port)));
    for (node, socket) in &mut sockets {
        socket.ask(&json!({"path": ["Plant/*", "System/Redundancy/CurrentNode/IsActive", "No/Such"]}));
        let rows = socket.list("tagValues", true);
        assert_eq!(rows.len(), 12, "{}: ten tags, one of the system, one that is none: {rows:?}", node.name);
        let setpoint = row_of(&rows, SETPOINT);
        assert_eq!((&setpoint["value"], &setpoint["quality"]), (&json!(1.5), &json!("Uncertain_InitialValue")));
        assert!(setpoint["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(row_of(&rows, "No/Such")["quality"], "Bad_NodeIdUnknown");
        let active = &row_of(&rows, "System/Redundancy/CurrentNode/IsActive")["value"];
        assert_eq!(active, &json!(node.name == "master"));
    }
    pair.backup.write_replicated(SETPOINT, 41.5);
    for (node, socket) in &mut sockets {
        let rows = socket.list("tagValues", false);
        assert_eq!(rows.len(), 1, "{}: nothing else has changed: {rows:?}", node.name);
        assert_eq!((&rows[0]["path"], &rows[0]["value"]), (&json!(SETPOINT), &json!(41.5)));
        assert_eq!(rows[0]["quality"], "Good");
    }

    pair.master.kill9();
    let (_, socket) = &mut sockets[1];
    socket.until("the Backup is active", |row| {
        row["path"] == "System/Redundancy/CurrentNode/IsActive" && row["value"] == true
    });
    pair.backup.wait_shows("Running", "Faulted");
    assert!(pair.backup.write(SETPOINT, 42.5, None).all_written());
    socket.until("a value after the failover", |row| row["path"] == SETPOINT && row["value"] == 42.5);
    pair.verify(Overlap::None);
}

#[test]
fn another_request_replaces_what_was_asked_for() {
    let single = Pair::builder().start_independent();
    let node = &single.node;
    let mut socket = Socket::open(node.http_port);
    socket.ask(&json!({"path": ["Plant/Operator/*"]}));
    assert_eq!(socket.list("tagValues", true).len(), 10);
    socket.ask(&json!({"path": [COUNTERS[0], COUNTERS[0], COUNTERS[1]]}));
    assert_eq!(socket.list("tagValues", true).len(), 2, "a path that stands there twice is one");
    assert!(node.write(SETPOINT, 2.5, None).all_written());
    assert!(node.write(COUNTERS[1], 7, None).all_written());
    let rows = socket.list("tagValues", false);
    assert_eq!((rows.len(), &rows[0]["path"], &rows[0]["value"]), (1, &json!(COUNTERS[1]), &json!(7)));
    socket.ask(&json!({"path": []}));
    assert!(socket.list("tagValues", true).is_empty());
    socket.ask(&json!({"path": ["Nothing/*"]}));
    assert!(socket.list("tagValues", true).is_empty());
    socket.close();
}

#[test]
fn a_request_that_is_wrong_is_answered_and_changes_nothing() {
    let single = Pair::builder().start_independent();
    let node = &single.node;
    let mut socket = Socket::open(node.http_port);
    socket.ask(&json!({"path": [SETPOINT]}));
    assert_eq!(socket.list("tagValues", true).len(), 1);
    let many = |path: &str, count: usize| json!({ "path": vec![path; count] }).to_string();
    for (wrong, word) in [
        ("nonsense".to_owned(), "JSON"),
        ("[]".to_owned(), "fit"),
        ("{}".to_owned(), "nothing is asked for"),
        (json!({"path": "Plant/*"}).to_string(), "path"),
        (json!({"path": [5]}).to_string(), "path[0]"),
        (json!({"pth": ["Plant/*"]}).to_string(), "pth"),
        (many("A", 1001), "1000"),
        (many("*", 33), "32"),
        ("[".repeat(10_000), "fit"),
    ] {
        socket.send(wrong.as_str());
        is_an_error(&socket.next(), word);
    }
    socket.send(vec![1_u8, 2, 3]);
    is_an_error(&socket.next(), "binary");
    assert!(node.write(SETPOINT, 2.5, None).all_written());
    let rows = socket.list("tagValues", false);
    assert_eq!((rows.len(), &rows[0]["value"]), (1, &json!(2.5)), "what was asked for before goes on");

    socket.send("x".repeat(65 * 1024));
    let closed = socket.read().expect_err("a message of 65 KiB ends the connection");
    assert_eq!(closed.expect("a reason").code, CloseCode::Size);
    let reply = node.http.get(REALTIME);
    assert_eq!((reply.status, reply.error_code().as_str()), (426, "upgrade_required"));
    assert_eq!(node.http.post(REALTIME, &[], &json!({})).status, 405);
    assert!(!node.log().contains("panicked"), "a panic in the log");
}

#[test]
fn a_page_of_another_site_is_refused() {
    let single = Pair::builder().start_independent();
    let port = single.node.http_port;
    let own = format!("http://127.0.0.1:{port}");
    Socket::try_open(port, &[("Origin", &own)]).expect("the node's own page").close();
    for (headers, code) in [
        ([("Origin", "http://evil.example")], "wrong_origin"),
        ([("Origin", "null")], "wrong_origin"),
        ([("Origin", "http://127.0.0.1:1")], "wrong_origin"),
        ([("Host", "rebound.example")], "wrong_host"),
    ] {
        let refused = Socket::try_open(port, &headers).err().unwrap_or_else(|| panic!("{headers:?} was let in"));
        assert_eq!(refused.status, 403, "{headers:?}: {refused:?}");
        assert!(refused.body.contains(code), "{headers:?}: {refused:?}");
    }
}

#[test]
fn a_client_that_pauses_gets_the_newest_values_and_not_all_between() {
    let single = Pair::builder().start_independent();
    let node = &single.node;
    let mut socket = Socket::open(node.http_port);
    socket.ask(&json!({"path": [COUNTERS[0]]}));
    socket.list("tagValues", true);
    let begun = Instant::now();
    let mut last = 0;
    // Half a minute of changes would be as good; so many looks of the node fit into this.
    while begun.elapsed() < Duration::from_secs(2) {
        last += 1;
        assert!(node.write(COUNTERS[0], last, None).all_written());
    }
    let seen = socket.until("the last value", |row| row["value"] == last);
    assert!(last > 50, "only {last} changes");
    // One was on its way when the pause began, and one when it ended.
    assert!(seen.len() <= 3, "{} of {last} changes were kept for a client that did not read", seen.len());
}

#[test]
fn who_reads_nothing_is_cut_off_and_costs_no_memory() {
    const TAGS: usize = 1000;
    let single = Pair::builder().tags(note_tags(TAGS)).start_independent();
    let node = &single.node;
    write_notes(node, TAGS, 0);
    let mut reader = Socket::open(node.http_port);
    reader.ask(&json!({"path": ["Plant/Note*"]}));
    assert_eq!(reader.list("tagValues", true).len(), TAGS);
    let goes_on =
        thread::spawn(
            move || {
                while !reader.next()["data"].as_array().unwrap().iter().any(|row| row["value"] == "the end") {}
            },
        );
    let before = node.resident_kib();

    let request = json!({"path": ["Plant/Note*"]});
    let begun = Instant::now();
    let mut deaf: Vec<_> = (0..8).map(|_| open_deaf(node.http_port, &request)).collect();
    // This one reads, but answers no pings.
    let (port, one) = (node.http_port, json!({"path": ["Plant/Note0"]}));
    let dumb = thread::spawn(move || {
        let mut stream = open_deaf(port, &one);
        (read_to_end(&mut stream, PATIENCE * 2), begun.elapsed())
    });
    let mut rounds = 0;
    while begun.elapsed() < PATIENCE / 2 {
        rounds += 1;
        write_notes(node, TAGS, rounds);
    }
    let written_kib = rounds as u64 * TAGS as u64 * NOTE_BYTES as u64 / 1024;
    let grown = node.resident_kib().saturating_sub(before);
    assert!(written_kib > 50_000, "only {written_kib} KiB were written");
    assert!(grown < 25_000, "{grown} KiB for 8 clients that read nothing of {written_kib} KiB");

    let (last, after) = dumb.join().unwrap();
    assert!((PATIENCE..PATIENCE + Duration::from_secs(5)).contains(&after), "cut off after {after:?}");
    assert!(last.windows(5).any(|bytes| bytes == b"pings"), "it is told why");
    for stream in &mut deaf {
        read_to_end(stream, PATIENCE * 2);
    }
    assert!(node.write("Plant/Note0", "the end", None).all_written());
    goes_on.join().expect("who reads is not cut off");
}

#[test]
fn there_are_places_for_so_many() {
    let single = Pair::builder().start_independent();
    let port = single.node.http_port;
    let mut sockets: Vec<_> = (0..64).map(|_| Socket::open(port)).collect();
    let refused = Socket::try_open(port, &[]).err().expect("the 65th is refused");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("busy"), "{refused:?}");
    sockets.pop().unwrap().close();
    let end = Instant::now() + pair::TIMEOUT;
    while Socket::try_open(port, &[]).is_err() {
        assert!(Instant::now() < end, "the place of a client that went is not given to another");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_stop_says_goodbye() {
    let single = Pair::builder().start_independent();
    let node = &single.node;
    let mut socket = Socket::open(node.http_port);
    socket.ask(&json!({"path": ["*"]}));
    socket.list("tagValues", true);
    let begun = Instant::now();
    node.sigterm();
    let closed = loop {
        if let Err(closed) = socket.read() {
            break closed;
        }
    };
    assert_eq!(closed.expect("a reason").code, CloseCode::Away);
    assert!(node.wait_ended().success());
    assert!(begun.elapsed() < Duration::from_secs(3), "the stop took {:?}", begun.elapsed());
}

const NOTE_BYTES: usize = 800;

fn note_tags(count: usize) -> String {
    let mut csv = pair::project::HEADER.to_owned();
    for i in 0..count {
        writeln!(csv, "Plant/Note{i},String,,A long remark,true,,false").unwrap();
    }
    csv
}

fn note(of: usize, round: usize) -> String {
    format!("{of} {round} {}", "x".repeat(NOTE_BYTES))
}

/// Gives all of them new values.
fn write_notes(node: &Node, count: usize, round: usize) {
    let items: Vec<_> = (0..count).map(|i| json!({"key": format!("Plant/Note{i}"), "value": note(i, round)})).collect();
    assert!(node.try_write_many(&Value::from(items), None).unwrap().all_written());
}

#[track_caller]
fn row_of<'a>(rows: &'a [Value], path: &str) -> &'a Value {
    rows.iter().find(|row| row["path"] == path).unwrap_or_else(|| panic!("no {path} in {rows:?}"))
}

#[track_caller]
fn is_an_error(message: &Value, word: &str) {
    assert_eq!(message["error"]["code"], "bad_request", "{message}");
    let told = message["error"]["message"].as_str().unwrap();
    assert!(told.contains(word) && told.len() < 1000, "no '{word}' in: {told}");
}
