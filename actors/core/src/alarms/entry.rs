//! What the journal says: one entry a transition, acknowledgement, comment or shelving.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::definition::{AckMode, AlarmKey, AlarmKind, AlarmPriority};
use crate::mutant::{self, Mutant};
use crate::protocol::OperationId;
use crate::types::{Epoch, NodeId, UnixMillis};
use crate::value::Value;

/// The longest comment of an operator.
pub const MAX_COMMENT_BYTES: usize = 1024;
/// The longest name of an operator.
pub const MAX_OPERATOR_BYTES: usize = 128;
/// So much of an alarm's description goes into the journal.
pub const MAX_DESCRIPTION_BYTES: usize = 512;

/// Names one occurrence of an alarm. It is derived, so that two nodes that see the same occurrence give it the same id.
/// Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub u128);

impl EventId {
    /// Of occurrence `number` of an alarm, active since `active_time`.
    pub fn of_occurrence(alarm: AlarmKey, number: u64, active_time: UnixMillis) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(b"occurrence");
        hasher.update(&alarm.0.to_le_bytes());
        hasher.update(&number.to_le_bytes());
        hasher.update(&active_time.0.to_le_bytes());
        if mutant::on(Mutant::EventIdRandom) {
            hasher.update(&mutant::drawn().to_le_bytes());
        }
        Self(hasher.digest128())
    }

    /// Of a shelving of `path` at that place of the journal. The entry that ends it names it.
    pub fn of_shelving(path: &str, origin: Epoch, position: u64) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(b"shelving");
        hasher.update(path.as_bytes());
        hasher.update(&origin.counter.to_le_bytes());
        hasher.update(&origin.node.0.to_le_bytes());
        hasher.update(&position.to_le_bytes());
        Self(hasher.digest128())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for EventId {
    type Err = ();

    /// 32 hexadecimal digits, in which `-` may stand anywhere.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        u128::from_str_radix(&digits, 16).map(Self).map_err(|_| ())
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntryKind {
    /// An occurrence began.
    Raised,
    /// Its condition is gone. Of an alarm with automatic acknowledgement it is acknowledged with that.
    Cleared,
    /// It was acknowledged.
    Acknowledged,
    /// A comment was added without acknowledging.
    Commented,
    /// Alarms were shelved: `path` is the pattern.
    Shelved,
    /// They no longer are: somebody said so, or the time is over.
    Unshelved,
}

/// An entry of the journal. It says everything about itself, so that it can be read when its alarm is long gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmEntry {
    /// The tenure that wrote it: whose log this is.
    pub origin: Epoch,
    /// Its place in that log, from 1, without gaps.
    pub position: u64,
    /// What happened.
    pub kind: EntryKind,
    /// To which occurrence; of a shelving its own.
    pub event: EventId,
    /// Which occurrence of its alarm this is, from 1; 0 of a shelving.
    pub number: u64,
    /// Path of the alarm; of a shelving the pattern.
    pub path: Arc<str>,
    /// Name of the alarm; empty of a shelving.
    pub name: Arc<str>,
    /// Kind of the alarm.
    pub alarm: AlarmKind,
    /// How urgent it is.
    pub priority: AlarmPriority,
    /// How it is acknowledged.
    pub ack_mode: AckMode,
    /// What the alarm is, for people; at most [`MAX_DESCRIPTION_BYTES`].
    pub description: Arc<str>,
    /// When it happened.
    pub time: UnixMillis,
    /// The occurrence is active, after this.
    pub active: bool,
    /// It is acknowledged, after this.
    pub acked: bool,
    /// When the occurrence began.
    pub active_time: UnixMillis,
    /// The value that raised or cleared it, of the other kinds the last of those.
    pub value: Option<Value>,
    /// The node where the operator was, or that judged the value.
    pub node: NodeId,
    /// Who; empty: nobody, a rule says so.
    pub operator: Arc<str>,
    /// What the operator said, at most [`MAX_COMMENT_BYTES`].
    pub comment: Arc<str>,
    /// The operation id under which it was asked for.
    pub operation: Option<OperationId>,
    /// Of a shelving: for how long, in milliseconds.
    pub shelved_ms: u64,
}

impl AlarmEntry {
    /// The alarm that it is about; of a shelving meaningless.
    pub fn alarm_key(&self) -> AlarmKey {
        AlarmKey::of(&self.path, &self.name)
    }

    /// Whether it is about shelving, and not about an occurrence.
    pub fn is_shelving(&self) -> bool {
        matches!(self.kind, EntryKind::Shelved | EntryKind::Unshelved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_shown_and_read() {
        let id = EventId::of_occurrence(AlarmKey::of("Plant/A", "H"), 3, UnixMillis(1_000));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(EventId(0xab).to_string(), "000000000000000000000000000000ab");
        assert_eq!("00000000-0000-0000-0000-0000000000ab".parse(), Ok(EventId(0xab)));
        for wrong in ["", "xyz", "+0000000000000000000000000000ab", "0000000000000000000000000000000ab"] {
            assert_eq!(wrong.parse::<EventId>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn every_part_makes_another_event() {
        let of = |path, name, number, time| EventId::of_occurrence(AlarmKey::of(path, name), number, UnixMillis(time));
        let ids = [of("a", "H", 1, 5), of("aH", "", 1, 5), of("a", "H", 2, 5), of("a", "H", 1, 6), of("b", "H", 1, 5)];
        for (place, id) in ids.iter().enumerate() {
            assert!(!ids[..place].contains(id));
        }
    }
}
