//! What the machine of the alarms wants done, done. Both owners of the data thread use it: the tag replicator, so that a
//! change is judged before anything that follows from it is sent; and the alarm replicator, for everything else.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hotpair_core::alarm_replication::{AlarmEffect, AlarmInput, AlarmReplication};
use hotpair_core::alarms::AlarmRequest;
use hotpair_core::arbiter::Input;
use hotpair_core::protocol::AlarmOutcome;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::directory::names::ALARM_REPLICATOR;
use crate::gate::Permit;
use crate::messages::{AlarmsHappened, ArmAlarms, CloseLane, Happened};
use crate::shared::Shared;
use crate::step::Step;

/// The alarms' machine and what belongs to it: lent to the actors that use it.
pub(crate) struct AlarmWork {
    pub machine: Mutex<AlarmReplication>,
    /// Not done yet. Should one of them panic, the rest is done with the next.
    effects: Mutex<VecDeque<AlarmEffect>>,
    clients: Mutex<HashMap<u64, oneshot::Sender<AlarmOutcome>>>,
    next_ticket: AtomicU64,
    /// When the alarm replicator wakes next, in milliseconds; none: `u64::MAX`.
    pub armed: AtomicU64,
    /// The link that the machine knows of.
    pub link: AtomicU64,
    /// The open bulk connection.
    lane: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
}

impl AlarmWork {
    pub(crate) fn new(machine: AlarmReplication) -> Self {
        Self {
            machine: Mutex::new(machine),
            effects: Mutex::default(),
            clients: Mutex::default(),
            next_ticket: AtomicU64::new(1),
            armed: AtomicU64::new(u64::MAX),
            link: AtomicU64::new(0),
            lane: Mutex::default(),
        }
    }

    pub(crate) fn use_lane(&self, lane: Option<mpsc::Sender<Vec<u8>>>) {
        *self.lane.lock() = lane;
    }

    /// Nobody will be answered any more.
    pub(crate) fn leave_clients(&self) {
        self.clients.lock().clear();
    }

    /// A place for the answer of a client.
    fn ticket(&self, reply: oneshot::Sender<AlarmOutcome>) -> u64 {
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        self.clients.lock().insert(ticket, reply);
        ticket
    }
}

/// Gives the machine what a client asks for. Should it panic over that, nobody will answer: the client is told so.
pub(crate) fn ask(shared: &Arc<Shared>, request: AlarmRequest, reply: oneshot::Sender<AlarmOutcome>) {
    let ticket = shared.alarm_work.ticket(reply);
    let _asked = Asked { work: &shared.alarm_work, ticket };
    hear(shared, AlarmInput::Request { ticket, request });
}

struct Asked<'a> {
    work: &'a AlarmWork,
    ticket: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.work.clients.lock().remove(&self.ticket);
        }
    }
}

/// Gives the machine an input and does what it wants. On the data thread.
pub(crate) fn hear(shared: &Arc<Shared>, input: AlarmInput<'_>) {
    hear_with(shared, input, None);
}

/// `permit`: with the arbiter's word to lead; the gate opens after this.
pub(crate) fn hear_with(shared: &Arc<Shared>, input: AlarmInput<'_>, permit: Option<Permit>) {
    let work = &shared.alarm_work;
    let deadline = {
        let _step = Step::begin(shared, ALARM_REPLICATOR);
        let tags = shared.table.read();
        let mut machine = work.machine.lock();
        let mut table = shared.alarms.write();
        let before = table.version();
        let now = shared.clock.now();
        let may_act = match permit {
            Some(permit) => shared.gate.allows(permit, now),
            None => !machine.leads() || shared.gate.is_open(now),
        };
        machine.set_fenced(!may_act);
        let effects = machine.handle(&mut table, &tags, input, shared.clock.both());
        let after = table.version();
        drop(table);
        shared.set_alarm_facts(machine.facts());
        let deadline = machine.next_deadline();
        drop(machine);
        work.effects.lock().extend(effects);
        if before != after {
            shared.alarms_changed(after);
        }
        deadline
    };
    loop {
        let effect = work.effects.lock().pop_front();
        let Some(effect) = effect else { break };
        act(shared, effect);
    }
    if let Some(deadline) = deadline
        && deadline.0 < work.armed.load(Ordering::Relaxed)
        && let Some(alarms) = shared.directory.alarm_replicator()
    {
        work.armed.store(deadline.0, Ordering::Relaxed);
        alarms.do_send(ArmAlarms);
    }
}

fn act(shared: &Arc<Shared>, effect: AlarmEffect) {
    let work = &shared.alarm_work;
    match effect {
        AlarmEffect::ToLane(frame) => {
            let lane = work.lane.lock().clone();
            if lane.is_some_and(|lane| lane.try_send(frame).is_err()) {
                close_lane(shared, "the peer does not read what it is sent");
            }
        }
        AlarmEffect::CloseLane => close_lane(shared, "the peer sent about alarms what cannot be understood"),
        AlarmEffect::ToPeer(message) => shared.link.send(Some(work.link.load(Ordering::Relaxed)), message),
        AlarmEffect::Answer { ticket, outcome } => {
            let client = work.clients.lock().remove(&ticket);
            if let Some(client) = client {
                let _ = client.send(outcome);
            }
        }
        AlarmEffect::Store(batch) => {
            let owner = shared.directory.alarm_replicator().cloned();
            shared.journal.append(
                batch,
                Box::new(move |result| {
                    if let Some(owner) = owner {
                        let result = result.map_err(|error| error.to_string());
                        owner.do_send(AlarmsHappened(AlarmInput::Stored(result)));
                    }
                }),
            );
        }
        AlarmEffect::Read { purpose, origin, from, max } => {
            let owner = shared.directory.alarm_replicator().cloned();
            shared.journal.read(
                origin,
                from,
                max,
                Box::new(move |entries| {
                    if let Some(owner) = owner {
                        let entries = entries.map_err(|error| error.to_string());
                        owner.do_send(AlarmsHappened(AlarmInput::Read { purpose, origin, entries }));
                    }
                }),
            );
        }
        AlarmEffect::ToArbiter(input) => tell_arbiter(shared, input),
        AlarmEffect::Facts => tell_arbiter(shared, Input::Tags(shared.facts())),
    }
}

fn tell_arbiter(shared: &Shared, input: Input) {
    if let Some(arbiter) = shared.directory.state_arbiter() {
        arbiter.do_send(Happened(input));
    }
}

fn close_lane(shared: &Shared, reason: &'static str) {
    if let Some(tags) = shared.directory.tag_replicator() {
        tags.do_send(CloseLane(reason));
    }
}
