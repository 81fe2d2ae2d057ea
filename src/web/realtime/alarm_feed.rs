//! The alarms, for a client that asked for them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hotpair_core::alarms::{AlarmId, EventId};

use super::Step;
use super::messages::List;
use crate::alarms_shown::AlarmShown;
use crate::node::NodeHandle;

/// From the begin of one look at the alarms to the next one.
const INTERVAL: Duration = Duration::from_millis(100);
/// So many alarms are read in one step, while the table is held.
const READ_AT_A_TIME: usize = 64;

pub(super) struct AlarmFeed {
    node: NodeHandle,
    list: List,
    /// The table's version that the client knows when the present look is done; none before the first one.
    version: Option<u64>,
    /// What is still to be read in this look, the last one first.
    left: Vec<AlarmId>,
    looking: bool,
    /// When the last look began.
    began: Instant,
    /// The occurrences that the client was shown and that are not over.
    shown: HashMap<AlarmId, EventId>,
}

impl AlarmFeed {
    pub(super) fn new(node: &NodeHandle, now: Instant) -> Self {
        let list = List::new("alarms", true);
        let (left, shown) = (Vec::new(), HashMap::new());
        let mut feed = Self { node: node.clone(), list, version: None, left, looking: false, began: now, shown };
        feed.begin(now);
        feed
    }

    /// `clear`: the client has read everything. A look begins only then, so that what is sent is never old.
    pub(super) fn step(&mut self, clear: bool, now: Instant) -> Step {
        if !self.looking {
            let next = self.began + INTERVAL;
            if now < next || !clear {
                return Step::Wait(clear.then_some(next));
            }
            self.begin(now);
        }
        if self.left.is_empty() {
            self.looking = false;
            return self.list.end().map_or(Step::More, Step::Send);
        }
        self.read();
        if self.list.is_full() { Step::Send(self.list.part(true)) } else { Step::More }
    }

    /// Finds out what is to be read.
    fn begin(&mut self, now: Instant) {
        (self.looking, self.began) = (true, now);
        let table = self.node.alarm_table();
        let version = table.version();
        if self.version == Some(version) {
            return;
        }
        let changed = self.version.and_then(|known| table.changed_since(known));
        self.left = changed.unwrap_or_else(|| {
            // Nothing is known of what the client saw: it begins anew.
            self.list = List::new("alarms", true);
            self.shown.clear();
            table.live().map(|(id, _)| id).collect()
        });
        self.version = Some(version);
    }

    fn read(&mut self) {
        let some = self.left.split_off(self.left.len().saturating_sub(READ_AT_A_TIME));
        let table = self.node.alarm_table();
        let alarms: Vec<_> = some.into_iter().filter_map(|id| Some((id, AlarmShown::of(&table, id)?))).collect();
        drop(table);
        for (id, mut alarm) in alarms {
            match alarm.event_id {
                Some(event) => _ = self.shown.insert(id, event),
                None => match self.shown.remove(&id) {
                    // Its end: normal, and so not in the list any more.
                    Some(event) => alarm.event_id = Some(event),
                    // It came and went since the client was last told.
                    None => continue,
                },
            }
            self.list.add(&alarm);
        }
    }
}
