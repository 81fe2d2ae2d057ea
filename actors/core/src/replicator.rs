//! Keeping the two tag tables equal, and answering writes.
//!
//! One machine a node, beside its [`TagTable`]. Whoever *leads* numbers changes and *feeds* them to the other, which
//! *follows*. First sync, catch-up after a short loss, and live updates are one mechanism: the outbox of the table.
//! One file a chapter: `writes` (what clients and sources write), `feeding`, `following`, `divergence` (what only one
//! side has), `forwarding` (writes made at the Standby).

mod divergence;
mod feeding;
mod following;
mod forwarding;
mod io;
mod lane_watch;
#[cfg(test)]
mod tests;
mod writes;

pub use divergence::{DivergenceReport, DivergentTag};
pub use feeding::BATCH_UPDATES;
pub use io::{Published, ReplicatorView, TagEffect, TagInput, WriteOrder};

use crate::arbiter::{Input, Leader, TagFacts};
use crate::bulk::{Bulk, encode};
use crate::catalog::TagId;
use crate::lineage::{Fork, Lineage};
use crate::mutant::{self, Mutant};
use crate::operations::Operations;
use crate::protocol::Control;
use crate::tags::{Divergent, Partial, TagTable};
use crate::types::{Epoch, Millis, Seq, SyncPhase, UnixMillis};
use crate::value::Sample;
use feeding::Feeding;
use following::Following;
use forwarding::Forwarding;
use lane_watch::LaneWatch;
use writes::{Pendings, Waiting};

/// A disk that failed is tried again after this time.
const STORE_AGAIN_MS: u64 = 1000;

/// What the replicator must know of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ReplicatorSettings {
    /// A write waits so long for the peer's word.
    pub replication_timeout_ms: u64,
    /// A write waits so long for the end of a switch.
    pub switch_timeout_ms: u64,
    /// How often two tables in sync are compared anew.
    pub verify_every_ms: u64,
    /// The most changes in a batch.
    pub batch_updates: usize,
}

/// Whether this node numbers changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It takes writes.
    Leading,
    /// It takes none for the moment: a switch is under way, or it is being found out who runs.
    Quiesced,
    /// The peer leads, or nobody does.
    Standby,
}

/// The time of an input: monotonic, and of the wall for changes that bring none.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For deadlines.
    pub mono: Millis,
    /// For time stamps.
    pub wall: UnixMillis,
}

/// The state machine beside a tag table.
pub struct Replicator {
    settings: ReplicatorSettings,
    role: Role,
    lineage: Lineage,
    /// The bulk connection, while it is up.
    lane: Option<LaneWatch>,
    /// The control connection is up.
    linked: bool,
    /// Everything up to here is held, of the leader's changes; of a leader see [`Replicator::applied`].
    followed_to: Seq,
    /// Retained tags were found on disk up to here, and nothing was followed or led since.
    restored_to: Seq,
    stored_to: Seq,
    stores_under_way: u32,
    /// So many of them are of the lineage before the present one: their positions mean nothing any more.
    old_stores: u32,
    /// The disk fails: when to try again.
    store_again_at: Option<Millis>,
    /// Why it fails.
    store_trouble: Option<String>,
    awaited: Option<Seq>,
    leader: Option<Leader>,
    /// It gave Running away, and whom to follow is still on its way here.
    between_leaders: bool,
    /// It must do nothing that waited before it is known who runs.
    fenced: bool,
    /// When to ask again whether it may.
    look_again_at: Option<Millis>,
    following: Option<Following>,
    feeding: Option<Feeding>,
    operations: Operations,
    pendings: Pendings,
    waiting: Waiting,
    forwarding: Forwarding,
    divergent: Vec<Divergent>,
    divergent_fork: Seq,
    /// This node's data parted from its leader's, and a Running leader was not told yet what only this node has.
    parted: bool,
    held_divergent: divergence::Held,
    /// What it got of everything, of which tenure, before the connection was lost.
    partial: Option<(Epoch, Partial)>,
    mismatches: u32,
    next_sync: u64,
    updates_total: u64,
    /// A client was told `replicated: false` although the follower was in sync: it has caught up when it applied, and
    /// stored, up to here.
    lag_mark: Option<(Seq, Seq)>,
    /// The last change, and the last of a retained tag, that a client of this tenure was told of without the peer's word.
    answered_alone: (Seq, Seq),
    /// Watched tags that changed.
    changed: Vec<(TagId, Sample)>,
    effects: Vec<TagEffect>,
}

impl Replicator {
    /// Beside a table that was restored from disk: `lineage` and `durable` as found there.
    pub fn new(settings: ReplicatorSettings, lineage: Lineage, durable: Seq) -> Self {
        Self {
            settings,
            role: Role::Standby,
            lineage,
            lane: None,
            linked: false,
            followed_to: 0,
            restored_to: durable,
            stored_to: durable,
            stores_under_way: 0,
            old_stores: 0,
            store_again_at: None,
            store_trouble: None,
            awaited: None,
            leader: None,
            between_leaders: false,
            fenced: false,
            look_again_at: None,
            following: None,
            feeding: None,
            operations: Operations::default(),
            pendings: Pendings::default(),
            waiting: Waiting::default(),
            forwarding: Forwarding::default(),
            divergent: Vec::new(),
            divergent_fork: 0,
            parted: false,
            held_divergent: divergence::Held::default(),
            partial: None,
            mismatches: 0,
            next_sync: 1,
            updates_total: 0,
            lag_mark: None,
            answered_alone: (0, 0),
            changed: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Takes in what happened and says what is to be done, in this order.
    pub fn handle(&mut self, table: &mut TagTable, input: TagInput<'_>, now: Now) -> Vec<TagEffect> {
        match input {
            TagInput::Lead(lineage) => self.lead(table, lineage, now),
            TagInput::Quiesce => self.quiesce(table),
            TagInput::Resume => self.resume(table, now),
            TagInput::RefuseWaiting => self.refuse_waiting(),
            TagInput::StandBy => self.stand_by(table),
            TagInput::Follow(leader) => self.follow(table, leader, now),
            TagInput::AwaitApplied(seq) => self.awaited = Some(seq),
            TagInput::LaneUp => self.lane_up(table, now),
            TagInput::LaneDown => self.lane_down(table),
            TagInput::LinkUp => self.linked = true,
            TagInput::LinkDown => self.link_down(),
            TagInput::Frame(body) => {
                self.hear_lane(now.mono);
                self.frame(table, body, now);
            }
            TagInput::Write(order) => self.write(table, writes::Origin::Here(order.ticket), order, now),
            TagInput::Forward(forward) => self.forwarded_here(table, forward, now),
            TagInput::Forwarded { id, outcome } => self.take_back(table, id, outcome, now),
            TagInput::Publish(updates) => self.publish(table, updates),
            TagInput::Persisted(result) => self.persisted(table, result, now.mono),
            TagInput::Tick => {}
        }
        self.take_what_waited_behind_the_fence(table, now);
        if !self.changed.is_empty() {
            let changed = std::mem::take(&mut self.changed);
            self.effects.push(TagEffect::Changed(changed));
        }
        self.pump(table, now);
        self.settle(table, now);
        std::mem::take(&mut self.effects)
    }

    /// When [`TagInput::Tick`] is wanted next.
    pub fn next_deadline(&self) -> Option<Millis> {
        let late_ms = self.settings.replication_timeout_ms;
        let feeding = self.feeding.as_ref().and_then(|feeding| feeding.deadline(late_ms, self.lag_mark.is_some()));
        let following = self.following.as_ref().and_then(Following::deadline);
        let pending = self.pendings.deadline();
        let store = if self.stores_under_way == 0 { self.store_again_at } else { None };
        let lane = self.lane.as_ref().map(LaneWatch::deadline);
        let waiting = [self.look_again_at, self.waiting.deadline(), self.forwarding.deadline()];
        [feeding, following, pending, store, lane].into_iter().chain(waiting).flatten().min()
    }

    /// Something arrived on the bulk connection, though not for the tags.
    pub fn hear_lane(&mut self, now: Millis) {
        if let Some(lane) = &mut self.lane {
            lane.heard(now);
        }
    }

    /// Whether this node must do nothing of what waited, though it was told to lead: it stood still since, or its arbiter
    /// has taken its word back. See the gate.
    pub fn set_fenced(&mut self, fenced: bool) {
        self.fenced = fenced;
    }

    /// Whether this node takes writes and values of sources now.
    pub fn leads(&self) -> bool {
        self.role == Role::Leading
    }

    /// Where the table stands, for arbitration.
    pub fn facts(&self, table: &TagTable) -> TagFacts {
        TagFacts {
            applied: self.applied(table),
            durable: self.durable(table),
            last: table.last_seq(),
            leader: self.leader.as_ref().map_or(Epoch::NONE, |leader| leader.lineage.epoch()),
            phase: self.following.as_ref().map_or(SyncPhase::None, Following::phase),
            in_sync: self.following.as_ref().is_some_and(Following::in_sync),
            // A follower says that it is in sync a moment before its leader knows.
            lagging: self.lag_mark.is_some() || self.feeding.as_ref().is_some_and(|feeding| !feeding.is_live()),
        }
    }

    /// Whether it takes changes.
    pub fn is_leading(&self) -> bool {
        self.role == Role::Leading
    }

    /// What is shown of the replication.
    pub fn view(&self, table: &TagTable, now: Millis) -> ReplicatorView {
        let mut view = ReplicatorView {
            phase: SyncPhase::None,
            progress: 0.0,
            local_seq: self.applied(table),
            peer_seq: 0,
            lag_updates: 0,
            lag_ms: 0,
            updates_total: self.updates_total,
            mismatches: self.mismatches,
        };
        if let Some(feeding) = &self.feeding {
            feeding.show(table, now, &mut view);
        } else if let Some(following) = &self.following {
            following.show(&mut view);
        }
        view
    }

    /// Answers what is due.
    fn settle(&mut self, table: &mut TagTable, now: Now) {
        self.watch_lane(now.mono);
        self.watch_follower(table, now.mono);
        self.answer_pending(table, now.mono);
        self.refuse_waiting_since(now.mono);
        self.forwards_in_time(now.mono);
        self.store_again(table, now.mono);
        self.request_again(table, now.mono);
        if let Some(seq) = self.awaited
            && self.applied(table) >= seq
        {
            self.awaited = None;
            self.tell_facts(table);
        }
    }

    fn lead(&mut self, table: &mut TagTable, lineage: Lineage, now: Now) {
        self.begin_tenure(table, lineage);
        self.between_leaders = false;
        self.leader = None;
        self.following = None;
        self.partial = None;
        self.restored_to = 0;
        self.end_feeding(table);
        self.role = Role::Leading;
        self.answered_alone = (0, 0);
        if mutant::on(Mutant::OperationsForgotten) {
            self.operations = Operations::default();
        }
        self.unite_own(table, now);
        // United values of sources are last usable too.
        table.begin_tenure();
        self.take_waiting(table, now);
    }

    /// The tenure goes on with the history of this node's data: as it was decided, or with the one that the data has
    /// joined since.
    fn begin_tenure(&mut self, table: &TagTable, decided: Lineage) {
        let Some(&fork) = decided.forks().last() else { return };
        if self.lineage.promoted(fork) == decided || mutant::on(Mutant::ForksForgotten) {
            self.lineage = decided;
            return;
        }
        self.lineage = self.lineage.promoted(Fork { at: self.applied(table), ..fork });
        self.effects.push(TagEffect::ToArbiter(Input::Adopted(self.lineage.clone())));
    }

    fn quiesce(&mut self, table: &TagTable) {
        if self.role == Role::Leading {
            self.role = Role::Quiesced;
        }
        self.effects.push(TagEffect::ToArbiter(Input::Quiesced { last: table.last_seq() }));
    }

    fn resume(&mut self, table: &mut TagTable, now: Now) {
        if self.role == Role::Quiesced {
            self.role = Role::Leading;
            self.unite_held(table, now);
            self.take_waiting(table, now);
        }
    }

    fn stand_by(&mut self, table: &mut TagTable) {
        if self.role != Role::Standby {
            self.between_leaders = self.linked;
            self.followed_to = table.last_seq();
            self.end_feeding(table);
            self.role = Role::Standby;
        }
        self.leader = None;
        self.following = None;
    }

    fn lane_up(&mut self, table: &mut TagTable, now: Now) {
        self.lane = Some(LaneWatch::new(now.mono));
        self.request_sync(table, now.mono);
    }

    fn lane_down(&mut self, table: &mut TagTable) {
        self.lane = None;
        self.end_feeding(table);
        if self.following.take().is_some() {
            self.tell_facts(table);
        }
    }

    fn link_down(&mut self) {
        self.between_leaders = false;
        self.linked = false;
        self.leader = None;
        self.lose_forwards();
        self.forget_peers_writes();
    }

    /// Everything up to here is held: by a leader all there is.
    fn applied(&self, table: &TagTable) -> Seq {
        match self.role {
            Role::Standby => self.followed_to,
            Role::Leading | Role::Quiesced => table.last_seq(),
        }
    }

    /// Retained tags are on disk up to here.
    fn durable(&self, table: &TagTable) -> Seq {
        if self.all_stored() { self.applied(table).max(self.restored_to) } else { self.stored_to }
    }

    fn all_stored(&self) -> bool {
        self.stores_under_way == 0 && self.store_again_at.is_none()
    }

    fn persisted(&mut self, table: &TagTable, result: Result<Seq, String>, now: Millis) {
        self.stores_under_way = self.stores_under_way.saturating_sub(1);
        let of_old_lineage = self.old_stores > 0;
        self.old_stores = self.old_stores.saturating_sub(1);
        match result {
            Ok(seq) => {
                // What failed before went with it.
                self.store_again_at = None;
                self.store_trouble = None;
                if !of_old_lineage {
                    self.stored_to = self.stored_to.max(seq);
                }
            }
            Err(reason) => {
                self.store_again_at = Some(now.plus(STORE_AGAIN_MS));
                self.fail_retained(&reason);
                self.store_trouble = Some(reason);
            }
        }
        if self.all_stored() {
            self.stored_to = self.applied(table);
        }
        self.acknowledge(table);
    }

    fn store_again(&mut self, table: &TagTable, now: Millis) {
        if self.store_again_at.is_some_and(|at| now >= at) && self.stores_under_way == 0 {
            self.stores_under_way = 1;
            self.effects.push(TagEffect::Persist { durable: self.applied(table), items: Vec::new() });
        }
    }

    /// A tag has a new value: alarms may watch it.
    #[inline]
    fn note(&mut self, table: &TagTable, id: TagId) {
        if table.is_watched(id)
            && let Some(sample) = table.get(id)
        {
            self.changed.push((id, sample));
        }
    }

    fn tell_facts(&mut self, table: &TagTable) {
        self.effects.push(TagEffect::ToArbiter(Input::Tags(self.facts(table))));
    }

    fn watch_lane(&mut self, now: Millis) {
        let Some(lane) = &mut self.lane else { return };
        if lane.is_silent(now) {
            self.lane = None;
            self.lane_is_stuck();
        } else if lane.beats(now) {
            self.send_frame(&Bulk::Beat);
        }
    }

    /// Its other end may not hear that this one is closed: that end opens a new one when the link is made anew.
    fn lane_is_stuck(&mut self) {
        self.effects.push(TagEffect::CloseLane);
        self.effects.push(TagEffect::ToArbiter(Input::LaneStuck));
    }

    fn send_frame(&mut self, message: &Bulk) {
        match encode(message) {
            Ok(frame) => self.effects.push(TagEffect::ToLane(frame)),
            // Every message is built within its limits; should one not be, the peer must not wait for it.
            Err(_) => self.effects.push(TagEffect::CloseLane),
        }
    }

    fn send_control(&mut self, message: Control) {
        self.effects.push(TagEffect::ToPeer(message));
    }
}
