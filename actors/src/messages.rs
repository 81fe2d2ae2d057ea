//! Every message that crosses actors.

use actix::Message;
use hotpair_core::alarm_replication::AlarmInput;
use hotpair_core::alarms::AlarmRequest;
use hotpair_core::arbiter::{Input, SwitchOrder};
use hotpair_core::protocol::{AlarmOutcome, Control, LicenseFacts, OperationId, WriteItem, WriteOutcome};
use hotpair_core::replicator::{Published, TagInput};
use hotpair_core::wire::Kind;
use tokio::sync::oneshot;

use crate::connection::{Connection, Detached};
use crate::gate::Permit;

/// To the arbiter: something happened.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Happened(pub Input);

/// To the arbiter: somebody presses Switch. `reply` gets the result.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PressSwitch {
    /// Its number is given by the arbiter.
    pub order: SwitchOrder,
    /// Done, or why not.
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// To the tag replicator: something happened.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TagsHappened(pub TagInput<'static>);

/// To the tag replicator: lead, or go on leading, as long as nobody has taken that back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TagsLead {
    /// [`TagInput::Lead`] or [`TagInput::Resume`].
    pub input: TagInput<'static>,
    /// Opens the gate.
    pub permit: Permit,
}

/// To the tag replicator: a client writes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Write {
    /// What to write.
    pub items: Vec<WriteItem>,
    /// The client's operation id.
    pub operation: Option<OperationId>,
    /// Gets the result.
    pub reply: oneshot::Sender<WriteOutcome>,
}

/// To the alarm replicator: something happened.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AlarmsHappened(pub AlarmInput<'static>);

/// To the alarm replicator: an operator asks for something.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Operate {
    /// What he asks for.
    pub request: AlarmRequest,
    /// Gets the result.
    pub reply: oneshot::Sender<AlarmOutcome>,
}

/// To the alarm replicator: it is to wake earlier than it was told before.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ArmAlarms;

/// To the tag replicator: close the bulk connection, and why.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct CloseLane(pub &'static str);

/// To the tag replicator: a source has new values.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Publish {
    /// The values.
    pub updates: Vec<Published>,
    /// Whether they were taken: this node leads.
    pub reply: oneshot::Sender<bool>,
}

/// To the tag replicator: a bulk connection that passed its greeting.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OpenLane {
    /// Belonging to no runtime yet.
    pub stream: Detached,
    /// What was received with the greeting already.
    pub received: Vec<u8>,
    /// Dropped when this bulk connection ends.
    pub closed: Option<oneshot::Sender<()>>,
}

/// To the tag replicator: the body of a frame came over bulk connection `generation`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LaneFrame {
    /// Of the lane.
    pub generation: u64,
    /// What it carries: tags or alarms.
    pub kind: Kind,
    /// The body.
    pub body: Vec<u8>,
}

/// To the tag replicator: bulk connection `generation` ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LaneEnded {
    /// Of the lane.
    pub generation: u64,
    /// For the log.
    pub reason: String,
}

/// To whoever writes to the peer: what is said from now on goes over link `generation`. What was meant for an earlier
/// one must not reach a peer that greeted anew.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct UseLink {
    /// Of the link.
    pub generation: u64,
}

/// To the link: a connection passed its greeting.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Greeted {
    /// The control connection.
    pub stream: Connection,
    /// What was received behind the greeting already.
    pub received: Vec<u8>,
    /// The peer's.
    pub greeting: Box<hotpair_core::protocol::Greeting>,
    /// Session of the link.
    pub session: u64,
    /// What does not fit, though the link stands.
    pub remarks: Vec<hotpair_core::greeting::Remark>,
}

/// To the link: control connection `generation` ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LinkEnded {
    /// Of the link.
    pub generation: u64,
    /// For the log.
    pub reason: String,
}

/// To the link: close the control connection.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DropLink;

/// To the heartbeat: a ping or a pong came.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Beat(pub Control);

/// To the heartbeat and the licence checker: the link went up or down.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct LinkChanged {
    /// Up.
    pub up: bool,
}

/// To the licence checker: what the peer is licensed for.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerLicense(pub LicenseFacts);

/// To every actor: do you work?
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Probe;

/// To the supervisor: an actor ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ActorEnded {
    /// Its name.
    pub name: &'static str,
    /// The panic's message; none: it stopped.
    pub panic: Option<String>,
    /// It is started again, but fails too often.
    pub keeps_failing: bool,
}

/// To the supervisor: the operator says that what failed works again.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ClearFault;
