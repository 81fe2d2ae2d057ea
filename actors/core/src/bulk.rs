//! What travels on the bulk connection: tag changes, and what it takes to start and prove their flow.
//!
//! The *leader* of a sync sends its tags, the *follower* applies them. Batches of changes are written by hand, see
//! [`BatchWriter`]; the rest is [`Bulk`]. A body that starts as an array is a batch.

mod batch;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use batch::{BatchHeader, BatchItem, BatchWriter, MAX_OPERATION_RESULTS, read_batch};

use crate::lineage::Lineage;
use crate::operations::Record;
use crate::protocol::{ItemResult, MAX_OPERATION_ID_BYTES, OperationId};
use crate::tags::Partial;
use crate::types::{Epoch, Seq};
use crate::value::{Sample, ValueType};
use crate::wire::{self, Kind, WireError, at_most, path, text};

/// The most tags of one [`Bulk::Paths`] frame: they fit it even when each path is as long as allowed.
pub const PATHS_PER_FRAME: usize = 512;
/// The most ids of one [`Bulk::Unmatched`] frame.
pub const UNMATCHED_PER_FRAME: usize = 65_536;
/// The most changes of one [`Bulk::Divergent`] frame: they fit it even when each holds the longest text.
pub const DIVERGENT_PER_FRAME: usize = 48;
/// The most operations of one [`Bulk::Divergent`] frame; together they have at most [`MAX_OPERATION_RESULTS`] results.
/// They fit it beside as many changes as are allowed.
pub const OPERATIONS_PER_FRAME: usize = 256;

/// A message of the bulk connection that is not a batch. `sync` is the number that the follower gave to this sync;
/// what carries another one is left over from an earlier sync and is ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Bulk {
    /// Follower: send me what changed.
    SyncRequest {
        /// Number of this sync, drawn by the follower, greater than that of any before it on this connection.
        sync: u64,
        /// The leader's newest tenure as the follower knows it.
        leader: Epoch,
        /// It holds everything up to here; 0 asks for everything.
        from: Seq,
        /// Hash of its tag paths and types in order.
        tag_list: u64,
        /// What it got of everything before the connection was lost, of this tenure.
        #[serde(default)]
        partial: Option<Partial>,
    },
    /// Leader: not now.
    SyncRefused {
        /// Of the request.
        sync: u64,
        /// For people.
        reason: String,
    },
    /// Leader: what follows belongs to this sync.
    SyncStart {
        /// Of the request.
        sync: u64,
        /// The tenures that the leader's data went through.
        lineage: Lineage,
        /// Changes after this one travel; less than asked for when the leader's data parted from the follower's earlier.
        from: Seq,
        /// The leader's last change now.
        last: Seq,
        /// How many tags are on their way, to show progress.
        count: u64,
        /// Source-fed tags not changed after this one are last usable values.
        stale_before: Seq,
        /// The tag lists differ: [`Bulk::Paths`] come before the first batch.
        paths_follow: bool,
        /// What the follower has already of everything does not travel again.
        #[serde(default)]
        resumed: bool,
    },
    /// Leader: its tags in the order of their ids.
    Paths {
        /// Of the request.
        sync: u64,
        /// Id of the first of these.
        first: u32,
        /// Path and type of each, at most [`PATHS_PER_FRAME`].
        paths: Vec<(Arc<str>, ValueType)>,
        /// Further ones follow.
        more: bool,
    },
    /// Follower: the leader's tags that it does not have, or has with another type. They are not sent and not in digests.
    Unmatched {
        /// Of the request.
        sync: u64,
        /// The leader's ids, at most [`UNMATCHED_PER_FRAME`].
        ids: Vec<u32>,
        /// Further ones follow.
        more: bool,
    },
    /// Leader: what the follower's table must be once it applied everything sent so far.
    Digest {
        /// Of the request.
        sync: u64,
        /// The leader's last change.
        at: Seq,
        /// Of all tags that both have.
        digest: u64,
        /// How many those are.
        tags: u64,
    },
    /// Follower: what came of the comparison.
    DigestResult {
        /// Of the request.
        sync: u64,
        /// Whether its own digest is the same.
        equal: bool,
    },
    /// Follower: how far it is.
    Ack {
        /// Of the request.
        sync: u64,
        /// Batches received in this sync: the leader's credit.
        frames: u64,
        /// It holds every change up to here.
        applied: Seq,
        /// It holds every change of retained tags up to here on disk.
        durable: Seq,
    },
    /// Follower: changes that only it had, past the point where both parted.
    Divergent {
        /// Of the request.
        sync: u64,
        /// The last change that both had.
        fork: Seq,
        /// Path and newest value of each, at most [`DIVERGENT_PER_FRAME`].
        items: Vec<(Arc<str>, Sample)>,
        /// Operations that it keeps the results of, at most [`OPERATIONS_PER_FRAME`]: the leader may not know them.
        #[serde(default)]
        operations: Vec<DoneOperation>,
        /// Further ones follow.
        more: bool,
    },
    /// Leader: it took, or deliberately dropped, all of them; the follower may forget them.
    DivergentTaken {
        /// Of the request.
        sync: u64,
        /// How many changes it was given in this sync.
        count: u64,
    },
    /// Both: this side is there, and the connection carries something.
    Beat,
}

/// A write that was done under an operation id. It comes without the number of its last change, which means nothing at a
/// node whose data parted before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoneOperation {
    /// The id that the client chose.
    pub id: OperationId,
    /// What it asked for: see [`crate::operations::request_hash`].
    pub request_hash: u64,
    /// The result of each item, as numbers: see [`BatchWriter`].
    #[serde(with = "record::codes")]
    pub results: Vec<ItemResult>,
    /// How long ago it was done, in milliseconds.
    pub age_ms: u64,
}

impl DoneOperation {
    /// This record, made `age_ms` ago; none when it is too long to travel.
    pub fn of(record: &Record, age_ms: u64) -> Option<Self> {
        let Record { id, request_hash, results, .. } = record;
        let fits = results.len() <= MAX_OPERATION_RESULTS && id.len() <= MAX_OPERATION_ID_BYTES;
        fits.then(|| Self { id: id.clone(), request_hash: *request_hash, results: results.clone(), age_ms })
    }
}

/// The content of a bulk frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming<'a> {
    /// Anything but a batch.
    Message(Bulk),
    /// A batch, not read yet: for [`read_batch`].
    Batch(&'a [u8]),
}

/// What the body of a bulk frame holds, inside all limits.
///
/// [`WireError::UnknownMessage`] may be skipped; every other error is final.
pub fn decode(body: &[u8]) -> Result<Incoming<'_>, WireError> {
    if batch::is_batch(body) {
        return Ok(Incoming::Batch(body));
    }
    let message = wire::decode_message(body)?;
    validate(&message)?;
    Ok(Incoming::Message(message))
}

/// A frame of this message. Errors: it exceeds a limit, so that the peer would refuse it.
pub fn encode(message: &Bulk) -> Result<Vec<u8>, WireError> {
    validate(message)?;
    let mut out = Vec::with_capacity(128);
    wire::append_message(&mut out, Kind::Bulk, message)?;
    Ok(out)
}

/// Whether every part of a message is inside its limit.
pub fn validate(message: &Bulk) -> Result<(), WireError> {
    match message {
        Bulk::SyncRefused { reason, .. } => text("bytes of the reason why a sync was refused", reason),
        Bulk::SyncStart { lineage, .. } => wire::lineage(lineage),
        Bulk::Paths { paths, .. } => {
            at_most("tags of a frame of paths", paths.len(), PATHS_PER_FRAME)?;
            paths.iter().try_for_each(|(of_tag, _)| path(of_tag))
        }
        Bulk::Unmatched { ids, .. } => at_most("ids of a frame of unmatched tags", ids.len(), UNMATCHED_PER_FRAME),
        Bulk::Divergent { items, operations, .. } => {
            at_most("changes of a frame of divergent changes", items.len(), DIVERGENT_PER_FRAME)?;
            at_most("operations of a frame of divergent changes", operations.len(), OPERATIONS_PER_FRAME)?;
            let results = operations.iter().map(|operation| operation.results.len()).sum();
            at_most("results of the operations of a frame", results, MAX_OPERATION_RESULTS)?;
            operations
                .iter()
                .try_for_each(|done| at_most("bytes of an operation id", done.id.len(), MAX_OPERATION_ID_BYTES))?;
            items.iter().try_for_each(|(of_tag, sample)| {
                path(of_tag)?;
                wire::value(&sample.value)
            })
        }
        Bulk::SyncRequest { .. }
        | Bulk::Digest { .. }
        | Bulk::DigestResult { .. }
        | Bulk::Ack { .. }
        | Bulk::DivergentTaken { .. }
        | Bulk::Beat => Ok(()),
    }
}
