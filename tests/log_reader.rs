//! Nobody reads the log: the node goes on, and stops when it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pair;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pair::project::Project;
use pair::{Client, TIMEOUT, ports};

/// A Master whose standard error is a pipe that nobody reads, unless the test does.
struct Master {
    child: Child,
    http: Client,
    link_port: u16,
    _folder: tempfile::TempDir,
}

impl Master {
    /// At the highest log level: soon more is said than a pipe holds. `before` is the shell's, before the node.
    fn start(before: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("hotpair-test-").tempdir().unwrap();
        let (http_port, link_port) = (ports::free(), ports::free());
        Project::memory_tags().write_to(&folder.path().join("project"));
        let config = folder.path().join("hotpair.toml");
        std::fs::write(&config, settings(folder.path(), http_port, link_port)).unwrap();
        let child = Command::new("sh")
            .args(["-c", &format!("{before}exec \"$0\" run --config \"$1\"")])
            .arg(env!("CARGO_BIN_EXE_hotpair"))
            .arg(&config)
            .env("HOTPAIR_LOG", "trace")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let master = Self { child, http: Client::new(http_port), link_port, _folder: folder };
        wait("it answers", || master.http.try_get("/health/live").is_ok());
        master
    }

    /// The full pipe is what a blocked writer waits for; the kernel names it.
    fn log_is_stuck(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().flatten();
        let read = |task: &Path, file| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        tasks.map(|task| task.path()).any(|task| {
            read(&task, "comm").trim() == "hp-log" && {
                let wait = read(&task, "wchan");
                wait.contains("pipe") || wait.is_empty() || wait == "0"
            }
        })
    }

    /// Strangers who say nonsense: each is worth lines of the log.
    fn flood(&self, connections: usize) {
        for _ in 0..connections {
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.link_port)) {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let _ = stream.read(&mut [0; 64]);
            }
        }
    }

    fn uptime(&self) -> u64 {
        let status = self.http.get_json("/api/v1/redundancy/status");
        status["node"]["uptimeS"].as_u64().unwrap_or_else(|| panic!("no uptime in {status}"))
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    }

    #[track_caller]
    fn wait_ended(&mut self) -> ExitStatus {
        let end = Instant::now() + TIMEOUT;
        loop {
            if let Some(exit) = self.child.try_wait().unwrap() {
                return exit;
            }
            assert!(Instant::now() < end, "it has not ended after {TIMEOUT:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads the log from now on; what it said is there when the node has ended.
    fn read_log(&mut self) -> thread::JoinHandle<String> {
        let mut log = self.child.stderr.take().unwrap();
        thread::spawn(move || {
            let mut said = Vec::new();
            log.read_to_end(&mut said).unwrap();
            String::from_utf8_lossy(&said).into_owned()
        })
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn wait(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !done() {
        assert!(Instant::now() < end, "not within {TIMEOUT:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn settings(folder: &Path, http_port: u16, link_port: u16) -> String {
    format!(
        r#"[node]
name = "Line1"
data_dir = "{folder}/data"
[project]
dir = "{folder}/project"
[http]
bind = "127.0.0.1"
port = {http_port}
auth = "off"
[redundancy]
mode = "master"
bind = "127.0.0.1"
port = {link_port}
connection_wait_time_ms = 500
use_ssl = false
"#,
        folder = folder.display()
    )
}

#[test]
fn a_node_goes_on_when_nobody_reads_its_log() {
    let mut master = Master::start("");
    // A pipe holds 64 KiB.
    master.flood(1500);
    let before = master.uptime();
    wait("its time goes on", || master.uptime() > before + 1);
    assert_eq!(master.http.get_json("/api/v1/redundancy/status")["node"]["status"], "Running");
    assert!(master.log_is_stuck(), "the test has not filled the pipe");
    let began = Instant::now();
    master.signal("TERM");
    assert_eq!(master.wait_ended().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn the_same_stranger_is_told_once_a_minute() {
    let mut master = Master::start("HOTPAIR_LOG=info; ");
    let log = master.read_log();
    master.flood(50);
    master.signal("TERM");
    assert_eq!(master.wait_ended().code(), Some(0));
    let log = log.join().unwrap();
    assert_eq!(log.matches("connection refused: ").count(), 1, "{log}");
    assert!(log.contains("INFO stopped\n"), "the last line is there: {log}");
}

#[test]
fn a_closed_terminal_is_a_clean_stop_unless_it_is_ignored() {
    let mut master = Master::start("HOTPAIR_LOG=info; ");
    let log = master.read_log();
    master.signal("HUP");
    master.signal("HUP");
    assert_eq!(master.wait_ended().code(), Some(0));
    let log = log.join().unwrap();
    assert!(log.contains("SIGHUP: stopping cleanly"), "{log}");

    let mut master = Master::start("trap '' HUP; HOTPAIR_LOG=info; ");
    let log = master.read_log();
    master.signal("HUP");
    let before = master.uptime();
    wait("it goes on", || master.uptime() > before);
    master.signal("TERM");
    assert_eq!(master.wait_ended().code(), Some(0));
    let log = log.join().unwrap();
    assert!(!log.contains("SIGHUP") && log.contains("SIGTERM: stopping cleanly"), "{log}");
}
