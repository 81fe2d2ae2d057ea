//! What is due when. Each timer has one deadline at most, so there are never more than alarms and shelvings ask for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::alarms::AlarmId;
use crate::types::Millis;

/// What ends at a deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// A delay of an alarm.
    Delay(AlarmId),
    /// The time that a cleared alarm waits for its acknowledgement.
    Stale(AlarmId),
    /// The shelving of a path.
    Shelf(Arc<str>),
}

/// All deadlines, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Millis, Timer)>,
    deadlines: HashMap<Timer, Millis>,
}

impl Timers {
    /// Sets a timer, or stops it, whatever it was before.
    pub(super) fn set(&mut self, timer: Timer, deadline: Option<Millis>) {
        let before = match deadline {
            Some(deadline) => self.deadlines.insert(timer.clone(), deadline),
            None => self.deadlines.remove(&timer),
        };
        if before == deadline {
            return;
        }
        let mut entry = (Millis(0), timer);
        if let Some(before) = before {
            entry.0 = before;
            self.queue.remove(&entry);
        }
        if let Some(deadline) = deadline {
            entry.0 = deadline;
            self.queue.insert(entry);
        }
    }

    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.deadlines.contains_key(timer)
    }

    pub(super) fn next(&self) -> Option<Millis> {
        self.queue.first().map(|(deadline, _)| *deadline)
    }

    /// Takes the earliest one that is due.
    pub(super) fn take_due(&mut self, now: Millis) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
