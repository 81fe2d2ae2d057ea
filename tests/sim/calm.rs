//! `HEAL-3` a pair that is healthy stays so by itself: when nothing fails and nobody asks for anything, no sync begins
//! anew. What users call endless full syncs is a pair that looks healthy whenever one looks.

use hotpair_core::alarm_replication::{self, AlarmFrame};
use hotpair_core::bulk::{self, Bulk, Incoming};
use hotpair_core::invariants;
use hotpair_core::wire::{HEADER_BYTES, Kind, decode};

use crate::world::World;

/// So long it is looked at, at most.
const AT_MOST_US: u64 = 5_000_000;

#[derive(Default)]
pub struct Calm {
    /// Since the pair is healthy without a new tenure: how many tenures, and syncs, there had been.
    since: Option<(u64, u64)>,
    syncs: u64,
}

impl World {
    /// So long a healthy pair is looked at: until its digests were compared twice, if that is soon.
    pub fn calm_for_us(&self) -> u64 {
        let twice = 700_000 + 2_000 * self.plan.verify_every_ms;
        if twice <= AT_MOST_US { twice } else { 700_000 }
    }

    pub fn calm_hears(&mut self, frame: &[u8]) {
        if self.quiet_since.is_none() || frame.len() < HEADER_BYTES {
            return;
        }
        let begins = if let Ok(Some(whole)) = decode(frame, Kind::Alarms) {
            matches!(alarm_replication::decode(whole.body), Ok(AlarmFrame::Follow { .. }))
        } else if let Ok(Some(whole)) = decode(frame, Kind::Bulk) {
            let message = bulk::decode(whole.body);
            matches!(message, Ok(Incoming::Message(Bulk::SyncRequest { .. } | Bulk::DigestResult { equal: false, .. })))
        } else {
            false
        };
        self.calm.syncs += u64::from(begins);
    }

    /// After a look in the quiet phase.
    pub fn calm_goes_on(&mut self, healthy: bool) {
        let (tenures, syncs) = (self.tenures(), self.calm.syncs);
        match self.calm.since {
            Some((before, begun)) if before == tenures => {
                let what = || format!("{} syncs began anew in a pair that was healthy", syncs - begun);
                self.check(invariants::stays_in_sync(syncs == begun, what));
            }
            _ if healthy => self.calm.since = Some((tenures, syncs)),
            _ => self.calm.since = None,
        }
    }
}
