//! What the shells of the link do: connect, greet, join the bulk lane, tell everybody when a connection comes or goes.
//!
//! The Backup's attempts and the greetings are tasks of their own. What they find goes into the mailbox of PeerLink.

use hotpair_core::arbiter::Input;
use hotpair_core::greeting::check;
use hotpair_core::protocol::{Control, Greeting, PROTOCOL_VERSIONS, ProjectHash, Refusal};
use hotpair_core::replicator::TagInput;
use hotpair_core::route::{Heard, hear};
use hotpair_core::types::BootId;
use hotpair_core::wire::{Kind, decode, decode_control, encode_control};

use crate::net::Packet;
use crate::node::{Attempt, Mail};
use crate::trace::brief;
use crate::world::{Event, World};

const FIRST_PAUSE_US: u64 = 2_000;
const LAST_PAUSE_US: u64 = 64_000;
/// With its jitter.
pub const LONGEST_PAUSE_US: u64 = LAST_PAUSE_US * 3 / 2;
const ASK_ALIVE_US: u64 = 20_000;
const ASK_ALIVE_WITHIN_US: u64 = 200_000;
pub const GREETING_TIMEOUT_US: u64 = 1_000_000;

/// To PeerLink.
pub enum LinkMail {
    /// A connection passed its greeting.
    Greeted(u64, Box<Greeting>),
    /// The reading of a connection ended.
    Ended(u64),
    /// Close the connection.
    Drop,
}

/// The mailbox of PeerLink.
impl World {
    pub fn read_link_mail(&mut self, node: usize, mail: LinkMail) {
        match mail {
            LinkMail::Greeted(conn, theirs) => self.greeted(node, conn, theirs),
            LinkMail::Ended(conn) => {
                let Some(process) = &mut self.nodes[node].process else { return };
                if process.generation == conn {
                    process.link = None;
                    self.note(|| format!("{}: link {conn} down", self.nodes[node].name));
                    self.announce(node, false);
                    self.seek(node);
                }
            }
            LinkMail::Drop => {
                let Some(process) = &mut self.nodes[node].process else { return };
                if let Some(conn) = process.link.take() {
                    self.close(node, conn);
                    self.mail(node, Mail::Link(LinkMail::Ended(conn)));
                }
            }
        }
    }

    fn greeted(&mut self, node: usize, conn: u64, theirs: Box<Greeting>) {
        self.note(|| format!("{}: link {conn} up: {}", self.nodes[node].name, brief(&format!("{:?}", theirs.report))));
        self.stop_seeking(node);
        let Some(process) = &mut self.nodes[node].process else { return };
        if let Some(old) = process.link.take() {
            // The peer came again before this node noticed that it was gone.
            self.close(node, old);
            self.announce(node, false);
        }
        let round_trip = 2 * (self.plan.net_us + self.net.worst_us());
        let Some(process) = &mut self.nodes[node].process else { return };
        process.link = Some(conn);
        process.generation = conn;
        process.peer = Some(theirs.clone());
        process.alive_at = round_trip < ASK_ALIVE_WITHIN_US;
        self.mail(node, Mail::TagsUp(conn));
        self.mail(node, Mail::LinkChanged(true));
        let license = self.nodes[node].license();
        self.send_control(node, Some(conn), &Control::License(license));
        self.mail(node, Mail::ArbiterUp(conn, theirs));
        let Some(process) = &mut self.nodes[node].process else { return };
        let early: Vec<_> = process.early.extract_if(.., |(early, _)| *early == conn).collect();
        for (_, message) in early {
            self.deliver(node, message);
        }
        if self.net.conns.get(&conn).is_none_or(|c| !c.open[node]) {
            self.mail(node, Mail::Link(LinkMail::Ended(conn)));
        }
        if node == 1 {
            let boot = self.nodes[node].boots;
            let soon = self.chance.range(0, 2_000);
            self.after(soon, Event::LaneDial(node, boot, conn));
        }
    }

    fn announce(&mut self, node: usize, up: bool) {
        self.mail(node, if up { Mail::Tags(TagInput::LinkUp) } else { Mail::TagsDown });
        self.mail(node, Mail::LinkChanged(up));
        if !up {
            self.mail(node, Mail::ArbiterDown);
        }
    }

    /// PeerLink was started again: its timers and tasks outlived it, but it may have missed the end of its connection.
    pub fn link_works_again(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        match process.link {
            Some(conn) if self.net.conns.get(&conn).is_none_or(|c| !c.open[node]) => {
                self.mail(node, Mail::Link(LinkMail::Ended(conn)));
            }
            None if node == 1 => self.seek(node),
            _ => {}
        }
    }
}

/// Connecting.
impl World {
    /// The Backup's endless attempt, and the Master's question whether a lost Backup's process lives.
    pub fn seek(&mut self, node: usize) {
        self.stop_seeking(node);
        let boot = self.nodes[node].boots;
        let Some(process) = &mut self.nodes[node].process else { return };
        process.pause_us = FIRST_PAUSE_US;
        let token = process.seeking;
        if node == 1 {
            self.after(0, Event::Dial(node, boot, token));
        } else if process.alive_at {
            self.after(0, Event::Probe(node, boot, token));
        }
    }

    fn stop_seeking(&mut self, node: usize) {
        let Some(process) = &mut self.nodes[node].process else { return };
        process.seeking += 1;
        let given_up: Vec<_> = process.attempts.extract_if(.., |attempt| attempt.token.is_some()).collect();
        for attempt in given_up {
            self.close(node, attempt.conn);
        }
    }

    /// The Backup tries once more. `token`: of its endless attempt.
    pub fn dial(&mut self, node: usize, token: u64) {
        if self.nodes[node].process.as_ref().is_none_or(|process| process.seeking != token) {
            return;
        }
        if self.net.is_cut() || !self.nodes[0].machine {
            return self.dial_later(node, token, 100_000);
        }
        if self.nodes[0].process.is_none() {
            let met = self.nodes[node].process.as_ref().is_some_and(|process| process.peer.is_some());
            if met {
                self.mail(node, Mail::Arbiter(Input::ProvenDead));
            }
            return self.dial_later(node, token, 0);
        }
        self.greet(node, Some(token));
    }

    fn dial_later(&mut self, node: usize, token: u64, more: u64) {
        let boot = self.nodes[node].boots;
        let Some(process) = &mut self.nodes[node].process else { return };
        let pause = process.pause_us + more;
        process.pause_us = (process.pause_us * 2).min(LAST_PAUSE_US);
        let jitter = self.chance.range(0, pause / 2);
        self.after(pause + jitter, Event::Dial(node, boot, token));
    }

    /// The Backup connects and greets.
    pub fn greet(&mut self, node: usize, token: Option<u64>) {
        if self.nodes[node].process.is_none() || self.nodes[0].process.is_none() || self.net.is_cut() {
            return;
        }
        let conn = self.connect(false, 0);
        let greeting = self.greeting(node, 0);
        self.attempt(node, Attempt { conn, token, theirs: None });
        self.send_control(node, Some(conn), &Control::Greeting(Box::new(greeting)));
    }

    fn attempt(&mut self, node: usize, attempt: Attempt) {
        let (boot, conn) = (self.nodes[node].boots, attempt.conn);
        if let Some(process) = &mut self.nodes[node].process {
            process.attempts.push(attempt);
        }
        self.after(GREETING_TIMEOUT_US, Event::GreetingTimeout(node, boot, conn));
    }

    fn take_attempt(&mut self, node: usize, conn: u64) -> Option<Attempt> {
        let attempts = &mut self.nodes[node].process.as_mut()?.attempts;
        let at = attempts.iter().position(|attempt| attempt.conn == conn)?;
        Some(attempts.remove(at))
    }

    /// A greeting came to nothing.
    pub fn greeting_failed(&mut self, node: usize, conn: u64, more: u64) {
        let Some(attempt) = self.take_attempt(node, conn) else { return };
        self.close(node, conn);
        if let Some(token) = attempt.token {
            self.dial_later(node, token, more);
        }
    }

    /// The Master asks whether its lost Backup's process is there.
    pub fn probe(&mut self, node: usize, token: u64) {
        if self.nodes[node].process.as_ref().is_none_or(|process| process.seeking != token) {
            return;
        }
        if !self.net.is_cut() && self.nodes[1].machine && self.nodes[1].process.is_none() {
            return self.mail(node, Mail::Arbiter(Input::ProvenDead));
        }
        let boot = self.nodes[node].boots;
        self.after(ASK_ALIVE_US, Event::Probe(node, boot, token));
    }

    fn greeting(&mut self, node: usize, session: u64) -> Greeting {
        let now = self.nodes[node].mono(self.now);
        let recovery = self.plan.recovery;
        let n = &mut self.nodes[node];
        let tag_list = n.catalog.hash();
        let process = n.process.as_mut().unwrap();
        process.arbiter.hear_tags(process.facts());
        Greeting {
            protocol: PROTOCOL_VERSIONS,
            features: 0,
            version: "sim".into(),
            node: n.id,
            boot: BootId(n.boots * 2 + node as u64),
            name: "Line1".into(),
            mode: n.mode,
            recovery,
            http: String::new(),
            alive_at: String::new(),
            project: ProjectHash { tag_list, files: Vec::new() },
            session,
            report: process.arbiter.report(now),
        }
    }

    pub fn control_frame(&mut self, node: usize, conn: u64, frame: &[u8]) {
        let whole = decode(frame, Kind::Control).unwrap().unwrap();
        let message = decode_control(whole.body).unwrap();
        if self.nodes[node].process.is_none() {
            return;
        }
        match message {
            Control::Greeting(theirs) if node == 0 => self.answer_greeting(conn, theirs),
            Control::Greeting(theirs) => self.take_greeting(conn, theirs),
            Control::Accepted => {
                if let Some(Attempt { theirs: Some(theirs), .. }) = self.take_attempt(node, conn) {
                    self.greeting_passed(node, conn, theirs);
                }
            }
            Control::Refused(refusal) => {
                if node == 1 {
                    self.mail(node, Mail::Arbiter(Input::Refused { reason: refusal.reason }));
                }
                self.greeting_failed(node, conn, LAST_PAUSE_US * 7);
            }
            message => {
                let Some(process) = &mut self.nodes[node].process else { return };
                if process.link == Some(conn) {
                    self.deliver(node, message);
                } else if process.passed.contains(&conn) {
                    process.early.push((conn, message));
                }
            }
        }
    }

    /// At the Master.
    fn answer_greeting(&mut self, conn: u64, theirs: Box<Greeting>) {
        let mine = self.greeting(0, conn);
        let Some(process) = &self.nodes[0].process else { return };
        let other = process.peer.as_ref().filter(|peer| process.link.is_some() && peer.node != theirs.node);
        let other = other.map(|present| Refusal::second_backup(&mine, present, &theirs));
        let refusal = check(&mine, &theirs).err().or(other);
        if let Some(refusal) = refusal {
            self.send_control(0, Some(conn), &Control::Refused(refusal));
            return self.close(0, conn);
        }
        self.attempt(0, Attempt { conn, token: None, theirs: Some(theirs) });
        self.send_control(0, Some(conn), &Control::Greeting(Box::new(mine)));
    }

    /// At the Backup.
    fn take_greeting(&mut self, conn: u64, theirs: Box<Greeting>) {
        if self.take_attempt(1, conn).is_some() {
            self.send_control(1, Some(conn), &Control::Accepted);
            self.greeting_passed(1, conn, theirs);
        }
    }

    fn greeting_passed(&mut self, node: usize, conn: u64, theirs: Box<Greeting>) {
        if let Some(process) = &mut self.nodes[node].process {
            process.passed.push(conn);
        }
        self.mail(node, Mail::Link(LinkMail::Greeted(conn, theirs)));
    }

    fn deliver(&mut self, node: usize, message: Control) {
        match hear(message) {
            Heard::Heartbeat(ping) => self.mail(node, Mail::Beat(ping)),
            Heard::Arbiter(input) => self.mail(node, Mail::Arbiter(input)),
            Heard::Tags(input) => self.mail(node, Mail::Tags(input)),
            Heard::Alarms(input) => self.mail(node, Mail::Alarms(input)),
            Heard::License(facts) => {
                if let Some(process) = &mut self.nodes[node].process {
                    process.peer_license = Some(facts);
                }
            }
            Heard::Nobody => {}
        }
    }

    /// This node's end of a connection is closed: whoever reads it notices.
    pub fn ended(&mut self, node: usize, conn: u64) {
        let bulk = self.net.conns.get(&conn).is_some_and(|c| c.bulk);
        let Some(process) = &self.nodes[node].process else { return };
        if bulk {
            self.mail(node, Mail::LaneEnded(conn));
        } else if process.generation == conn {
            self.mail(node, Mail::Link(LinkMail::Ended(conn)));
        } else {
            self.greeting_failed(node, conn, 0);
        }
    }
}

/// The bulk connection.
impl World {
    /// The Backup opens the bulk connection of its link, as long as that stands.
    pub fn dial_lane(&mut self, node: usize, session: u64) {
        let boot = self.nodes[node].boots;
        let Some(process) = &self.nodes[node].process else { return };
        if process.link != Some(session) {
            return;
        }
        if self.net.is_cut() || self.nodes[0].process.is_none() {
            let pause = self.chance.range(2_000, 200_000);
            return self.after(pause, Event::LaneDial(node, boot, session));
        }
        let conn = self.connect(true, session);
        let join = encode_control(&Control::JoinBulk { session }).unwrap();
        self.transmit(conn, 0, Packet::Frame(join));
        self.mail(node, Mail::OpenLane(conn));
    }

    pub fn lane_frame(&mut self, node: usize, conn: u64, frame: Vec<u8>) {
        let Some(process) = &self.nodes[node].process else { return };
        if frame[2] != 1 {
            return self.mail(node, Mail::Frame(conn, frame));
        }
        if process.link == Some(self.net.conns[&conn].session) {
            self.mail(node, Mail::OpenLane(conn));
        } else {
            self.close(node, conn);
        }
    }

    pub fn open_lane(&mut self, node: usize, conn: u64) {
        self.close_lane(node, None);
        let Some(process) = &mut self.nodes[node].process else { return };
        process.tags_lane = Some(conn);
        self.tags(node, TagInput::LaneUp);
        if self.net.conns.get(&conn).is_none_or(|c| !c.open[node]) {
            self.mail(node, Mail::LaneEnded(conn));
        }
    }

    /// `only`: if it is this one.
    pub fn close_lane(&mut self, node: usize, only: Option<u64>) {
        let boot = self.nodes[node].boots;
        let Some(process) = &mut self.nodes[node].process else { return };
        let Some(conn) = process.tags_lane.take_if(|lane| only.is_none_or(|only| only == *lane)) else { return };
        self.note(|| format!("{}: lane {conn} down", self.nodes[node].name));
        self.close(node, conn);
        let session = self.net.conns.get(&conn).map(|c| c.session);
        self.tags(node, TagInput::LaneDown);
        if let Some(session) = session.filter(|_| node == 1) {
            let pause = self.chance.range(2_000, 40_000);
            self.after(pause, Event::LaneDial(node, boot, session));
        }
    }
}
