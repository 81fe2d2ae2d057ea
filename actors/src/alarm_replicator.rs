//! The one who takes what operators ask for, keeps the delays, and says what is the case with the pair. On the data
//! thread; values are judged where they are taken, see [`crate::alarm_work`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle, Supervised};
use hotpair_core::alarm_replication::AlarmInput;
use hotpair_core::protocol::{AlarmOutcome, Control, WriteRefusal};
use hotpair_core::types::Millis;

use crate::alarm_work::{ask, hear};
use crate::directory::names::ALARM_REPLICATOR;
use crate::messages::{AlarmsHappened, ArmAlarms, Operate, Probe};
use crate::pair_facts;
use crate::shared::Shared;

/// Messages that may wait. Clients whose request does not fit wait outside.
const MAILBOX: usize = 4096;
/// How often the pair is looked at for alarms about itself.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A node that must not act is looked at again after this time.
const FENCED_MS: u64 = 20;

/// Shell around [`hotpair_core::alarm_replication`].
pub struct AlarmReplicator {
    pub(crate) shared: Arc<Shared>,
    /// Nothing is judged: the journal does not keep up.
    suspended: bool,
    /// There is never more than one: with a shelving for a week each delay would leave one behind.
    timer: Option<SpawnHandle>,
}

impl AlarmReplicator {
    /// The alarm replicator of a node.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, suspended: false, timer: None }
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        let at = self.shared.alarm_work.armed.load(Ordering::Relaxed);
        if at != u64::MAX {
            self.wake_at(Millis(at), ctx);
        }
    }

    fn wake_at(&mut self, at: Millis, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let timer = ctx.run_later(self.shared.clock.until(at), |this, ctx| {
            this.timer = None;
            // An earlier one may have been asked for since: then this one is due to it, or already done.
            let armed = this.shared.alarm_work.armed.load(Ordering::Relaxed);
            if armed > this.shared.clock.now().0 {
                return;
            }
            if this.may_act() {
                this.shared.alarm_work.armed.store(u64::MAX, Ordering::Relaxed);
                hear(&this.shared, AlarmInput::Tick);
            } else {
                let later = this.shared.clock.now().plus(FENCED_MS);
                this.shared.alarm_work.armed.store(later.0, Ordering::Relaxed);
                this.wake_at(later, ctx);
            }
        });
        self.timer = Some(timer);
    }

    /// A node that leads and was told to stop, or stood still, waits for the word of its arbiter.
    fn may_act(&self) -> bool {
        let leads = self.shared.alarm_work.machine.lock().leads();
        !leads || self.shared.gate.is_open(self.shared.clock.now())
    }

    /// Whether a request may go to the machine. A node that stood still takes none. One that was told to lead no more, or
    /// not for the moment, keeps it until the arbiter's word is here.
    fn may_ask(&self) -> bool {
        if self.may_act() {
            return true;
        }
        let fresh = self.shared.gate.is_fresh(self.shared.clock.now());
        if fresh {
            hear(&self.shared, AlarmInput::Pause);
        }
        fresh
    }

    /// Says once that nothing is judged, and once that it is again.
    fn tell_suspended(&mut self) {
        let suspended = self.shared.alarm_work.machine.lock().is_suspended();
        if suspended == std::mem::replace(&mut self.suspended, suspended) {
            return;
        }
        if suspended {
            tracing::error!(
                "more alarms come than the journal can store: none is judged until it has caught up; look for limits \
                 without a dead-band, or a slow disk"
            );
        } else {
            tracing::info!("the journal has caught up: alarms are judged again");
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        self.tell_suspended();
        let leads = self.shared.alarm_work.machine.lock().leads();
        if leads && self.may_act() {
            let conditions = pair_facts::conditions(&self.shared);
            hear(&self.shared, AlarmInput::System(&conditions));
            let duals = std::mem::take(&mut *self.shared.dual_runnings.lock());
            for for_ms in duals {
                hear(&self.shared, AlarmInput::DualRunning { for_ms });
            }
        }
        ctx.run_later(LOOK_EVERY, Self::look);
    }
}

impl Actor for AlarmReplicator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        // After a restart no timer is armed: look what is due.
        self.timer = None;
        self.shared.alarm_work.armed.store(u64::MAX, Ordering::Relaxed);
        hear(&self.shared, AlarmInput::Tick);
        self.look(ctx);
    }
}

impl Supervised for AlarmReplicator {}

impl Drop for AlarmReplicator {
    /// The node ends: whoever waits for an answer gets none.
    fn drop(&mut self) {
        self.shared.alarm_work.leave_clients();
    }
}

impl Handler<AlarmsHappened> for AlarmReplicator {
    type Result = ();

    fn handle(&mut self, AlarmsHappened(input): AlarmsHappened, _: &mut Self::Context) {
        if let AlarmInput::Forward(forward) = &input
            && !self.may_ask()
        {
            let outcome = AlarmOutcome::Refused(unknown_who_runs());
            let answer = Control::AlarmForwarded { id: forward.id, outcome };
            return self.shared.link.send(Some(self.shared.alarm_work.link.load(Ordering::Relaxed)), answer);
        }
        hear(&self.shared, input);
    }
}

impl Handler<ArmAlarms> for AlarmReplicator {
    type Result = ();

    fn handle(&mut self, _: ArmAlarms, ctx: &mut Self::Context) {
        self.arm(ctx);
    }
}

impl Handler<Operate> for AlarmReplicator {
    type Result = ();

    fn handle(&mut self, Operate { request, reply }: Operate, _: &mut Self::Context) {
        if self.may_ask() {
            ask(&self.shared, request, reply);
        } else {
            let _ = reply.send(AlarmOutcome::Refused(unknown_who_runs()));
        }
    }
}

impl Handler<Probe> for AlarmReplicator {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {
        self.shared.directory.answered(ALARM_REPLICATOR, self.shared.clock.now());
    }
}

fn unknown_who_runs() -> WriteRefusal {
    WriteRefusal::NotRunning("it is being found out which node runs".to_owned())
}

#[cfg(test)]
mod tests;
