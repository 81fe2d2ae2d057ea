//! The leader's side: its outbox over the bulk connection, as fast as its follower confirms.

use std::collections::VecDeque;

use super::{Now, Replicator, ReplicatorView, Role, TagEffect};
use crate::bulk::{BatchWriter, Bulk, PATHS_PER_FRAME};
use crate::catalog::TagId;
use crate::mutant::{self, Mutant};
use crate::tags::{Partial, TagTable};
use crate::types::{Epoch, Millis, Seq, SyncPhase};

/// So many batches may be under way unconfirmed. It bounds what a slow follower costs.
const WINDOW_FRAMES: u64 = 8;
/// So much goes into a batch: what a link carries in a moment, and less than a frame's limit.
const BATCH_BYTES: usize = 128 * 1024;
/// So many changes go into a batch at most.
pub const BATCH_UPDATES: usize = 8192;
/// A follower that confirms none of what is under way for so long is stuck: even 1 Mbit/s carries a batch each second.
const STUCK_MS: u64 = 10_000;

/// What a follower asks for: see [`Bulk::SyncRequest`].
pub(super) struct Wanted {
    pub sync: u64,
    pub leader: Epoch,
    pub from: Seq,
    pub tag_list: u64,
    pub partial: Option<Partial>,
}

/// A follower of this node.
#[derive(Debug)]
pub(super) struct Feeding {
    sync: u64,
    from: Seq,
    partial: Option<Partial>,
    stage: Stage,
    excluded: Vec<TagId>,
    writer: BatchWriter,
    frames_sent: u64,
    frames_confirmed: u64,
    /// When each unconfirmed frame was sent.
    under_way: VecDeque<Millis>,
    /// When the follower last confirmed a batch, or was sent one with nothing else under way.
    progress_at: Millis,
    watermark: Seq,
    applied: Seq,
    durable: Seq,
    digest_wanted: bool,
    verify_at: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The follower says which of this node's tags it has.
    Mapping,
    /// It takes what it does not have yet.
    Filling,
    /// Digests were equal: it is in sync.
    Live,
}

impl Feeding {
    /// The follower confirmed changes up to here: in its table, on its disk.
    pub(super) fn confirmed(&self) -> (Seq, Seq) {
        (self.applied, self.durable)
    }

    /// It is known what the follower has: the rest waits for it.
    fn fill(&mut self, table: &mut TagTable) {
        self.stage = Stage::Filling;
        match self.partial {
            Some(partial) => table.resume_outbox(partial, &self.excluded),
            None => table.open_outbox(self.from, &self.excluded),
        }
    }

    pub(super) fn is_of(&self, sync: u64) -> bool {
        self.sync == sync
    }

    /// Whether the follower is in sync, so that its word is worth waiting for.
    pub(super) fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// When something is due; `late_ms`: a batch unconfirmed for so long makes the follower late.
    pub(super) fn deadline(&self, late_ms: u64, is_late: bool) -> Option<Millis> {
        let verify = (self.stage == Stage::Live && !self.digest_wanted).then_some(self.verify_at);
        let late = if is_late { None } else { self.late_at(late_ms) };
        let stuck = (!self.under_way.is_empty()).then(|| self.progress_at.plus(STUCK_MS));
        [verify, late, stuck].into_iter().flatten().min()
    }

    /// When the follower, in sync so far, will be late with its oldest unconfirmed batch.
    fn late_at(&self, late_ms: u64) -> Option<Millis> {
        self.under_way.front().filter(|_| self.stage == Stage::Live).map(|sent| sent.plus(late_ms))
    }

    /// Whether it is, now.
    pub(super) fn is_late(&self, late_ms: u64, now: Millis) -> bool {
        self.late_at(late_ms).is_some_and(|at| now >= at)
    }

    pub(super) fn show(&self, table: &TagTable, now: Millis, view: &mut ReplicatorView) {
        let outbox = table.outbox();
        let (pending, total) = outbox.map_or((0, 0), |outbox| (outbox.pending, outbox.total_at_open));
        view.peer_seq = self.applied;
        view.lag_updates = table.last_seq().saturating_sub(self.applied);
        view.lag_ms = self.under_way.front().map_or(0, |&sent| now.since(sent));
        let filling = self.stage != Stage::Live;
        view.phase = if filling && self.from == 0 { SyncPhase::Full } else { SyncPhase::Incremental };
        view.progress = if filling && total > 0 { 1.0 - pending as f64 / total as f64 } else { 1.0 };
    }
}

impl Replicator {
    /// A follower asks for this node's changes.
    pub(super) fn sync_requested(&mut self, table: &mut TagTable, wanted: &Wanted, now: Millis) {
        let Wanted { sync, leader, from, tag_list, partial } = *wanted;
        self.end_feeding(table);
        let refused = if self.following.is_some() || self.leader.is_some() {
            Some("this node follows its peer itself")
        } else if leader != self.lineage.epoch() {
            Some("this node is in another epoch")
        } else {
            None
        };
        if let Some(reason) = refused {
            return self.send_frame(&Bulk::SyncRefused { sync, reason: reason.into() });
        }
        self.forget_half_of_divergent();
        let from = if from > table.last_seq() { 0 } else { from };
        let partial = partial.filter(|partial| from == 0 && partial.since <= table.last_seq());
        let paths_follow = tag_list != table.catalog().hash();
        let mut feeding = Feeding {
            sync,
            from,
            partial,
            stage: Stage::Mapping,
            excluded: Vec::new(),
            writer: BatchWriter::new(),
            frames_sent: 0,
            frames_confirmed: 0,
            under_way: VecDeque::new(),
            progress_at: now,
            watermark: 0,
            applied: from,
            durable: 0,
            digest_wanted: true,
            verify_at: now,
        };
        if !paths_follow {
            feeding.fill(table);
            self.operations.open_feed();
        }
        self.feeding = Some(feeding);
        let count = table.outbox().map_or(table.catalog().len(), |outbox| outbox.pending) as u64;
        self.send_frame(&Bulk::SyncStart {
            sync,
            lineage: self.lineage.clone(),
            from,
            last: table.last_seq(),
            count,
            stale_before: table.stale_before(),
            paths_follow,
            resumed: partial.is_some(),
        });
        if paths_follow {
            self.send_paths(table, sync);
        }
    }

    fn send_paths(&mut self, table: &TagTable, sync: u64) {
        let tags: Vec<_> = table.catalog().iter().map(|(_, tag)| (tag.path.clone(), tag.value_type)).collect();
        let mut chunks = tags.chunks(PATHS_PER_FRAME).peekable();
        let mut first = 0;
        loop {
            let paths = chunks.next().unwrap_or_default().to_vec();
            let next = first + paths.len() as u32;
            let more = chunks.peek().is_some();
            self.send_frame(&Bulk::Paths { sync, first, paths, more });
            first = next;
            if !more {
                return;
            }
        }
    }

    /// The follower's answer to the paths.
    pub(super) fn unmatched(&mut self, table: &mut TagTable, sync: u64, ids: Vec<u32>, more: bool) {
        let Some(feeding) = self.feeding.as_mut().filter(|f| f.sync == sync && f.stage == Stage::Mapping) else {
            return;
        };
        let room = table.catalog().len().saturating_sub(feeding.excluded.len());
        feeding.excluded.extend(ids.into_iter().map(TagId).take(room));
        if !more {
            feeding.fill(table);
            self.operations.open_feed();
            if !feeding.excluded.is_empty() {
                self.pendings.wait_for_disk_alone();
            }
        }
    }

    /// Sends what waits, within the follower's credit.
    pub(super) fn pump(&mut self, table: &mut TagTable, now: Now) {
        let last = table.last_seq();
        let Some(feeding) = &mut self.feeding else { return };
        if feeding.stage == Stage::Live && now.mono >= feeding.verify_at {
            feeding.digest_wanted = true;
        }
        while feeding.stage != Stage::Mapping {
            let Some(outbox) = table.outbox() else { return };
            if mutant::on(Mutant::TagSyncOneChunkEarly) && feeding.frames_sent == 0 && feeding.digest_wanted {
                feeding.digest_wanted = false;
                let early = Bulk::Digest { sync: feeding.sync, at: last, digest: table.digest(), tags: 0 };
                self.effects.extend(crate::bulk::encode(&early).ok().map(TagEffect::ToLane));
                continue;
            }
            if outbox.pending == 0 && self.operations.unsent() == 0 && outbox.watermark <= feeding.watermark {
                // Without credit too: under load there is credit only while something waits.
                if feeding.digest_wanted {
                    feeding.digest_wanted = false;
                    feeding.verify_at = now.mono.plus(self.settings.verify_every_ms);
                    let tags = (table.catalog().len() - feeding.excluded.len()) as u64;
                    let wrong = u64::from(feeding.stage == Stage::Live && mutant::on(Mutant::ComparedWrong));
                    let digest = Bulk::Digest { sync: feeding.sync, at: last, digest: table.digest() ^ wrong, tags };
                    self.send_frame(&digest);
                }
                return;
            }
            let credit = if mutant::on(Mutant::WindowWithoutLimit) { u64::MAX } else { WINDOW_FRAMES };
            if feeding.frames_sent - feeding.frames_confirmed >= credit {
                return;
            }
            let writer = &mut feeding.writer;
            writer.start(feeding.sync);
            // A change that does not fit a batch cannot exist: the limits of a text and of a batch say so.
            let drained = table.drain(self.settings.batch_updates, BATCH_BYTES, |id, seq, sample| {
                let _ = writer.update(id.0, seq, sample);
            });
            while writer.has_room()
                && !mutant::on(Mutant::OperationsNotSent)
                && let Some((record, age_ms)) = self.operations.next_unsent(drained.watermark, now.mono)
            {
                let _ = writer.operation(record, age_ms);
            }
            let Ok(frame) = writer.finish(drained.watermark, last) else {
                return self.effects.push(TagEffect::CloseLane);
            };
            self.effects.push(TagEffect::ToLane(frame.to_vec()));
            feeding.watermark = drained.watermark;
            feeding.frames_sent += 1;
            if feeding.under_way.is_empty() {
                feeding.progress_at = now.mono;
            }
            feeding.under_way.push_back(now.mono);
        }
    }

    /// The follower confirms.
    pub(super) fn confirmed(&mut self, sync: u64, frames: u64, applied: Seq, durable: Seq, now: Millis) {
        let Some(feeding) = self.feeding.as_mut().filter(|feeding| feeding.sync == sync) else { return };
        let frames = frames.clamp(feeding.frames_confirmed, feeding.frames_sent);
        if frames > feeding.frames_confirmed {
            feeding.progress_at = now;
        }
        feeding.under_way.drain(..(frames - feeding.frames_confirmed) as usize);
        feeding.frames_confirmed = frames;
        // It cannot have what was not sent.
        feeding.applied = applied.min(feeding.watermark).max(feeding.applied);
        feeding.durable = durable.min(feeding.applied).max(feeding.durable);
    }

    /// A follower that stops confirming is not ready for a failover, though its heart beats; one that confirms nothing
    /// for long gets a new connection.
    pub(super) fn watch_follower(&mut self, table: &mut TagTable, now: Millis) {
        let Some(feeding) = &self.feeding else { return };
        if !feeding.under_way.is_empty() && now >= feeding.progress_at.plus(STUCK_MS) {
            self.lane_is_stuck();
            return self.end_feeding(table);
        }
        if feeding.is_late(self.settings.replication_timeout_ms, now) && self.lag_mark.is_none() {
            self.lag_mark = Some((feeding.watermark, 0));
            self.tell_facts(table);
        }
    }

    /// The follower compared.
    pub(super) fn compared(&mut self, table: &TagTable, sync: u64, equal: bool) {
        let asked = |feeding: &&mut Feeding| feeding.sync == sync && feeding.stage != Stage::Mapping;
        let Some(feeding) = self.feeding.as_mut().filter(asked) else { return };
        let begins = equal && feeding.stage == Stage::Filling;
        // When they differ the follower asks anew.
        feeding.stage = if equal { Stage::Live } else { Stage::Filling };
        let (applied, durable) = feeding.confirmed();
        let (in_table, on_disk) = self.answered_alone;
        if begins && (in_table > applied || on_disk > durable) && !mutant::on(Mutant::LagForgotten) {
            // While the end of the sync was under way clients were told that something is done.
            self.lag_mark = Some(self.answered_alone);
        }
        self.tell_facts(table);
    }

    /// There is no follower (any more).
    pub(super) fn end_feeding(&mut self, table: &mut TagTable) {
        if self.feeding.take().is_some() {
            table.close_outbox();
            self.operations.close_feed();
        }
        debug_assert!(self.role != Role::Standby || table.outbox().is_none());
    }
}
