//! The sources of the project, each on its thread.

use std::sync::Arc;
use std::thread::JoinHandle;

use hotpair_actors::shared::Shared;

use super::StartError;
use super::publish::PlantOfNode;
use crate::config::{Config, Project};
use crate::sources::{RunnerHandle, Source, SourceRunner};

/// A source at work.
pub(super) struct Runner {
    pub name: String,
    pub handle: RunnerHandle,
    thread: JoinHandle<()>,
}

/// Makes and starts the sources. They feed as soon as this node is Running.
pub(super) fn prepare(config: &Config, project: &Project, shared: &Arc<Shared>) -> Result<Vec<Runner>, StartError> {
    let mut sources = Vec::new();
    for def in &project.sources {
        sources.push(crate::sources::open(def, &project.catalog)?);
    }
    sources.into_iter().map(|source| start(source, config, project, shared)).collect()
}

fn start(
    source: Box<dyn Source>,
    config: &Config,
    project: &Project,
    shared: &Arc<Shared>,
) -> Result<Runner, StartError> {
    let name = source.name().to_owned();
    let plant = Arc::new(PlantOfNode(shared.clone()));
    let level = config.redundancy.standby_activity_level;
    let (runner, handle) = SourceRunner::new(source, plant, project.catalog.clone(), level);
    let thread = runner
        .spawn()
        .map_err(|error| StartError::System(format!("the thread of source {name:?} cannot be started: {error}")))?;
    Ok(Runner { name, handle, thread })
}

impl Runner {
    /// Ends it after the step that it is in.
    pub(super) fn stop(self) {
        self.handle.stop();
        if self.thread.join().is_err() {
            tracing::error!("source {:?} ended with a panic", self.name);
        }
    }
}
