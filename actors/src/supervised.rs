//! An actor that is started again when it panics or stops, at the same address.
//!
//! `actix::Supervisor` restarts an actor that stopped, not one that panicked. Here the context's future is polled inside
//! `catch_unwind`: after a panic the context is restarted and goes on with the same mailbox. Only the message that
//! panicked is lost; timers and streams of the old incarnation are dropped.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::dev::ContextFut;
use actix::{Actor, Addr, Context, Supervised};
use hotpair_core::restart::Restarts;
use tokio::time::Sleep;

use crate::directory::ActorState;
use crate::messages::ActorEnded;
use crate::shared::Shared;

/// Starts an actor in the present `LocalSet` or Arbiter, and starts it again whenever it ends.
pub fn start<A>(shared: &Arc<Shared>, name: &'static str, make: impl FnOnce(&mut Context<A>) -> A) -> Addr<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let mut context = Context::new();
    let actor = make(&mut context);
    let future = context.into_future(actor);
    let address = future.address();
    shared.directory.update(name, |snapshot| snapshot.alive_at = shared.clock.now());
    actix_rt::spawn(KeptAlive { future, name, shared: shared.clone(), restarts: Restarts::default(), pause: None });
    address
}

struct KeptAlive<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    future: ContextFut<A, Context<A>>,
    name: &'static str,
    shared: Arc<Shared>,
    restarts: Restarts,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<A> Future for KeptAlive<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if let Some(pause) = &mut this.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                this.pause = None;
                match catch_unwind(AssertUnwindSafe(|| this.future.restart())) {
                    Ok(true) => this.works_again(),
                    // Nobody holds its address any more: the node is gone.
                    Ok(false) => return Poll::Ready(()),
                    Err(panic) => this.ended(Some(words(&*panic))),
                }
                continue;
            }
            match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.future).poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(())) => {
                    if *this.shared.exited().borrow() {
                        return Poll::Ready(());
                    }
                    this.ended(None);
                }
                Err(panic) => {
                    if this.shared.fatal().borrow().is_some() {
                        return this.ends_with_its_node(&words(&*panic));
                    }
                    this.ended(Some(words(&*panic)));
                }
            }
        }
    }
}

impl<A> KeptAlive<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    /// What it holds is torn: it is not started again. Until the process ends it answers no probe, which tells the peer.
    fn ends_with_its_node(&self, what: &str) -> Poll<()> {
        tracing::error!(actor = self.name, "actor ended: {what}; its node is to end");
        self.shared.directory.update(self.name, |snapshot| {
            snapshot.panics += 1;
            what.clone_into(&mut snapshot.last_error);
            snapshot.state = ActorState::KeepsFailing;
        });
        Poll::Ready(())
    }

    fn ended(&mut self, panic: Option<String>) {
        let verdict = self.restarts.failed(self.shared.clock.now());
        let name = self.name;
        let what = panic.clone().unwrap_or_else(|| "it stopped though nobody asked it to".into());
        tracing::error!(
            actor = name,
            keeps_failing = verdict.keeps_failing,
            "actor ended: {what}; it is started again"
        );
        self.shared.directory.update(name, |snapshot| {
            if panic.is_some() {
                snapshot.panics += 1;
            } else {
                snapshot.stops += 1;
            }
            snapshot.last_error = what;
            snapshot.probed_at = None;
            snapshot.state = if verdict.keeps_failing { ActorState::KeepsFailing } else { ActorState::Restarting };
        });
        if let Some(supervisor) = self.shared.directory.supervisor() {
            supervisor.do_send(ActorEnded { name, panic, keeps_failing: verdict.keeps_failing });
        }
        // A heart that keeps failing must beat often enough still: alone, this node goes on running.
        let pause_ms = verdict.after_ms.min(self.shared.settings.failover_time_ms / 4);
        self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(pause_ms))));
    }

    fn works_again(&mut self) {
        self.shared.directory.update(self.name, |snapshot| {
            if snapshot.state == ActorState::Restarting {
                snapshot.state = ActorState::Working;
            }
        });
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_else(|| "without a message".into()))
}
