//! Automatic recovery: a returned Master takes the Backup's data, then asks for a Switch.

use super::{Arbiter, Effect, State};
use crate::mutant::{self, Mutant};
use crate::protocol::{Control, SwitchRequest, Tenure};
use crate::types::{Millis, Mode, NodeId, RecoveryMode, Status};

/// So many automatic recoveries within [`GUARD_PERIOD_MS`]; then it acts as Manual.
pub const GUARD_RECOVERIES: usize = 3;
/// See [`GUARD_RECOVERIES`].
pub const GUARD_PERIOD_MS: u64 = 10 * 60 * 1000;
/// A request that was refused is repeated after this time. One that failed stopped the plant's writes for a moment: the
/// time doubles with each of these, up to the second one.
const RETRY_MS: u64 = 1000;
const RETRY_AT_MOST_MS: u64 = 60_000;
/// Marks a request of recovery: people's orders have numbers without it.
const OWN_REQUEST: u64 = 1 << 63;

/// A Master's plan to run again.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovery {
    /// Its process started and it did not run since, nor did anybody decide where Running is to be.
    pub just_started: bool,
    pub asked: Option<u64>,
    pub next_try: Option<Millis>,
    /// The Backup began to hand over.
    pub begun: bool,
    /// How often it began, and nothing came of it.
    pub failures: u32,
    /// Why it acts as Manual.
    pub suspended: Option<String>,
}

/// The automatic recoveries that count against the next one. The Running Backup asks it; both nodes keep it and tell each
/// other, so that the process that is restarted, whichever it is, learns of them when they meet. When both are gone at
/// once it begins anew: that is no Master that crashes in a loop beside a Backup that runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// Until when each counts, oldest first.
    until: Vec<Millis>,
}

impl Guard {
    pub(super) fn recovered(&mut self, now: Millis) {
        self.until.retain(|&until| until > now);
        self.until.push(now.plus(GUARD_PERIOD_MS));
    }

    /// For how long each still counts.
    pub(super) fn left_ms(&self, now: Millis) -> Vec<u64> {
        self.until.iter().map(|&until| until.since(now)).filter(|&left| left > 0).collect()
    }

    /// What the peer knows. Whoever was not restarted knows of all of them.
    pub(super) fn heard(&mut self, left_ms: &[u64], now: Millis) {
        if left_ms.len() > self.left_ms(now).len() {
            let newest = &left_ms[left_ms.len().saturating_sub(GUARD_RECOVERIES)..];
            self.until = newest.iter().map(|&left| now.plus(left.min(GUARD_PERIOD_MS))).collect();
        }
    }
}

/// Why a recovery is refused.
pub(super) struct RecoveryRefusal {
    pub reason: String,
    pub suspend: bool,
}

impl Recovery {
    pub(super) fn ran(&mut self) {
        *self = Self::default();
    }

    pub(super) fn forget_request(&mut self) {
        self.asked = None;
        self.begun = false;
        self.next_try = None;
    }

    /// The Backup stops its work for the Switch that this node asked for.
    pub(super) fn begins(&mut self) {
        if self.asked.is_some() && !self.begun {
            self.begun = true;
            self.failures += 1;
        }
    }

    /// Takes the answer to a request of its own; false: the answer is somebody else's.
    pub(super) fn answered(&mut self, id: u64, refused: &str, suspend: bool, now: Millis) -> bool {
        if self.asked != Some(id) {
            return false;
        }
        self.asked = None;
        let doubled = if std::mem::take(&mut self.begun) { self.failures.saturating_sub(1) } else { 0 };
        self.next_try = Some(now.plus((RETRY_MS << doubled.min(10)).min(RETRY_AT_MOST_MS)));
        if suspend {
            self.suspended = Some(refused.to_owned());
        }
        true
    }
}

impl Arbiter {
    /// Asks the Running Backup for a Switch when recovery is due.
    pub(super) fn consider_recovery(&mut self, now: Millis) {
        let Some(peer) = self.peer_report() else { return };
        let due = matches!(self.state, State::Standby)
            && self.settings.mode == Mode::Master
            && self.recovery_mode() == RecoveryMode::Automatic
            && self.recovery.suspended.is_none()
            && self.stopping.is_none()
            && peer.status == Status::Running
            && peer.switching == 0
            && (self.recovery.just_started || matches!(peer.tenure, Tenure::Failover | Tenure::Start));
        // The Backup's word too, or it would refuse: it may have been told that this node is in sync, and not yet that it
        // has what clients were told of meanwhile.
        let in_sync = self.tags.in_sync && peer.in_sync || mutant::on(Mutant::RecoveryBeforeSync);
        if !due || self.offer.is_some() || self.held(now) || !in_sync || !self.faults().is_empty() {
            return;
        }
        if self.recovery.next_try.is_some_and(|at| now < at) {
            return;
        }
        self.next_ticket += 1;
        let id = self.next_ticket | OWN_REQUEST;
        self.recovery.asked = Some(id);
        self.recovery.next_try = Some(now.plus(self.settings.switch_timeout_ms.saturating_mul(2).max(RETRY_MS)));
        self.effects.push(Effect::Send(Control::SwitchRequest(SwitchRequest {
            id,
            tenure: Tenure::Recovery,
            expected_epoch: 0,
            to: NodeId(0),
            reason: "automatic recovery of the Master".into(),
            user: String::new(),
        })));
    }

    /// At the Running Backup: a Master that crashes in a loop doesn't drag the plant along.
    pub(super) fn recovery_refusal(&mut self, now: Millis) -> Option<RecoveryRefusal> {
        if self.held(now) {
            return Some(RecoveryRefusal { reason: "a maintenance hold is in force".into(), suspend: false });
        }
        if self.guard.left_ms(now).len() >= GUARD_RECOVERIES && !mutant::on(Mutant::RecoveryUnguarded) {
            let reason = format!(
                "the Master recovered {GUARD_RECOVERIES} times in {} minutes: it stays Standby until somebody presses Switch",
                GUARD_PERIOD_MS / 60_000
            );
            return Some(RecoveryRefusal { reason, suspend: true });
        }
        None
    }

    /// At the Running Backup: a recovery was carried out.
    pub(super) fn granted_recovery(&mut self, now: Millis) {
        // The Master's report tells of it; that of an older version does not.
        if self.peer.as_ref().is_none_or(|peer| peer.report.recoveries_ms.is_empty()) {
            self.guard.recovered(now);
        }
    }
}
