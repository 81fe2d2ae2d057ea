//! The address of an actor, with a count of what waits in its mailbox.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::dev::{Request, ToEnvelope};
use actix::prelude::SendError;
use actix::{Actor, Addr, Context, Handler, Message, Recipient};

use crate::alarm_replicator::AlarmReplicator;
use crate::heartbeat::Heartbeat;
use crate::license_checker::LicenseChecker;
use crate::peer_link::PeerLink;
use crate::state_arbiter::StateArbiter;
use crate::supervisor::Supervisor;
use crate::tag_replicator::TagReplicator;

/// Where messages for an actor are given in. Not counted is what an actor sends to itself (timers, answers of the disk),
/// and what comes over a [`recipient`](Self::recipient).
pub struct Post<A: Actor> {
    address: Addr<A>,
    waiting: Arc<AtomicU64>,
}

/// A message on its way to an actor, and its place in the count.
pub struct Counted<A: Actor> {
    handle: Handling<A, A::Context>,
    place: Place,
}

type Handling<A, C> = Box<dyn FnOnce(&mut A, &mut C) + Send>;

/// In the count until it is dropped: when the message is taken out, or lost.
struct Place(Arc<AtomicU64>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<A: Actor> Message for Counted<A> {
    type Result = ();
}

impl<A: Actor<Context = Context<A>>> Post<A> {
    pub(crate) fn new(address: Addr<A>) -> Self {
        Self { address, waiting: Arc::default() }
    }

    /// So many messages wait.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whatever the mailbox's limit.
    pub fn do_send<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        A: Handler<M, Result = ()> + Handler<Counted<A>>,
    {
        self.address.do_send(self.count(message));
    }

    /// Only if there is room.
    pub fn try_send<M>(&self, message: M) -> Result<(), SendError<Counted<A>>>
    where
        M: Message<Result = ()> + Send + 'static,
        A: Handler<M, Result = ()> + Handler<Counted<A>>,
    {
        self.address.try_send(self.count(message))
    }

    /// Waits for room, and until the message is handled.
    pub fn send<M>(&self, message: M) -> Request<A, Counted<A>>
    where
        M: Message<Result = ()> + Send + 'static,
        A: Handler<M, Result = ()> + Handler<Counted<A>>,
    {
        self.address.send(self.count(message))
    }

    /// For whoever knows the message only.
    pub fn recipient<M>(&self) -> Recipient<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        Context<A>: ToEnvelope<A, M>,
    {
        self.address.clone().recipient()
    }

    fn count<M>(&self, message: M) -> Counted<A>
    where
        M: Message<Result = ()> + Send + 'static,
        A: Handler<M, Result = ()>,
    {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let handle = Box::new(move |actor: &mut A, ctx: &mut A::Context| actor.handle(message, ctx));
        Counted { handle, place: Place(self.waiting.clone()) }
    }
}

impl<A: Actor> Clone for Post<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), waiting: self.waiting.clone() }
    }
}

impl<A: Actor> fmt::Debug for Post<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

macro_rules! takes_counted_messages {
    ($($actor:ty),*) => {$(
        impl Handler<Counted<$actor>> for $actor {
            type Result = ();

            fn handle(&mut self, Counted { handle, place }: Counted<$actor>, ctx: &mut Self::Context) {
                drop(place);
                handle(self, ctx);
            }
        }
    )*};
}
takes_counted_messages!(Supervisor, PeerLink, Heartbeat, StateArbiter, TagReplicator, AlarmReplicator, LicenseChecker);
