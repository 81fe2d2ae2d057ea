//! New values of sources and of embedding programs, on their way to the tag replicator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hotpair_actors::messages::Publish;
use hotpair_actors::shared::Shared;
use hotpair_core::replicator::Published;
use hotpair_core::tags::convert;
use tokio::sync::oneshot;

use crate::sources::{Plant, PublishError, ReadTags, SourceUpdate};

/// Turns paths into ids. An update that no tag can take is left out.
pub(super) fn resolve(shared: &Shared, batch: Vec<SourceUpdate>) -> Vec<Published> {
    let table = shared.table.read();
    let catalog = table.catalog().clone();
    drop(table);
    batch
        .into_iter()
        .filter_map(|update| {
            let id = catalog.find(&update.path)?;
            let value = convert(update.value, catalog.get(id)?.value_type).ok()?;
            Some(Published { id, value, quality: update.quality, time: update.time })
        })
        .collect()
}

/// The node as a source's thread sees it.
pub(super) struct PlantOfNode {
    shared: Arc<Shared>,
    /// Another source has taken the place of this one, which hung: should it wake, nothing of it counts.
    replaced: AtomicBool,
}

impl PlantOfNode {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, replaced: AtomicBool::new(false) }
    }

    pub(super) fn replace(&self) {
        self.replaced.store(true, Ordering::SeqCst);
    }
}

impl ReadTags for PlantOfNode {
    fn read(&self, path: &str) -> Option<hotpair_core::value::Sample> {
        let table = self.shared.table.read();
        table.get(table.catalog().find(path)?)
    }
}

impl Plant for PlantOfNode {
    fn may_run(&self) -> bool {
        !self.replaced.load(Ordering::SeqCst) && self.shared.gate.is_open(self.shared.clock.now())
    }

    fn publish(&self, batch: Vec<SourceUpdate>) -> Result<(), PublishError> {
        if self.replaced.load(Ordering::SeqCst) {
            return Err(PublishError::NotRunning);
        }
        let updates = resolve(&self.shared, batch);
        let Some(tags) = self.shared.directory.tag_replicator() else { return Err(PublishError::NotRunning) };
        let (reply, taken) = oneshot::channel();
        // One batch of each source at a time: it waits for the answer, so that the mailbox cannot grow.
        tags.do_send(Publish { updates, reply });
        match taken.blocking_recv() {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(PublishError::NotRunning),
        }
    }
}
