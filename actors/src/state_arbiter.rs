//! Who is Running. On the control thread.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Supervised};
use hotpair_core::arbiter::{Effect, Input};
use hotpair_core::replicator::TagInput;
use hotpair_core::route::{Routed, route};
use hotpair_core::types::Millis;
use tokio::sync::oneshot;

use crate::directory::names::STATE_ARBITER;
use crate::durable::DurableTenure;
use crate::messages::{DropLink, Happened, PressSwitch, Probe, TagsHappened, TagsLead, UseLink};
use crate::shared::Shared;
use crate::step::Step;

/// Numbers of switch orders start here, those of the arbiter's own requests below.
const FIRST_ORDER: u64 = 1 << 32;
/// A deadline that passed while this node stood still is looked at again after this time.
const STOOD_STILL_MS: u64 = 20;

/// Shell around [`hotpair_core::arbiter`].
pub struct StateArbiter {
    pub(crate) shared: Arc<Shared>,
    clients: HashMap<u64, oneshot::Sender<Result<(), String>>>,
    next_order: u64,
    armed: Option<Millis>,
    /// The link that the machine knows of.
    link: u64,
    /// Not done yet. Should one of them panic, the rest is done after the restart.
    effects: VecDeque<Effect>,
}

impl StateArbiter {
    /// The arbiter of a node.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            clients: HashMap::new(),
            next_order: FIRST_ORDER,
            armed: None,
            link: 0,
            effects: VecDeque::new(),
        }
    }

    fn hear(&mut self, input: Input, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let deadline = {
            let _step = Step::begin(&self.shared, STATE_ARBITER);
            let mut arbiter = self.shared.arbiter.lock();
            arbiter.hear_tags(self.shared.facts());
            self.effects.extend(arbiter.handle(input, now));
            let deadline = arbiter.next_deadline(now);
            let view = arbiter.view(now);
            drop(arbiter);
            // Whoever is answered now and looks sees what it was answered.
            self.shared.show(view);
            deadline
        };
        while let Some(effect) = self.effects.pop_front() {
            self.act(effect, ctx);
        }
        self.arm(deadline, ctx);
    }

    fn arm(&mut self, deadline: Option<Millis>, ctx: &mut Context<Self>) {
        let Some(deadline) = deadline else { return };
        if self.armed.is_some_and(|armed| armed <= deadline && armed > self.shared.clock.now()) {
            return;
        }
        self.armed = Some(deadline);
        ctx.run_later(self.shared.clock.until(deadline), move |this, ctx| {
            if this.armed == Some(deadline) {
                this.armed = None;
            }
            let now = this.shared.clock.now();
            if this.shared.gate.is_fresh(now) {
                this.hear(Input::Tick, ctx);
            } else {
                // This node stood still. Its heartbeat says so before any deadline counts.
                this.arm(Some(now.plus(STOOD_STILL_MS)), ctx);
            }
        });
    }

    fn act(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match route(effect) {
            Routed::Tags(input) => {
                if matches!(input, TagInput::Quiesce | TagInput::StandBy) {
                    self.shared.gate.close();
                    self.shared.changed();
                }
                let Some(tags) = self.shared.directory.tag_replicator() else { return };
                if matches!(input, TagInput::Lead(_) | TagInput::Resume) {
                    tags.do_send(TagsLead { input, permit: self.shared.gate.permit() });
                } else {
                    tags.do_send(TagsHappened(input));
                }
            }
            Routed::Peer(message) => self.shared.link.send(Some(self.link), message),
            Routed::DropLink => {
                if let Some(link) = self.shared.directory.peer_link() {
                    link.do_send(DropLink);
                }
            }
            Routed::Disk { ticket, lineage, reserved, last_counter } => {
                let address = ctx.address();
                let tenure = DurableTenure { lineage, reserved, last_counter };
                self.shared.disk.store_tenure(
                    tenure,
                    Box::new(move |result| {
                        address.do_send(Happened(match result {
                            Ok(()) => Input::Stored { ticket },
                            Err(error) => Input::StoreFailed { ticket, reason: error.to_string() },
                        }));
                    }),
                );
            }
            Routed::Client { request, result } => {
                self.shared.count_switch(result.is_ok());
                if let Some(client) = self.clients.remove(&request) {
                    let _ = client.send(result);
                }
            }
            Routed::Events(event) => self.shared.record(event),
            Routed::Exit => {
                self.shared.gate.close();
                self.shared.exit();
            }
        }
    }
}

impl Actor for StateArbiter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // After a restart no timer is armed: look what is due, as any timer does.
        self.armed = None;
        self.arm(Some(self.shared.clock.now()), ctx);
    }
}

impl Supervised for StateArbiter {}

impl Handler<Happened> for StateArbiter {
    type Result = ();

    fn handle(&mut self, Happened(input): Happened, ctx: &mut Self::Context) {
        self.hear(input, ctx);
    }
}

impl Handler<PressSwitch> for StateArbiter {
    type Result = ();

    fn handle(&mut self, PressSwitch { mut order, reply }: PressSwitch, ctx: &mut Self::Context) {
        order.request = self.next_order;
        self.next_order += 1;
        self.clients.insert(order.request, reply);
        self.hear(Input::Switch(order), ctx);
    }
}

impl Handler<UseLink> for StateArbiter {
    type Result = ();

    fn handle(&mut self, UseLink { generation }: UseLink, _: &mut Self::Context) {
        self.link = generation;
    }
}

impl Handler<Probe> for StateArbiter {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {
        self.shared.directory.answered(STATE_ARBITER, self.shared.clock.now());
    }
}
