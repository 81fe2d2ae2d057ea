//! What belongs to the node and is lent to its actors: a restarted actor goes on where the last one stopped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hotpair_core::alarm_replication::{AlarmFacts, AlarmReplication, AlarmReplicationView, AlarmSettings};
use hotpair_core::alarms::{AlarmList, AlarmTable, JournalFound};
use hotpair_core::arbiter::{Arbiter, ArbiterSettings, Event, Restored, TagFacts, View};
use hotpair_core::authority::Availability;
use hotpair_core::catalog::Catalog;
use hotpair_core::failure_detector::{DetectorSettings, FailureDetector};
use hotpair_core::lineage::Lineage;
use hotpair_core::protocol::{Control, LicenseFacts, ProjectHash, Tenure};
use hotpair_core::replicator::{BATCH_UPDATES, DivergenceReport, Replicator, ReplicatorSettings, ReplicatorView};
use hotpair_core::route::data_facts;
use hotpair_core::tags::TagTable;
use hotpair_core::types::{BootId, Mode, NodeId, RecoveryMode, Seq, Status, UnixMillis};
use hotpair_core::value::Sample;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::alarm_work::AlarmWork;
use crate::clock::Clock;
use crate::connection::Network;
use crate::directory::Directory;
use crate::disk_watch::Watched;
use crate::durable::Durable;
use crate::gate::Gate;
use crate::host::{Host, Threads};
use crate::journal::JournalStore;
use crate::link::Link;

/// So many events are kept for the page.
const MAX_EVENTS: usize = 1000;
/// So many times that both nodes were Running wait to be told: they are looked for several times a second.
const MAX_DUAL_RUNNINGS: usize = 16;
/// Two tables in sync are compared anew this often.
const VERIFY_EVERY_MS: u64 = 60_000;

/// What the actors must know of the configuration. Times in milliseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's lasting identity.
    pub node: NodeId,
    /// This process.
    pub boot: BootId,
    /// `node.name`.
    pub name: String,
    /// Version of the program, for people.
    pub version: String,
    /// `redundancy.mode`.
    pub mode: Mode,
    /// `redundancy.recovery_mode`.
    pub recovery: RecoveryMode,
    /// `redundancy.failover_time_ms`.
    pub failover_time_ms: u64,
    /// `redundancy.connection_wait_time_ms`.
    pub connection_wait_time_ms: u64,
    /// `redundancy.switch_timeout_ms`.
    pub switch_timeout_ms: u64,
    /// `redundancy.replication_timeout_ms`.
    pub replication_timeout_ms: u64,
    /// `redundancy.connect_timeout_ms`.
    pub connect_timeout_ms: u64,
    /// `redundancy.ping_rate_ms`.
    pub ping_rate_ms: u64,
    /// `redundancy.ping_timeout_ms`.
    pub ping_timeout_ms: u64,
    /// `redundancy.missed_pings`.
    pub missed_pings: u32,
    /// `redundancy.fast_failover`.
    pub fast_failover: bool,
    /// Backup: host and port of the Master.
    pub master: (String, u16),
    /// Where this node serves HTTP.
    pub http: HttpAt,
    /// Hashes of the project.
    pub project: ProjectHash,
    /// What this node is licensed for.
    pub license: LicenseFacts,
    /// A hung actor is found after so long.
    pub hang_after_ms: u64,
    /// An alarm that is cleared and that nobody acknowledged for so long is acknowledged by the node; none: never.
    pub alarms_stale_after_ms: Option<u64>,
}

/// Where this node serves HTTP, as the peer is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAt {
    /// `http.advertise`; none: the link's local address and `port`.
    pub advertise: Option<String>,
    /// The port; none: no HTTP.
    pub port: Option<u16>,
    /// The address it listens on; only if that covers the link's address, its refusal proves a death.
    pub bind: Option<std::net::IpAddr>,
}

/// What was found on the disk.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The tenures of this node's data.
    pub lineage: Lineage,
    /// Counters up to here may have been taken.
    pub reserved: u64,
    /// The greatest counter seen.
    pub last_counter: u64,
    /// Retained tags are complete up to here.
    pub durable: Seq,
    /// The retained tags.
    pub retained: Vec<(Arc<str>, Sample, Seq)>,
    /// The alarms of the project, and what was found of them.
    pub alarms: FoundAlarms,
}

/// Where things are kept.
#[derive(Clone)]
pub struct Disks {
    /// Tenures, retained tags and reports.
    pub durable: Arc<dyn Durable>,
    /// The journal of the alarms.
    pub journal: Arc<dyn JournalStore>,
}

/// The alarms of the project, and what the disk knows of them.
#[derive(Clone, Debug, Default)]
pub struct FoundAlarms {
    /// The alarms.
    pub list: Arc<AlarmList>,
    /// What was found in the journal.
    pub found: JournalFound,
}

/// An event with what only the shell knows.
#[derive(Clone, Debug)]
pub struct EventRecord {
    /// When.
    pub time: UnixMillis,
    /// The node that it is about; none: the peer is not known yet.
    pub node: Option<NodeId>,
    /// What.
    pub event: Event,
}

/// Called at each event, on the control thread: it must not block.
pub type OnEvent = Box<dyn Fn(&EventRecord) + Send + Sync>;

/// Makes the file of a divergence report: its name and its content. Called on the data thread: it must not block. The
/// error is told in the log.
pub type OnReport = Box<dyn Fn(&DivergenceReport) -> Result<(String, Vec<u8>), String> + Send + Sync>;

/// See the module.
pub struct Shared {
    /// The configuration.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// May this node work as Running?
    pub gate: Gate,
    /// The tags. Readers take it for reading; only the tag replicator writes.
    pub table: RwLock<TagTable>,
    /// Always locked before `table`.
    pub(crate) replicator: Mutex<Replicator>,
    /// The alarms. Readers take it for reading; only the data thread writes. Always locked after `table`.
    pub alarms: RwLock<AlarmTable>,
    pub(crate) alarm_work: AlarmWork,
    /// The journal of the alarms.
    pub journal: Arc<dyn JournalStore>,
    alarm_version: watch::Sender<u64>,
    alarm_facts: Mutex<AlarmFacts>,
    /// Times that both nodes were Running, in milliseconds, which were not told yet.
    pub(crate) dual_runnings: Mutex<Vec<u64>>,
    pub(crate) arbiter: Mutex<Arbiter>,
    pub(crate) detector: Mutex<FailureDetector>,
    /// What must last.
    pub disk: Arc<dyn Durable>,
    pub(crate) watched_disk: Arc<Watched<dyn Durable>>,
    pub(crate) watched_journal: Arc<Watched<dyn JournalStore>>,
    /// Where the actors are.
    pub directory: Directory,
    /// The connection to the peer.
    pub link: Link,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) threads: Threads,
    facts: Mutex<TagFacts>,
    view: RwLock<View>,
    replication: RwLock<ReplicatorView>,
    events: Mutex<VecDeque<EventRecord>>,
    on_event: OnEvent,
    on_report: OnReport,
    pub(crate) peer_license: Mutex<Option<LicenseFacts>>,
    changes: watch::Sender<u64>,
    exit: watch::Sender<bool>,
    fatal: watch::Sender<Option<String>>,
    /// Round trips in microseconds.
    pub rtt: Mutex<RoundTrips>,
    switches: [AtomicU64; 2],
    tenures: [AtomicU64; 6],
    stopped: watch::Sender<bool>,
}

/// Round trips of pings.
#[derive(Clone, Debug, Default)]
pub struct RoundTrips {
    /// The last one in microseconds.
    pub last_us: Option<u64>,
    /// Not yet collected ones, in microseconds; bounded.
    pub fresh_us: Vec<u64>,
}

impl Shared {
    /// A node that has not started. The table holds what was found on the disk.
    pub fn new(
        settings: Settings,
        catalog: Arc<Catalog>,
        found: Found,
        disks: Disks,
        host: Host,
        on_event: OnEvent,
        on_report: OnReport,
    ) -> Arc<Self> {
        let clock = host.clock;
        let watched_disk = Watched::new(disks.durable, clock);
        let watched_journal = Watched::new(disks.journal, clock);
        let mut table = TagTable::new(catalog);
        for (path, sample, seq) in found.retained {
            if let Some(id) = table.catalog().find(&path) {
                table.restore(id, sample, seq);
            }
        }
        table.raise_last_seq(found.durable);
        table.finish_restore();
        let alarms = found.alarms;
        table.watch(alarms.list.watched_tags());
        let mut alarm_table = AlarmTable::new(alarms.list);
        let alarm_settings = AlarmSettings {
            node: settings.node,
            replication_timeout_ms: settings.replication_timeout_ms,
            switch_timeout_ms: settings.switch_timeout_ms,
            verify_every_ms: VERIFY_EVERY_MS,
            stale_after_ms: settings.alarms_stale_after_ms,
        };
        let machine = AlarmReplication::new(alarm_settings, alarms.found, &mut alarm_table, clock.both());
        let replicator_settings = ReplicatorSettings {
            batch_updates: BATCH_UPDATES,
            replication_timeout_ms: settings.replication_timeout_ms,
            switch_timeout_ms: settings.switch_timeout_ms,
            verify_every_ms: VERIFY_EVERY_MS,
        };
        let replicator = Replicator::new(replicator_settings, found.lineage.clone(), found.durable);
        let arbiter_settings = ArbiterSettings {
            node: settings.node,
            mode: settings.mode,
            recovery: settings.recovery,
            failover_time_ms: settings.failover_time_ms,
            connection_wait_time_ms: settings.connection_wait_time_ms,
            switch_timeout_ms: settings.switch_timeout_ms,
        };
        let authority =
            Availability { failover_time_ms: settings.failover_time_ms, fast_failover: settings.fast_failover };
        let restored = Restored { lineage: found.lineage, reserved: found.reserved, last_counter: found.last_counter };
        let arbiter = Arbiter::new(arbiter_settings, Box::new(authority), restored);
        let detector_settings = DetectorSettings {
            ping_rate_ms: settings.ping_rate_ms,
            ping_timeout_ms: settings.ping_timeout_ms,
            missed_pings: settings.missed_pings,
            failover_time_ms: settings.failover_time_ms,
        };
        let alone = settings.mode == Mode::Independent;
        Arc::new(Self {
            gate: Gate::new(if alone { u64::MAX } else { settings.failover_time_ms }),
            facts: Mutex::new(replicator.facts(&table)),
            view: RwLock::new(arbiter.view(clock.now())),
            replication: RwLock::default(),
            table: RwLock::new(table),
            replicator: Mutex::new(replicator),
            alarms: RwLock::new(alarm_table),
            alarm_work: AlarmWork::new(machine),
            journal: watched_journal.clone(),
            watched_journal,
            alarm_version: watch::Sender::new(0),
            alarm_facts: Mutex::default(),
            dual_runnings: Mutex::default(),
            arbiter: Mutex::new(arbiter),
            detector: Mutex::new(FailureDetector::new(detector_settings, clock.now())),
            disk: watched_disk.clone(),
            watched_disk,
            directory: Directory::default(),
            link: Link::default(),
            network: host.network,
            threads: host.threads,
            events: Mutex::default(),
            on_event,
            on_report,
            peer_license: Mutex::default(),
            changes: watch::Sender::new(0),
            exit: watch::Sender::new(false),
            fatal: watch::Sender::new(None),
            rtt: Mutex::default(),
            switches: Default::default(),
            tenures: Default::default(),
            stopped: watch::Sender::new(false),
            settings,
            clock,
        })
    }

    /// What the arbiter shows.
    pub fn view(&self) -> View {
        let mut view = self.view.read().clone();
        // A node that was stopped does not know yet whether it still runs.
        if view.status == Status::Running && !self.gate.is_fresh(self.clock.now()) {
            view.status = Status::Unknown;
        }
        view
    }

    pub(crate) fn show(&self, view: View) {
        let mut shown = self.view.write();
        if *shown != view {
            if let Some((_, for_ms)) = view.dual_running.filter(|_| view.dual_running != shown.dual_running) {
                let mut duals = self.dual_runnings.lock();
                if duals.len() < MAX_DUAL_RUNNINGS {
                    duals.push(for_ms);
                }
            }
            *shown = view;
            drop(shown);
            self.changed();
        }
    }

    /// What the replicator shows.
    pub fn replication(&self) -> ReplicatorView {
        self.replication.read().clone()
    }

    /// Takes what the replicator shows at this moment.
    pub fn refresh_replication(&self) {
        let replicator = self.replicator.lock();
        let view = replicator.view(&self.table.read(), self.clock.now());
        drop(replicator);
        *self.replication.write() = view;
    }

    /// Where the data of this node stands: tags and alarms.
    pub(crate) fn facts(&self) -> TagFacts {
        data_facts(*self.facts.lock(), *self.alarm_facts.lock())
    }

    pub(crate) fn set_alarm_facts(&self, facts: AlarmFacts) {
        *self.alarm_facts.lock() = facts;
    }

    pub(crate) fn alarms_changed(&self, version: u64) {
        self.alarm_version.send_replace(version);
    }

    /// The version of the alarm table, as it grows.
    pub fn alarm_changes(&self) -> watch::Receiver<u64> {
        self.alarm_version.subscribe()
    }

    /// What is shown of the replication of alarms.
    pub fn alarm_replication(&self) -> AlarmReplicationView {
        self.alarm_work.machine.lock().view()
    }

    pub(crate) fn set_facts(&self, facts: TagFacts) {
        *self.facts.lock() = facts;
    }

    /// Something that status shows has changed.
    pub fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    /// A number that grows whenever something changes that status shows.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn record(&self, event: Event) {
        if !event.peer && event.to == Status::Running {
            self.tenures[event.tenure as usize].fetch_add(1, Ordering::Relaxed);
        }
        let peer = self.link.greeting().map(|greeting| greeting.node);
        let node = if event.peer { peer } else { Some(self.settings.node) };
        let record = EventRecord { time: self.clock.wall(), node, event };
        (self.on_event)(&record);
        let mut events = self.events.lock();
        if events.len() >= MAX_EVENTS {
            events.pop_front();
        }
        events.push_back(record);
        drop(events);
        self.changed();
    }

    pub(crate) fn report_file(&self, report: &DivergenceReport) -> Result<(String, Vec<u8>), String> {
        (self.on_report)(report)
    }

    /// The last events, newest first.
    pub fn events(&self, limit: usize) -> Vec<EventRecord> {
        self.events.lock().iter().rev().take(limit).cloned().collect()
    }

    /// What the peer said of its licence.
    pub fn peer_license(&self) -> Option<LicenseFacts> {
        self.peer_license.lock().clone()
    }

    /// Missed pings: in a row now, and ever on an open link.
    pub fn missed_pings(&self) -> (u32, u64) {
        self.detector.lock().missed()
    }

    /// Milliseconds since the peer's last sign of life.
    pub fn last_seen_ms(&self) -> u64 {
        self.clock.now().since(self.detector.lock().last_sign())
    }

    /// Sends a control message to the peer of any link, if there is one.
    pub(crate) fn tell_peer(&self, message: Control) {
        self.link.send(None, message);
    }

    /// The node said goodbye.
    pub fn exited(&self) -> watch::Receiver<bool> {
        self.exit.subscribe()
    }

    pub(crate) fn exit(&self) {
        self.exit.send_replace(true);
    }

    /// The actors' threads are to end.
    pub fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    /// Ends the actors' threads.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// How many tenures of this node began so.
    pub fn tenures_begun(&self, how: Tenure) -> u64 {
        self.tenures[how as usize].load(Ordering::Relaxed)
    }

    /// Why the node must end its process; none: it need not.
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.fatal.subscribe()
    }

    pub(crate) fn die(&self, reason: String) {
        self.fatal.send_if_modified(|fatal| {
            let first = fatal.is_none();
            fatal.get_or_insert(reason);
            first
        });
    }

    /// Switches asked for at this node: done, and refused.
    pub fn switches(&self) -> (u64, u64) {
        (self.switches[0].load(Ordering::Relaxed), self.switches[1].load(Ordering::Relaxed))
    }

    pub(crate) fn count_switch(&self, done: bool) {
        self.switches[usize::from(!done)].fetch_add(1, Ordering::Relaxed);
    }
}
