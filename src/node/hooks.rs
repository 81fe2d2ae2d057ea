//! Commands that are run when the status of this node changes: a virtual address, a script.

use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hotpair_actors::shared::EventRecord;
use hotpair_core::types::Status;

use crate::config::HookSettings;

/// A command that runs longer is ended.
const LIMIT: Duration = Duration::from_secs(30);
/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// So many changes may wait for their commands; of more the oldest status does not matter any more.
const MAX_WAITING: usize = 64;

/// Takes status changes; never blocks.
pub(super) struct Hooks {
    to_thread: Option<SyncSender<(String, Status, u64)>>,
    on_running: Option<String>,
    on_standby: Option<String>,
}

/// Starts the thread that runs the commands, if there are any.
pub(super) fn start(settings: &HookSettings) -> (Hooks, Option<JoinHandle<()>>) {
    let HookSettings { on_running, on_standby } = settings.clone();
    if on_running.is_none() && on_standby.is_none() {
        return (Hooks { to_thread: None, on_running, on_standby }, None);
    }
    let (to_thread, orders) = sync_channel(MAX_WAITING);
    let thread = std::thread::Builder::new().name("hp-hooks".into()).spawn(move || run_all(&orders));
    match thread {
        Ok(thread) => (Hooks { to_thread: Some(to_thread), on_running, on_standby }, Some(thread)),
        Err(error) => {
            tracing::error!("hooks cannot be run: {error}");
            (Hooks { to_thread: None, on_running: None, on_standby: None }, None)
        }
    }
}

impl Hooks {
    pub(super) fn tell(&self, record: &EventRecord) {
        let event = &record.event;
        let command = match event.to {
            Status::Running => &self.on_running,
            Status::Standby => &self.on_standby,
            _ => &None,
        };
        let (Some(command), Some(to_thread), false) = (command, &self.to_thread, event.peer) else { return };
        if to_thread.try_send((command.clone(), event.to, event.epoch.counter)).is_err() {
            tracing::error!(command, "hook left out: too many wait");
        }
    }
}

fn run_all(orders: &Receiver<(String, Status, u64)>) {
    while let Ok((command, status, epoch)) = orders.recv() {
        match run(&command, status, epoch) {
            Ok(()) => tracing::info!(command, %status, "hook done"),
            Err(reason) => tracing::error!(command, %status, "hook failed: {reason}"),
        }
    }
}

fn run(command: &str, status: Status, epoch: u64) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("HOTPAIR_STATUS", status.to_string())
        .env("HOTPAIR_EPOCH", epoch.to_string())
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(exit)) if exit.success() => return Ok(()),
            Ok(Some(exit)) => return Err(exit.to_string()),
            Ok(None) if started.elapsed() >= LIMIT => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it ran longer than {} s and was ended", LIMIT.as_secs()));
            }
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => return Err(error.to_string()),
        }
    }
}
