//! Comparing what two nodes are licensed for.

use crate::protocol::LicenseFacts;
use crate::types::Authorization;

/// Both nodes' licences side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Modules that only this node has.
    pub only_here: Vec<String>,
    /// Modules that only the peer has.
    pub only_there: Vec<String>,
}

/// The state of the comparison; `peer` is none until the peer has said what it has.
pub fn compare(own: &LicenseFacts, peer: Option<&LicenseFacts>) -> (Authorization, Comparison) {
    let Some(peer) = peer else { return (Authorization::Unknown, Comparison::default()) };
    let missing = |of: &LicenseFacts, from: &LicenseFacts| {
        of.modules.iter().filter(|module| !from.modules.contains(module)).cloned().collect::<Vec<_>>()
    };
    let comparison = Comparison { only_here: missing(own, peer), only_there: missing(peer, own) };
    let same = comparison.only_here.is_empty() && comparison.only_there.is_empty();
    (if same { Authorization::Match } else { Authorization::Mismatch }, comparison)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(modules: &[&str]) -> LicenseFacts {
        LicenseFacts { modules: modules.iter().map(ToString::to_string).collect(), invalid: String::new() }
    }

    #[test]
    fn nodes_without_a_licence_match() {
        assert_eq!(compare(&facts(&[]), Some(&facts(&[]))).0, Authorization::Match);
        assert_eq!(compare(&facts(&["opcua"]), None).0, Authorization::Unknown);
    }

    #[test]
    fn a_mismatch_says_what_differs() {
        let (state, comparison) = compare(&facts(&["history", "opcua"]), Some(&facts(&["history", "mqtt"])));
        assert_eq!(state, Authorization::Mismatch);
        assert_eq!(comparison, Comparison { only_here: vec!["opcua".into()], only_there: vec!["mqtt".into()] });
    }
}
