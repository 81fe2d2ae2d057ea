#![allow(clippy::unwrap_used)]

use hotpair_core::alarms::{AlarmAction, AlarmRequest, AlarmResult, EventId, Who};
use hotpair_core::replicator::TagInput;
use hotpair_core::types::Mode;
use tokio::sync::oneshot;

use super::*;
use crate::messages::{TagsHappened, TagsLead};
use crate::testing::{shared, within_system};

fn request() -> AlarmRequest {
    let action = AlarmAction::Acknowledge { event: EventId(1), comment: "".into() };
    AlarmRequest { action, who: Who::default(), operation: None }
}

async fn running() -> Arc<Shared> {
    let shared = shared(Mode::Independent, 0);
    crate::supervisor::start(shared.clone()).await;
    while !shared.gate.is_open(shared.clock.now()) {
        tokio::task::yield_now().await;
    }
    shared
}

#[test]
fn what_is_asked_for_while_running_is_being_given_away_waits_for_the_end_of_it() {
    within_system(async {
        let shared = running().await;
        let alarms = shared.directory.alarm_replicator().unwrap();
        // As the arbiter does it: the gate first, its word comes later.
        shared.gate.close();
        let (reply, mut answer) = oneshot::channel();
        alarms.send(Operate { request: request(), reply }).await.unwrap();
        assert!(answer.try_recv().is_err(), "it waits");
        shared.directory.tag_replicator().unwrap().do_send(TagsHappened(TagInput::Quiesce));
        shared
            .directory
            .tag_replicator()
            .unwrap()
            .do_send(TagsLead { input: TagInput::Resume, permit: shared.gate.permit() });
        let unknown = AlarmOutcome::Done { result: AlarmResult::BadEventIdUnknown, replicated: false };
        assert_eq!(answer.await.unwrap(), unknown);
    });
}

#[test]
fn whoever_waits_for_an_answer_when_the_node_ends_is_told() {
    let shared = shared(Mode::Independent, 0);
    let (reply, answer) = oneshot::channel();
    let lent = shared.clone();
    let thread = std::thread::spawn(move || {
        crate::supervisor::run(lent.clone(), || {
            while !lent.gate.is_open(lent.clock.now()) {
                std::thread::yield_now();
            }
            lent.gate.close();
            lent.directory.alarm_replicator().unwrap().do_send(Operate { request: request(), reply });
            lent.stop();
        });
    });
    thread.join().unwrap();
    within_system(async {
        assert!(answer.await.is_err(), "it is dropped, not kept for ever");
    });
}
