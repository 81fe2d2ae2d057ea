//! Making an actor fail on purpose, to see that nobody else notices. Only with the feature `fault-injection`.

use std::fmt;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Recipient, WrapFuture};

use crate::alarm_replicator::AlarmReplicator;
use crate::directory::{Directory, names};
use crate::heartbeat::Heartbeat;
use crate::license_checker::LicenseChecker;
use crate::messages::Probe;
use crate::peer_link::PeerLink;
use crate::post::Post;
use crate::state_arbiter::StateArbiter;
use crate::step::Step;
use crate::supervisor::Supervisor;
use crate::tag_replicator::TagReplicator;

/// To any actor: fail in this way, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum Injure {
    /// Panic while handling this message.
    Panic,
    /// Panic in the middle of a step of its machine: the node ends itself where its peer can go on. Arbiter, heartbeat and
    /// replicators have one.
    Tear,
    /// Stop, though nobody asked for it.
    Stop,
    /// Block the actor's thread, and with it every actor on that thread.
    Hang {
        /// For so many milliseconds.
        ms: u64,
    },
    /// Wait, and take no message and heed no timer meanwhile. The others on its thread go on.
    Stuck {
        /// For so many milliseconds.
        ms: u64,
    },
    /// As `Stuck`, and the mailbox is full meanwhile: it must work through all of it afterwards.
    Flood {
        /// For so many milliseconds.
        ms: u64,
    },
}

/// What an actor says when it panics on purpose.
pub const INJURED: &str = "injured on purpose";

/// The actors that can be injured by [`Injure::Tear`].
pub const WITH_A_MACHINE: [&str; 4] =
    [names::STATE_ARBITER, names::HEARTBEAT, names::TAG_REPLICATOR, names::ALARM_REPLICATOR];

/// Fills mailboxes.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Noise;

/// Why nothing was made to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotInjured {
    /// This node has no part of that name.
    Unknown {
        /// What was asked for.
        name: String,
        /// The names that it has.
        known: Vec<String>,
    },
    /// The part has not started yet, or has ended.
    NotThere {
        /// Its name.
        name: String,
    },
    /// The part cannot fail in each way.
    Cannot {
        /// Its name.
        name: String,
        /// Why not, or how it can fail.
        why: &'static str,
    },
}

impl fmt::Display for NotInjured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, known } => {
                write!(f, "this node has no part '{name}' that can be made to fail; it has: {}", known.join(", "))
            }
            Self::NotThere { name } => write!(f, "{name} does not work: it has not started, or has ended"),
            Self::Cannot { name, why } => write!(f, "{name} cannot fail so: {why}"),
        }
    }
}

impl std::error::Error for NotInjured {}

impl Injure {
    fn befall<A>(self, actor: &A, ctx: &mut Context<A>)
    where
        A: Actor<Context = Context<A>> + Handler<Noise>,
    {
        match self {
            // Whoever has a machine is in the middle of its step.
            Self::Panic | Self::Tear => std::panic::panic_any(INJURED),
            Self::Stop => ctx.stop(),
            Self::Hang { ms } => std::thread::sleep(Duration::from_millis(ms)),
            Self::Stuck { ms } | Self::Flood { ms } => {
                ctx.wait(tokio::time::sleep(Duration::from_millis(ms)).into_actor(actor));
            }
        }
    }
}

/// Injures the actor of that name, one of [`names::ALL`].
pub fn injure(directory: &Directory, name: &str, how: Injure) -> Result<(), NotInjured> {
    if !names::ALL.contains(&name) {
        return Err(NotInjured::Unknown { name: name.to_owned(), known: names::ALL.map(str::to_owned).into() });
    }
    if how == Injure::Tear && !WITH_A_MACHINE.contains(&name) {
        return Err(NotInjured::Cannot { name: name.to_owned(), why: "it has no machine whose step could be torn" });
    }
    let victim = recipient::<Injure>(directory, name).filter(Recipient::connected);
    victim.ok_or_else(|| NotInjured::NotThere { name: name.to_owned() })?.do_send(how);
    if let Injure::Flood { .. } = how {
        fill(directory, name);
    }
    Ok(())
}

/// Noise behind the order to take no messages.
fn fill(directory: &Directory, name: &str) {
    macro_rules! fill {
        ($post:expr) => {
            if let Some(post) = $post {
                while post.try_send(Noise).is_ok() {}
            }
        };
    }
    match name {
        names::SUPERVISOR => fill!(directory.supervisor()),
        names::PEER_LINK => fill!(directory.peer_link()),
        names::HEARTBEAT => fill!(directory.heartbeat()),
        names::STATE_ARBITER => fill!(directory.state_arbiter()),
        names::TAG_REPLICATOR => fill!(directory.tag_replicator()),
        names::ALARM_REPLICATOR => fill!(directory.alarm_replicator()),
        _ => fill!(&*directory.license_checker.read()),
    }
}

/// Resolves as soon as the actor of that name answers: at once when it works, else when it was started again. False:
/// there is no such actor, or the question was lost with it.
pub async fn answers(directory: &Directory, name: &str) -> bool {
    let Some(asked) = recipient::<Probe>(directory, name) else { return false };
    asked.send(Probe).await.is_ok()
}

/// The actors that still exist.
pub fn living(directory: &Directory) -> Vec<&'static str> {
    let lives = |name: &&str| recipient::<Probe>(directory, name).is_some_and(|actor| actor.connected());
    names::ALL.into_iter().filter(lives).collect()
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
    AlarmReplicator: Handler<M>,
    LicenseChecker: Handler<M>,
{
    match name {
        names::SUPERVISOR => directory.supervisor().map(Post::recipient),
        names::PEER_LINK => directory.peer_link().map(Post::recipient),
        names::HEARTBEAT => directory.heartbeat().map(Post::recipient),
        names::STATE_ARBITER => directory.state_arbiter().map(Post::recipient),
        names::TAG_REPLICATOR => directory.tag_replicator().map(Post::recipient),
        names::ALARM_REPLICATOR => directory.alarm_replicator().map(Post::recipient),
        names::LICENSE_CHECKER => directory.license_checker.read().as_ref().map(Post::recipient),
        _ => None,
    }
}

macro_rules! can_be_injured {
    ($($actor:ty $(, in the step of $name:expr)?;)*) => {$(
        impl Handler<Injure> for $actor {
            type Result = ();

            fn handle(&mut self, how: Injure, ctx: &mut Self::Context) {
                $(let _step = (how == Injure::Tear).then(|| Step::begin(&self.shared, $name));)?
                how.befall(self, ctx);
            }
        }

        impl Handler<Noise> for $actor {
            type Result = ();

            fn handle(&mut self, _: Noise, _: &mut Self::Context) {}
        }
    )*};
}
can_be_injured! {
    Supervisor;
    PeerLink;
    Heartbeat, in the step of names::HEARTBEAT;
    StateArbiter, in the step of names::STATE_ARBITER;
    TagReplicator, in the step of names::TAG_REPLICATOR;
    AlarmReplicator, in the step of names::ALARM_REPLICATOR;
    LicenseChecker;
}

/// Nobody watches the supervisor's answers; it gives them to whoever waits for its restart.
impl Handler<Probe> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {}
}
