#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Supervised, WrapFuture};
use hotpair_core::types::{Mode, Status};
use tokio::sync::mpsc;

use super::start;
use crate::directory::{ActorState, Snapshot, names};
use crate::injure;
use crate::shared::Shared;
use crate::supervisor;
use crate::testing::{shared, within_system};

const NAME: &str = "Wretch";

/// How the actor is to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Handle,
    Started,
    Restarting,
    RunLater,
    SpawnedFuture,
    Stop,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Meet(Fate);

#[derive(Message)]
#[rtype(result = "u32")]
struct Count;

/// It says what it does: `s`tarted, `r`estarting, `t`imer of incarnation n.
struct Wretch {
    tell: mpsc::UnboundedSender<String>,
    incarnation: u32,
    counted: u32,
    /// The next `started` or `restarting` panics.
    doomed: Option<Fate>,
}

impl Actor for Wretch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.incarnation += 1;
        let incarnation = self.incarnation;
        let tell = self.tell.clone();
        ctx.run_later(Duration::from_millis(50), move |_, _| {
            let _ = tell.send(format!("timer of {incarnation}"));
        });
        assert!(self.doomed.take_if(|fate| *fate == Fate::Started).is_none(), "in started");
        let _ = self.tell.send(format!("started {incarnation}"));
    }
}

impl Supervised for Wretch {
    fn restarting(&mut self, _: &mut Self::Context) {
        assert!(self.doomed.take_if(|fate| *fate == Fate::Restarting).is_none(), "in restarting");
    }
}

impl Handler<Meet> for Wretch {
    type Result = ();

    fn handle(&mut self, Meet(fate): Meet, ctx: &mut Self::Context) {
        match fate {
            Fate::Handle => panic!("in handle"),
            Fate::Started | Fate::Restarting => {
                self.doomed = Some(fate);
                panic!("in handle");
            }
            Fate::RunLater => {
                ctx.run_later(Duration::ZERO, |_, _| panic!("in a closure"));
            }
            Fate::SpawnedFuture => {
                ctx.spawn(async { panic!("in a future") }.into_actor(self));
            }
            Fate::Stop => ctx.stop(),
        }
    }
}

impl Handler<Count> for Wretch {
    type Result = u32;

    fn handle(&mut self, _: Count, _: &mut Self::Context) -> u32 {
        self.counted += 1;
        self.counted
    }
}

struct Scene {
    shared: Arc<Shared>,
    wretch: Addr<Wretch>,
    told: mpsc::UnboundedReceiver<String>,
}

impl Scene {
    async fn begin() -> Self {
        Self::of(shared(Mode::Independent, 0)).await
    }

    async fn of(shared: Arc<Shared>) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let wretch = start(&shared, NAME, |_| Wretch { tell, incarnation: 0, counted: 0, doomed: None });
        let mut scene = Self { shared, wretch, told };
        assert_eq!(scene.told().await, "started 1");
        scene
    }

    async fn told(&mut self) -> String {
        tokio::time::timeout(Duration::from_secs(5), self.told.recv()).await.unwrap().unwrap()
    }

    fn snapshot(&self) -> Snapshot {
        self.shared.directory.snapshot(NAME)
    }
}

#[test]
fn an_actor_that_panics_anywhere_is_started_again_at_the_same_address() {
    let fates = [
        (Fate::Handle, 1, 2, "in handle"),
        (Fate::Started, 2, 3, "in started"),
        (Fate::Restarting, 2, 2, "in restarting"),
        (Fate::RunLater, 1, 2, "in a closure"),
        (Fate::SpawnedFuture, 1, 2, "in a future"),
    ];
    for (fate, panics, incarnation, words) in fates {
        within_system(async move {
            let mut scene = Scene::begin().await;
            scene.wretch.do_send(Meet(fate));
            assert_eq!(scene.told().await, format!("started {incarnation}"), "{fate:?}");
            let snapshot = scene.snapshot();
            assert_eq!((snapshot.panics, snapshot.stops), (panics, 0), "{fate:?}");
            assert_eq!((snapshot.state, snapshot.last_error), (ActorState::Working, format!("panic: {words}")));
            assert_eq!(scene.wretch.send(Count).await.unwrap(), 1, "{fate:?}");
            // Of the timers only the last incarnation's is left.
            assert_eq!(scene.told().await, format!("timer of {incarnation}"), "{fate:?}");
            assert!(scene.told.is_empty());
        });
    }
}

#[test]
fn an_actor_that_stops_is_started_again() {
    within_system(async {
        let mut scene = Scene::begin().await;
        scene.wretch.do_send(Meet(Fate::Stop));
        assert_eq!(scene.wretch.send(Count).await.unwrap(), 1);
        assert_eq!(scene.told().await, "started 2");
        let snapshot = scene.snapshot();
        assert_eq!((snapshot.panics, snapshot.stops, snapshot.state), (0, 1, ActorState::Working));
        assert_eq!(scene.told().await, "timer of 2");
    });
}

#[test]
fn messages_in_the_queue_survive_and_only_the_panicking_one_is_lost() {
    for fate in [Fate::Handle, Fate::Started, Fate::Restarting, Fate::Stop] {
        within_system(async move {
            let scene = Scene::begin().await;
            let mut counts = Vec::new();
            for n in 0..200 {
                if n == 100 {
                    let lost = scene.wretch.send(Meet(fate));
                    actix_rt::spawn(async move { assert_eq!(lost.await.is_ok(), fate == Fate::Stop) });
                }
                // Sent at once, answered in order.
                let sent = scene.wretch.send(Count);
                counts.push(actix_rt::spawn(async move { sent.await.unwrap() }));
            }
            for (n, count) in counts.into_iter().enumerate() {
                assert_eq!(count.await.unwrap(), n as u32 + 1, "{fate:?}");
            }
        });
    }
}

#[test]
fn six_failures_in_ten_seconds_are_a_fault_of_the_node_until_it_is_cleared() {
    within_system(async {
        let shared = shared(Mode::Independent, 0);
        supervisor::start(shared.clone()).await;
        let mut scene = Scene::of(shared.clone()).await;
        for n in 2..=6 {
            scene.wretch.do_send(Meet(Fate::Handle));
            assert_eq!(scene.told().await, format!("started {n}"));
            assert_eq!(scene.snapshot().state, ActorState::Working);
        }
        let mut changes = shared.changes();
        scene.wretch.do_send(Meet(Fate::Handle));
        let faults = |shared: &Shared| shared.arbiter.lock().report(shared.clock.now()).faults;
        while faults(&shared).is_empty() {
            tokio::select! {
                more = changes.changed() => more.unwrap(),
                // The fault itself changes nothing that is shown of a node that runs alone.
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
        assert_eq!(faults(&shared), ["the actor Wretch keeps failing (panic: in handle)"]);
        assert_eq!(scene.snapshot().state, ActorState::KeepsFailing);
        assert_eq!(shared.view().status, Status::Running, "nobody else can run");
        // It is started again all the same, a second later.
        while scene.told().await != "started 7" {}
        assert_eq!((scene.snapshot().state, scene.snapshot().panics), (ActorState::KeepsFailing, 6));

        shared.directory.supervisor().unwrap().send(crate::messages::ClearFault).await.unwrap();
        assert!(injure::answers(&shared.directory, names::STATE_ARBITER).await);
        assert_eq!(scene.snapshot().state, ActorState::Working);
        assert!(faults(&shared).is_empty());
    });
}

#[test]
fn after_the_node_exited_nothing_is_started_again() {
    within_system(async {
        let mut scene = Scene::begin().await;
        scene.shared.exit();
        scene.wretch.do_send(Meet(Fate::Stop));
        assert!(scene.wretch.send(Count).await.is_err());
        // The actor is dropped, and with it its end of the channel.
        while let Some(told) = scene.told.recv().await {
            assert_ne!(told, "started 2");
        }
        assert_eq!(scene.snapshot().stops, 0);
    });
}
