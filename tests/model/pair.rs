//! Two nodes and what is between them: every step that can come next.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hotpair_core::invariants;
use hotpair_core::protocol::{Control, Tenure};
use hotpair_core::types::{Epoch, Seq};

use crate::data::{Data, Role};
use crate::node::{Act, Happens, Node, Process};
use crate::plan::{Budget, Plan};

/// Stands among messages: the other end closed the connection.
pub const CLOSED: u32 = u32::MAX;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    Greeting,
    Up,
    Closed,
}

/// A connection. What is sent arrives in order, or is lost with the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conn {
    pub ends: [End; 2],
    /// What is under way to each side.
    pub wires: [Vec<u32>; 2],
    /// The Backup's greeting, until the Master knows that its own was taken.
    greeting: u32,
}

/// A state of the pair. Nodes and messages are numbers, see [`Known`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    pub nodes: [u32; 2],
    /// Oldest first; at most two.
    pub conns: Vec<Conn>,
    pub left: Budget,
    /// Epochs that were offered, and taken by the other node: the new one comes after the old one.
    pub taken: Vec<(Epoch, Epoch)>,
    /// Number of the violation.
    pub violation: Option<u32>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// At the node: something that needs nobody else.
    At(usize, Happens),
    /// To the node, the oldest message of the connection.
    Arrives(usize, usize),
    /// The Backup connects.
    Dials,
    /// The connection breaks; what is under way is lost.
    Breaks(usize),
    /// Steps of a sync, of this follower.
    SyncBegins(usize),
    SyncEnds(usize),
    LeaderKnows(usize),
    CatchesUp(usize),
    LaneBreaks,
}

/// What follows from something at a node: its next state, what it does, and the number of a violation.
type Follows = (u32, Vec<Act>, Option<u32>);

/// Everything seen so far, by number: the same node state has the same number.
#[derive(Default)]
pub struct Known {
    pub nodes: Vec<Node>,
    node_numbers: HashMap<u64, u32>,
    pub messages: Vec<Control>,
    message_numbers: HashMap<String, u32>,
    pub violations: Vec<String>,
    outcomes: HashMap<(u32, Happens), Follows>,
    /// Pairs that were seen to heal, in each of two orders.
    pub healing: HashSet<(bool, u64)>,
}

impl Known {
    fn node(&mut self, node: Node) -> u32 {
        let next = self.nodes.len() as u32;
        let number = *self.node_numbers.entry(node.fingerprint()).or_insert(next);
        if number == next {
            self.nodes.push(node);
        }
        number
    }

    fn message(&mut self, message: Control) -> u32 {
        let next = self.messages.len() as u32;
        let number = *self.message_numbers.entry(format!("{message:?}")).or_insert(next);
        if number == next {
            self.messages.push(message);
        }
        number
    }

    pub fn violation(&mut self, what: String) -> u32 {
        let number = self.violations.iter().position(|known| *known == what).unwrap_or_else(|| {
            self.violations.push(what);
            self.violations.len() - 1
        });
        number as u32
    }

    /// How many states of a node, and how many messages.
    pub fn sizes(&self) -> (usize, usize) {
        (self.nodes.len(), self.messages.len())
    }

    pub fn process(&self, node: u32) -> Option<&Process> {
        self.nodes[node as usize].process.as_ref()
    }

    pub fn data(&self, node: u32) -> Option<&Data> {
        self.process(node).map(|process| &process.data)
    }
}

/// The world in which pairs live.
pub struct World {
    pub plan: Plan,
    known: Mutex<Known>,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        Self { plan, known: Mutex::new(Known::default()) }
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is started.
    pub fn cold(&self) -> Pair {
        let mut known = self.known();
        let nodes = [0, 1].map(|who| known.node(Node::new(who)));
        Pair { nodes, conns: Vec::new(), left: self.plan.budget, taken: Vec::new(), violation: None }
    }

    /// The pair after a step; none: it cannot be made.
    pub fn after(&self, pair: &Pair, step: &Step) -> Option<Pair> {
        let mut known = self.known();
        let mut world = Making { plan: &self.plan, known: &mut known, pair: pair.clone() };
        world.make(step)?;
        let Making { mut pair, .. } = world;
        pair.conns.retain(|conn| conn.ends != [End::Closed; 2]);
        check(&mut known, &mut pair);
        Some(pair)
    }
}

/// What must hold between the nodes after every step.
fn check(known: &mut Known, pair: &mut Pair) {
    if pair.violation.is_some() {
        return;
    }
    let leads = pair.nodes.map(|node| {
        known.process(node).filter(|process| process.takes_changes()).map(|process| process.arbiter.epoch())
    });
    let quiet = |conn: &Conn| conn.ends == [End::Up; 2] && conn.wires.iter().all(Vec::is_empty);
    let mut what = None;
    if leads[0].is_some() && leads[1].is_some() && pair.conns.iter().any(quiet) {
        what = Some("LEAD-1: both take changes, although each has heard all that the other one said");
    }
    if leads.iter().flatten().any(|epoch| pair.taken.iter().any(|(given, _)| given == epoch)) {
        what = Some("a node goes on under an epoch that it offered and the other one took");
    }
    if let (Some(mine), Some(theirs)) = (leads[0], leads[1])
        && mine == theirs
    {
        what = Some("EPOCH-1: both take changes under one epoch");
    }
    if let Some(what) = what {
        pair.violation = Some(known.violation(what.into()));
    }
}

struct Making<'a> {
    plan: &'a Plan,
    known: &'a mut Known,
    pair: Pair,
}

impl Making<'_> {
    fn make(&mut self, step: &Step) -> Option<()> {
        match step {
            Step::At(who, happens) => {
                self.pay(*who, happens)?;
                self.happen(*who, happens);
            }
            Step::Arrives(who, conn) => self.arrives(*who, *conn)?,
            Step::Dials => self.dial()?,
            Step::Breaks(conn) => {
                self.pair.left.cuts = self.pair.left.cuts.checked_sub(1)?;
                let conn = &mut self.pair.conns[*conn];
                for side in 0..2 {
                    conn.wires[side] = if conn.ends[side] == End::Closed { Vec::new() } else { vec![CLOSED] };
                }
            }
            Step::SyncBegins(follower) => {
                self.happen(1 - follower, &Happens::Feeds);
                self.happen(*follower, &Happens::Joins(self.pair.nodes[1 - follower]));
            }
            Step::SyncEnds(follower) => self.happen(*follower, &Happens::Synced(self.pair.nodes[1 - follower])),
            Step::LeaderKnows(follower) => self.happen(1 - follower, &Happens::FollowerSynced),
            Step::CatchesUp(follower) => self.happen(*follower, &Happens::CatchesUp(self.pair.nodes[1 - follower])),
            Step::LaneBreaks => {
                self.pair.left.lanes = self.pair.left.lanes.checked_sub(1)?;
                self.happen(0, &Happens::LaneBroke);
                self.happen(1, &Happens::LaneBroke);
            }
        }
        Some(())
    }

    fn pay(&mut self, who: usize, happens: &Happens) -> Option<()> {
        let peer_is_there = self.known.process(self.pair.nodes[1 - who]).is_some();
        let left = &mut self.pair.left;
        let purse = match happens {
            Happens::Dies { .. } => &mut left.deaths,
            Happens::Suspects if peer_is_there => &mut left.silences,
            Happens::StandsStill => &mut left.standstills,
            Happens::PressSwitch => &mut left.switches,
            Happens::DiskFails => &mut left.disk_failures,
            Happens::Changes => &mut left.changes,
            Happens::Hold => &mut left.holds,
            Happens::Fault => &mut left.faults,
            Happens::Stop => &mut left.stops,
            Happens::Deadline => &mut left.deadlines,
            _ => return Some(()),
        };
        *purse = purse.checked_sub(1)?;
        Some(())
    }

    /// Something happens at a node, and what follows from it.
    fn happen(&mut self, who: usize, happens: &Happens) {
        let before = self.pair.nodes[who];
        let (after, acts, violation) = self.outcome(before, happens);
        self.pair.nodes[who] = after;
        self.pair.violation = self.pair.violation.or(violation);
        for act in acts {
            match act {
                Act::Send(message) => {
                    let message = self.known.message(message);
                    self.send(who, message);
                }
                Act::DropLink => {
                    if let Some(conn) = self.pair.conns.iter().position(|conn| conn.ends[who] == End::Up) {
                        self.close(who, conn);
                        self.happen(who, &Happens::LinkDown);
                    }
                }
                Act::Leads { tenure, after, epoch, held } => self.leads(who, tenure, after, epoch, held),
            }
        }
        if self.known.process(self.pair.nodes[who]).is_none() {
            for conn in 0..self.pair.conns.len() {
                self.close(who, conn);
            }
            // It was given Running and is dead: the other one may go on.
            let dead = self.known.nodes[self.pair.nodes[who] as usize].id();
            self.pair.taken.retain(|&(_, epoch)| epoch.node != dead);
        }
    }

    /// A tenure begins: what it owes to the other node.
    fn leads(&mut self, who: usize, tenure: Tenure, after: Epoch, epoch: Epoch, held: Seq) {
        let other = &self.known.nodes[self.pair.nodes[1 - who] as usize];
        let mut what = None;
        if matches!(tenure, Tenure::Switch | Tenure::Recovery) && after.node == other.id() {
            let offers = |data: &Data| data.role == Role::Quiesced && data.lineage.epoch() == after;
            if let Some(process) = other.process.as_ref().filter(|process| offers(&process.data)) {
                let equal = held >= process.data.last;
                what =
                    invariants::holds_what_was_offered(equal, || format!("it holds {held} of {}", process.data.last))
                        .err()
                        .map(|violation| violation.to_string());
            }
            self.pair.taken.push((after, epoch));
            self.pair.taken.sort_unstable();
        }
        if let Some(what) = what {
            let violation = self.known.violation(what);
            self.pair.violation.get_or_insert(violation);
        }
    }

    fn outcome(&mut self, before: u32, happens: &Happens) -> Follows {
        let key = (before, happens.clone());
        if let Some(outcome) = self.known.outcomes.get(&key) {
            return outcome.clone();
        }
        let (message, other) = match happens {
            Happens::LinkUp(message) | Happens::Hears(message) => (Some(&self.known.messages[*message as usize]), None),
            Happens::Joins(node) | Happens::Synced(node) | Happens::CatchesUp(node) => (None, self.known.data(*node)),
            _ => (None, None),
        };
        let outcome = self.known.nodes[before as usize].let_happen(self.plan, happens, message, other);
        let after = self.known.node(outcome.node);
        let violation = outcome.violation.map(|what| self.known.violation(what));
        let outcome = (after, outcome.acts, violation);
        self.known.outcomes.insert(key, outcome.clone());
        outcome
    }

    /// On the connection that the node knows of.
    fn send(&mut self, who: usize, message: u32) {
        if let Some(conn) = self.pair.conns.iter_mut().find(|conn| conn.ends[who] == End::Up) {
            conn.send(1 - who, message);
        }
    }

    /// This side closes its end.
    fn close(&mut self, who: usize, conn: usize) {
        let conn = &mut self.pair.conns[conn];
        if conn.ends[who] != End::Closed {
            conn.ends[who] = End::Closed;
            conn.wires[who].clear();
            conn.send(1 - who, CLOSED);
        }
    }

    fn greeting(&mut self, who: usize) -> Option<u32> {
        let mut greeting = self.known.nodes[self.pair.nodes[who] as usize].greeting(self.plan)?;
        crate::run::tell_no_time(&mut greeting.report);
        Some(self.known.message(Control::Greeting(Box::new(greeting))))
    }

    fn dial(&mut self) -> Option<()> {
        let greeting = self.greeting(1)?;
        let conn = Conn { ends: [End::Greeting; 2], wires: [vec![greeting], Vec::new()], greeting: CLOSED };
        self.pair.conns.push(conn);
        Some(())
    }

    fn arrives(&mut self, who: usize, at: usize) -> Option<()> {
        let conn = &mut self.pair.conns[at];
        if conn.wires[who].is_empty() || conn.ends[who] == End::Closed {
            return None;
        }
        let message = conn.wires[who].remove(0);
        let end = conn.ends[who];
        if message == CLOSED {
            conn.ends[who] = End::Closed;
            if end == End::Up {
                self.happen(who, &Happens::LinkDown);
            }
            return Some(());
        }
        match &self.known.messages[message as usize] {
            Control::Greeting(_) if who == 0 => {
                conn.greeting = message;
                let mine = self.greeting(0)?;
                self.pair.conns[at].send(1, mine);
            }
            Control::Greeting(_) => {
                conn.ends[1] = End::Up;
                let accepted = self.known.message(Control::Accepted);
                self.pair.conns[at].send(0, accepted);
                self.happen(1, &Happens::LinkUp(message));
            }
            Control::Accepted => {
                let theirs = conn.greeting;
                if let Some(old) = self.pair.conns.iter().position(|conn| conn.ends[0] == End::Up) {
                    // Its Backup came again before the Master noticed that it was gone.
                    self.close(0, old);
                    self.happen(0, &Happens::LinkDown);
                }
                self.pair.conns[at].ends[0] = End::Up;
                self.happen(0, &Happens::LinkUp(theirs));
            }
            _ => self.happen(who, &Happens::Hears(message)),
        }
        Some(())
    }
}

impl Conn {
    fn send(&mut self, to: usize, message: u32) {
        // Whoever has closed its end hears nothing; after a break nothing arrives.
        if self.ends[to] != End::Closed && self.wires[to].last() != Some(&CLOSED) {
            self.wires[to].push(message);
        }
    }

    /// Both ends stand, and none is about to hear that it does not.
    pub fn is_sound(&self) -> bool {
        self.ends == [End::Up; 2] && self.wires.iter().all(|wire| !wire.contains(&CLOSED))
    }
}
