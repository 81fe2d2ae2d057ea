//! Whatever happens in whatever order: no panic, and no epoch twice.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::pair::{Backup, Master, Pair, Who};
use crate::arbiter::{Effect, Input, TagFacts};
use crate::lineage::{Fork, Lineage};
use crate::protocol::{Control, Hold, Report, SwitchRequest, Tenure};
use crate::types::{Epoch, Millis, NodeId, RecoveryMode, Seq, Status, SyncPhase};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..8_u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (number(), 1..3_u64).prop_map(|(counter, node)| Epoch { counter, node: NodeId(node) })
}

fn lineage() -> impl Strategy<Value = Lineage> {
    vec((epoch(), number()).prop_map(|(epoch, at)| Fork { epoch, at }), 0..3).prop_map(Lineage::new)
}

fn tenure() -> impl Strategy<Value = Tenure> {
    prop::sample::select(vec![Tenure::None, Tenure::Start, Tenure::Failover, Tenure::Switch, Tenure::Recovery])
}

fn hold() -> impl Strategy<Value = Hold> {
    (number(), number()).prop_map(|(version, remaining_ms)| Hold { version, remaining_ms, reason: "hold".into() })
}

fn report() -> impl Strategy<Value = Report> {
    let position: (_, _) = (number(), number());
    let recoveries = prop::collection::vec(any::<u64>(), 0..5);
    let switch: (_, _) = (number(), recoveries);
    (prop::sample::select(Status::ALL.to_vec()), lineage(), tenure(), position, any::<bool>(), hold(), switch).prop_map(
        |(status, lineage, tenure, (applied, last), in_sync, hold, (switching, recoveries_ms))| Report {
            status,
            lineage,
            tenure,
            applied,
            durable: applied,
            last,
            sync: SyncPhase::None,
            in_sync,
            faults: Vec::new(),
            hold,
            switching,
            running_ms: 0,
            recoveries_ms,
        },
    )
}

fn message() -> impl Strategy<Value = Control> {
    prop_oneof![
        3 => report().prop_map(|report| Control::Report(Box::new(report))),
        1 => Just(Control::Goodbye { reason: String::new() }),
        2 => (number(), tenure(), number(), 0..3_u64).prop_map(|(id, tenure, expected_epoch, to)| {
            let (to, reason, user) = (NodeId(to), String::new(), String::new());
            Control::SwitchRequest(SwitchRequest { id, tenure, expected_epoch, to, reason, user })
        }),
        1 => (number(), any::<bool>()).prop_map(|(id, suspend)| {
            Control::SwitchResult { id, refused: String::new(), suspend }
        }),
        2 => (number(), epoch(), number(), tenure()).prop_map(|(switch, epoch, last, tenure)| {
            Control::Offer { switch, epoch, last, tenure, cause: String::new(), user: String::new() }
        }),
        1 => (number(), epoch()).prop_map(|(switch, epoch)| Control::Taken { switch, epoch }),
        1 => number().prop_map(|switch| Control::Abort { switch }),
        1 => number().prop_map(|switch| Control::AbortConfirmed { switch, reason: String::new() }),
        1 => hold().prop_map(Control::Hold),
    ]
}

fn facts() -> impl Strategy<Value = TagFacts> {
    (number(), epoch(), any::<bool>(), any::<bool>()).prop_map(|(applied, leader, in_sync, lagging): (Seq, _, _, _)| {
        TagFacts { applied, durable: applied, last: applied, leader, phase: SyncPhase::None, in_sync, lagging }
    })
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => message().prop_map(Input::Message),
        1 => Just(Input::LinkDown),
        1 => Just(Input::ProvenDead),
        1 => number().prop_map(|at| Input::Unavailable { last_sign: Millis(at) }),
        1 => Just(Input::Available),
        1 => number().prop_map(|for_ms| Input::Stalled { for_ms }),
        1 => Just(Input::AnsweredAfterStall),
        2 => facts().prop_map(Input::Tags),
        1 => number().prop_map(|last| Input::Quiesced { last }),
        1 => number().prop_map(|ticket| Input::StoreFailed { ticket, reason: "disk full".into() }),
        1 => lineage().prop_map(Input::Adopted),
        1 => (number(), "[a-z]{0,3}").prop_map(|(ms, reason)| Input::Hold { ms, reason, user: String::new() }),
        1 => prop::option::of("[a-z]{1,3}").prop_map(Input::Fault),
        1 => prop::option::of("[a-z]{1,3}").prop_map(Input::Disk),
        2 => Just(Input::Tick),
    ]
}

#[derive(Clone, Debug)]
enum Happens {
    Input(Input),
    Connect,
    Restart,
    PressSwitch,
    Pass(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        10 => input().prop_map(Happens::Input),
        2 => Just(Happens::Connect),
        1 => Just(Happens::Restart),
        1 => Just(Happens::PressSwitch),
        2 => prop::sample::select(vec![10, 100, 600, 1200]).prop_map(Happens::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Each node gets what two working nodes say to each other and, in between, anything else.
    #[test]
    fn no_panic_and_no_epoch_twice(story in vec((any::<bool>(), happens()), 1..80), manual in any::<bool>()) {
        let recovery = if manual { RecoveryMode::Manual } else { RecoveryMode::Automatic };
        let mut pair = Pair::new();
        (pair.recovery, pair.anything_goes) = (recovery, true);
        pair.restart(Master);
        pair.restart(Backup);
        let mut led = [BTreeSet::new(), BTreeSet::new()];
        for (at_backup, happens) in story {
            let who = if at_backup { Backup } else { Master };
            match happens {
                Happens::Input(input) => pair.input(who, input),
                Happens::Connect if pair.node(Master).up && pair.node(Backup).up => pair.connect(),
                Happens::Connect => {}
                Happens::Restart => pair.restart(who),
                Happens::PressSwitch => { pair.press_switch_at(who); }
                Happens::Pass(ms) => pair.pass(ms),
            }
            for who in [Master, Backup] {
                epochs_of(&mut pair, who, &mut led[who as usize]);
            }
        }
        prop_assert!(led[0].is_disjoint(&led[1]));
    }
}

fn epochs_of(pair: &mut Pair, who: Who, led: &mut BTreeSet<Epoch>) {
    for effect in std::mem::take(&mut pair.node(who).effects) {
        if let Effect::Lead(lineage) = effect {
            assert_eq!(lineage.epoch().node, who.id(), "a node takes only epochs of its own");
            assert!(led.insert(lineage.epoch()), "{} was taken twice", lineage.epoch());
        }
    }
}
