//! One node: its process, its files and what it says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::TIMEOUT;
use super::http::{Client, Reply, TIME_LIMIT, rows};
use super::machine::Machine;
use super::watch::Record;

/// How often a wait looks again. It is not a delay: a wait ends with its event.
const POLL: Duration = Duration::from_millis(10);

/// How many lines of a log are printed when a test fails.
const LOG_LINES: usize = 60;

/// Path to value, quality and time.
pub type Values = BTreeMap<String, (Value, String, String)>;

/// `GET /api/v1/redundancy/status`
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub node: Own,
    pub peer: Option<Peer>,
    pub authorization: String,
    pub configuration: String,
    pub epoch: u64,
    pub epoch_node: Option<String>,
    pub sync: Sync,
    pub failover_ready: bool,
    pub not_ready_reasons: Vec<String>,
    pub recovery_mode: String,
    pub standby_activity_level: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Own {
    pub id: String,
    pub mode: String,
    pub status: String,
    pub reason: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    pub status: String,
    pub connected: bool,
    pub id: Option<String>,
    pub mode: Option<String>,
    pub missed_pings: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sync {
    pub phase: String,
    pub progress: f64,
    pub local_seq: u64,
    pub peer_seq: Option<u64>,
}

impl Status {
    /// What the node shows of itself and of its peer.
    pub fn shows(&self, own: &str, peer: &str) -> bool {
        self.node.status == own && self.peer.as_ref().is_some_and(|p| p.status == peer)
    }

    pub fn is_running(&self) -> bool {
        self.node.status == "Running"
    }
}

pub struct Node {
    /// `master`, `backup` or `independent`.
    pub name: &'static str,
    pub http_port: u16,
    /// Where the Master of this node's pair listens; of a Backup with a cable where that begins.
    pub link_port: u16,
    pub http: Client,
    folder: PathBuf,
    machine: Machine,
    /// For its next start.
    environment: Mutex<Vec<(String, String)>>,
    child: Mutex<Option<Child>>,
    record: Record,
}

impl Node {
    /// A node whose `hotpair.toml` stands in `folder`. It is not started.
    pub fn new(
        name: &'static str,
        folder: &Path,
        machine: Machine,
        http_port: u16,
        link_port: u16,
        record: Record,
    ) -> Self {
        let http = Client::at(machine.page, http_port, TIME_LIMIT);
        let (folder, environment, child) = (folder.to_owned(), Mutex::default(), Mutex::new(None));
        Self { name, http_port, link_port, http, folder, machine, environment, child, record }
    }

    /// Another client of it, which gives up after this time.
    pub fn client(&self, limit: Duration) -> Client {
        Client::at(self.machine.page, self.http_port, limit)
    }

    /// Its process gets this variable at the next start.
    pub fn set_environment(&self, name: &str, value: &str) {
        let mut environment = self.environment.lock().unwrap_or_else(PoisonError::into_inner);
        environment.retain(|(other, _)| other != name);
        environment.push((name.to_owned(), value.to_owned()));
    }

    /// Gives a key of its `hotpair.toml` another value, for the next start.
    #[track_caller]
    pub fn edit_config(&self, key: &str, value: &str) {
        let file = self.folder.join("hotpair.toml");
        let text = fs::read_to_string(&file).unwrap();
        let start = format!("{key} = ");
        assert!(text.lines().any(|line| line.starts_with(&start)), "no {key} in {}", file.display());
        let lines: Vec<String> = text
            .lines()
            .map(|line| if line.starts_with(&start) { format!("{start}{value}") } else { line.to_owned() })
            .collect();
        fs::write(file, lines.join("\n")).unwrap();
    }

    /// At a Master: where it listens for its Backup, for the next start.
    #[track_caller]
    pub fn edit_bind_of_link(&self, address: &str) {
        let file = self.folder.join("hotpair.toml");
        let text = fs::read_to_string(&file).unwrap();
        let (before, after) = text.split_once("[redundancy]").expect("the section");
        let lines: Vec<String> = after
            .lines()
            .map(|line| if line.starts_with("bind = ") { format!("bind = {address:?}") } else { line.to_owned() })
            .collect();
        fs::write(file, format!("{before}[redundancy]{}", lines.join("\n"))).unwrap();
    }

    /// Adds lines to its `hotpair.toml`, for the next start.
    #[track_caller]
    pub fn append_config(&self, lines: &str) {
        let file = self.folder.join("hotpair.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, format!("{text}\n{lines}\n")).unwrap();
    }

    /// Where its project stands, see [`super::Project::write_to`].
    pub fn project_dir(&self) -> PathBuf {
        self.folder.join("project")
    }

    /// Where it keeps what lasts.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    // Its process.

    /// Starts it and waits until it answers.
    #[track_caller]
    pub fn start(&self) {
        if let Err(problem) = self.try_start() {
            panic!("{problem}");
        }
    }

    /// Starts it and waits until it answers; the error says with what last words it ended.
    pub fn try_start(&self) -> Result<(), String> {
        self.spawn();
        let end = Instant::now() + TIMEOUT;
        while self.http.try_get("/health/live").is_err() {
            if let Some(exit) = self.ended() {
                return Err(format!("{} ended with {exit} while it started:\n{}", self.name, self.last_words()));
            }
            if Instant::now() > end {
                return Err(format!("{} does not answer {TIMEOUT:?} after its start", self.name));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Starts it and waits for nothing.
    #[track_caller]
    pub fn spawn(&self) {
        let mut child = self.child();
        assert!(child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let environment = self.environment.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let started = self
            .machine
            .command(env!("CARGO_BIN_EXE_hotpair"))
            .args(["run", "--config"])
            .arg(self.folder.join("hotpair.toml"))
            .args(self.machine.arguments())
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        *child = Some(started.expect("the program starts"));
    }

    /// kill -9, and gone when this returns.
    #[track_caller]
    pub fn kill9(&self) {
        let mut child = self.child().take().unwrap_or_else(|| panic!("{} does not run", self.name));
        child.kill().unwrap();
        child.wait().unwrap();
        self.record.gone(self.name);
    }

    /// Stops the process where it is, as a suspended virtual machine would.
    #[track_caller]
    pub fn sigstop(&self) {
        self.signal("STOP");
        self.record.gone(self.name);
    }

    #[track_caller]
    pub fn sigcont(&self) {
        self.signal("CONT");
    }

    /// A clean stop: SIGTERM, then waits for the end.
    #[track_caller]
    pub fn terminate(&self) -> ExitStatus {
        self.signal("TERM");
        self.wait_ended()
    }

    /// SIGTERM, and waits for nothing: see [`Node::wait_ended`].
    #[track_caller]
    pub fn sigterm(&self) {
        self.signal("TERM");
    }

    #[track_caller]
    pub fn wait_ended(&self) -> ExitStatus {
        let end = Instant::now() + TIMEOUT;
        loop {
            if let Some(exit) = self.ended() {
                *self.child() = None;
                self.record.gone(self.name);
                return exit;
            }
            assert!(Instant::now() < end, "{} has not ended after {TIMEOUT:?}", self.name);
            thread::sleep(POLL);
        }
    }

    pub fn pid(&self) -> u32 {
        self.child().as_ref().unwrap_or_else(|| panic!("{} does not run", self.name)).id()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The most resident memory that it ever had, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process lives");
        let line = status.lines().find(|line| line.starts_with(what)).expect(what);
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    fn ended(&self) -> Option<ExitStatus> {
        self.child().as_mut().and_then(|child| child.try_wait().unwrap())
    }

    #[track_caller]
    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.pid());
        let done = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(done.success(), "{command}");
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What it says.

    #[track_caller]
    pub fn status(&self) -> Status {
        self.try_status().unwrap_or_else(|problem| panic!("status of {}: {problem}", self.name))
    }

    pub fn try_status(&self) -> Result<Status, String> {
        let reply = self.http.try_get("/api/v1/redundancy/status")?;
        serde_json::from_str(&reply.text).map_err(|e| format!("{e} in {}", reply.text))
    }

    /// Waits until its status is as wanted, and gives that one.
    #[track_caller]
    pub fn wait(&self, what: &str, timeout: Duration, wanted: impl Fn(&Status) -> bool) -> Status {
        let end = Instant::now() + timeout;
        loop {
            let last = self.try_status();
            if let Ok(status) = &last
                && wanted(status)
            {
                return status.clone();
            }
            assert!(Instant::now() < end, "{}: not within {timeout:?}: {what}. Last status: {last:#?}", self.name);
            thread::sleep(POLL);
        }
    }

    /// Fails when its status is not as wanted at any moment of `time`.
    #[track_caller]
    pub fn stays(&self, what: &str, time: Duration, wanted: impl Fn(&Status) -> bool) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let status = self.status();
            assert!(wanted(&status), "{}: should stay so: {what}. Status: {status:#?}", self.name);
            thread::sleep(POLL);
        }
    }

    /// Waits until it shows this of itself and of its peer.
    #[track_caller]
    pub fn wait_shows(&self, own: &str, peer: &str) -> Status {
        self.wait(&format!("it is {own} and its peer {peer}"), TIMEOUT, |s| s.shows(own, peer))
    }

    /// The last transitions.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        rows(&self.http.get_json("/api/v1/redundancy/events?limit=50"))
    }

    /// The value of a metric, all its label sets added up; 0 when it was never counted.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.http.get("/metrics").text;
        let samples =
            page.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
        samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Waits until the log says this.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        let end = Instant::now() + TIMEOUT;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "{}: the log does not say {text:?}", self.name);
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn print_log(&self) {
        eprintln!("--- end of the log of {}\n{}", self.name, self.last_words());
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    // What it is asked to do.

    #[track_caller]
    pub fn switch(&self) -> Reply {
        self.http.post("/api/v1/redundancy/switch", &[], &json!({"reason": "a test"}))
    }

    /// One write; an error of the connection fails the test.
    #[track_caller]
    pub fn write(&self, path: &str, value: impl Into<Value>, operation: Option<&str>) -> Reply {
        self.try_write(path, value, operation).unwrap_or_else(|problem| panic!("write at {}: {problem}", self.name))
    }

    pub fn try_write(&self, path: &str, value: impl Into<Value>, operation: Option<&str>) -> Result<Reply, String> {
        self.try_write_many(&json!([{"key": path, "value": value.into()}]), operation)
    }

    /// `items` is the body: a list of `{key, value}`.
    pub fn try_write_many(&self, items: &Value, operation: Option<&str>) -> Result<Reply, String> {
        let headers: Vec<(&str, &str)> = operation.iter().map(|id| ("Idempotency-Key", *id)).collect();
        self.http.try_post("/api/v1/tagValues", &headers, items)
    }

    /// Writes until the answer says that the peer has it too.
    #[track_caller]
    pub fn write_replicated(&self, path: &str, value: impl Into<Value>) {
        let (value, end) = (value.into(), Instant::now() + TIMEOUT);
        loop {
            let reply = self.write(path, value.clone(), None);
            if reply.replicated() {
                return;
            }
            assert!(Instant::now() < end, "{}: never replicated: {path} = {value}: {reply:?}", self.name);
            thread::sleep(POLL);
        }
    }

    /// The present value of a tag.
    #[track_caller]
    pub fn value(&self, path: &str) -> Value {
        self.try_value(path).unwrap_or_else(|problem| panic!("value of {path} at {}: {problem}", self.name))
    }

    pub fn try_value(&self, path: &str) -> Result<Value, String> {
        let reply = self.http.try_get(&format!("/api/v1/tagValues?path={path}"))?;
        let json: Value = serde_json::from_str(&reply.text).map_err(|e| format!("{e} in {}", reply.text))?;
        json.get(0).and_then(|row| row.get("value")).cloned().ok_or(reply.text)
    }

    #[track_caller]
    pub fn wait_value(&self, path: &str, wanted: impl Into<Value>) {
        let (wanted, end) = (wanted.into(), Instant::now() + TIMEOUT);
        loop {
            let found = self.try_value(path);
            if found.as_ref().is_ok_and(|found| same(found, &wanted)) {
                return;
            }
            assert!(Instant::now() < end, "{}: {path} should become {wanted}, is {found:?}", self.name);
            thread::sleep(POLL);
        }
    }

    /// All tags of the plant.
    #[track_caller]
    pub fn read_all(&self) -> Values {
        self.read("Plant/*", 10_000)
    }

    /// The tags whose path fits the pattern.
    #[track_caller]
    pub fn read(&self, pattern: &str, limit: usize) -> Values {
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        rows(&self.http.get_json(&format!("/api/v1/tags?path={pattern}&limit={limit}")))
            .iter()
            .map(|row| (text(row, "path"), (row["value"].clone(), text(row, "quality"), text(row, "time"))))
            .collect()
    }
}

/// Equal as numbers: 42 is 42.0.
pub fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child().take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
