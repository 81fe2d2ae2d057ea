//! The engine finds what the slow evaluator finds, whatever the values, qualities, times and delays.

use proptest::prelude::*;

use super::reference::{Came, expected};
use super::stage::*;
use crate::alarms::*;
use crate::quality::Quality;
use crate::types::UnixMillis;
use crate::value::{Sample, Value};

fn condition() -> impl Strategy<Value = AlarmCondition> {
    use LimitLevel::{H, H4, L, L3};
    let level = prop::sample::select(vec![L3, L, H, H4]);
    let deadband = prop::sample::select(vec![0.0, 1.0, 2.5]);
    prop_oneof![
        4 => (level, any::<bool>(), deadband.clone()).prop_map(|(level, inclusive, deadband)| {
            AlarmCondition::Limit { level, limit: 3.0, inclusive, deadband }
        }),
        3 => (any::<bool>(), deadband, 1..40u64).prop_map(|(inclusive, deadband, period_ms)| {
            AlarmCondition::RateOfChange { limit: 3.0, inclusive, deadband, period_ms, range: 100.0 }
        }),
        1 => (-1..7i64).prop_map(|value| AlarmCondition::Equivalent(Value::Int64(value))),
        1 => Just(AlarmCondition::TrueToFalse),
        1 => Just(AlarmCondition::FalseToTrue),
    ]
}

fn value(condition: &AlarmCondition) -> BoxedStrategy<Value> {
    let own = match condition {
        AlarmCondition::TrueToFalse | AlarmCondition::FalseToTrue => any::<bool>().prop_map(Value::Bool).boxed(),
        AlarmCondition::Equivalent(_) => (-1..7i64).prop_map(Value::Int64).boxed(),
        _ => prop_oneof![
            (-2..16i64).prop_map(|half| Value::Float64(half as f64 / 2.0)),
            (-1..8i64).prop_map(Value::Int64),
            Just(Value::Float64(f64::NAN)),
        ]
        .boxed(),
    };
    prop_oneof![30 => own, 1 => Just(Value::String("odd".into()))].boxed()
}

fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        10 => Just(Quality::GOOD),
        1 => Just(Quality::UNCERTAIN),
        1 => Just(Quality::UNCERTAIN_LAST_USABLE_VALUE),
        1 => Just(Quality(0x408F_0400)),
        1 => Just(Quality::BAD_SENSOR_FAILURE),
        1 => Just(Quality(0xC000_0000)),
    ]
}

/// Mostly short gaps, so that several samples fall into a delay, also none at all.
fn history(condition: &AlarmCondition) -> impl Strategy<Value = Vec<Came>> + use<> {
    let gap = prop_oneof![6 => 0..12i64, 1 => 0..90i64];
    // How old a sample is when it comes.
    let age = prop_oneof![6 => Just(5i64), 1 => 0..60i64];
    prop::collection::vec((gap, age, value(condition), quality()), 1..60).prop_map(|steps| {
        let mut at = 100;
        let mut came = |(gap, age, value, quality)| {
            at += gap;
            Came { at, sample: Sample { value, quality, time: UnixMillis(at - age) } }
        };
        steps.into_iter().map(&mut came).collect()
    })
}

fn case() -> impl Strategy<Value = (AlarmDef, Vec<Came>)> {
    let delay = prop::sample::select(vec![0, 1, 7, 20, 60]);
    (condition(), delay.clone(), delay).prop_flat_map(|(condition, active_delay, resume_delay)| {
        let history = history(&condition);
        (Just(delayed(alarm(0, condition), active_delay, resume_delay)), history)
    })
}

/// `punctual`: the engine is woken at each deadline. Otherwise only by values, and at the end.
fn found(def: &AlarmDef, history: &[Came], end: i64, punctual: bool) -> Vec<(EntryKind, i64)> {
    let mut node = Node::new(vec![def.clone()]);
    for came in history {
        if punctual {
            node.until(came.at);
        }
        node.time = came.at;
        node.sample(0, came.sample.clone());
    }
    node.until(end);
    check_derived(&node.table);
    let mut numbers = 0;
    for entry in node.journal.iter().filter(|entry| entry.kind == EntryKind::Raised) {
        numbers += 1;
        assert_eq!(entry.number, numbers);
        assert_eq!(entry.event, EventId::of_occurrence(entry.alarm_key(), numbers, entry.active_time));
    }
    assert!(node.journal.iter().zip(1..).all(|(entry, position)| entry.position == position));
    node.said()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_finds_what_the_whole_history_says((def, history) in case()) {
        let end = history.last().unwrap().at + 45;
        let expected = expected(&def, &history, end);
        prop_assert_eq!(&found(&def, &history, end, true), &expected);
        prop_assert_eq!(&found(&def, &history, end, false), &expected);
    }
}
