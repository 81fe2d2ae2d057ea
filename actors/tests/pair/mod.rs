//! Two nodes in one process: real actors, real TCP, a disk in memory.
#![allow(dead_code, clippy::unwrap_used, clippy::struct_field_names, reason = "each test file uses its part")]

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hotpair_actors::durable::MemoryDisk;
use hotpair_actors::host::Host;
use hotpair_actors::injure::living;
use hotpair_actors::journal::MemoryJournal;
use hotpair_actors::messages::{Happened, Write};
use hotpair_actors::shared::{Disks, EventRecord, Found, FoundAlarms, HttpAt, OnEvent, Settings, Shared};
use hotpair_actors::supervisor;
use hotpair_core::alarms::{AckMode, AlarmCondition, AlarmDef, AlarmList, AlarmPriority, LimitLevel, Watched};
use hotpair_core::arbiter::Input;
use hotpair_core::catalog::{Catalog, TagDef, TagId};
use hotpair_core::protocol::{LicenseFacts, ProjectHash, WriteItem, WriteOutcome};
use hotpair_core::quality::Quality;
use hotpair_core::types::{BootId, Mode, NodeId, RecoveryMode, Status};
use hotpair_core::value::{Value, ValueType};
use tokio::sync::oneshot;

/// Nothing takes longer, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(15);
pub const TAGS: usize = 50;

/// How quick a pair is.
#[derive(Clone, Copy)]
pub struct Pace {
    pub failover_time_ms: u64,
    pub hang_after_ms: u64,
    pub switch_timeout_ms: u64,
}

/// No accidental failover, however busy the machine is.
pub const CALM: Pace = Pace { failover_time_ms: 10_000, hang_after_ms: 10_000, switch_timeout_ms: 2000 };
/// Hangs and silence are found soon.
pub const QUICK: Pace = Pace { failover_time_ms: 1500, hang_after_ms: 800, switch_timeout_ms: 500 };

pub struct Node {
    pub shared: Arc<Shared>,
    pub disk: Arc<MemoryDisk>,
    pub journal: Arc<MemoryJournal>,
    thread: Option<JoinHandle<()>>,
}

pub struct Pair {
    pub master: Node,
    pub backup: Node,
}

/// A listener on a free port of this machine.
pub fn door() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

pub fn settings(mode: Mode, id: u64, port: u16, pace: Pace) -> Settings {
    Settings {
        node: NodeId(id),
        boot: BootId(id + 1000),
        name: "Line1".into(),
        version: "test".into(),
        mode,
        recovery: RecoveryMode::Manual,
        failover_time_ms: pace.failover_time_ms,
        connection_wait_time_ms: 10_000,
        switch_timeout_ms: pace.switch_timeout_ms,
        replication_timeout_ms: 3000,
        connect_timeout_ms: 2000,
        ping_rate_ms: 100,
        ping_timeout_ms: 500,
        missed_pings: 3,
        fast_failover: true,
        master: ("127.0.0.1".into(), port),
        http: HttpAt::default(),
        project: ProjectHash::default(),
        license: LicenseFacts::default(),
        hang_after_ms: pace.hang_after_ms,
        alarms_stale_after_ms: None,
    }
}

pub fn catalog() -> Arc<Catalog> {
    let tag = |n: usize| TagDef { writable: true, retain: is_retained(n), ..TagDef::new(path(n), ValueType::Int64) };
    Arc::new(Catalog::new((0..TAGS).map(tag).collect()).unwrap())
}

/// Each tag has an alarm above 1,000.
pub fn alarms() -> Arc<AlarmList> {
    let alarm = |n: usize| AlarmDef {
        path: path(n).into(),
        name: "H".into(),
        watched: Watched::Tag(TagId(n as u32)),
        condition: AlarmCondition::Limit { level: LimitLevel::H, limit: 1000.0, inclusive: false, deadband: 0.0 },
        active_delay_ms: 0,
        resume_delay_ms: 0,
        priority: AlarmPriority::Medium,
        ack_mode: AckMode::Manual,
        description: "".into(),
    };
    Arc::new(AlarmList::new((0..TAGS).map(alarm).collect()).unwrap())
}

/// The even ones are.
pub fn is_retained(n: usize) -> bool {
    n.is_multiple_of(2)
}

/// Path of a tag; the even ones are retained.
pub fn path(n: usize) -> String {
    format!("Plant/Tag{n}")
}

impl Node {
    pub fn start(settings: Settings, listener: Option<TcpListener>, on_event: OnEvent) -> Self {
        let disk = Arc::new(MemoryDisk::new());
        let on_report = Box::new(|_: &_| Ok(("report".to_owned(), Vec::new())));
        let journal = Arc::new(MemoryJournal::new());
        let alarms = FoundAlarms { list: alarms(), ..FoundAlarms::default() };
        let found = Found { alarms, ..Found::default() };
        let disks = Disks { durable: disk.clone(), journal: journal.clone() };
        let shared = Shared::new(settings, catalog(), found, disks, Host::of_process(listener), on_event, on_report);
        let (tell, told) = std::sync::mpsc::channel();
        let lent = shared.clone();
        let run = move || supervisor::run(lent, || tell.send(()).unwrap());
        let thread = std::thread::Builder::new().name("hp-system".into()).spawn(run).unwrap();
        told.recv_timeout(PATIENCE).unwrap();
        Self { shared, disk, journal, thread: Some(thread) }
    }

    /// Waits until `so`, looking whenever something that is shown has changed.
    pub async fn until(&self, what: &str, so: impl Fn(&Shared) -> bool) {
        let mut changes = self.shared.changes();
        let deadline = Instant::now() + PATIENCE;
        while !so(&self.shared) {
            assert!(Instant::now() < deadline, "never {what}: {:?} {:?}", self.shared.view(), self.events());
            // Some things change without a word, such as the replication's progress.
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
        }
    }

    /// Writes one tag; the answer comes within [`PATIENCE`].
    pub async fn write(&self, tag: usize, value: i64) -> WriteOutcome {
        let item = WriteItem { path: path(tag).into(), value: Value::Int64(value), quality: Quality::GOOD, time: None };
        let (reply, answer) = oneshot::channel();
        let tags = self.shared.directory.tag_replicator().unwrap();
        tags.do_send(Write { items: vec![item], operation: None, reply });
        tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    pub fn read(&self, tag: usize) -> Value {
        let table = self.shared.table.read();
        table.get(table.catalog().find(&path(tag)).unwrap()).unwrap().value
    }

    pub fn events(&self) -> Vec<EventRecord> {
        self.shared.events(1000)
    }

    /// Its own status and the peer's, as it shows them.
    pub fn shown(&self) -> (Status, Option<Status>) {
        let view = self.shared.view();
        (view.status, view.peer.map(|peer| peer.status))
    }

    /// Resolves with why the node must end its process.
    pub async fn fatal(&self) -> String {
        let mut fatal = self.shared.fatal();
        let reason = tokio::time::timeout(PATIENCE, fatal.wait_for(Option::is_some)).await.unwrap().unwrap();
        reason.clone().unwrap()
    }

    /// A clean stop. When it returns, the node's own thread has ended.
    pub async fn shut_down(&mut self) {
        let arbiter = self.shared.directory.state_arbiter().unwrap();
        arbiter.do_send(Happened(Input::Shutdown { reason: "the test is over".into() }));
        let mut exited = self.shared.exited();
        tokio::time::timeout(PATIENCE, exited.wait_for(|exited| *exited)).await.unwrap().unwrap();
        self.shared.link.close().await;
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Nothing outlives a test: an actor that hangs holds its thread only until it wakes.
impl Drop for Node {
    fn drop(&mut self) {
        self.shared.stop();
        let Some(thread) = self.thread.take().filter(|_| !std::thread::panicking()) else { return };
        let deadline = Instant::now() + PATIENCE;
        while !thread.is_finished() || !living(&self.shared.directory).is_empty() {
            let living = living(&self.shared.directory);
            assert!(Instant::now() < deadline, "its thread or an actor outlives a node: {living:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        thread.join().unwrap();
    }
}

impl Pair {
    /// A pair that is ready: the Master runs, the Backup is in sync.
    pub async fn ready(pace: Pace) -> Self {
        let (listener, port) = door();
        let master = Node::start(settings(Mode::Master, 1, port, pace), Some(listener), Box::new(|_| {}));
        let backup = Node::start(settings(Mode::Backup, 2, port, pace), None, Box::new(|_| {}));
        let pair = Self { master, backup };
        pair.until_ready().await;
        pair
    }

    pub async fn until_ready(&self) {
        self.master.until("ready", |node| node.view().failover_ready && node.view().status == Status::Running).await;
        self.backup.until("ready", |node| node.view().failover_ready && node.view().status == Status::Standby).await;
        // The Backup's word that it is in sync may come over the control connection before that over the other one.
        let deadline = Instant::now() + PATIENCE;
        while !replicated(&self.master.write(TAGS - 1, 0).await) {
            assert!(Instant::now() < deadline, "nothing is replicated");
        }
    }
}

/// A write that both nodes hold.
pub fn replicated(outcome: &WriteOutcome) -> bool {
    matches!(outcome, WriteOutcome::Done { replicated: true, .. })
}
