//! Making a part of a running node fail on purpose. Only with the feature `fault-injection`.

use std::time::Duration;

use hotpair_actors::directory::names;
use hotpair_actors::durable::{Durable, RetainedBatch};
use hotpair_actors::injure::{Injure, NotInjured, injure};
use hotpair_actors::journal::JournalStore;
use hotpair_core::types::Epoch;

use super::NodeHandle;

/// The thread that writes everything but the journal.
const DISK: &str = "Disk";
/// The thread that writes the journal.
const JOURNAL: &str = "Journal";
/// In front of the name of a source.
const SOURCE: &str = "Source/";

impl NodeHandle {
    /// The parts that can be made to fail: the actors, `Disk`, `Journal`, and `Source/` with the name of each source.
    pub fn parts(&self) -> Vec<String> {
        let runners = self.inner.runners.lock();
        let sources = runners.iter().map(|runner| format!("{SOURCE}{}", runner.name));
        names::ALL.into_iter().chain([DISK, JOURNAL]).map(str::to_owned).chain(sources).collect()
    }

    /// Makes one of [`parts`](Self::parts) fail, at once: a source with its next step, a disk with its next operation.
    /// An actor can fail in every way, one without a machine but by a torn step; a disk can hang; a source can panic and hang.
    pub fn injure(&self, name: &str, how: Injure) -> Result<(), NotInjured> {
        if let Some(source) = name.strip_prefix(SOURCE)
            && let Some(runner) = self.inner.runners.lock().iter().find(|runner| runner.name == source)
        {
            return match how {
                Injure::Panic | Injure::Hang { .. } => {
                    runner.handle.injure(how);
                    Ok(())
                }
                _ => Err(NotInjured::Cannot { name: name.to_owned(), why: "a source can only panic or hang" }),
            };
        }
        if name == DISK || name == JOURNAL {
            let Injure::Hang { ms } = how else {
                return Err(NotInjured::Cannot { name: name.to_owned(), why: "a thread of a disk can only hang" });
            };
            // Whoever tells its caller that it is done keeps the thread.
            let hang = move || std::thread::sleep(Duration::from_millis(ms));
            if name == DISK {
                self.inner.storage.store_retained(RetainedBatch::default(), Box::new(move |_| hang()));
            } else {
                self.inner.journal.read(Epoch::default(), 0, 0, Box::new(move |_| hang()));
            }
            return Ok(());
        }
        injure(&self.inner.shared.directory, name, how).map_err(|error| match error {
            NotInjured::Unknown { name, .. } => NotInjured::Unknown { name, known: self.parts() },
            other => other,
        })
    }
}
