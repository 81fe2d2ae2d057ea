//! Making an actor fail on purpose, to see that nobody else notices. Only with the feature `fault-injection`.

use std::time::Duration;

use actix::{Actor, ActorContext, Context, Handler, Message, Recipient};

use crate::directory::{Directory, names};
use crate::heartbeat::Heartbeat;
use crate::license_checker::LicenseChecker;
use crate::messages::Probe;
use crate::peer_link::PeerLink;
use crate::state_arbiter::StateArbiter;
use crate::supervisor::Supervisor;
use crate::tag_replicator::TagReplicator;

/// To any actor: fail in this way, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum Injure {
    /// Panic while handling this message.
    Panic,
    /// Stop, though nobody asked for it.
    Stop,
    /// Block the actor's thread, and with it every actor on that thread.
    Hang {
        /// For so many milliseconds.
        ms: u64,
    },
}

impl Injure {
    fn befall<A: Actor<Context = Context<A>>>(self, ctx: &mut Context<A>) {
        match self {
            Self::Panic => panic!("injured on purpose"),
            Self::Stop => ctx.stop(),
            Self::Hang { ms } => std::thread::sleep(Duration::from_millis(ms)),
        }
    }
}

/// Injures the actor of that name (see [`names`]). False: this node has no such actor, or has not started it yet.
pub fn injure(directory: &Directory, name: &str, how: Injure) -> bool {
    let Some(victim) = recipient::<Injure>(directory, name) else { return false };
    victim.do_send(how);
    true
}

/// Resolves as soon as the actor of that name answers: at once when it works, else when it was started again. False:
/// there is no such actor, or the question was lost with it.
pub async fn answers(directory: &Directory, name: &str) -> bool {
    let Some(asked) = recipient::<Probe>(directory, name) else { return false };
    asked.send(Probe).await.is_ok()
}

fn recipient<M>(directory: &Directory, name: &str) -> Option<Recipient<M>>
where
    M: Message + Send + 'static,
    M::Result: Send,
    Supervisor: Handler<M>,
    PeerLink: Handler<M>,
    Heartbeat: Handler<M>,
    StateArbiter: Handler<M>,
    TagReplicator: Handler<M>,
    LicenseChecker: Handler<M>,
{
    match name {
        names::SUPERVISOR => directory.supervisor().cloned().map(Into::into),
        names::PEER_LINK => directory.peer_link().cloned().map(Into::into),
        names::HEARTBEAT => directory.heartbeat().cloned().map(Into::into),
        names::STATE_ARBITER => directory.state_arbiter().cloned().map(Into::into),
        names::TAG_REPLICATOR => directory.tag_replicator().cloned().map(Into::into),
        names::LICENSE_CHECKER => directory.license_checker.read().clone().map(Into::into),
        _ => None,
    }
}

macro_rules! can_be_injured {
    ($($actor:ty),*) => {$(
        impl Handler<Injure> for $actor {
            type Result = ();

            fn handle(&mut self, how: Injure, ctx: &mut Self::Context) {
                how.befall(ctx);
            }
        }
    )*};
}
can_be_injured!(Supervisor, PeerLink, Heartbeat, StateArbiter, TagReplicator, LicenseChecker);

/// Nobody watches the supervisor's answers; it gives them to whoever waits for its restart.
impl Handler<Probe> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {}
}
