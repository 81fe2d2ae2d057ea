//! How much a message may hold. A peer may be broken or hostile: what it sends must not grow what others keep.

use super::WireError;
use crate::alarms::{AlarmAction, AlarmRequest};
use crate::lineage::{Lineage, MAX_FORKS};
use crate::protocol::{
    AlarmOutcome, Control, Forward, Greeting, Hold, MAX_OPERATION_ID_BYTES, Report, WriteOutcome, WriteRefusal,
};
use crate::value::{MAX_STRING_BYTES, Value};

/// The longest name of a node, a file or a licence module, version or network address.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest path of a tag.
pub const MAX_PATH_BYTES: usize = 1024;
/// The most reasons why a node could not take over.
pub const MAX_FAULTS: usize = 32;
/// The most automatic recoveries that count against the next one.
pub const MAX_RECOVERIES: usize = 32;
/// The most licence modules.
pub const MAX_MODULES: usize = 1024;
/// The most files of a project.
pub const MAX_FILES: usize = 256;

/// Whether every part of a message is inside its limit.
pub fn validate(message: &Control) -> Result<(), WireError> {
    match message {
        Control::Greeting(greeting) => validate_greeting(greeting),
        Control::Report(report) => validate_report(report),
        Control::Refused(refusal) => text("bytes of the reason of a refusal", &refusal.reason),
        Control::Goodbye { reason } => text("bytes of the reason of a goodbye", reason),
        Control::SwitchRequest(request) => {
            text("bytes of the reason of a switch", &request.reason)?;
            text("bytes of the user of a switch", &request.user)
        }
        Control::SwitchResult { refused, .. } => text("bytes of the reason why a switch was refused", refused),
        Control::Offer { cause, user, .. } => {
            text("bytes of the cause of a switch", cause)?;
            text("bytes of the user of a switch", user)
        }
        Control::AbortConfirmed { reason, .. } => text("bytes of the reason why an offer was not taken", reason),
        Control::Hold(hold) => validate_hold(hold),
        Control::License(facts) => {
            at_most("licence modules", facts.modules.len(), MAX_MODULES)?;
            facts.modules.iter().try_for_each(|module| name("bytes of the name of a licence module", module))?;
            text("bytes of the reason why a licence is invalid", &facts.invalid)
        }
        Control::Forward(forward) => validate_forward(forward),
        Control::Forwarded { outcome, .. } => match outcome {
            WriteOutcome::Refused(WriteRefusal::NotRunning(reason) | WriteRefusal::Disk(reason)) => {
                text("bytes of the reason why a write was refused", reason)
            }
            WriteOutcome::Refused(_) | WriteOutcome::Done { .. } => Ok(()),
        },
        Control::AlarmForward(forward) => validate_request(&forward.request),
        Control::AlarmForwarded { outcome, .. } => match outcome {
            AlarmOutcome::Refused(WriteRefusal::NotRunning(reason) | WriteRefusal::Disk(reason)) => {
                text("bytes of the reason why a request was refused", reason)
            }
            AlarmOutcome::Refused(_) | AlarmOutcome::Done { .. } => Ok(()),
        },
        Control::Accepted
        | Control::JoinBulk { .. }
        | Control::Ping { .. }
        | Control::Pong { .. }
        | Control::Taken { .. }
        | Control::Abort { .. } => Ok(()),
    }
}

fn validate_greeting(greeting: &Greeting) -> Result<(), WireError> {
    name("bytes of the version of the program", &greeting.version)?;
    name("bytes of the name of a node", &greeting.name)?;
    name("bytes of the HTTP address of a node", &greeting.http)?;
    name("bytes of the address that proves a node alive", &greeting.alive_at)?;
    at_most("files of a project", greeting.project.files.len(), MAX_FILES)?;
    greeting.project.files.iter().try_for_each(|(file, _)| name("bytes of the name of a project file", file))?;
    validate_report(&greeting.report)
}

fn validate_report(report: &Report) -> Result<(), WireError> {
    lineage(&report.lineage)?;
    at_most("faults of a node", report.faults.len(), MAX_FAULTS)?;
    report.faults.iter().try_for_each(|fault| text("bytes of a fault of a node", fault))?;
    at_most("automatic recoveries", report.recoveries_ms.len(), MAX_RECOVERIES)?;
    validate_hold(&report.hold)
}

fn validate_hold(hold: &Hold) -> Result<(), WireError> {
    text("bytes of the reason of a hold", &hold.reason)
}

fn validate_forward(forward: &Forward) -> Result<(), WireError> {
    if let Some(operation) = &forward.operation {
        at_most("bytes of an operation id", operation.len(), MAX_OPERATION_ID_BYTES)?;
    }
    forward.items.iter().try_for_each(|item| {
        path(&item.path)?;
        value(&item.value)
    })
}

fn validate_request(request: &AlarmRequest) -> Result<(), WireError> {
    if let Some(operation) = &request.operation {
        at_most("bytes of an operation id", operation.len(), MAX_OPERATION_ID_BYTES)?;
    }
    text("bytes of the name of an operator", &request.who.operator)?;
    match &request.action {
        AlarmAction::Acknowledge { comment, .. } | AlarmAction::Comment { comment, .. } => {
            text("bytes of a comment", comment)
        }
        AlarmAction::Shelve { path, comment, .. } | AlarmAction::Unshelve { path, comment } => {
            text("bytes of the path of a shelving", path)?;
            text("bytes of a comment", comment)
        }
    }
}

pub(crate) fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), WireError> {
    if found > limit { Err(WireError::Limit { what, found, limit }) } else { Ok(()) }
}

pub(crate) fn lineage(lineage: &Lineage) -> Result<(), WireError> {
    at_most("fork points of a lineage", lineage.forks().len(), MAX_FORKS)
}

pub(crate) fn path(path: &str) -> Result<(), WireError> {
    at_most("bytes of a tag's path", path.len(), MAX_PATH_BYTES)
}

pub(crate) fn text(what: &'static str, text: &str) -> Result<(), WireError> {
    at_most(what, text.len(), MAX_STRING_BYTES)
}

pub(crate) fn value(value: &Value) -> Result<(), WireError> {
    match value {
        Value::String(string) => text("bytes of a tag's text", string),
        Value::Bool(_) | Value::Int64(_) | Value::Float64(_) | Value::DateTime(_) => Ok(()),
    }
}

fn name(what: &'static str, name: &str) -> Result<(), WireError> {
    at_most(what, name.len(), MAX_NAME_BYTES)
}
