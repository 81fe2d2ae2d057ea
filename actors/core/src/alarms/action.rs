//! What an operator asks for, and what comes of it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::EventId;
use crate::protocol::OperationId;
use crate::types::NodeId;

/// The longest shelving: a week.
pub const MAX_SHELVING_MS: u64 = 7 * 24 * 3_600_000;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmAction {
    /// Acknowledge this occurrence, and no later one.
    Acknowledge {
        /// The occurrence.
        event: EventId,
        /// Why; may be empty, unless the alarm wants one.
        comment: Arc<str>,
    },
    /// Say something about this occurrence.
    Comment {
        /// The occurrence.
        event: EventId,
        /// What; not empty.
        comment: Arc<str>,
    },
    /// Show these alarms no more for a while.
    Shelve {
        /// The path of a tag, or that and the name of an alarm behind a `/`; `*` stands for any characters.
        path: Arc<str>,
        /// For how long in milliseconds, at most [`MAX_SHELVING_MS`].
        for_ms: u64,
        /// Why; may be empty.
        comment: Arc<str>,
    },
    /// Show them again. The path must be one that is shelved.
    Unshelve {
        /// As it was shelved.
        path: Arc<str>,
        /// Why; may be empty.
        comment: Arc<str>,
    },
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Name of the operator.
    pub operator: Arc<str>,
    /// The node where he is.
    pub node: NodeId,
}

/// A request of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmRequest {
    /// What is asked for.
    pub action: AlarmAction,
    /// Who asks.
    pub who: Who,
    /// Repeating it under the same id within ten minutes gives the first result again, at either node.
    pub operation: Option<OperationId>,
}

/// What came of a request. Names are those of OPC UA (OPC 10000-9) where it has one. Shown by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AlarmResult {
    /// Done.
    Good,
    /// No occurrence of this id is waiting for anybody: it is over, or there never was one.
    BadEventIdUnknown,
    /// It was acknowledged already.
    BadConditionBranchAlreadyAcked,
    /// This alarm is acknowledged with a comment only; a comment that says nothing.
    BadCommentMissing,
    /// No alarm fits the path.
    BadNodeIdUnknown,
    /// This path is not shelved.
    BadConditionNotShelved,
    /// The time of a shelving is 0 or above [`MAX_SHELVING_MS`].
    BadShelvingTimeOutOfRange,
    /// A text is too long or has control characters, or there are too many shelvings.
    BadOutOfRange,
}

impl fmt::Display for AlarmResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}
