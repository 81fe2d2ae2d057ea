//! What is the case with the pair, gathered for the alarms about it.

use hotpair_core::alarms::{PairFacts, SystemAlarm, conditions as of_facts};
use hotpair_core::greeting::Remark;
use hotpair_core::license::compare;
use hotpair_core::value::Value;

use crate::directory::ActorState;
use crate::shared::Shared;

/// Of every system alarm what is to be shown when it holds.
pub(crate) fn conditions(shared: &Shared) -> Vec<(SystemAlarm, Option<Value>)> {
    let view = shared.view();
    let link = shared.link.view();
    let own = &shared.settings.license;
    let peer = shared.peer_license();
    let (authorization, differences) = compare(own, peer.as_ref());
    let list = |which: &str, modules: &[String]| {
        (!modules.is_empty()).then(|| format!("only {which}: {}", modules.join(", ")))
    };
    let here = list("at this node", &differences.only_here);
    let there = list("at the other node", &differences.only_there);
    let how = here.into_iter().chain(there).collect::<Vec<_>>().join("; ");
    let invalid = |whose: &str, text: &str| (!text.is_empty()).then(|| format!("{whose}: {text}"));
    let peer_invalid = peer.as_ref().and_then(|facts| invalid("the other node", &facts.invalid));
    let failing = shared
        .directory
        .snapshots()
        .into_iter()
        .filter(|(_, snapshot)| matches!(snapshot.state, ActorState::KeepsFailing | ActorState::Hanging));
    let failing = failing.map(|(name, snapshot)| format!("{name}: {}", snapshot.last_error));
    let peer_faults = view.peer_faults.iter().map(|fault| format!("the other node: {fault}"));
    let differs = |remark: &&Remark| matches!(remark, Remark::Project { .. } | Remark::NodeName { .. });
    of_facts(&PairFacts {
        peer: view.peer.as_ref().map(|peer| peer.status),
        connected: view.peer.as_ref().is_some_and(|peer| peer.connected),
        authorization: link.up.then_some((authorization, how)),
        invalid_licenses: invalid("this node", &own.invalid).into_iter().chain(peer_invalid).collect(),
        configuration: link.remarks.iter().filter(differs).map(ToString::to_string).collect(),
        faults: failing.chain(peer_faults).collect(),
        disk: shared.disk.trouble().or_else(|| shared.journal.trouble()),
        recovery_suspended: view.recovery_suspended,
    })
}
