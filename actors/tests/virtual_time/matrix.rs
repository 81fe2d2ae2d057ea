//! Each actor, each fault, each situation: what the contract says under "Local faults".

use std::fmt;

use hotpair_actors::directory::{ActorState, names};
use hotpair_actors::injure::{Injure, WITH_A_MACHINE, answers};
use hotpair_actors::shared::Settings;
use hotpair_core::alarms::AlarmResult;
use hotpair_core::protocol::{AlarmOutcome, Tenure, WriteOutcome};
use hotpair_core::types::{Mode, Status, SyncPhase};
use hotpair_core::value::Value;
use tokio::sync::oneshot;

use crate::pair::{self, replicated};
use crate::stage::{Backup, Master, Stage};

/// What a situation's faults hit.
const VICTIMS: [Mode; 2] = [Master, Backup];
/// Beyond the limit of its alarm.
const ALARMING: i64 = 5000;
/// A hang is found after so long, and the node has handed over or given up a while later.
const HANG_AFTER_MS: u64 = 2000;
/// Longer than anybody waits for it.
const FOR_EVER_MS: u64 = 3_600_000;
/// How long a mailbox stays full.
const FULL_FOR_MS: u64 = 500;
/// The smallest mailbox is full with so many messages, one place being the order's to take none; the greatest with some
/// more than 4096, which it was sent anyway.
const MAILBOX: u64 = 15;
const MAILBOX_AT_MOST: u64 = 4200;
/// The contract's.
const REPLACED_WITHIN_MS: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Panic,
    /// In the middle of a step of its machine.
    Tear,
    Stop,
    Hang,
    FullMailbox,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    Idle,
    /// The other node joins.
    FullSync(Moment),
    /// The victim joins.
    Joining(Moment),
    LiveLoad,
    /// So many milliseconds after Switch was pressed.
    SwitchInProgress(u64),
    PeerGone,
}

/// Of a full sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Nothing is asked for yet.
    Greeted,
    /// Everything is on its way.
    Filling,
    /// It is there, and it is not proven to be equal.
    Comparing,
}

use Situation::{FullSync, Idle, Joining, LiveLoad, PeerGone, SwitchInProgress};

const FAULTS: [Fault; 5] = [Fault::Panic, Fault::Tear, Fault::Stop, Fault::Hang, Fault::FullMailbox];
/// What is sent takes 5 ms each way: a sync and a switch are several exchanges.
const DELAY_MS: u64 = 5;
const SITUATIONS: [Situation; 13] = [
    Idle,
    FullSync(Moment::Greeted),
    FullSync(Moment::Filling),
    FullSync(Moment::Comparing),
    Joining(Moment::Greeted),
    Joining(Moment::Filling),
    Joining(Moment::Comparing),
    LiveLoad,
    SwitchInProgress(0),
    SwitchInProgress(4),
    SwitchInProgress(7),
    SwitchInProgress(12),
    PeerGone,
];
/// Clients are answered within this time: a switch and a replication that fail one after the other take no longer.
const ANSWERED_WITHIN_MS: u64 = 10_000;

impl Fault {
    fn injury(self) -> Injure {
        match self {
            Self::Panic => Injure::Panic,
            Self::Tear => Injure::Tear,
            Self::Stop => Injure::Stop,
            Self::Hang => Injure::Stuck { ms: FOR_EVER_MS },
            Self::FullMailbox => Injure::Flood { ms: FULL_FOR_MS },
        }
    }
}

type Flag = std::cell::Cell<bool>;

/// One line of the table.
struct Cell {
    actor: &'static str,
    fault: Fault,
    situation: Situation,
    victim: Mode,
    /// The node ended itself over it.
    ended: Flag,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { actor, fault, situation, victim, .. } = self;
        let (fault, situation, victim) = (format!("{fault:?}"), format!("{situation:?}"), format!("{victim:?}"));
        write!(f, "{actor:16} {fault:12} {situation:20} {victim:7}")
    }
}

/// No failover by silence before a hang is found: what is looked at here is the supervisor's work.
fn calm(settings: &mut Settings) {
    settings.failover_time_ms = 10_000;
    settings.hang_after_ms = HANG_AFTER_MS;
}

/// What the operators were told.
#[derive(Default)]
struct Told {
    writes: Vec<(usize, i64, oneshot::Receiver<WriteOutcome>)>,
    acknowledgement: Option<oneshot::Receiver<AlarmOutcome>>,
    switch: Option<oneshot::Receiver<Result<(), String>>>,
}

/// What must not be lost.
#[derive(Default)]
struct Kept {
    /// Writes that were answered as done.
    done: usize,
    /// Of them those that must outlive the fault: tag and value.
    writes: Vec<(usize, i64)>,
    acknowledged: bool,
}

impl Cell {
    /// The scene at the moment of the fault.
    async fn set(&self) -> (Stage, Told) {
        let mut told = Told::default();
        let mut stage = Stage::new(calm);
        stage.cable.set_delay_ms(DELAY_MS);
        stage.start(Master);
        stage.start(Backup);
        stage.until_ready(Master).await;
        // An occurrence to acknowledge, known to both.
        let _ = stage.write(Master, 30, ALARMING).await;
        stage.until("raised at both", |s| VICTIMS.iter().all(|node| s.occurrence(*node, 30).is_some())).await;
        stage.pass(1000).await;
        match self.situation {
            Idle => {}
            FullSync(moment) => {
                join(&mut stage, other(self.victim), moment).await;
            }
            Joining(moment) => {
                join(&mut stage, self.victim, moment).await;
            }
            LiveLoad => {
                self.load(&stage, 0..10, &mut told);
                // Under way: some of it is at the other node already.
                stage.pass(DELAY_MS + 1).await;
                self.load(&stage, 10..20, &mut told);
            }
            SwitchInProgress(after_ms) => {
                told.switch = Some(stage.press_switch(Master));
                stage.pass(after_ms).await;
                self.load(&stage, 0..5, &mut told);
            }
            PeerGone => {
                stage.kill(other(self.victim));
                stage.until("alone", |s| s.is_alone(self.victim)).await;
            }
        }
        if let Some(event) = stage.occurrence(self.victim, 30) {
            told.acknowledgement = Some(stage.send_acknowledgement(self.victim, event, "ack-1"));
        }
        (stage, told)
    }

    /// Clients write at the node that the fault hits, each tag once.
    fn load(&self, stage: &Stage, tags: std::ops::Range<usize>, told: &mut Told) {
        for tag in tags {
            let value = 100 + tag.cast_signed() as i64;
            told.writes.push((tag, value, stage.send_write(self.victim, tag, value, None)));
            drop(stage.send_publish(self.victim, 40 + tag % 5, value));
        }
    }

    async fn play(&self) -> String {
        let (mut stage, mut told) = self.set().await;
        let events = VICTIMS.map(|node| stage.works(node).then(|| stage.node(node).events(1000).len()));
        stage.injure(self.victim, self.actor, self.fault.injury());
        if self.situation != Idle {
            self.load(&stage, 20..30, &mut told);
        }
        let outcome = match self.fault {
            Fault::Panic | Fault::Stop => self.is_replaced(&mut stage).await,
            Fault::FullMailbox => self.works_through(&mut stage).await,
            Fault::Hang => self.is_found(&mut stage).await,
            Fault::Tear => self.is_torn(&mut stage).await,
        };
        if self.fault == Fault::Tear && !matches!(self.situation, Joining(_) | SwitchInProgress(_)) {
            assert_eq!(self.ended.get(), matches!(self.situation, Idle | LiveLoad), "{self}");
        }
        let asked = told.writes.len();
        let kept = self.hear(&mut stage, told).await;
        let unharmed = !self.ends_its_node() && matches!(self.situation, LiveLoad | PeerGone);
        assert!(!unharmed || kept.done == asked, "{self}: {} of {asked} writes were done", kept.done);
        let quiet = self.situation == Idle || self.situation == LiveLoad || self.situation == PeerGone;
        if quiet && !self.ends_its_node() {
            for (node, before) in VICTIMS.into_iter().zip(events) {
                let after = stage.works(node).then(|| stage.node(node).events(1000).len());
                assert_eq!(after, before, "{self}: a status changed: {}", stage.tell());
            }
        }
        self.nothing_is_lost(&mut stage, &kept).await;
        if !self.ends_its_node() {
            for (node, before) in VICTIMS.into_iter().zip(events) {
                self.nobody_seems_dead(&stage, node, before.unwrap_or(0));
            }
        }
        outcome
    }

    /// Whatever is under way may come to another end, but not by a node that counts as dead, or by two that run.
    fn nobody_seems_dead(&self, stage: &Stage, node: Mode, before: usize) {
        let newest_first = stage.node(node).events(1000);
        let since = newest_first.len() - before;
        for event in newest_first.into_iter().take(since).map(|record| record.event) {
            let harmless = event.to != Status::Faulted && event.tenure != Tenure::DualRunning;
            assert!(harmless, "{self}: {event:?}: {}", stage.tell());
        }
    }

    fn ends_its_node(&self) -> bool {
        self.ended.get() || self.fault == Fault::Hang && !self.is_leaf()
    }

    fn is_leaf(&self) -> bool {
        self.actor == names::LICENSE_CHECKER
    }

    async fn is_replaced(&self, stage: &mut Stage) -> String {
        let began = stage.now();
        let shared = stage.node(self.victim).clone();
        assert!(stage.run(answers(&shared.directory, self.actor)).await, "{self}");
        let after = stage.now() - began;
        assert!(after <= REPLACED_WITHIN_MS, "{self}: it was replaced after {after} ms");
        let snapshot = stage.snapshot(self.victim, self.actor);
        let counted = (snapshot.panics, snapshot.stops, snapshot.hangs);
        assert_eq!(counted, if self.fault == Fault::Stop { (0, 1, 0) } else { (1, 0, 0) }, "{self}");
        assert_eq!(snapshot.state, ActorState::Working, "{self}");
        assert_eq!(stage.fatal(self.victim), None, "{self}");
        format!("replaced after {after} ms")
    }

    async fn works_through(&self, stage: &mut Stage) -> String {
        let began = stage.now();
        stage.pass(FULL_FOR_MS / 2).await;
        let waits = stage.snapshot(self.victim, self.actor).mailbox_depth;
        assert!((MAILBOX..MAILBOX_AT_MOST).contains(&waits), "{self}: {waits} messages wait");
        let shared = stage.node(self.victim).clone();
        assert!(stage.run(answers(&shared.directory, self.actor)).await, "{self}");
        let after = stage.now() - began;
        assert!((FULL_FOR_MS..FULL_FOR_MS + REPLACED_WITHIN_MS).contains(&after), "{self}: worked after {after} ms");
        let snapshot = stage.snapshot(self.victim, self.actor);
        assert_eq!((snapshot.panics, snapshot.stops, snapshot.hangs), (0, 0, 0), "{self}");
        assert_eq!(stage.fatal(self.victim), None, "{self}");
        format!("{waits} messages waited, worked again after {after} ms")
    }

    /// A leaf is replaced; an essential actor ends its node, which says why, and the other node takes over if it can.
    async fn is_found(&self, stage: &mut Stage) -> String {
        let (name, victim) = (self.actor, self.victim);
        let hung = |s: &Stage| s.snapshot(victim, name).hangs == 1;
        let after = stage.until("found", hung).await;
        assert!((HANG_AFTER_MS..=HANG_AFTER_MS + 200).contains(&after), "{self}: found after {after} ms");
        if self.is_leaf() {
            let shared = stage.node(victim).clone();
            assert!(stage.run(answers(&shared.directory, name)).await, "{self}");
            assert_eq!(stage.fatal(victim), None, "{self}");
            return format!("replaced after {after} ms");
        }
        let handed_over = stage.until("its last words", |s| s.fatal(victim).is_some()).await;
        let words = self.ends(stage).await;
        format!("found after {after} ms, ended after {} ms: {words}", after + handed_over)
    }

    /// A state that is torn is worth little: the node ends itself at once where its peer can go on.
    async fn is_torn(&self, stage: &mut Stage) -> String {
        stage.pass(0).await;
        if stage.fatal(self.victim).is_none() {
            return self.is_replaced(stage).await;
        }
        self.ended.set(true);
        assert!(!stage.node(self.victim).gate.is_open(stage.node(self.victim).clock.now()), "{self}: it acts on");
        let words = self.ends(stage).await;
        assert!(words.contains("in the middle of a step"), "{self}: {words}");
        words
    }

    /// Its process ends, as the service does it, and is started anew. Its last words.
    async fn ends(&self, stage: &mut Stage) -> String {
        let victim = self.victim;
        let words = stage.fatal(victim).unwrap();
        assert!(words.contains(self.actor), "{self}: {words}");
        // But first whoever can still be answered is.
        stage.pass(1).await;
        stage.kill(victim);
        if stage.works(other(victim)) {
            stage.until("the other node runs", |s| s.status(other(victim)) == Status::Running).await;
        }
        stage.start(victim);
        words
    }

    /// Every client is answered in time, also by a channel that closes: the library tells that as an unknown outcome.
    async fn hear(&self, stage: &mut Stage, told: Told) -> Kept {
        let began = stage.now();
        let mut kept = Kept::default();
        for (tag, value, answer) in told.writes {
            if let Ok(WriteOutcome::Done { replicated, .. }) = stage.run(answer).await {
                kept.done += 1;
                // What is on one node only, and not on its disk, ends with it.
                if replicated || pair::is_retained(tag) || !self.ends_its_node() {
                    kept.writes.push((tag, value));
                }
            }
        }
        if let Some(answer) = told.acknowledgement {
            let outcome = stage.run(answer).await;
            kept.acknowledged = matches!(outcome, Ok(AlarmOutcome::Done { result: AlarmResult::Good, .. }));
        }
        if let Some(answer) = told.switch {
            let _ = stage.run(answer).await;
        }
        let waited = stage.now() - began;
        assert!(waited <= ANSWERED_WITHIN_MS, "{self}: clients waited {waited} ms");
        kept
    }

    /// Everything that was answered as done is there at the end, on both nodes.
    async fn nothing_is_lost(&self, stage: &mut Stage, kept: &Kept) {
        for node in VICTIMS {
            if !stage.works(node) {
                stage.start(node);
            }
        }
        let settled = |s: &Stage| {
            let views = VICTIMS.map(|node| s.view(node));
            let runs = views.iter().filter(|view| view.status == Status::Running).count();
            let stands_by = views.iter().filter(|view| view.status == Status::Standby).count();
            runs == 1 && stands_by == 1 && views.iter().all(|view| view.failover_ready && !view.switching)
        };
        stage.until("settled", settled).await;
        stage.pass(2000).await;
        assert!(settled(stage), "{self}: {}", stage.tell());
        let runs = VICTIMS.into_iter().find(|node| stage.status(*node) == Status::Running).unwrap();
        let proof = stage.write(runs, 40, 7).await;
        assert!(replicated(&proof), "{self}: {proof:?}");
        for node in VICTIMS {
            for (name, snapshot) in stage.node(node).directory.snapshots() {
                assert_eq!(snapshot.mailbox_depth, 0, "{self}: {name} at the {node:?} has messages that nobody takes");
            }
        }
        for (tag, value) in &kept.writes {
            for node in VICTIMS {
                assert_eq!(stage.read(node, *tag), Value::Int64(*value), "{self}: tag {tag} at the {node:?}");
            }
        }
        if kept.acknowledged {
            for node in VICTIMS {
                let entries = stage.journal(node).disk.entries();
                let made = entries.iter().filter(|entry| entry.operation.as_deref() == Some("ack-1")).count();
                assert_eq!(made, 1, "{self}: the acknowledgement at the {node:?}");
            }
        }
    }
}

/// A node with an empty memory comes back; its sync is at this moment.
async fn join(stage: &mut Stage, joins: Mode, moment: Moment) {
    let gives = other(joins);
    stage.kill(joins);
    stage.until("alone", |s| s.is_alone(gives)).await;
    stage.start(joins);
    stage.until("linked", |s| s.node(gives).link.view().up).await;
    for _ in 0..100 {
        let [follower, leader] = [joins, gives].map(|mode| {
            stage.node(mode).refresh_replication();
            stage.node(mode).replication()
        });
        let is_there = match moment {
            Moment::Greeted => true,
            Moment::Filling => leader.phase == SyncPhase::Full && follower.local_seq == 0,
            Moment::Comparing => follower.local_seq > 0 && leader.phase == SyncPhase::Full,
        };
        assert!(!stage.view(gives).failover_ready, "{moment:?}: it is over");
        if is_there {
            return;
        }
        stage.pass(1).await;
    }
    panic!("no sync is ever {moment:?}: {}", stage.tell());
}

fn other(mode: Mode) -> Mode {
    if mode == Master { Backup } else { Master }
}

/// The whole table: each actor, its faults, 5 situations (some at several moments), at either node.
async fn row(actor: &'static str) {
    for fault in FAULTS.into_iter().filter(|fault| *fault != Fault::Tear || WITH_A_MACHINE.contains(&actor)) {
        for situation in SITUATIONS {
            for victim in VICTIMS {
                let cell = Cell { actor, fault, situation, victim, ended: Flag::new(false) };
                println!("{cell} ...");
                let outcome = cell.play().await;
                println!("{cell} {outcome}");
            }
        }
    }
}

macro_rules! rows {
    ($($test:ident: $name:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $test() {
            row($name).await;
        }
    )*};
}
rows! {
    every_fault_of_the_supervisor: names::SUPERVISOR;
    every_fault_of_the_link: names::PEER_LINK;
    every_fault_of_the_heartbeat: names::HEARTBEAT;
    every_fault_of_the_arbiter: names::STATE_ARBITER;
    every_fault_of_the_tag_replicator: names::TAG_REPLICATOR;
    every_fault_of_the_alarm_replicator: names::ALARM_REPLICATOR;
    every_fault_of_the_licence_checker: names::LICENSE_CHECKER;
}
