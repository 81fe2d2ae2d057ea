//! What feeds tags: a simulated plant and a replay of a recording, each behind one trait, each in a thread of its own.
//!
//! A [`Source`] is stepped with the time and what the tags read now, and says what changes; it has no clock and no
//! thread. The [`SourceRunner`] has both: it steps the source only while this node is Running, lets a takeover continue
//! from the values that the tags have, applies deadbands and survives a source that panics.

pub mod deadband;
pub mod replay;
pub mod runner;
pub mod simulator;

use std::sync::Arc;

use hotpair_core::catalog::Catalog;
use hotpair_core::quality::Quality;
use hotpair_core::types::{StandbyActivityLevel, UnixMillis};
use hotpair_core::value::{Sample, Value, ValueType};

use crate::config::sources::SourceDef;

pub use replay::{Replay, ReplaySettings, TimeUnit};
pub use runner::{Plant, PublishError, RunnerHandle, RunnerStats, SourceRunner};
pub use simulator::{Simulator, SimulatorSettings};

/// What feeds tags. Steps are pure in (what tags read now, time); the runner owns the clock.
pub trait Source: Send {
    /// Its name in `sources.toml`.
    fn name(&self) -> &str;

    /// The paths of the tags that it feeds.
    fn paths(&self) -> Vec<Arc<str>>;

    /// Whether a value equal to the one before counts as a new sample when the tag has no deadband. A recording says
    /// yes: each of its rows is a sample. A measurement of now says no.
    fn repeats_count(&self) -> bool {
        false
    }

    /// Becomes the feeding one: continues from the values that the tags have now, so that a failover does not make the
    /// plant jump. Whatever it remembered from before is void.
    fn resume(&mut self, now: SourceTime, tags: &dyn ReadTags);

    /// Adds the changes that are due at `now` to `out`, which travel as one batch, and says when it wants to be called
    /// again. Called only while this node is Running, after a [`resume`](Self::resume).
    fn step(&mut self, now: SourceTime, tags: &dyn ReadTags, out: &mut Vec<SourceUpdate>) -> Next;

    /// Stops feeding. `Warm` keeps what makes a takeover quick (connections, parsed files), `Cold` lets go of it.
    fn standby(&mut self, level: StandbyActivityLevel);

    /// What keeps it from feeding at present, for people.
    fn fault(&self) -> Option<String> {
        None
    }
}

/// Makes a source of the project, and reads what it needs. It does not feed yet.
pub fn open(def: &SourceDef, catalog: &Arc<Catalog>) -> Result<Box<dyn Source>, SourceError> {
    Ok(match def {
        SourceDef::Simulator(def) => Box::new(Simulator::new(def.into(), catalog)?),
        SourceDef::Replay(def) => Box::new(Replay::open(def.into(), catalog.clone())?),
    })
}

/// The present values of all tags.
pub trait ReadTags {
    /// The present sample of a tag; none when there is no such tag.
    fn read(&self, path: &str) -> Option<Sample>;
}

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceTime {
    /// On the wall clock: what timestamps are made of.
    pub unix: UnixMillis,
    /// Milliseconds since an arbitrary moment of this process: what durations are made of.
    pub mono_ms: u64,
}

/// When a source wants its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// In this many milliseconds after the moment of this step. 0: at once.
    pub after_ms: u64,
}

impl Next {
    /// Nothing is to come; a change of the role asks again.
    pub const IDLE: Self = Self { after_ms: 60_000 };
}

/// A new sample of a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceUpdate {
    /// The tag.
    pub path: Arc<str>,
    /// Its value, of the tag's type.
    pub value: Value,
    /// How far it can be trusted.
    pub quality: Quality,
    /// When the source saw it.
    pub time: UnixMillis,
}

/// Why a source cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The simulator found nothing to simulate.
    #[error(
        "source {name:?}: no tag below {root:?} is one that the simulator feeds. It feeds tags like \
         {root}/Area1/Tank1/Level; `hotpair init` writes a tags.csv with all of them, or set another `root`"
    )]
    NoEquipment {
        /// The source.
        name: String,
        /// Where it looked.
        root: String,
    },
    /// A tag has a type that its source cannot feed.
    #[error("source {name:?}: it feeds {path} as {fed}, but tags.csv says {found}. Set its type to {fed}")]
    WrongType {
        /// The source.
        name: String,
        /// The tag.
        path: Arc<str>,
        /// What the source gives.
        fed: ValueType,
        /// What the tag list says.
        found: ValueType,
    },
    /// A tag that the source needs is missing.
    #[error("source {name:?}: it needs the tag {path} of type {fed}, and there is none")]
    NoTag {
        /// The source.
        name: String,
        /// The tag.
        path: String,
        /// The type that it must have.
        fed: ValueType,
    },
    /// A setting has a value that cannot be.
    #[error("source {name:?}: {key} = {found}, but {allowed}")]
    Setting {
        /// The source.
        name: String,
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        allowed: String,
    },
    /// The recording cannot be used.
    #[error(transparent)]
    Recording(#[from] replay::RecordingError),
}
