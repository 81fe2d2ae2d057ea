//! A node as its shells keep it: a disk that stays, and a process that comes and goes.

use std::collections::VecDeque;
use std::sync::Arc;

use hotpair_core::alarm_replication::{AlarmInput, AlarmReplication, AlarmSettings};
use hotpair_core::alarms::{AlarmList, AlarmRequest, AlarmTable};
use hotpair_core::arbiter::{Arbiter, ArbiterSettings, Input, Restored, TagFacts};
use hotpair_core::authority::Availability;
use hotpair_core::catalog::Catalog;
use hotpair_core::failure_detector::{DetectorSettings, FailureDetector};
use hotpair_core::lineage::Lineage;
use hotpair_core::protocol::{Control, Greeting, LicenseFacts};
use hotpair_core::replicator::{Now, Published, Replicator, ReplicatorSettings, TagInput, WriteOrder};
use hotpair_core::route::data_facts;
use hotpair_core::tags::TagTable;
use hotpair_core::types::{Epoch, Millis, Mode, NodeId, UnixMillis};

use crate::disk::Disk;
use crate::fault::Returns;
use crate::journal::Journal;
use crate::link::LinkMail;
use crate::plan::Plan;
use crate::world::Event;

pub const PING_RATE_MS: u64 = 100;
/// So many seconds pass before the first event, so that no clock begins at 0.
const WALL_START_MS: i64 = 1_700_000_000_000;

pub struct Node {
    pub id: NodeId,
    pub name: &'static str,
    pub mode: Mode,
    pub catalog: Arc<Catalog>,
    pub alarm_list: Arc<AlarmList>,
    pub disk: Disk,
    pub journal: Journal,
    /// Its machine answers, if only with "refused".
    pub machine: bool,
    pub boots: u64,
    pub process: Option<Process>,
    pub paused: bool,
    /// What came while it was paused.
    pub stash: VecDeque<Event>,
    steady: Steady,
    pub wall_offset_ms: i64,
    /// Which project it has, and which licence.
    pub project: usize,
    pub licensed: usize,
    /// So many disks it has had.
    pub disks: u64,
    /// How it will be when it is started again.
    pub returns: Returns,
}

/// A clock that never goes back, but not at the world's speed.
#[derive(Clone, Copy)]
struct Steady {
    /// It showed this at that moment; both in microseconds.
    showed: u64,
    at: u64,
    /// It runs too fast by so many millionths.
    ppm: i64,
}

impl Steady {
    fn us(self, now: u64) -> u64 {
        let passed = (now - self.at) * 1_000_000u64.saturating_add_signed(self.ppm) / 1_000_000;
        self.showed + passed
    }
}

pub struct Process {
    pub boot: u64,
    pub arbiter: Arbiter,
    pub replicator: Replicator,
    pub table: TagTable,
    pub alarms: AlarmReplication,
    pub alarm_table: AlarmTable,
    /// The tenure that it was told to lead under last.
    pub leads_under: Option<Epoch>,
    /// The tenures that its data went through.
    pub through: Lineage,
    /// A tenure begins: those before it.
    pub goes_on_from: Option<Lineage>,
    /// The shells' gate: open while this node leads, as far as its arbiter knows, and its own heart beats.
    /// How often it was closed, and which permit opened it last.
    pub closed: u64,
    pub opened: u64,
    pub beat: Millis,
    /// So long a packet of a control connection took at most since it started.
    pub slowest_us: u64,
    /// When it went on after it had stood still.
    pub went_on_at: Option<u64>,
    pub detector: FailureDetector,
    /// The control connection as the link knows it, and as arbiter and replicator were told.
    pub link: Option<u64>,
    pub arbiter_link: Option<u64>,
    pub tags_link: Option<u64>,
    pub tags_lane: Option<u64>,
    /// The last control connection that was taken, and who is at its other end.
    pub generation: u64,
    pub peer: Option<Box<Greeting>>,
    /// Connections of which the greeting is under way.
    pub attempts: Vec<Attempt>,
    /// Those that passed it, and what came on them before PeerLink took them.
    pub passed: Vec<u64>,
    pub early: Vec<(u64, Control)>,
    /// Number of the present endless attempt; its next pause.
    pub seeking: u64,
    pub pause_us: u64,
    /// The peer's address for proofs of death answered once.
    pub alive_at: bool,
    pub peer_license: Option<LicenseFacts>,
    /// What lies in each mailbox, and when the last message will be read.
    pub mailboxes: [VecDeque<Mail>; MAILBOXES],
    pub mailbox_until: [u64; MAILBOXES],
    /// An actor that panicked reads nothing until then.
    pub dead_until: [u64; MAILBOXES],
    /// It will panic over the next message, and be dead for so long.
    pub torn_by_next: [Option<Torn>; MAILBOXES],
    pub disk_trouble: bool,
    /// Number of the chain of pings that goes on.
    pub pings: u64,
    pub timer_at: [Option<u64>; 3],
    pub ticks_in_vain: [u32; 3],
}

/// A connection of which the greeting is under way.
pub struct Attempt {
    pub conn: u64,
    /// Of the endless attempt that it belongs to.
    pub token: Option<u64>,
    pub theirs: Option<Box<Greeting>>,
}

/// Arbiter, tags, alarms, link, heartbeat.
pub const MAILBOXES: usize = 5;

/// An actor will panic in the middle of its next step, and its node end; how long until that comes back.
#[derive(Clone, Copy)]
pub struct Torn {
    pub lasts: u64,
    /// Percent of what is on its way to the disk.
    pub written: u64,
}

/// What lies in a mailbox.
pub enum Mail {
    Arbiter(Input),
    ArbiterUp(u64, Box<Greeting>),
    ArbiterDown,
    Tags(TagInput<'static>),
    /// The arbiter's word to lead, with its permit.
    Lead(TagInput<'static>, u64),
    Write(WriteOrder),
    Publish(Vec<Published>),
    TagsUp(u64),
    TagsDown,
    OpenLane(u64),
    LaneEnded(u64),
    CloseLane,
    Frame(u64, Vec<u8>),
    Alarms(AlarmInput<'static>),
    Operate(u64, AlarmRequest),
    Link(LinkMail),
    Beat(Control),
    LinkChanged(bool),
}

impl Mail {
    pub fn place(&self) -> usize {
        match self {
            Self::Arbiter(_) | Self::ArbiterUp(..) | Self::ArbiterDown => 0,
            Self::Alarms(_) | Self::Operate(..) => 2,
            Self::Link(_) => 3,
            Self::Beat(_) | Self::LinkChanged(_) => 4,
            _ => 1,
        }
    }
}

impl Process {
    /// Where its data stands.
    pub fn facts(&self) -> TagFacts {
        data_facts(self.replicator.facts(&self.table), self.alarms.facts())
    }

    /// Its own heart beats.
    pub fn is_fresh(&self, now: Millis, failover_time_ms: u64) -> bool {
        now.since(self.beat) < failover_time_ms
    }

    pub fn gate_is_open(&self, now: Millis, failover_time_ms: u64) -> bool {
        self.opened == self.closed && self.is_fresh(now, failover_time_ms)
    }
}

impl Node {
    pub fn new(index: usize, plan: &Plan) -> Self {
        let mode = [Mode::Master, Mode::Backup][index];
        Self {
            id: NodeId(0xA0 + index as u64),
            name: ["Master", "Backup"][index],
            mode,
            catalog: plan.projects[plan.project_of[index]].catalog.clone(),
            alarm_list: plan.projects[plan.project_of[index]].alarms.clone(),
            disk: Disk::default(),
            journal: Journal::default(),
            machine: false,
            boots: 0,
            process: None,
            paused: false,
            stash: VecDeque::new(),
            steady: Steady { showed: plan.mono_offset_ms[index] * 1000, at: 0, ppm: 0 },
            wall_offset_ms: plan.wall_offset_ms[index],
            project: plan.project_of[index],
            licensed: 0,
            disks: 1,
            returns: Returns::AsItWas,
        }
    }

    pub fn mono(&self, now_us: u64) -> Millis {
        Millis(self.steady.us(now_us) / 1000)
    }

    /// When this node's clock shows `at`.
    pub fn moment(&self, at: Millis) -> u64 {
        let Steady { showed, at: since, ppm } = self.steady;
        let speed = u128::from(1_000_000u64.saturating_add_signed(ppm));
        let wanted = u128::from(at.0.saturating_mul(1000).saturating_sub(showed)) * 1_000_000;
        since.saturating_add(u64::try_from(wanted.div_ceil(speed)).unwrap_or(u64::MAX))
    }

    /// From now on its steady clock runs at this speed.
    pub fn drift(&mut self, ppm: i64, now_us: u64) {
        self.steady = Steady { showed: self.steady.us(now_us), at: now_us, ppm };
    }

    pub fn license(&self) -> LicenseFacts {
        let modules = if self.licensed == 0 { vec!["history".to_owned()] } else { Vec::new() };
        LicenseFacts { modules, invalid: String::new() }
    }

    /// It will start with what it did not have before.
    pub fn change(&mut self, returns: Returns, plan: &Plan) {
        match returns {
            Returns::AsItWas => {}
            Returns::WithoutDisk => {
                // The new disk draws a new identity.
                self.id.0 += 2;
                self.disks += 1;
                (self.disk, self.journal) = (self.disk.fresh(), self.journal.fresh());
            }
            Returns::WithOtherProject => {
                self.project = 1 - self.project;
                self.catalog = plan.projects[self.project].catalog.clone();
                self.alarm_list = plan.projects[self.project].alarms.clone();
            }
            Returns::WithOtherLicense => self.licensed = 1 - self.licensed,
        }
    }

    pub fn wall(&self, now_us: u64) -> UnixMillis {
        UnixMillis(WALL_START_MS + (now_us / 1000).cast_signed() + self.wall_offset_ms)
    }

    /// Alive and not stopped.
    pub fn works(&self) -> bool {
        self.process.is_some() && !self.paused
    }

    /// A new process finds what is on the disk.
    pub fn boot(&mut self, plan: &Plan, now_us: u64) {
        self.boots += 1;
        self.machine = true;
        let stored = &self.disk.stored;
        let mut table = TagTable::new(self.catalog.clone());
        for (path, (sample, seq)) in &stored.retained {
            if let Some(id) = self.catalog.find(path) {
                table.restore(id, sample.clone(), *seq);
            }
        }
        table.raise_last_seq(stored.durable);
        table.finish_restore();
        table.watch(self.alarm_list.watched_tags());
        let mut alarm_table = AlarmTable::new(self.alarm_list.clone());
        let alarm_settings = AlarmSettings {
            node: self.id,
            replication_timeout_ms: plan.replication_timeout_ms,
            switch_timeout_ms: plan.switch_timeout_ms,
            verify_every_ms: plan.verify_every_ms,
            stale_after_ms: plan.stale_after_ms,
        };
        let now = Now { mono: self.mono(now_us), wall: self.wall(now_us) };
        let alarms = AlarmReplication::new(alarm_settings, self.journal.found(now.wall), &mut alarm_table, now);
        let settings = ArbiterSettings {
            node: self.id,
            mode: self.mode,
            recovery: plan.recovery,
            failover_time_ms: plan.failover_time_ms,
            connection_wait_time_ms: plan.connection_wait_time_ms,
            switch_timeout_ms: plan.switch_timeout_ms,
        };
        let authority = Availability { failover_time_ms: plan.failover_time_ms, fast_failover: plan.fast_failover };
        let restored =
            Restored { lineage: stored.lineage.clone(), reserved: stored.reserved, last_counter: stored.last_counter };
        let replication = ReplicatorSettings {
            batch_updates: plan.batch_updates,
            replication_timeout_ms: plan.replication_timeout_ms,
            switch_timeout_ms: plan.switch_timeout_ms,
            verify_every_ms: plan.verify_every_ms,
        };
        let detector = DetectorSettings {
            ping_rate_ms: PING_RATE_MS,
            ping_timeout_ms: 300,
            missed_pings: 3,
            failover_time_ms: plan.failover_time_ms,
        };
        self.process = Some(Process {
            boot: self.boots,
            arbiter: Arbiter::new(settings, Box::new(authority), restored),
            replicator: Replicator::new(replication, stored.lineage.clone(), stored.durable),
            table,
            alarms,
            alarm_table,
            leads_under: None,
            through: stored.lineage.clone(),
            goes_on_from: None,
            closed: 1,
            opened: 0,
            beat: now.mono,
            slowest_us: 0,
            went_on_at: None,
            detector: FailureDetector::new(detector, self.mono(now_us)),
            link: None,
            arbiter_link: None,
            tags_link: None,
            tags_lane: None,
            generation: 0,
            peer: None,
            attempts: Vec::new(),
            passed: Vec::new(),
            early: Vec::new(),
            seeking: 0,
            pause_us: 0,
            alive_at: false,
            peer_license: None,
            mailboxes: Default::default(),
            mailbox_until: [0; MAILBOXES],
            dead_until: [0; MAILBOXES],
            torn_by_next: [None; MAILBOXES],
            disk_trouble: false,
            pings: 0,
            timer_at: [None; 3],
            ticks_in_vain: [0; 3],
        });
    }
}
