//! What the arbiter hears and what it wants done: two closed enums.

use crate::lineage::Lineage;
use crate::protocol::{Control, Greeting, Report, Tenure};
use crate::types::{Epoch, Millis, NodeId, Seq, Status, SyncPhase};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The node starts.
    Start,
    /// A control connection is up and both sides took each other's greeting.
    LinkUp(Box<Greeting>),
    /// The control connection is gone.
    LinkDown,
    /// The connection was lost, and a new one to the peer's process is refused: it is dead.
    ProvenDead,
    /// A living node refused the connection, or this one refused it: the peer is there, but it does not fit.
    Refused {
        /// For people.
        reason: String,
    },
    /// The peer stopped answering; `last_sign` is its last sign of life.
    Unavailable {
        /// When it last gave a sign of life.
        last_sign: Millis,
    },
    /// The peer answers again.
    Available,
    /// This node itself stood still for so long.
    Stalled {
        /// Milliseconds.
        for_ms: u64,
    },
    /// The peer answered something that was asked after this node had stood still.
    AnsweredAfterStall,
    /// A message of the peer; arbitration takes those that concern it.
    Message(Control),
    /// Where the tag table stands.
    Tags(TagFacts),
    /// The bulk connection carries nothing, though the control connection stands.
    LaneStuck,
    /// [`Effect::Quiesce`] is done: no change will get a number greater than `last`.
    Quiesced {
        /// The last change of this node.
        last: Seq,
    },
    /// [`Effect::Store`] is on disk.
    Stored {
        /// Of the effect.
        ticket: u64,
    },
    /// [`Effect::Store`] failed.
    StoreFailed {
        /// Of the effect.
        ticket: u64,
        /// For people.
        reason: String,
    },
    /// The data of this node joined its leader's lineage; or had joined one when a tenure of its own began that was
    /// decided before, and goes on with that.
    Adopted(Lineage),
    /// Somebody pressed Switch here.
    Switch(SwitchOrder),
    /// Somebody began a maintenance hold here; 0 minutes end it.
    Hold {
        /// How long, in milliseconds.
        ms: u64,
        /// Why.
        reason: String,
        /// Who.
        user: String,
    },
    /// A part of this node cannot work; none: the operator cleared it.
    Fault(Option<String>),
    /// The disk fails; none: it works again.
    Disk(Option<String>),
    /// Stop cleanly: switch if the peer is ready, say goodbye, then [`Effect::Exit`].
    Shutdown {
        /// For people, and the peer.
        reason: String,
    },
    /// A deadline may have passed.
    Tick,
}

/// See [`Input::Switch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchOrder {
    /// Comes back in [`Effect::Answer`].
    pub request: u64,
    /// Refused when the Running node's epoch counter is another one. 0: any.
    pub expected_epoch: u64,
    /// Refused when Running is there already. `NodeId(0)`: whichever is not Running.
    pub to: NodeId,
    /// Why.
    pub reason: String,
    /// Who.
    pub user: String,
}

/// What the tag replicator knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TagFacts {
    /// This node holds every change up to here, also of tags without `retain`.
    pub applied: Seq,
    /// Retained tags are on disk up to here.
    pub durable: Seq,
    /// The greatest change number used or seen.
    pub last: Seq,
    /// The leader's epoch that `phase` and `in_sync` speak of.
    pub leader: Epoch,
    /// How far this node follows.
    pub phase: SyncPhase,
    /// It follows, and digests were equal at the end of the sync.
    pub in_sync: bool,
    /// It leads, and its follower is not known to be in sync, or did not confirm a change in time and has not caught up
    /// since.
    pub lagging: bool,
}

/// Something to be done. Each goes to one place, see `route`.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Store these before anything is done under `lineage`'s newest epoch, unless its counter is `reserved` already.
    Store {
        /// Comes back with the result.
        ticket: u64,
        /// The tenures of this node's data.
        lineage: Lineage,
        /// Epoch counters up to here may be taken without another write.
        reserved: u64,
        /// The greatest epoch counter seen.
        last_counter: u64,
    },
    /// Number and take changes under this lineage's newest epoch from now on.
    Lead(Lineage),
    /// Take no more writes, stop sources; keep writes that come waiting; answer with [`Input::Quiesced`].
    Quiesce,
    /// Take writes again, under the same epoch.
    Resume,
    /// Writes that wait since [`Effect::Quiesce`] have waited too long: refuse them.
    RefuseWaiting,
    /// Lead no more; forward writes to the peer.
    StandBy,
    /// Take the data of the connected peer.
    Follow(Leader),
    /// Say when changes up to here are applied: [`Input::Tags`] at once, not when convenient.
    AwaitApplied(Seq),
    /// To the peer, over the control connection.
    Send(Control),
    /// Close the control connection; the peer may greet anew.
    DropLink,
    /// The result of a local [`Input::Switch`].
    Answer {
        /// Of the order.
        request: u64,
        /// Done, or why not.
        result: Result<(), String>,
    },
    /// For the list of events.
    Event(Event),
    /// The node is done: end it.
    Exit,
}

/// Whom to follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader {
    /// The tenures of its data.
    pub lineage: Lineage,
    /// The last change it holds completely. Of a Running one meaningless: it goes on.
    pub applied: Seq,
    /// It is Running; otherwise it gives its data before either runs.
    pub running: bool,
}

/// A transition of this node or of what it sees of its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Of the peer.
    pub peer: bool,
    /// Status before.
    pub from: Status,
    /// Status after.
    pub to: Status,
    /// How the tenure began that this node took, or gave way to; [`Tenure::None`] for all else.
    pub tenure: Tenure,
    /// For people.
    pub reason: String,
    /// Who wanted it; empty when nobody did.
    pub user: String,
    /// This node's newest epoch.
    pub epoch: Epoch,
}

/// The peer, as far as the arbiter knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// Its greeting on the present connection, or the last one.
    pub greeting: Box<Greeting>,
    /// Its newest report.
    pub report: Report,
}
