//! One node: the real arbiter, its data, its disk and its clock. What happens to it is in `run`.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use hotpair_core::arbiter::Arbiter;
use hotpair_core::lineage::Lineage;
use hotpair_core::protocol::{Control, Greeting, ProjectHash, Tenure};
use hotpair_core::types::{BootId, Epoch, Millis, Mode, NodeId, Seq, Status};

use crate::data::Data;
use crate::plan::Plan;
use crate::run::Run;

/// Something that happens at one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Happens {
    /// Its process starts.
    Boot,
    /// Its process dies; of what was on its way to the disk so many operations came there.
    Dies {
        written: usize,
    },
    /// A connection is up: the number of the peer's greeting.
    LinkUp(u32),
    LinkDown,
    /// The message of this number arrives.
    Hears(u32),
    /// Time passes until the arbiter wants to be asked.
    Deadline,
    /// Time passes.
    Waits(u64),
    /// The failure detector gives the peer up, or takes it back.
    Suspects,
    Trusts,
    /// A new connection to the peer is refused.
    ProvesDeath,
    /// The node stands still for longer than the failover time; it does not know of it yet.
    StandsStill,
    /// Its failure detector notices.
    NoticesStandstill,
    /// The peer answered after the standstill.
    AnsweredAfterStandstill,
    DiskWrites,
    DiskFails,
    /// Its data takes no more changes.
    Quiesced,
    /// Steps of a sync; the number is that of the other node.
    Feeds,
    Joins(u32),
    Synced(u32),
    FollowerSynced,
    CatchesUp(u32),
    LaneBroke,
    /// A change is made.
    Changes,
    PressSwitch,
    Hold,
    Fault,
    FaultCleared,
    Stop,
}

/// What it does to its surroundings.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Send(Control),
    DropLink,
    /// It leads under `epoch` and `tenure`; before it led or followed `after`, and held all up to `held`.
    Leads {
        tenure: Tenure,
        after: Epoch,
        epoch: Epoch,
        held: Seq,
    },
}

#[derive(Clone, Debug, Hash)]
pub enum Write {
    Tenure { ticket: u64, lineage: Lineage, reserved: u64, last_counter: u64 },
    Adopt { lineage: Lineage, durable: Seq },
}

/// What survives a crash.
#[derive(Clone, Debug, Default, Hash)]
pub struct Stored {
    pub lineage: Lineage,
    pub reserved: u64,
    pub last_counter: u64,
    pub durable: Seq,
}

/// What the node shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub status: Status,
    pub tenure: Tenure,
    /// The Standby could take over.
    pub ready: bool,
    pub recovery_suspended: bool,
}

#[derive(Clone)]
pub struct Process {
    pub arbiter: Arbiter,
    pub now: Millis,
    pub data: Data,
    pub writes: VecDeque<Write>,
    /// Failed, and owed.
    pub unwritten: VecDeque<Write>,
    /// The machine lets it take changes.
    pub leads: bool,
    /// For how long it stood still, until its failure detector notices.
    pub stood_still: Option<u64>,
    pub answer_wanted: bool,
    pub suspects: bool,
    pub linked: bool,
    pub met: bool,
    pub proved: bool,
    /// What the peer said last on the present connection: its status, and whether it is in a switch.
    pub heard: Option<(Status, bool)>,
    /// The counter under which the peer ran on the present connection.
    pub ran_under: Option<u64>,
    /// The greatest counter that it was told of, or found on its disk.
    pub seen: u64,
    /// The epoch that was decided on last, and what was seen by then.
    pub decided: Option<(Epoch, u64)>,
    /// It ran, and its peer could take over, when it was told to stop; it has not offered Running since.
    pub ready_at_stop: bool,
    /// Orders that have no answer yet.
    pub orders: Vec<u64>,
    pub next_order: u64,
    pub fault: bool,
    pub stopping: bool,
    pub shown: Shown,
}

#[derive(Clone)]
pub struct Node {
    pub who: usize,
    pub process: Option<Process>,
    pub stored: Stored,
    pub boots: u64,
    pub greatest_led: u64,
    /// It led under an epoch above the one that it joined: it has waited for a higher one long enough.
    pub joined_lower: bool,
}

/// What came of something that happened.
pub struct Outcome {
    pub node: Node,
    pub acts: Vec<Act>,
    pub violation: Option<String>,
}

impl Node {
    pub fn new(who: usize) -> Self {
        Self { who, process: None, stored: Stored::default(), boots: 0, greatest_led: 0, joined_lower: false }
    }

    pub fn id(&self) -> NodeId {
        NodeId(self.who as u64 + 1)
    }

    pub fn mode(&self) -> Mode {
        if self.who == 0 { Mode::Master } else { Mode::Backup }
    }

    pub fn fingerprint(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        let into = &mut hasher;
        (self.who, &self.stored, self.boots, self.greatest_led, self.joined_lower, self.process.is_some()).hash(into);
        if let Some(p) = &self.process {
            p.arbiter.fingerprint(p.now, into);
            (&p.data, &p.writes, &p.unwritten, p.leads, p.stood_still, p.answer_wanted).hash(into);
            (p.suspects, p.linked, p.met, p.proved, (p.heard, p.ran_under), &p.orders, p.next_order).hash(into);
            (p.fault, p.stopping, p.ready_at_stop, p.seen, p.decided).hash(into);
        }
        hasher.finish()
    }

    /// Where the node stands, in a line.
    pub fn describe(&self) -> String {
        let name = if self.who == 0 { "Master" } else { "Backup" };
        let Some(p) = &self.process else { return format!("{name} is down") };
        let view = p.arbiter.view(p.now);
        let peer = view.peer.as_ref().map_or(Status::Unknown, |peer| peer.status);
        let takes = if p.takes_changes() { ", takes changes" } else { "" };
        let Data { last, stage, feed, .. } = &p.data;
        format!(
            "{name} is {} under {}{takes}, sees {peer}; holds {} of {last}, {stage:?}/{feed:?}, {} writes wait",
            view.status,
            view.epoch.counter,
            p.data.applied(),
            p.writes.len() + p.unwritten.len(),
        )
    }

    pub fn greeting(&self, plan: &Plan) -> Option<Greeting> {
        let p = self.process.as_ref()?;
        let mut arbiter = p.arbiter.clone();
        arbiter.hear_tags(p.data.facts());
        Some(Greeting {
            protocol: (1, 1),
            features: 0,
            version: String::new(),
            node: self.id(),
            boot: BootId(self.boots * 2 + self.who as u64),
            name: String::new(),
            mode: self.mode(),
            recovery: plan.recovery,
            http: String::new(),
            alive_at: String::new(),
            project: ProjectHash::default(),
            session: 1,
            report: arbiter.report(p.now),
        })
    }

    /// Lets something happen. `message` is what a number in `happens` stands for, `other` the other node's data.
    pub fn let_happen(
        &self,
        plan: &Plan,
        happens: &Happens,
        message: Option<&Control>,
        other: Option<&Data>,
    ) -> Outcome {
        Run::new(plan, self.clone()).happen(happens, message, other)
    }
}

impl Process {
    pub fn takes_changes(&self) -> bool {
        self.leads && self.stood_still.is_none()
    }

    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty() || !self.unwritten.is_empty()
    }
}

impl Shown {
    pub fn of(arbiter: &Arbiter, now: Millis) -> Self {
        let view = arbiter.view(now);
        Self {
            status: view.status,
            tenure: view.tenure,
            ready: view.failover_ready,
            recovery_suspended: view.recovery_suspended.is_some(),
        }
    }
}
