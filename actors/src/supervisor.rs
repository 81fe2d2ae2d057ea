//! Starts the actors, each on its thread; watches, and escalates. On a thread of its own.
//!
//! A panic or a stop is mended in place (see [`crate::supervised`]). A hang is found here, by a probe that is not
//! answered: a leaf is replaced; an actor that the pair depends on makes the node hand over and end its process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Supervised};
use actix_rt::System;
use hotpair_core::arbiter::Input;
use hotpair_core::types::Millis;

use crate::alarm_replicator::AlarmReplicator;
use crate::directory::{ActorState, PROBE_EVERY_MS, names};
use crate::heartbeat::Heartbeat;
use crate::host::Place;
use crate::last_words::end_for_hang;
use crate::license_checker::LicenseChecker;
use crate::messages::{ActorEnded, ClearFault, Happened, Probe};
use crate::peer_link::PeerLink;
use crate::post::Post;
use crate::shared::Shared;
use crate::state_arbiter::StateArbiter;
use crate::supervised;
use crate::tag_replicator::TagReplicator;

/// Owner of all other actors.
pub struct Supervisor {
    shared: Arc<Shared>,
    /// A hung essential actor was found: the node hands over.
    ending: bool,
    disk_trouble: Option<String>,
    last_tick: Option<Millis>,
    leaf: Place,
}

/// Runs all actors of a node, in a [`System`] of the calling thread, until [`Shared::stop`]; then their threads end.
/// `started` is called when [`start`] has returned.
pub fn run(shared: Arc<Shared>, started: impl FnOnce()) {
    let system = System::new();
    let mut stopped = shared.stopped();
    system.block_on(async move {
        start(shared).await;
        started();
        let _ = stopped.wait_for(|stopped| *stopped).await;
    });
    System::current().stop();
    // The order to stop reaches the actors' threads only while the system runs.
    if let Err(error) = system.run() {
        tracing::error!("the threads of the actors may not have ended: {error}");
    }
}

/// Starts all actors of a node. To be called inside a [`System`], or in any `LocalSet` when they share its thread. When
/// it returns, every address is known and the node's rules are at work.
pub async fn start(shared: Arc<Shared>) {
    let place = || Place::new(shared.threads);
    let (control, data) = (place(), place());
    let directory = &shared.directory;
    let tags = data.start(&shared, names::TAG_REPLICATOR, TagReplicator::new).await;
    let alarms = data.start(&shared, names::ALARM_REPLICATOR, AlarmReplicator::new).await;
    let arbiter = control.start(&shared, names::STATE_ARBITER, StateArbiter::new).await;
    let heartbeat = control.start(&shared, names::HEARTBEAT, Heartbeat::new).await;
    // Those that send come after those that receive.
    if let (Some(tags), Some(alarms), Some(arbiter), Some(heartbeat)) = (tags, alarms, arbiter, heartbeat) {
        let _ = directory.alarm_replicator.set(alarms);
        let _ = directory.tag_replicator.set(tags);
        let _ = directory.state_arbiter.set(arbiter.clone());
        let _ = directory.heartbeat.set(heartbeat);
        arbiter.do_send(Happened(Input::Start));
    }
    // Before the link: what the peer says of its licence as it connects must find somebody.
    let leaf = place();
    let checker = leaf.start(&shared, names::LICENSE_CHECKER, LicenseChecker::new).await;
    *directory.license_checker.write() = checker;
    if let Some(supervisor) = place().start(&shared, names::SUPERVISOR, |shared| Supervisor::new(shared, leaf)).await {
        let _ = directory.supervisor.set(supervisor);
    }
    if let Some(link) = control.start(&shared, names::PEER_LINK, PeerLink::new).await {
        let _ = directory.peer_link.set(link);
    }
}

impl Supervisor {
    /// The supervisor of a node; its replaceable actor works at `leaf`.
    pub(crate) fn new(shared: Arc<Shared>, leaf: Place) -> Self {
        Self { shared, ending: false, disk_trouble: None, last_tick: None, leaf }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        self.shared.directory.supervisor_beat.fetch_add(1, Ordering::Relaxed);
        self.excuse_own_delay(now);
        self.shared.directory.answered(names::SUPERVISOR, now);
        self.probe(now);
        self.look_for_hangs(now);
        self.look_at_disk();
        ctx.run_later(Duration::from_millis(PROBE_EVERY_MS), Self::tick);
    }

    /// While this actor stood still, the others did too, most likely: a suspended machine, a starved processor.
    fn excuse_own_delay(&mut self, now: Millis) {
        let late = self.last_tick.map_or(0, |last| now.since(last).saturating_sub(PROBE_EVERY_MS));
        self.last_tick = Some(now);
        if late <= PROBE_EVERY_MS {
            return;
        }
        for (name, _) in self.shared.directory.snapshots() {
            self.shared.directory.update(name, |snapshot| {
                snapshot.probed_at = snapshot.probed_at.map(|at| at.plus(late).min(now));
            });
        }
    }

    /// Asks each actor whether it works; one that has not answered yet is not asked again.
    fn probe(&self, now: Millis) {
        let directory = &self.shared.directory;
        let ask = |name: &'static str, send: &dyn Fn()| {
            let mut due = false;
            directory.update(name, |snapshot| {
                if snapshot.probed_at.is_none() {
                    snapshot.probed_at = Some(now);
                    due = true;
                }
            });
            if due {
                send();
            }
        };
        if let Some(actor) = directory.state_arbiter() {
            ask(names::STATE_ARBITER, &|| actor.do_send(Probe));
        }
        if let Some(actor) = directory.heartbeat() {
            ask(names::HEARTBEAT, &|| actor.do_send(Probe));
        }
        if let Some(actor) = directory.peer_link() {
            ask(names::PEER_LINK, &|| actor.do_send(Probe));
        }
        if let Some(actor) = directory.tag_replicator() {
            ask(names::TAG_REPLICATOR, &|| actor.do_send(Probe));
        }
        if let Some(actor) = directory.alarm_replicator() {
            ask(names::ALARM_REPLICATOR, &|| actor.do_send(Probe));
        }
        if let Some(actor) = &*directory.license_checker.read() {
            ask(names::LICENSE_CHECKER, &|| actor.do_send(Probe));
        }
    }

    fn look_for_hangs(&mut self, now: Millis) {
        let limit = self.shared.settings.hang_after_ms;
        let shared = self.shared.clone();
        let hangs =
            |name: &'static str| shared.directory.snapshot(name).probed_at.is_some_and(|at| now.since(at) >= limit);
        if hangs(names::LICENSE_CHECKER) {
            self.shared.directory.update(names::LICENSE_CHECKER, |snapshot| {
                snapshot.hangs += 1;
                snapshot.probed_at = None;
                snapshot.last_error = "it did not answer; another one took its place".into();
            });
            tracing::error!(actor = names::LICENSE_CHECKER, "actor hangs: it is replaced");
            self.replace_leaf();
        }
        let hung: Vec<_> = names::ESSENTIAL.into_iter().filter(|name| hangs(name)).collect();
        if hung.is_empty() || self.ending {
            return;
        }
        self.ending = true;
        end_for_hang(&self.shared, &hung);
    }

    fn look_at_disk(&mut self) {
        self.shared.watched_disk.give_up_late("The disk of the data folder");
        self.shared.watched_journal.give_up_late("The disk of the alarms' journal");
        let trouble = self.shared.disk.trouble().or_else(|| self.shared.journal.trouble());
        if trouble == self.disk_trouble {
            return;
        }
        if let Some(trouble) = &trouble {
            tracing::error!("{trouble}");
        } else {
            tracing::info!("the disk works again");
        }
        self.disk_trouble.clone_from(&trouble);
        if let Some(arbiter) = self.shared.directory.state_arbiter() {
            arbiter.do_send(Happened(Input::Disk(trouble)));
        }
    }

    fn replace_leaf(&mut self) {
        let place = Place::new(self.shared.threads);
        let shared = self.shared.clone();
        place.run(move || {
            let lent = shared.clone();
            let address = supervised::start(&shared, names::LICENSE_CHECKER, |_| LicenseChecker::new(lent));
            *shared.directory.license_checker.write() = Some(Post::new(address));
        });
        // One that hangs keeps its thread until it wakes, and ends then.
        std::mem::replace(&mut self.leaf, place).stop();
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tick(ctx);
    }
}

impl Supervised for Supervisor {}

impl Handler<ActorEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ActorEnded { name, panic, keeps_failing }: ActorEnded, _: &mut Self::Context) {
        self.shared.changed();
        if keeps_failing && let Some(arbiter) = self.shared.directory.state_arbiter() {
            let what = panic.unwrap_or_else(|| "it stops".into());
            arbiter.do_send(Happened(Input::Fault(Some(format!("the actor {name} keeps failing ({what})")))));
        }
    }
}

impl Handler<ClearFault> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: ClearFault, _: &mut Self::Context) {
        for (name, _) in self.shared.directory.snapshots() {
            self.shared.directory.update(name, |snapshot| {
                if snapshot.state == ActorState::KeepsFailing {
                    snapshot.state = ActorState::Working;
                }
            });
        }
        if let Some(arbiter) = self.shared.directory.state_arbiter() {
            arbiter.do_send(Happened(Input::Fault(None)));
        }
    }
}
