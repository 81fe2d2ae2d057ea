//! What the two nodes say to each other about alarms, over the bulk connection: between the tag changes, so that a
//! follower never knows a value whose alarm it doesn't know.

use serde::{Deserialize, Serialize};

use crate::alarms::{
    AlarmEntry, AlarmKey, MAX_COMMENT_BYTES, MAX_DESCRIPTION_BYTES, MAX_OPERATOR_BYTES, Occurrence, PortableShelf,
    PortableState,
};
use crate::protocol::MAX_OPERATION_ID_BYTES;
use crate::types::Epoch;
use crate::value::Value;
use crate::wire::{self, Kind, WireError, at_most, path, text, value};

/// The most positions of one frame.
pub const POSITIONS_PER_FRAME: usize = if cfg!(test) { 3 } else { 4096 };
/// The most entries, states or items of one frame.
pub const ITEMS_PER_FRAME: usize = if cfg!(test) { 4 } else { 512 };
/// A frame is closed when it holds about so much. With one more item, however large, it fits the limit of a frame.
pub(super) const FRAME_BYTES: usize = 128 * 1024;

/// A message about alarms. `sync` is the number that the follower gave to this sync; what carries another one is left
/// over from an earlier sync and is ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AlarmFrame {
    /// Follower: give me your alarms. With it what it holds of each log.
    Follow {
        /// Number of this sync, greater than that of any before it on this connection.
        sync: u64,
        /// The leader's newest tenure as the follower knows it.
        leader: Epoch,
        /// The last position of each log.
        held: Vec<(Epoch, u64)>,
        /// Further ones follow in a frame like this.
        more: bool,
    },
    /// Leader: not now.
    NotNow {
        /// Of the request.
        sync: u64,
    },
    /// Leader: what it holds of each log; the follower gives what is missing.
    Held {
        /// Of the request.
        sync: u64,
        /// The last position of each log.
        held: Vec<(Epoch, u64)>,
        /// Further ones follow in a frame like this.
        more: bool,
    },
    /// Leader, when the follower's journal lacks nothing: states of its alarms that are not the default. They are taken all at once with [`AlarmFrame::Whole`].
    States {
        /// Of the request.
        sync: u64,
        /// At most [`ITEMS_PER_FRAME`].
        states: Vec<(AlarmKey, PortableState)>,
    },
    /// Leader: up to where the states take each log into account.
    Included {
        /// Of the request.
        sync: u64,
        /// At most [`POSITIONS_PER_FRAME`].
        included: Vec<(Epoch, u64)>,
    },
    /// Leader: shelvings in force.
    Shelves {
        /// Of the request.
        sync: u64,
        /// At most [`ITEMS_PER_FRAME`].
        shelves: Vec<PortableShelf>,
    },
    /// Leader: that was all of it. [`AlarmFrame::Items`] come from now on.
    Whole {
        /// Of the request.
        sync: u64,
    },
    /// Either side: entries of a log that the other's journal lacks, in order.
    Entries {
        /// Of the request.
        sync: u64,
        /// The log.
        origin: Epoch,
        /// Positions up to here were given, or are gone for good: their age or number passed what is kept.
        after: u64,
        /// At most [`ITEMS_PER_FRAME`].
        entries: Vec<AlarmEntry>,
    },
    /// Either side: how many frames of [`AlarmFrame::Entries`] it has on its disk in this sync.
    EntriesTaken {
        /// Of the request.
        sync: u64,
        /// Since its beginning.
        frames: u64,
    },
    /// Either side: the other's journal lacks nothing any more. After [`AlarmFrame::Whole`], if the leader says so.
    NothingMissing {
        /// Of the request.
        sync: u64,
    },
    /// Leader: what happened since the states.
    Items {
        /// Of the request.
        sync: u64,
        /// Number of the first in this sync, from 1.
        first: u64,
        /// At most [`ITEMS_PER_FRAME`].
        items: Vec<AlarmItem>,
    },
    /// Follower: how many items it has taken, and how many of them are on its disk.
    Confirm {
        /// Of the request.
        sync: u64,
        /// Taken.
        applied: u64,
        /// On disk; none: its journal still lacks something of the leader's.
        stored: Option<u64>,
    },
    /// Leader: what the follower's table must be after the items so far, and what its journal must hold.
    Digest {
        /// Of the request.
        sync: u64,
        /// Of its alarms: with other alarms the digests cannot be compared.
        list: u64,
        /// Of its table.
        digest: u64,
        /// The last position of its newest logs; at most [`POSITIONS_PER_FRAME`].
        #[serde(default)]
        held: Vec<(Epoch, u64)>,
    },
    /// Follower: what came of the comparison.
    Compared {
        /// Of the request.
        sync: u64,
        /// Whether its own digest is the same.
        equal: bool,
    },
}

/// What happened at the leader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AlarmItem {
    /// An entry of its own log, with its effect on the state.
    Entry(AlarmEntry),
    /// A state changed otherwise.
    State(AlarmKey, PortableState),
    /// The states take a log into account up to there.
    Included(Epoch, u64),
}

/// The message in the body of a frame, inside all limits.
pub fn decode(body: &[u8]) -> Result<AlarmFrame, WireError> {
    let frame = wire::decode_message(body)?;
    validate(&frame)?;
    Ok(frame)
}

/// A frame of this message. Errors: it exceeds a limit, so that the peer would refuse it.
pub fn encode(frame: &AlarmFrame) -> Result<Vec<u8>, WireError> {
    validate(frame)?;
    let mut out = Vec::with_capacity(512);
    wire::append_message(&mut out, Kind::Alarms, frame)?;
    Ok(out)
}

fn validate(frame: &AlarmFrame) -> Result<(), WireError> {
    match frame {
        AlarmFrame::Follow { held, .. } | AlarmFrame::Held { held, .. } => {
            at_most("positions of logs", held.len(), POSITIONS_PER_FRAME)
        }
        AlarmFrame::Digest { held, .. } => at_most("positions of logs", held.len(), POSITIONS_PER_FRAME),
        AlarmFrame::Included { included, .. } => at_most("positions of logs", included.len(), POSITIONS_PER_FRAME),
        AlarmFrame::States { states, .. } => {
            at_most("states of alarms", states.len(), ITEMS_PER_FRAME)?;
            states.iter().try_for_each(|(_, state)| state_fits(state))
        }
        AlarmFrame::Shelves { shelves, .. } => {
            at_most("shelvings", shelves.len(), ITEMS_PER_FRAME)?;
            shelves.iter().try_for_each(shelf_fits)
        }
        AlarmFrame::Entries { entries, .. } => {
            at_most("entries of the journal", entries.len(), ITEMS_PER_FRAME)?;
            entries.iter().try_for_each(entry_fits)
        }
        AlarmFrame::Items { items, .. } => {
            at_most("changes of alarms", items.len(), ITEMS_PER_FRAME)?;
            items.iter().try_for_each(|item| match item {
                AlarmItem::Entry(entry) => entry_fits(entry),
                AlarmItem::State(_, state) => state_fits(state),
                AlarmItem::Included(..) => Ok(()),
            })
        }
        AlarmFrame::NotNow { .. }
        | AlarmFrame::Whole { .. }
        | AlarmFrame::EntriesTaken { .. }
        | AlarmFrame::NothingMissing { .. }
        | AlarmFrame::Confirm { .. }
        | AlarmFrame::Compared { .. } => Ok(()),
    }
}

fn entry_fits(entry: &AlarmEntry) -> Result<(), WireError> {
    path(&entry.path)?;
    at_most("bytes of the name of an alarm", entry.name.len(), wire::MAX_NAME_BYTES)?;
    at_most("bytes of the description of an alarm", entry.description.len(), MAX_DESCRIPTION_BYTES)?;
    said(&entry.operator, &entry.comment)?;
    let operation = entry.operation.as_ref().map_or(0, |operation| operation.len());
    at_most("bytes of an operation id", operation, MAX_OPERATION_ID_BYTES)?;
    entry.value.as_ref().map_or(Ok(()), value)
}

fn state_fits(state: &PortableState) -> Result<(), WireError> {
    if let Some(Occurrence { operator, comment, value: last, .. }) = &state.live {
        said(operator, comment)?;
        last.as_ref().map_or(Ok(()), value)?;
    }
    let begun = state.pending.as_ref().and_then(|pending| pending.value.as_ref());
    begun.map_or(Ok(()), value)
}

fn shelf_fits(shelf: &PortableShelf) -> Result<(), WireError> {
    text("bytes of the path of a shelving", &shelf.path)?;
    said(&shelf.operator, &shelf.comment)
}

fn said(operator: &str, comment: &str) -> Result<(), WireError> {
    at_most("bytes of the name of an operator", operator.len(), MAX_OPERATOR_BYTES)?;
    // What was carried over from the other node says so before the comment.
    at_most("bytes of a comment", comment.len(), 2 * MAX_COMMENT_BYTES)
}

/// About how many bytes an entry takes in a frame.
pub(super) fn size_of_entry(entry: &AlarmEntry) -> usize {
    let texts = entry.path.len() + entry.name.len() + entry.description.len() + entry.operator.len();
    let asked = entry.comment.len() + entry.operation.as_ref().map_or(0, |operation| operation.len());
    480 + texts + asked + size_of_value(entry.value.as_ref())
}

/// About how many bytes a state takes in a frame.
pub(super) fn size_of_state(state: &PortableState) -> usize {
    let live = state
        .live
        .as_ref()
        .map_or(0, |live| 240 + live.operator.len() + live.comment.len() + size_of_value(live.value.as_ref()));
    let pending = state.pending.as_ref().map_or(0, |pending| 80 + size_of_value(pending.value.as_ref()));
    160 + live + pending
}

/// About how many bytes an item takes in a frame.
pub(super) fn size_of_item(item: &AlarmItem) -> usize {
    match item {
        AlarmItem::Entry(entry) => size_of_entry(entry),
        AlarmItem::State(_, state) => size_of_state(state),
        AlarmItem::Included(..) => 64,
    }
}

fn size_of_value(value: Option<&Value>) -> usize {
    if let Some(Value::String(text)) = value { 16 + text.len() } else { 16 }
}
