//! When the alarms about the pair itself hold. The Running node says so.

use std::sync::Arc;

use super::definition::SystemAlarm;
use crate::types::{Authorization, Status};
use crate::value::Value;

/// What is the case with the pair, as the Running node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairFacts {
    /// The peer's status; none: no redundancy configured.
    pub peer: Option<Status>,
    /// The link to it is up.
    pub connected: bool,
    /// The licences differ: how.
    pub authorization: Option<(Authorization, String)>,
    /// Why this node's licence, or the peer's, is not valid.
    pub invalid_licenses: Vec<String>,
    /// What differs in the two projects, or the names of the nodes.
    pub configuration: Vec<String>,
    /// What cannot work, at this node or at the peer.
    pub faults: Vec<String>,
    /// Why this node's disk cannot be written.
    pub disk: Option<String>,
    /// Why automatic recovery acts as Manual.
    pub recovery_suspended: Option<String>,
}

/// Every alarm whose condition lasts, with what is to be shown when it holds. [`SystemAlarm::DualRunning`] is not among
/// them: it is over when it is known.
pub fn conditions(facts: &PairFacts) -> Vec<(SystemAlarm, Option<Value>)> {
    let lost = facts.peer == Some(Status::Faulted) && !facts.connected;
    let mismatch = match &facts.authorization {
        Some((Authorization::Mismatch, how)) => Some(how.clone()),
        _ => None,
    };
    let all = |list: &[String]| (!list.is_empty()).then(|| list.join("; "));
    [
        (SystemAlarm::PeerLost, lost.then(|| "the connection to the redundant node is lost".to_owned())),
        (SystemAlarm::AuthorizationMismatch, mismatch),
        (SystemAlarm::LicenseInvalid, all(&facts.invalid_licenses)),
        (SystemAlarm::ConfigurationDifferent, all(&facts.configuration)),
        (SystemAlarm::ActorFailing, all(&facts.faults)),
        (SystemAlarm::Disk, facts.disk.clone()),
        (SystemAlarm::RecoverySuspended, facts.recovery_suspended.clone()),
    ]
    .into_iter()
    .map(|(alarm, holds)| (alarm, holds.map(|text| Value::String(Arc::from(shortened(&text))))))
    .collect()
}

/// Both nodes were Running, for so long, in milliseconds.
pub fn dual_running(for_ms: u64) -> Value {
    let text = format!("both nodes were Running for {}.{:03} s", for_ms / 1000, for_ms % 1000);
    Value::String(Arc::from(text))
}

/// What is shown in a list.
fn shortened(text: &str) -> &str {
    const AT_MOST: usize = 500;
    let mut end = text.len().min(AT_MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(facts: &PairFacts) -> Vec<SystemAlarm> {
        conditions(facts).into_iter().filter(|(_, holds)| holds.is_some()).map(|(alarm, _)| alarm).collect()
    }

    #[test]
    fn what_is_well_raises_nothing_and_each_trouble_its_alarm() {
        let well = PairFacts { peer: Some(Status::Standby), connected: true, ..PairFacts::default() };
        assert_eq!(holding(&PairFacts::default()), []);
        assert_eq!(holding(&well), []);
        // A clean stop of the peer is no loss; a fault that it reports is no loss either.
        assert_eq!(holding(&PairFacts { peer: Some(Status::Disconnected), ..PairFacts::default() }), []);
        let lost = PairFacts { peer: Some(Status::Faulted), ..PairFacts::default() };
        assert_eq!(holding(&lost), [SystemAlarm::PeerLost]);
        let text = || "x".repeat(600) + "ü";
        let ill = PairFacts {
            peer: Some(Status::Faulted),
            connected: true,
            authorization: Some((Authorization::Mismatch, text())),
            invalid_licenses: vec![text()],
            configuration: vec![text()],
            faults: vec![text()],
            disk: Some(text()),
            recovery_suspended: Some(text()),
        };
        let lasting = SystemAlarm::ALL
            .into_iter()
            .filter(|alarm| ![SystemAlarm::PeerLost, SystemAlarm::DualRunning].contains(alarm));
        assert_eq!(holding(&ill), lasting.collect::<Vec<_>>());
    }
}
