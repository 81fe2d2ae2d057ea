//! A replay of a recording: a CSV file whose header names tags and whose rows are samples of them over time.
//!
//! Its position is a tag, [`position_path`]: seconds in the file since its first row, plus the length of each whole lap
//! before, so that it only grows. Row k is out exactly when the position has reached its time. The position travels in
//! the same batch as the row's values, so another node goes on with the row after it: none is left out, none comes
//! twice.

mod recording;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use hotpair_core::catalog::{Catalog, TagDef};
use hotpair_core::quality::Quality;
use hotpair_core::types::{StandbyActivityLevel, UnixMillis};
use hotpair_core::value::{Value, ValueType};

pub use recording::{RecordingError, header_paths};

use self::recording::{Place, Recording};
use super::{Next, ReadTags, Source, SourceError, SourceTime, SourceUpdate};

/// After a takeover rows that became due in a gap of at most this length are made up for; after a longer one the replay
/// goes on as if the gap had not been.
const LONGEST_GAP_MS: i64 = 60_000;
/// A row's time follows from the one of the position before it, so that two nodes give a row the same one. When it is
/// farther than this from when the row was due by this node's clock, the clock counts.
const LONGEST_DRIFT_MS: i64 = 1_000;
/// A file that could not be read is tried again this often.
const RETRY_MS: u64 = 1_000;

/// Unit of the time column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// `ms`
    Milliseconds,
    /// `s`
    Seconds,
    /// `h`
    Hours,
}

impl TimeUnit {
    /// How many seconds one is.
    pub fn seconds(self) -> f64 {
        match self {
            Self::Milliseconds => 0.001,
            Self::Seconds => 1.0,
            Self::Hours => 3_600.0,
        }
    }
}

/// The settings of a replay in `sources.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplaySettings {
    /// The source's name.
    pub name: String,
    /// The recording: CSV with a header of tag paths.
    pub file: PathBuf,
    /// What separates its cells. With `;`, numbers may have a decimal comma.
    pub delimiter: u8,
    /// Which column holds the time. Times grow from row to row.
    pub time_column: String,
    /// In what unit.
    pub time_unit: TimeUnit,
    /// Times real time; more than 0, and so that rows are at least a millisecond apart.
    pub speed: f64,
    /// Begin again after the last row, one more of the last interval later.
    pub repeat: bool,
}

/// The path of the tag that holds a replay's position, of type Float64, in seconds.
pub fn position_path(name: &str) -> String {
    format!("System/Sources/{name}/Position")
}

/// The tag that a project with a replay of this name must have besides those of its tag list. It is not retained: after
/// a stop of both nodes the recording begins again, as its tags do.
pub fn position_tag(name: &str) -> TagDef {
    TagDef {
        unit: "s".to_owned(),
        description: format!("Position of the replay {name}: seconds since the file's start, plus whole laps"),
        source_fed: true,
        ..TagDef::new(position_path(name), ValueType::Float64)
    }
}

/// See the [module](self).
pub struct Replay {
    settings: ReplaySettings,
    catalog: Arc<Catalog>,
    position: Arc<str>,
    paths: Vec<Arc<str>>,
    recording: Option<Recording>,
    fault: Option<String>,
    next: Option<Place>,
    /// What the tags miss of the row at the position.
    missing: Vec<SourceUpdate>,
    /// The replay was or would have been at this position …
    anchor_s: f64,
    /// … at this moment of the monotonic clock, in milliseconds; it may lie before the clock's start.
    anchor_ms: i64,
    /// The time of position 0, in milliseconds.
    start_ms: i64,
    last_time: UnixMillis,
}

impl Replay {
    /// Opens and reads the recording. The error is a setting out of range, something wrong in the file, with its line
    /// and column, or a tag that is missing or of another type.
    pub fn open(settings: ReplaySettings, catalog: Arc<Catalog>) -> Result<Self, SourceError> {
        let setting = |found: f64, allowed: String| SourceError::Setting {
            name: settings.name.clone(),
            key: "speed",
            found: found.to_string(),
            allowed,
        };
        if !(settings.speed.is_finite() && settings.speed > 0.0) {
            return Err(setting(settings.speed, "it must be a number above 0".to_owned()));
        }
        let position = position_path(&settings.name);
        let Some(tag) = catalog.find(&position).and_then(|id| catalog.get(id)) else {
            return Err(SourceError::NoTag { name: settings.name, path: position, fed: ValueType::Float64 });
        };
        let position = tag.path.clone();
        if tag.value_type != ValueType::Float64 {
            let (name, fed, found) = (settings.name, ValueType::Float64, tag.value_type);
            return Err(SourceError::WrongType { name, path: position, fed, found });
        }
        let recording = Recording::read(&settings, &catalog)?;
        let fastest = recording.shortest_interval_s() * 1_000.0;
        if settings.speed > fastest {
            let allowed = format!("at more than {fastest} rows of {} are less than a millisecond apart", {
                settings.file.display()
            });
            return Err(setting(settings.speed, allowed));
        }
        Ok(Self {
            paths: recording.columns().iter().chain([&position]).cloned().collect(),
            settings,
            catalog,
            position,
            recording: Some(recording),
            fault: None,
            next: None,
            missing: Vec::new(),
            anchor_s: 0.0,
            anchor_ms: 0,
            start_ms: 0,
            last_time: UnixMillis(i64::MIN),
        })
    }

    /// Where the tags say that the replay is, and since when.
    fn position_in(&self, tags: &dyn ReadTags) -> Option<(f64, UnixMillis)> {
        let sample = tags.read(&self.position)?;
        let unset = [Quality::BAD_WAITING_FOR_INITIAL_DATA, Quality::UNCERTAIN_INITIAL_VALUE];
        match sample.value {
            Value::Float64(at_s) if at_s >= 0.0 && at_s.is_finite() && !unset.contains(&sample.quality) => {
                Some((at_s, sample.time))
            }
            _ => None,
        }
    }

    /// How long it takes from the start to a position.
    fn played_ms(&self, position_s: f64) -> i64 {
        (position_s / self.settings.speed * 1_000.0).round() as i64
    }

    /// The time of a row that was due at this moment by the wall clock.
    fn time_of(&mut self, position_s: f64, due: i64) -> UnixMillis {
        let played_ms = self.played_ms(position_s);
        if self.start_ms.saturating_add(played_ms).abs_diff(due) > LONGEST_DRIFT_MS.unsigned_abs() {
            self.start_ms = due.saturating_sub(played_ms);
        }
        // Never equal to the row before, whatever the wall clock did: history tells samples apart by their time.
        let time = self.start_ms.saturating_add(played_ms).max(self.last_time.0.saturating_add(1));
        self.last_time = UnixMillis(time);
        self.last_time
    }

    fn due_ms(&self, position_s: f64) -> i64 {
        self.anchor_ms.saturating_add(((position_s - self.anchor_s) / self.settings.speed * 1_000.0).round() as i64)
    }
}

impl Source for Replay {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn paths(&self) -> Vec<Arc<str>> {
        self.paths.clone()
    }

    fn repeats_count(&self) -> bool {
        true
    }

    fn resume(&mut self, now: SourceTime, tags: &dyn ReadTags) {
        self.next = None;
        self.missing.clear();
        if self.recording.is_none() {
            match Recording::read(&self.settings, &self.catalog) {
                Ok(recording) => self.recording = Some(recording),
                Err(error) => self.fault = Some(error.to_string()),
            }
        }
        let Some(recording) = &self.recording else { return };
        self.fault = None;
        let now_ms = now.mono_ms.cast_signed();
        let Some((at_s, since)) = self.position_in(tags) else {
            (self.anchor_s, self.anchor_ms, self.last_time) = (0.0, now_ms, UnixMillis(i64::MIN));
            self.start_ms = now.unix.0;
            self.next = Some(Place::default());
            return;
        };
        let gap_ms = now.unix.0.saturating_sub(since.0);
        let gap_ms = if gap_ms > LONGEST_GAP_MS { 0 } else { gap_ms.max(0) };
        (self.anchor_s, self.anchor_ms, self.last_time) = (at_s, now_ms - gap_ms, since);
        self.start_ms = since.0.saturating_sub(self.played_ms(at_s));
        self.next = recording.after(at_s, self.settings.repeat);
        // Of a batch that was on its way when a node died, the position can have arrived before some of the values.
        for (path, value) in recording.row_at(at_s) {
            let held = tags.read(path);
            if held.is_none_or(|held| held.time < since && held.value != *value) {
                let (path, value, quality) = (path.clone(), value.clone(), Quality::GOOD);
                self.missing.push(SourceUpdate { path, value, quality, time: since });
            }
        }
    }

    /// One row a step, so that a row is a batch.
    fn step(&mut self, now: SourceTime, tags: &dyn ReadTags, out: &mut Vec<SourceUpdate>) -> Next {
        if self.recording.is_none() {
            self.resume(now, tags);
        }
        let Some(recording) = &self.recording else { return Next { after_ms: RETRY_MS } };
        if !self.missing.is_empty() {
            out.append(&mut self.missing);
            return Next { after_ms: 0 };
        }
        let Some(place) = self.next else { return Next::IDLE };
        let now_ms = now.mono_ms.cast_signed();
        let position_s = recording.position_s(place);
        let due_ms = self.due_ms(position_s);
        if due_ms > now_ms {
            return Next { after_ms: (due_ms - now_ms).cast_unsigned() };
        }
        let time = self.time_of(position_s, now.unix.0 - (now_ms - due_ms));
        let Some(recording) = &self.recording else { return Next { after_ms: RETRY_MS } };
        let mut add = |path: &Arc<str>, value| {
            out.push(SourceUpdate { path: path.clone(), value, quality: Quality::GOOD, time });
        };
        for (path, value) in recording.row(place.row) {
            add(path, value.clone());
        }
        add(&self.position, Value::Float64(position_s));
        self.next = recording.following(place, self.settings.repeat);
        let Some(next) = self.next else { return Next::IDLE };
        Next { after_ms: (self.due_ms(recording.position_s(next)) - now_ms).max(0).cast_unsigned() }
    }

    fn standby(&mut self, level: StandbyActivityLevel) {
        if level == StandbyActivityLevel::Cold {
            self.recording = None;
        }
    }

    fn fault(&self) -> Option<String> {
        self.fault.clone()
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("settings", &self.settings).field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
