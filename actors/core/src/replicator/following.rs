//! The follower's side: asks for what it does not have, applies what comes, and proves that both hold the same.

use super::feeding::Wanted;
use super::writes::stored_form;
use super::{Now, Replicator, ReplicatorView, Role, TagEffect};
use crate::arbiter::{Input, Leader};
use crate::bulk::{BatchItem, Bulk, Incoming, UNMATCHED_PER_FRAME, decode, read_batch};
use crate::catalog::TagId;
use crate::lineage::Lineage;
use crate::mutant::{self, Mutant};
use crate::tags::{Applied, Partial, TagTable};
use crate::types::{Millis, Seq, SyncPhase};
use crate::value::ValueType;
use crate::wire::WireError;

/// A refused or failed sync is asked for again after this time, longer with each failure.
const ASK_AGAIN_MS: u64 = 50;
const ASK_AGAIN_AT_MOST_MS: u64 = 5000;
/// No plant makes so many changes; a greater number is a broken peer's, and would leave no room to count on.
const MAX_SEQ: Seq = 1 << 62;

/// More tags than this no leader has: a project has a quarter of it at most. What is known of each stays in memory.
const MAX_TAGS: usize = if cfg!(test) { 200_000 } else { 1 << 22 };

/// A sync that this node asked for.
#[derive(Debug)]
pub(super) struct Following {
    sync: u64,
    from: Seq,
    stage: Stage,
    /// This node's tag for each of the leader's; none: the tag lists are equal.
    map: Option<Vec<Option<TagId>>>,
    unmatched: Vec<u32>,
    expected: u64,
    received: u64,
    frames: u64,
    leader_last: Seq,
    applied: Seq,
    /// What the leader was told last: batches received, changes applied, and on disk.
    told: Option<(u64, Seq, Seq)>,
    ask_again_at: Option<Millis>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Requested,
    Filling,
    InSync,
}

impl Following {
    pub(super) fn phase(&self) -> SyncPhase {
        match self.stage {
            Stage::Requested => SyncPhase::None,
            Stage::Filling if self.from == 0 => SyncPhase::Full,
            Stage::Filling | Stage::InSync => SyncPhase::Incremental,
        }
    }

    pub(super) fn sync(&self) -> u64 {
        self.sync
    }

    pub(super) fn in_sync(&self) -> bool {
        self.stage == Stage::InSync
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.ask_again_at
    }

    pub(super) fn show(&self, view: &mut ReplicatorView) {
        view.phase = self.phase();
        view.peer_seq = self.leader_last;
        view.lag_updates = self.leader_last.saturating_sub(self.applied);
        view.progress = match self.stage {
            Stage::InSync => 1.0,
            _ if self.expected == 0 => 0.0,
            _ => (self.received as f64 / self.expected as f64).min(1.0),
        };
    }

    fn local(&self, id: u32) -> Option<TagId> {
        match &self.map {
            None => Some(TagId(id)),
            Some(map) => map.get(id as usize).copied().flatten(),
        }
    }
}

impl Replicator {
    /// The arbiter names whom to follow.
    pub(super) fn follow(&mut self, table: &mut TagTable, leader: Leader, now: Now) {
        self.end_feeding(table);
        self.parted |= self.diverged(&leader, &leader.lineage).is_some();
        self.between_leaders = false;
        self.leader = Some(leader);
        self.following = None;
        self.request_sync(table, now.mono);
        self.tell_facts(table);
        if self.peer_leads() {
            self.take_waiting(table, now);
        }
    }

    /// Asks the leader for what this node does not have, if there is a leader and a way to ask.
    pub(super) fn request_sync(&mut self, table: &TagTable, _now: Millis) {
        let (Some(leader), true, Role::Standby) = (&self.leader, self.lane.is_some(), self.role) else { return };
        let diverged = self.diverged(leader, &leader.lineage).is_some();
        if diverged || self.mismatches > 0 {
            self.partial = None;
        }
        let from = if diverged || self.mismatches > 0 { 0 } else { self.followed_to };
        let here = leader.lineage.epoch();
        let partial = self.partial.filter(|(of, _)| *of == here && from == 0).map(|(_, partial)| partial);
        let request =
            Bulk::SyncRequest { sync: self.next_sync, leader: here, from, tag_list: table.catalog().hash(), partial };
        self.following = Some(Following {
            sync: self.next_sync,
            from,
            stage: Stage::Requested,
            map: None,
            unmatched: Vec::new(),
            expected: 0,
            received: 0,
            frames: 0,
            leader_last: 0,
            applied: self.followed_to,
            told: None,
            ask_again_at: None,
        });
        self.next_sync += 1;
        self.send_frame(&request);
    }

    pub(super) fn request_again(&mut self, table: &TagTable, now: Millis) {
        if self.following.as_ref().is_some_and(|f| f.ask_again_at.is_some_and(|at| now >= at)) {
            self.request_sync(table, now);
        }
    }

    /// The fork point, when this node has changes past it that its leader does not have.
    fn diverged(&self, leader: &Leader, lineage: &Lineage) -> Option<Seq> {
        let mine = self.followed_to.max(self.restored_to);
        // A Running leader has everything of its own tenure that anybody can have.
        let theirs = if leader.running { Seq::MAX } else { leader.applied };
        let fork = self.lineage.fork_point(mine, lineage, theirs);
        (fork < mine).then_some(fork)
    }

    /// A frame of the bulk connection.
    pub(super) fn frame(&mut self, table: &mut TagTable, body: &[u8], now: Now) {
        let result = match decode(body) {
            Ok(Incoming::Batch(batch)) => self.batch(table, batch, now.mono),
            Ok(Incoming::Message(message)) => {
                self.message(table, message, now);
                Ok(())
            }
            Err(WireError::UnknownMessage { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.effects.push(TagEffect::CloseLane);
        }
    }

    fn message(&mut self, table: &mut TagTable, message: Bulk, now: Now) {
        match message {
            Bulk::SyncRequest { sync, leader, from, tag_list, partial } => {
                self.sync_requested(table, &Wanted { sync, leader, from, tag_list, partial }, now.mono);
            }
            Bulk::Unmatched { sync, ids, more } => self.unmatched(table, sync, ids, more),
            Bulk::Ack { sync, frames, applied, durable } => self.confirmed(sync, frames, applied, durable, now.mono),
            Bulk::DigestResult { sync, equal } => self.compared(table, sync, equal),
            // It was heard.
            Bulk::Beat => {}
            Bulk::Divergent { .. } => self.others_changes(table, message, now),
            Bulk::SyncRefused { sync, .. } => self.ask_again(sync, now.mono),
            Bulk::SyncStart { sync, lineage, from, last, count, stale_before, paths_follow, resumed } => {
                if self.is_current(sync) {
                    let epoch = lineage.epoch();
                    let resumed = resumed && self.partial.is_some_and(|(of, _)| of == epoch);
                    if !resumed {
                        self.partial = Some((epoch, Partial { below: 0, since: last }));
                    }
                    self.sync_started(table, lineage, from, stale_before, resumed, now);
                    if let Some(following) = &mut self.following {
                        following.expected = count;
                        following.leader_last = last;
                        following.map = paths_follow.then(Vec::new);
                    }
                }
            }
            Bulk::Paths { sync, first, paths, more } => {
                let paths = paths.iter().map(|(path, of)| local_tag(table, path, *of)).collect::<Vec<_>>();
                self.map_paths(sync, first, &paths, more, now.mono);
            }
            Bulk::Digest { sync, digest, .. } => self.compare(table, sync, digest, now.mono),
            Bulk::DivergentTaken { sync, .. } => {
                if self.is_current(sync) {
                    self.handed_over(table, now);
                }
            }
        }
    }

    fn is_current(&self, sync: u64) -> bool {
        self.role == Role::Standby && self.following.as_ref().is_some_and(|following| following.sync == sync)
    }

    fn ask_again(&mut self, sync: u64, now: Millis) {
        if let Some(following) = self.following.as_mut().filter(|following| following.sync == sync) {
            following.ask_again_at = Some(now.plus(ASK_AGAIN_MS));
        }
    }

    /// This node's data joins the leader's lineage.
    fn sync_started(
        &mut self,
        table: &mut TagTable,
        lineage: Lineage,
        from: Seq,
        stale_before: Seq,
        resumed: bool,
        now: Now,
    ) {
        let Some(leader) = &self.leader else { return };
        let durable = self.durable(table);
        let fork = self.diverged(leader, &lineage);
        let running = leader.running;
        if let Some(fork) = fork.filter(|_| !mutant::on(Mutant::DivergentDropped)) {
            self.parted = true;
            self.keep_divergent(table, fork, now);
        }
        let from = if fork.is_some() { 0 } else { from.min(self.followed_to) };
        let durable = durable.min(fork.unwrap_or(durable));
        if let Some(fork) = fork {
            self.part_pending(fork);
        }
        if lineage != self.lineage {
            self.lineage = lineage.clone();
            self.old_stores = self.stores_under_way;
            self.stores_under_way += 1;
            if mutant::on(Mutant::AdoptionNotStored) {
                self.stores_under_way -= 1;
            } else {
                self.effects.push(TagEffect::Adopt { lineage: lineage.clone(), durable });
                self.effects.push(TagEffect::ToArbiter(Input::Adopted(lineage)));
            }
        }
        self.stored_to = durable;
        self.restored_to = 0;
        self.followed_to = from;
        if !resumed {
            table.begin_following(from);
        }
        table.set_stale_before(stale_before);
        if let Some(following) = &mut self.following {
            following.stage = Stage::Filling;
            following.from = from;
            following.applied = from;
        }
        if running {
            self.hand_over_divergent(table, now);
        }
        self.tell_facts(table);
    }

    fn map_paths(&mut self, sync: u64, first: u32, tags: &[Option<TagId>], more: bool, now: Millis) {
        if !self.is_current(sync) {
            return;
        }
        let Some(following) = &mut self.following else { return };
        let Some(map) = following.map.as_mut().filter(|map| map.len() == first as usize) else {
            return self.ask_again(sync, now);
        };
        if map.len() + tags.len() > MAX_TAGS {
            self.following = None;
            return self.effects.push(TagEffect::CloseLane);
        }
        for (place, tag) in tags.iter().enumerate() {
            map.push(*tag);
            if tag.is_none() {
                following.unmatched.push(first + place as u32);
            }
        }
        if more {
            return;
        }
        let ids = std::mem::take(&mut following.unmatched);
        let mut chunks = ids.chunks(UNMATCHED_PER_FRAME).peekable();
        loop {
            let ids = chunks.next().unwrap_or_default().to_vec();
            let more = chunks.peek().is_some();
            self.send_frame(&Bulk::Unmatched { sync, ids, more });
            if !more {
                return;
            }
        }
    }

    fn batch(&mut self, table: &mut TagTable, body: &[u8], now: Millis) -> Result<(), WireError> {
        let Some(following) = self.following.as_mut().filter(|_| self.role == Role::Standby) else { return Ok(()) };
        let (mut current, mut beyond, mut last, mut watermark) = (false, false, 0, 0);
        let mut retained = Vec::new();
        let mut below = 0;
        let operations = &mut self.operations;
        let mut records = Vec::new();
        let header = read_batch(body, |item| match item {
            BatchItem::Header(header) => {
                current = header.sync == following.sync && following.stage != Stage::Requested;
                (last, watermark) = (header.last.min(MAX_SEQ), header.watermark);
            }
            BatchItem::Update(id, seq, mut sample) if current => {
                if mutant::on(Mutant::FollowerStamps) && following.stage == Stage::InSync {
                    sample.time.0 += 1;
                }
                beyond |= seq > last;
                below = below.max(id.saturating_add(1));
                if !beyond
                    && let Some(id) = following.local(id)
                    && table.apply(id, seq, sample) == Applied::Taken
                    && table.is_retained(id)
                {
                    retained.extend(stored_form(table, id, seq));
                }
            }
            BatchItem::Operation { record, age_ms } if current => {
                // A record goes with or after the changes of its operation. One from the future would never be sent on.
                beyond |= record.seq > watermark;
                records.push((record, age_ms));
            }
            BatchItem::Update(..) | BatchItem::Operation { .. } => {}
        })?;
        if !current {
            return Ok(());
        }
        if header.watermark > header.last || beyond || header.last > MAX_SEQ {
            return Err(WireError::malformed("a batch holds change numbers beyond its last"));
        }
        for (record, age_ms) in records {
            operations.insert_aged(record, age_ms, now);
        }
        following.frames += 1;
        following.received += u64::from(header.updates);
        following.leader_last = header.last;
        self.updates_total += u64::from(header.updates);
        self.followed_to = self.followed_to.max(header.watermark);
        // The leader sends tags in the order of their ids until each was sent once; then there is a position.
        match &mut self.partial {
            Some((_, partial)) if self.followed_to == 0 => partial.below = partial.below.max(below),
            _ => self.partial = None,
        }
        following.applied = self.followed_to;
        table.raise_last_seq(header.watermark);
        self.persist(self.followed_to, retained);
        self.acknowledge(table);
        Ok(())
    }

    /// Tells the leader how far this node is.
    pub(super) fn acknowledge(&mut self, table: &TagTable) {
        let durable = if mutant::on(Mutant::DurableIsApplied) { self.followed_to } else { self.durable(table) };
        let applied = self.followed_to;
        let Some(following) = self.following.as_mut().filter(|following| following.stage != Stage::Requested) else {
            return;
        };
        let (sync, frames) = (following.sync, following.frames);
        // The disk answers for each batch; most of its answers change nothing that the leader waits for.
        if following.told.replace((frames, applied, durable)) != Some((frames, applied, durable)) {
            self.send_frame(&Bulk::Ack { sync, frames, applied, durable });
        }
    }

    fn compare(&mut self, table: &TagTable, sync: u64, digest: u64, now: Millis) {
        if !self.is_current(sync) {
            return;
        }
        let Some(following) = &mut self.following else { return };
        let own = match &following.map {
            None => table.digest(),
            Some(map) => table.digest_of(map.iter().copied().flatten()),
        };
        let equal = own == digest || mutant::on(Mutant::TagSyncOneChunkEarly);
        if equal {
            following.stage = Stage::InSync;
            self.mismatches = 0;
            if self.leader.as_ref().is_some_and(|leader| leader.running) {
                // What the leader once handed over came back with the rest.
                self.held_divergent.forget();
            }
        } else {
            following.stage = Stage::Filling;
            self.mismatches += 1;
            let wait = ASK_AGAIN_MS << self.mismatches.min(10);
            following.ask_again_at = Some(now.plus(wait.min(ASK_AGAIN_AT_MOST_MS)));
        }
        self.send_frame(&Bulk::DigestResult { sync, equal });
        self.tell_facts(table);
    }
}

/// This node's tag of that path, if it is of that type.
fn local_tag(table: &TagTable, path: &str, of: ValueType) -> Option<TagId> {
    let id = table.catalog().find(path)?;
    (table.catalog().get(id)?.value_type == of).then_some(id)
}
