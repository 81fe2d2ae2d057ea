//! Alarms over HTTP, the WebSocket and the command line.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::fmt::Write as _;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use pair::http::rows;

use pair::project::{COUNTERS, SETPOINT};
use pair::socket::Socket;
use pair::{Node, Overlap, Pair, Reply, Single};
use serde_json::{Value, json};

const ALARMS: &str = "tag,name,kind,limit,priority,ack_mode,description
Plant/Operator/Setpoint,,H,5,High,Manual,Pressure too high
Plant/Operator/Setpoint,Far too high,H2,10,Critical,ManualWithComment,Pressure far too high
Plant/Operator/Counter0,,H,100,Low,Automatic,Many
";

const LIST: &str = "/api/v1/alarms";
const UNKNOWN: &str = "00112233445566778899aabbccddeeff";

#[test]
fn an_alarm_is_listed_acknowledged_and_gone_and_the_journal_tells_it() {
    let single = start();
    let node = &single.node;
    assert!(alarms(node, "").is_empty());
    set(node, 6.5);
    let alarm = wait_one(node, "H", "Active,Unacked");
    for (key, value) in [
        ("path", json!(SETPOINT)),
        ("type", json!("H")),
        ("priority", json!("High")),
        ("value", json!(6.5)),
        ("description", json!("Pressure too high")),
        ("clearTime", json!(null)),
        ("ackTime", json!(null)),
        ("operator", json!("")),
        ("ackNotes", json!("")),
        ("shelved", json!(false)),
    ] {
        assert_eq!(alarm[key], value, "{key} in {alarm}");
    }
    let id = alarm["eventId"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    let metrics = node.http.get("/metrics").text;
    assert!(metrics.lines().any(|line| line == "hotpair_alarms{state=\"active_unacked\"} 1"), "{metrics}");
    assert_eq!(node.value("System/Alarm/ActiveUnacked"), json!(1));

    let done = acknowledge(node, id, &json!({"comment": "pump\nreplaced", "operationId": "one"}));
    assert_eq!((done.status, done.json()), (200, json!({"result": "Good", "replicated": false})));
    let again = acknowledge(node, id, &json!({"comment": "pump\nreplaced", "operationId": "one"}));
    assert_eq!(again.json(), done.json(), "the same id, the same answer");
    is_refused(&acknowledge(node, id, &json!({})), 409, "BadConditionBranchAlreadyAcked");
    let alarm = wait_one(node, "H", "Active,Acked");
    assert_eq!(alarm["ackNotes"], "pump replaced");
    assert!(alarm["operator"].as_str().unwrap().contains("127.0.0.1") && alarm["ackTime"].is_string(), "{alarm}");
    let said = node.http.post(&format!("{LIST}/{id}/comment"), &[], &json!({"comment": "ordered a new one"}));
    assert_eq!(said.status, 200, "{said:?}");

    set(node, 1.0);
    wait(node, "none is left", <[Value]>::is_empty);
    is_refused(&acknowledge(node, id, &json!({})), 409, "BadConditionBranchAlreadyAcked");

    let rows = wait_rows(node, id, 4);
    let told: Vec<_> = rows.iter().map(|row| (text(row, "kind"), text(row, "status"))).collect();
    assert_eq!(
        told,
        [
            ("Raised", "Active,Unacked"),
            ("Acknowledged", "Active,Acked"),
            ("Commented", "Active,Acked"),
            ("Cleared", "Cleared,Acked")
        ]
    );
    assert!(rows.iter().all(|row| row["valueType"] == "Float64" && row["ackMode"] == "Manual"));
    assert_eq!((&rows[1]["ackNotes"], &rows[1]["ackTime"]), (&json!("pump replaced"), &rows[1]["eventTime"]));
    let page = node.http.get_json("/api/v1/historicalData/pagedAlarms?pageIndex=1&pageSize=3");
    assert_eq!((&page["totalCount"], &page["pageIndex"], &page["pageSize"]), (&json!(4), &json!(1), &json!(3)));
    assert_eq!(page["data"], json!([rows[3]]));
    let since = rows[2]["eventTime"].as_str().unwrap();
    let later = node.http.get_json(&format!("/api/v1/historicalData/alarms?startTime={since}&path=*/Setpoint"));
    assert!(later.as_array().unwrap().iter().any(|row| *row == rows[3]), "{later}");
    assert_eq!(node.http.get_json(&format!("/api/v1/historicalData/alarms?path={}", COUNTERS[1])), json!([]));
}

#[test]
fn filters_and_order_of_the_list() {
    let single = start();
    let node = &single.node;
    set(node, 11.0);
    assert!(node.write(COUNTERS[0], 101, None).all_written());
    let all = wait(node, "three alarms", |alarms| alarms.len() == 3);
    let names: Vec<_> = all.iter().map(|alarm| text(alarm, "priority")).collect();
    assert_eq!(names, ["Critical", "High", "Low"]);
    for (query, count) in [
        ("?priority=Low", 1),
        ("?priority=Low&priority=Critical", 2),
        ("?path=*/Setpoint", 2),
        ("?path=*/Far%20too%20high", 1),
        ("?path=Nothing", 0),
        ("?limit=2", 2),
    ] {
        assert_eq!(alarms(node, query).len(), count, "{query}");
    }
    let cut = node.http.get(&format!("{LIST}?limit=2"));
    assert_eq!(cut.headers["hotpair-truncated"], "true");
    for query in ["?priority=low", "?shelved=1", "?limit=0", "?state=Active"] {
        assert_eq!(node.http.get(&format!("{LIST}{query}")).status, 400, "{query}");
    }
    for query in ["startTime=today", "startTime=2026-01-02T00:00:00Z&endTime=2026-01-01T00:00:00Z", "limit=0"] {
        assert_eq!(node.http.get(&format!("/api/v1/historicalData/alarms?{query}")).status, 400, "{query}");
    }
    for query in ["pageIndex=-1", "pageSize=0", "limit=5"] {
        assert_eq!(node.http.get(&format!("/api/v1/historicalData/pagedAlarms?{query}")).status, 400, "{query}");
    }
}

#[test]
fn a_request_that_cannot_be_done_says_why() {
    let single = start();
    let node = &single.node;
    set(node, 11.0);
    let strict = wait_one(node, "Far too high", "Active,Unacked")["eventId"].as_str().unwrap().to_owned();
    is_refused(&acknowledge(node, &strict, &json!({"comment": "  "})), 400, "BadCommentMissing");
    is_refused(&acknowledge(node, UNKNOWN, &json!({})), 404, "BadEventIdUnknown");
    is_refused(&acknowledge(node, &strict, &json!({"comment": "x".repeat(2000)})), 400, "BadOutOfRange");
    let shelve = |body: Value| node.http.post(&format!("{LIST}/shelve"), &[], &body);
    is_refused(&shelve(json!({"path": "Nothing/*", "minutes": 5})), 404, "BadNodeIdUnknown");
    is_refused(&shelve(json!({"path": "Plant/*", "minutes": 0})), 400, "BadShelvingTimeOutOfRange");
    is_refused(&shelve(json!({"path": "Plant/*", "minutes": u64::MAX})), 400, "BadShelvingTimeOutOfRange");
    let unshelve = node.http.post(&format!("{LIST}/unshelve"), &[], &json!({"path": "Plant/*"}));
    is_refused(&unshelve, 409, "BadConditionNotShelved");
    for (path, body) in [
        (format!("{LIST}/not-an-id/ack"), json!({})),
        (format!("{LIST}/{strict}/ack"), json!({"comment": 5})),
        (format!("{LIST}/{strict}/ack"), json!({"kommentar": "x"})),
        (format!("{LIST}/{strict}/ack"), json!({"operationId": ""})),
        (format!("{LIST}/shelve"), json!({"path": "Plant/*"})),
        (format!("{LIST}/shelve"), json!({"path": "Plant/*", "minutes": -1})),
    ] {
        let reply = node.http.post(&path, &[], &body);
        assert_eq!((reply.status, reply.error_code().as_str()), (400, "bad_request"), "{path} {body}: {reply:?}");
    }
    assert_eq!(node.http.get(&format!("{LIST}/{strict}/ack")).status, 405);
    wait_one(node, "Far too high", "Active,Unacked");
    assert_eq!(acknowledge(node, &strict, &json!({"comment": "seen"})).status, 200);
}

#[test]
fn what_is_shelved_is_hidden_until_its_end() {
    let single = start();
    let node = &single.node;
    set(node, 6.0);
    wait_one(node, "H", "Active,Unacked");
    let body = json!({"path": "Plant/*", "minutes": 30, "comment": "works"});
    assert_eq!(node.http.post(&format!("{LIST}/shelve"), &[], &body).status, 200);
    assert!(alarms(node, "").is_empty());
    let hidden = alarms(node, "?shelved=true");
    assert_eq!((hidden.len(), &hidden[0]["shelved"]), (1, &json!(true)));
    let shelvings = node.http.get_json(&format!("{LIST}/shelved"));
    assert_eq!((&shelvings[0]["path"], &shelvings[0]["comment"]), (&json!("Plant/*"), &json!("works")));
    let left = shelvings[0]["remainingS"].as_u64().unwrap();
    assert!((1700..=1800).contains(&left), "{shelvings}");
    assert_eq!(node.value("System/Alarm/ActiveUnacked"), json!(0));
    assert_eq!(node.http.post(&format!("{LIST}/unshelve"), &[], &json!({"path": "Plant/*"})).status, 200);
    assert_eq!(alarms(node, "").len(), 1);
    let rows = rows(&node.http.get_json("/api/v1/historicalData/alarms"));
    let told: Vec<_> = rows.iter().map(|row| (text(row, "kind"), text(row, "path"))).collect();
    assert_eq!(told[1..], [("Shelved", "Plant/*"), ("Unshelved", "Plant/*")]);
    assert_eq!(rows[1]["shelvedMinutes"], 30.0);
}

#[test]
fn the_websocket_tells_all_alarms_and_then_what_becomes_of_them() {
    let single = start();
    let node = &single.node;
    set(node, 6.0);
    wait_one(node, "H", "Active,Unacked");
    let mut socket = Socket::open(node.http_port);
    socket.ask(&json!({"alarms": true, "path": ["System/Alarm/*"]}));
    let (mut first, mut values) = (None, None);
    while first.is_none() || values.is_none() {
        let message = socket.next();
        assert_eq!((&message["all"], &message["more"]), (&json!(true), &json!(false)), "{message}");
        let list = message["data"].as_array().unwrap().clone();
        if message["type"] == "alarms" { first = Some(list) } else { values = Some(list) }
    }
    assert_eq!(values.unwrap().len(), 3);
    let first = first.unwrap();
    let id = text(&first[0], "eventId").to_owned();
    assert_eq!((first.len(), text(&first[0], "state")), (1, "Active,Unacked"));

    let mut counts = Socket::open(node.http_port);
    counts.ask(&json!({"path": ["System/Alarm/*"]}));
    assert_eq!(counts.list("tagValues", true).len(), 3);
    assert_eq!(acknowledge(node, &id, &json!({"comment": "seen"})).status, 200);
    socket.until("it is acknowledged", |row| row["state"] == "Active,Acked" && row["ackNotes"] == "seen");
    counts.until("it is counted so", |row| row["path"] == "System/Alarm/ActiveAcked" && row["value"] == 1);
    assert_eq!(node.http.post(&format!("{LIST}/shelve"), &[], &json!({"path": "*", "minutes": 1})).status, 200);
    socket.until("it is shelved", |row| row["shelved"] == true && row["eventId"] == id.as_str());
    counts.until("it is counted so", |row| row["path"] == "System/Alarm/ActiveAcked" && row["value"] == 0);
    set(node, 1.0);
    socket.until("its end", |row| row["state"] == "Cleared,Acked" && row["eventId"] == id.as_str());

    socket.ask(&json!({"alarms": true}));
    assert!(socket.list("alarms", true).is_empty());
    set(node, 7.0);
    let again = socket.until("it comes again", |row| row["state"] == "Active,Unacked");
    assert_ne!(again.last().unwrap()["eventId"], id.as_str(), "another occurrence has another id");
}

#[test]
fn both_nodes_show_the_same_and_an_operator_may_act_at_either() {
    let pair = Pair::builder().alarms(ALARMS).start();
    let mut sockets = [&pair.master, &pair.backup].map(|node| Socket::open(node.http_port));
    for socket in &mut sockets {
        socket.ask(&json!({"alarms": true}));
        assert!(socket.list("alarms", true).is_empty());
    }
    set(&pair.master, 6.0);
    let raised = sockets.each_mut().map(|socket| {
        let rows = socket.until("it is raised", |row| row["name"] == "H" && row["state"] == "Active,Unacked");
        rows.last().unwrap().clone()
    });
    assert_eq!(raised[0], raised[1]);
    let id = text(&raised[0], "eventId");
    let done = acknowledge(&pair.backup, id, &json!({"comment": "seen from the Standby", "operationId": "one"}));
    assert_eq!(done.json(), json!({"result": "Good", "replicated": true}));
    assert_eq!(
        acknowledge(&pair.master, id, &json!({"comment": "seen from the Standby", "operationId": "one"})).json(),
        done.json()
    );
    for socket in &mut sockets {
        socket.until("it is acknowledged", |row| row["state"] == "Active,Acked");
    }

    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    set(&pair.backup, 1.0);
    sockets[1].until("it is over", |row| row["state"] == "Cleared,Acked" && row["eventId"] == id);
    let told = wait_rows(&pair.backup, id, 3);
    let kinds: Vec<_> = told.iter().map(|row| text(row, "kind")).collect();
    assert_eq!(kinds, ["Raised", "Acknowledged", "Cleared"]);
    pair.verify(Overlap::None);
}

#[test]
fn a_flood_of_alarms_ends_with_what_is_true() {
    const COUNT: usize = 2000;
    let mut tags = "path,type,writable,initial,retain\n".to_owned();
    let mut csv = "tag,kind,limit\n".to_owned();
    for i in 0..COUNT {
        writeln!(tags, "Plant/T{i},Float64,true,0,false").unwrap();
        writeln!(csv, "Plant/T{i},H,5").unwrap();
    }
    let single = Pair::builder().tags(tags).alarms(&csv).start_independent();
    let node = &single.node;
    let mut socket = Socket::open(node.http_port);
    socket.ask(&json!({"alarms": true}));
    assert!(socket.list("alarms", true).is_empty());
    let all_to = |value: f64| {
        let items: Vec<_> = (0..COUNT).map(|i| json!({"key": format!("Plant/T{i}"), "value": value})).collect();
        assert!(node.try_write_many(&Value::from(items), None).unwrap().all_written());
    };
    let mut live = std::collections::BTreeMap::new();
    for value in [6.0, 1.0, 7.0, 2.0, 8.0] {
        all_to(value);
        wait(node, "all follow", |alarms| {
            let active = alarms.iter().filter(|alarm| text(alarm, "state").starts_with("Active")).count();
            alarms.len() == COUNT && active == if value > 5.0 { COUNT } else { 0 }
        });
    }
    let end = Instant::now() + pair::TIMEOUT;
    while live.len() < COUNT || live.values().any(|value| *value != json!(8.0)) {
        assert!(Instant::now() < end, "{} alarms were told", live.len());
        for alarm in socket.next()["data"].as_array().unwrap() {
            live.insert(text(alarm, "path").to_owned(), alarm["value"].clone());
        }
    }
}

#[test]
fn the_command_line_lists_acknowledges_and_shelves() {
    let single = start();
    let node = &single.node;
    let said = hotpair(node, &["alarms"]);
    assert_eq!((said.status.code(), stdout(&said).as_str()), (Some(0), "no alarms\n"));
    set(node, 11.0);
    let alarm = wait_one(node, "H", "Active,Unacked");
    wait_one(node, "Far too high", "Active,Unacked");
    let said = stdout(&hotpair(node, &["alarms"]));
    assert!(said.starts_with("2 active and not acknowledged, 0 acknowledged"), "{said}");
    assert!(said.contains("Plant/Operator/Setpoint/Far too high") && said.contains("Critical"), "{said}");
    let json: Value = serde_json::from_str(&stdout(&hotpair(node, &["alarms", "--json"]))).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);

    let id = text(&alarm, "eventId");
    let said = hotpair(node, &["ack", &id[..8]]);
    assert_eq!((said.status.code(), stdout(&said)), (Some(0), format!("acknowledged: {id}\n")));
    let said = hotpair(node, &["ack", id]);
    assert_eq!(said.status.code(), Some(3), "{said:?}");
    assert_eq!(hotpair(node, &["ack", UNKNOWN]).status.code(), Some(3));
    assert_eq!(hotpair(node, &["ack", "nonsense"]).status.code(), Some(2));
    let said = hotpair(node, &["ack", "--all"]);
    assert_eq!(said.status.code(), Some(3), "one wants a comment: {said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("comment"), "{said:?}");
    let said = hotpair(node, &["ack", "--all", "--comment", "seen"]);
    assert_eq!((said.status.code(), stdout(&said).as_str()), (Some(0), "acknowledged: 1 alarm\n"));
    assert_eq!(stdout(&hotpair(node, &["ack", "--all"])), "nothing waits to be acknowledged\n");

    assert_eq!(hotpair(node, &["shelve", "Plant/*", "--minutes", "5", "--comment", "works"]).status.code(), Some(0));
    assert_eq!(stdout(&hotpair(node, &["alarms"])), "no alarms\n");
    let said = stdout(&hotpair(node, &["alarms", "--shelved"]));
    assert!(said.contains("shelved:\n  Plant/*  for another 5 min") && said.contains("works"), "{said}");
    assert_eq!(hotpair(node, &["unshelve", "Plant/*"]).status.code(), Some(0));
    assert_eq!(hotpair(node, &["unshelve", "Plant/*"]).status.code(), Some(3));
    let said = stdout(&hotpair(node, &["alarms", "--history"]));
    let kinds: Vec<_> = said.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(kinds[2..], ["Acknowledged", "Acknowledged", "Shelved", "Unshelved"], "{said}");

    let gone = Command::new(env!("CARGO_BIN_EXE_hotpair")).args(["alarms", "--url", "http://127.0.0.1:1"]).output();
    assert_eq!(gone.unwrap().status.code(), Some(4));
}

#[track_caller]
fn start() -> Single {
    Pair::builder().alarms(ALARMS).start_independent()
}

#[track_caller]
fn set(node: &Node, value: f64) {
    assert!(node.write(SETPOINT, value, None).all_written());
}

fn alarms(node: &Node, query: &str) -> Vec<Value> {
    rows(&node.http.get_json(&format!("{LIST}{query}")))
}

#[track_caller]
fn wait(node: &Node, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let end = Instant::now() + pair::TIMEOUT;
    loop {
        let found = alarms(node, "?limit=10000");
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < end, "{what}; {} alarms, the first: {:?}", found.len(), found.first());
        thread::sleep(Duration::from_millis(10));
    }
}

/// The journal's rows of an occurrence, when there are so many: a transition is seen before it is on the disk.
#[track_caller]
fn wait_rows(node: &Node, id: &str, count: usize) -> Vec<Value> {
    let end = Instant::now() + pair::TIMEOUT;
    loop {
        let mut found = rows(&node.http.get_json("/api/v1/historicalData/alarms"));
        found.retain(|row| row["eventId"] == id);
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < end, "{count} rows; {found:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The alarm of this name, when it is in this state.
#[track_caller]
fn wait_one(node: &Node, name: &str, state: &str) -> Value {
    let fits = |alarm: &&Value| alarm["name"] == name && alarm["state"] == state;
    let found = wait(node, &format!("{name} is {state}"), |alarms| alarms.iter().any(|alarm| fits(&alarm)));
    found.iter().find(fits).unwrap().clone()
}

fn acknowledge(node: &Node, id: &str, body: &Value) -> Reply {
    node.http.post(&format!("{LIST}/{id}/ack"), &[], body)
}

#[track_caller]
fn is_refused(reply: &Reply, status: u16, result: &str) {
    let json = reply.json();
    assert_eq!((reply.status, &json["result"]), (status, &json!(result)), "{reply:?}");
    assert!(reply.error_message().len() > 20 && !reply.error_code().is_empty(), "{reply:?}");
}

#[track_caller]
fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no text {key} in {row}"))
}

fn hotpair(node: &Node, args: &[&str]) -> Output {
    let url = format!("http://127.0.0.1:{}", node.http_port);
    Command::new(env!("CARGO_BIN_EXE_hotpair")).args(args).args(["--url", &url]).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
