//! Where the actors are, and how they are. Addresses stay valid when the supervisor starts an actor again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use hotpair_core::types::Millis;
use parking_lot::RwLock;

use crate::alarm_replicator::AlarmReplicator;
use crate::heartbeat::Heartbeat;
use crate::license_checker::LicenseChecker;
use crate::peer_link::PeerLink;
use crate::post::Post;
use crate::state_arbiter::StateArbiter;
use crate::supervisor::Supervisor;
use crate::tag_replicator::TagReplicator;

/// The names of the actors, as status, metrics and logs show them.
pub mod names {
    /// See [`crate::supervisor`].
    pub const SUPERVISOR: &str = "Supervisor";
    /// See [`crate::peer_link`].
    pub const PEER_LINK: &str = "PeerLink";
    /// See [`crate::heartbeat`].
    pub const HEARTBEAT: &str = "Heartbeat";
    /// See [`crate::state_arbiter`].
    pub const STATE_ARBITER: &str = "StateArbiter";
    /// See [`crate::tag_replicator`].
    pub const TAG_REPLICATOR: &str = "TagReplicator";
    /// See [`crate::alarm_replicator`].
    pub const ALARM_REPLICATOR: &str = "AlarmReplicator";
    /// See [`crate::license_checker`].
    pub const LICENSE_CHECKER: &str = "LicenseChecker";
    /// Those without which a node cannot be one of a pair: when one hangs, the process hands over and ends.
    pub const ESSENTIAL: [&str; 5] = [PEER_LINK, HEARTBEAT, STATE_ARBITER, TAG_REPLICATOR, ALARM_REPLICATOR];
    /// Every actor of a node.
    pub const ALL: [&str; 7] =
        [SUPERVISOR, PEER_LINK, HEARTBEAT, STATE_ARBITER, TAG_REPLICATOR, ALARM_REPLICATOR, LICENSE_CHECKER];
}

/// How an actor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it does.
    pub state: ActorState,
    /// Restarts after a panic.
    pub panics: u64,
    /// Restarts after it stopped though nobody asked it to.
    pub stops: u64,
    /// Replacements because it hung.
    pub hangs: u64,
    /// The last thing that went wrong.
    pub last_error: String,
    /// When it last answered a probe.
    pub alive_at: Millis,
    /// When the probe was sent that it has not answered yet.
    pub probed_at: Option<Millis>,
    /// Messages that wait, see [`Post`].
    pub mailbox_depth: u64,
}

/// See [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorState {
    /// It works.
    Working,
    /// It ended and is being started again.
    Restarting,
    /// It fails again and again.
    KeepsFailing,
    /// It does not answer.
    Hanging,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            state: ActorState::Working,
            panics: 0,
            stops: 0,
            hangs: 0,
            last_error: String::new(),
            alive_at: Millis(0),
            probed_at: None,
            mailbox_depth: 0,
        }
    }
}

/// All actors of a node.
#[derive(Default)]
pub struct Directory {
    pub(crate) supervisor: OnceLock<Post<Supervisor>>,
    pub(crate) peer_link: OnceLock<Post<PeerLink>>,
    pub(crate) heartbeat: OnceLock<Post<Heartbeat>>,
    pub(crate) state_arbiter: OnceLock<Post<StateArbiter>>,
    pub(crate) tag_replicator: OnceLock<Post<TagReplicator>>,
    pub(crate) alarm_replicator: OnceLock<Post<AlarmReplicator>>,
    /// A leaf: when it hangs, another one takes its place.
    pub(crate) license_checker: RwLock<Option<Post<LicenseChecker>>>,
    snapshots: DashMap<&'static str, Snapshot>,
    pub(crate) supervisor_beat: AtomicU64,
}

impl Directory {
    /// The arbiter's address; none before the node has started.
    pub fn state_arbiter(&self) -> Option<&Post<StateArbiter>> {
        self.state_arbiter.get()
    }

    /// The tag replicator's address; none before the node has started.
    pub fn tag_replicator(&self) -> Option<&Post<TagReplicator>> {
        self.tag_replicator.get()
    }

    /// The alarm replicator's address; none before the node has started.
    pub fn alarm_replicator(&self) -> Option<&Post<AlarmReplicator>> {
        self.alarm_replicator.get()
    }

    /// The link's address; none before the node has started.
    pub fn peer_link(&self) -> Option<&Post<PeerLink>> {
        self.peer_link.get()
    }

    /// The heartbeat's address; none before the node has started.
    pub fn heartbeat(&self) -> Option<&Post<Heartbeat>> {
        self.heartbeat.get()
    }

    /// The supervisor's address; none before the node has started.
    pub fn supervisor(&self) -> Option<&Post<Supervisor>> {
        self.supervisor.get()
    }

    /// How every actor is, by name.
    pub fn snapshots(&self) -> Vec<(&'static str, Snapshot)> {
        let snapshot = |(name, snapshot): (&'static str, Snapshot)| {
            (name, Snapshot { mailbox_depth: self.waiting(name), ..snapshot })
        };
        let all = self.snapshots.iter().map(|entry| (*entry.key(), entry.value().clone()));
        let mut all: Vec<_> = all.map(snapshot).collect();
        all.sort_by_key(|(name, _)| *name);
        all
    }

    /// Messages that wait for that actor.
    fn waiting(&self, name: &str) -> u64 {
        match name {
            names::SUPERVISOR => self.supervisor.get().map(Post::waiting),
            names::PEER_LINK => self.peer_link.get().map(Post::waiting),
            names::HEARTBEAT => self.heartbeat.get().map(Post::waiting),
            names::STATE_ARBITER => self.state_arbiter.get().map(Post::waiting),
            names::TAG_REPLICATOR => self.tag_replicator.get().map(Post::waiting),
            names::ALARM_REPLICATOR => self.alarm_replicator.get().map(Post::waiting),
            names::LICENSE_CHECKER => self.license_checker.read().as_ref().map(Post::waiting),
            _ => None,
        }
        .unwrap_or(0)
    }

    /// Changes what is known of an actor.
    pub(crate) fn update(&self, name: &'static str, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshots.entry(name).or_default());
    }

    pub(crate) fn snapshot(&self, name: &'static str) -> Snapshot {
        self.snapshots.get(name).map(|entry| entry.clone()).unwrap_or_default()
    }

    /// An actor answers its supervisor's probe.
    pub(crate) fn answered(&self, name: &'static str, now: Millis) {
        self.update(name, |snapshot| {
            snapshot.alive_at = now;
            snapshot.probed_at = None;
            if snapshot.state == ActorState::Hanging {
                snapshot.state = ActorState::Working;
            }
        });
    }

    /// The number of the supervisor's last look at the actors.
    pub(crate) fn supervisor_beat(&self) -> u64 {
        self.supervisor_beat.load(Ordering::Relaxed)
    }

    /// For how long an actor that the pair depends on has made no progress, in milliseconds; 0 when all work.
    pub fn stalled_ms(&self, now: Millis) -> u64 {
        let stalled = |name: &&'static str| {
            self.snapshots.get(*name).and_then(|snapshot| snapshot.probed_at).map_or(0, |at| now.since(at))
        };
        names::ESSENTIAL.iter().map(stalled).max().unwrap_or(0)
    }
}

/// How often each actor is asked whether it works.
pub const PROBE_EVERY_MS: u64 = 100;
