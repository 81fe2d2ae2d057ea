//! A machine with the alarms of the system, and the words to talk to it.

use std::sync::Arc;

use crate::alarm_replication::{
    AlarmEffect, AlarmFrame, AlarmInput, AlarmReplication, AlarmSettings, ReadFor, decode, encode,
};
use crate::alarms::{AlarmAction, AlarmEntry, AlarmList, AlarmRequest, AlarmTable, JournalFound, SystemAlarm, Who};
use crate::arbiter::Leader;
use crate::catalog::Catalog;
use crate::lineage::{Fork, Lineage};
use crate::replicator::Now;
use crate::tags::TagTable;
use crate::types::{Epoch, Millis, NodeId, UnixMillis};
use crate::value::Value;
use crate::wire::HEADER_BYTES;

pub const REPLICATION_TIMEOUT: u64 = 500;

pub fn epoch(counter: u64) -> Epoch {
    Epoch { counter, node: NodeId(1 + counter % 2) }
}

pub fn lineage(counter: u64) -> Lineage {
    Lineage::new(vec![Fork { epoch: epoch(counter), at: 0 }])
}

pub struct Stage {
    pub machine: AlarmReplication,
    pub table: AlarmTable,
    tags: TagTable,
    pub now: u64,
}

impl Stage {
    /// A node that found this in its journal.
    pub fn new(found: JournalFound) -> Self {
        let settings = AlarmSettings {
            node: NodeId(1),
            replication_timeout_ms: REPLICATION_TIMEOUT,
            switch_timeout_ms: 5000,
            verify_every_ms: 60_000,
            stale_after_ms: None,
        };
        let mut table = AlarmTable::new(Arc::new(AlarmList::new(Vec::new()).unwrap()));
        let now = Now { mono: Millis(1000), wall: UnixMillis(1_000_000) };
        let machine = AlarmReplication::new(settings, found, &mut table, now);
        let tags = TagTable::new(Arc::new(Catalog::new(Vec::new()).unwrap()));
        Self { machine, table, tags, now: 1000 }
    }

    pub fn hear(&mut self, input: AlarmInput<'_>) -> Vec<AlarmEffect> {
        let now = Now { mono: Millis(self.now), wall: UnixMillis(1_000_000 + self.now.cast_signed()) };
        self.machine.handle(&mut self.table, &self.tags, input, now)
    }

    pub fn frame(&mut self, frame: &AlarmFrame) -> Vec<AlarmEffect> {
        let frame = encode(frame).unwrap();
        self.hear(AlarmInput::Frame(&frame[HEADER_BYTES..]))
    }

    /// It leads under this counter.
    pub fn lead(&mut self, counter: u64) {
        self.hear(AlarmInput::LinkUp);
        self.hear(AlarmInput::LaneUp);
        self.hear(AlarmInput::Lead(lineage(counter)));
    }

    /// It follows a Running leader of this counter.
    pub fn follow(&mut self, counter: u64) -> Vec<AlarmEffect> {
        self.hear(AlarmInput::LinkUp);
        self.hear(AlarmInput::LaneUp);
        self.hear(AlarmInput::Follow(Leader { lineage: lineage(counter), applied: 0, running: true }))
    }

    /// What a follower holds that lacks nothing.
    pub fn held(&self) -> Vec<(Epoch, u64)> {
        self.machine.held().iter().map(|(origin, last)| (*origin, *last)).collect()
    }

    /// A follower that holds this asks for the alarms.
    pub fn is_asked(&mut self, sync: u64, leader: u64, held: Vec<(Epoch, u64)>) -> Vec<AlarmEffect> {
        self.frame(&AlarmFrame::Follow { sync, leader: epoch(leader), held, more: false })
    }

    /// The follower compared, and has so much.
    pub fn is_live(&mut self, sync: u64, applied: u64, stored: Option<u64>) -> Vec<AlarmEffect> {
        let mut effects = self.frame(&AlarmFrame::Compared { sync, equal: true });
        effects.extend(self.frame(&AlarmFrame::Confirm { sync, applied, stored }));
        effects
    }

    pub fn lose_peer(&mut self, lost: bool) -> Vec<AlarmEffect> {
        self.hear(AlarmInput::System(&[(SystemAlarm::PeerLost, lost.then_some(Value::Bool(true)))]))
    }

    /// An operator acknowledges what is live.
    pub fn acknowledge(&mut self, ticket: u64, operation: &str) -> Vec<AlarmEffect> {
        let event = self.table.live().next().unwrap().1.event;
        let action = AlarmAction::Acknowledge { event, comment: "".into() };
        let request = AlarmRequest { action, who: Who::default(), operation: Some(operation.into()) };
        self.hear(AlarmInput::Request { ticket, request })
    }

    pub fn comment(&mut self, ticket: u64) -> Vec<AlarmEffect> {
        let event = self.table.live().next().unwrap().1.event;
        let action = AlarmAction::Comment { event, comment: "well".into() };
        let request = AlarmRequest { action, who: Who::default(), operation: None };
        self.hear(AlarmInput::Request { ticket, request })
    }
}

pub fn frames(effects: &[AlarmEffect]) -> Vec<AlarmFrame> {
    let frame = |effect: &AlarmEffect| match effect {
        AlarmEffect::ToLane(frame) => Some(decode(&frame[HEADER_BYTES..]).unwrap()),
        _ => None,
    };
    effects.iter().filter_map(frame).collect()
}

/// Purpose and first position of each read.
pub fn reads(effects: &[AlarmEffect]) -> Vec<(ReadFor, u64)> {
    let read = |effect: &AlarmEffect| match effect {
        AlarmEffect::Read { purpose, from, .. } => Some((*purpose, *from)),
        _ => None,
    };
    effects.iter().filter_map(read).collect()
}

/// Ticket and `replicated` of each request that was done.
pub fn answers(effects: &[AlarmEffect]) -> Vec<(u64, bool)> {
    let answer = |effect: &AlarmEffect| match effect {
        AlarmEffect::Answer { ticket, outcome: crate::protocol::AlarmOutcome::Done { replicated, .. } } => {
            Some((*ticket, *replicated))
        }
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

/// Entries of a log of an earlier tenure: comments that nobody misses.
pub fn log(counter: u64, positions: std::ops::RangeInclusive<u64>) -> Vec<Arc<AlarmEntry>> {
    let mut writer = Stage::new(JournalFound::default());
    writer.lead(counter);
    let raised = entries(&writer.lose_peer(true));
    let template = raised.first().unwrap().clone();
    positions
        .map(|position| {
            let kind = crate::alarms::EntryKind::Commented;
            Arc::new(AlarmEntry { position, kind, comment: format!("{position}").into(), ..(*template).clone() })
        })
        .collect()
}

/// The entries of a batch that goes to disk.
pub fn entries(effects: &[AlarmEffect]) -> Vec<Arc<AlarmEntry>> {
    let batch = |effect: &AlarmEffect| match effect {
        AlarmEffect::Store(batch) => Some(batch.entries.clone()),
        _ => None,
    };
    effects.iter().filter_map(batch).flatten().collect()
}
