//! The log of a running node: one line an event, on standard error.

mod queue;

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hotpair_core::types::UnixMillis;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use self::queue::LineQueue;
use super::{Failure, terminal};
use crate::config::{LogFormat, LogSettings};
use crate::status::rfc3339;

/// Overrides `log.level`, with directives a module: `HOTPAIR_LOG=info,hotpair_actors=debug`.
const OVERRIDE: &str = "HOTPAIR_LOG";

/// How long the end of the process waits for whoever reads the log.
const LAST_LINES: Duration = Duration::from_millis(500);

/// From the start of the log on, standard error belongs to its thread.
static QUEUE: OnceLock<LineQueue> = OnceLock::new();

/// Begins to log. From then on whoever reads standard error can be slow or stand still: lines are lost then, and nothing
/// waits.
///
/// # Errors
/// The override is not understood, or the system gives no thread.
pub(super) fn start(settings: LogSettings) -> Result<(), Failure> {
    let filter = filter(settings)?;
    let failed = |error: &dyn fmt::Display| Failure::other(format!("the log cannot be started: {error}"));
    let queue = LineQueue::start(io::stderr(), |lost| {
        tracing::warn!("{lost} lines of the log were lost: whoever reads it is too slow");
    })
    .map_err(|error| failed(&error))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Milliseconds)
        .with_target(false)
        // A log whose reader is gone must not panic the node: by default the failure itself is printed.
        .log_internal_errors(false)
        .with_writer(queue.clone());
    let started = match settings.format {
        LogFormat::Text => lines.with_ansi(terminal::wants_colours(&io::stderr())).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    started.map_err(|error| failed(&error))?;
    let _ = QUEUE.set(queue);
    // By default a panic is printed by the thread that panics, which would wait for the reader.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}

/// Waits until the log is read, but not long. To be called before the process ends.
pub(super) fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(LAST_LINES);
    }
}

/// Writes the process's last line behind the log. False: there is no log, standard error is free.
pub(super) fn end_with(line: &str) -> bool {
    let Some(queue) = QUEUE.get() else { return false };
    queue.push(format!("{line}\n").into_bytes());
    queue.flush(LAST_LINES);
    true
}

fn filter(settings: LogSettings) -> Result<EnvFilter, Failure> {
    let wanted = match std::env::var(OVERRIDE) {
        Ok(wanted) if !wanted.trim().is_empty() => wanted,
        // The web server's own start and stop lines say nothing that the node's don't.
        _ => format!("{},actix_server=warn", settings.level.as_str()),
    };
    EnvFilter::try_new(&wanted).map_err(|error| {
        Failure::wrong_input(format!(
            "the environment variable {OVERRIDE}='{wanted}' is not understood ({error}); write a level \
             (error, warn, info, debug, trace) or directives like info,hotpair_actors=debug"
        ))
    })
}

/// UTC with milliseconds, as everywhere in the program.
struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        to.write_str(&rfc3339::text(UnixMillis(now)))
    }
}
