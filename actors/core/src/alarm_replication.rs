//! Keeping the alarms of two nodes equal, and their journals complete.
//!
//! One machine a node, beside its [`AlarmTable`]. Whoever *leads* judges values and writes entries into the log of its
//! tenure; each goes to disk and, with its effect on the states, to the other node, which *follows*. Journals are united
//! log by log: each side gives what the other's lacks. What a Running node holds of other tenures without having taken
//! it into account in its states, after a split, it *absorbs*.
//!
//! One file a chapter: `feeding` (the leader's side), `following`, `tail` (journal entries that the other lacks),
//! `storing` (to disk, in order, nothing twice), `absorbing`, `requests` (what operators ask for), `operations` (once
//! only), `frames` (what both sides say).

mod absorbing;
mod feeding;
mod following;
mod frames;
mod io;
mod operations;
mod requests;
mod storing;
mod tail;
#[cfg(test)]
mod tests;

pub use frames::{AlarmFrame, AlarmItem, decode, encode};
pub use io::{AlarmEffect, AlarmFacts, AlarmForward, AlarmInput, AlarmReplicationView, ReadFor};

use std::sync::Arc;

use crate::alarms::{
    AlarmChange, AlarmEngine, AlarmEntry, AlarmKey, AlarmState, AlarmTable, EngineSettings, JournalFound, Pen,
    Positions, Shelf, SystemAlarm, dual_running,
};
use crate::arbiter::{Input, Leader};
use crate::catalog::TagId;
use crate::lineage::Lineage;
use crate::mutant::{self, Mutant};
use crate::protocol::Control;
use crate::replicator::Now;
use crate::tags::TagTable;
use crate::types::{Millis, NodeId, Seq, UnixMillis};
use crate::value::{Sample, Value};
use absorbing::Absorbing;
use feeding::Feeding;
use following::Following;
use operations::Operations;
use requests::Requests;
use storing::Storing;
use tail::Tail;

/// No log is that long: what is held always has a next position.
const LAST_POSITION: u64 = u64::MAX;

/// What the machine must know of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct AlarmSettings {
    /// This node.
    pub node: NodeId,
    /// A request waits so long for the peer's word.
    pub replication_timeout_ms: u64,
    /// A request waits so long for the end of a switch.
    pub switch_timeout_ms: u64,
    /// How often two tables in sync are compared anew.
    pub verify_every_ms: u64,
    /// An alarm that is cleared and that nobody acknowledged for so long is acknowledged by the system.
    pub stale_after_ms: Option<u64>,
}

/// Whether this node judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It judges and takes requests.
    Leading,
    /// It does neither for the moment.
    Quiesced,
    /// The peer leads, or nobody does.
    Standby,
}

/// The state machine beside an alarm table.
pub struct AlarmReplication {
    settings: AlarmSettings,
    role: Role,
    engine: AlarmEngine,
    pen: Pen,
    /// The bulk connection is up.
    lane: bool,
    /// The control connection is up.
    linked: bool,
    /// The last position of each log that is in this journal, or on its way to it.
    held: Positions,
    /// Up to where the states take each log into account.
    included: Positions,
    storing: Storing,
    leader: Option<Leader>,
    /// It gave Running away, and whom to follow is still on its way here.
    between_leaders: bool,
    following: Option<Following>,
    feeding: Option<Feeding>,
    /// What the other side of the present sync lacks.
    tail: Option<Tail>,
    /// Frames of entries that came in the present sync and are on disk.
    entries_frames: u64,
    /// Of those that are not yet: the store that has them when it is done.
    entries_storing: std::collections::VecDeque<u64>,
    absorbing: Option<Absorbing>,
    operations: Operations,
    requests: Requests,
    /// The last change, for the arbiter; and so long this node's own disk is waited for.
    quiescing: Option<(Seq, Millis)>,
    /// It leads, and must not act on its own before it knows who runs: it stood still.
    fenced: bool,
    /// Changes were not judged, because the disk did not take what they would have caused.
    unjudged: bool,
    mismatches: u32,
    next_sync: u64,
    /// Number of the last follower's sync.
    feedings: u64,
    /// Number of the last read.
    reads: u64,
    entries_total: u64,
    told: AlarmFacts,
    changes: Vec<AlarmChange>,
    effects: Vec<AlarmEffect>,
}

impl AlarmReplication {
    /// Beside a table, which gets what was found on the disk.
    pub fn new(settings: AlarmSettings, found: JournalFound, table: &mut AlarmTable, now: Now) -> Self {
        let states = found.states.into_iter().map(|(key, state)| (key, AlarmState::from_portable(state, now.mono)));
        let shelves = found.shelves.into_iter().map(|shelf| Shelf::from_portable(shelf, now.mono));
        table.replace(states.collect(), shelves.collect());
        let mut operations = Operations::default();
        for entry in &found.operations {
            operations.remember(entry, now.mono);
        }
        let epoch = crate::types::Epoch::NONE;
        Self {
            role: Role::Standby,
            engine: AlarmEngine::new(EngineSettings { stale_after_ms: settings.stale_after_ms }),
            pen: Pen { origin: epoch, next: 1, node: settings.node },
            lane: false,
            linked: false,
            held: found.held,
            included: found.included,
            storing: Storing::default(),
            leader: None,
            between_leaders: false,
            following: None,
            feeding: None,
            tail: None,
            entries_frames: 0,
            entries_storing: std::collections::VecDeque::new(),
            absorbing: None,
            operations,
            requests: Requests::default(),
            quiescing: None,
            fenced: false,
            unjudged: false,
            mismatches: 0,
            next_sync: 1,
            feedings: 0,
            reads: 0,
            entries_total: 0,
            told: AlarmFacts::default(),
            changes: Vec::new(),
            effects: Vec::new(),
            settings,
        }
    }

    /// Takes in what happened and says what is to be done, in this order. `tags` is what alarms are judged on.
    pub fn handle(
        &mut self,
        table: &mut AlarmTable,
        tags: &TagTable,
        input: AlarmInput<'_>,
        now: Now,
    ) -> Vec<AlarmEffect> {
        if self.role != Role::Standby {
            // Should a panic have lost an entry, the log has no gap.
            self.pen.next = self.held.get(&self.pen.origin).map_or(1, |last| last.saturating_add(1));
        }
        match input {
            AlarmInput::Lead(lineage) => self.lead(table, tags, &lineage, now),
            AlarmInput::Quiesce { last } => self.quiesce(last, now.mono),
            AlarmInput::Pause => self.pause(),
            AlarmInput::Resume => self.resume(table, tags, now),
            AlarmInput::RefuseWaiting => self.refuse_waiting(),
            AlarmInput::StandBy => self.stand_by(),
            AlarmInput::Follow(leader) => self.follow(table, leader, now),
            AlarmInput::LaneUp => {
                self.lane = true;
                self.request_sync();
            }
            AlarmInput::LaneDown => self.lane_down(),
            AlarmInput::LinkUp => self.linked = true,
            AlarmInput::LinkDown => self.link_down(),
            AlarmInput::Frame(body) => self.frame(table, body, now),
            AlarmInput::Changed(changes) => self.judge(table, changes, now),
            AlarmInput::DualRunning { for_ms } => self.tell_dual_running(table, for_ms, now),
            AlarmInput::System(conditions) => self.judge_system(table, conditions, now),
            AlarmInput::Request { ticket, request } => {
                self.request(table, requests::Origin::Here(ticket), request, now);
            }
            AlarmInput::Forward(forward) => self.forwarded_here(table, forward, now),
            AlarmInput::Forwarded { id, outcome } => self.forward_answered(table, id, outcome, now),
            AlarmInput::Stored(result) => self.stored(result, now.mono),
            AlarmInput::Read { purpose: ReadFor::Peer(number), origin, entries } => {
                self.tail_read(number, origin, entries, now.mono);
            }
            AlarmInput::Read { purpose: ReadFor::Absorbing(number), origin, entries } => {
                self.absorb_read(number, origin, entries, now.mono);
            }
            AlarmInput::Tick => {}
        }
        self.take_what_waited_behind_the_fence(table, now);
        self.settle(table, tags, now);
        std::mem::take(&mut self.effects)
    }

    /// When [`AlarmInput::Tick`] is wanted next.
    pub fn next_deadline(&self) -> Option<Millis> {
        // What only a leader that judges does is not waited for by one that doesn't.
        let judges = self.role == Role::Leading && !self.unjudged && !self.fenced;
        [
            self.engine.next_deadline().filter(|_| judges),
            self.storing.deadline(),
            self.quiescing.map(|(_, until)| until).filter(|_| !self.feeding.as_ref().is_some_and(Feeding::is_live)),
            self.requests.deadline(),
            self.following.as_ref().and_then(Following::deadline),
            self.feeding.as_ref().and_then(|feeding| feeding.deadline(self.settings.replication_timeout_ms)),
            self.tail.as_ref().and_then(Tail::deadline),
            self.absorbing.as_ref().filter(|_| judges).and_then(Absorbing::deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether this node, if it leads, must do nothing of its own before it knows who runs: see the gate.
    pub fn set_fenced(&mut self, fenced: bool) {
        self.fenced = fenced;
    }

    /// Whether this node judges and takes requests now.
    pub fn leads(&self) -> bool {
        self.role == Role::Leading
    }

    /// Whether nothing is judged because more waits for the disk than may.
    pub fn is_suspended(&self) -> bool {
        self.role == Role::Leading && self.unjudged
    }

    /// Where the alarms stand, for arbitration.
    pub fn facts(&self) -> AlarmFacts {
        let unfed = self.feeding.as_ref().is_none_or(|feeding| !feeding.is_live());
        AlarmFacts {
            in_sync: self.following.as_ref().is_some_and(Following::in_sync),
            lagging: self.role != Role::Standby && (unfed || self.requests.lags()),
        }
    }

    /// What is shown of the replication.
    pub fn view(&self) -> AlarmReplicationView {
        AlarmReplicationView {
            entries_total: self.entries_total,
            lag: self.feeding.as_ref().map_or(0, Feeding::lag),
            unstored: self.storing.len() as u64,
            mismatches: self.mismatches,
        }
    }

    /// Of each log the last position that is held, or on its way to the disk.
    pub fn held(&self) -> &Positions {
        &self.held
    }

    /// Up to where the states take each log into account.
    pub fn included(&self) -> &Positions {
        &self.included
    }

    /// Does what is due.
    fn settle(&mut self, table: &mut AlarmTable, tags: &TagTable, now: Now) {
        if self.unjudged && self.storing.len() == 0 {
            self.unjudged = false;
            if self.role == Role::Leading {
                self.begin(table, tags, now);
            }
        }
        if self.role == Role::Leading && !self.unjudged && !self.fenced {
            let mut changes = std::mem::take(&mut self.changes);
            self.engine.tick(table, &mut self.pen, now, &mut changes);
            self.changes = changes;
            self.take_changes(table, now);
            self.absorb(table, tags, now);
        }
        self.pump_tail(table, now.mono);
        self.pump(table, now);
        self.store(now.mono);
        self.request_again(now.mono);
        self.requests_in_time(now.mono);
        self.answer_pending(now.mono);
        self.tell_quiesced(now.mono);
        let facts = self.facts();
        if facts != self.told {
            self.told = facts;
            self.effects.push(AlarmEffect::Facts);
        }
    }

    fn lead(&mut self, table: &mut AlarmTable, tags: &TagTable, lineage: &Lineage, now: Now) {
        let mut origin = lineage.epoch();
        if mutant::on(Mutant::EntriesOfTheNextEpoch) {
            origin.counter += 2;
        }
        self.between_leaders = false;
        self.leader = None;
        self.end_sync();
        self.quiescing = None;
        self.pen = Pen { origin, next: self.held.get(&origin).map_or(1, |last| last + 1), node: self.settings.node };
        self.role = Role::Leading;
        self.begin(table, tags, now);
        self.absorb_rest();
        self.take_waiting(table, now);
    }

    /// Timers go on from the table, and every watched tag is judged.
    fn begin(&mut self, table: &mut AlarmTable, tags: &TagTable, now: Now) {
        let mut changes = std::mem::take(&mut self.changes);
        self.engine.begin(table, &mut |tag| tags.get(tag), &mut self.pen, now, &mut changes);
        self.changes = changes;
        self.take_changes(table, now);
    }

    fn quiesce(&mut self, last: Seq, now: Millis) {
        self.pause();
        self.quiescing = Some((last, now.plus(self.settings.switch_timeout_ms)));
    }

    fn pause(&mut self) {
        if self.role == Role::Leading {
            self.role = Role::Quiesced;
            self.engine.end();
        }
    }

    /// The follower has everything. Where there is none, this node's disk has it, unless that fails: a clean stop may
    /// come next.
    fn tell_quiesced(&mut self, now: Millis) {
        let Some((last, until)) = self.quiescing else { return };
        let waits = match self.feeding.as_ref().filter(|feeding| feeding.is_live()) {
            Some(feeding) => !feeding.has_all(),
            None => !self.storing.is_done() && self.storing.trouble().is_none() && now < until,
        };
        if !waits {
            self.quiescing = None;
            self.effects.push(AlarmEffect::ToArbiter(Input::Quiesced { last }));
        }
    }

    fn resume(&mut self, table: &mut AlarmTable, tags: &TagTable, now: Now) {
        self.quiescing = None;
        if self.role == Role::Quiesced {
            self.role = Role::Leading;
            self.begin(table, tags, now);
            self.take_waiting(table, now);
        }
    }

    fn stand_by(&mut self) {
        self.quiescing = None;
        let led = self.role != Role::Standby;
        if led {
            self.between_leaders = self.linked;
            self.role = Role::Standby;
            self.engine.end();
            self.absorbing = None;
        }
        self.leader = None;
        // A node that stood by already may be giving a starting peer what that lacks: it would wait for the rest for ever.
        if led || self.feeding.is_none() {
            self.end_sync();
        }
    }

    fn lane_down(&mut self) {
        self.lane = false;
        self.end_sync();
    }

    fn link_down(&mut self) {
        self.between_leaders = false;
        self.linked = false;
        self.leader = None;
        self.lose_forwards();
    }

    /// Nothing goes on between the two nodes.
    fn end_sync(&mut self) {
        self.following = None;
        self.feeding = None;
        self.tail = None;
        self.entries_frames = 0;
        self.entries_storing.clear();
        self.requests.sync_ended();
    }

    fn judge(&mut self, table: &mut AlarmTable, samples: &[(TagId, Sample)], now: Now) {
        if self.role != Role::Leading && !mutant::on(Mutant::StandbyJudges) || self.is_blocked() {
            return;
        }
        let mut changes = std::mem::take(&mut self.changes);
        for (tag, sample) in samples {
            self.engine.sample(table, *tag, sample, &mut self.pen, now, &mut changes);
        }
        self.changes = changes;
        self.take_changes(table, now);
    }

    fn judge_system(&mut self, table: &mut AlarmTable, conditions: &[(SystemAlarm, Option<Value>)], now: Now) {
        if self.role != Role::Leading || self.is_blocked() {
            return;
        }
        let mut changes = std::mem::take(&mut self.changes);
        for (alarm, holds) in conditions {
            self.engine.system(table, *alarm, holds.clone(), &mut self.pen, now, &mut changes);
        }
        self.changes = changes;
        self.take_changes(table, now);
    }

    /// An alarm that began when both did, and is over: what remains is that somebody sees it.
    fn tell_dual_running(&mut self, table: &mut AlarmTable, for_ms: u64, now: Now) {
        let began = UnixMillis(now.wall.0.saturating_sub_unsigned(for_ms));
        let holds = (SystemAlarm::DualRunning, Some(dual_running(for_ms)));
        self.judge_system(table, &[holds], Now { wall: began, ..now });
        self.judge_system(table, &[(SystemAlarm::DualRunning, None)], now);
    }

    /// More waits for the disk than may: nothing is judged until it works again, and then everything.
    fn is_blocked(&mut self) -> bool {
        self.unjudged |= self.storing.is_full();
        self.unjudged
    }

    /// What the engine did goes to disk and to the follower.
    fn take_changes(&mut self, table: &AlarmTable, now: Now) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                AlarmChange::Entry(entry) => self.write(table, &entry, now),
                AlarmChange::State(key) => self.state_changed(table, key, now),
            }
        }
    }

    /// An entry of this node's own log; the table has it already.
    fn write(&mut self, table: &AlarmTable, entry: &Arc<AlarmEntry>, now: Now) {
        self.entries_total += 1;
        self.held.insert(entry.origin, entry.position);
        self.included.insert(entry.origin, entry.position);
        self.operations.remember(entry, now.mono);
        self.store_entry(table, entry, now.mono);
        if let Some(feeding) = &mut self.feeding {
            feeding.push(AlarmItem::Entry((**entry).clone()));
        }
    }

    fn state_changed(&mut self, table: &AlarmTable, key: AlarmKey, now: Now) {
        let state = table.list().find(key).and_then(|id| table.state(id)).cloned().unwrap_or_default();
        let portable = state.to_portable(now.mono);
        self.store_state(key, &state, now.mono);
        if let Some(feeding) = &mut self.feeding {
            feeding.push(AlarmItem::State(key, portable));
        }
    }

    fn send_frame(&mut self, frame: &AlarmFrame) {
        match encode(frame) {
            Ok(frame) => self.effects.push(AlarmEffect::ToLane(frame)),
            // Every message is built within its limits; should one not be, the peer must not wait for it.
            Err(_) => self.effects.push(AlarmEffect::CloseLane),
        }
    }

    fn send_control(&mut self, message: Control) {
        self.effects.push(AlarmEffect::ToPeer(message));
    }

    /// A frame about alarms.
    fn frame(&mut self, table: &mut AlarmTable, body: &[u8], now: Now) {
        match decode(body) {
            Ok(frame) => self.message(table, frame, now),
            Err(crate::wire::WireError::UnknownMessage { .. }) => {}
            Err(_) => self.effects.push(AlarmEffect::CloseLane),
        }
    }

    fn message(&mut self, table: &mut AlarmTable, frame: AlarmFrame, now: Now) {
        match frame {
            AlarmFrame::Follow { sync, leader, held, more } => {
                self.sync_requested(sync, leader, held, more, now);
            }
            AlarmFrame::Entries { sync, origin, after, entries } => {
                self.entries_came(sync, origin, after, entries, now);
            }
            AlarmFrame::EntriesTaken { sync, frames } => self.tail_confirmed(sync, frames),
            AlarmFrame::NothingMissing { sync } => self.nothing_missing(sync),
            AlarmFrame::Confirm { sync, applied, stored } => self.confirmed(sync, applied, stored, now.mono),
            AlarmFrame::Compared { sync, equal } => self.compared(sync, equal),
            AlarmFrame::NotNow { sync } => self.ask_again(sync, now.mono),
            AlarmFrame::Held { sync, held, more } => self.leader_holds(sync, held, more),
            AlarmFrame::States { sync, states } => self.states_came(sync, states),
            AlarmFrame::Included { sync, included } => self.included_came(sync, &included),
            AlarmFrame::Shelves { sync, shelves } => self.shelves_came(sync, shelves),
            AlarmFrame::Whole { sync } => self.whole(table, sync, now),
            AlarmFrame::Items { sync, first, items } => self.items_came(table, sync, first, items, now),
            AlarmFrame::Digest { sync, list, digest, held } => {
                self.compare(table, sync, (list, digest), &held, now.mono);
            }
        }
    }

    /// The number of the present sync, whichever side this node is on.
    fn sync(&self) -> Option<u64> {
        self.following.as_ref().map(Following::sync).or(self.feeding.as_ref().map(Feeding::sync))
    }

    /// Whether an entry follows directly on what is held of its log; then it is held from now on.
    fn takes(&mut self, entry: &AlarmEntry) -> bool {
        let held = self.held.get(&entry.origin).copied().unwrap_or(0);
        let next = entry.position < LAST_POSITION && held.checked_add(1) == Some(entry.position);
        if next {
            self.held.insert(entry.origin, entry.position);
        }
        next
    }
}
