//! A pair on paused time: all actors of both nodes in one thread, a network in memory, a disk in memory. Time passes only
//! when nothing is left to do, and then at once to the next timer: a story of minutes takes milliseconds, and is the same
//! each time.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hotpair_actors::clock::Clock;
use hotpair_actors::directory::Snapshot;
use hotpair_actors::durable::MemoryDisk;
use hotpair_actors::host::{Host, Threads};
use hotpair_actors::injure::{INJURED, Injure, injure, living};
use hotpair_actors::journal::MemoryJournal;
use hotpair_actors::messages::{Happened, Operate, PressSwitch, Publish, Write};
use hotpair_actors::shared::{Disks, Found, FoundAlarms, HttpAt, Settings, Shared};
use hotpair_actors::supervisor;
use hotpair_core::alarms::{AlarmAction, AlarmRequest, EventId, Who};
use hotpair_core::arbiter::{Input, SwitchOrder, View};
use hotpair_core::catalog::TagId;
use hotpair_core::protocol::{AlarmOutcome, OperationId, WriteItem, WriteOutcome};
use hotpair_core::quality::Quality;
use hotpair_core::replicator::Published;
use hotpair_core::types::{BootId, Mode, NodeId, Status, UnixMillis};
use hotpair_core::value::Value;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::network::{BackupEnd, Cable, HTTP_PORT, LINK_PORT, MasterEnd};
use crate::pair;
use crate::slow_disk::SlowDisk;

/// In virtual time: nothing takes longer.
const LIMIT: Duration = Duration::from_mins(10);
/// Where the wall clock begins.
const BEGINNING: UnixMillis = UnixMillis(1_800_000_000_000);

pub use Mode::{Backup, Master};

/// A node and its process.
pub struct Node {
    pub shared: Arc<Shared>,
    set: LocalSet,
}

/// What outlives a process.
struct Machine {
    disk: Arc<SlowDisk<MemoryDisk>>,
    journal: Arc<SlowDisk<MemoryJournal>>,
    boots: u64,
}

pub struct Stage {
    pub cable: Arc<Cable>,
    pub tune: fn(&mut Settings),
    began: Instant,
    machines: [Machine; 2],
    nodes: [Option<Node>; 2],
}

/// Panics that are asked for are not worth a backtrace.
fn keep_quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&INJURED) {
                told(panic);
            }
        }));
    });
}

fn place(mode: Mode) -> usize {
    usize::from(mode == Backup)
}

/// Nothing outlives a test.
impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for mode in [Master, Backup] {
                if self.works(mode) {
                    self.kill(mode);
                }
            }
        }
    }
}

impl Stage {
    /// Both machines are off. `tune` changes the settings.
    pub fn new(tune: fn(&mut Settings)) -> Self {
        keep_quiet();
        let machine = || Machine {
            disk: SlowDisk::of(&Arc::new(MemoryDisk::new())),
            journal: SlowDisk::of(&Arc::new(MemoryJournal::new())),
            boots: 0,
        };
        Self {
            cable: Arc::default(),
            tune,
            began: Instant::now(),
            machines: [machine(), machine()],
            nodes: [None, None],
        }
    }

    /// A pair that is ready.
    pub async fn ready(tune: fn(&mut Settings)) -> Self {
        let mut stage = Self::new(tune);
        stage.start(Master);
        stage.start(Backup);
        stage.until_ready(Master).await;
        stage
    }

    pub fn start(&mut self, mode: Mode) {
        let now = self.now();
        let machine = &mut self.machines[place(mode)];
        machine.boots += 1;
        let id = 1 + place(mode) as u64;
        let mut settings = pair::settings(mode, id, LINK_PORT, pair::CALM);
        settings.failover_time_ms = 1000;
        settings.hang_after_ms = 2000;
        settings.connection_wait_time_ms = 5000;
        settings.boot = BootId(id * 1000 + machine.boots);
        settings.http = HttpAt { advertise: None, port: Some(HTTP_PORT), bind: Some([0, 0, 0, 0].into()) };
        (self.tune)(&mut settings);
        let clock = Clock::steady(UnixMillis(BEGINNING.0 + now.cast_signed()));
        let network: Arc<dyn hotpair_actors::connection::Network> = match mode {
            Backup => BackupEnd::new(&self.cable),
            _ => MasterEnd::new(&self.cable),
        };
        let (on_disk, journal) = (&machine.disk.disk, &machine.journal.disk);
        let tenure = on_disk.tenure();
        let found = Found {
            lineage: tenure.lineage,
            reserved: tenure.reserved,
            last_counter: tenure.last_counter,
            durable: on_disk.durable(),
            retained: on_disk.retained(),
            alarms: FoundAlarms { list: pair::alarms(), found: journal.found(clock.wall()) },
        };
        let disks = Disks { durable: machine.disk.clone(), journal: machine.journal.clone() };
        let host = Host { network, clock, threads: Threads::One };
        let no_report = Box::new(|_: &_| Ok(("report".into(), Vec::new())));
        let shared = Shared::new(settings, pair::catalog(), found, disks, host, Box::new(|_| {}), no_report);
        let set = LocalSet::new();
        set.spawn_local(supervisor::start(shared.clone()));
        self.nodes[place(mode)] = Some(Node { shared, set });
    }

    /// The process is gone: its connections are closed, new ones are refused. Nothing of it is left.
    pub fn kill(&mut self, mode: Mode) {
        let Node { shared, set } = self.nodes[place(mode)].take().expect("it works");
        drop(set);
        assert_eq!(living(&shared.directory), Vec::<&str>::new(), "actors that outlived their process");
        let left = Arc::strong_count(&shared);
        assert_eq!(left, 1, "somebody still holds the dead node");
    }

    /// The whole machine is gone: silence.
    pub fn power_off(&mut self, mode: Mode) {
        self.cable.cut();
        self.kill(mode);
    }

    pub fn node(&self, mode: Mode) -> &Arc<Shared> {
        &self.nodes[place(mode)].as_ref().expect("it works").shared
    }

    pub fn works(&self, mode: Mode) -> bool {
        self.nodes[place(mode)].is_some()
    }

    pub fn disk(&self, mode: Mode) -> &SlowDisk<MemoryDisk> {
        &self.machines[place(mode)].disk
    }

    pub fn journal(&self, mode: Mode) -> &SlowDisk<MemoryJournal> {
        &self.machines[place(mode)].journal
    }

    pub fn view(&self, mode: Mode) -> View {
        self.node(mode).view()
    }

    pub fn status(&self, mode: Mode) -> Status {
        self.view(mode).status
    }

    /// It runs, and shows that its peer is gone.
    pub fn is_alone(&self, mode: Mode) -> bool {
        let view = self.view(mode);
        view.status == Status::Running && view.peer.is_some_and(|peer| peer.status == Status::Faulted)
    }

    pub fn snapshot(&self, mode: Mode, name: &str) -> Snapshot {
        let all = self.node(mode).directory.snapshots();
        all.into_iter().find(|(of, _)| *of == name).map(|(_, snapshot)| snapshot).unwrap_or_default()
    }

    pub fn fatal(&self, mode: Mode) -> Option<String> {
        self.node(mode).fatal().borrow().clone()
    }

    /// Virtual milliseconds since the stage was built.
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Lets both nodes work until `work` is done.
    pub async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(tokio::time::timeout(LIMIT, work));
        let done = poll_fn(|cx| {
            for node in self.nodes.iter_mut().flatten() {
                let _ = Pin::new(&mut node.set).poll(cx);
            }
            work.as_mut().poll(cx)
        });
        done.await.expect("it never came to an end")
    }

    pub async fn pass(&mut self, ms: u64) {
        self.run(tokio::time::sleep(Duration::from_millis(ms))).await;
    }

    /// Lets both nodes work until `so`. How long that took, in virtual milliseconds.
    pub async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) -> u64 {
        let began = self.now();
        loop {
            if so(self) {
                return self.now() - began;
            }
            assert!(self.now() - began < LIMIT.as_millis() as u64, "never {what}: {}", self.tell());
            let mut polled = false;
            // Until something happens.
            poll_fn(|cx| {
                for node in self.nodes.iter_mut().flatten() {
                    let _ = Pin::new(&mut node.set).poll(cx);
                }
                if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// For a failing test: what both nodes have seen.
    pub fn tell(&self) -> String {
        let mut text = String::new();
        for node in self.nodes.iter().flatten() {
            let shared = &node.shared;
            let _ = write!(text, "\n{} {:?}", shared.settings.mode, shared.view());
            for record in shared.events(20) {
                let _ = write!(text, "\n    {} {:?}", record.time.0 - BEGINNING.0, record.event);
            }
        }
        text
    }

    /// `runs` is Running, the other one Standby and in sync, and a write proves it.
    pub async fn until_ready(&mut self, runs: Mode) {
        let other = if runs == Master { Backup } else { Master };
        self.until("ready", |stage| {
            let (a, b) = (stage.view(runs), stage.view(other));
            a.failover_ready && a.status == Status::Running && b.failover_ready && b.status == Status::Standby
        })
        .await;
        loop {
            let outcome = self.write(runs, pair::TAGS - 1, 0).await;
            if pair::replicated(&outcome) {
                return;
            }
            self.pass(10).await;
        }
    }

    pub fn injure(&self, mode: Mode, name: &str, how: Injure) {
        injure(&self.node(mode).directory, name, how).unwrap();
    }

    /// Sends a write; the answer comes later.
    pub fn send_write(&self, mode: Mode, tag: usize, value: i64, id: Option<&str>) -> oneshot::Receiver<WriteOutcome> {
        let path = pair::path(tag).into();
        let item = WriteItem { path, value: Value::Int64(value), quality: Quality::GOOD, time: None };
        let (reply, answer) = oneshot::channel();
        let write = Write { items: vec![item], operation: id.map(OperationId::from), reply };
        self.node(mode).directory.tag_replicator().unwrap().do_send(write);
        answer
    }

    pub async fn write(&mut self, mode: Mode, tag: usize, value: i64) -> WriteOutcome {
        let answer = self.send_write(mode, tag, value, None);
        self.run(answer).await.expect("the answer was dropped")
    }

    pub fn send_acknowledgement(&self, mode: Mode, event: EventId, id: &str) -> oneshot::Receiver<AlarmOutcome> {
        let action = AlarmAction::Acknowledge { event, comment: "seen".into() };
        let node = self.node(mode);
        let who = Who { operator: "ann".into(), node: NodeId(node.settings.node.0) };
        let (reply, answer) = oneshot::channel();
        let request = AlarmRequest { action, who, operation: Some(OperationId::from(id)) };
        node.directory.alarm_replicator().unwrap().do_send(Operate { request, reply });
        answer
    }

    pub fn send_publish(&self, mode: Mode, tag: usize, value: i64) -> oneshot::Receiver<bool> {
        let (reply, answer) = oneshot::channel();
        let time = self.node(mode).clock.wall();
        let update = Published { id: TagId(tag as u32), value: Value::Int64(value), quality: Quality::GOOD, time };
        self.node(mode).directory.tag_replicator().unwrap().do_send(Publish { updates: vec![update], reply });
        answer
    }

    pub fn press_switch(&self, mode: Mode) -> oneshot::Receiver<Result<(), String>> {
        let (reply, answer) = oneshot::channel();
        let order = SwitchOrder {
            request: 0,
            expected_epoch: 0,
            to: NodeId::default(),
            reason: "a test".into(),
            user: "ann".into(),
        };
        self.node(mode).directory.state_arbiter().unwrap().do_send(PressSwitch { order, reply });
        answer
    }

    pub fn read(&self, mode: Mode, tag: usize) -> Value {
        self.node(mode).table.read().get(TagId(tag as u32)).unwrap().value
    }

    /// The live occurrence of a tag's alarm.
    pub fn occurrence(&self, mode: Mode, tag: usize) -> Option<EventId> {
        let table = self.node(mode).alarms.read();
        table.live().find(|(id, _)| id.0 as usize == tag).map(|(_, occurrence)| occurrence.event)
    }

    /// A clean stop. When this returns, nothing of the node is left.
    pub async fn stop(&mut self, mode: Mode) {
        let shared = self.node(mode).clone();
        self.say_goodbye(&shared).await;
        drop(shared);
        self.kill(mode);
    }

    /// A clean stop of a node that somebody still holds.
    pub async fn stop_but_keep(&mut self, mode: Mode, shared: &Arc<Shared>) {
        self.say_goodbye(shared).await;
        self.nodes[place(mode)] = None;
        assert_eq!(living(&shared.directory), Vec::<&str>::new(), "actors that outlived their node");
    }

    async fn say_goodbye(&mut self, shared: &Shared) {
        let reason = "the test is over".into();
        shared.directory.state_arbiter().unwrap().do_send(Happened(Input::Shutdown { reason }));
        let mut exited = shared.exited();
        self.run(async { exited.wait_for(|exited| *exited).await.map(|_| ()) }).await.unwrap();
        self.run(shared.link.close()).await;
    }
}
