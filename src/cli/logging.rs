//! The log of a running node: one line an event, on standard error.

use std::fmt;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use hotpair_core::types::UnixMillis;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::{Failure, terminal};
use crate::config::{LogFormat, LogSettings};
use crate::status::rfc3339;

/// Overrides `log.level`, with directives a module: `HOTPAIR_LOG=info,hotpair_actors=debug`.
const OVERRIDE: &str = "HOTPAIR_LOG";

/// Begins to log.
///
/// # Errors
/// The override is not understood.
pub(super) fn start(settings: LogSettings) -> Result<(), Failure> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(settings)?)
        .with_timer(Milliseconds)
        .with_target(false)
        // A log whose reader is gone must not panic the node: by default the failure itself is printed.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    let started = match settings.format {
        LogFormat::Text => lines.with_ansi(terminal::wants_colours(&io::stderr())).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    started.map_err(|error| Failure::other(format!("the log cannot be started: {error}")))
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
