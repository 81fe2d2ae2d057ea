//! A node as its shells keep it: a disk that stays, and a process that comes and goes.

use std::collections::VecDeque;
use std::sync::Arc;

use hotpair_core::alarm_replication::{AlarmInput, AlarmReplication, AlarmSettings};
use hotpair_core::alarms::{AlarmList, AlarmRequest, AlarmTable};
use hotpair_core::arbiter::{Arbiter, ArbiterSettings, Input, Restored, TagFacts};
use hotpair_core::authority::Availability;
use hotpair_core::catalog::Catalog;
use hotpair_core::failure_detector::{DetectorSettings, FailureDetector};
use hotpair_core::protocol::Greeting;
use hotpair_core::replicator::{Now, Replicator, ReplicatorSettings, TagInput};
use hotpair_core::route::data_facts;
use hotpair_core::tags::TagTable;
use hotpair_core::types::{Epoch, Millis, Mode, NodeId, UnixMillis};

use crate::disk::Disk;
use crate::journal::Journal;
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
    pub mono_offset_ms: u64,
    pub wall_offset_ms: i64,
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
    /// The shells' gate: open while this node leads, as far as its arbiter knows, and its own heart beats.
    pub gate: bool,
    pub beat: Millis,
    pub detector: FailureDetector,
    /// The control connection as the link knows it, and as arbiter and replicator were told.
    pub link: Option<u64>,
    pub arbiter_link: Option<u64>,
    pub tags_link: Option<u64>,
    pub lane: Option<u64>,
    pub tags_lane: Option<u64>,
    /// A connection of which the greeting is under way, and since when.
    pub greeting: Option<(u64, u64, Option<Box<Greeting>>)>,
    /// Its last connection was lost: a refused one proves something.
    pub lost: bool,
    /// When the last message of each mailbox will be read.
    pub mailbox_until: [u64; 3],
    pub timer_at: [Option<u64>; 3],
    pub ticks_in_vain: [u32; 3],
}

/// What lies in a mailbox.
pub enum Mail {
    Arbiter(Input),
    ArbiterUp(u64, Box<Greeting>),
    ArbiterDown(u64),
    Tags(TagInput<'static>),
    TagsUp(u64),
    TagsDown,
    LaneUp(u64),
    LaneDown,
    Frame(u64, Vec<u8>),
    Alarms(AlarmInput<'static>),
    Operate(u64, AlarmRequest),
}

impl Mail {
    pub fn place(&self) -> usize {
        match self {
            Self::Arbiter(_) | Self::ArbiterUp(..) | Self::ArbiterDown(_) => 0,
            Self::Alarms(_) | Self::Operate(..) => 2,
            _ => 1,
        }
    }
}

impl Process {
    /// Where its data stands.
    pub fn facts(&self) -> TagFacts {
        data_facts(self.replicator.facts(&self.table), self.alarms.facts())
    }

    /// A node that leads and was told to stop, or stood still, waits for the word of its arbiter.
    pub fn may_act(&self, now: Millis, failover_time_ms: u64) -> bool {
        !self.alarms.leads() || self.gate && now.since(self.beat) < failover_time_ms
    }
}

impl Node {
    pub fn new(index: usize, plan: &Plan) -> Self {
        let mode = [Mode::Master, Mode::Backup][index];
        Self {
            id: NodeId(0xA0 + index as u64),
            name: ["Master", "Backup"][index],
            mode,
            catalog: plan.catalogs[index].clone(),
            alarm_list: plan.alarm_lists[index].clone(),
            disk: Disk::default(),
            journal: Journal::default(),
            machine: false,
            boots: 0,
            process: None,
            paused: false,
            stash: VecDeque::new(),
            mono_offset_ms: plan.mono_offset_ms[index],
            wall_offset_ms: plan.wall_offset_ms[index],
        }
    }

    pub fn mono(&self, now_us: u64) -> Millis {
        Millis(now_us / 1000 + self.mono_offset_ms)
    }

    /// When this node's clock shows `at`.
    pub fn moment(&self, at: Millis) -> u64 {
        at.0.saturating_sub(self.mono_offset_ms).saturating_mul(1000)
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
            gate: false,
            beat: now.mono,
            detector: FailureDetector::new(detector, self.mono(now_us)),
            link: None,
            arbiter_link: None,
            tags_link: None,
            lane: None,
            tags_lane: None,
            greeting: None,
            lost: false,
            mailbox_until: [0; 3],
            timer_at: [None; 3],
            ticks_in_vain: [0; 3],
        });
    }
}
