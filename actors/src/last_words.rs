//! How a node ends itself: an actor that the pair depends on hangs.

use std::sync::Arc;
use std::time::Duration;

use hotpair_core::arbiter::Input;

use crate::directory::{ActorState, names};
use crate::messages::Happened;
use crate::shared::Shared;

/// These actors hang. The node hands over if it can and ends its process, in any case within twice the time of a switch. Called
/// once, where tasks can be spawned.
pub(crate) fn end_for_hang(shared: &Arc<Shared>, hung: &[&'static str]) {
    let reason = match hung {
        [name] => format!("the actor {name} hangs"),
        names => format!("the actors {} hang", names.join(", ")),
    };
    for name in hung {
        shared.directory.update(name, |snapshot| {
            snapshot.state = ActorState::Hanging;
            snapshot.hangs += 1;
            snapshot.last_error = "it did not answer".into();
        });
    }
    if [names::TAG_REPLICATOR, names::ALARM_REPLICATOR, names::STATE_ARBITER].iter().any(|name| hung.contains(name)) {
        // Without these nothing can be handed over in order: the peer takes over from what it has.
        tracing::error!("{reason}: this node ends its process, and its peer takes over");
        return shared.die(reason);
    }
    tracing::error!("{reason}: this node hands over and ends its process");
    // A clean stop for a bad reason.
    if let Some(arbiter) = shared.directory.state_arbiter() {
        arbiter.do_send(Happened(Input::Shutdown { reason: reason.clone() }));
    }
    let shared = shared.clone();
    actix_rt::spawn(async move {
        let mut exited = shared.exited();
        let patience = Duration::from_millis(shared.settings.switch_timeout_ms * 2);
        if tokio::time::timeout(patience, exited.wait_for(|exited| *exited)).await.is_err() {
            return shared.die(format!("{reason} and Running could not be handed over"));
        }
        shared.link.close().await;
        shared.die(reason);
    });
}
