//! Two arbiters with an ideal world around them: messages arrive at once and in order, data is replicated at once,
//! disks answer at once. Tests take single parts of that away.

mod effects;

use std::collections::{BTreeSet, VecDeque};

use crate::arbiter::{Arbiter, ArbiterSettings, Effect, Event, Input, Leader, Restored, SwitchOrder, TagFacts, View};
use crate::authority::Availability;
use crate::lineage::{Fork, Lineage};
use crate::protocol::{Control, Greeting, ProjectHash};
use crate::types::{BootId, Epoch, Millis, Mode, NodeId, RecoveryMode, Status, SyncPhase};

pub use Who::{Backup, Master};

pub const FAILOVER: u64 = 1000;
pub const WAIT: u64 = 5000;
pub const SWITCH_TIMEOUT: u64 = 2000;
/// A silent peer is found unavailable after so long: the missed pings.
pub const MISSED_PINGS: u64 = 500;
const STEP: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Master,
    Backup,
}

impl Who {
    pub fn other(self) -> Self {
        if self == Master { Backup } else { Master }
    }

    pub fn id(self) -> NodeId {
        NodeId(self as u64 + 1)
    }

    fn mode(self) -> Mode {
        if self == Master { Mode::Master } else { Mode::Backup }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Works,
    /// Answers when [`Pair::disk_answers`] says so.
    Slow,
    Fails,
}

pub struct Node {
    pub arbiter: Arbiter,
    pub up: bool,
    /// It takes writes and drives sources.
    pub works: bool,
    /// What it has numbered is its own: it follows nobody before it is told to stand by.
    leads: bool,
    pub facts: TagFacts,
    pub disk: Disk,
    pub stored: Restored,
    /// Its own work does not stop when it is told to.
    pub never_quiesces: bool,
    pub events: Vec<Event>,
    pub answers: Vec<(u64, Result<(), String>)>,
    pub effects: Vec<Effect>,
    slow: VecDeque<(u64, Restored)>,
    following: Option<Leader>,
    boot: u64,
    linked: bool,
    met: bool,
    told_unavailable: bool,
    quiet_since: Millis,
}

pub struct Pair {
    pub now: Millis,
    pub recovery: RecoveryMode,
    pub fast_failover: bool,
    /// Data flows between the nodes.
    pub replicates: bool,
    /// Messages stay on their way.
    pub slow_messages: bool,
    /// Reports do not tell of recoveries, as those of an earlier version.
    pub forgets_recoveries: bool,
    /// Tests send things that no node sends: two may take writes then.
    pub anything_goes: bool,
    nodes: [Node; 2],
    cut: bool,
    wire: VecDeque<(Who, Control)>,
    todo: VecDeque<(Who, Input)>,
    epochs: BTreeSet<Epoch>,
    next_request: u64,
}

fn arbiter(who: Who, recovery: RecoveryMode, fast_failover: bool, restored: Restored) -> Arbiter {
    let settings = ArbiterSettings {
        node: who.id(),
        mode: who.mode(),
        recovery,
        failover_time_ms: FAILOVER,
        connection_wait_time_ms: WAIT,
        switch_timeout_ms: SWITCH_TIMEOUT,
    };
    Arbiter::new(settings, Box::new(Availability { failover_time_ms: FAILOVER, fast_failover }), restored)
}

impl Node {
    fn new(who: Who) -> Self {
        Self {
            arbiter: arbiter(who, RecoveryMode::Automatic, true, Restored::default()),
            up: false,
            works: false,
            leads: false,
            facts: TagFacts::default(),
            disk: Disk::Works,
            stored: Restored::default(),
            never_quiesces: false,
            events: Vec::new(),
            answers: Vec::new(),
            effects: Vec::new(),
            slow: VecDeque::new(),
            following: None,
            boot: who as u64 * 1000,
            linked: false,
            met: false,
            told_unavailable: false,
            quiet_since: Millis(0),
        }
    }

    pub fn sent(&self, wanted: impl Fn(&Control) -> bool) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Send(message) if wanted(message)))
    }

    fn unfollow(&mut self) {
        self.following = None;
        self.facts = TagFacts { phase: SyncPhase::None, in_sync: false, leader: Epoch::NONE, ..self.facts };
    }
}

impl Pair {
    /// Two nodes that are not started.
    pub fn new() -> Self {
        Self {
            now: Millis(1_000_000),
            recovery: RecoveryMode::Automatic,
            fast_failover: true,
            replicates: true,
            slow_messages: false,
            forgets_recoveries: false,
            anything_goes: false,
            nodes: [Node::new(Master), Node::new(Backup)],
            cut: false,
            wire: VecDeque::new(),
            todo: VecDeque::new(),
            epochs: BTreeSet::new(),
            next_request: 100,
        }
    }

    /// Master Running, Backup Standby and in sync, 500 changes made.
    pub fn running() -> Self {
        Self::running_with(RecoveryMode::Automatic, true)
    }

    pub fn running_with(recovery: RecoveryMode, fast_failover: bool) -> Self {
        let mut pair = Self { recovery, fast_failover, ..Self::new() };
        pair.restart(Master);
        pair.restart(Backup);
        pair.connect();
        pair.write(Master, 500);
        pair.shows(Master, Status::Running, Status::Standby);
        pair.shows(Backup, Status::Standby, Status::Running);
        pair
    }

    /// As [`Pair::running`], after a Switch to the Backup.
    pub fn switched() -> Self {
        let mut pair = Self::running();
        pair.press_switch_at(Master);
        pair.shows(Backup, Status::Running, Status::Standby);
        pair
    }

    /// Both Running after a cut; not yet met again.
    pub fn both_running(recovery: RecoveryMode) -> Self {
        let mut pair = Self::running_with(recovery, true);
        pair.cut();
        pair.pass(FAILOVER);
        pair.shows(Master, Status::Running, Status::Faulted);
        pair.shows(Backup, Status::Running, Status::Faulted);
        pair
    }

    pub fn node(&mut self, who: Who) -> &mut Node {
        &mut self.nodes[who as usize]
    }

    pub fn view(&self, who: Who) -> View {
        self.nodes[who as usize].arbiter.view(self.now)
    }

    pub fn counter(&self, who: Who) -> u64 {
        self.nodes[who as usize].arbiter.epoch().counter
    }

    #[track_caller]
    pub fn shows(&self, who: Who, own: Status, peer: Status) {
        let view = self.view(who);
        assert_eq!((view.status, view.peer.as_ref().unwrap().status), (own, peer), "{who:?} shows {view:?}");
    }

    /// The last event of `who` about itself.
    pub fn last_event(&self, who: Who) -> &Event {
        self.nodes[who as usize].events.iter().rfind(|event| !event.peer).unwrap()
    }

    pub fn last_peer_event(&self, who: Who) -> &Event {
        self.nodes[who as usize].events.iter().rfind(|event| event.peer).unwrap()
    }

    // The world.

    /// Starts the node, or its process anew: it holds what is on its disk.
    pub fn restart(&mut self, who: Who) {
        let (recovery, fast) = (self.recovery, self.fast_failover);
        let node = self.node(who);
        if node.up {
            self.kill(who);
        }
        let node = self.node(who);
        let facts = TagFacts { applied: node.facts.durable, durable: node.facts.durable, ..TagFacts::default() };
        *node = Node {
            arbiter: arbiter(who, recovery, fast, node.stored.clone()),
            up: true,
            facts: TagFacts { last: facts.applied, ..facts },
            stored: node.stored.clone(),
            boot: node.boot + 1,
            events: std::mem::take(&mut node.events),
            disk: node.disk,
            ..Node::new(who)
        };
        let facts = node.facts;
        self.todo.push_back((who, Input::Tags(facts)));
        self.input(who, Input::Start);
    }

    /// What a node that is not up has on its disk.
    pub fn holds(&mut self, who: Who, tenures: &[(u64, Who)], applied: u64) {
        let forks = tenures.iter().map(|&(counter, by)| Fork { epoch: Epoch { counter, node: by.id() }, at: 0 });
        let lineage = Lineage::new(forks.collect());
        let last_counter = lineage.epoch().counter;
        self.epochs.extend(lineage.forks().iter().map(|fork| fork.epoch));
        let node = self.node(who);
        node.stored = Restored { lineage, reserved: last_counter, last_counter };
        node.facts = TagFacts { applied, durable: applied, ..TagFacts::default() };
    }

    /// A new connection.
    pub fn connect(&mut self) {
        self.lose_link();
        self.cut = false;
        let mut greetings = [self.greeting(Master), self.greeting(Backup)];
        if self.forgets_recoveries {
            for greeting in &mut greetings {
                greeting.report.recoveries_ms.clear();
            }
        }
        for who in [Master, Backup] {
            let now = self.now;
            let node = self.node(who);
            (node.linked, node.met, node.told_unavailable, node.quiet_since) = (true, true, false, now);
            self.todo.push_back((who, Input::LinkUp(Box::new(greetings[who.other() as usize].clone()))));
        }
        self.settle();
    }

    pub fn greeting(&self, who: Who) -> Greeting {
        let node = &self.nodes[who as usize];
        Greeting {
            protocol: (1, 1),
            features: 0,
            version: "1".into(),
            node: who.id(),
            boot: BootId(node.boot),
            name: "plant".into(),
            mode: who.mode(),
            recovery: self.recovery,
            http: String::new(),
            alive_at: String::new(),
            project: ProjectHash::default(),
            session: 1,
            report: node.arbiter.report(self.now),
        }
    }

    /// The connection breaks; both processes are there.
    pub fn lose_link(&mut self) {
        self.wire.clear();
        for who in [Master, Backup] {
            self.link_down(who);
        }
        self.settle();
    }

    fn link_down(&mut self, who: Who) {
        let now = self.now;
        let node = self.node(who);
        if std::mem::take(&mut node.linked) {
            node.unfollow();
            node.quiet_since = node.quiet_since.max(if node.told_unavailable { node.quiet_since } else { now });
            self.todo.push_back((who, Input::LinkDown));
        }
    }

    /// The cable is cut: nobody hears anything.
    pub fn cut(&mut self) {
        self.cut = true;
        for node in &mut self.nodes {
            node.quiet_since = self.now;
        }
    }

    /// The cable is whole again, before anybody gave up the connection.
    pub fn mend(&mut self) {
        self.cut = false;
        for who in [Master, Backup] {
            if std::mem::take(&mut self.node(who).told_unavailable) {
                self.todo.push_back((who, Input::Available));
            }
        }
        self.settle();
    }

    /// The process dies: its connection is reset and a new one is refused.
    pub fn kill(&mut self, who: Who) {
        self.die(who);
        self.wire.clear();
        self.link_down(who.other());
        self.todo.push_back((who.other(), Input::ProvenDead));
        self.settle();
    }

    /// The machine dies without a word.
    pub fn power_off(&mut self, who: Who) {
        self.die(who);
        self.cut();
    }

    fn die(&mut self, who: Who) {
        let node = self.node(who);
        (node.up, node.works, node.linked, node.following) = (false, false, false, None);
        self.todo.retain(|&(to, _)| to != who);
    }

    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms / STEP {
            let due = [Master, Backup].map(|who| self.nodes[who as usize].arbiter.next_deadline(self.now));
            self.now = self.now.plus(STEP);
            for who in [Master, Backup] {
                let (now, cut) = (self.now, self.cut);
                let node = self.node(who);
                let quiet = node.met && (cut || !node.linked) && now.since(node.quiet_since) >= MISSED_PINGS;
                if node.up && quiet && !std::mem::replace(&mut node.told_unavailable, true) {
                    let last_sign = node.quiet_since;
                    self.input(who, Input::Unavailable { last_sign });
                }
                let node = self.node(who);
                if node.up && due[who as usize].is_some_and(|due| due <= now) {
                    self.input(who, Input::Tick);
                }
            }
        }
    }

    // The people.

    pub fn press_switch_at(&mut self, who: Who) -> u64 {
        self.order(who, 0, NodeId(0))
    }

    pub fn order(&mut self, who: Who, expected_epoch: u64, to: NodeId) -> u64 {
        self.next_request += 1;
        let request = self.next_request;
        let (reason, user) = ("works at pump 3".into(), "ann".into());
        self.input(who, Input::Switch(SwitchOrder { request, expected_epoch, to, reason, user }));
        request
    }

    /// What became of an order; none: not known yet.
    pub fn answer(&self, who: Who, request: u64) -> Option<Result<(), &str>> {
        let mut answers = self.nodes[who as usize].answers.iter().filter(|answer| answer.0 == request);
        let answer = answers.next().map(|(_, result)| result.as_ref().map(|&()| ()).map_err(String::as_str));
        assert!(answers.next().is_none(), "an order has one answer");
        answer
    }

    #[track_caller]
    pub fn refuses_switch(&mut self, who: Who, reason: &str) {
        let request = self.press_switch_at(who);
        assert_eq!(self.answer(who, request), Some(Err(reason)));
    }

    pub fn hold(&mut self, who: Who, ms: u64) {
        self.input(who, Input::Hold { ms, reason: "new firmware".into(), user: "ann".into() });
    }

    pub fn stop(&mut self, who: Who) {
        self.input(who, Input::Shutdown { reason: "update".into() });
    }
}
