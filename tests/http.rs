//! The HTTP interface: the documented shapes, and requests that are wrong in every way.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use pair::http::rows;
use pair::node::same;
use pair::project::{COUNTERS, SETPOINT};
use pair::{Node, Overlap, Pair, Reply};
use serde_json::{Value, json};

const STATUS: &str = "/api/v1/redundancy/status";
const SWITCH: &str = "/api/v1/redundancy/switch";
const HOLD: &str = "/api/v1/redundancy/hold";
const VALUES: &str = "/api/v1/tagValues";
const JSON: &str = "application/json";

/// Path, content type, body; status code and words of which the message holds at least one.
type WrongBody = (&'static str, &'static str, &'static str, u16, &'static [&'static str]);

const WRONG_BODIES: &[WrongBody] = &[
    // Not JSON.
    (VALUES, JSON, "", 400, &["json", "empty"]),
    (VALUES, JSON, "nonsense", 400, &["json"]),
    (VALUES, JSON, "[{\"key\": \"Plant/Operator/Setpoint\", \"value\": 1}", 400, &["json", "EOF"]),
    (VALUES, JSON, "[{\"key\": \"Plant/Operator/Setpoint\", \"value\": NaN}]", 400, &["json", "NaN", "value"]),
    (VALUES, JSON, "[{'key': 'Plant/Operator/Setpoint', 'value': 1}]", 400, &["json", "key"]),
    (VALUES, JSON, "[] []", 400, &["trailing", "json"]),
    // Of a wrong shape.
    (VALUES, JSON, "{}", 400, &["sequence", "list", "array"]),
    (VALUES, JSON, "{\"key\": \"Plant/Operator/Setpoint\", \"value\": 1}", 400, &["sequence", "list", "array"]),
    (VALUES, JSON, "null", 400, &["sequence", "list", "array", "null"]),
    (VALUES, JSON, "[]", 400, &["0 items", "empty", "at least", "1 to"]),
    (VALUES, JSON, "[1]", 400, &["[0]"]),
    (VALUES, JSON, "[{}]", 400, &["key"]),
    (VALUES, JSON, "[{\"key\": \"Plant/Operator/Setpoint\"}]", 400, &["value"]),
    (VALUES, JSON, "[{\"value\": 1}]", 400, &["key"]),
    (VALUES, JSON, "[{\"key\": 7, \"value\": 1}]", 400, &["key"]),
    (VALUES, JSON, "[{\"key\": null, \"value\": 1}]", 400, &["key"]),
    (VALUES, JSON, "[{\"key\": \"Plant/Operator/Setpoint\", \"value\": 1, \"vlaue\": 2}]", 400, &["vlaue"]),
    (VALUES, JSON, "[{\"key\": \"A\", \"key\": \"B\", \"value\": 1}]", 400, &["key"]),
    (SWITCH, JSON, "[]", 400, &["map", "object", "struct", "sequence", "reason", "does not fit"]),
    (SWITCH, JSON, "{\"reason\": 5}", 400, &["reason"]),
    (SWITCH, JSON, "{\"expectedEpoch\": \"seven\"}", 400, &["expectedEpoch"]),
    (SWITCH, JSON, "{\"expectedEpoch\": -1}", 400, &["expectedEpoch"]),
    (SWITCH, JSON, "{\"raeson\": \"x\"}", 400, &["raeson"]),
    (SWITCH, JSON, "{\"to\": \"the other one\"}", 400, &["to"]),
    (HOLD, JSON, "{}", 400, &["minutes"]),
    (HOLD, JSON, "{\"minutes\": 0}", 400, &["minutes"]),
    (HOLD, JSON, "{\"minutes\": -5}", 400, &["minutes"]),
    (HOLD, JSON, "{\"minutes\": 1.5}", 400, &["minutes"]),
    (HOLD, JSON, "{\"minutes\": 99999999999999999999}", 400, &["minutes"]),
    // Of a wrong type: what a form of a foreign site could send.
    (VALUES, "text/plain", "[{\"key\": \"Plant/Operator/Setpoint\", \"value\": 1}]", 415, &["application/json"]),
    (VALUES, "application/x-www-form-urlencoded", "key=Plant&value=1", 415, &["application/json"]),
    (SWITCH, "text/plain", "{}", 415, &["application/json"]),
    (HOLD, "multipart/form-data", "{\"minutes\": 5}", 415, &["application/json"]),
];

/// Method, path; status code and words of which the message holds at least one.
const WRONG_REQUESTS: &[(&str, &str, u16, &[&str])] = &[
    ("GET", "/api/v1/nothing", 404, &["/api/v1/nothing"]),
    ("GET", "/api/v1/redundancy", 404, &["/api/v1/redundancy"]),
    ("GET", "/API/V1/redundancy/status", 404, &["/API"]),
    ("GET", "/../../etc/passwd", 404, &["etc", "nothing"]),
    ("GET", "/api/v1/redundancy/divergence/divergence-1.json", 404, &["divergence-1.json"]),
    ("GET", "/api/v1/redundancy/divergence/..%2Fhotpair.db", 404, &["hotpair.db"]),
    ("POST", STATUS, 405, &["GET"]),
    ("DELETE", STATUS, 405, &["GET"]),
    ("GET", SWITCH, 405, &["POST"]),
    ("PUT", VALUES, 405, &["POST"]),
    ("DELETE", VALUES, 405, &["POST"]),
    ("PATCH", "/metrics", 405, &["GET"]),
    ("GET", VALUES, 400, &["path"]),
    ("GET", "/api/v1/tagValues?pth=Plant", 400, &["pth"]),
    ("GET", "/api/v1/tags?limit=0", 400, &["limit"]),
    ("GET", "/api/v1/tags?limit=-1", 400, &["limit"]),
    ("GET", "/api/v1/tags?limit=many", 400, &["limit"]),
    ("GET", "/api/v1/tags?limit=1&limit=2", 400, &["limit"]),
    ("GET", "/api/v1/redundancy/events?limit=99999999999999999999999", 400, &["limit"]),
    ("GET", "/api/v1/redundancy/events?last=5", 400, &["last"]),
];

#[test]
fn a_wrong_body_is_answered_with_what_is_wrong_and_writes_nothing() {
    let single = Pair::builder().start_independent();
    let node = &single.node;
    for (path, content_type, body, status, words) in WRONG_BODIES {
        let reply = node.http.request("POST", path, &[("Content-Type", content_type)], *body).unwrap();
        is_a_helpful_error(&reply, *status, words, &format!("POST {path} {body}"));
    }
    let reply = node.http.request("POST", VALUES, &[], "[]").unwrap();
    assert!([400, 415].contains(&reply.status), "without a content type: {reply:?}");
    let reply =
        node.http.request("POST", VALUES, &[("Content-Type", JSON)], &b"[{\"key\": \"\xFF\xFE\"}]"[..]).unwrap();
    is_a_helpful_error(&reply, 400, &["json", "utf", "unicode", "invalid"], "not UTF-8");
    let nested = "[".repeat(100_000);
    let reply = node.http.request("POST", VALUES, &[("Content-Type", JSON)], nested.as_str()).unwrap();
    is_a_helpful_error(&reply, 400, &["recursion", "deep", "[0]", "json", "fit"], "a hundred thousand brackets");
    assert!(same(&node.value(SETPOINT), &1.5.into()), "a wrong request has written");
}

#[test]
fn a_wrong_path_method_or_query_is_answered_with_what_is_wrong() {
    let single = Pair::builder().start_independent();
    for (method, path, status, words) in WRONG_REQUESTS {
        let reply = single.node.http.request(method, path, &[], "").unwrap();
        is_a_helpful_error(&reply, *status, words, &format!("{method} {path}"));
        if *status == 405 {
            assert!(reply.headers.contains_key("allow"), "{method} {path}: a 405 names what is allowed");
        }
    }
}

#[test]
fn a_body_that_is_too_large_or_has_too_many_items_is_refused() {
    let single = Pair::builder().start_independent();
    let node = &single.node;
    let item = format!("{{\"key\":\"{SETPOINT}\",\"value\":\"{}\"}}", "x".repeat(2 << 20));
    let answer = raw(node.http_port, &post(&format!("[{item}]")));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer:.200}");
    assert!(answer.contains("\"error\"") && answer.contains("larger"), "{answer:.500}");

    // As many as fit a body that is not too large.
    let items = vec![json!({"key": "A", "value": 1}); 20_000];
    let reply = node.try_write_many(&Value::from(items), None).unwrap();
    assert!([400, 413].contains(&reply.status), "{}", reply.status);
    is_a_helpful_error(&reply, reply.status, &["items"], "20,000 items");

    let long = "i".repeat(1000);
    let reply = node.write(SETPOINT, 2.5, Some(&long));
    is_a_helpful_error(&reply, 400, &["Idempotency-Key"], "a long operation id");
    let reply = node.write(SETPOINT, 2.5, Some(""));
    is_a_helpful_error(&reply, 400, &["Idempotency-Key"], "an empty operation id");
    assert!(same(&node.value(SETPOINT), &1.5.into()), "a wrong request has written");
}

#[test]
fn what_is_no_http_at_all_does_not_harm() {
    let single = Pair::builder().start_independent();
    let node = &single.node;
    let long = vec![0xFF; 100_000];
    let tls = b"\x16\x03\x01\x02\x00";
    for bytes in [&b"\0\0\0\0\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &long, tls] {
        let answer = raw(node.http_port, bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:.200}");
    }
    assert!(node.write(SETPOINT, 2.5, None).all_written());
    assert!(!node.log().contains("panicked"), "a panic in the log");
}

#[test]
fn values_that_do_not_fit_are_refused_one_by_one() {
    let single = Pair::builder().start_independent();
    let node = &single.node;
    let wrong = [
        (SETPOINT, json!("warm"), "BadTypeMismatch"),
        (SETPOINT, json!(null), "BadTypeMismatch"),
        (SETPOINT, json!([1]), "BadTypeMismatch"),
        (SETPOINT, json!({"value": 1}), "BadTypeMismatch"),
        (COUNTERS[0], json!(1.5), "BadTypeMismatch"),
        (COUNTERS[0], json!(u64::MAX), "BadOutOfRange"),
        (COUNTERS[0], json!(true), "BadTypeMismatch"),
        ("Plant/Operator/Enabled", json!(1), "BadTypeMismatch"),
        ("Plant/Operator/Note", json!(1), "BadTypeMismatch"),
        ("Plant/Operator/Note", json!("x".repeat(100_000)), "BadOutOfRange"),
        ("Plant/Operator/Started", json!("yesterday"), "BadTypeMismatch"),
        ("Plant/Operator/ReadOnly", json!(1.5), "BadNotWritable"),
        ("plant/operator/setpoint", json!(1.5), "BadNodeIdUnknown"),
        ("", json!(1.5), "BadNodeIdUnknown"),
        ("System/Redundancy/CurrentNode/IsActive", json!(false), "BadNotWritable"),
    ];
    for (path, value, result) in wrong {
        let reply = node.write(path, value.clone(), None);
        let json = reply.json();
        assert_eq!((reply.status, &json["failedCount"]), (200, &json!(1)), "{path} = {value}: {json}");
        let found = json["data"][0]["value"].as_str().unwrap();
        assert!(found.replace('_', "").starts_with(result), "{path} = {value}: {found}");
    }
    for (path, value) in [
        (SETPOINT, json!(41)),
        (COUNTERS[0], json!(i64::MIN)),
        ("Plant/Operator/Enabled", json!(true)),
        ("Plant/Operator/Note", json!("Ventil öffnen ✓")),
        ("Plant/Operator/Started", json!("2026-01-05T08:00:00.000Z")),
    ] {
        assert!(node.write(path, value.clone(), None).all_written(), "{path} = {value}");
        assert!(same(&node.value(path), &value), "{path} = {value}: {}", node.value(path));
    }
}

#[test]
fn answers_of_a_pair_have_the_documented_shape() {
    let pair = Pair::builder().start();
    for (node, mode, own, peer) in
        [(&pair.master, "Master", "Running", "Standby"), (&pair.backup, "Backup", "Standby", "Running")]
    {
        let status = node.http.get_json(STATUS);
        has_keys(&status["node"], &["name", "id", "mode", "status", "since", "reason", "version", "uptimeS"]);
        has_keys(
            &status["peer"],
            &["status", "connected", "id", "mode", "address", "lastSeenMs", "rttUs", "missedPings"],
        );
        has_keys(&status["sync"], &["phase", "progress", "localSeq", "peerSeq", "lagUpdates", "lagMs"]);
        let pairs = [
            (&status["node"]["name"], json!("Line1")),
            (&status["node"]["mode"], json!(mode)),
            (&status["node"]["status"], json!(own)),
            (&status["peer"]["status"], json!(peer)),
            (&status["peer"]["connected"], json!(true)),
            (&status["authorization"], json!("Match")),
            (&status["configuration"], json!("Same")),
            (&status["sync"]["phase"], json!("Incremental")),
            (&status["failoverReady"], json!(true)),
            (&status["notReadyReasons"], json!([])),
            (&status["recoveryMode"], json!("Manual")),
            (&status["standbyActivityLevel"], json!("Warm")),
        ];
        for (found, wanted) in pairs {
            assert_eq!(found, &wanted, "{status}");
        }
        is_a_time(&status["node"]["since"]);
        assert_eq!(status["epochNode"], pair.master.http.get_json(STATUS)["node"]["id"]);
        assert_ne!(status["node"]["id"], status["peer"]["id"]);

        for event in node.events() {
            has_keys(&event, &["time", "node", "from", "to", "cause", "user", "epoch"]);
            is_a_time(&event["time"]);
        }
        assert!(!node.events().is_empty(), "starting is a transition");
    }

    let written = pair.master.write(SETPOINT, 41.5, None).json();
    let wanted = json!({"totalCount": 1, "successCount": 1, "failedCount": 0, "replicated": true,
        "data": [{"key": SETPOINT, "value": "Good"}]});
    assert_eq!(written, wanted);
    for node in [&pair.master, &pair.backup] {
        let values = node.http.get_json(&format!("{VALUES}?path={SETPOINT}&path=No/Such/Tag"));
        assert_eq!(values.as_array().unwrap().len(), 2);
        has_keys(&values[0], &["path", "value", "quality", "time"]);
        assert_eq!(
            (&values[0]["path"], &values[0]["value"], &values[0]["quality"]),
            (&json!(SETPOINT), &json!(41.5), &json!("Good"))
        );
        is_a_time(&values[0]["time"]);
        assert!(values[1]["value"].is_null() && values[1]["quality"].as_str().unwrap().starts_with("Bad"));

        let tags = rows(&node.http.get_json("/api/v1/tags?path=Plant/*&limit=100"));
        assert_eq!(tags.len(), 10);
        has_keys(&tags[0], &["path", "type", "unit", "description", "writable", "value", "quality", "time"]);
        assert_eq!(rows(&node.http.get_json("/api/v1/tags?path=Plant/Operator/Counter*&limit=3")).len(), 3);
        assert_eq!(rows(&node.http.get_json("/api/v1/tags?path=Nothing/*")).len(), 0);
    }
    pair.verify(Overlap::None);
}

#[test]
fn a_switch_asked_for_under_a_wrong_assumption_is_refused() {
    let pair = Pair::builder().start();
    let master = pair.master.status();
    for body in [json!({"expectedEpoch": master.epoch + 1}), json!({"to": master.node.id})] {
        let reply = pair.master.http.post(SWITCH, &[], &body);
        assert_eq!(reply.status, 409, "{body}: {reply:?}");
        assert!(reply.error_message().len() > 10, "{reply:?}");
    }
    pair.stays_ready("Running", "Standby");

    let body = json!({"reason": "new pump", "expectedEpoch": master.epoch, "to": pair.backup.status().node.id});
    let reply = pair.master.http.post(SWITCH, &[], &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    has_keys(&reply.json(), &["node", "peer", "epoch", "sync", "failoverReady"]);
    pair.wait_ready("Standby", "Running");
    let told = pair.backup.http.get("/api/v1/redundancy/events?limit=50").text;
    assert!(told.contains("new pump"), "the events tell the reason: {told}");
    pair.verify(Overlap::None);
}

#[test]
fn a_hold_forbids_a_failover_until_it_is_ended() {
    let pair = Pair::builder().start();
    let reply = pair.backup.http.post(HOLD, &[], &json!({"minutes": 30, "reason": "new switchgear"}));
    assert_eq!(reply.status, 200, "{reply:?}");
    pair.master.kill9();
    pair.backup.wait("its peer is Faulted", pair::TIMEOUT, |s| s.shows("Standby", "Faulted"));
    pair.backup.stays("it does not take over", Duration::from_millis(2500), |s| s.node.status == "Standby");

    let reply = pair.backup.http.request("DELETE", HOLD, &[], "").unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    pair.backup.wait_shows("Running", "Faulted");
    pair.verify(Overlap::None);
}

#[test]
fn health_calls_tell_a_load_balancer_where_to_go() {
    let pair = Pair::builder().start();
    let code = |node: &Node, what: &str| node.http.get(&format!("/health/{what}")).status;
    for node in [&pair.master, &pair.backup] {
        assert_eq!((code(node, "live"), code(node, "ready")), (200, 200), "{}", node.name);
    }
    assert_eq!((code(&pair.master, "running"), code(&pair.backup, "running")), (200, 503));
    pair.master.kill9();
    pair.backup.wait_shows("Running", "Faulted");
    assert_eq!(code(&pair.backup, "running"), 200);

    let lone = Pair::builder().connection_wait_time_ms(5000).prepare();
    lone.master.start();
    assert_eq!((code(&lone.master, "live"), code(&lone.master, "running")), (200, 503), "it still waits");
}

#[test]
fn the_documented_metrics_are_there() {
    let pair = Pair::builder().start();
    assert_eq!(pair.master.switch().status, 200);
    pair.wait_ready("Standby", "Running");
    for node in [&pair.master, &pair.backup] {
        let reply = node.http.get("/metrics");
        assert_eq!(reply.status, 200);
        let status = node.status();
        let (own, peer) = (&status.node.status, &status.peer.as_ref().unwrap().status);
        let wanted = [
            format!("hotpair_status{{status=\"{own}\"}} 1"),
            format!("hotpair_status{{status=\"{peer}\"}} 0"),
            format!("hotpair_peer_status{{status=\"{peer}\"}} 1"),
            format!("hotpair_epoch {}", status.epoch),
            "hotpair_peer_rtt_seconds_count ".to_owned(),
            "hotpair_peer_rtt_seconds_bucket{".to_owned(),
            "hotpair_missed_pings_total ".to_owned(),
            "hotpair_sync_lag_updates ".to_owned(),
            "hotpair_sync_lag_seconds ".to_owned(),
            "hotpair_tag_updates_total ".to_owned(),
            "hotpair_tags ".to_owned(),
            "hotpair_mailbox_depth{actor=".to_owned(),
            "hotpair_build_info{".to_owned(),
            // Counters with labels have no sample before the first event, but are described.
            "# TYPE hotpair_failovers".to_owned(),
            "# TYPE hotpair_switches".to_owned(),
            "# TYPE hotpair_actor_restarts".to_owned(),
        ];
        for start in wanted {
            let found = reply.text.lines().any(|line| line.starts_with(&start));
            assert!(found, "{}: no line starts with {start}\n{}", node.name, reply.text);
        }
    }
    assert!(pair.master.metric("hotpair_switches_total") + pair.backup.metric("hotpair_switches_total") >= 1.0);
}

#[test]
fn system_tags_show_each_node_its_own_side() {
    let pair = Pair::builder().start();
    let ids = [pair.master.status().node.id, pair.backup.status().node.id];
    for (node, active, master, mode, state, peer_id) in [
        (&pair.master, true, true, "Master", "Running", &ids[1]),
        (&pair.backup, false, false, "Backup", "Standby", &ids[0]),
    ] {
        for (tag, value) in [
            ("CurrentNode/IsActive", json!(active)),
            ("CurrentNode/IsMaster", json!(master)),
            ("CurrentNode/Mode", json!(mode)),
            ("CurrentNode/State", json!(state)),
            ("PeerNode/IsConnected", json!(true)),
            ("PeerNode/NodeId", json!(peer_id)),
        ] {
            node.wait_value(&format!("System/Redundancy/{tag}"), value);
        }
    }
    pair.master.kill9();
    pair.backup.wait_value("System/Redundancy/CurrentNode/IsActive", true);
    pair.backup.wait_value("System/Redundancy/CurrentNode/State", "Running");
    pair.backup.wait_value("System/Redundancy/PeerNode/IsConnected", false);
}

#[test]
fn an_independent_node_runs_alone_and_says_so() {
    let single = Pair::builder().start_independent();
    let node = &single.node;
    let status = node.http.get_json(STATUS);
    assert_eq!((&status["node"]["mode"], &status["node"]["status"]), (&json!("Independent"), &json!("Running")));
    assert!(status["peer"].is_null(), "{status}");
    assert_eq!(status["failoverReady"], false);
    assert!(status["notReadyReasons"].to_string().contains("no redundancy configured"), "{status}");
    let reply = node.switch();
    is_a_helpful_error(&reply, 409, &["redundancy", "independent", "peer"], "a switch without a peer");
    let written = node.write(SETPOINT, 2.5, None);
    assert!(written.all_written() && !written.replicated(), "{written:?}");
    let page = node.http.get("/");
    assert!(page.status == 200 && page.text.contains("<html"), "the page: {}", page.status);
}

/// The status code, a code for programs and a message for people with at least one of the words.
#[track_caller]
fn is_a_helpful_error(reply: &Reply, status: u16, words: &[&str], of: &str) {
    assert_eq!(reply.status, status, "{of}: {reply:?}");
    let (code, message) = (reply.error_code(), reply.error_message());
    let for_programs =
        !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    assert!(for_programs, "{of}: the code is {code:?}");
    let message_lower = message.to_lowercase();
    assert!(
        words.iter().any(|word| message_lower.contains(&word.to_lowercase())),
        "{of}: none of {words:?} in: {message}"
    );
    assert!(message.len() < 1000, "{of}: a message of {} bytes", message.len());
}

#[track_caller]
fn has_keys(json: &Value, keys: &[&str]) {
    for key in keys {
        assert!(json.get(key).is_some(), "no {key} in {json}");
    }
}

/// `2026-01-05T08:00:00.000Z`
#[track_caller]
fn is_a_time(json: &Value) {
    let shape: String = json.as_str().unwrap_or_default().replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{json}");
}

fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {VALUES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends bytes and gives what comes back until the connection is closed, or for three seconds.
fn raw(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    // The node may answer and close before it read everything.
    stream.write_all(bytes).ok();
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        answer.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A program for plants cannot be made to fail. (Built with `fault-injection` it can: `tests/fault_injection.rs`.)
#[cfg(not(feature = "fault-injection"))]
#[test]
fn there_are_no_calls_that_make_parts_fail() {
    let single = Pair::builder().start_independent();
    for part in ["", "/Heartbeat/panic", "/Disk/hang"] {
        let reply = single.node.http.post(&format!("/api/v1/test/actors{part}"), &[], &json!({}));
        assert_eq!((reply.status, reply.error_code()), (404, "not_found".to_owned()), "{part}");
    }
}
