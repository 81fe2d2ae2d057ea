//! What the machine hears and what it wants done.

use std::sync::Arc;

use crate::alarms::{AlarmEntry, AlarmRequest, JournalBatch, SystemAlarm};
use crate::arbiter::{Input, Leader};
use crate::catalog::TagId;
use crate::lineage::Lineage;
use crate::protocol::{AlarmOutcome, Control};
use crate::types::Seq;
use crate::value::{Sample, Value};

/// Something that happened.
#[derive(Debug)]
pub enum AlarmInput<'a> {
    /// The arbiter: judge, and write under this lineage's newest epoch.
    Lead(Lineage),
    /// The tags take no more changes, `last` is the last one: judge no more, and tell the arbiter when the follower has
    /// everything.
    Quiesce {
        /// For the arbiter.
        last: Seq,
    },
    /// This node was told to lead no more, or not for the moment, and that word is on its way here: judge no more, and
    /// let what is asked for wait for it.
    Pause,
    /// The arbiter: judge again, under the same epoch.
    Resume,
    /// The arbiter: refuse the requests that wait.
    RefuseWaiting,
    /// The arbiter: lead no more.
    StandBy,
    /// The arbiter: take the connected peer's alarms.
    Follow(Leader),
    /// The bulk connection is up.
    LaneUp,
    /// It is gone.
    LaneDown,
    /// The control connection is up.
    LinkUp,
    /// It is gone.
    LinkDown,
    /// The body of a frame about alarms came over the bulk connection.
    Frame(&'a [u8]),
    /// Watched tags changed, in this order. Ignored unless this node leads.
    Changed(&'a [(TagId, Sample)]),
    /// What is the case with the pair, of every system alarm: what is to be shown when it holds. Ignored unless this
    /// node leads.
    System(&'a [(SystemAlarm, Option<Value>)]),
    /// Both nodes were Running until now. Ignored unless this node leads.
    DualRunning {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// A client of this node asks for something.
    Request {
        /// Comes back with the answer.
        ticket: u64,
        /// What it asks for.
        request: AlarmRequest,
    },
    /// A client of the peer does.
    Forward(AlarmForward),
    /// The peer's answer to what was forwarded to it.
    Forwarded {
        /// Of the request.
        id: u64,
        /// What became of it.
        outcome: AlarmOutcome,
    },
    /// [`AlarmEffect::Store`] ended.
    Stored(Result<(), String>),
    /// [`AlarmEffect::Read`] ended.
    Read {
        /// Of the effect.
        purpose: ReadFor,
        /// Of the effect.
        origin: crate::types::Epoch,
        /// What was found, in order.
        entries: Result<Vec<Arc<AlarmEntry>>, String>,
    },
    /// A deadline may have passed.
    Tick,
}

pub use crate::protocol::AlarmForward;

/// What entries are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadFor {
    /// To give them to the peer. With the number of the read: what an earlier sync asked for is of no use to a later one.
    Peer(u64),
    /// To take them into account in the states. With the number of the read.
    Absorbing(u64),
}

/// Something to be done.
#[derive(Debug)]
pub enum AlarmEffect {
    /// Send this frame over the bulk connection.
    ToLane(Vec<u8>),
    /// Close the bulk connection: what came over it cannot be understood, or the peer does not keep up.
    CloseLane,
    /// Send this over the control connection.
    ToPeer(Control),
    /// Answer a client of this node.
    Answer {
        /// Of its request.
        ticket: u64,
        /// What became of it.
        outcome: AlarmOutcome,
    },
    /// Store this; answer with [`AlarmInput::Stored`]. There is never more than one under way.
    Store(JournalBatch),
    /// Read entries of a log from a position on; answer with [`AlarmInput::Read`].
    Read {
        /// Comes back with the answer.
        purpose: ReadFor,
        /// Of which log.
        origin: crate::types::Epoch,
        /// From which position on.
        from: u64,
        /// At most so many.
        max: usize,
    },
    /// Tell the arbiter.
    ToArbiter(Input),
    /// Where the alarms stand for arbitration has changed.
    Facts,
}

/// Where the alarms stand, for arbitration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmFacts {
    /// It follows, and has everything that its leader has.
    pub in_sync: bool,
    /// It leads, and has no follower that is in sync, or that did not confirm in time and has not caught up since.
    pub lagging: bool,
}

/// What is shown of the replication of alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmReplicationView {
    /// Entries written or taken since this node started.
    pub entries_total: u64,
    /// Changes that the follower has not confirmed.
    pub lag: u64,
    /// Entries that are not on this node's disk yet.
    pub unstored: u64,
    /// Syncs at whose end the tables were not equal.
    pub mismatches: u32,
}
