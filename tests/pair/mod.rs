//! Two real nodes on this machine, started, killed, stopped and watched from a test.
//!
//! ```ignore
//! let pair = Pair::builder().recovery("manual").start();   // Master Running, Backup Standby and in sync
//! pair.master.kill9();
//! pair.backup.wait("it takes over", TIMEOUT, |s| s.node.status == "Running");
//! pair.verify(Overlap::None);
//! ```
//!
//! Every wait ends as soon as its event comes. When a test fails, the last lines of both logs are printed.
// Each test program uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod alarms;
pub mod cable;
pub mod http;
pub mod link;
pub mod machine;
pub mod node;
pub mod ports;
pub mod project;
pub mod site;
pub mod socket;
pub mod watch;
pub mod world;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use cable::Cable;
pub use http::{Client, Reply};
pub use machine::Machine;
pub use node::{Node, Status, Values};
pub use project::Project;
pub use watch::Overlap;

/// How long a test waits for an event before it fails.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// How long "nothing happens" is watched.
pub const A_WHILE: Duration = Duration::from_millis(1500);

/// The documented timing profiles.
#[derive(Clone, Copy)]
pub enum Profile {
    /// Pings each 100 ms, failover after 1 s of silence.
    Default,
    /// Pings each 20 ms, failover after 300 ms of silence.
    Fast,
}

/// What a test wants to differ from the usual pair: see [`Pair::builder`].
pub struct Builder {
    recovery: &'static str,
    profile: Profile,
    failover_time_ms: Option<u64>,
    connection_wait_time_ms: u64,
    fast_failover: bool,
    cable: bool,
    machines: [Machine; 2],
    project: Project,
}

/// A Master and a Backup with the same project.
pub struct Pair {
    pub master: Node,
    pub backup: Node,
    cable: Option<Cable>,
    pub watch: watch::Watch,
    folder: TempDir,
}

/// A node without a peer.
pub struct Single {
    pub node: Node,
    folder: TempDir,
}

impl Builder {
    /// `automatic` or `manual`.
    pub fn recovery(mut self, mode: &'static str) -> Self {
        self.recovery = mode;
        self
    }

    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    pub fn failover_time_ms(mut self, ms: u64) -> Self {
        self.failover_time_ms = Some(ms);
        self
    }

    pub fn connection_wait_time_ms(mut self, ms: u64) -> Self {
        self.connection_wait_time_ms = ms;
        self
    }

    /// False: a dead process is not looked for, only silence counts.
    pub fn fast_failover(mut self, on: bool) -> Self {
        self.fast_failover = on;
        self
    }

    /// The nodes meet over a cable that the test can cut: [`Pair::cable`].
    pub fn cable(mut self) -> Self {
        self.cable = true;
        self
    }

    /// The Master's machine and the Backup's.
    pub fn machines(mut self, machines: [Machine; 2]) -> Self {
        self.machines = machines;
        self
    }

    /// The plant: `tests/data/tennessee-eastman/<file>` at `speed` times real time.
    pub fn replay(mut self, file: &str, speed: f64) -> Self {
        self.project = Project::tennessee_eastman(file, speed);
        self
    }

    /// A project of one's own instead of [`Project::memory_tags`].
    pub fn tags(self, csv: String) -> Self {
        self.project(Project { tags: csv, alarms: String::new(), sources: String::new() })
    }

    /// `alarms.csv`.
    pub fn alarms(mut self, csv: &str) -> Self {
        csv.clone_into(&mut self.project.alarms);
        self
    }

    /// As [`Self::tags`], with all of its files.
    pub fn project(mut self, project: Project) -> Self {
        self.project = project;
        self
    }

    /// Writes both nodes' files and starts nothing.
    pub fn prepare(self) -> Pair {
        self.write_files()
    }

    /// Starts both nodes and waits until the Master is Running and the Backup could take over.
    #[track_caller]
    pub fn start(self) -> Pair {
        let mut problem = String::new();
        for _ in 0..3 {
            let pair = self.write_files();
            // Another program may have taken a port since it was picked: then everything is picked anew.
            match pair.master.try_start().and_then(|()| pair.backup.try_start()) {
                Ok(()) => {
                    pair.wait_ready("Running", "Standby");
                    return pair;
                }
                Err(reason) if reason.to_lowercase().contains("in use") => problem = reason,
                Err(reason) => panic!("{reason}"),
            }
        }
        panic!("no free ports: {problem}");
    }

    /// Starts one node without a peer.
    #[track_caller]
    pub fn start_independent(self) -> Single {
        let folder = temporary_folder();
        let node =
            self.write_node("independent", folder.path(), self.machines[0].link_port(), watch::Record::default());
        node.start();
        node.wait("it is Running", TIMEOUT, Status::is_running);
        Single { node, folder }
    }

    fn write_files(&self) -> Pair {
        let (folder, watch) = (temporary_folder(), watch::Watch::default());
        let link_port = self.machines[0].link_port();
        let cable = self.cable.then(|| Cable::new(ports::free(), link_port, watch.record()));
        let backup_connects_to = cable.as_ref().map_or(link_port, |cable| cable.port);
        let master = self.write_node("master", folder.path(), link_port, watch.record());
        let backup = self.write_node("backup", folder.path(), backup_connects_to, watch.record());
        let watch = watch.start(&[&master, &backup]);
        Pair { master, backup, cable, watch, folder }
    }

    /// `link_port`: where a Master listens or a Backup connects.
    fn write_node(&self, name: &'static str, folder: &Path, link_port: u16, record: watch::Record) -> Node {
        let machine = &self.machines[usize::from(name == "backup")];
        let (own, http_port) = (folder.join(name), machine.http_port());
        fs::create_dir_all(own.join("data")).unwrap();
        self.project.write_to(&own.join("project"));
        fs::write(own.join("hotpair.toml"), self.config(name, &own, http_port, link_port)).unwrap();
        Node::new(name, &own, machine.clone(), http_port, link_port, record)
    }

    fn config(&self, mode: &str, own: &Path, http_port: u16, link_port: u16) -> String {
        let (ping_rate, ping_timeout, missed_pings, failover) = match self.profile {
            Profile::Default => (100, 300, 3, 1000),
            Profile::Fast => (20, 100, 5, 300),
        };
        format!(
            r#"[node]
name = "Line1"
data_dir = "{data}"

[project]
dir = "{project}"

[http]
bind = "{http_bind}"
port = {http_port}
auth = "off"

[redundancy]
mode = "{mode}"
failover_time_ms = {failover}
connection_wait_time_ms = {wait}
recovery_mode = "{recovery}"
bind = "{link}"
port = {link_port}
master_host = "{link}"
master_port = {link_port}
use_ssl = false
ping_rate_ms = {ping_rate}
ping_timeout_ms = {ping_timeout}
missed_pings = {missed_pings}
fast_failover = {fast}
"#,
            http_bind = self.machines[0].http_bind(),
            link = self.machines[0].link,
            data = own.join("data").display(),
            project = own.join("project").display(),
            failover = self.failover_time_ms.unwrap_or(failover),
            wait = self.connection_wait_time_ms,
            recovery = self.recovery,
            fast = self.fast_failover,
        )
    }
}

impl Pair {
    /// Manual recovery, the default timing profile, a short connection wait, memory tags.
    pub fn builder() -> Builder {
        Builder {
            recovery: "manual",
            profile: Profile::Default,
            failover_time_ms: None,
            connection_wait_time_ms: 2000,
            fast_failover: true,
            cable: false,
            machines: [Machine::this(), Machine::this()],
            project: Project::memory_tags(),
        }
    }

    /// Waits until the nodes are `master` and `backup`, each shows the other so, and both say that a failover could
    /// happen now.
    #[track_caller]
    pub fn wait_ready(&self, master: &str, backup: &str) {
        for (node, own, peer) in [(&self.master, master, backup), (&self.backup, backup, master)] {
            node.wait(&format!("it is {own}, its peer {peer}, ready for a failover"), TIMEOUT, |s| {
                s.shows(own, peer) && s.failover_ready && s.sync.phase == "Incremental"
            });
        }
    }

    /// Fails when a node shows something else than this, or is no longer ready for a failover, within [`A_WHILE`].
    #[track_caller]
    pub fn stays_ready(&self, master: &str, backup: &str) {
        let end = Instant::now() + A_WHILE;
        while Instant::now() < end {
            for (node, own, peer) in [(&self.master, master, backup), (&self.backup, backup, master)] {
                let status = node.status();
                let as_wanted = status.shows(own, peer) && status.failover_ready;
                assert!(as_wanted, "{} should stay {own} with a {peer} peer: {status:#?}", node.name);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The cable of [`Builder::cable`].
    #[track_caller]
    pub fn cable(&self) -> &Cable {
        self.cable.as_ref().expect("the pair was built with a cable")
    }

    /// Cuts the cable and waits until both nodes run, each without the other.
    #[track_caller]
    pub fn part(&self) {
        self.cable().cut();
        for node in [&self.master, &self.backup] {
            node.wait_shows("Running", "Faulted");
        }
    }

    /// Both processes die at the same moment, as in a power cut.
    #[track_caller]
    pub fn power_cut(&self) {
        let command = format!("kill -9 {} {}", self.master.pid(), self.backup.pid());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
        for node in [&self.master, &self.backup] {
            node.wait_ended();
        }
    }

    /// Moves Running to the other node, and waits until both are in sync.
    #[track_caller]
    pub fn switch(&self) {
        let (running, _) = self.running_and_other();
        let reply = running.switch();
        assert_eq!(reply.status, 200, "the switch was refused: {reply:?}");
        self.wait_ready_with(if running.name == self.master.name { &self.backup } else { &self.master });
    }

    /// As [`Self::wait_ready`], with this node Running.
    #[track_caller]
    pub fn wait_ready_with(&self, running: &Node) {
        let (master, backup) =
            if running.name == self.master.name { ("Running", "Standby") } else { ("Standby", "Running") };
        self.wait_ready(master, backup);
    }

    /// The node that says Running, and the other one. Fails when that is not exactly one.
    #[track_caller]
    pub fn running_and_other(&self) -> (&Node, &Node) {
        let is_running = |node: &Node| node.try_status().is_ok_and(|s| s.node.status == "Running");
        match (is_running(&self.master), is_running(&self.backup)) {
            (true, false) => (&self.master, &self.backup),
            (false, true) => (&self.backup, &self.master),
            both => panic!("exactly one node should be Running, but (Master, Backup) is {both:?}"),
        }
    }

    /// All tag values with quality and time, the same on both nodes at a moment when both hold the same changes.
    #[track_caller]
    pub fn same_values(&self) -> Values {
        let end = Instant::now() + Duration::from_secs(5);
        let mut difference = "no moment at which both nodes held the same changes".to_owned();
        while Instant::now() < end {
            if let Some(before) = self.common_position() {
                let (master, backup) = (self.master.read_all(), self.backup.read_all());
                if self.common_position() == Some(before) {
                    match first_difference(&master, &backup) {
                        None => return master,
                        Some(found) => difference = format!("at change {before}: {found}"),
                    }
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the nodes' values differ: {difference}");
    }

    /// The change that both nodes hold last, when it is the same.
    pub fn common_position(&self) -> Option<u64> {
        let (master, backup) = (self.master.status().sync, self.backup.status().sync);
        let all = [Some(master.local_seq), master.peer_seq, Some(backup.local_seq), backup.peer_seq];
        if all.iter().all(|seq| *seq == all[0]) { all[0] } else { None }
    }

    /// What must hold in every story: nobody's epoch went back, no epoch was run by two nodes, each Running node ran
    /// its own epoch; and the nodes were not both Running for longer than `overlap` says.
    #[track_caller]
    pub fn verify(&self, overlap: Overlap) {
        self.watch.verify(overlap);
    }
}

fn first_difference(master: &Values, backup: &Values) -> Option<String> {
    let paths = master.keys().chain(backup.keys());
    let mut different = paths.filter(|path| master.get(*path) != backup.get(*path));
    different.next().map(|path| format!("{path}: Master {:?}, Backup {:?}", master.get(path), backup.get(path)))
}

/// Ends the threads that look at this flag, also when the test fails: else their scope would wait for ever.
pub struct EndOnDrop<'a>(pub &'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn temporary_folder() -> TempDir {
    tempfile::Builder::new().prefix("hotpair-test-").tempdir().expect("a folder for the test")
}

impl Drop for Single {
    fn drop(&mut self) {
        if thread::panicking() {
            self.node.print_log();
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.watch.stop();
        if thread::panicking() {
            self.master.print_log();
            self.backup.print_log();
        }
    }
}
