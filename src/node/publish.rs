//! New values of sources and of embedding programs, on their way to the tag replicator.

use std::sync::Arc;

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
pub(super) struct PlantOfNode(pub Arc<Shared>);

impl ReadTags for PlantOfNode {
    fn read(&self, path: &str) -> Option<hotpair_core::value::Sample> {
        let table = self.0.table.read();
        table.get(table.catalog().find(path)?)
    }
}

impl Plant for PlantOfNode {
    fn may_run(&self) -> bool {
        self.0.gate.is_open(self.0.clock.now())
    }

    fn publish(&self, batch: Vec<SourceUpdate>) -> Result<(), PublishError> {
        let updates = resolve(&self.0, batch);
        let Some(tags) = self.0.directory.tag_replicator() else { return Err(PublishError::NotRunning) };
        let (reply, taken) = oneshot::channel();
        // One batch of each source at a time: it waits for the answer, so that the mailbox cannot grow.
        tags.do_send(Publish { updates, reply });
        match taken.blocking_recv() {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(PublishError::NotRunning),
        }
    }
}
