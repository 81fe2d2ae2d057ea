//! What two tables have changed apart from each other, and how they become one again.

use super::TagTable;
use crate::catalog::TagId;
use crate::mutant::{self, Mutant};
use crate::types::Seq;
use crate::value::{Sample, Value};

/// A tag that changed past a fork point.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergent {
    /// The tag.
    pub id: TagId,
    /// Its last change here.
    pub seq: Seq,
    /// Its value here, as it was written.
    pub sample: Sample,
}

/// Which of two values survived.
#[derive(Clone, Debug, PartialEq)]
pub enum United {
    /// The other's, as a new change of this number. What it replaced is [`TagTable::raw`] of before.
    Taken(Seq),
    /// This side's, which is given here; the other's is for the divergence report.
    KeptOwn(Sample),
    /// There was nothing to choose: both have the same value and quality.
    Equal,
}

impl TagTable {
    /// The tags that changed past `fork`, in the order of their ids.
    pub fn divergent(&self, fork: Seq) -> Vec<Divergent> {
        self.enumerate()
            .filter(|(_, slot)| slot.seq > fork)
            .map(|(id, slot)| Divergent { id, seq: slot.seq, sample: slot.sample.clone() })
            .collect()
    }

    /// At the leader: takes a value that the other node has past their fork point, when this side did not change the tag
    /// past it, or the other's source time is newer. At equal times this side's value stays. The source time is kept.
    pub fn unite(&mut self, id: TagId, sample: Sample, fork: Seq) -> United {
        let Some(slot) = self.slots.get(id.0 as usize) else { return United::KeptOwn(sample) };
        let own = &slot.sample;
        if !slot.fits(&sample.value) {
            return United::KeptOwn(own.clone());
        }
        let same_value = equal_value(own, &sample);
        if same_value && own.time == sample.time {
            return United::Equal;
        }
        if slot.seq <= fork || sample.time > own.time || mutant::on(Mutant::OlderSurvives) {
            return United::Taken(self.write(id, sample.value, sample.quality, sample.time));
        }
        if same_value { United::Equal } else { United::KeptOwn(own.clone()) }
    }
}

/// The same value and quality. Unlike `==` it finds a not-a-number the same as itself.
pub(crate) fn equal_value(one: &Sample, other: &Sample) -> bool {
    let value = match (&one.value, &other.value) {
        (Value::Float64(one), Value::Float64(other)) => one.to_bits() == other.to_bits(),
        (one, other) => one == other,
    };
    value && one.quality == other.quality
}
