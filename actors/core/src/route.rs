//! Which effect goes where: one table for the actors and for the simulation.

use crate::alarm_replication::{AlarmFacts, AlarmInput};
use crate::arbiter::{Effect, Event, Input, TagFacts};
use crate::lineage::Lineage;
use crate::protocol::Control;
use crate::replicator::{TagEffect, TagInput};

/// An effect of the arbiter, at its place.
#[derive(Debug)]
pub enum Routed {
    /// The tag replicator.
    Tags(TagInput<'static>),
    /// The peer, over the control connection.
    Peer(Control),
    /// The link: close the control connection.
    DropLink,
    /// The disk; it answers with [`Input::Stored`] or [`Input::StoreFailed`].
    Disk {
        /// Comes back with the answer.
        ticket: u64,
        /// The tenures of this node's data.
        lineage: Lineage,
        /// Epoch counters up to here may be taken without another write.
        reserved: u64,
        /// The greatest epoch counter seen.
        last_counter: u64,
    },
    /// Whoever pressed Switch here.
    Client {
        /// Of the order.
        request: u64,
        /// Done, or why not.
        result: Result<(), String>,
    },
    /// The list of events, the log, and hooks.
    Events(Event),
    /// The node is done.
    Exit,
}

/// Sends an effect of the arbiter to its place.
pub fn route(effect: Effect) -> Routed {
    match effect {
        Effect::Store { ticket, lineage, reserved, last_counter } => {
            Routed::Disk { ticket, lineage, reserved, last_counter }
        }
        Effect::Lead(lineage) => Routed::Tags(TagInput::Lead(lineage)),
        Effect::Quiesce => Routed::Tags(TagInput::Quiesce),
        Effect::Resume => Routed::Tags(TagInput::Resume),
        Effect::RefuseWaiting => Routed::Tags(TagInput::RefuseWaiting),
        Effect::StandBy => Routed::Tags(TagInput::StandBy),
        Effect::Follow(leader) => Routed::Tags(TagInput::Follow(leader)),
        Effect::AwaitApplied(seq) => Routed::Tags(TagInput::AwaitApplied(seq)),
        Effect::Send(message) => Routed::Peer(message),
        Effect::DropLink => Routed::DropLink,
        Effect::Answer { request, result } => Routed::Client { request, result },
        Effect::Event(event) => Routed::Events(event),
        Effect::Exit => Routed::Exit,
    }
}

/// What an input of the tags means for the alarms: both change roles and connections in one step, the alarms first, so
/// that what the tags have to say afterwards finds them ready. That the tags are quiesced is said by their effect, see
/// [`quiesced`].
pub fn alarms_hear(input: &TagInput<'_>) -> Option<AlarmInput<'static>> {
    match input {
        TagInput::Lead(lineage) => Some(AlarmInput::Lead(lineage.clone())),
        TagInput::Resume => Some(AlarmInput::Resume),
        TagInput::RefuseWaiting => Some(AlarmInput::RefuseWaiting),
        TagInput::StandBy => Some(AlarmInput::StandBy),
        TagInput::Follow(leader) => Some(AlarmInput::Follow(leader.clone())),
        TagInput::LaneUp => Some(AlarmInput::LaneUp),
        TagInput::LaneDown => Some(AlarmInput::LaneDown),
        TagInput::LinkUp => Some(AlarmInput::LinkUp),
        TagInput::LinkDown => Some(AlarmInput::LinkDown),
        _ => None,
    }
}

/// The arbiter is told that a node is quiesced when its alarms are, too: its tags' word goes to them first.
pub fn quiesced(effect: &TagEffect) -> Option<AlarmInput<'static>> {
    match effect {
        TagEffect::ToArbiter(Input::Quiesced { last }) => Some(AlarmInput::Quiesce { last: *last }),
        _ => None,
    }
}

/// Where the data of a node stands: its tags and its alarms.
pub fn data_facts(tags: TagFacts, alarms: AlarmFacts) -> TagFacts {
    TagFacts { in_sync: tags.in_sync && alarms.in_sync, lagging: tags.lagging || alarms.lagging, ..tags }
}

/// A control message of the peer, at its place.
#[derive(Debug)]
pub enum Heard {
    /// The arbiter.
    Arbiter(Input),
    /// The tag replicator.
    Tags(TagInput<'static>),
    /// The alarm replicator.
    Alarms(AlarmInput<'static>),
    /// The failure detector: the peer pings, or answers.
    Heartbeat(Control),
    /// The licence checker.
    License(crate::protocol::LicenseFacts),
    /// Nobody: it belongs to the greeting, which is over.
    Nobody,
}

/// Sends a control message that came after the greeting to its place.
pub fn hear(message: Control) -> Heard {
    match message {
        Control::Greeting(_) | Control::Accepted | Control::Refused(_) | Control::JoinBulk { .. } => Heard::Nobody,
        ping @ (Control::Ping { .. } | Control::Pong { .. }) => Heard::Heartbeat(ping),
        Control::License(facts) => Heard::License(facts),
        Control::Forward(forward) => Heard::Tags(TagInput::Forward(forward)),
        Control::Forwarded { id, outcome } => Heard::Tags(TagInput::Forwarded { id, outcome }),
        Control::AlarmForward(forward) => Heard::Alarms(AlarmInput::Forward(forward)),
        Control::AlarmForwarded { id, outcome } => Heard::Alarms(AlarmInput::Forwarded { id, outcome }),
        arbitration => Heard::Arbiter(Input::Message(arbitration)),
    }
}
