//! An HTTP client that hides nothing: no retries, no redirects, a short time limit, every status code is an answer.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Request;
use ureq::{Agent, AsSendBody};

/// Longer than a write may take: a switch of 2 s and a wait for replication of 0.5 s.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Calls to one node.
#[derive(Clone)]
pub struct Client {
    base: String,
    agent: Agent,
}

/// What a node answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

impl Client {
    /// Of a node on this machine.
    pub fn new(port: u16) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, port, TIME_LIMIT)
    }

    pub fn at(host: Ipv4Addr, port: u16, limit: Duration) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(limit))
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .build()
            .new_agent();
        Self { base: format!("http://{host}:{port}"), agent }
    }

    /// The error is one of the connection: nothing is known about what became of the request.
    pub fn try_get(&self, path: &str) -> Result<Reply, String> {
        self.request("GET", path, &[], ())
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.try_get(path).unwrap_or_else(|problem| panic!("GET {path}: {problem}"))
    }

    /// The JSON of an answer 200.
    #[track_caller]
    pub fn get_json(&self, path: &str) -> Value {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "GET {path}: {}", reply.text);
        reply.json()
    }

    pub fn try_post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Reply, String> {
        let mut headers = headers.to_vec();
        headers.push(("Content-Type", "application/json"));
        self.request("POST", path, &headers, body.to_string())
    }

    #[track_caller]
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        self.try_post(path, headers, body).unwrap_or_else(|problem| panic!("POST {path}: {problem}"))
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
    ) -> Result<Reply, String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|e| e.to_string())?;
        let mut response = self.agent.run(request).map_err(|e| e.to_string())?;
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
            .collect();
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(256 << 20)
            .lossy_utf8(true)
            .read_to_string()
            .map_err(|e| e.to_string())?;
        Ok(Reply { status, headers, text })
    }
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("not JSON ({e}): {} {}", self.status, self.text))
    }

    /// `error.code` of an error.
    #[track_caller]
    pub fn error_code(&self) -> String {
        let json = self.json();
        json["error"]["code"].as_str().unwrap_or_else(|| panic!("no error.code in {self:?}")).to_owned()
    }

    /// `error.message` of an error.
    #[track_caller]
    pub fn error_message(&self) -> String {
        let json = self.json();
        json["error"]["message"].as_str().unwrap_or_else(|| panic!("no error.message in {self:?}")).to_owned()
    }

    /// An answer to a write: every item was written.
    pub fn all_written(&self) -> bool {
        self.status == 200 && {
            let json = self.json();
            json["failedCount"] == 0 && json["successCount"] == json["totalCount"]
        }
    }

    /// An answer to a write: every item was written, here and at the peer.
    pub fn replicated(&self) -> bool {
        self.all_written() && self.json()["replicated"] == true
    }
}

/// The rows of a list, bare or inside of an object.
#[track_caller]
pub fn rows(json: &Value) -> Vec<Value> {
    if let Some(rows) = json.as_array() {
        return rows.clone();
    }
    let inner = json.as_object().and_then(|object| object.values().find_map(Value::as_array));
    inner.unwrap_or_else(|| panic!("no list in {json}")).clone()
}
