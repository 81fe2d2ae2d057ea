//! Asks a node over HTTP, and tells in the shell's terms when it does not answer as asked.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Failure;
use crate::status::NodeStatus;

/// A node that does not take a connection in this time counts as not reachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For questions: the whole of asking and answering.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// For lists, which may be long.
const LIST_TIMEOUT: Duration = Duration::from_secs(20);
/// A list of a hundred thousand alarms has half of it.
const MAX_ANSWER_BYTES: u64 = 128 * 1024 * 1024;
/// How often an order is repeated whose answer the node has lost.
const LOST_ANSWERS: u32 = 5;
/// The other node needs a moment to take over.
const BEFORE_REPEATING: Duration = Duration::from_millis(500);
/// The HTTP status of a lost answer.
const OUTCOME_UNKNOWN: u16 = 504;
/// For orders: a switch answers when it is done, and both nodes' timeouts can be configured.
const ORDER_TIMEOUT: Duration = Duration::from_mins(1);

/// One node's HTTP interface.
pub(super) struct NodeClient {
    agent: ureq::Agent,
    base: String,
}

impl NodeClient {
    /// `url`: the node's HTTP address; `http://` may be left out.
    ///
    /// # Errors
    /// It is not an address that can be asked.
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let base = base_address(url)?;
        // No proxy: a node stands in the plant's network, and a wrong answer about who runs is worse than none.
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build();
        Ok(Self { agent: config.into(), base })
    }

    /// The address that is asked, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Both nodes as this one sees them.
    pub(super) fn status(&self) -> Result<NodeStatus, Failure> {
        self.understood(&self.status_text()?)
    }

    /// The same as the node's own JSON.
    pub(super) fn status_json(&self) -> Result<Value, Failure> {
        self.understood(&self.status_text()?)
    }

    /// Moves Running to the other node; answers with the status after it is done, which may not know the end yet.
    pub(super) fn switch(&self, reason: &str) -> Result<NodeStatus, Failure> {
        self.understood(&self.post("switch", &serde_json::json!({ "reason": reason }))?)
    }

    /// Forbids automatic failover and recovery.
    pub(super) fn hold(&self, minutes: u32, reason: &str) -> Result<(), Failure> {
        self.post("hold", &serde_json::json!({ "minutes": minutes, "reason": reason })).map(drop)
    }

    /// Allows them again.
    pub(super) fn release(&self) -> Result<(), Failure> {
        let request = self.agent.delete(self.address("hold")).config().timeout_global(Some(ORDER_TIMEOUT)).build();
        self.text_of(request.call()).map(drop)
    }

    /// What stands at `/api/v1/` and then `what`.
    pub(super) fn get<T: for<'a> Deserialize<'a>>(&self, what: &str) -> Result<T, Failure> {
        let address = format!("{}/api/v1/{what}", self.base);
        let request = self.agent.get(address).config().timeout_global(Some(LIST_TIMEOUT)).build();
        self.understood(&self.text_of(request.call())?)
    }

    /// Sends an order about alarms to `/api/v1/` and then `what`, under an id of its own: when the answer is lost it is
    /// repeated, and done only once.
    pub(super) fn operate(&self, what: &str, mut body: Value) -> Result<(), Failure> {
        let id = getrandom::u64().map_err(|error| Failure::other(format!("no random numbers: {error}")))?;
        body["operationId"] = Value::from(format!("cli-{id:016x}"));
        let address = format!("{}/api/v1/{what}", self.base);
        let mut left = LOST_ANSWERS;
        loop {
            let request = self.agent.post(&address).config().timeout_global(Some(ORDER_TIMEOUT)).build();
            let answer = request.send_json(&body);
            let lost = answer.as_ref().is_ok_and(|answer| answer.status() == OUTCOME_UNKNOWN);
            if !lost || left == 0 {
                return self.text_of(answer).map(drop);
            }
            left -= 1;
            std::thread::sleep(BEFORE_REPEATING);
        }
    }

    fn status_text(&self) -> Result<String, Failure> {
        let request = self.agent.get(self.address("status")).config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        self.text_of(request.call())
    }

    fn post(&self, what: &str, body: &Value) -> Result<String, Failure> {
        let request = self.agent.post(self.address(what)).config().timeout_global(Some(ORDER_TIMEOUT)).build();
        self.text_of(request.send_json(body))
    }

    fn address(&self, what: &str) -> String {
        format!("{}/api/v1/redundancy/{what}", self.base)
    }

    fn text_of(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<String, Failure> {
        let mut answer = answer.map_err(|error| self.no_answer(&error))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        let text = body.read_to_string().map_err(|error| self.no_answer(&error))?;
        if (200..300).contains(&status) { Ok(text) } else { Err(self.bad_answer(status, &text)) }
    }

    fn understood<T: for<'a> Deserialize<'a>>(&self, text: &str) -> Result<T, Failure> {
        serde_json::from_str(text).map_err(|error| {
            Failure::other(format!("{} does not answer like a hotpair node of this version: {error}", self.base))
        })
    }

    fn no_answer(&self, error: &ureq::Error) -> Failure {
        let base = &self.base;
        match error {
            ureq::Error::BadUri(what) => Failure::wrong_input(format!("--url {base} is not an address: {what}")),
            ureq::Error::Timeout(_) => Failure::unreachable(format!("the node at {base} does not answer in time")),
            ureq::Error::Io(cause) => Failure::unreachable(format!("the node at {base} cannot be reached: {cause}")),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                Failure::unreachable(format!("the node at {base} cannot be reached: {error}"))
            }
            _ => Failure::other(format!("{base} does not answer like a hotpair node: {error}")),
        }
    }

    /// A refusal when the node gives a reason of its own; the outcome of a forwarded order that got lost is not one.
    fn bad_answer(&self, status: u16, text: &str) -> Failure {
        match serde_json::from_str::<ErrorBody>(text) {
            // It is about what was asked for, and not about who was asked.
            Ok(body) if body.result.is_some() => Failure::refused(body.error.message),
            // A node knows what this program asks for.
            _ if matches!(status, 404 | 405) => self.no_hotpair(status),
            Ok(body) if (400..500).contains(&status) || status == 503 => Failure::refused(body.error.message),
            Ok(body) => Failure::other(body.error.message),
            Err(_) => self.no_hotpair(status),
        }
    }

    fn no_hotpair(&self, status: u16) -> Failure {
        Failure::other(format!("{} answers with HTTP status {status}; is it a hotpair node?", self.base))
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorText,
    /// Of orders about alarms: what came of it.
    result: Option<String>,
}

#[derive(Deserialize)]
struct ErrorText {
    message: String,
}

fn base_address(url: &str) -> Result<String, Failure> {
    let url = url.trim();
    if url.is_empty() {
        return Err(Failure::wrong_input("--url is empty; give a node's address like http://127.0.0.1:8066"));
    }
    if url.starts_with("https://") {
        return Err(Failure::wrong_input(format!("--url {url}: this version asks over plain http:// only")));
    }
    let (scheme, place) = url.split_once("://").unwrap_or(("http", url));
    match place.trim_end_matches('/') {
        place if scheme == "http" && is_address(place) => Ok(format!("http://{place}")),
        _ => Err(Failure::wrong_input(format!("--url {url} is not an address like http://127.0.0.1:8066"))),
    }
}

/// A host, perhaps with a port, perhaps with a path in front of the node's own.
fn is_address(place: &str) -> bool {
    let Ok(uri) = format!("http://{place}").parse::<ureq::http::Uri>() else { return false };
    let (Some(authority), Some(host), None) = (uri.authority(), uri.host(), uri.query()) else { return false };
    let valid_host = match host.strip_prefix('[') {
        None => !host.is_empty(),
        Some(inside) => inside.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
    };
    let valid_port = match authority.as_str().strip_prefix(host) {
        Some("") => true,
        Some(after) => after.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()).is_some_and(|port| port != 0),
        // A user name stands before the host.
        None => false,
    };
    valid_host && valid_port && !place.contains('#')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `head` and `body`, at the address it gives.
    fn node_that_answers(head: &'static str, body: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let mut asked = Vec::new();
            // Head and body may come in two pieces; an order's body ends with a brace.
            loop {
                let n = stream.read(&mut buffer).unwrap();
                asked.extend_from_slice(&buffer[..n]);
                if n == 0 || asked.ends_with(b"}") || asked.starts_with(b"GET") && asked.ends_with(b"\r\n\r\n") {
                    break;
                }
            }
            let answer =
                format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap();
        });
        format!("http://{address}")
    }

    #[test]
    fn an_address_may_be_short() {
        assert_eq!(base_address("127.0.0.1:8066").unwrap(), "http://127.0.0.1:8066");
        assert_eq!(base_address("http://a:1/").unwrap(), "http://a:1");
        assert_eq!(base_address("http://[::1]:8066").unwrap(), "http://[::1]:8066");
        assert_eq!(base_address("proxy.example/line1/").unwrap(), "http://proxy.example/line1");
        for wrong in [
            "",
            " ",
            "/",
            "ftp://a",
            "http://",
            "https://a",
            "a b",
            "http://a b",
            "http://[::1",
            "[x]:1",
            "a:99999",
            "a:0",
            "a:",
            "a:b",
            ":80",
            "a:1:2",
            "u@a",
            "a?b",
            "a#b",
            "http:///x",
        ] {
            let result = base_address(wrong).map_err(|failure| failure.exit_status());
            assert_eq!(result, Err(2), "{wrong}");
        }
    }

    #[test]
    fn a_refusal_carries_the_reason() {
        let url =
            node_that_answers("409 Conflict", r#"{"error": {"code": "not_ready", "message": "full sync: 40 %"}}"#);
        let failure = NodeClient::new(&url).unwrap().switch("test").unwrap_err();
        assert_eq!((failure.exit_status(), failure.to_string().as_str()), (3, "full sync: 40 %"));
    }

    #[test]
    fn an_unknown_outcome_is_no_refusal() {
        let url = node_that_answers("504 Gateway Timeout", r#"{"error": {"code": "unknown", "message": "repeat"}}"#);
        assert_eq!(NodeClient::new(&url).unwrap().switch("test").unwrap_err().exit_status(), 1);
    }

    #[test]
    fn an_alarm_that_is_over_is_no_missing_page() {
        let url = node_that_answers(
            "404 Not Found",
            r#"{"error": {"code": "event_unknown", "message": "it is over"}, "result": "BadEventIdUnknown"}"#,
        );
        let body = serde_json::json!({ "comment": "" });
        let failure = NodeClient::new(&url).unwrap().operate("alarms/00/ack", body).unwrap_err();
        assert_eq!((failure.exit_status(), failure.to_string().as_str()), (3, "it is over"));
    }

    #[test]
    fn nobody_there_is_unreachable() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let failure = NodeClient::new(&format!("127.0.0.1:{port}")).unwrap().status().map(drop).unwrap_err();
        assert_eq!(failure.exit_status(), 4, "{failure}");
        let failure = NodeClient::new("http://no-such-host.invalid").unwrap().status().map(drop).unwrap_err();
        assert_eq!(failure.exit_status(), 4, "{failure}");
    }

    #[test]
    fn another_server_is_told_as_such() {
        let url = node_that_answers("200 OK", "<html>hello</html>");
        let failure = NodeClient::new(&url).unwrap().status().map(drop).unwrap_err();
        assert_eq!(failure.exit_status(), 1, "{failure}");
        for body in ["nothing here", r#"{"error": {"message": "no such page"}}"#] {
            let url = node_that_answers("404 Not Found", body);
            let failure = NodeClient::new(&url).unwrap().status().map(drop).unwrap_err();
            assert_eq!(failure.exit_status(), 1, "{failure}");
        }
    }
}
