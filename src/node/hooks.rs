//! Commands that are run when this node begins or ends to be Running: a virtual address, a script.

use std::collections::VecDeque;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotpair_actors::shared::EventRecord;
use hotpair_core::types::Status;
use parking_lot::{Condvar, Mutex};

use crate::config::HookSettings;

/// A command that runs longer is ended.
const LIMIT: Duration = Duration::from_secs(30);
/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// So many changes may wait for their commands; of more only the newest matters.
const MAX_WAITING: usize = 64;

/// Takes status changes; never blocks.
#[derive(Clone)]
pub(super) struct Hooks {
    settings: HookSettings,
    orders: Arc<Orders>,
}

#[derive(Default)]
struct Orders {
    queue: Mutex<Queue>,
    more: Condvar,
    idle: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Order>,
    /// What the last order was for; none: there was no order yet.
    last: Option<Side>,
    working: bool,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Running,
    Standby,
}

#[derive(Debug, PartialEq, Eq)]
struct Order {
    command: String,
    status: Status,
    epoch: u64,
}

/// Starts the thread that runs the commands, if there are any.
pub(super) fn start(settings: &HookSettings) -> Hooks {
    let hooks = Hooks { settings: settings.clone(), orders: Arc::default() };
    if settings.on_running.is_none() && settings.on_standby.is_none() {
        return hooks;
    }
    let orders = hooks.orders.clone();
    if let Err(error) = std::thread::Builder::new().name("hp-hooks".into()).spawn(move || orders.run_all()) {
        tracing::error!("hooks cannot be run: {error}");
        hooks.orders.queue.lock().closed = true;
    }
    hooks
}

impl Hooks {
    pub(super) fn tell(&self, record: &EventRecord) {
        let event = &record.event;
        if !event.peer {
            self.status_is(event.from, event.to, event.epoch.counter);
        }
    }

    /// Each beginning and each end of Running once, whatever comes after Running; and what the node is first.
    fn status_is(&self, from: Status, to: Status, epoch: u64) {
        let side = match (from, to) {
            (_, Status::Running) => Side::Running,
            (_, Status::Standby) | (Status::Running, _) => Side::Standby,
            _ => return,
        };
        let mut queue = self.orders.queue.lock();
        if queue.last.replace(side) == Some(side) || queue.closed {
            return;
        }
        let command = match side {
            Side::Running => &self.settings.on_running,
            Side::Standby => &self.settings.on_standby,
        };
        let Some(command) = command.clone() else { return };
        if queue.waiting.len() >= MAX_WAITING {
            tracing::error!("{} hooks left out: too many wait, the newest counts", queue.waiting.len());
            queue.waiting.clear();
        }
        queue.waiting.push_back(Order { command, status: to, epoch });
        self.orders.more.notify_one();
    }

    /// Takes no more, and waits until all that was ordered is done, at most so long. What runs then goes on by itself.
    pub(super) fn finish(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let mut queue = self.orders.queue.lock();
        queue.closed = true;
        self.orders.more.notify_one();
        while queue.working || !queue.waiting.is_empty() {
            if self.orders.idle.wait_until(&mut queue, end).timed_out() {
                let (seconds, left_out) = (patience.as_secs(), queue.waiting.len());
                tracing::error!(
                    "a hook runs longer than {seconds} s after the stop: not waited for, {left_out} left out"
                );
                queue.waiting.clear();
                return;
            }
        }
    }
}

impl Orders {
    fn run_all(&self) {
        while let Some(order) = self.next() {
            let Order { command, status, epoch } = &order;
            match run(command, *status, *epoch, LIMIT) {
                Ok(()) => tracing::info!(command, %status, "hook done"),
                Err(reason) => tracing::error!(command, %status, "hook failed: {reason}"),
            }
        }
    }

    fn next(&self) -> Option<Order> {
        let mut queue = self.queue.lock();
        queue.working = false;
        loop {
            if let Some(order) = queue.waiting.pop_front() {
                queue.working = true;
                return Some(order);
            }
            self.idle.notify_all();
            if queue.closed {
                return None;
            }
            self.more.wait(&mut queue);
        }
    }
}

fn run(command: &str, status: Status, epoch: u64, limit: Duration) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("HOTPAIR_STATUS", status.to_string())
        .env("HOTPAIR_EPOCH", epoch.to_string())
        .stdin(Stdio::null())
        // A group of its own, so that it can be ended with all that it started.
        .process_group(0)
        .spawn()
        .map_err(|error| error.to_string())?;
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(exit)) if exit.success() => return Ok(()),
            Ok(Some(exit)) => return Err(exit.to_string()),
            Ok(None) if started.elapsed() >= limit => {
                kill_group(&mut child);
                return Err(format!("it ran longer than {} s and was ended", limit.as_secs()));
            }
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The child is not waited for before, so its number is not given to another process meanwhile.
fn kill_group(child: &mut Child) {
    let kill = format!("kill -s KILL -- -{}", child.id());
    let _ = Command::new("sh").args(["-c", &kill]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    fn hooks(on_running: &str, on_standby: &str) -> Hooks {
        let settings =
            HookSettings { on_running: Some(on_running.to_owned()), on_standby: Some(on_standby.to_owned()) };
        start(&settings)
    }

    fn hooks_that_note(file: &Path) -> Hooks {
        let note = |what| format!("echo {what} $HOTPAIR_STATUS $HOTPAIR_EPOCH >>{}", file.display());
        hooks(&note("up"), &note("down"))
    }

    #[test]
    fn every_end_of_running_is_told_once() {
        use Status::{Faulted, Running, Standby, Unknown};
        for (story, wanted) in [
            (vec![Unknown, Standby, Running, Standby], "down Standby 1\nup Running 2\ndown Standby 3\n"),
            (vec![Unknown, Running, Faulted, Standby, Running], "up Running 1\ndown Faulted 2\nup Running 4\n"),
            (vec![Unknown, Running, Unknown], "up Running 1\ndown Unknown 2\n"),
            (vec![Unknown, Faulted, Unknown, Standby, Unknown], "down Standby 3\n"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let notes = dir.path().join("notes");
            let hooks = hooks_that_note(&notes);
            for (step, pair) in story.windows(2).enumerate() {
                hooks.status_is(pair[0], pair[1], step as u64 + 1);
            }
            hooks.finish(Duration::from_secs(20));
            assert_eq!(std::fs::read_to_string(notes).unwrap(), wanted, "{story:?}");
        }
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let hooks = hooks("exec sleep 5", "true");
        hooks.status_is(Status::Standby, Status::Running, 1);
        let began = Instant::now();
        hooks.finish(Duration::from_millis(100));
        assert!(began.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn of_too_many_the_newest_counts() {
        // No thread: nothing is taken out.
        let settings = HookSettings { on_running: Some("up".to_owned()), on_standby: Some("down".to_owned()) };
        let hooks = Hooks { settings, orders: Arc::default() };
        for epoch in 0..=MAX_WAITING as u64 {
            let (from, to) =
                if epoch % 2 == 0 { (Status::Standby, Status::Running) } else { (Status::Running, Status::Standby) };
            hooks.status_is(from, to, epoch);
        }
        let newest = Order { command: "up".to_owned(), status: Status::Running, epoch: MAX_WAITING as u64 };
        assert_eq!(hooks.orders.queue.lock().waiting, [newest]);
    }

    #[test]
    fn what_a_hook_started_is_ended_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let late = dir.path().join("late");
        let command = format!("(sleep 2; touch {}) & wait", late.display());
        let told = run(&command, Status::Running, 1, Duration::from_millis(200)).unwrap_err();
        assert!(told.contains("was ended"), "{told}");
        std::thread::sleep(Duration::from_millis(2500));
        assert!(!late.exists());
    }
}
