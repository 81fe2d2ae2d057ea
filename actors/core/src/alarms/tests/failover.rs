//! What a follower holds is enough to go on: nothing is cleared or raised again, and delays continue.

use proptest::prelude::*;

use super::stage::*;
use crate::alarms::*;
use crate::quality::Quality;
use crate::types::{Epoch, NodeId};
use crate::value::Value;

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Value(u32, i64),
    Ack(u32),
    Comment(u32),
    Shelve(u32, u64),
    Unshelve(u32),
    /// The follower leads from now on.
    Failover,
}

const TAGS: u32 = 4;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40i64).prop_map(Step::Wait),
        12 => (0..TAGS, 0..12i64).prop_map(|(tag, value)| Step::Value(tag, value)),
        3 => (0..7u32).prop_map(Step::Ack),
        1 => (0..7u32).prop_map(Step::Comment),
        1 => (0..TAGS, 1..200u64).prop_map(|(tag, time)| Step::Shelve(tag, time)),
        1 => (0..TAGS).prop_map(Step::Unshelve),
        2 => Just(Step::Failover),
    ]
}

fn defs() -> Vec<AlarmDef> {
    let low = AlarmCondition::Limit { level: LimitLevel::L, limit: 3.0, inclusive: true, deadband: 1.0 };
    vec![
        delayed(alarm(0, high(6.0, 2.0)), 30, 0),
        delayed(alarm(0, low), 0, 50),
        delayed(alarm(1, high(6.0, 2.0)), 60, 60),
        AlarmDef {
            ack_mode: AckMode::Automatic,
            ..delayed(alarm(1, AlarmCondition::Equivalent(Value::Int64(3))), 0, 20)
        },
        delayed(alarm(2, AlarmCondition::TrueToFalse), 20, 40),
        alarm(2, AlarmCondition::FalseToTrue),
        AlarmDef { ack_mode: AckMode::ManualWithComment, ..alarm(3, high(9.0, 0.0)) },
    ]
}

struct Pair {
    leader: Node,
    follower: Node,
}

impl Pair {
    fn new() -> Self {
        let list = list(defs());
        let settings = EngineSettings { stale_after_ms: Some(150) };
        let leader = Node::with(list.clone(), settings, 1, 1);
        let follower = Node { ahead: 777_777, ..Node::with(list, settings, 1, 2) };
        Self { leader, follower }
    }

    /// What the leader did last is done at the follower too.
    fn follow(&mut self) {
        self.follower.time = self.leader.time;
        let now = self.follower.now().mono;
        follow(&mut self.follower.table, now, &self.leader);
        self.leader.out.clear();
        assert_eq!(self.leader.table.digest(), self.follower.table.digest());
    }

    fn step(&mut self, step: &Step) {
        if let Step::Wait(time) = step {
            // What is due in between is done at the follower in the same millisecond.
            for _ in 0..*time {
                self.leader.until(self.leader.time + 1);
                self.follow();
            }
        }
        let leader = &mut self.leader;
        let event =
            |id: u32| leader.table.state(AlarmId(id)).and_then(|state| state.live.as_ref()).map(|live| live.event);
        match step {
            Step::Wait(_) => {}
            Step::Value(tag @ 2, value) => leader.sample(*tag, good(value % 2 == 0, leader.time)),
            Step::Value(tag, value) => leader.sample(*tag, good(*value, leader.time)),
            Step::Ack(id) => {
                if let Some(event) = event(*id) {
                    leader.ack(event, "seen");
                }
            }
            Step::Comment(id) => {
                if let Some(event) = event(*id) {
                    leader.operate(AlarmAction::Comment { event, comment: "hm".into() });
                }
            }
            Step::Shelve(tag, time) => drop(leader.shelve(&format!("Plant/Tag{tag}"), *time)),
            Step::Unshelve(tag) => drop(leader.unshelve(&format!("Plant/Tag{tag}"))),
            Step::Failover => self.failover(),
        }
        self.follow();
        check_derived(&self.leader.table);
    }

    /// Values of sources are shown as last usable at first, then read again.
    fn failover(&mut self) {
        std::mem::swap(&mut self.leader, &mut self.follower);
        self.follower.engine.end();
        let Self { leader, follower } = self;
        leader.samples.clone_from(&follower.samples);
        leader.journal.clone_from(&follower.journal);
        leader.pen = Pen {
            origin: Epoch { counter: follower.pen.origin.counter + 1, ..leader.pen.origin },
            next: 1,
            ..leader.pen
        };
        leader.begin(Some(Quality::UNCERTAIN_LAST_USABLE_VALUE));
        assert_eq!(leader.out, [], "nothing changes by the takeover itself");
        leader.begin(None);
        assert_eq!(leader.out, [], "nor when the sources are read again");
        assert_eq!(leader.engine.next_deadline().is_some(), follower_waits(&leader.table));
    }
}

fn follower_waits(table: &AlarmTable) -> bool {
    let waits = |state: &AlarmState| {
        state.pending.is_some() || state.live.as_ref().is_some_and(|live| !live.active && !live.acked)
    };
    table.shelves().next().is_some() || table.states().any(|(_, state)| waits(state))
}

/// What was journaled, without where.
fn told(node: &Node) -> Vec<(EntryKind, EventId, i64, String)> {
    let told = |entry: &std::sync::Arc<AlarmEntry>| {
        let event = if entry.is_shelving() { EventId(0) } else { entry.event };
        (entry.kind, event, entry.time.0, format!("{}/{} {:?}", entry.path, entry.name, entry.value))
    };
    node.journal.iter().map(told).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn with_failovers_the_journal_is_the_same_as_without(steps in prop::collection::vec(step(), 1..60)) {
        let (mut with, mut without) = (Pair::new(), Pair::new());
        for step in &steps {
            with.step(step);
            if !matches!(step, Step::Failover) {
                without.step(step);
            }
        }
        with.leader.until(with.leader.time + 1000);
        without.leader.until(without.leader.time + 1000);
        prop_assert_eq!(told(&with.leader), told(&without.leader));
    }
}

#[test]
fn a_delay_that_was_nearly_over_is_not_begun_anew() {
    let mut pair = Pair::new();
    pair.step(&Step::Value(1, 11));
    pair.step(&Step::Wait(59));
    pair.step(&Step::Failover);
    pair.step(&Step::Wait(1));
    assert_eq!(pair.leader.said(), [(EntryKind::Raised, 60)]);
    assert_eq!(pair.leader.journal[0].origin, Epoch { counter: 2, node: NodeId(2) });
    assert_eq!(pair.leader.live(2).unwrap().epoch.counter, 2);
}

#[test]
fn what_became_due_while_nobody_led_happens_at_the_takeover() {
    let mut pair = Pair::new();
    pair.step(&Step::Value(1, 11));
    pair.step(&Step::Shelve(0, 100));
    let Pair { follower, .. } = pair;
    let mut leader = follower;
    leader.time = 500;
    leader.begin(None);
    let said = leader.said();
    assert_eq!(said, [(EntryKind::Raised, 60), (EntryKind::Unshelved, 500)]);
}

#[test]
fn a_value_that_was_lost_with_its_leader_is_judged_when_it_is_read_again() {
    let mut pair = Pair::new();
    pair.step(&Step::Value(3, 11));
    let event = pair.leader.event(6);
    let mut leader = pair.follower;
    // The dead leader saw the value fall; nobody else knows.
    leader.samples.insert(crate::catalog::TagId(3), good(11i64, 0));
    leader.time = 50;
    leader.begin(Some(Quality::UNCERTAIN_LAST_USABLE_VALUE));
    assert_eq!((leader.shown(6), leader.event(6)), ("Active,Unacked", event));
    leader.sample(3, good(2i64, 60));
    assert_eq!(leader.said(), [(EntryKind::Cleared, 60)]);
}
