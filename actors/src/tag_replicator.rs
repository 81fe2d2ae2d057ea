//! The one owner of the tags: takes writes and sources' values, and keeps the peer's table equal. On the data thread.

mod lane;
mod report;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Supervised};
use hotpair_core::alarm_replication::AlarmInput;
use hotpair_core::arbiter::Input;
use hotpair_core::protocol::{Control, WriteOutcome, WriteRefusal};
use hotpair_core::replicator::{TagEffect, TagInput, WriteOrder};
use hotpair_core::route::{alarms_hear, quiesced};
use hotpair_core::types::Millis;
use hotpair_core::wire::Kind;
use tokio::sync::oneshot;

use crate::alarm_work;
use crate::directory::names::TAG_REPLICATOR;
use crate::durable::{Done, DurableTenure, RetainedBatch};
use crate::gate::Permit;
use crate::messages::{
    CloseLane, Happened, LaneEnded, LaneFrame, OpenLane, Probe, Publish, TagsHappened, TagsLead, UseLink, Write,
};
use crate::shared::Shared;
use crate::step::Step;
use lane::Lane;

/// Messages that may wait. Clients whose write does not fit wait outside.
const MAILBOX: usize = 4096;

/// Shell around [`hotpair_core::replicator`] and [`hotpair_core::tags`].
pub struct TagReplicator {
    pub(crate) shared: Arc<Shared>,
    lane: Option<Lane>,
    lanes: u64,
    clients: HashMap<u64, oneshot::Sender<WriteOutcome>>,
    next_ticket: u64,
    armed: Option<Millis>,
    /// The link that the machine knows of.
    link: u64,
    /// Not done yet. Should one of them panic, the rest is done after the restart.
    effects: VecDeque<TagEffect>,
}

impl TagReplicator {
    /// The tag replicator of a node.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            lane: None,
            lanes: 0,
            clients: HashMap::new(),
            next_ticket: 1,
            armed: None,
            link: 0,
            effects: VecDeque::new(),
        }
    }

    fn hear(&mut self, input: TagInput<'_>, ctx: &mut Context<Self>) {
        self.hear_with(input, None, ctx);
    }

    /// `permit`: with the arbiter's word to lead. Who takes it back has closed the gate already.
    fn hear_with(&mut self, input: TagInput<'_>, permit: Option<Permit>, ctx: &mut Context<Self>) {
        let alarms = alarms_hear(&input);
        let shared = self.shared.clone();
        let step = Step::begin(&shared, TAG_REPLICATOR);
        let deadline = {
            let mut replicator = shared.replicator.lock();
            let now = shared.clock.now();
            let may_act = match permit {
                Some(permit) => shared.gate.allows(permit, now),
                None => !replicator.is_leading() || shared.gate.is_open(now),
            };
            replicator.set_fenced(!may_act);
            let mut table = shared.table.write();
            self.effects.extend(replicator.handle(&mut table, input, shared.clock.both()));
            shared.set_facts(replicator.facts(&table));
            replicator.next_deadline()
        };
        self.arm(deadline, ctx);
        if let Some(input) = alarms {
            alarm_work::hear_with(&shared, input, permit);
        }
        if let Some(permit) = permit {
            shared.gate.open(permit);
            shared.changed();
        }
        drop(step);
        while let Some(effect) = self.effects.pop_front() {
            self.act(effect, ctx);
        }
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
            this.hear(TagInput::Tick, ctx);
        });
    }

    fn act(&mut self, effect: TagEffect, ctx: &mut Context<Self>) {
        if let Some(input) = quiesced(&effect) {
            return alarm_work::hear(&self.shared, input);
        }
        match effect {
            TagEffect::Changed(changes) => alarm_work::hear(&self.shared, AlarmInput::Changed(&changes)),
            TagEffect::ToLane(frame) => {
                if self.lane.as_ref().is_some_and(|lane| !lane.send(frame)) {
                    self.close_lane("the peer does not read what it is sent", ctx);
                }
            }
            TagEffect::CloseLane => self.close_lane("the peer sent what cannot be understood", ctx),
            TagEffect::ToPeer(message) => self.shared.link.send(Some(self.link), message),
            TagEffect::Answer { ticket, outcome } => {
                if let Some(client) = self.clients.remove(&ticket) {
                    let _ = client.send(outcome);
                }
            }
            TagEffect::Persist { durable, items } => {
                self.shared.disk.store_retained(RetainedBatch { durable, items }, stored(ctx.address(), durable));
            }
            TagEffect::Adopt { lineage, durable } => {
                // The counters on disk only grow: zeros leave them as they are.
                let tenure = DurableTenure { last_counter: lineage.epoch().counter, lineage, reserved: 0 };
                self.shared.disk.adopt(tenure, durable, stored(ctx.address(), durable));
            }
            TagEffect::Report(report) => report::store(&self.shared, &report),
            TagEffect::ToArbiter(input) => {
                let input = if let Input::Tags(_) = input { Input::Tags(self.shared.facts()) } else { input };
                if let Some(arbiter) = self.shared.directory.state_arbiter() {
                    arbiter.do_send(Happened(input));
                }
            }
        }
    }

    fn close_lane(&mut self, reason: &str, ctx: &mut Context<Self>) {
        if self.lane.take().is_some() {
            self.shared.alarm_work.use_lane(None);
            tracing::info!("the bulk connection ended: {reason}");
            self.hear(TagInput::LaneDown, ctx);
        }
    }

    /// A node that was stopped finds out here, before its heartbeat has noticed. One that is not to lead any more, or not
    /// for the moment, keeps writes until it knows who runs.
    fn must_not_write(&mut self, ctx: &mut Context<Self>) -> bool {
        let now = self.shared.clock.now();
        if !self.shared.gate.is_fresh(now) {
            return true;
        }
        if !self.shared.gate.is_open(now) && self.shared.replicator.lock().is_leading() {
            // The arbiter closed the gate, or the heartbeat for it, and its word is still on the way.
            self.hear(TagInput::Quiesce, ctx);
        }
        false
    }
}

fn stood_still() -> WriteRefusal {
    WriteRefusal::NotRunning("this node was stopped; it asks its peer who runs".into())
}

/// Told by the disk's thread.
fn stored(owner: Addr<TagReplicator>, durable: u64) -> Done {
    Box::new(move |result| {
        let result = result.map(|()| durable).map_err(|error| error.to_string());
        owner.do_send(TagsHappened(TagInput::Persisted(result)));
    })
}

impl Actor for TagReplicator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.armed = None;
        self.hear(TagInput::Tick, ctx);
    }
}

impl Supervised for TagReplicator {
    /// Between two messages nothing is lost. What a panic left undone the peer notices by a fresh connection.
    fn restarting(&mut self, ctx: &mut Self::Context) {
        self.lane = None;
        self.shared.alarm_work.use_lane(None);
        self.armed = None;
        self.hear(TagInput::LaneDown, ctx);
    }
}

impl Handler<TagsHappened> for TagReplicator {
    type Result = ();

    fn handle(&mut self, TagsHappened(input): TagsHappened, ctx: &mut Self::Context) {
        if matches!(input, TagInput::LinkDown) {
            self.close_lane("the link is lost", ctx);
        }
        if let TagInput::Forward(forward) = &input
            && self.must_not_write(ctx)
        {
            let outcome = WriteOutcome::Refused(stood_still());
            let answer = Control::Forwarded { id: forward.id, outcome };
            return self.shared.link.send(Some(self.link), answer);
        }
        self.hear(input, ctx);
    }
}

impl Handler<TagsLead> for TagReplicator {
    type Result = ();

    fn handle(&mut self, TagsLead { input, permit }: TagsLead, ctx: &mut Self::Context) {
        self.hear_with(input, Some(permit), ctx);
    }
}

impl Handler<Write> for TagReplicator {
    type Result = ();

    fn handle(&mut self, Write { items, operation, reply }: Write, ctx: &mut Self::Context) {
        if self.must_not_write(ctx) {
            let _ = reply.send(WriteOutcome::Refused(stood_still()));
            return;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.clients.insert(ticket, reply);
        self.hear(TagInput::Write(WriteOrder { ticket, operation, items }), ctx);
    }
}

impl Handler<Publish> for TagReplicator {
    type Result = ();

    fn handle(&mut self, Publish { updates, reply }: Publish, ctx: &mut Self::Context) {
        let open = self.shared.gate.is_open(self.shared.clock.now());
        if open {
            self.hear(TagInput::Publish(updates), ctx);
        }
        let _ = reply.send(open);
    }
}

impl Handler<OpenLane> for TagReplicator {
    type Result = ();

    fn handle(&mut self, OpenLane { stream, received, closed }: OpenLane, ctx: &mut Self::Context) {
        self.close_lane("there is a newer one", ctx);
        self.lanes += 1;
        match Lane::open(stream, received, closed, self.lanes, ctx.address(), Arc::clone(&self.shared)) {
            Ok(lane) => {
                self.shared.alarm_work.use_lane(Some(lane.sender()));
                self.lane = Some(lane);
                self.hear(TagInput::LaneUp, ctx);
            }
            Err(error) => tracing::warn!("the bulk connection cannot be used: {error}"),
        }
    }
}

impl Handler<LaneFrame> for TagReplicator {
    type Result = ();

    fn handle(&mut self, LaneFrame { generation, kind, body }: LaneFrame, ctx: &mut Self::Context) {
        if self.lane.as_ref().is_none_or(|lane| lane.generation != generation) {
            return;
        }
        if kind == Kind::Alarms {
            self.shared.replicator.lock().hear_lane(self.shared.clock.now());
            alarm_work::hear(&self.shared, AlarmInput::Frame(&body));
        } else {
            self.hear(TagInput::Frame(&body), ctx);
        }
    }
}

impl Handler<LaneEnded> for TagReplicator {
    type Result = ();

    fn handle(&mut self, LaneEnded { generation, reason }: LaneEnded, ctx: &mut Self::Context) {
        if self.lane.as_ref().is_some_and(|lane| lane.generation == generation) {
            self.close_lane(&reason, ctx);
        }
    }
}

impl Handler<UseLink> for TagReplicator {
    type Result = ();

    fn handle(&mut self, UseLink { generation }: UseLink, _: &mut Self::Context) {
        self.link = generation;
        self.shared.alarm_work.link.store(generation, Ordering::Relaxed);
    }
}

impl Handler<CloseLane> for TagReplicator {
    type Result = ();

    fn handle(&mut self, CloseLane(reason): CloseLane, ctx: &mut Self::Context) {
        self.close_lane(reason, ctx);
    }
}

impl Handler<Probe> for TagReplicator {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {
        self.shared.directory.answered(TAG_REPLICATOR, self.shared.clock.now());
    }
}
