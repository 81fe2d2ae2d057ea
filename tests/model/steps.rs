//! Every step that can come next.

use crate::data::{Data, Feed, Stage};
use crate::node::{Happens, Process};
use crate::pair::{CLOSED, Conn, End, Pair, Step, World};
use crate::plan::Budget;

impl World {
    /// Every step that can come next: what can fail, as long as the budget lasts, and all that goes on by itself.
    pub fn steps(&self, pair: &Pair, steps: &mut Vec<Step>) {
        if pair.violation.is_some() {
            return;
        }
        let known = self.known();
        for (at, conn) in pair.conns.iter().enumerate() {
            for who in 0..2 {
                if !conn.wires[who].is_empty() {
                    steps.push(Step::Arrives(who, at));
                }
            }
            if pair.left.cuts > 0 && conn.wires.iter().all(|wire| wire.last() != Some(&CLOSED)) {
                steps.push(Step::Breaks(at));
            }
        }
        let processes = pair.nodes.map(|node| known.process(node));
        let unlinked = pair.conns.iter().all(|conn| conn.ends[1] == End::Closed);
        if processes.iter().all(Option::is_some) && unlinked && pair.conns.len() < 2 {
            steps.push(Step::Dials);
        }
        let sound = pair.conns.iter().any(Conn::is_sound);
        if let ([Some(one), Some(two)], true) = (processes, sound) {
            sync_steps([&one.data, &two.data], pair.left.lanes > 0, steps);
        }
        for who in 0..2 {
            let Some(process) = processes[who] else {
                steps.push(Step::At(who, Happens::Boot));
                continue;
            };
            let peer_is_there = processes[1 - who].is_some();
            steps.extend(node_steps(process, &pair.left, sound, peer_is_there).map(|happens| Step::At(who, happens)));
        }
    }
}

fn sync_steps(data: [&Data; 2], lanes: bool, steps: &mut Vec<Step>) {
    for follower in 0..2 {
        let (mine, leader) = (data[follower], data[1 - follower]);
        if mine.can_ask(leader) {
            steps.push(Step::SyncBegins(follower));
        }
        if mine.can_finish(leader) {
            steps.push(Step::SyncEnds(follower));
        }
        if mine.stage == Stage::InSync && leader.feed == Feed::Filling {
            steps.push(Step::LeaderKnows(follower));
        }
        if mine.can_catch_up(leader) {
            steps.push(Step::CatchesUp(follower));
        }
    }
    if lanes && data.iter().any(|data| data.feed != Feed::None) {
        steps.push(Step::LaneBreaks);
    }
}

fn node_steps(
    process: &Process,
    left: &Budget,
    sound: bool,
    peer_is_there: bool,
) -> impl Iterator<Item = Happens> + use<> {
    let mut steps = Vec::new();
    let mut may = |so: bool, happens: Happens| {
        if so {
            steps.push(happens);
        }
    };
    may(process.arbiter.next_deadline(process.now).is_some() && left.deadlines > 0, Happens::Deadline);
    may(process.has_writes(), Happens::DiskWrites);
    may(process.data.quiesced_unsaid > 0, Happens::Quiesced);
    may(process.stood_still.is_some(), Happens::NoticesStandstill);
    let awake = process.stood_still.is_none();
    may(awake && process.answer_wanted && process.linked && sound, Happens::AnsweredAfterStandstill);
    may(awake && process.suspects && process.linked && sound, Happens::Trusts);
    let silent = !peer_is_there || left.silences > 0;
    may(awake && process.met && !process.suspects && silent, Happens::Suspects);
    may(process.met && !process.linked && !peer_is_there && !process.proved, Happens::ProvesDeath);
    may(left.standstills > 0 && awake, Happens::StandsStill);
    may(left.switches > 0, Happens::PressSwitch);
    may(left.disk_failures > 0 && !process.writes.is_empty(), Happens::DiskFails);
    may(left.changes > 0 && process.takes_changes(), Happens::Changes);
    may(left.holds > 0, Happens::Hold);
    may(left.faults > 0 && !process.fault, Happens::Fault);
    may(process.fault, Happens::FaultCleared);
    may(left.stops > 0 && !process.stopping, Happens::Stop);
    if left.deaths > 0 {
        for written in 0..=process.writes.len() {
            may(true, Happens::Dies { written });
        }
    }
    steps.into_iter()
}
