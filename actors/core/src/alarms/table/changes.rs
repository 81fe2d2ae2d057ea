//! What a reader has not seen yet.

use std::collections::VecDeque;

use crate::alarms::AlarmId;

/// So many changes are remembered.
const KEPT: usize = 8192;

/// The last changes of what is shown.
#[derive(Debug, Default)]
pub(super) struct Changes {
    version: u64,
    last: VecDeque<(u64, AlarmId)>,
    /// Every change after this version is remembered.
    complete_from: u64,
}

impl Changes {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// An alarm is shown differently.
    pub(super) fn note(&mut self, id: AlarmId) {
        self.version += 1;
        if self.last.len() >= KEPT
            && let Some((version, _)) = self.last.pop_front()
        {
            self.complete_from = version;
        }
        self.last.push_back((self.version, id));
    }

    /// The shelvings are others.
    pub(super) fn note_shelves(&mut self) {
        self.version += 1;
    }

    /// Alarms that changed after `version`, in the order of their ids.
    pub(super) fn since(&self, version: u64) -> Option<Vec<AlarmId>> {
        if version < self.complete_from || version > self.version {
            return None;
        }
        let from = self.last.partition_point(|(of, _)| *of <= version);
        let mut ids: Vec<AlarmId> = self.last.range(from..).map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        Some(ids)
    }
}
