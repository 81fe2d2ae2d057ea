//! What was done under an operation id: told by the entries themselves, which both nodes have, also after a restart.

use std::collections::{HashMap, VecDeque};

use crate::alarms::{AlarmAction, AlarmEntry, AlarmResult, EntryKind};
use crate::operations::{KEEP_MS, MAX_RECORDS};
use crate::protocol::OperationId;
use crate::types::Millis;

/// What is known of an operation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing (any more): do it.
    New,
    /// It was done.
    Done(AlarmResult),
    /// It was used for something else.
    Reused,
}

/// Operations of the last ten minutes.
#[derive(Debug, Default)]
pub(super) struct Operations {
    done: HashMap<OperationId, (AlarmAction, AlarmResult)>,
    by_age: VecDeque<(Millis, OperationId)>,
}

impl Operations {
    /// Takes note of an entry that was asked for under an id.
    pub(super) fn remember(&mut self, entry: &AlarmEntry, now: Millis) {
        if let (Some(id), Some(action)) = (&entry.operation, action_of(entry)) {
            self.record(id.clone(), action, AlarmResult::Good, now);
        }
    }

    /// Takes note of a result; the first one of an id counts.
    pub(super) fn record(&mut self, id: OperationId, action: AlarmAction, result: AlarmResult, now: Millis) {
        while let Some((at, oldest)) = self.by_age.front()
            && (at.plus(KEEP_MS) <= now || self.done.len() >= MAX_RECORDS)
        {
            self.done.remove(oldest);
            self.by_age.pop_front();
        }
        if !self.done.contains_key(&id) {
            self.by_age.push_back((now, id.clone()));
            self.done.insert(id, (action, result));
        }
    }

    pub(super) fn find(&self, id: &OperationId, action: &AlarmAction) -> Found {
        match self.done.get(id) {
            None => Found::New,
            Some((done, result)) if done == action => Found::Done(*result),
            Some(_) => Found::Reused,
        }
    }
}

/// What was asked for.
fn action_of(entry: &AlarmEntry) -> Option<AlarmAction> {
    let (event, path, comment) = (entry.event, entry.path.clone(), entry.comment.clone());
    match entry.kind {
        EntryKind::Acknowledged => Some(AlarmAction::Acknowledge { event, comment }),
        EntryKind::Commented => Some(AlarmAction::Comment { event, comment }),
        EntryKind::Shelved => Some(AlarmAction::Shelve { path, for_ms: entry.shelved_ms, comment }),
        EntryKind::Unshelved => Some(AlarmAction::Unshelve { path, comment }),
        EntryKind::Raised | EntryKind::Cleared => None,
    }
}
