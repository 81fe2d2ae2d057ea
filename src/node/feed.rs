//! The sources of the project, each on its thread. One that hangs is replaced.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hotpair_actors::shared::Shared;
use hotpair_core::catalog::Catalog;
use hotpair_core::types::StandbyActivityLevel;

use super::publish::PlantOfNode;
use super::{HANG_AFTER_MS, StartError};
use crate::config::sources::SourceDef;
use crate::config::{Config, Project};
use crate::sources::{RunnerHandle, Source, SourceError, SourceRunner};

/// How often sources are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A stop waits for the step of a source no longer.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// A source at work.
pub(super) struct Runner {
    pub name: String,
    pub handle: RunnerHandle,
    /// How often it was replaced because it hung.
    pub hangs: u64,
    /// Panics of those that were replaced.
    panics_before: u64,
    thread: JoinHandle<()>,
    plant: Arc<PlantOfNode>,
    made: Made,
}

/// What a source is made of.
#[derive(Clone)]
struct Made {
    def: SourceDef,
    catalog: Arc<Catalog>,
    level: StandbyActivityLevel,
    shared: Arc<Shared>,
}

/// Makes and starts the sources. They feed as soon as this node is Running.
pub(super) fn prepare(config: &Config, project: &Project, shared: &Arc<Shared>) -> Result<Vec<Runner>, StartError> {
    let mut sources = Vec::new();
    for def in &project.sources {
        let (catalog, shared) = (project.catalog.clone(), shared.clone());
        let made = Made { def: def.clone(), catalog, level: config.redundancy.standby_activity_level, shared };
        sources.push((made.open()?, made));
    }
    sources.into_iter().map(|(source, made)| made.start(source)).collect()
}

impl Made {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        crate::sources::open(&self.def, &self.catalog)
    }

    fn start(self, source: Box<dyn Source>) -> Result<Runner, StartError> {
        let name = source.name().to_owned();
        let plant = Arc::new(PlantOfNode::new(self.shared.clone()));
        let (runner, handle) = SourceRunner::new(source, plant.clone(), self.catalog.clone(), self.level);
        let thread = runner
            .spawn()
            .map_err(|error| StartError::System(format!("the thread of source {name:?} cannot be started: {error}")))?;
        Ok(Runner { name, handle, hangs: 0, panics_before: 0, thread, plant, made: self })
    }
}

impl Runner {
    /// Panics that were survived.
    pub(super) fn panics(&self) -> u64 {
        self.panics_before + self.handle.stats().panics
    }

    /// Replaces a source that hangs. The old one's thread ends when it wakes, and nothing of it counts any more.
    pub(super) fn look(&mut self) {
        if self.handle.busy_for() < Duration::from_millis(HANG_AFTER_MS) {
            return;
        }
        tracing::error!(source = self.name, "source hangs: another one takes its place");
        let next = self.made.open().map_err(StartError::from).and_then(|source| self.made.clone().start(source));
        match next {
            Ok(next) => {
                self.plant.replace();
                self.handle.stop();
                let (hangs, panics_before) = (self.hangs + 1, self.panics());
                *self = Self { hangs, panics_before, ..next };
            }
            Err(error) => tracing::error!(source = self.name, "it cannot be replaced: {error}"),
        }
    }

    /// Ends all of them after the step that each is in. One that hangs is left behind.
    pub(super) fn stop_all(runners: Vec<Self>) {
        for runner in &runners {
            runner.handle.stop();
        }
        let deadline = Instant::now() + STOP_WITHIN;
        for runner in runners {
            while !runner.thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            if !runner.thread.is_finished() {
                runner.plant.replace();
                tracing::error!(source = runner.name, "source hangs: the stop does not wait for it");
            } else if runner.thread.join().is_err() {
                tracing::error!("source {:?} ended with a panic", runner.name);
            }
        }
    }
}
