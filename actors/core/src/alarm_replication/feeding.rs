//! The leader's side: its states as they are, then what happens, as fast as its follower confirms.

use std::collections::VecDeque;

use super::frames::{
    AlarmFrame, AlarmItem, FRAME_BYTES, ITEMS_PER_FRAME, POSITIONS_PER_FRAME, size_of_item, size_of_state,
};
use super::tail::MAX_SKIPPED;
use super::{AlarmEffect, AlarmReplication, Role, Tail};
use crate::alarms::{AlarmTable, Positions};
use crate::mutant::{self, Mutant};
use crate::replicator::Now;
use crate::types::{Epoch, Millis};

/// So many items may be under way unconfirmed.
const WINDOW_ITEMS: u64 = if cfg!(test) { 6 } else { 4096 };
/// So many may wait besides; a follower that is further behind gets the states anew.
const MAX_WAITING: usize = if cfg!(test) { 32 } else { 65_536 };
/// A follower that confirms none of what is under way for so long is stuck.
const STUCK_MS: u64 = 10_000;
/// The most logs that are remembered of what the other side says.
pub(super) const MAX_LOGS: usize = 1 << 20;

/// A follower of this node.
#[derive(Debug)]
pub(super) struct Feeding {
    sync: u64,
    /// A number of this node's own: a follower that was restarted counts its syncs anew.
    number: u64,
    /// What it said that it holds, until all of it was said.
    holds: Positions,
    /// All of that was said.
    asked: bool,
    /// It got the states.
    begun: bool,
    items: VecDeque<AlarmItem>,
    sent: u64,
    applied: u64,
    /// Up to which item it has everything on its disk; none: its journal lacks something.
    stored: Option<u64>,
    digest_wanted: bool,
    verify_at: Millis,
    /// It compared and found both equal, and nothing was asked since.
    equal: bool,
    progress_at: Millis,
    /// When the oldest unconfirmed item was sent.
    waits_since: Option<Millis>,
    late: bool,
}

impl Feeding {
    pub(super) fn sync(&self) -> u64 {
        self.sync
    }

    /// Tells this follower's sync from every other one of this node.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the follower is in sync, so that its word is worth waiting for.
    pub(super) fn is_live(&self) -> bool {
        self.begun && self.equal
    }

    /// Whether it has confirmed everything.
    pub(super) fn has_all(&self) -> bool {
        self.items.is_empty() && self.applied >= self.sent
    }

    pub(super) fn lag(&self) -> u64 {
        self.items.len() as u64 + (self.sent - self.applied)
    }

    /// The number of the last item there is.
    pub(super) fn last(&self) -> u64 {
        self.sent + self.items.len() as u64
    }

    /// Up to which item the follower has everything on its disk; none: its journal lacks something.
    pub(super) fn stored(&self) -> Option<u64> {
        self.stored
    }

    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    pub(super) fn push(&mut self, item: AlarmItem) {
        let dropped = mutant::on(Mutant::AlarmNotSent) && self.last().is_multiple_of(8);
        if self.begun && !dropped {
            self.items.push_back(item);
        }
    }

    pub(super) fn deadline(&self, late_ms: u64) -> Option<Millis> {
        let verify = (self.is_live() && !self.digest_wanted).then_some(self.verify_at);
        let late = self.waits_since.filter(|_| !self.late).map(|since| since.plus(late_ms));
        let stuck = self.waits_since.map(|_| self.progress_at.plus(STUCK_MS));
        [verify, late, stuck].into_iter().flatten().min()
    }
}

impl AlarmReplication {
    /// A follower asks for this node's alarms.
    pub(super) fn sync_requested(&mut self, sync: u64, leader: Epoch, held: Vec<(Epoch, u64)>, more: bool, now: Now) {
        let leads_another = self.role != Role::Standby && leader != self.pen.origin;
        if self.leader.is_some() || self.following.is_some() || leads_another {
            return self.send_frame(&AlarmFrame::NotNow { sync });
        }
        if self.feeding.as_ref().is_none_or(|feeding| feeding.sync != sync || feeding.asked) {
            self.end_sync();
            self.feedings += 1;
            self.feeding = Some(Feeding {
                sync,
                number: self.feedings,
                holds: Positions::new(),
                asked: false,
                begun: false,
                items: VecDeque::new(),
                sent: 0,
                applied: 0,
                stored: None,
                digest_wanted: false,
                verify_at: now.mono,
                equal: false,
                progress_at: now.mono,
                waits_since: None,
                late: false,
            });
        }
        // Should this node follow its follower one day, its own syncs have other numbers than those on their way here.
        self.next_sync = self.next_sync.max(sync.saturating_add(1));
        let Some(feeding) = &mut self.feeding else { return };
        feeding.holds.extend(held);
        if feeding.holds.len() > MAX_LOGS {
            self.end_sync();
            return self.effects.push(AlarmEffect::CloseLane);
        }
        if more {
            return;
        }
        feeding.asked = true;
        let holds = std::mem::take(&mut feeding.holds);
        self.go_on_behind(&holds);
        self.tail = Some(Tail::new(sync, &self.held, holds));
        let held: Vec<_> = self.held.iter().map(|(origin, last)| (*origin, *last)).collect();
        let mut chunks = held.chunks(POSITIONS_PER_FRAME).peekable();
        loop {
            let held = chunks.next().unwrap_or_default().to_vec();
            let more = chunks.peek().is_some();
            self.send_frame(&AlarmFrame::Held { sync, held, more });
            if !more {
                return;
            }
        }
    }

    /// A follower that holds more of this node's own log than there is was told so by somebody else, and would never take
    /// the entries that have the numbers of those: the log goes on behind them.
    fn go_on_behind(&mut self, holds: &Positions) {
        let Some(&theirs) = holds.get(&self.pen.origin).filter(|_| self.role != Role::Standby) else { return };
        let held = self.held.get(&self.pen.origin).copied().unwrap_or(0);
        if theirs > held && theirs <= MAX_SKIPPED {
            self.held.insert(self.pen.origin, theirs);
            self.included.insert(self.pen.origin, theirs);
            self.store_skipped(self.pen.origin, theirs);
            self.pen.next = theirs + 1;
        }
    }

    /// The follower's journal lacks nothing: everything as it is at this moment. So it never has the effect of an entry
    /// that it does not hold, and that nobody may have any more when this node is gone.
    pub(super) fn send_whole(&mut self, table: &AlarmTable, sync: u64, now: Millis) {
        let (mut states, mut bytes) = (Vec::new(), 0);
        let mut frames = Vec::new();
        for (key, state) in table.states() {
            let state = state.to_portable(now);
            bytes += size_of_state(&state);
            states.push((key, state));
            if states.len() >= ITEMS_PER_FRAME || bytes >= FRAME_BYTES {
                frames.push(AlarmFrame::States { sync, states: std::mem::take(&mut states) });
                bytes = 0;
            }
        }
        frames.push(AlarmFrame::States { sync, states });
        let included: Vec<_> = self.included.iter().map(|(origin, last)| (*origin, *last)).collect();
        frames.extend(
            included
                .chunks(POSITIONS_PER_FRAME)
                .map(|included| AlarmFrame::Included { sync, included: included.to_vec() }),
        );
        let shelves: Vec<_> = table
            .shelves()
            .filter(|_| !mutant::on(Mutant::ShelvesNotSent))
            .map(|shelf| shelf.to_portable(now))
            .collect();
        frames.extend(
            shelves
                .chunks(64.min(ITEMS_PER_FRAME))
                .map(|shelves| AlarmFrame::Shelves { sync, shelves: shelves.to_vec() }),
        );
        frames.push(AlarmFrame::Whole { sync });
        for frame in frames {
            self.send_frame(&frame);
        }
        if let Some(feeding) = &mut self.feeding {
            feeding.begun = true;
            feeding.digest_wanted = true;
        }
    }

    /// Sends what waits, within the follower's credit.
    pub(super) fn pump(&mut self, table: &AlarmTable, now: Now) {
        self.watch_follower(now.mono);
        let Some(feeding) = self.feeding.as_mut().filter(|feeding| feeding.begun) else { return };
        if feeding.items.len() > MAX_WAITING {
            // It gets the states anew, when it asks.
            let sync = feeding.sync;
            self.end_sync();
            return self.send_frame(&AlarmFrame::NotNow { sync });
        }
        let sync = feeding.sync;
        while let Some(feeding) = &mut self.feeding
            && !feeding.items.is_empty()
            && feeding.sent - feeding.applied < WINDOW_ITEMS
        {
            let (mut items, mut bytes) = (Vec::new(), 0);
            while bytes < FRAME_BYTES
                && items.len() < ITEMS_PER_FRAME
                && let Some(item) = feeding.items.pop_front()
            {
                bytes += size_of_item(&item);
                items.push(item);
            }
            let first = feeding.sent + 1;
            feeding.sent += items.len() as u64;
            if feeding.waits_since.is_none() {
                feeding.waits_since = Some(now.mono);
                feeding.progress_at = now.mono;
            }
            self.send_frame(&AlarmFrame::Items { sync, first, items });
        }
        let Some(feeding) = &mut self.feeding else { return };
        if feeding.is_live() && now.mono >= feeding.verify_at {
            feeding.digest_wanted = true;
        }
        // Only between items: then it speaks of what the follower holds when it comes to it.
        if feeding.digest_wanted && feeding.items.is_empty() {
            feeding.digest_wanted = false;
            feeding.verify_at = now.mono.plus(self.settings.verify_every_ms);
            let newest = self.held.iter().rev().take(POSITIONS_PER_FRAME);
            let held = newest.map(|(origin, last)| (*origin, *last)).collect();
            let (list, digest) = (table.list().hash(), table.digest());
            self.send_frame(&AlarmFrame::Digest { sync, list, digest, held });
        }
    }

    /// A follower that stops confirming is not ready for a failover.
    fn watch_follower(&mut self, now: Millis) {
        let Some(feeding) = &mut self.feeding else { return };
        let Some(since) = feeding.waits_since else { return };
        if now >= feeding.progress_at.plus(STUCK_MS) {
            self.end_sync();
            return self.effects.push(AlarmEffect::CloseLane);
        }
        feeding.late |= now >= since.plus(self.settings.replication_timeout_ms);
    }

    /// The follower confirms.
    pub(super) fn confirmed(&mut self, sync: u64, applied: u64, stored: Option<u64>, now: Millis) {
        let Some(feeding) = self.feeding.as_mut().filter(|feeding| feeding.sync == sync) else { return };
        // It cannot have what was not sent.
        let applied = applied.min(feeding.sent);
        if applied > feeding.applied {
            feeding.progress_at = now;
            feeding.applied = applied;
            feeding.waits_since = (applied < feeding.sent).then_some(now);
        }
        feeding.stored = stored.map(|stored| stored.min(feeding.applied)).max(feeding.stored);
        if feeding.applied == feeding.sent {
            feeding.late = false;
        }
    }

    /// The follower compared.
    pub(super) fn compared(&mut self, sync: u64, equal: bool) {
        // When they differ the follower asks anew.
        if let Some(feeding) = self.feeding.as_mut().filter(|feeding| feeding.sync == sync && feeding.begun) {
            feeding.equal = equal;
        }
    }
}
