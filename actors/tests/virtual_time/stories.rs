//! What a pair does, to the millisecond.

use hotpair_actors::directory::{ActorState, names};
use hotpair_actors::injure::{Injure, NotInjured, answers, injure, living};
use hotpair_actors::messages::{ClearFault, TagsLead};
use hotpair_actors::shared::Settings;
use hotpair_core::replicator::TagInput;
use hotpair_core::types::{RecoveryMode, Status};
use hotpair_core::value::Value;

use crate::pair::replicated;
use crate::stage::{Backup, Master, Stage};

/// Away from any round number, so that no timer is due by chance.
const A_WHILE_MS: u64 = 12_345;

fn default(_: &mut Settings) {}

fn automatic(settings: &mut Settings) {
    settings.recovery = RecoveryMode::Automatic;
}

/// Hangs are found before silence leads to a takeover.
fn patient(settings: &mut Settings) {
    settings.failover_time_ms = 10_000;
}

fn runs(mode: hotpair_core::types::Mode) -> impl Fn(&Stage) -> bool {
    move |stage| stage.status(mode) == Status::Running
}

#[tokio::test(start_paused = true)]
async fn a_pair_starts_without_waiting_for_any_timer() {
    let mut stage = Stage::ready(default).await;
    assert_eq!(stage.now(), 0);
    assert!(replicated(&stage.write(Backup, 3, 8).await));
    assert_eq!((stage.read(Master, 3), stage.read(Backup, 3)), (Value::Int64(8), Value::Int64(8)));
    assert_eq!(stage.now(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_is_taken_over_at_once() {
    let mut stage = Stage::ready(default).await;
    stage.pass(A_WHILE_MS).await;
    stage.kill(Master);
    assert_eq!(stage.until("taken over", runs(Backup)).await, 0);
    // The Master proves it likewise: it asks the Backup's HTTP port.
    stage.start(Master);
    stage.until_ready(Backup).await;
    let switch = stage.press_switch(Backup);
    stage.run(switch).await.unwrap().unwrap();
    stage.until_ready(Master).await;
    stage.kill(Backup);
    let gone = |stage: &Stage| stage.view(Master).peer.is_some_and(|peer| peer.status == Status::Faulted);
    assert_eq!(stage.until("seen", gone).await, 0);
}

#[tokio::test(start_paused = true)]
async fn silence_is_taken_over_after_exactly_the_failover_time() {
    for moment in [0, 45, 99] {
        let mut stage = Stage::ready(default).await;
        stage.pass(A_WHILE_MS + moment).await;
        let since_last_sign = stage.node(Backup).last_seen_ms();
        stage.power_off(Master);
        let after = stage.until("taken over", runs(Backup)).await;
        assert_eq!(since_last_sign + after, 1000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cable_that_is_cut_for_less_than_the_failover_time_moves_nothing() {
    let mut stage = Stage::ready(default).await;
    for ms in [1, 250, 500, 899] {
        stage.pass(A_WHILE_MS).await;
        stage.cable.cut();
        let written = stage.send_write(Master, 3, ms, None);
        stage.pass(ms as u64).await;
        stage.cable.heal();
        let outcome = stage.run(written).await.unwrap();
        // A peer that misses its pings is no longer waited for.
        assert!(replicated(&outcome) || ms > 500, "{ms} ms: {outcome:?}");
        stage.until_ready(Master).await;
        let began =
            [Master, Backup].map(|node| stage.node(node).tenures_begun(hotpair_core::protocol::Tenure::Failover));
        assert_eq!(began, [0, 0], "{ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_cable_makes_both_run_and_one_exchange_after_it_is_whole_one_stays() {
    let mut stage = Stage::new(automatic);
    stage.cable.set_delay_ms(5);
    stage.start(Master);
    stage.start(Backup);
    stage.until_ready(Master).await;
    stage.cable.cut();
    stage.until("both run", |stage| runs(Master)(stage) && runs(Backup)(stage)).await;
    stage.pass(60_000).await;
    assert!(!replicated(&stage.write(Master, 1, 11).await) && !replicated(&stage.write(Backup, 2, 22).await));
    stage.cable.heal();
    // Old connections first, then a new one with its greetings: less than the pause of a Backup and three exchanges.
    let after = stage.until("one stays", |stage| !runs(Backup)(stage)).await;
    println!("one stays after {after} ms");
    assert!(runs(Master)(&stage) && after <= 200, "{after} ms: {}", stage.tell());
    stage.until_ready(Master).await;
    for node in [Master, Backup] {
        assert_eq!((stage.read(node, 1), stage.read(node, 2)), (Value::Int64(11), Value::Int64(22)), "{node:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_master_that_comes_back_runs_again_once_it_has_everything() {
    let mut stage = Stage::ready(automatic).await;
    stage.kill(Master);
    stage.until("taken over", runs(Backup)).await;
    assert!(!replicated(&stage.write(Backup, 1, 77).await));
    stage.pass(A_WHILE_MS).await;
    stage.start(Master);
    let after = stage.until("recovered", runs(Master)).await;
    assert_eq!(stage.read(Master, 1), Value::Int64(77));
    // It is met within 100 ms. Its first request may come before its word that it is in sync: a second later it asks again.
    assert!(after <= 1100, "{after} ms: {}", stage.tell());
    stage.until_ready(Master).await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_fails_now_and_then_is_forgiven_each_time_within_8_ms() {
    for name in names::ALL {
        let mut stage = Stage::ready(default).await;
        stage.pass(A_WHILE_MS).await;
        let events = [Master, Backup].map(|node| stage.node(node).events(1000).len());
        for (n, how) in [Injure::Panic, Injure::Stop].into_iter().cycle().take(20).enumerate() {
            stage.injure(Master, name, how);
            let (shared, began) = (stage.node(Master).clone(), stage.now());
            assert!(stage.run(answers(&shared.directory, name)).await, "{name}");
            let after = stage.now() - began;
            assert!(after <= 8, "{name}: the {n}th time after {after} ms");
            // Five in ten seconds.
            stage.pass(2001).await;
        }
        let snapshot = stage.snapshot(Master, name);
        assert_eq!((snapshot.panics, snapshot.stops, snapshot.hangs), (10, 10, 0), "{name}");
        let after = [Master, Backup].map(|node| stage.node(node).events(1000).len());
        assert_eq!(after, events, "{name}: {}", stage.tell());
        stage.until_ready(Master).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_keeps_failing_makes_the_node_faulted_and_the_other_one_run() {
    for name in names::ALL {
        let mut stage = Stage::ready(default).await;
        stage.pass(A_WHILE_MS).await;
        for n in 1..=6 {
            assert!(runs(Master)(&stage), "{name} after {n} failures");
            stage.injure(Master, name, Injure::Panic);
            let (shared, began) = (stage.node(Master).clone(), stage.now());
            // Of the sixth nobody waits for the restart: the node gives up before.
            if n < 6 {
                assert!(stage.run(answers(&shared.directory, name)).await, "{name}");
                assert!(stage.now() - began <= 8, "{name}");
            }
        }
        let faulted = |stage: &Stage| stage.status(Master) == Status::Faulted && runs(Backup)(stage);
        let after = stage.until("Faulted", faulted).await;
        println!("{name}: the other node runs {after} ms after the sixth failure");
        // The arbiter and the replicators are needed for it, and come back after a quarter of the failover time.
        assert!(after <= 300, "{name}: {after} ms");
        let view = stage.view(Master);
        assert!(view.reason.contains(name) || view.faults.iter().any(|fault| fault.contains(name)), "{view:?}");
        assert_eq!(stage.snapshot(Master, name).state, ActorState::KeepsFailing, "{name}");
        assert_eq!(stage.snapshot(Master, name).panics, 6, "{name}");
        assert_eq!(stage.fatal(Master), None, "{name}");
        assert!(!stage.view(Backup).failover_ready, "{name}");

        // The operator clears it: it takes part again.
        stage.pass(2000).await;
        let supervisor = stage.node(Master).directory.supervisor().unwrap().clone();
        stage.run(supervisor.send(ClearFault)).await.unwrap();
        stage.until_ready(Backup).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_alone_whose_actor_keeps_failing_goes_on_and_says_so() {
    for name in names::ALL {
        let mut stage = Stage::ready(default).await;
        stage.kill(Backup);
        stage.until("alone", |stage| stage.is_alone(Master)).await;
        for _ in 0..7 {
            stage.injure(Master, name, Injure::Panic);
            stage.pass(1100).await;
        }
        assert!(runs(Master)(&stage), "{name}: {}", stage.tell());
        let faults = stage.view(Master).faults;
        assert!(faults.iter().any(|fault| fault.contains(name)), "{name}: {faults:?}");
        assert!(!replicated(&stage.write(Master, 1, 1).await), "{name}");
    }
}

/// Each hung essential actor is found when its probe is two seconds old; probes go out ten times a second.
#[tokio::test(start_paused = true)]
async fn a_hang_is_found_after_the_time_of_the_probe_and_the_other_node_runs() {
    for name in names::ESSENTIAL.into_iter().chain([names::SUPERVISOR]) {
        let mut stage = Stage::ready(patient).await;
        stage.pass(A_WHILE_MS).await;
        stage.injure(Master, name, Injure::Stuck { ms: 3_600_000 });
        let found = stage.until("found", |stage| stage.snapshot(Master, name).hangs == 1).await;
        assert!((2000..=2100).contains(&found), "{name}: found after {found} ms");
        let ended = stage.until("ended", |stage| stage.fatal(Master).is_some()).await;
        assert_eq!(ended, 0, "{name}: nothing is waited for");
        assert_eq!(stage.fatal(Master).unwrap(), format!("the actor {name} hangs"));
        stage.kill(Master);
        assert_eq!(stage.until("taken over", runs(Backup)).await, 0, "{name}");
    }
}

/// A machine that was suspended wakes all at once; whoever wakes first must not take the others for hung.
#[tokio::test(start_paused = true)]
async fn a_supervisor_that_stood_still_itself_blames_nobody() {
    let mut stage = Stage::ready(patient).await;
    stage.pass(A_WHILE_MS).await;
    // All wake together: the supervisor a moment before the others.
    for name in names::ESSENTIAL.into_iter().chain([names::LICENSE_CHECKER]) {
        stage.injure(Master, name, Injure::Stuck { ms: 3001 });
    }
    let asked = |stage: &Stage| stage.snapshot(Master, names::TAG_REPLICATOR).probed_at.is_some();
    stage.until("asked", asked).await;
    stage.injure(Master, names::SUPERVISOR, Injure::Stuck { ms: 2900 });
    stage.pass(10_000).await;
    for name in names::ALL {
        assert_eq!(stage.snapshot(Master, name).hangs, 0, "{name}");
    }
    assert_eq!(stage.fatal(Master), None);
    assert!(replicated(&stage.write(Master, 0, 1).await));
}

/// More than a mailbox holds, at once, at each node: memory is bounded by what clients keep, and each is answered.
#[tokio::test(start_paused = true)]
async fn writes_beyond_a_full_mailbox_are_all_answered() {
    for node in [Master, Backup] {
        let mut stage = Stage::ready(default).await;
        stage.injure(node, names::TAG_REPLICATOR, Injure::Flood { ms: 400 });
        stage.pass(1).await;
        let answers: Vec<_> = (0..5000).map(|n| stage.send_write(node, 1, n, None)).collect();
        let (mut done, mut refused) = (0, 0);
        for answer in answers {
            match stage.run(answer).await.unwrap() {
                hotpair_core::protocol::WriteOutcome::Done { .. } => done += 1,
                hotpair_core::protocol::WriteOutcome::Refused(_) => refused += 1,
            }
        }
        println!("{node:?}: {done} done, {refused} refused, all after {} ms", stage.now());
        assert!(stage.now() <= 400 + 3000, "in time: {} ms", stage.now());
        assert!(done > 0);
        stage.until_ready(Master).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_leaves_nothing_behind() {
    let mut stage = Stage::ready(default).await;
    assert_eq!(living(&stage.node(Master).directory), names::ALL);
    // This looks for actors that still live and for whoever still holds the node.
    stage.stop(Master).await;
    assert_eq!(stage.until("taken over", runs(Backup)).await, 0);
    assert_eq!(stage.view(Backup).peer.unwrap().status, Status::Disconnected);
    stage.stop(Backup).await;
    assert_eq!(stage.now(), 0, "nothing was waited for");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_injured_is_told_with_the_names_of_who_can() {
    let mut stage = Stage::ready(default).await;
    let directory = |stage: &Stage| stage.node(Master).clone();
    let error = injure(&directory(&stage).directory, "Tagreplicator", Injure::Panic).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this node has no part 'Tagreplicator' that can be made to fail; it has: Supervisor, PeerLink, Heartbeat, \
         StateArbiter, TagReplicator, AlarmReplicator, LicenseChecker"
    );
    let shared = directory(&stage);
    stage.stop_but_keep(Master, &shared).await;
    let error = injure(&shared.directory, names::HEARTBEAT, Injure::Panic).unwrap_err();
    assert_eq!(error, NotInjured::NotThere { name: names::HEARTBEAT.into() });
}

/// The same story is the same each time, down to the millisecond and the word.
#[tokio::test(start_paused = true)]
async fn a_story_told_twice_is_the_same() {
    async fn story() -> String {
        let mut stage = Stage::new(automatic);
        stage.cable.set_delay_ms(3);
        stage.start(Master);
        stage.start(Backup);
        stage.until_ready(Master).await;
        for name in names::ALL {
            stage.injure(Master, name, Injure::Panic);
            stage.injure(Backup, name, Injure::Stop);
            stage.pass(777).await;
        }
        stage.cable.cut();
        stage.pass(5000).await;
        stage.cable.heal();
        stage.pass(500).await;
        stage.cable.reset();
        stage.pass(500).await;
        stage.kill(Master);
        stage.pass(3000).await;
        stage.start(Master);
        stage.until_ready(Master).await;
        stage.tell()
    }
    let first = story().await;
    assert!(first.contains("DualRunning") && first.contains("Recovery"), "{first}");
    assert_eq!(first, story().await);
}

/// The arbiter's word to go on leading lies in a mailbox; meanwhile it takes it back.
#[tokio::test(start_paused = true)]
async fn a_word_that_was_taken_back_on_its_way_lets_nobody_work() {
    let mut stage = Stage::ready(default).await;
    let node = stage.node(Master).clone();
    node.gate.close();
    let resume = TagsLead { input: TagInput::Resume, permit: node.gate.permit() };
    stage.injure(Master, names::TAG_REPLICATOR, Injure::Stuck { ms: 50 });
    node.directory.tag_replicator().unwrap().do_send(resume);
    node.gate.close();
    stage.run(answers(&node.directory, names::TAG_REPLICATOR)).await;
    assert!(!node.gate.is_open(node.clock.now()));
    drop(node);
    let published = stage.send_publish(Master, 40, 1);
    assert!(!stage.run(published).await.unwrap(), "a source must not feed");
}
