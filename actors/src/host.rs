//! The machine that a node works on: its network, its clock, its threads. A test gives a node others.

use std::sync::Arc;

use actix::{Actor, Context, Supervised};
use actix_rt::Arbiter;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::connection::{Network, Tcp};
use crate::post::Post;
use crate::shared::Shared;
use crate::supervised;

/// What a node finds around it.
pub struct Host {
    /// How it reaches its peer.
    pub network: Arc<dyn Network>,
    /// Its time.
    pub clock: Clock,
    /// Where its actors work.
    pub threads: Threads,
}

/// Where the actors of a node work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Control, data, supervisor and leaf have a thread each. Nothing on one of them delays what is on another.
    Many,
    /// All work on the thread, in the `LocalSet`, where the node is started: for tests on paused time.
    One,
}

impl Host {
    /// The machine of this process. `listener`: the Master's door, not blocking.
    pub fn of_process(listener: Option<std::net::TcpListener>) -> Self {
        Self { network: Tcp::new(listener), clock: Clock::start(), threads: Threads::Many }
    }
}

/// Where some actors work together.
pub(crate) enum Place {
    Thread(Arbiter),
    Here,
}

impl Place {
    pub(crate) fn new(threads: Threads) -> Self {
        match threads {
            Threads::Many => Self::Thread(Arbiter::new()),
            Threads::One => Self::Here,
        }
    }

    /// Starts an actor there. None: the place is gone.
    pub(crate) async fn start<A>(
        &self,
        shared: &Arc<Shared>,
        name: &'static str,
        make: impl FnOnce(Arc<Shared>) -> A + Send + 'static,
    ) -> Option<Post<A>>
    where
        A: Actor<Context = Context<A>> + Supervised,
    {
        let (tell, told) = oneshot::channel();
        let shared = shared.clone();
        self.run(move || {
            let lent = shared.clone();
            let _ = tell.send(supervised::start(&shared, name, |_| make(lent)));
        });
        told.await.ok().map(Post::new)
    }

    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) {
        match self {
            Self::Thread(arbiter) => _ = arbiter.spawn_fn(work),
            Self::Here => work(),
        }
    }

    /// Ends the thread; what hangs keeps it until it wakes.
    pub(crate) fn stop(self) {
        if let Self::Thread(arbiter) = self {
            arbiter.stop();
        }
    }
}
