//! Which effect goes where: one table for the actors and for the simulation.

use crate::arbiter::{Effect, Event, Input};
use crate::lineage::Lineage;
use crate::protocol::Control;
use crate::replicator::TagInput;

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

/// A control message of the peer, at its place.
#[derive(Debug)]
pub enum Heard {
    /// The arbiter.
    Arbiter(Input),
    /// The tag replicator.
    Tags(TagInput<'static>),
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
        arbitration => Heard::Arbiter(Input::Message(arbitration)),
    }
}
