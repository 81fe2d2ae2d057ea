//! A disk that does not answer at all: neither with success nor with an error.

use hotpair_core::protocol::{AlarmOutcome, WriteOutcome, WriteRefusal};
use hotpair_core::types::{Mode, Status};
use hotpair_core::value::Value;

use crate::pair::replicated;
use crate::stage::{Backup, Master, Stage};

/// It has failed after five seconds; the supervisor looks ten times a second.
const FAILED_AFTER: std::ops::RangeInclusive<u64> = 5000..=5100;
const ALARMING: i64 = 5000;

async fn with_an_alarm() -> Stage {
    let mut stage = Stage::ready(|_| {}).await;
    assert!(replicated(&stage.write(Master, 30, ALARMING).await));
    stage.until("raised", |stage| stage.occurrence(Master, 30).is_some()).await;
    stage.until_ready(Master).await;
    stage
}

fn shows_it(mode: Mode, what: &str) -> impl Fn(&Stage) -> bool {
    move |stage| {
        stage.node(mode).disk.trouble().or(stage.node(mode).journal.trouble()).is_some_and(|t| t.contains(what))
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_disk_that_hangs_is_answered_and_the_other_node_runs() {
    let mut stage = with_an_alarm().await;
    stage.disk(Master).hang();
    // Retained: it must be on the disk before the answer. The other one is not.
    let (kept, plain) = (stage.send_write(Master, 2, 22, None), stage.send_write(Master, 1, 11, None));
    assert!(replicated(&stage.run(plain).await.unwrap()));
    let began = stage.now();
    let outcome = stage.run(kept).await.unwrap();
    let waited = stage.now() - began;
    assert!(FAILED_AFTER.contains(&waited), "{waited} ms");
    assert!(
        matches!(&outcome, WriteOutcome::Refused(WriteRefusal::Disk(why)) if why.contains("The disk of the data folder does not answer")),
        "{outcome:?}"
    );
    assert!(shows_it(Master, "does not answer")(&stage));
    stage.until("handed over", |stage| stage.status(Backup) == Status::Running).await;
    stage.until("stands by", |stage| stage.status(Master) == Status::Standby).await;
    // What was refused is kept all the same, as its refusal says.
    for node in [Master, Backup] {
        assert_eq!(stage.read(node, 2), Value::Int64(22), "{node:?}");
    }
    // The pair works on the other disk; this one is no failover target.
    assert!(!stage.view(Backup).failover_ready);
    assert!(matches!(stage.write(Backup, 4, 44).await, WriteOutcome::Done { replicated: false, .. }));

    stage.disk(Master).wake();
    stage.until_ready(Backup).await;
    assert!(!shows_it(Master, "")(&stage));
    assert!(replicated(&stage.write(Backup, 2, 23).await));
    // Found again after a power cut of the Master: nothing that came late is older than what came after it.
    let kept = stage.disk(Master).disk.retained();
    let value = |path: &str| kept.iter().find(|(of, ..)| **of == *path).map(|(_, sample, _)| sample.value.clone());
    assert_eq!((value("Plant/Tag2"), value("Plant/Tag4")), (Some(Value::Int64(23)), Some(Value::Int64(44))));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_waits_for_a_hung_journal_no_longer() {
    let mut stage = with_an_alarm().await;
    stage.journal(Master).hang();
    let event = stage.occurrence(Master, 30).unwrap();
    let (answer, began) = (stage.send_acknowledgement(Master, event, "ack-1"), stage.now());
    let outcome = stage.run(answer).await.unwrap();
    let waited = stage.now() - began;
    assert!(FAILED_AFTER.contains(&waited), "{waited} ms");
    assert!(matches!(&outcome, AlarmOutcome::Refused(WriteRefusal::Disk(_))), "{outcome:?}");
    assert!(shows_it(Master, "journal does not answer")(&stage));
    stage.until("handed over", |stage| stage.status(Backup) == Status::Running).await;
    stage.pass(30_000).await;
    stage.journal(Master).wake();
    stage.until_ready(Backup).await;
    // Given to the disk several times, and on both disks once.
    for node in [Master, Backup] {
        let entries = stage.journal(node).disk.entries();
        let made = entries.iter().filter(|entry| entry.operation.as_deref() == Some("ack-1")).count();
        assert_eq!(made, 1, "{node:?}: {entries:?}");
    }
    // Under its id it has its first result.
    let again = stage.send_acknowledgement(Backup, event, "ack-1");
    let outcome = stage.run(again).await.unwrap();
    assert!(matches!(outcome, AlarmOutcome::Done { .. }), "{outcome:?}");
}

/// The Standby's disk: the pair says that it is not ready, and the Running node answers as without a peer.
#[tokio::test(start_paused = true)]
async fn a_standby_whose_disk_hangs_is_no_failover_target() {
    let mut stage = with_an_alarm().await;
    stage.disk(Backup).hang();
    let (answer, began) = (stage.send_write(Master, 2, 22, None), stage.now());
    let outcome = stage.run(answer).await.unwrap();
    assert!(matches!(outcome, WriteOutcome::Done { replicated: false, .. }), "{outcome:?}");
    assert!(stage.now() - began <= 3000, "the time of a replication: {} ms", stage.now() - began);
    stage.until("shown", shows_it(Backup, "does not answer")).await;
    stage.until("not ready", |stage| !stage.view(Master).failover_ready).await;
    stage.pass(60_000).await;
    assert_eq!(stage.status(Master), Status::Running);
    stage.disk(Backup).wake();
    stage.until_ready(Master).await;
}

/// Nobody else can run: it goes on, and says what it cannot do.
#[tokio::test(start_paused = true)]
async fn a_node_alone_whose_disk_hangs_goes_on() {
    let mut stage = with_an_alarm().await;
    stage.kill(Backup);
    stage.until("alone", |stage| stage.is_alone(Master)).await;
    stage.disk(Master).hang();
    for round in 0..20 {
        let (kept, plain) = (stage.send_write(Master, 2, round, None), stage.send_write(Master, 1, round, None));
        let began = stage.now();
        assert!(matches!(stage.run(plain).await.unwrap(), WriteOutcome::Done { .. }));
        let outcome = stage.run(kept).await.unwrap();
        assert!(matches!(outcome, WriteOutcome::Refused(WriteRefusal::Disk(_))), "{outcome:?}");
        assert!(stage.now() - began <= *FAILED_AFTER.end());
        stage.pass(700).await;
    }
    assert_eq!(stage.status(Master), Status::Running);
    stage.disk(Master).wake();
    stage.until("works again", |stage| !shows_it(Master, "")(stage)).await;
    stage.pass(2000).await;
    assert!(matches!(stage.write(Master, 2, 99).await, WriteOutcome::Done { .. }));
}
