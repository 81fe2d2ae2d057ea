//! What must be so of the alarms, seen from outside of both nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hotpair_core::alarm_replication::{AlarmEffect, AlarmInput};
use hotpair_core::alarms::{
    AlarmCondition, AlarmEntry, AlarmKey, AlarmRequest, AlarmState, EntryKind, EventId, JournalBatch, LimitLevel,
    PendingKind, Positions, Watched,
};
use hotpair_core::invariants;
use hotpair_core::quality::QualityLevel;
use hotpair_core::types::Epoch;
use hotpair_core::value::Value;

use crate::node::Process;
use crate::sometimes::State;
use crate::world::World;

/// More items than this never wait for a follower.
const MAX_LAG: usize = 20_000;

/// What is known of the journals.
#[derive(Default)]
pub struct AlarmOracle {
    /// Every entry that anybody stored or was about to.
    entries: BTreeMap<(Epoch, u64), Arc<AlarmEntry>>,
    /// Of each occurrence its alarm, number and beginning.
    occurrences: BTreeMap<EventId, (AlarmKey, u64, i64)>,
    /// Where it was acknowledged.
    acknowledged: BTreeMap<EventId, Vec<(Epoch, u64)>>,
    last: BTreeMap<Epoch, u64>,
    /// What was said about each occurrence in each log.
    said: BTreeMap<(Epoch, EventId), BTreeSet<EntryKind>>,
    /// Of each alarm where it was raised, and where it cleared.
    turns: BTreeMap<AlarmKey, BTreeMap<(Epoch, u64), bool>>,
    /// Of each alarm whether it was raised or cleared last, in whichever log.
    last_turn: BTreeMap<AlarmKey, bool>,
    /// Operations that were asked for, and the occurrence that each concerns.
    asked: BTreeMap<Arc<str>, Option<EventId>>,
    /// Operations that were answered as replicated.
    replicated: BTreeSet<Arc<str>>,
    /// What nodes had forgotten that lost their disk since.
    gone: Positions,
    /// Operations that a journal dropped with old age, perhaps before the other one had them.
    dropped: BTreeSet<Arc<str>>,
    /// When a node last came back without its disk.
    disk_lost_at: Option<u64>,
}

/// What is looked at before an input.
pub struct Before {
    version: u64,
    held: Positions,
    leads: bool,
    is_frame: bool,
    /// Not to be carried out again.
    repeated: Option<Arc<str>>,
    /// The states before a tenure begins.
    takes_over: Option<Vec<AlarmState>>,
}

impl AlarmOracle {
    /// Of each log the last position that anybody stored or was about to.
    pub fn last_written(&self) -> impl Iterator<Item = (Epoch, u64)> + '_ {
        self.last.iter().map(|(origin, last)| (*origin, *last))
    }
}

impl World {
    pub fn before_alarms(&mut self, node: usize, input: &AlarmInput<'_>) -> Option<Before> {
        let request = match input {
            AlarmInput::Request { request, .. } => Some(request),
            AlarmInput::Forward(forward) => Some(&forward.request),
            _ => None,
        };
        let repeated = request.and_then(|request| self.asked_for(request));
        if repeated.is_some() && self.nodes[node].process.as_ref().is_some_and(|process| process.alarms.leads()) {
            // What is due anyway is not counted as its doing.
            self.alarms(node, AlarmInput::Tick);
        }
        let process = self.nodes[node].process.as_mut()?;
        if let AlarmInput::Lead(lineage) = input {
            process.leads_under = Some(lineage.epoch());
        }
        Some(Before {
            version: process.alarm_table.version(),
            held: process.alarms.held().clone(),
            leads: process.alarms.leads(),
            is_frame: matches!(input, AlarmInput::Frame(_)),
            repeated,
            // What it holds and did not take into account may change more.
            takes_over: (matches!(input, AlarmInput::Lead(_)) && process.alarms.held() == process.alarms.included())
                .then(|| states(process)),
        })
    }

    /// Its operation id, if it was answered as replicated.
    fn asked_for(&mut self, request: &AlarmRequest) -> Option<Arc<str>> {
        use hotpair_core::alarms::AlarmAction::{Acknowledge, Comment};
        let id = request.operation.clone()?;
        let event =
            if let Acknowledge { event, .. } | Comment { event, .. } = &request.action { Some(*event) } else { None };
        self.alarm_oracle.asked.insert(id.clone(), event);
        self.alarm_oracle.replicated.contains(&id).then_some(id)
    }

    pub fn after_alarms(&mut self, node: usize, before: Option<Before>, effects: &[AlarmEffect]) {
        let Some(before) = before else { return };
        for effect in effects {
            if let AlarmEffect::Store(batch) = effect {
                self.stores(node, batch);
            }
        }
        let Some(process) = &self.nodes[node].process else { return };
        let id = self.nodes[node].id;
        let leads = before.leads || process.alarms.leads();
        let own = process.leads_under.filter(|_| leads);
        let mut results = Vec::new();
        if process.alarms.held() != &before.held {
            for (origin, last) in process.alarms.held() {
                let had = before.held.get(origin).copied().unwrap_or(0);
                if had < *last {
                    let may = own == Some(*origin) && origin.node == id || before.is_frame && own != Some(*origin);
                    results.push(invariants::writes_as_leader(id, *origin, may));
                    if own == Some(*origin)
                        && let Some(operation) = &before.repeated
                    {
                        results.push(invariants::once(operation, true));
                    }
                }
            }
        }
        if let Some(states) = &before.takes_over {
            results.push(goes_on(process, states));
        }
        let view = process.alarms.view();
        results.push(invariants::bounded("items for a follower", view.lag as usize, MAX_LAG));
        if process.alarm_table.version() != before.version || before.held != *process.alarms.held() {
            results.push(self.acknowledged_stays(process));
        }
        for result in results {
            self.check(result);
        }
    }

    fn acknowledged_stays(&self, process: &Process) -> Result<(), invariants::Violation> {
        let included = |origin: &Epoch| process.alarms.included().get(origin).copied().unwrap_or(0);
        for (id, live) in process.alarm_table.live().filter(|(_, live)| !live.acked) {
            let acks = self.alarm_oracle.acknowledged.get(&live.event);
            let lost = acks.into_iter().flatten().find(|(origin, position)| *position <= included(origin));
            if let Some(place) = lost {
                let alarm = process.alarm_table.list().get(id).map(|def| format!("{}/{}", def.path, def.name));
                return invariants::stays_acknowledged(&alarm.unwrap_or_default(), live.event, *place);
            }
        }
        Ok(())
    }

    /// A batch that is on its way to a disk.
    fn stores(&mut self, node: usize, batch: &JournalBatch) {
        for (origin, skipped) in &batch.skipped {
            let may = self.forgotten(*origin) >= *skipped;
            let what = || format!("entries up to {skipped} of {origin} are given up, though nobody dropped them");
            self.check(invariants::log_is_whole(may, what));
        }
        for entry in &batch.entries {
            let place = (entry.origin, entry.position);
            if let Some(known) = self.alarm_oracle.entries.get(&place) {
                let same = **known == **entry;
                self.check(invariants::log_is_whole(same, || format!("{known:?} became {entry:?}")));
                continue;
            }
            self.alarm_oracle.entries.insert(place, entry.clone());
            let last = self.alarm_oracle.last.entry(entry.origin).or_default();
            *last = (*last).max(entry.position);
            self.is_written(node, entry);
            if entry.is_shelving() {
                continue;
            }
            let is = (entry.alarm_key(), entry.number, entry.active_time.0);
            let was = *self.alarm_oracle.occurrences.entry(entry.event).or_insert(is);
            self.check(invariants::one_occurrence(entry.event, was == is, || format!("{was:?} and {is:?}")));
            if entry.kind == EntryKind::Acknowledged {
                self.alarm_oracle.acknowledged.entry(entry.event).or_default().push(place);
            }
            if let Some(Some(asked)) = entry.operation.as_ref().and_then(|id| self.alarm_oracle.asked.get(id)) {
                let same = *asked == entry.event;
                let what = || format!("{asked} was asked for, {entry:?} is said");
                self.check(invariants::one_occurrence(entry.event, same, what));
            }
        }
    }

    /// A new entry: of a stored epoch, under a derived id, and said once.
    fn is_written(&mut self, node: usize, entry: &Arc<AlarmEntry>) {
        let (id, stored) = (self.nodes[node].id, &self.nodes[node].disk.stored);
        let mut results = Vec::new();
        if entry.origin.node == id {
            let on_disk = stored.reserved.max(stored.lineage.epoch().counter);
            results.push(invariants::written_under_a_stored_epoch(id, entry.origin, on_disk));
        }
        if entry.comment.starts_with("carried over") {
            self.reached(State::AckCarriedOver);
        }
        if entry.is_shelving() {
            return results.into_iter().for_each(|result| self.check(result));
        }
        if entry.kind == EntryKind::Raised {
            let derived = EventId::of_occurrence(entry.alarm_key(), entry.number, entry.active_time);
            results.push(invariants::event_is_derived(entry.event, derived));
        }
        if entry.kind != EntryKind::Commented {
            let kinds = self.alarm_oracle.said.entry((entry.origin, entry.event)).or_default();
            let once = kinds.insert(entry.kind);
            results.push(invariants::said_once(once, || format!("{entry:?} is there a second time")));
        }
        results.push(self.is_raised_once(node, entry));
        for result in results {
            self.check(result);
        }
    }

    /// Before it is raised again it clears: in this log, and in those that its node takes into account.
    fn is_raised_once(&mut self, node: usize, entry: &AlarmEntry) -> Result<(), invariants::Violation> {
        if !matches!(entry.kind, EntryKind::Raised | EntryKind::Cleared) {
            return Ok(());
        }
        let raised = entry.kind == EntryKind::Raised;
        // By the clock of this world: one that ran through a cut writes on under its earlier epoch.
        let cleared = self.alarm_oracle.last_turn.insert(entry.alarm_key(), raised) == Some(false);
        let turns = self.alarm_oracle.turns.entry(entry.alarm_key()).or_default();
        let before = turns.range(..(entry.origin, entry.position)).next_back();
        let before = before.map(|((origin, position), raised)| (*origin, *position, *raised));
        turns.insert((entry.origin, entry.position), raised);
        let Some((origin, position, was_raised)) = before else { return Ok(()) };
        let included = self.nodes[node]
            .process
            .as_ref()
            .map_or(0, |process| process.alarms.included().get(&origin).copied().unwrap_or(0));
        // While both ran each has its own occurrences.
        let counts = origin == entry.origin || !self.pair.dual_ever && included >= position;
        let again = counts && raised && was_raised && !cleared;
        invariants::raised_once(&format!("{}/{}", entry.path, entry.name), !again, || {
            format!("entry {position} of {origin}, then entry {} of {}", entry.position, entry.origin)
        })
    }

    /// The oldest entries of a journal are dropped, and with them what they would have answered.
    pub fn journal_forgets(&mut self, node: usize, keeps: usize) {
        self.history.journal_forgets();
        for id in self.nodes[node].journal.forget(keeps) {
            self.alarm_oracle.replicated.remove(&id);
            self.alarm_oracle.dropped.insert(id);
        }
    }

    /// Up to where the log of a tenure was dropped with old age, by any node.
    fn forgotten(&self, origin: Epoch) -> u64 {
        let gone = self.alarm_oracle.gone.get(&origin).copied().unwrap_or(0);
        let dropped = self.nodes.iter().filter_map(|node| node.journal.forgotten.get(&origin).copied());
        dropped.max().unwrap_or(0).max(gone)
    }

    /// A disk is lost. What only it held was lost with it.
    pub fn alarms_lose_disk(&mut self, node: usize) {
        for (origin, position) in &self.nodes[node].journal.forgotten {
            let last = self.alarm_oracle.gone.entry(*origin).or_default();
            *last = (*last).max(*position);
        }
        self.alarm_oracle.disk_lost_at = Some(self.now);
        let other = &self.nodes[1 - node].journal;
        self.alarm_oracle.replicated.retain(|id| other.has_operation(id));
    }

    /// A node runs in place of its peer. What it does not have, for it lost its disk before, is then missing for a second
    /// failure: it may be done once more.
    pub fn takes_over_without(&mut self, node: usize) {
        if self.nodes[node].disks > 1 {
            let journal = &self.nodes[node].journal;
            self.alarm_oracle.replicated.retain(|id| journal.has_operation(id));
            self.history.takes_over_without(journal);
        }
    }

    /// The journal's disk says what became of a batch.
    pub fn stored_in_journal(&mut self, node: usize, result: &Result<(), String>) {
        let full = self.nodes[node].disk.full || self.nodes[node].journal.fails;
        if let Err(why) = result
            && !full
        {
            self.check(invariants::log_is_whole(false, || why.clone()));
        }
    }

    /// A client was told that it is done, and had asked then.
    pub fn was_promised(&mut self, request: &AlarmRequest, asked_at: u64, replicated: bool) {
        let Some(id) = request.operation.clone() else { return };
        let replicated = replicated && !self.alarm_oracle.dropped.contains(&id);
        if self.alarm_oracle.disk_lost_at.is_some_and(|lost| lost >= asked_at || !self.is_whole()) {
            // A peer that lost its disk since said so before.
            return;
        }
        let at = self.nodes.each_ref().map(|node| node.journal.has_operation(&id));
        self.check(invariants::acknowledgement_is_stored(&id, replicated, at));
        if replicated {
            self.alarm_oracle.replicated.insert(id);
        }
    }

    /// What is missing to a pair whose alarms are equal and whose journals are complete.
    pub fn alarms_missing(&self, leader: &Process, follower: &Process) -> Option<String> {
        if let Some(different) = different_states(leader, follower) {
            return Some(different);
        }
        let [one, other] = &self.nodes;
        let kept = |(origin, position): &&(Epoch, u64)| *position > self.forgotten(*origin);
        let entries =
            |node: &crate::node::Node| node.journal.entries.keys().filter(kept).copied().collect::<BTreeSet<_>>();
        if let Some((origin, position)) = entries(one).symmetric_difference(&entries(other)).next() {
            return Some(format!("entry {position} of {origin} is on one disk only"));
        }
        let not_zero = |positions: &Positions| {
            positions.iter().filter(|(_, last)| **last > 0).map(|(o, l)| (*o, *l)).collect::<Positions>()
        };
        let last = not_zero(&one.journal.held);
        for (what, positions) in [
            ("the leader holds", leader.alarms.held()),
            ("the leader takes into account", leader.alarms.included()),
            ("the follower holds", follower.alarms.held()),
            ("the follower takes into account", follower.alarms.included()),
            ("the Master's disk takes into account", &one.journal.included),
            ("the Backup's disk takes into account", &other.journal.included),
        ] {
            if not_zero(positions) != last {
                return Some(format!("{what} {positions:?}, in the journal is {last:?}"));
            }
        }
        let at = leader.alarm_table.list().iter().find_map(|(id, def)| {
            let state = leader.alarm_table.state(id)?;
            let active = state.live.as_ref().is_some_and(|live| live.active);
            let wrong = match stands(leader, &def.condition, def.watched)? {
                (Stands::Beyond, true) => !active,
                (Stands::Behind, true) => active,
                _ => false,
            };
            wrong.then(|| format!("{}/{} is {state:?}, its value says otherwise", def.path, def.name))
        });
        at.or_else(|| (!self.load.operators.waiting.is_empty()).then(|| "requests wait".to_owned()))
    }
}

/// What a leader has and its follower lacks, though it says that it is in sync.
pub fn alarms_differ(leader: &Process, follower: &Process) -> Option<String> {
    if leader.alarms.view().lag > 0 {
        return None;
    }
    let missing = leader
        .alarms
        .held()
        .iter()
        .find(|(origin, last)| follower.alarms.held().get(*origin).copied().unwrap_or(0) < **last);
    if let Some((origin, last)) = missing {
        return Some(format!("entry {last} of {origin} is missing"));
    }
    different_states(leader, follower)
}

fn different_states(one: &Process, other: &Process) -> Option<String> {
    let (a, b) = (&one.alarm_table, &other.alarm_table);
    if a.digest() == b.digest() || a.list().hash() != b.list().hash() {
        return None;
    }
    let different = a.list().iter().find_map(|(id, def)| {
        let key = a.list().key(id)?;
        let (mine, theirs) = (a.state(id)?, b.state(b.list().find(key)?)?);
        (mine.digest(key) != theirs.digest(key))
            .then(|| format!("{}/{}: the leader has {mine:?}, the follower {theirs:?}", def.path, def.name))
    });
    Some(different.unwrap_or_else(|| "the shelvings differ".into()))
}

fn states(process: &Process) -> Vec<AlarmState> {
    let table = &process.alarm_table;
    table.list().iter().filter_map(|(id, _)| table.state(id).cloned()).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Beyond,
    Between,
    Behind,
}

/// Where the value of an alarm stands, and whether its source says so now.
fn stands(process: &Process, condition: &AlarmCondition, watched: Watched) -> Option<(Stands, bool)> {
    let Watched::Tag(tag) = watched else { return None };
    let sample = process.table.get(tag)?;
    let firm = sample.quality.level() == QualityLevel::Good;
    let stands = match (condition, &sample.value) {
        (AlarmCondition::Limit { level, limit, deadband, .. }, value) => {
            let value = match value {
                Value::Int64(value) => *value as f64,
                Value::Float64(value) => *value,
                _ => return None,
            };
            let beyond = if *level == LimitLevel::L { limit - value } else { value - limit };
            if beyond > 0.0 {
                Stands::Beyond
            } else if beyond <= -deadband {
                Stands::Behind
            } else {
                Stands::Between
            }
        }
        (AlarmCondition::Equivalent(target), value) if target == value => Stands::Beyond,
        (AlarmCondition::Equivalent(_), _) => Stands::Behind,
        _ => return None,
    };
    Some((stands, firm))
}

/// A node that takes over neither clears nor raises what did not change, and delays go on.
fn goes_on(process: &Process, before: &[AlarmState]) -> Result<(), invariants::Violation> {
    let table = &process.alarm_table;
    for ((id, def), before) in table.list().iter().zip(before) {
        let Some(after) = table.state(id) else { continue };
        let Some((stands, firm)) = stands(process, &def.condition, def.watched) else { continue };
        let event = |state: &AlarmState| state.live.as_ref().filter(|live| live.active).map(|live| live.event);
        let clears = before.pending.as_ref().is_some_and(|pending| pending.kind == PendingKind::Clear);
        let raises = before.pending.as_ref().is_some_and(|pending| pending.kind == PendingKind::Raise);
        let may_clear = firm && stands == Stands::Behind || clears;
        let same = match event(before) {
            Some(event_before) => may_clear || event(after) == Some(event_before),
            None if raises && stands == Stands::Beyond => {
                let since = before.pending.as_ref().map(|pending| pending.since);
                let until = before.pending.as_ref().map(|pending| pending.until);
                let goes_on = after.pending.as_ref().map(|pending| pending.since) == since
                    && after.pending.as_ref().map(|pending| pending.until) == until;
                let began = after.live.as_ref().map(|live| live.active_time.0);
                goes_on || began == since.map(|since| since.0.saturating_add_unsigned(def.active_delay_ms))
            }
            None => raises || stands == Stands::Beyond || event(after).is_none(),
        };
        let what = || format!("{}/{} was {before:?} and became {after:?}", def.path, def.name);
        invariants::takeover_changes_nothing(same, what)?;
    }
    Ok(())
}
