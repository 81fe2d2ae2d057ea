//! A world of one's own for a test: its network, its processes, its mounts, and the right to change them, without root.
//!
//! ```ignore
//! #[test]
//! fn a_story() {
//!     world::alone(|| { ... });    // here `ip`, `tc` and `mount` work, and touch nothing outside
//! }
//! ```
//!
//! The test starts itself once more inside of new Linux namespaces. When that process ends, however it ends, the kernel
//! removes all that was made there: processes, networks, mounts, files.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Set inside, to the test's name.
const INSIDE: &str = "HOTPAIR_WORLD";
/// Set to 1: where such a world cannot be had, tests fail instead of being skipped.
const REQUIRED: &str = "HOTPAIR_WORLDS_REQUIRED";
/// Where the test says that it came to its end.
const DONE: &str = "HOTPAIR_WORLD_DONE";
/// Bounds a hang.
const LIMIT: Duration = Duration::from_mins(3);

const NAMESPACES: [&str; 6] = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
const TEMPORARY: &str = "/run/tmp";

/// Plays a test in a world of its own.
#[track_caller]
pub fn alone(story: impl FnOnce()) {
    alone_within(LIMIT, false, story);
}

/// As [`alone`], for a longer story; `shown`: what it prints is seen at once.
#[track_caller]
pub fn alone_within(limit: Duration, shown: bool, story: impl FnOnce()) {
    let name = thread::current().name().expect("a test runs in a thread of its name").to_owned();
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        furnish();
        story();
        fs::write(std::env::var(DONE).expect("a path"), "").expect("a file");
        return;
    }
    if let Err(problem) = possible() {
        let hint = "run it as root, or where users may make namespaces (sysctl kernel.unprivileged_userns_clone, \
                    apparmor_restrict_unprivileged_userns); it needs `unshare`, `nsenter` and `ip`";
        assert!(std::env::var_os(REQUIRED).is_none(), "no world of its own for {name}: {problem}: {hint}");
        // Not by a macro: the test harness would keep it to itself.
        writeln!(std::io::stderr(), "SKIPPED {name}: {problem}: {hint}").ok();
        return;
    }
    play_inside(&name, limit, shown);
}

/// Runs a program; its failure fails the test.
#[track_caller]
pub fn run(line: &str) {
    let output = Command::new("sh").args(["-c", line]).output().expect("sh");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether a program succeeds.
pub fn works(line: &str) -> bool {
    Command::new("sh").args(["-c", line]).output().is_ok_and(|output| output.status.success())
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !works("test $(id -u) = 0") {
        command.arg("--map-root-user");
    }
    command.args(NAMESPACES);
    command
}

fn possible() -> Result<(), String> {
    for program in ["unshare", "nsenter", "ip"] {
        if !works(&format!("command -v {program}")) {
            return Err(format!("{program} is missing"));
        }
    }
    let attempt = "mount -t tmpfs none /run && mkdir /run/netns && ip netns add probe && ip link set lo up";
    let output = unshare().args(["sh", "-c", attempt]).output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

#[track_caller]
fn play_inside(name: &str, limit: Duration, shown: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let (said, done) = (folder.path().join("said"), folder.path().join("done"));
    let log = File::create(&said).expect("a file");
    let mut command = unshare();
    command
        .arg(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .env(DONE, &done)
        .env("TMPDIR", TEMPORARY)
        .stdin(Stdio::null());
    if !shown {
        command.stdout(log.try_clone().expect("a file")).stderr(log);
    }
    let mut child = command.spawn().expect("unshare starts");
    let end = Instant::now() + limit;
    let ended = loop {
        if let Some(exit) = child.try_wait().expect("a child") {
            break exit.to_string();
        }
        if Instant::now() > end {
            child.kill().ok();
            child.wait().ok();
            break format!("no end within {limit:?}");
        }
        thread::sleep(Duration::from_millis(10));
    };
    let said = String::from_utf8_lossy(&fs::read(said).unwrap_or_default()).into_owned();
    assert!(ended == "exit status: 0" && done.exists(), "{name}, in a world of its own: {ended}\n{said}");
    eprintln!("{said}");
}

/// Files of its own in /run, and a loopback address.
fn furnish() {
    run("mount -t tmpfs none /run && mkdir /run/netns /run/tmp && ip link set lo up");
}
