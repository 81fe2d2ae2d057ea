//! The follower's side: asks for the leader's alarms, takes them all at once, then what happens.

use std::sync::Arc;

use super::feeding::MAX_LOGS;
use super::frames::{AlarmFrame, AlarmItem, POSITIONS_PER_FRAME};
use super::{AlarmEffect, AlarmReplication, Role, Tail};
use crate::alarms::{AlarmKey, AlarmState, AlarmTable, MAX_SHELVINGS, PortableShelf, PortableState, Positions, Shelf};
use crate::arbiter::Leader;
use crate::mutant::{self, Mutant};
use crate::replicator::Now;
use crate::types::{Epoch, Millis};

/// A refused or failed sync is asked for again after this time, longer with each failure.
const ASK_AGAIN_MS: u64 = 50;
const ASK_AGAIN_AT_MOST_MS: u64 = 5000;
/// More states than this no leader has.
const MAX_STATES: usize = 2_000_000;

/// A sync that this node asked for.
#[derive(Debug)]
pub(super) struct Following {
    sync: u64,
    stage: Stage,
    leader_holds: Positions,
    states: Vec<(AlarmKey, PortableState)>,
    included: Positions,
    shelves: Vec<PortableShelf>,
    applied: u64,
    /// Item and the store that has it on disk when it is done.
    storing: std::collections::VecDeque<(u64, u64)>,
    stored: u64,
    told: Option<(u64, Option<u64>)>,
    /// Nothing of the leader's journal is missing here, once this store is done.
    complete: Option<u64>,
    /// The giver does not run, and knows less: this node keeps its own states.
    keeps_own: bool,
    /// The tables were equal when they were compared.
    equal: bool,
    /// More waited for the disk than may: entries were left out, and are asked for anew when it works again.
    left_out: bool,
    ask_again_at: Option<Millis>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Requested,
    Taken,
    InSync,
}

impl Following {
    pub(super) fn sync(&self) -> u64 {
        self.sync
    }

    pub(super) fn in_sync(&self) -> bool {
        self.stage == Stage::InSync
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.ask_again_at
    }
}

impl AlarmReplication {
    /// The arbiter names whom to follow.
    pub(super) fn follow(&mut self, table: &mut AlarmTable, leader: Leader, now: Now) {
        self.between_leaders = false;
        self.end_sync();
        self.leader = Some(leader);
        self.request_sync();
        if self.peer_leads() {
            self.take_waiting(table, now);
        }
    }

    /// Asks the leader for its alarms, if there is a leader and a way to ask.
    pub(super) fn request_sync(&mut self) {
        let (Some(leader), true, Role::Standby) = (&self.leader, self.lane, self.role) else { return };
        let leader = leader.lineage.epoch();
        let sync = self.next_sync;
        self.next_sync = self.next_sync.saturating_add(1);
        self.end_sync();
        self.following = Some(Following {
            sync,
            stage: Stage::Requested,
            leader_holds: Positions::new(),
            states: Vec::new(),
            included: Positions::new(),
            shelves: Vec::new(),
            applied: 0,
            storing: std::collections::VecDeque::new(),
            stored: 0,
            told: None,
            complete: None,
            keeps_own: false,
            equal: false,
            left_out: false,
            ask_again_at: None,
        });
        let held: Vec<_> = self.held.iter().map(|(origin, last)| (*origin, *last)).collect();
        let mut chunks = held.chunks(POSITIONS_PER_FRAME).peekable();
        loop {
            let held = chunks.next().unwrap_or_default().to_vec();
            let more = chunks.peek().is_some();
            self.send_frame(&AlarmFrame::Follow { sync, leader, held, more });
            if !more {
                return;
            }
        }
    }

    pub(super) fn request_again(&mut self, now: Millis) {
        if self.storing.len() == 0 && self.following.as_ref().is_some_and(|following| following.left_out) {
            return self.request_sync();
        }
        if self.following.as_ref().is_some_and(|following| following.ask_again_at.is_some_and(|at| now >= at)) {
            self.following = None;
            self.request_sync();
        }
    }

    pub(super) fn ask_again(&mut self, sync: u64, now: Millis) {
        let wait = ASK_AGAIN_MS << self.mismatches.min(10);
        if let Some(following) = self.following.as_mut().filter(|following| following.sync == sync) {
            following.stage = Stage::Requested;
            following.ask_again_at = Some(now.plus(wait.min(ASK_AGAIN_AT_MOST_MS)));
        }
    }

    fn followed(&mut self, sync: u64) -> Option<&mut Following> {
        self.following.as_mut().filter(|following| following.sync == sync && following.ask_again_at.is_none())
    }

    pub(super) fn leader_holds(&mut self, sync: u64, held: Vec<(Epoch, u64)>, more: bool) {
        let runs = self.leader.as_ref().is_some_and(|leader| leader.running);
        let Some(following) = self.followed(sync) else { return };
        following.leader_holds.extend(held);
        if following.leader_holds.len() > MAX_LOGS {
            return self.cut_off();
        }
        if more {
            return;
        }
        let holds = std::mem::take(&mut following.leader_holds);
        // A leader that does not run can take nothing into account.
        if runs {
            self.tail = Some(Tail::new(sync, &self.held, holds));
        }
    }

    pub(super) fn states_came(&mut self, sync: u64, mut states: Vec<(AlarmKey, PortableState)>) {
        let Some(following) = self.followed(sync) else { return };
        following.states.append(&mut states);
        if following.states.len() > MAX_STATES {
            self.cut_off();
        }
    }

    /// The other side says more than any has to say.
    pub(super) fn cut_off(&mut self) {
        self.end_sync();
        self.effects.push(AlarmEffect::CloseLane);
    }

    pub(super) fn included_came(&mut self, sync: u64, included: &[(Epoch, u64)]) {
        let Some(following) = self.followed(sync) else { return };
        following.included.extend(included.iter().copied());
        if following.included.len() > MAX_LOGS {
            self.cut_off();
        }
    }

    pub(super) fn shelves_came(&mut self, sync: u64, shelves: Vec<PortableShelf>) {
        let Some(following) = self.followed(sync) else { return };
        following.shelves.extend(shelves);
        following.shelves.truncate(MAX_SHELVINGS);
    }

    /// A node that does not run gives what it has; its own sync may have been cut off before it had these states. What this
    /// node took into account and the giver did not must not be gone with them.
    fn knows_less(&self, included: &Positions) -> bool {
        let less = |origin: &Epoch, last: u64| included.get(origin).copied().unwrap_or_default() < last;
        let runs = self.leader.as_ref().is_some_and(|leader| leader.running);
        let has_new =
            included.iter().any(|(origin, &last)| self.included.get(origin).copied().unwrap_or_default() < last);
        !runs && !has_new && self.included.iter().any(|(origin, &last)| less(origin, last))
    }

    /// All states have come: they take the place of this node's.
    pub(super) fn whole(&mut self, table: &mut AlarmTable, sync: u64, now: Now) {
        let Some(following) = self.followed(sync).filter(|following| following.stage == Stage::Requested) else {
            return;
        };
        following.stage = Stage::Taken;
        let states = std::mem::take(&mut following.states);
        let shelves = std::mem::take(&mut following.shelves);
        let included = std::mem::take(&mut following.included);
        if self.knows_less(&included) {
            return self.keep_own();
        }
        // Delays do not outlive a stop of both nodes.
        let kept = states.iter().map(|(key, state)| (*key, Some(PortableState { pending: None, ..state.clone() })));
        let kept = kept.collect();
        self.store_whole(kept, shelves.clone(), included.clone());
        self.included = included;
        table.replace(
            states.into_iter().map(|(key, state)| (key, AlarmState::from_portable(state, now.mono))).collect(),
            shelves.into_iter().map(|shelf| Shelf::from_portable(shelf, now.mono)).collect(),
        );
        let made = self.storing.made();
        if let Some(following) = &mut self.following {
            following.storing.push_back((0, made));
        }
        self.tell_confirmed();
    }

    fn keep_own(&mut self) {
        let made = self.storing.made();
        if let Some(following) = &mut self.following {
            following.keeps_own = true;
            following.storing.push_back((0, made));
        }
        self.tell_confirmed();
    }

    /// What happened at the leader.
    pub(super) fn items_came(
        &mut self,
        table: &mut AlarmTable,
        sync: u64,
        first: u64,
        items: Vec<AlarmItem>,
        now: Now,
    ) {
        let Some(following) = self.followed(sync).filter(|following| following.stage != Stage::Requested) else {
            return;
        };
        if first != following.applied + 1 {
            return self.effects.push(AlarmEffect::CloseLane);
        }
        // It runs by now, and its word counts.
        if following.keeps_own {
            return self.request_sync();
        }
        let no_room = |item: &AlarmItem| match item {
            AlarmItem::Entry(entry) => !self.has_room_for(entry.origin),
            AlarmItem::Included(origin, _) => !self.has_room_for(*origin),
            AlarmItem::State(..) => false,
        };
        if items.iter().any(no_room) {
            return self.cut_off();
        }
        let Some(following) = &mut self.following else { return };
        following.applied += items.len() as u64;
        self.leave_out_if_full();
        let Some(following) = &mut self.following else { return };
        let left_out = following.left_out;
        let applied = following.applied;
        for item in items {
            match item {
                AlarmItem::Entry(entry) => {
                    let entry = Arc::new(entry);
                    if !left_out && !self.takes(&entry) {
                        // It follows on what this node holds, or one of the two has counted wrongly.
                        return self.effects.push(AlarmEffect::CloseLane);
                    }
                    table.apply(&entry, now.mono);
                    self.entries_total += 1;
                    if !mutant::on(Mutant::AckIdsForgotten) {
                        self.operations.remember(&entry, now.mono);
                    }
                    let included = self.included.entry(entry.origin).or_default();
                    *included = entry.position.max(*included);
                    if left_out {
                        self.store_effect(table, &entry, now.mono);
                    } else {
                        self.store_entry(table, &entry, now.mono);
                    }
                }
                AlarmItem::State(key, state) => {
                    let state = AlarmState::from_portable(state, now.mono);
                    self.store_state(key, &state, now.mono);
                    table.set_state(key, state);
                }
                AlarmItem::Included(origin, position) => {
                    self.included.insert(origin, position);
                    self.store_included(origin, position);
                }
            }
        }
        let made = self.storing.made();
        if let Some(following) = self.following.as_mut().filter(|_| !left_out) {
            following.storing.push_back((applied, made));
        }
        self.tell_confirmed();
    }

    /// More waits for the disk than may: from here on the states go on, and the journal is not complete.
    fn leave_out_if_full(&mut self) {
        let full = self.storing.is_full();
        if let Some(following) = self.following.as_mut().filter(|following| full && following.stage != Stage::Requested)
        {
            following.left_out = true;
            following.complete = None;
            following.equal = false;
            following.stage = Stage::Taken;
        }
    }

    /// Tells the leader how far this node is.
    pub(super) fn tell_confirmed(&mut self) {
        let done = self.storing.done();
        let Some(following) = self.following.as_mut().filter(|following| following.stage != Stage::Requested) else {
            return;
        };
        while let Some(&(item, made)) = following.storing.front()
            && (made <= done || mutant::on(Mutant::AlarmStoredIsApplied))
        {
            following.stored = following.stored.max(item);
            following.storing.pop_front();
        }
        let complete = following.complete.is_some_and(|made| made <= done);
        let (sync, applied) = (following.sync, following.applied);
        let stored = complete.then_some(following.stored);
        if following.told.replace((applied, stored)) != Some((applied, stored)) {
            self.send_frame(&AlarmFrame::Confirm { sync, applied, stored });
        }
        self.tell_equal();
    }

    /// In sync is whoever has everything on its disk: from then on the leader takes its word for what it asked for before.
    fn tell_equal(&mut self) {
        let done = self.storing.done();
        let Some(following) = self.following.as_mut().filter(|following| following.equal) else { return };
        if following.complete.is_some_and(|made| made <= done) {
            following.equal = false;
            following.stage = Stage::InSync;
            self.mismatches = 0;
            let sync = following.sync;
            self.send_frame(&AlarmFrame::Compared { sync, equal: true });
        }
    }

    pub(super) fn follower_is_complete(&mut self, sync: u64) {
        let made = self.storing.made();
        if let Some(following) = self.followed(sync).filter(|following| !following.left_out) {
            following.complete = Some(made);
            self.tell_confirmed();
        }
    }

    pub(super) fn compare(
        &mut self,
        table: &AlarmTable,
        sync: u64,
        (list, digest): (u64, u64),
        held: &[(Epoch, u64)],
        now: Millis,
    ) {
        let comparable = list == table.list().hash();
        // It asks anew for what it should have been given.
        let lacks = held.iter().any(|(origin, last)| self.held.get(origin).is_none_or(|held| held < last));
        let Some(following) = self.followed(sync).filter(|following| following.stage != Stage::Requested) else {
            return;
        };
        if following.complete.is_none() {
            return;
        }
        // With other alarms on the two nodes the states that both have cannot be told from the digests.
        following.equal = !lacks && (!comparable || following.keeps_own || digest == table.digest());
        if following.equal {
            return self.tell_equal();
        }
        self.mismatches = self.mismatches.saturating_add(1);
        self.ask_again(sync, now);
        self.send_frame(&AlarmFrame::Compared { sync, equal: false });
    }
}
