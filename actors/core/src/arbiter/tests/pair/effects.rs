//! Carries out what the arbiters want done, and brings the messages of each to the other.

use super::{Backup, Disk, Master, Pair, Who};
use crate::arbiter::{Effect, Input, Restored, State, TagFacts};
use crate::protocol::Control;
use crate::types::SyncPhase;

impl Pair {
    pub fn write(&mut self, who: Who, changes: u64) {
        let node = self.node(who);
        assert!(node.works, "{who:?} takes no writes");
        let last = node.facts.last.max(node.facts.applied) + changes;
        (node.facts.last, node.facts.applied, node.facts.durable) = (last, last, last);
        let facts = node.facts;
        self.input(who, Input::Tags(facts));
    }

    pub fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < 1000, "the nodes keep each other busy without an end");
            if let Some((who, input)) = self.todo.pop_front() {
                self.handle(who, input);
            } else if let Some((who, message)) = self.next_message() {
                self.handle(who, Input::Message(message));
            } else if !self.replicate() {
                break;
            }
        }
        let joined =
            self.nodes.iter().all(|node| node.linked) && !self.cut && !self.slow_messages && !self.anything_goes;
        assert!(!joined || !self.nodes.iter().all(|node| node.works), "both take writes, though they see each other");
    }

    fn next_message(&mut self) -> Option<(Who, Control)> {
        if self.cut || self.slow_messages { None } else { self.wire.pop_front() }
    }

    fn replicate(&mut self) -> bool {
        if self.cut || !self.replicates {
            return false;
        }
        for who in [Master, Backup] {
            let from = self.nodes[who.other() as usize].facts;
            let node = self.node(who);
            let Some(leader) = node.following.clone().filter(|_| node.linked) else { continue };
            let epoch = leader.lineage.epoch();
            let facts = TagFacts {
                applied: from.applied,
                durable: from.applied,
                last: from.applied,
                leader: epoch,
                phase: SyncPhase::Incremental,
                in_sync: true,
                lagging: false,
            };
            if facts != node.facts {
                node.facts = facts;
                self.todo.push_back((who, Input::Adopted(leader.lineage)));
                self.todo.push_back((who, Input::Tags(facts)));
                return true;
            }
        }
        false
    }

    pub fn input(&mut self, who: Who, input: Input) {
        self.todo.push_back((who, input));
        self.settle();
    }

    pub fn disk_answers(&mut self, who: Who) {
        while let Some((ticket, stored)) = self.node(who).slow.pop_front() {
            self.node(who).stored = stored;
            self.input(who, Input::Stored { ticket });
        }
    }

    fn handle(&mut self, who: Who, input: Input) {
        let now = self.now;
        if !self.node(who).up {
            return;
        }
        for effect in self.node(who).arbiter.handle(input, now) {
            self.node(who).effects.push(effect.clone());
            self.carry_out(who, effect);
        }
        let node = self.node(who);
        let gave_up = matches!(node.arbiter.state, State::Standby | State::Faulted);
        assert!(!(gave_up && node.leads), "{who:?} leads no more and its data was not told: it can follow nobody");
    }

    fn carry_out(&mut self, who: Who, effect: Effect) {
        let node = &mut self.nodes[who as usize];
        match effect {
            Effect::Store { ticket, lineage, reserved, last_counter } => {
                let stored = Restored { lineage, reserved, last_counter };
                match node.disk {
                    Disk::Works => {
                        node.stored = stored;
                        self.todo.push_back((who, Input::Stored { ticket }));
                    }
                    Disk::Slow => node.slow.push_back((ticket, stored)),
                    Disk::Fails => {
                        self.todo.push_back((who, Input::StoreFailed { ticket, reason: "disk full".into() }));
                    }
                }
            }
            Effect::Lead(lineage) => {
                assert!(self.epochs.insert(lineage.epoch()), "{} was taken before", lineage.epoch());
                (node.works, node.leads) = (true, true);
                node.unfollow();
                let facts = node.facts;
                self.todo.push_back((who, Input::Tags(facts)));
            }
            Effect::Quiesce => {
                node.works = false;
                if !node.never_quiesces {
                    self.todo.push_back((who, Input::Quiesced { last: node.facts.last }));
                }
            }
            Effect::Resume => node.works = true,
            Effect::StandBy => (node.works, node.leads) = (false, false),
            Effect::Follow(leader) => {
                node.unfollow();
                node.following = Some(leader);
            }
            Effect::Send(mut message) if node.linked => {
                if let Control::Report(report) = &mut message
                    && self.forgets_recoveries
                {
                    report.recoveries_ms.clear();
                }
                self.wire.push_back((who.other(), message));
            }
            Effect::DropLink => {
                self.wire.clear();
                self.link_down(who);
                if !self.cut {
                    self.link_down(who.other());
                }
            }
            Effect::Answer { request, result } => node.answers.push((request, result)),
            Effect::Event(event) => node.events.push(event),
            Effect::Exit => self.exit(who),
            Effect::Send(_) | Effect::RefuseWaiting | Effect::AwaitApplied(_) => {}
        }
    }

    /// The process ends in good order: what it sent arrives, then the connection closes.
    fn exit(&mut self, who: Who) {
        self.die(who);
        while let Some((to, message)) = self.next_message() {
            self.todo.push_back((to, Input::Message(message)));
        }
        self.link_down(who.other());
        self.todo.push_back((who.other(), Input::ProvenDead));
    }
}
