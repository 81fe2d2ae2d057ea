//! Values and time in, changes of alarms out: what the node that leads does. A follower's engine rests.
//!
//! A value costs as much as its tag has alarms, a moment as much as is due. What the next leader must know is in the
//! table; the engine itself keeps only timers, which follow from the table, and the samples that rates of change are
//! counted from, which begin anew at the next leader.

mod desk;
mod timers;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use desk::{Desk, Said};
use timers::{Timer, Timers};

use super::AlarmKey;
use super::definition::{AlarmCondition, AlarmDef, AlarmId, AlarmList, SystemAlarm, Watched};
use super::entry::AlarmEntry;
use super::judge::{Reference, Trust, Verdict, arms, judge, trust};
use super::pen::Pen;
use super::state::{Occurrence, Pending, PendingKind};
use super::table::AlarmTable;
use crate::catalog::TagId;
use crate::mutant::{self, Mutant};
use crate::replicator::Now;
use crate::types::{Millis, UnixMillis};
use crate::value::{Sample, Value};

/// A change of the table, which has it already. The follower must do the same, in the same order.
#[derive(Clone, Debug, PartialEq)]
pub enum AlarmChange {
    /// An entry: [`AlarmTable::apply`].
    Entry(Arc<AlarmEntry>),
    /// A state that no entry tells of: [`AlarmTable::set_state`] with what [`AlarmTable::state`] gives.
    State(AlarmKey),
}

/// What can be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// An alarm that cleared and that nobody acknowledged for so long is acknowledged by the system. None: never.
    pub stale_after_ms: Option<u64>,
}

/// Raises and clears alarms.
#[derive(Debug)]
pub struct AlarmEngine {
    settings: EngineSettings,
    references: HashMap<AlarmId, Reference>,
    /// What the node said last of its system alarms.
    system: HashMap<SystemAlarm, Option<Value>>,
    timers: Timers,
}

/// When a condition began or ceased to hold, by its source, and the value that says so.
struct Cause<'a> {
    since: UnixMillis,
    value: &'a Value,
    trust: Trust,
}

impl AlarmEngine {
    /// An engine that rests.
    pub fn new(settings: EngineSettings) -> Self {
        Self { settings, references: HashMap::new(), system: HashMap::new(), timers: Timers::default() }
    }

    /// This node leads from now on, or all is to be judged once more: delays, shelvings and waiting for acknowledgements
    /// go on from the table, and every tag that an alarm watches is judged. A tag without a sample is not.
    ///
    /// Judged before what became due in between: the sample may be newer than the delay.
    pub fn begin(
        &mut self,
        table: &mut AlarmTable,
        sample: &mut dyn FnMut(TagId) -> Option<Sample>,
        pen: &mut Pen,
        now: Now,
        out: &mut Vec<AlarmChange>,
    ) {
        let list = table.list().clone();
        let mut desk = Desk { table, pen, now, out };
        self.timers.clear();
        for id in desk.table.states().filter_map(|(key, _)| list.find(key)).collect::<Vec<_>>() {
            if mutant::on(Mutant::DelaysRestart) || mutant::on(Mutant::RaisedAtTakeover) {
                mistakes(&mut desk, &list, id);
            }
            self.follow(&desk, id);
        }
        for path in desk.table.shelves().map(|shelf| shelf.path.clone()).collect::<Vec<_>>() {
            self.follow_shelf(&desk, &path);
        }
        for tag in list.watched_tags() {
            let Some(sample) = sample(tag) else { continue };
            for id in list.of_tag(tag) {
                self.judge_sample(&mut desk, *id, &sample);
            }
        }
        self.fire_due(&mut desk);
    }

    /// It leads no more.
    pub fn end(&mut self) {
        self.timers.clear();
        self.references.clear();
        self.system.clear();
    }

    /// A tag has a new sample.
    pub fn sample(
        &mut self,
        table: &mut AlarmTable,
        tag: TagId,
        sample: &Sample,
        pen: &mut Pen,
        now: Now,
        out: &mut Vec<AlarmChange>,
    ) {
        let list = table.list().clone();
        let ids = list.of_tag(tag);
        if ids.is_empty() {
            return;
        }
        let mut desk = Desk { table, pen, now, out };
        for id in ids {
            self.fire_delay(&mut desk, *id);
            self.judge_sample(&mut desk, *id, sample);
        }
    }

    /// The condition of a system alarm holds, with a word why, or is gone.
    pub fn system(
        &mut self,
        table: &mut AlarmTable,
        alarm: SystemAlarm,
        holds: Option<Value>,
        pen: &mut Pen,
        now: Now,
        out: &mut Vec<AlarmChange>,
    ) {
        let Some(id) = table.list().of_system(alarm) else { return };
        let mut desk = Desk { table, pen, now, out };
        self.fire_delay(&mut desk, id);
        self.system.insert(alarm, holds);
        self.judge_system(&mut desk, id, alarm);
    }

    /// What is due happens, in the order of the deadlines.
    pub fn tick(&mut self, table: &mut AlarmTable, pen: &mut Pen, now: Now, out: &mut Vec<AlarmChange>) {
        self.fire_due(&mut Desk { table, pen, now, out });
    }

    /// When something is due; none: nothing is, whatever time passes.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.timers.next()
    }

    /// The timers of an alarm follow its state.
    pub(super) fn follow(&mut self, desk: &Desk<'_>, id: AlarmId) {
        let Some(state) = desk.table.state(id) else { return };
        self.timers.set(Timer::Delay(id), state.pending.as_ref().map(|pending| pending.until));
        let waiting = state.live.as_ref().filter(|live| !live.active && !live.acked);
        let Some((live, stale_after)) = waiting.zip(self.settings.stale_after_ms) else {
            self.timers.set(Timer::Stale(id), None);
            return;
        };
        // While an occurrence waits nothing changes when it began to.
        if !self.timers.is_set(&Timer::Stale(id)) {
            let deadline = stale_at(desk, id, live, stale_after);
            self.timers.set(Timer::Stale(id), Some(deadline));
        }
    }

    /// The timer of a shelving follows it.
    pub(super) fn follow_shelf(&mut self, desk: &Desk<'_>, path: &Arc<str>) {
        let until = desk.table.shelf(path).map(|shelf| shelf.until);
        self.timers.set(Timer::Shelf(path.clone()), until);
    }

    /// Judges an alarm by what its tag, or the node, says now.
    pub(super) fn judge_again(
        &mut self,
        desk: &mut Desk<'_>,
        id: AlarmId,
        sample: &mut dyn FnMut(TagId) -> Option<Sample>,
    ) {
        match desk.table.list().get(id).map(|def| def.watched) {
            Some(Watched::Tag(tag)) => {
                if let Some(sample) = sample(tag) {
                    self.judge_sample(desk, id, &sample);
                }
            }
            Some(Watched::System(alarm)) => self.judge_system(desk, id, alarm),
            None => {}
        }
    }

    fn judge_sample(&mut self, desk: &mut Desk<'_>, id: AlarmId, sample: &Sample) {
        let list = desk.table.list().clone();
        let (Some(def), Some(trust)) = (list.get(id), trust(sample)) else { return };
        let Some(mut armed) = desk.table.state(id).map(|state| state.armed) else { return };
        if !armed && arms(&def.condition, &sample.value) {
            desk.arm(id);
            armed = true;
        }
        let verdict = if matches!(def.condition, AlarmCondition::RateOfChange { .. }) {
            let mut reference = self.references.get(&id).copied();
            let verdict = judge(&def.condition, armed, &mut reference, sample, trust);
            self.references.extend(reference.map(|reference| (id, reference)));
            verdict
        } else {
            judge(&def.condition, armed, &mut None, sample, trust)
        };
        if let Some(verdict) = verdict {
            // An initial value has no time of its own.
            let since = if sample.time == UnixMillis(0) { desk.now.wall } else { sample.time };
            self.step(desk, id, def, verdict, &Cause { since, value: &sample.value, trust });
        }
    }

    fn judge_system(&mut self, desk: &mut Desk<'_>, id: AlarmId, alarm: SystemAlarm) {
        let list = desk.table.list().clone();
        let (Some(def), Some(holds)) = (list.get(id), self.system.get(&alarm).cloned()) else { return };
        let verdict = if holds.is_some() { Verdict::Beyond } else { Verdict::Behind };
        // When it is gone the list goes on to say what it was.
        let was = || desk.table.state(id).and_then(|state| state.live.as_ref()?.value.clone());
        let value = holds.or_else(was).unwrap_or(Value::Bool(false));
        self.step(desk, id, def, verdict, &Cause { since: desk.now.wall, value: &value, trust: Trust::Firm });
    }

    /// The state table: what a verdict does to an alarm.
    fn step(&mut self, desk: &mut Desk<'_>, id: AlarmId, def: &AlarmDef, verdict: Verdict, cause: &Cause<'_>) {
        let Some(state) = desk.table.state(id) else { return };
        let active = state.live.as_ref().is_some_and(|live| live.active);
        // A value that is only the last one known drops a delay if it is newer than what began it, and never begins one
        // that would clear.
        let drops =
            state.pending.as_ref().is_some_and(|pending| cause.trust == Trust::Firm || cause.since > pending.since);
        let waits = state.pending.is_some();
        match (active, verdict) {
            (true, Verdict::Beyond) if mutant::on(Mutant::RaisedTwice) => {
                desk.raise(id, def, cause.since, Some(cause.value.clone()));
            }
            (false, Verdict::Beyond) if !waits => self.begin_to(desk, id, def, PendingKind::Raise, cause),
            (true, Verdict::Behind) if !waits && cause.trust == Trust::Firm => {
                self.begin_to(desk, id, def, PendingKind::Clear, cause);
            }
            (false, Verdict::Between | Verdict::Behind) | (true, Verdict::Between | Verdict::Beyond) if drops => {
                desk.set_pending(id, None);
                self.follow(desk, id);
            }
            _ => {}
        }
    }

    fn begin_to(&mut self, desk: &mut Desk<'_>, id: AlarmId, def: &AlarmDef, kind: PendingKind, cause: &Cause<'_>) {
        let delay = delay(def, kind);
        if delay == 0 {
            return self.come_to(desk, id, def, kind, cause.since, Some(cause.value.clone()));
        }
        let until = desk.now.mono.plus(delay);
        let pending = Pending { kind, since: cause.since, value: Some(cause.value.clone()), until };
        desk.set_pending(id, Some(pending));
        self.follow(desk, id);
    }

    fn come_to(
        &mut self,
        desk: &mut Desk<'_>,
        id: AlarmId,
        def: &AlarmDef,
        kind: PendingKind,
        time: UnixMillis,
        value: Option<Value>,
    ) {
        match kind {
            PendingKind::Raise => desk.raise(id, def, time, value),
            PendingKind::Clear => desk.clear(id, def, time, value),
        }
        self.follow(desk, id);
    }

    pub(super) fn fire_due(&mut self, desk: &mut Desk<'_>) {
        while let Some(timer) = self.timers.take_due(desk.now.mono) {
            match timer {
                Timer::Delay(id) => self.fire_delay(desk, id),
                Timer::Stale(id) => self.fire_stale(desk, id),
                Timer::Shelf(path) => fire_shelf(desk, &path),
            }
        }
    }

    fn fire_delay(&mut self, desk: &mut Desk<'_>, id: AlarmId) {
        let Some(state) = desk.table.state(id) else { return };
        let Some(pending) = state.pending.as_ref().filter(|pending| pending.until <= desk.now.mono).cloned() else {
            return;
        };
        let list = desk.table.list().clone();
        let Some(def) = list.get(id) else { return };
        let time = UnixMillis(pending.since.0.saturating_add_unsigned(delay(def, pending.kind)));
        self.come_to(desk, id, def, pending.kind, time, pending.value);
        // The transition ends the delay. Should it not have been possible, the delay ends all the same.
        if desk.table.state(id).is_some_and(|state| state.pending.is_some()) {
            desk.set_pending(id, None);
            self.follow(desk, id);
        }
    }

    fn fire_stale(&mut self, desk: &mut Desk<'_>, id: AlarmId) {
        let waits = |live: &Occurrence| !live.active && !live.acked;
        if desk.table.state(id).and_then(|state| state.live.as_ref()).is_some_and(waits) {
            let text = stale_text(self.settings.stale_after_ms.unwrap_or_default());
            desk.acknowledge(id, Said::by_rule(desk.pen.node, &text));
            self.follow(desk, id);
        }
    }
}

/// What could be done wrong with an alarm at a takeover.
fn mistakes(desk: &mut Desk<'_>, list: &AlarmList, id: AlarmId) {
    let (Some(def), Some(state)) = (list.get(id), desk.table.state(id).cloned()) else { return };
    if mutant::on(Mutant::DelaysRestart)
        && let Some(pending) = state.pending
    {
        let until = desk.now.mono.plus(delay(def, pending.kind));
        desk.set_pending(id, Some(Pending { until, ..pending }));
    } else if mutant::on(Mutant::RaisedAtTakeover)
        && let Some(live) = state.live.filter(|live| live.active)
    {
        desk.raise(id, def, live.active_time, live.value);
    }
}

fn fire_shelf(desk: &mut Desk<'_>, path: &Arc<str>) {
    if let Some(shelf) = desk.table.shelf(path).filter(|shelf| shelf.until <= desk.now.mono).cloned() {
        desk.unshelve(&shelf, Said::by_rule(desk.pen.node, ""));
    }
}

fn delay(def: &AlarmDef, kind: PendingKind) -> u64 {
    match kind {
        PendingKind::Raise => def.active_delay_ms,
        PendingKind::Clear => def.resume_delay_ms,
    }
}

/// When an occurrence that waits becomes stale. A node that did not see it clear goes by wall-clock time, and waits no
/// longer than if it had cleared now.
fn stale_at(desk: &Desk<'_>, id: AlarmId, live: &Occurrence, stale_after: u64) -> Millis {
    if let Some(cleared) = desk.table.cleared_at(id) {
        return cleared.plus(stale_after);
    }
    let cleared = live.clear_time.unwrap_or(desk.now.wall);
    let waited = u64::try_from(i128::from(desk.now.wall.0) - i128::from(cleared.0)).unwrap_or(0);
    desk.now.mono.plus(stale_after.saturating_sub(waited))
}

fn stale_text(after_ms: u64) -> String {
    let (count, unit) = match after_ms {
        ms if ms >= 3_600_000 && ms.is_multiple_of(3_600_000) => (ms / 3_600_000, "h"),
        ms if ms >= 60_000 && ms.is_multiple_of(60_000) => (ms / 60_000, "min"),
        ms if ms.is_multiple_of(1000) => (ms / 1000, "s"),
        ms => (ms, "ms"),
    };
    format!("stale: nobody acknowledged it for {count} {unit}")
}
