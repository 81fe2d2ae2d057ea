//! The handle of a node: what a program can do with it.

#[cfg(feature = "fault-injection")]
mod injure;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::Recipient;
use hotpair_actors::messages::{ClearFault, Happened, Operate, PressSwitch, Publish, Write};
use hotpair_actors::shared::Shared;
use hotpair_core::alarms::{AlarmAction, AlarmRequest, AlarmResult, AlarmTable, EventId, Who};
use hotpair_core::arbiter::{Input, SwitchOrder as Order};
use hotpair_core::catalog::{Catalog, TagDef, TagId, path_matches};
use hotpair_core::protocol::{AlarmOutcome, ItemResult, OperationId, WriteItem, WriteOutcome, WriteRefusal};
use hotpair_core::types::{Mode, NodeId};
use hotpair_core::value::Sample;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::aged::aged;
use super::feed::Runner;
use super::hooks::Hooks;
use super::metrics::{self, Counts};
use super::{Addressed, StatusSender, feed, publish, shown, system_tags};
use crate::config::Config;
use crate::sources::SourceUpdate;
use crate::status::{ActorStatus, Event, LicenseComparison, NodeMetrics, NodeStatus};
use crate::storage::{Journal, Storage};

/// What the hooks get for their last work, which is what ends Running.
const LAST_HOOKS: Duration = Duration::from_secs(5);

/// What the end of threads and disks gets, and the hooks with it: a disk that hangs must not keep the process.
const END_WITHIN: Duration = Duration::from_secs(8);

/// A hold is at most a week: longer ones are forgotten ones.
const MAX_HOLD_MINUTES: u32 = 7 * 24 * 60;

/// A value of an embedding program's own source.
pub type TagUpdate = SourceUpdate;

/// Somebody presses Switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchOrder {
    /// Why; for the list of events.
    pub reason: String,
    /// Who.
    pub user: String,
    /// Refused when the epoch counter is another one by now.
    pub expected_epoch: Option<u64>,
    /// The node that is to run; none: the one that does not.
    pub to: Option<NodeId>,
}

/// Why a switch was not done, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SwitchRefused(pub String);

/// Why a hold was not begun or ended, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HoldRefused(pub String);

/// Values were not taken: this node is not Running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node is not Running")]
pub struct PublishRefused;

/// A write of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteBatch {
    /// What to write.
    pub items: Vec<WriteItem>,
    /// Repeating it within ten minutes gives the first result again, at either node.
    pub operation: Option<OperationId>,
}

/// What became of a write that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Of each item, in their order.
    pub results: Vec<ItemResult>,
    /// The other node has applied it too (and has it on disk, where a tag is retained).
    pub replicated: bool,
}

/// An occurrence was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// It is on the other node's disk too.
    pub replicated: bool,
}

/// Why an occurrence was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAcknowledged {
    /// It cannot be.
    #[error("not acknowledged: {0}")]
    Result(AlarmResult),
    /// Nobody could do it, or the answer was lost.
    #[error(transparent)]
    Refused(#[from] WriteRefusal),
}

/// A running node. Cheap to clone, usable from any thread. Dropping it does not stop the node: see
/// [`NodeHandle::shutdown`].
#[derive(Clone)]
pub struct NodeHandle {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    shared: Arc<Shared>,
    storage: Arc<Storage>,
    journal: Arc<Journal>,
    catalog: Arc<Catalog>,
    runners: Mutex<Vec<Runner>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    hooks: Hooks,
    counts: Counts,
    status: StatusSender,
}

impl NodeHandle {
    pub(super) fn new(
        config: Config,
        shared: Arc<Shared>,
        (storage, journal): (Arc<Storage>, Arc<Journal>),
        runners: Vec<Runner>,
        thread: JoinHandle<()>,
        hooks: Hooks,
    ) -> Self {
        let status = watch::Sender::new(Arc::new(shown::status(&config, &shared)));
        let catalog = shared.table.read().catalog().clone();
        let runners = Mutex::new(runners);
        let threads = Mutex::new(vec![thread]);
        let counts = Counts::default();
        Self {
            inner: Arc::new(Inner {
                config,
                shared,
                storage,
                journal,
                catalog,
                runners,
                threads,
                hooks,
                counts,
                status,
            }),
        }
    }

    pub(super) fn data_dir(&self) -> &Path {
        self.inner.storage.data_dir()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// This node's lasting identity.
    pub fn id(&self) -> NodeId {
        self.inner.shared.settings.node
    }

    /// Both nodes at a glance, as of now.
    pub fn status(&self) -> Arc<NodeStatus> {
        Arc::new(shown::status(&self.inner.config, &self.inner.shared))
    }

    /// Every change of the status, starting with the present one.
    pub fn subscribe_status(&self) -> watch::Receiver<Arc<NodeStatus>> {
        self.inner.status.subscribe()
    }

    /// Whether this node is Running at this very moment: what a program that must not work twice asks.
    pub fn is_running(&self) -> bool {
        self.inner.shared.gate.is_open(self.inner.shared.clock.now())
    }

    /// Moves Running to the other node and waits for the result.
    pub async fn switch(&self, order: SwitchOrder) -> Result<Arc<NodeStatus>, SwitchRefused> {
        let lost = || SwitchRefused("the arbiter of this node was restarted: look at the status and try again".into());
        let (reply, answer) = oneshot::channel();
        let order = Order {
            request: 0,
            expected_epoch: order.expected_epoch.unwrap_or(0),
            to: order.to.unwrap_or_default(),
            reason: order.reason,
            user: order.user,
        };
        let arbiter = self.inner.shared.directory.state_arbiter().ok_or_else(lost)?;
        arbiter.send(PressSwitch { order, reply }).await.map_err(|_| lost())?;
        answer.await.map_err(|_| lost())?.map_err(SwitchRefused)?;
        Ok(self.status())
    }

    /// Forbids automatic failover and recovery for so many minutes, on both nodes.
    pub async fn hold(&self, minutes: u32, reason: String, user: String) -> Result<Arc<NodeStatus>, HoldRefused> {
        if minutes == 0 || minutes > MAX_HOLD_MINUTES {
            let what = format!("a hold lasts from 1 to {MAX_HOLD_MINUTES} minutes, not {minutes}");
            return Err(HoldRefused(what));
        }
        self.set_hold(u64::from(minutes) * 60_000, reason, user).await
    }

    /// Ends a hold.
    pub async fn release_hold(&self, user: String) -> Result<Arc<NodeStatus>, HoldRefused> {
        self.set_hold(0, "released".into(), user).await
    }

    async fn set_hold(&self, ms: u64, reason: String, user: String) -> Result<Arc<NodeStatus>, HoldRefused> {
        if self.inner.shared.settings.mode == Mode::Independent {
            return Err(HoldRefused("no redundancy configured".into()));
        }
        self.tell_arbiter(Input::Hold { ms, reason, user }).await.map_err(HoldRefused)?;
        Ok(self.status())
    }

    /// Says that the part of this node that failed works again.
    pub async fn clear_fault(&self, user: String) -> Result<(), String> {
        tracing::info!(user, "fault cleared");
        let supervisor = self.inner.shared.directory.supervisor().ok_or("this node has not started")?;
        supervisor.send(ClearFault).await.map_err(|_| "the supervisor was restarted: try again".to_owned())
    }

    async fn tell_arbiter(&self, input: Input) -> Result<(), String> {
        let arbiter = self.inner.shared.directory.state_arbiter().ok_or("this node has not started")?;
        arbiter.send(Happened(input)).await.map_err(|_| "the arbiter was restarted: try again".to_owned())
    }

    /// The last transitions, newest first.
    pub fn events(&self, limit: usize) -> Vec<Event> {
        self.inner.shared.events(limit).iter().map(shown::event).collect()
    }

    /// The actors, as their supervisor sees them.
    pub fn actors(&self) -> Vec<ActorStatus> {
        shown::actors(&self.inner.shared)
    }

    /// The comparison of both nodes' licences.
    pub fn license(&self) -> LicenseComparison {
        shown::license(&self.inner.shared)
    }

    /// The tags of the project.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.inner.catalog
    }

    /// The present value of a tag, also of a system tag; none when there is no such tag.
    pub fn read(&self, path: &str) -> Option<Sample> {
        if let Some(id) = self.inner.catalog.find(path) {
            return self.sample(id, self.inner.catalog.get(id)?);
        }
        self.system_tags().into_iter().find(|(tag, _)| *tag.path == *path).map(|(_, sample)| sample)
    }

    /// Calls `each` for the tags whose paths fit any of the patterns (`*` stands for any characters), at most `limit`.
    /// The table is not held meanwhile for longer than a moment.
    pub fn browse(&self, patterns: &[&str], limit: usize, each: &mut dyn FnMut(&TagDef, Sample)) {
        let mut found = 0;
        let mut show = |tag: &TagDef, sample: &mut dyn FnMut() -> Option<Sample>| {
            if found < limit
                && patterns.iter().any(|pattern| path_matches(pattern, &tag.path))
                && let Some(sample) = sample()
            {
                found += 1;
                each(tag, sample);
            }
            found < limit
        };
        for (id, tag) in self.inner.catalog.iter() {
            if !show(tag, &mut || self.sample(id, tag)) {
                return;
            }
        }
        for (tag, sample) in self.system_tags() {
            if !show(&tag, &mut || Some(sample.clone())) {
                return;
            }
        }
    }

    /// As a reader is shown it. The table is held only while it is copied.
    fn sample(&self, id: TagId, tag: &TagDef) -> Option<Sample> {
        let sample = self.inner.shared.table.read().get(id)?;
        Some(aged(tag, sample, self.inner.shared.clock.wall()))
    }

    pub(super) fn system_tags(&self) -> Vec<(TagDef, Sample)> {
        system_tags::all(&self.status(), self.alarm_table().counts(), self.inner.shared.clock.wall())
    }

    /// Writes tags as a client does. At the Standby node the Running one does it.
    /// The error says why nothing, or perhaps nothing, was written.
    pub async fn write(&self, batch: WriteBatch) -> Result<Written, WriteRefusal> {
        let not_there = || WriteRefusal::NotRunning("this node is stopping".into());
        let WriteBatch { items, operation } = batch;
        let (reply, answer) = oneshot::channel();
        let tags = self.inner.shared.directory.tag_replicator().ok_or_else(not_there)?;
        tags.send(Write { items, operation, reply }).await.map_err(|_| not_there())?;
        // Without an answer the actor was restarted in the middle of it.
        match answer.await.map_err(|_| WriteRefusal::OutcomeUnknown)? {
            WriteOutcome::Done { results, replicated } => Ok(Written { results, replicated }),
            WriteOutcome::Refused(refusal) => Err(refusal),
        }
    }

    /// Gives new values of the program's own source to tags that clients cannot write. Only a Running node takes them.
    pub async fn publish(&self, batch: Vec<TagUpdate>) -> Result<(), PublishRefused> {
        let updates = publish::resolve(&self.inner.shared, batch);
        let (reply, taken) = oneshot::channel();
        let tags = self.inner.shared.directory.tag_replicator().ok_or(PublishRefused)?;
        tags.send(Publish { updates, reply }).await.map_err(|_| PublishRefused)?;
        if taken.await.unwrap_or(false) { Ok(()) } else { Err(PublishRefused) }
    }

    /// Carries out what an operator asks for. At the Standby node the Running one does it.
    pub async fn operate(&self, request: AlarmRequest) -> AlarmOutcome {
        let not_there = || AlarmOutcome::Refused(WriteRefusal::NotRunning("this node is stopping".into()));
        let (reply, answer) = oneshot::channel();
        let Some(alarms) = self.inner.shared.directory.alarm_replicator() else { return not_there() };
        if alarms.send(Operate { request, reply }).await.is_err() {
            return not_there();
        }
        // Without an answer the actor was restarted in the middle of it.
        answer.await.unwrap_or(AlarmOutcome::Refused(WriteRefusal::OutcomeUnknown))
    }

    /// Acknowledges an occurrence of an alarm, and no later one. It is on this pair's disk when this returns.
    pub async fn acknowledge(
        &self,
        event: EventId,
        user: &str,
        comment: &str,
    ) -> Result<Acknowledged, NotAcknowledged> {
        let action = AlarmAction::Acknowledge { event, comment: Arc::from(comment) };
        match self.operate(AlarmRequest { action, who: self.who(user), operation: None }).await {
            AlarmOutcome::Done { result: AlarmResult::Good, replicated } => Ok(Acknowledged { replicated }),
            AlarmOutcome::Done { result, .. } => Err(NotAcknowledged::Result(result)),
            AlarmOutcome::Refused(refusal) => Err(NotAcknowledged::Refused(refusal)),
        }
    }

    /// An operator at this node.
    pub fn who(&self, operator: &str) -> Who {
        Who { operator: Arc::from(operator), node: self.inner.shared.settings.node }
    }

    /// The table of the alarms. Hold it for a moment only: whoever judges values waits meanwhile.
    pub fn alarm_table(&self) -> impl Deref<Target = AlarmTable> + '_ {
        self.inner.shared.alarms.read()
    }

    /// The version of the alarm table, as it grows: see [`AlarmTable::changed_since`].
    pub fn alarm_changes(&self) -> watch::Receiver<u64> {
        self.inner.shared.alarm_changes()
    }

    /// The journal of the alarms. It reads the disk: not for the thread of an actor or of a runtime.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.inner.journal
    }

    /// The address of the actor that takes messages of this type. It stays valid when the actor is restarted.
    pub fn recipient<M: Addressed>(&self) -> Option<Recipient<M>>
    where
        M::Result: Send,
    {
        M::recipient(&self.inner.shared.directory)
    }

    /// Numbers for a monitoring system.
    pub fn metrics(&self) -> NodeMetrics {
        let status = self.status();
        let mut metrics = metrics::all(&self.inner.shared, &self.inner.counts, &status, self.alarm_table().counts());
        for runner in self.inner.runners.lock().iter() {
            let name = format!("Source/{}", runner.name);
            metrics.actor_restarts.push((name.clone(), "panic", runner.panics()));
            metrics.actor_restarts.push((name, "hang", runner.hangs));
        }
        metrics
    }

    /// Resolves, with why, when this node must end its process: something that the pair depends on hangs, or its state is
    /// torn. It acts as Running no more, and its peer takes over; the program should end, or drop this node and start another.
    pub async fn fatal(&self) -> String {
        let mut fatal = self.inner.shared.fatal();
        loop {
            if let Some(reason) = fatal.borrow_and_update().clone() {
                return reason;
            }
            if fatal.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops cleanly: a Running node switches first if its peer is ready, then says goodbye. When it returns, everything
    /// is on disk.
    pub async fn shutdown(&self) {
        let shared = &self.inner.shared;
        let mut exited = shared.exited();
        let reason = "stopped by its operator".to_owned();
        if self.tell_arbiter(Input::Shutdown { reason }).await.is_ok() {
            let patience = Duration::from_millis(shared.settings.switch_timeout_ms.saturating_mul(3).max(1000));
            if tokio::time::timeout(patience, exited.wait_for(|exited| *exited)).await.is_err() {
                tracing::warn!("the clean stop took too long: the node is ended");
            }
        }
        shared.link.close().await;
        let inner = self.inner.clone();
        let (tell, ended) = oneshot::channel();
        let ending = std::thread::Builder::new().name("hp-stop".into()).spawn(move || {
            inner.end();
            let _ = tell.send(());
        });
        if ending.is_ok() && tokio::time::timeout(END_WITHIN, ended).await.is_err() {
            tracing::error!("the node has not ended within {} s: is its disk gone?", END_WITHIN.as_secs());
        }
    }

    /// Keeps [`NodeHandle::subscribe_status`] up to date, and wakes the sources when this node begins or ends to lead.
    pub(super) fn watch(&self) {
        let node = Arc::downgrade(&self.inner);
        let mut changes = self.inner.shared.changes();
        let mut stopped = self.inner.shared.stopped();
        let thread = std::thread::Builder::new().name("hp-status".into()).spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
            runtime.block_on(async move {
                let mut leads = false;
                let mut look = tokio::time::interval(feed::LOOK_EVERY);
                loop {
                    if let Some(inner) = node.upgrade() {
                        inner.show(&mut leads);
                    }
                    loop {
                        tokio::select! {
                            more = changes.changed() => if more.is_err() { return } else { break },
                            _ = stopped.wait_for(|stopped| *stopped) => return,
                            _ = look.tick() => if let Some(inner) = node.upgrade() {
                                inner.runners.lock().iter_mut().for_each(Runner::look);
                            },
                        }
                    }
                }
            });
        });
        match thread {
            Ok(thread) => self.inner.threads.lock().push(thread),
            Err(error) => tracing::error!("status changes cannot be watched: {error}"),
        }
    }
}

impl Inner {
    fn show(&self, leads: &mut bool) {
        let lead = self.shared.gate.is_open(self.shared.clock.now());
        if lead != *leads {
            *leads = lead;
            for runner in self.runners.lock().iter() {
                runner.handle.wake();
            }
        }
        let status = Arc::new(shown::status(&self.config, &self.shared));
        self.status.send_replace(status);
    }

    /// Ends every thread of the node, then the disk, and waits for the hooks.
    fn end(&self) {
        Runner::stop_all(std::mem::take(&mut *self.runners.lock()));
        self.shared.stop();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            let _ = thread.join();
        }
        if let Err(error) = self.journal.close() {
            tracing::error!("{error}");
        }
        if let Err(error) = self.storage.close() {
            tracing::error!("{error}");
        }
        self.hooks.finish(LAST_HOOKS);
    }
}

#[cfg(test)]
mod tests;
