//! What two nodes say to each other. Frames that carry these are in `wire`, bulk batches in `bulk`.
//!
//! A link is two connections. *Control* carries greetings, pings, reports, arbitration and forwarded writes: small
//! frames that never wait behind data. *Bulk* carries tag changes.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alarms::{AlarmRequest, AlarmResult};
use crate::lineage::Lineage;
use crate::quality::Quality;
use crate::types::{BootId, Epoch, Mode, NodeId, RecoveryMode, Seq, Status, SyncPhase, UnixMillis};
use crate::value::Value;

/// The protocol versions that this build speaks: `(oldest, newest)`.
pub const PROTOCOL_VERSIONS: (u16, u16) = (1, 1);

/// The first frame of either side of a control connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Greeting {
    /// Oldest and newest protocol version it speaks.
    pub protocol: (u16, u16),
    /// Optional abilities, one bit each; both sides use only what both name. None is defined yet.
    pub features: u64,
    /// Version of the program, for people.
    pub version: String,
    /// Its lasting identity.
    pub node: NodeId,
    /// Its identity since its process started.
    pub boot: BootId,
    /// The name under which history is stored: the same on both nodes.
    pub name: String,
    /// What it was configured to be.
    pub mode: Mode,
    /// How a returned Master recovers; the Master's word counts.
    pub recovery: RecoveryMode,
    /// Host and port where a browser reaches it; empty when it serves no HTTP.
    pub http: String,
    /// Where a connection that is refused proves that its process is gone; empty when there is no such place.
    pub alive_at: String,
    /// Hash of the project.
    pub project: ProjectHash,
    /// The bulk connection names this number, so that it cannot join another control connection.
    pub session: u64,
    /// Where it stands.
    pub report: Report,
}

/// Hashes of the parts of a project, to say what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectHash {
    /// Of the tag paths and types in order: equal hashes mean equal tag ids.
    pub tag_list: u64,
    /// Of each file of the project, by its name.
    pub files: Vec<(String, u64)>,
}

/// Where a node stands; sent after the greeting and whenever it changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What it does now.
    pub status: Status,
    /// The tenures its data went through.
    pub lineage: Lineage,
    /// How its present tenure began; of a node that does not run, how its last one did.
    pub tenure: Tenure,
    /// It holds every change up to here, also of tags without `retain`.
    pub applied: Seq,
    /// It holds every change of retained tags up to here on disk.
    pub durable: Seq,
    /// The greatest change number it has ever used or seen in its present lineage.
    pub last: Seq,
    /// How far it follows its peer.
    pub sync: SyncPhase,
    /// It follows its peer and digests were equal at the end of the sync. Of a Running node: its peer confirms changes in
    /// time.
    pub in_sync: bool,
    /// Why it could not take over now, besides not being in sync; for people.
    pub faults: Vec<String>,
    /// A maintenance hold.
    pub hold: Hold,
    /// It has given up this switch offer's Running, or waits for it: see [`Control::Offer`]. 0: no switch.
    pub switching: u64,
    /// For how long it has been Running, when this was sent; 0 when it is not.
    #[serde(default)]
    pub running_ms: u64,
    /// Automatic recoveries that count against the next one, as far as it knows: for how long each still does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries_ms: Vec<u64>,
}

/// How a tenure of Running began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tenure {
    /// It never ran.
    #[default]
    None,
    /// It started and nobody else was there, or the other had less.
    Start,
    /// The Running node was gone.
    Failover,
    /// A Switch moved Running here.
    Switch,
    /// A Switch that automatic recovery asked for.
    Recovery,
    /// Of two Running nodes this one stayed.
    DualRunning,
}

/// A maintenance hold: until it ends there is no automatic failover or recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Grows with each change; of two holds the one with the greater version counts.
    pub version: u64,
    /// What is left of it; 0 when there is none.
    pub remaining_ms: u64,
    /// Why, as its author said.
    pub reason: String,
}

/// Why a connection was refused; shown by both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: what does not fit, where, and how to mend it.
    pub reason: String,
}

/// See [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalCode {
    /// No protocol version in common.
    Version,
    /// Both are Master, both Backup, or one is Independent.
    Mode,
    /// A node connected to itself, or to a copy of its data folder.
    Itself,
    /// The Master has a Backup already, and it is alive.
    SecondBackup,
    /// Not a hotpair, or a broken greeting.
    NotHotpair,
    /// A bulk connection whose session is not known.
    Session,
}

/// A frame on a control connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Control {
    /// First frame of the Backup; the Master's answer.
    Greeting(Box<Greeting>),
    /// The Backup takes the Master's greeting: the link is up.
    Accepted,
    /// The connection is refused and will be closed.
    Refused(Refusal),
    /// First frame of a bulk connection, which carries [`crate::bulk::Bulk`] frames from then on.
    JoinBulk {
        /// Session of the Master's greeting.
        session: u64,
    },
    /// Are you there?
    Ping {
        /// Number of the ping.
        number: u64,
        /// For how long a working actor of the sender has made no progress. 0 when all work.
        stalled_ms: u64,
    },
    /// Answer to a ping.
    Pong {
        /// Number of the ping.
        number: u64,
        /// As in [`Control::Ping`], of the node that answers.
        stalled_ms: u64,
    },
    /// Where the sender stands now.
    Report(Box<Report>),
    /// The sender stops cleanly and will not be back before it connects again.
    Goodbye {
        /// For people.
        reason: String,
    },
    /// Asks the Running node to switch.
    SwitchRequest(SwitchRequest),
    /// The Running node's answer to a request.
    SwitchResult {
        /// Of the request.
        id: u64,
        /// Empty when it was done; else why it was not.
        refused: String,
        /// The asker must not ask again by itself: recovery acts as Manual from now on.
        suspend: bool,
    },
    /// Step 1: the Running node stopped taking writes and offers Running.
    Offer {
        /// Number of this switch, of the offering node since its process started; never 0.
        switch: u64,
        /// The tenure that is offered.
        epoch: Epoch,
        /// The last change of the tenure: apply it before you take Running.
        last: Seq,
        /// How the new tenure is to be called.
        tenure: Tenure,
        /// Why, for the list of events.
        cause: String,
        /// Whose wish it is; empty when it is nobody's.
        #[serde(default)]
        user: String,
    },
    /// Step 2: the Standby node took Running.
    Taken {
        /// Number of the switch.
        switch: u64,
        /// The new tenure.
        epoch: Epoch,
    },
    /// The offer of this switch is withdrawn.
    Abort {
        /// Number of the switch.
        switch: u64,
    },
    /// The Standby node did not and will not take Running on this offer.
    AbortConfirmed {
        /// Number of the switch.
        switch: u64,
        /// Empty, or why it could not take Running.
        reason: String,
    },
    /// A hold began or ended.
    Hold(Hold),
    /// Licence modules of the sender.
    License(LicenseFacts),
    /// A write made at the Standby node.
    Forward(Forward),
    /// The Running node's answer to a forwarded write.
    Forwarded {
        /// Of the request.
        id: u64,
        /// What became of it.
        outcome: WriteOutcome,
    },
    /// A request about alarms made at the Standby node.
    AlarmForward(AlarmForward),
    /// The Running node's answer to it.
    AlarmForwarded {
        /// Of the request.
        id: u64,
        /// What became of it.
        outcome: AlarmOutcome,
    },
}

/// See [`Control::AlarmForward`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmForward {
    /// Number of the request at its sender.
    pub id: u64,
    /// The sender gives up waiting after this time; it must not be done later.
    pub deadline_ms: u64,
    /// What is asked for.
    pub request: AlarmRequest,
}

/// What became of a request about alarms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmOutcome {
    /// It was decided.
    Done {
        /// What came of it.
        result: AlarmResult,
        /// It is on the other node's disk too.
        replicated: bool,
    },
    /// Nothing was done, and why.
    Refused(WriteRefusal),
}

/// See [`Control::SwitchRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchRequest {
    /// Number of the request at its sender.
    pub id: u64,
    /// [`Tenure::Switch`] or [`Tenure::Recovery`].
    pub tenure: Tenure,
    /// Refused when the Running node's epoch counter is another one. 0: any.
    pub expected_epoch: u64,
    /// Refused when Running is there already. `NodeId(0)`: whichever is not Running.
    pub to: NodeId,
    /// For people.
    pub reason: String,
    /// Whose wish it is; empty when it is nobody's.
    #[serde(default)]
    pub user: String,
}

/// What a node says about its licence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseFacts {
    /// Names of the licensed modules, sorted.
    pub modules: Vec<String>,
    /// Why the licence is not valid; empty when it is.
    pub invalid: String,
}

/// An operation id that its client chose: repeating it gives the first result again.
pub type OperationId = Arc<str>;

/// The longest operation id.
pub const MAX_OPERATION_ID_BYTES: usize = 128;

/// One value to write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WriteItem {
    /// Path of the tag.
    pub path: Arc<str>,
    /// The value; a number is converted to the tag's type where that loses nothing.
    pub value: Value,
    /// Quality; of an operator's write Good.
    pub quality: Quality,
    /// Source time; none: the time at which the Running node takes it.
    pub time: Option<UnixMillis>,
}

/// See [`Control::Forward`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forward {
    /// Number of the request at its sender.
    pub id: u64,
    /// The client's operation id.
    pub operation: Option<OperationId>,
    /// Which part of a large write this is, from 0.
    #[serde(default)]
    pub part: u32,
    /// Of the whole write, see [`crate::operations::request_hash`]; the same in each of its parts.
    #[serde(default)]
    pub request_hash: u64,
    /// The sender gives up waiting after this time; the write must not be made later.
    pub deadline_ms: u64,
    /// What to write.
    pub items: Vec<WriteItem>,
}

/// What became of a write as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteOutcome {
    /// It was taken; each item has its own result.
    Done {
        /// In the order of the items.
        results: Vec<ItemResult>,
        /// The other node has applied it too (and has it on disk, where a tag is retained).
        replicated: bool,
    },
    /// Nothing was written, and why.
    Refused(WriteRefusal),
}

/// Result of one item of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ItemResult {
    /// Written.
    Good,
    /// There is no tag of this path.
    BadNodeIdUnknown,
    /// The tag is not writable.
    BadNotWritable,
    /// The value does not fit the tag's type.
    BadTypeMismatch,
    /// The value is not finite, too long, or outside of what the type can hold.
    BadOutOfRange,
}

/// Why nothing of a write was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteRefusal {
    /// No node is Running; try again.
    NotRunning(String),
    /// A switch took too long; try again.
    Switching,
    /// More is waiting than this node holds; try again.
    Busy,
    /// The answer was lost with the link: it may have been written. Repeat with the same operation id.
    OutcomeUnknown,
    /// The operation id was used for another write.
    OperationIdReused,
    /// Retained tags cannot be stored.
    Disk(String),
}

impl fmt::Display for WriteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(why) => write!(f, "nothing was done: {why}; try again"),
            Self::Switching => f.write_str("nothing was done: a switch is under way and took too long; try again"),
            Self::Busy => f.write_str("nothing was done: too many requests are waiting; try again"),
            Self::OutcomeUnknown => f.write_str(
                "the answer was lost with the link: it may have been done; repeat it with the same operation id",
            ),
            Self::OperationIdReused => {
                f.write_str("nothing was done: this operation id was used for something else; draw a new one each time")
            }
            Self::Disk(why) => write!(f, "it cannot be stored: {why}"),
        }
    }
}

impl std::error::Error for WriteRefusal {}
