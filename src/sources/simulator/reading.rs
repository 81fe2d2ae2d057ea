//! How equipment reads its tags and writes what its instruments show.

use hotpair_core::quality::Quality;
use hotpair_core::types::UnixMillis;
use hotpair_core::value::{Sample, Value};

use super::equipment::{Start, Tags};
use super::random::Random;
use crate::sources::{ReadTags, SourceUpdate};

/// What the tags of one piece of equipment read now.
pub(super) struct Reading<'a> {
    pub tags: &'a Tags,
    pub reader: &'a dyn ReadTags,
}

impl Reading<'_> {
    /// The sample at this place of the table; none without such a tag or before it got a value.
    pub fn sample(&self, place: usize) -> Option<Sample> {
        let path = self.tags.paths.get(place)?.as_ref()?;
        self.reader.read(path).filter(|sample| sample.quality != Quality::BAD_WAITING_FOR_INITIAL_DATA)
    }

    /// The number at this place. A tag without one counts as its start value.
    pub fn number(&self, place: usize) -> f64 {
        match (self.sample(place).map(|sample| sample.value), self.start(place)) {
            (Some(Value::Float64(number)), _) if number.is_finite() => number,
            (_, Some(Start::Number(number))) => number,
            _ => 0.0,
        }
    }

    /// Whether the switch at this place is on. A tag without a value counts as its start value.
    pub fn switch(&self, place: usize) -> bool {
        match (self.sample(place).map(|sample| sample.value), self.start(place)) {
            (Some(Value::Bool(on)), _) | (_, Some(Start::Switch(on))) => on,
            _ => false,
        }
    }

    fn start(&self, place: usize) -> Option<Start> {
        self.tags.table.get(place).map(|row| row.start)
    }
}

/// Collects what instruments show at one moment.
pub(super) struct Writer<'a> {
    pub time: UnixMillis,
    pub random: &'a mut Random,
    pub out: &'a mut Vec<SourceUpdate>,
}

impl Writer<'_> {
    /// Shows a number with the noise of its instrument, within the instrument's range. Zero is shown without noise:
    /// what stands still is quiet.
    pub fn number(&mut self, tags: &Tags, place: usize, number: f64) {
        let Some(row) = tags.table.get(place) else { return };
        let (low, high) = row.range.unwrap_or((f64::MIN, f64::MAX));
        let noise = if number == 0.0 { 0.0 } else { row.noise * self.random.normal() };
        // Instruments have so many digits; it also keeps values readable.
        let shown = ((number + noise).clamp(low, high) * 1_000.0).round() / 1_000.0;
        self.give(tags, place, Value::Float64(shown), Quality::GOOD);
    }

    /// Shows a value as it is, when the project has the tag.
    pub fn give(&mut self, tags: &Tags, place: usize, value: Value, quality: Quality) {
        if let Some(Some(path)) = tags.paths.get(place) {
            self.out.push(SourceUpdate { path: path.clone(), value, quality, time: self.time });
        }
    }
}
