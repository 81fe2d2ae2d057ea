//! What the replicator hears and what it wants done.

use std::sync::Arc;

use super::DivergenceReport;
use crate::arbiter::{Input, Leader};
use crate::catalog::TagId;
use crate::lineage::Lineage;
use crate::protocol::{Control, Forward, OperationId, WriteItem, WriteOutcome};
use crate::quality::Quality;
use crate::types::{Seq, SyncPhase, UnixMillis};
use crate::value::{Sample, Value};

/// Something that happened.
#[derive(Debug)]
pub enum TagInput<'a> {
    /// The arbiter: number and take changes under this lineage's newest epoch.
    Lead(Lineage),
    /// The arbiter: take no more changes, and say when that is so.
    Quiesce,
    /// The arbiter: take changes again, under the same epoch.
    Resume,
    /// The arbiter: refuse the writes that wait.
    RefuseWaiting,
    /// The arbiter: lead no more.
    StandBy,
    /// The arbiter: take the connected peer's data.
    Follow(Leader),
    /// The arbiter: say at once when everything up to here is applied.
    AwaitApplied(Seq),
    /// The bulk connection is up.
    LaneUp,
    /// It is gone.
    LaneDown,
    /// The control connection is up.
    LinkUp,
    /// It is gone.
    LinkDown,
    /// The body of a frame came over the bulk connection.
    Frame(&'a [u8]),
    /// A client of this node writes.
    Write(WriteOrder),
    /// A client of the peer writes.
    Forward(Forward),
    /// The peer's answer to a write that was forwarded to it.
    Forwarded {
        /// Of the request.
        id: u64,
        /// What became of it.
        outcome: WriteOutcome,
    },
    /// A source, or a program that embeds this node, has new values. Dropped unless this node leads.
    Publish(Vec<Published>),
    /// [`TagEffect::Persist`] or [`TagEffect::Adopt`] ended, in the order in which they were asked for.
    Persisted(Result<Seq, String>),
    /// A deadline may have passed.
    Tick,
}

/// A write of a client.
#[derive(Clone, Debug)]
pub struct WriteOrder {
    /// Comes back with the answer.
    pub ticket: u64,
    /// The client's operation id.
    pub operation: Option<OperationId>,
    /// What to write.
    pub items: Vec<WriteItem>,
}

/// A value of a source. It must be of the tag's type.
#[derive(Clone, Debug)]
pub struct Published {
    /// The tag.
    pub id: TagId,
    /// Its value.
    pub value: Value,
    /// How far it can be trusted.
    pub quality: Quality,
    /// When the source saw it.
    pub time: UnixMillis,
}

/// Something to be done.
#[derive(Debug)]
pub enum TagEffect {
    /// Send this frame over the bulk connection.
    ToLane(Vec<u8>),
    /// Close the bulk connection: what came over it cannot be understood.
    CloseLane,
    /// Send this over the control connection.
    ToPeer(Control),
    /// Answer a client of this node.
    Answer {
        /// Of its write.
        ticket: u64,
        /// What became of it.
        outcome: WriteOutcome,
    },
    /// Store changed retained tags; with them everything up to `durable` is on disk. Answer with
    /// [`TagInput::Persisted`].
    Persist {
        /// Position that is reached with these.
        durable: Seq,
        /// Path, value and number of each change.
        items: Vec<(Arc<str>, Sample, Seq)>,
    },
    /// The data of this node joined another lineage: store it with the position in it. Answer with
    /// [`TagInput::Persisted`].
    Adopt {
        /// The leader's.
        lineage: Lineage,
        /// What is on disk of it.
        durable: Seq,
    },
    /// Watched tags changed, in this order: to be judged before anything that follows is sent.
    Changed(Vec<(TagId, Sample)>),
    /// Changes that only one side had were united.
    Report(DivergenceReport),
    /// Tell the arbiter.
    ToArbiter(Input),
}

/// What is shown of the replication.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicatorView {
    /// How far the follower of this pair is, as this node sees it.
    pub phase: SyncPhase,
    /// From 0 to 1: how much of the present sync is done.
    pub progress: f64,
    /// This node holds every change up to here.
    pub local_seq: Seq,
    /// The peer does, as far as this node knows.
    pub peer_seq: Seq,
    /// Changes that the follower does not have yet.
    pub lag_updates: u64,
    /// For how long the oldest of them is under way, in milliseconds.
    pub lag_ms: u64,
    /// Changes made or applied since this node started.
    pub updates_total: u64,
    /// Syncs at whose end the tables were not equal.
    pub mismatches: u32,
}
