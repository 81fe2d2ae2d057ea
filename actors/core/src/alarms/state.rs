//! What both nodes must know of an alarm, so that a failover neither clears it nor raises it again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::definition::AlarmKey;
use super::entry::EventId;
use crate::types::{Epoch, Millis, UnixMillis};
use crate::value::Value;

/// The state of an alarm. The default is that of an alarm that never was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmState {
    /// How many occurrences it had.
    pub number: u64,
    /// The one that is not over; none: the alarm is normal (Cleared, Acked).
    pub live: Option<Occurrence>,
    /// A delay that runs.
    pub pending: Option<Pending>,
    /// Of `TrueToFalse` and `FalseToTrue`: the opposite value was seen, so that the next change counts.
    pub armed: bool,
    /// The last occurrence that is over, and when it began: another node that still has it does not bring it back.
    pub ended: Option<(EventId, UnixMillis)>,
}

/// An occurrence of an alarm: Active and Unacked, Active and Acked, or Cleared and Unacked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Occurrence {
    /// Its name.
    pub event: EventId,
    /// The tenure that raised it.
    pub epoch: Epoch,
    /// The condition holds.
    pub active: bool,
    /// Somebody acknowledged it.
    pub acked: bool,
    /// When it began.
    pub active_time: UnixMillis,
    /// When it cleared.
    pub clear_time: Option<UnixMillis>,
    /// When it was acknowledged.
    pub ack_time: Option<UnixMillis>,
    /// Who acknowledged it.
    pub operator: Arc<str>,
    /// The last comment.
    pub comment: Arc<str>,
    /// The value of its last transition.
    pub value: Option<Value>,
}

/// A delay that runs: the alarm is raised, or cleared, at its end if nothing comes in between.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// Towards what.
    pub kind: PendingKind,
    /// Source time of the value that began it.
    pub since: UnixMillis,
    /// That value.
    pub value: Option<Value>,
    /// When it ends, by this node's clock.
    pub until: Millis,
}

/// See [`Pending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PendingKind {
    /// The alarm will be raised.
    Raise,
    /// It will clear.
    Clear,
}

/// A shelving: alarms whose path fits `path` are not shown until it ends. Their transitions go on and are journaled.
#[derive(Clone, Debug, PartialEq)]
pub struct Shelf {
    /// The path of a tag, or that and the name of an alarm behind a `/`; `*` stands for any characters.
    pub path: Arc<str>,
    /// Its name in the journal.
    pub event: EventId,
    /// When it began.
    pub since: UnixMillis,
    /// For how long it was asked for, in milliseconds.
    pub for_ms: u64,
    /// When it ends, by this node's clock.
    pub until: Millis,
    /// Who.
    pub operator: Arc<str>,
    /// Why.
    pub comment: Arc<str>,
}

impl AlarmState {
    /// For comparing two nodes: everything but deadlines, which each counts by its own clock.
    pub fn digest(&self, key: AlarmKey) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        hasher.update(&key.0.to_le_bytes());
        hasher.update(&self.number.to_le_bytes());
        hasher.update(&[u8::from(self.armed), u8::from(self.live.is_some()), u8::from(self.pending.is_some())]);
        if let Some(live) = &self.live {
            hasher.update(&live.event.0.to_le_bytes());
            hasher.update(&[u8::from(live.active), u8::from(live.acked)]);
            for time in [Some(live.active_time), live.clear_time, live.ack_time] {
                hasher.update(&time.map_or(i64::MIN, |time| time.0).to_le_bytes());
            }
            hasher.update(live.operator.as_bytes());
            hasher.update(&[0]);
            hasher.update(live.comment.as_bytes());
        }
        if let Some(pending) = &self.pending {
            hasher.update(&[pending.kind as u8]);
            hasher.update(&pending.since.0.to_le_bytes());
        }
        hasher.digest()
    }
}

/// An [`AlarmState`] on its way to another node or to disk: its delay as what is left of it, for clocks differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortableState {
    /// See [`AlarmState::number`].
    pub number: u64,
    /// See [`AlarmState::live`].
    pub live: Option<Occurrence>,
    /// See [`AlarmState::pending`].
    pub pending: Option<PortablePending>,
    /// See [`AlarmState::armed`].
    pub armed: bool,
    /// See [`AlarmState::ended`].
    #[serde(default)]
    pub ended: Option<(EventId, UnixMillis)>,
}

/// See [`Pending`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortablePending {
    /// Towards what.
    pub kind: PendingKind,
    /// Source time of the value that began it.
    pub since: UnixMillis,
    /// That value.
    pub value: Option<Value>,
    /// What is left of it.
    pub remaining_ms: u64,
}

/// A [`Shelf`] on its way to another node or to disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortableShelf {
    /// See [`Shelf::path`].
    pub path: Arc<str>,
    /// See [`Shelf::event`].
    pub event: EventId,
    /// See [`Shelf::since`].
    pub since: UnixMillis,
    /// See [`Shelf::for_ms`].
    pub for_ms: u64,
    /// What is left of it.
    pub remaining_ms: u64,
    /// See [`Shelf::operator`].
    pub operator: Arc<str>,
    /// See [`Shelf::comment`].
    pub comment: Arc<str>,
}

impl AlarmState {
    /// As it travels.
    pub fn to_portable(&self, now: Millis) -> PortableState {
        let pending = self.pending.as_ref().map(|pending| PortablePending {
            kind: pending.kind,
            since: pending.since,
            value: pending.value.clone(),
            remaining_ms: pending.until.since(now),
        });
        PortableState { number: self.number, live: self.live.clone(), pending, armed: self.armed, ended: self.ended }
    }

    /// As it arrived.
    pub fn from_portable(portable: PortableState, now: Millis) -> Self {
        let pending = portable.pending.map(|pending| Pending {
            kind: pending.kind,
            since: pending.since,
            value: pending.value,
            until: now.plus(pending.remaining_ms),
        });
        Self { number: portable.number, live: portable.live, pending, armed: portable.armed, ended: portable.ended }
    }
}

impl Shelf {
    /// As it travels.
    pub fn to_portable(&self, now: Millis) -> PortableShelf {
        PortableShelf {
            path: self.path.clone(),
            event: self.event,
            since: self.since,
            for_ms: self.for_ms,
            remaining_ms: self.until.since(now),
            operator: self.operator.clone(),
            comment: self.comment.clone(),
        }
    }

    /// As it arrived.
    pub fn from_portable(portable: PortableShelf, now: Millis) -> Self {
        Self {
            path: portable.path,
            event: portable.event,
            since: portable.since,
            for_ms: portable.for_ms,
            until: now.plus(portable.remaining_ms),
            operator: portable.operator,
            comment: portable.comment,
        }
    }
}
