//! The thread that steps a source.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hotpair_core::catalog::Catalog;
use hotpair_core::types::{StandbyActivityLevel, UnixMillis};
use parking_lot::{Condvar, Mutex};

use super::deadband::Deadband;
use super::{Next, ReadTags, Source, SourceTime, SourceUpdate};

/// A Standby's runner looks at the role this often even when nobody wakes it.
const STANDBY_LOOK_MS: u64 = 250;
/// The pause after the first panic; it doubles with each further one.
const FIRST_PAUSE_MS: u64 = 100;
/// The longest pause after a panic.
const LONGEST_PAUSE_MS: u64 = 5_000;
/// After this long without a panic the pause starts small again.
const CALM_MS: u64 = 10_000;
/// The pause after a refused batch, so that a role in transit is not asked in a circle.
const REFUSED_PAUSE_MS: u64 = 10;

/// The node, as a source's thread sees it.
pub trait Plant: ReadTags + Send + Sync {
    /// This node is Running and takes updates now. Asked before each step.
    fn may_run(&self) -> bool;

    /// Makes a batch of updates the present values, in order. Blocks while the node cannot take more. When it returns,
    /// [`ReadTags::read`] shows them: a replay that resumes then must see its position.
    fn publish(&self, batch: Vec<SourceUpdate>) -> Result<(), PublishError>;
}

/// Why a batch of updates was not taken. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// This node is not Running any more.
    #[error("this node is not Running any more")]
    NotRunning,
}

/// What a runner did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunnerStats {
    /// The source feeds now.
    pub feeding: bool,
    /// Steps made.
    pub steps: u64,
    /// Updates published, after deadbands.
    pub updates: u64,
    /// Panics of the source that were survived.
    pub panics: u64,
    /// The last thing that went wrong: a panic, a fault of the source, an update that no tag could take.
    pub last_error: Option<String>,
}

/// Steps one source while this node is Running. Made by [`SourceRunner::new`], run by [`SourceRunner::run`] on a thread
/// of its own or by [`SourceRunner::spawn`].
pub struct SourceRunner {
    source: Box<dyn Source>,
    plant: Arc<dyn Plant>,
    catalog: Arc<Catalog>,
    level: StandbyActivityLevel,
    shared: Arc<Shared>,
    deadband: Deadband,
    started: Instant,
}

/// Controls a runner from other threads. Dropping it does not stop the runner.
#[derive(Clone)]
pub struct RunnerHandle {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    signal: Mutex<Signal>,
    changed: Condvar,
    stats: Mutex<RunnerStats>,
    /// The source is in one of its functions since then.
    busy_since: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Signal {
    stop: bool,
    wakes: u64,
    #[cfg(feature = "fault-injection")]
    injury: Option<hotpair_actors::injure::Injure>,
}

impl RunnerHandle {
    /// The role of this node changed: look at once. A source that feeds resumes from the tags.
    pub fn wake(&self) {
        self.shared.signal.lock().wakes += 1;
        self.shared.changed.notify_all();
    }

    /// Ends the runner after the step that it is in.
    pub fn stop(&self) {
        self.shared.signal.lock().stop = true;
        self.shared.changed.notify_all();
    }

    /// What it did so far.
    pub fn stats(&self) -> RunnerStats {
        self.shared.stats.lock().clone()
    }

    /// For how long the source has not come back from what it was asked to do.
    pub fn busy_for(&self) -> Duration {
        self.shared.busy_since.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// With its next step the source fails so.
    #[cfg(feature = "fault-injection")]
    pub fn injure(&self, how: hotpair_actors::injure::Injure) {
        self.shared.signal.lock().injury = Some(how);
        self.wake();
    }
}

impl SourceRunner {
    /// A runner of `source`, and its control. `level` is what the source keeps while this node is Standby.
    pub fn new(
        source: Box<dyn Source>,
        plant: Arc<dyn Plant>,
        catalog: Arc<Catalog>,
        level: StandbyActivityLevel,
    ) -> (Self, RunnerHandle) {
        let shared = Arc::<Shared>::default();
        let deadband = Deadband::new(&catalog, source.repeats_count());
        let handle = RunnerHandle { shared: shared.clone() };
        (Self { source, plant, catalog, level, shared, deadband, started: Instant::now() }, handle)
    }

    /// Runs it on a thread named `hp-src-<name>`. The error is the system's, when it gives no thread.
    pub fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        let name = format!("hp-src-{}", self.source.name().replace('\0', ""));
        std::thread::Builder::new().name(name).spawn(move || self.run())
    }

    /// Steps the source until [`RunnerHandle::stop`]. Never panics, whatever the source does.
    pub fn run(mut self) {
        let mut feeding = None;
        let mut pause_ms = FIRST_PAUSE_MS;
        let mut calm_since = Instant::now();
        let mut due = Instant::now();
        let mut wakes = 0;
        loop {
            let woken = {
                let signal = self.shared.signal.lock();
                if signal.stop {
                    break;
                }
                std::mem::replace(&mut wakes, signal.wakes) != signal.wakes
            };
            if woken && feeding == Some(true) {
                // Perhaps this node was Standby in between: what the source remembers may be old.
                feeding = None;
            }
            let result = if !self.plant.may_run() {
                let result = if feeding == Some(false) { Ok(()) } else { self.guarded(Self::stand_by) };
                feeding = Some(false);
                due = Instant::now() + Duration::from_millis(STANDBY_LOOK_MS);
                result.map(|()| Stepped::Standby)
            } else if feeding == Some(true) {
                self.guarded(Self::step)
            } else {
                due = Instant::now();
                let result = self.guarded(Self::resume);
                feeding = Some(true);
                result.and_then(|()| self.guarded(Self::step))
            };
            match result {
                Ok(Stepped::Standby) => {}
                Ok(Stepped::Taken(next)) => {
                    // From when it was due, so that steps keep their rate; from now when that has passed already.
                    let after = Duration::from_millis(next.after_ms.min(Next::IDLE.after_ms));
                    due = (due + after).max(Instant::now());
                }
                Ok(Stepped::Refused) => {
                    feeding = None;
                    due = Instant::now() + Duration::from_millis(REFUSED_PAUSE_MS);
                }
                Err(panic) => {
                    if calm_since.elapsed() >= Duration::from_millis(CALM_MS) {
                        pause_ms = FIRST_PAUSE_MS;
                    }
                    let error = format!("source {:?} panicked: {panic}", self.source_name());
                    tracing::error!(pause_ms, "{error}");
                    let mut stats = self.shared.stats.lock();
                    stats.panics += 1;
                    stats.last_error = Some(error);
                    feeding = None;
                    due = Instant::now() + Duration::from_millis(pause_ms);
                    pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
                    calm_since = due;
                }
            }
            self.shared.stats.lock().feeding = feeding == Some(true);
            self.sleep_until(due, wakes);
        }
        self.shared.stats.lock().feeding = false;
    }

    fn stand_by(&mut self) {
        self.source.standby(self.level);
    }

    fn resume(&mut self) {
        self.deadband.forget();
        let now = self.now();
        self.source.resume(now, upcast(&self.plant));
    }

    fn step(&mut self) -> Stepped {
        #[cfg(feature = "fault-injection")]
        self.suffer();
        let now = self.now();
        let mut batch = Vec::new();
        let next = self.source.step(now, upcast(&self.plant), &mut batch);
        // From here on it waits for the node, not for the source.
        *self.shared.busy_since.lock() = None;
        let refused = self.deadband.retain_changes(&self.catalog, &mut batch).or_else(|| self.source.fault());
        let count = batch.len() as u64;
        let taken = if batch.is_empty() { Ok(()) } else { self.plant.publish(batch) };
        let mut stats = self.shared.stats.lock();
        stats.steps += 1;
        if refused.is_some() {
            stats.last_error = refused;
        }
        match taken {
            Ok(()) => {
                stats.updates += count;
                Stepped::Taken(next)
            }
            Err(PublishError::NotRunning) => Stepped::Refused,
        }
    }

    /// What a panic leaves half done in the source is void: `resume` builds it anew from the tags before the next step.
    fn guarded<T>(&mut self, call: fn(&mut Self) -> T) -> Result<T, String> {
        *self.shared.busy_since.lock() = Some(Instant::now());
        let result = catch_unwind(AssertUnwindSafe(|| call(self)));
        *self.shared.busy_since.lock() = None;
        result.map_err(|payload| {
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
        })
    }

    #[cfg(feature = "fault-injection")]
    fn suffer(&self) {
        use hotpair_actors::injure::{INJURED, Injure};
        let injury = self.shared.signal.lock().injury.take();
        match injury {
            Some(Injure::Hang { ms } | Injure::Stuck { ms } | Injure::Flood { ms }) => {
                std::thread::sleep(Duration::from_millis(ms));
            }
            Some(Injure::Panic | Injure::Tear | Injure::Stop) => std::panic::panic_any(INJURED),
            None => {}
        }
    }

    fn source_name(&self) -> String {
        catch_unwind(AssertUnwindSafe(|| self.source.name().to_owned())).unwrap_or_default()
    }

    fn now(&self) -> SourceTime {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        SourceTime { unix: UnixMillis(unix), mono_ms: self.started.elapsed().as_millis() as u64 }
    }

    fn sleep_until(&self, due: Instant, wakes: u64) {
        let mut signal = self.shared.signal.lock();
        while !signal.stop && signal.wakes == wakes {
            if self.shared.changed.wait_until(&mut signal, due).timed_out() {
                break;
            }
        }
    }
}

impl fmt::Debug for SourceRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceRunner").field("level", &self.level).finish_non_exhaustive()
    }
}

impl fmt::Debug for RunnerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunnerHandle").field("stats", &self.stats()).finish()
    }
}

enum Stepped {
    Standby,
    Taken(Next),
    Refused,
}

fn upcast(plant: &Arc<dyn Plant>) -> &dyn ReadTags {
    plant.as_ref()
}

#[cfg(test)]
mod tests;
