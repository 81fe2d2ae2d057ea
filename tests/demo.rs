//! `hotpair demo` as a newcomer meets it: do what it prints.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pair::{Client, Status, TIMEOUT, ports};

/// Enough for a kill and a recovery on a slow machine.
const DURATION_S: u64 = 20;

#[test]
fn the_demo_survives_the_kill_that_it_proposes_and_gives_running_back() {
    let (http, link) = (ports::consecutive(2), ports::free());
    let mut demo = Demo::start(http, link);
    let (master, backup) = (Client::new(http), Client::new(http + 1));
    for port in [http, http + 1] {
        demo.wait_prints(&format!(":{port}"));
    }
    wait(&demo, &master, "the Master is Running", |s| s.shows("Running", "Standby") && s.failover_ready);
    wait(&demo, &backup, "the Backup is Standby", |s| s.shows("Standby", "Running") && s.failover_ready);
    let tags = pair::http::rows(&master.get_json("/api/v1/tags?path=*&limit=10000"));
    assert!(tags.len() >= 200, "a plant of 200 tags: {}", tags.len());

    let pid = demo.pid_after_kill_9();
    assert!(Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status().unwrap().success());
    wait(&demo, &backup, "the Backup is Running", |s| s.shows("Running", "Faulted"));

    let _again = Process::run(&demo.printed_run_command());
    wait(&demo, &master, "the Master has Running back", |s| s.shows("Running", "Standby"));
    wait(&demo, &backup, "the Backup is Standby", |s| s.shows("Standby", "Running"));

    let exit = demo.wait_ended();
    assert_eq!(exit.code(), Some(0), "the demo ends well\n{}", demo.text());
    assert!(backup.try_get("/health/live").is_err(), "the demo stops what it started");
}

#[test]
fn a_stop_of_the_demo_stops_both_nodes_and_exits_0() {
    let (http, link) = (ports::consecutive(2), ports::free());
    let mut demo = Demo::start(http, link);
    let clients = [Client::new(http), Client::new(http + 1)];
    for client in &clients {
        wait(&demo, client, "it answers", |_| true);
    }
    let pid = demo.process.0.id();
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status().unwrap().success());
    assert_eq!(demo.wait_ended().code(), Some(0), "{}", demo.text());
    for client in &clients {
        assert!(client.try_get("/health/live").is_err(), "a node lives on");
    }
}

/// A process that does not outlive its test.
struct Process(Child);

struct Demo {
    process: Process,
    output: PathBuf,
    _folder: tempfile::TempDir,
}

impl Process {
    fn run(command: &str) -> Self {
        let started = Command::new("sh").args(["-c", &format!("exec {command}")]).stdin(Stdio::null()).spawn();
        Self(started.unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A chance to stop what it started itself.
        Command::new("sh").args(["-c", &format!("kill -TERM {} 2>/dev/null", self.0.id())]).status().ok();
        let end = Instant::now() + Duration::from_secs(5);
        while self.0.try_wait().is_ok_and(|exit| exit.is_none()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Demo {
    fn start(http: u16, link: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("output");
        let file = File::create(&output).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_hotpair"))
            .args(["demo", "--duration", &DURATION_S.to_string()])
            .args(["--http-port", &http.to_string(), "--link-port", &link.to_string()])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn();
        Self { process: Process(child.unwrap()), output, _folder: folder }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    #[track_caller]
    fn wait_prints(&self, words: &str) {
        let end = Instant::now() + TIMEOUT;
        while !self.text().contains(words) {
            assert!(Instant::now() < end, "not printed: {words}\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The Master's process id, from the line that proposes to kill it.
    #[track_caller]
    fn pid_after_kill_9(&self) -> u32 {
        self.wait_prints("kill -9 ");
        let text = self.text();
        let line = line_about_the_master(&text, "kill -9 ");
        let after = line.split("kill -9 ").nth(1).unwrap();
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no process id in: {line}"))
    }

    /// `…/hotpair run --config …`, from the line that says how to start the Master again.
    #[track_caller]
    fn printed_run_command(&self) -> String {
        self.wait_prints(" run --config ");
        let text = self.text();
        let line = line_about_the_master(&text, " run --config ");
        let (before, after) = line.split_once(" run --config ").unwrap();
        let program = before.split_whitespace().last().unwrap_or_else(|| panic!("no program in: {line}"));
        let file = after.split_whitespace().next().unwrap_or_else(|| panic!("no file in: {line}"));
        let bare = |word: &str| word.trim_matches(['`', '"', '\'', ',', '.', ')']).to_owned();
        format!("'{}' run --config '{}'", program.trim_start_matches(['`', '"', '\'', '(']), bare(file))
    }

    #[track_caller]
    fn wait_ended(&mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(DURATION_S + 20);
        loop {
            if let Some(exit) = self.process.0.try_wait().unwrap() {
                return exit;
            }
            assert!(Instant::now() < end, "the demo does not end\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Of the lines with these words the one that names the Master, else the first.
fn line_about_the_master<'a>(text: &'a str, words: &str) -> &'a str {
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(words)).collect();
    let of_master = lines.iter().find(|line| line.to_lowercase().contains("master"));
    of_master.or(lines.first()).unwrap_or_else(|| panic!("no line with {words} in\n{text}"))
}

#[track_caller]
fn wait(demo: &Demo, node: &Client, what: &str, wanted: impl Fn(&Status) -> bool) {
    let end = Instant::now() + TIMEOUT;
    loop {
        let reply = node.try_get("/api/v1/redundancy/status").map(|reply| reply.text);
        let status = reply.as_deref().ok().and_then(|text| serde_json::from_str::<Status>(text).ok());
        if status.as_ref().is_some_and(&wanted) {
            return;
        }
        assert!(Instant::now() < end, "not so: {what}. Last answer: {reply:?}\n{}", demo.text());
        thread::sleep(Duration::from_millis(10));
    }
}
