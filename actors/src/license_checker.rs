//! Compares what both nodes are licensed for.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Supervised};
use hotpair_core::license::compare;
use hotpair_core::protocol::Control;
use hotpair_core::types::Authorization;

use crate::directory::names::LICENSE_CHECKER;
use crate::messages::{LinkChanged, PeerLicense, Probe};
use crate::shared::Shared;

/// Shell around [`hotpair_core::license`]. A leaf: a mismatch never stops a takeover.
pub struct LicenseChecker {
    shared: Arc<Shared>,
}

impl LicenseChecker {
    /// The licence checker of a node.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn tell(&self) {
        self.shared.tell_peer(Control::License(self.shared.settings.license.clone()));
    }
}

impl Actor for LicenseChecker {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.tell();
    }
}

impl Supervised for LicenseChecker {}

impl Handler<LinkChanged> for LicenseChecker {
    type Result = ();

    fn handle(&mut self, LinkChanged { up }: LinkChanged, _: &mut Self::Context) {
        if up {
            self.tell();
        }
    }
}

impl Handler<PeerLicense> for LicenseChecker {
    type Result = ();

    fn handle(&mut self, PeerLicense(facts): PeerLicense, _: &mut Self::Context) {
        let (state, differs) = compare(&self.shared.settings.license, Some(&facts));
        let before = self.shared.peer_license.lock().replace(facts.clone());
        if before.as_ref() == Some(&facts) {
            return;
        }
        if state == Authorization::Mismatch {
            tracing::warn!(
                only_here = differs.only_here.join(", "),
                only_there = differs.only_there.join(", "),
                "the two nodes are licensed for different modules"
            );
        }
        self.shared.changed();
    }
}

impl Handler<Probe> for LicenseChecker {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {
        self.shared.directory.answered(LICENSE_CHECKER, self.shared.clock.now());
    }
}
