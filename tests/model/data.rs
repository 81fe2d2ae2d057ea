//! What the arbiter hears of the replicator: roles, positions and how far a sync is, without the tags themselves.
//!
//! It says the same as `hotpair_core::replicator` says at the same moments; a sync is three steps instead of frames.

use hotpair_core::arbiter::{Leader, TagFacts};
use hotpair_core::lineage::Lineage;
use hotpair_core::types::{Epoch, Seq, SyncPhase};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    #[default]
    Standby,
    Leading,
    Quiesced,
}

/// How far a follower is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    #[default]
    None,
    Requested,
    Filling,
    InSync,
}

/// What a leader knows of its follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Feed {
    #[default]
    None,
    Filling,
    Live,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Data {
    pub role: Role,
    pub lineage: Lineage,
    pub last: Seq,
    followed_to: Seq,
    /// Retained tags were found up to here.
    restored_to: Seq,
    pub leader: Option<Leader>,
    pub stage: Stage,
    pub feed: Feed,
    /// How often the arbiter still has to hear that no change will come any more.
    pub quiesced_unsaid: u8,
    linked: bool,
}

impl Data {
    pub fn restored(lineage: Lineage, durable: Seq) -> Self {
        Self { lineage, last: durable, restored_to: durable, ..Self::default() }
    }

    pub fn facts(&self) -> TagFacts {
        let full = self.followed_to == 0;
        TagFacts {
            applied: self.applied(),
            durable: self.durable(),
            last: self.last,
            leader: self.leader.as_ref().map_or(Epoch::NONE, |leader| leader.lineage.epoch()),
            phase: match self.stage {
                Stage::None | Stage::Requested => SyncPhase::None,
                Stage::Filling if full => SyncPhase::Full,
                Stage::Filling | Stage::InSync => SyncPhase::Incremental,
            },
            in_sync: self.stage == Stage::InSync,
            lagging: self.feed == Feed::Filling,
        }
    }

    /// Everything up to here is held: by a leader all there is.
    pub fn applied(&self) -> Seq {
        if self.role == Role::Standby { self.followed_to } else { self.last }
    }

    pub fn durable(&self) -> Seq {
        self.applied().max(self.restored_to)
    }

    pub fn lead(&mut self, lineage: Lineage) {
        *self = Self {
            role: Role::Leading,
            lineage,
            leader: None,
            stage: Stage::None,
            feed: Feed::None,
            restored_to: 0,
            ..self.clone()
        };
    }

    pub fn quiesce(&mut self) {
        if self.role == Role::Leading {
            self.role = Role::Quiesced;
        }
        self.quiesced_unsaid += 1;
    }

    pub fn resume(&mut self) {
        if self.role == Role::Quiesced {
            self.role = Role::Leading;
        }
    }

    pub fn stand_by(&mut self) {
        if self.role != Role::Standby {
            self.followed_to = self.last;
            self.role = Role::Standby;
            self.feed = Feed::None;
        }
        self.leader = None;
        self.stage = Stage::None;
    }

    pub fn follow(&mut self, leader: Leader) {
        self.feed = Feed::None;
        self.leader = Some(leader);
        self.stage = if self.linked { Stage::Requested } else { Stage::None };
    }

    pub fn link(&mut self, up: bool) {
        self.linked = up;
        self.stage = Stage::None;
        self.feed = Feed::None;
        self.leader = None;
    }

    /// The bulk connection broke and is made anew.
    pub fn lane_broke(&mut self) {
        self.feed = Feed::None;
        self.stage = if self.leader.is_some() && self.role == Role::Standby { Stage::Requested } else { Stage::None };
    }

    // The steps of a sync; `leader` is the other node.

    pub fn can_ask(&self, leader: &Self) -> bool {
        let names = |wanted: &Leader| wanted.lineage.epoch() == leader.lineage.epoch();
        self.role == Role::Standby
            && self.stage == Stage::Requested
            && leader.leader.is_none()
            && self.leader.as_ref().is_some_and(names)
    }

    /// The leader takes the request.
    pub fn feed(&mut self) {
        self.feed = Feed::Filling;
    }

    /// The leader's answer: this node's data joins its lineage. Returns the lineage if it is another one.
    pub fn join(&mut self, leader: &Self) -> Option<Lineage> {
        let running = self.leader.as_ref().is_some_and(|leader| leader.running);
        let mine = self.followed_to.max(self.restored_to);
        let theirs = if running { Seq::MAX } else { leader.applied() };
        let parted = self.lineage.fork_point(mine, &leader.lineage, theirs) < mine;
        self.followed_to = if parted || self.followed_to > leader.last { 0 } else { self.followed_to };
        self.restored_to = 0;
        self.stage = Stage::Filling;
        (self.lineage != leader.lineage).then(|| {
            self.lineage = leader.lineage.clone();
            leader.lineage.clone()
        })
    }

    pub fn can_finish(&self, leader: &Self) -> bool {
        self.stage == Stage::Filling && leader.feed == Feed::Filling
    }

    /// Everything came, and digests are equal.
    pub fn finish(&mut self, leader: &Self) {
        self.followed_to = leader.last;
        self.last = leader.last;
        self.stage = Stage::InSync;
    }

    /// A change of the leader comes.
    pub fn can_catch_up(&self, leader: &Self) -> bool {
        self.stage == Stage::InSync && leader.feed != Feed::None && self.followed_to < leader.last
    }
}
