//! The network, and what the link shells do with it: connect, greet, join the bulk lane, notice that one is gone.

use std::collections::BTreeMap;

use hotpair_core::arbiter::Input;
use hotpair_core::protocol::{Control, Greeting, PROTOCOL_VERSIONS, ProjectHash};
use hotpair_core::route::{Heard, hear};
use hotpair_core::types::BootId;
use hotpair_core::wire::{HEADER_BYTES, Kind, decode, decode_control, encode_control};

use crate::node::Mail;
use crate::trace::brief;
use crate::world::{Event, World};

const DIAL_AGAIN_US: u64 = 20_000;
const GREETING_TIMEOUT_US: u64 = 1_000_000;
/// More frames than credit allows would wait on a bulk connection.
const MAX_LANE_PACKETS: usize = 96;

#[derive(Default)]
pub struct Net {
    pub cut: bool,
    pub conns: BTreeMap<u64, Conn>,
    next: u64,
    pub lane_packets: usize,
}

pub struct Conn {
    pub bulk: bool,
    session: u64,
    /// Whether each side's end is open.
    pub open: [bool; 2],
    /// When the last packet to each side arrives.
    last: [u64; 2],
    /// Packets to each side that wait for the end of a cut.
    held: [Vec<Packet>; 2],
    under_way: [usize; 2],
    /// Those of them that are about alarms: their window counts what they carry.
    about_alarms: [usize; 2],
    broken: bool,
}

impl Conn {
    pub fn is_sound(&self) -> bool {
        self.open == [true; 2] && !self.broken
    }
}

pub enum Packet {
    Frame(Vec<u8>),
    Closed,
    /// The connection broke in the middle.
    Lost,
}

fn is_about_alarms(packet: &Packet) -> bool {
    matches!(packet, Packet::Frame(frame) if frame[2] == 3)
}

impl World {
    fn connect(&mut self, bulk: bool, session: u64) -> u64 {
        self.net.next += 1;
        let conn = Conn {
            bulk,
            session,
            open: [true; 2],
            last: [0; 2],
            held: [Vec::new(), Vec::new()],
            under_way: [0; 2],
            about_alarms: [0; 2],
            broken: false,
        };
        self.net.conns.retain(|_, conn| conn.open != [false; 2]);
        self.net.conns.insert(self.net.next, conn);
        self.net.next
    }

    fn transmit(&mut self, conn: u64, to: usize, packet: Packet) {
        let delay = self.rng.range(self.plan.net_us / 4, self.plan.net_us);
        let Some(c) = self.net.conns.get_mut(&conn) else { return };
        if c.broken {
            return;
        }
        if self.net.cut {
            return c.held[to].push(packet);
        }
        let at = (self.now + delay).max(c.last[to]);
        c.last[to] = at;
        c.under_way[to] += 1;
        c.about_alarms[to] += usize::from(is_about_alarms(&packet));
        let (bulk, waiting) = (c.bulk, c.under_way[to] - c.about_alarms[to]);
        self.net.lane_packets += usize::from(bulk);
        if bulk && waiting > MAX_LANE_PACKETS {
            self.check(hotpair_core::invariants::bounded("the bulk connection", waiting, MAX_LANE_PACKETS));
        }
        self.at(at, Event::Packet(conn, to, packet));
    }

    pub fn send_control(&mut self, from: usize, conn: Option<u64>, message: &Control) {
        let Some(conn) = conn.filter(|conn| self.net.conns.get(conn).is_some_and(|conn| conn.open[from])) else {
            return;
        };
        let frame = encode_control(message).unwrap();
        self.transmit(conn, 1 - from, Packet::Frame(frame));
    }

    pub fn send_lane(&mut self, from: usize, lane: Option<u64>, frame: Vec<u8>) {
        let Some(conn) = lane.filter(|conn| self.net.conns.get(conn).is_some_and(|conn| conn.open[from])) else {
            return;
        };
        self.transmit(conn, 1 - from, Packet::Frame(frame));
    }

    pub fn packet(&mut self, conn: u64, to: usize, packet: Packet) {
        let Some(c) = self.net.conns.get_mut(&conn) else { return };
        let lost = matches!(packet, Packet::Lost);
        if !lost && !c.broken {
            c.under_way[to] = c.under_way[to].saturating_sub(1);
            c.about_alarms[to] = c.about_alarms[to].saturating_sub(usize::from(is_about_alarms(&packet)));
            self.net.lane_packets = self.net.lane_packets.saturating_sub(usize::from(c.bulk));
        }
        if c.broken && !lost {
            return;
        }
        if !c.open[to] {
            if c.open[1 - to] && matches!(packet, Packet::Frame(_)) && self.nodes[to].machine {
                self.transmit(conn, 1 - to, Packet::Closed);
            }
            return;
        }
        match packet {
            Packet::Closed | Packet::Lost => {
                c.open[to] = false;
                self.lost(to, conn);
            }
            Packet::Frame(frame) if c.bulk => self.lane_frame(to, conn, frame),
            Packet::Frame(frame) => self.control_frame(to, conn, &frame),
        }
    }

    /// This side closes its end.
    fn close(&mut self, side: usize, conn: u64) {
        if let Some(c) = self.net.conns.get_mut(&conn)
            && c.open[side]
        {
            c.open[side] = false;
            self.transmit(conn, 1 - side, Packet::Closed);
        }
    }

    /// Both ends learn of it, each in its time; what is under way is lost.
    pub fn break_connection(&mut self, conn: u64) {
        let Some(c) = self.net.conns.get_mut(&conn) else { return };
        c.broken = true;
        c.held = [Vec::new(), Vec::new()];
        if c.bulk {
            let lost = std::mem::take(&mut c.under_way).iter().sum::<usize>();
            self.net.lane_packets = self.net.lane_packets.saturating_sub(lost);
        }
        for side in 0..2 {
            let late = self.rng.pick(&[0, 1_000, 40_000, 400_000]);
            self.after(late, Event::Packet(conn, side, Packet::Lost));
        }
    }

    pub fn net_heals(&mut self) {
        self.net.cut = false;
        self.note(|| "the network is whole again".into());
        let held: Vec<_> = self.net.conns.iter_mut().map(|(id, conn)| (*id, std::mem::take(&mut conn.held))).collect();
        for (id, sides) in held {
            for (side, packets) in sides.into_iter().enumerate() {
                for packet in packets {
                    self.transmit(id, side, packet);
                }
            }
        }
    }

    /// The process of this node is gone; so are its ends, and the peer learns of it unless the machine died too.
    pub fn ends_die(&mut self, node: usize, silently: bool) {
        let ids: Vec<_> = self.net.conns.keys().copied().collect();
        for id in ids {
            if silently {
                if let Some(conn) = self.net.conns.get_mut(&id) {
                    conn.open[node] = false;
                }
            } else {
                self.close(node, id);
            }
        }
    }

    /// A machine that starts knows nothing of its old connections.
    pub fn reset_connections_of_the_dead(&mut self, node: usize) {
        let ids = self.net.conns.iter().filter(|(_, c)| !c.open[node] && c.open[1 - node]).map(|(id, _)| *id);
        for id in ids.collect::<Vec<_>>() {
            self.transmit(id, 1 - node, Packet::Closed);
        }
    }

    /// The Backup connects, again and again.
    pub fn dial(&mut self, node: usize) {
        let boot = self.nodes[node].boots;
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.link.is_some() {
            return;
        }
        if let Some((conn, since, _)) = process.greeting {
            if self.now - since > GREETING_TIMEOUT_US {
                process.greeting = None;
                self.close(node, conn);
            }
        } else if !self.net.cut && self.nodes[0].machine {
            if self.nodes[0].process.is_none() {
                self.refused(node);
            } else {
                let conn = self.connect(false, 0);
                let greeting = self.greeting(node, 0);
                if let Some(process) = &mut self.nodes[node].process {
                    process.greeting = Some((conn, self.now, None));
                }
                self.send_control(node, Some(conn), &Control::Greeting(Box::new(greeting)));
            }
        }
        self.after(DIAL_AGAIN_US, Event::Dial(node, boot));
    }

    /// The Master asks whether its lost Backup's process is there.
    pub fn probe(&mut self, node: usize) {
        let boot = self.nodes[node].boots;
        let linked = self.nodes[node].process.as_ref().is_some_and(|process| process.link.is_some());
        if linked {
            return;
        }
        if !self.net.cut && self.nodes[1].machine && self.nodes[1].process.is_none() {
            self.refused(node);
        }
        self.after(DIAL_AGAIN_US, Event::Probe(node, boot));
    }

    fn refused(&mut self, node: usize) {
        if let Some(process) = &mut self.nodes[node].process
            && std::mem::take(&mut process.lost)
        {
            self.mail(node, Mail::Arbiter(Input::ProvenDead));
        }
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

    fn control_frame(&mut self, node: usize, conn: u64, frame: &[u8]) {
        let whole = decode(frame, Kind::Control).unwrap().unwrap();
        let message = decode_control(whole.body).unwrap();
        let Some(process) = &mut self.nodes[node].process else { return };
        match message {
            Control::Greeting(theirs) if node == 0 => {
                // Its Backup greets anew: the old connection is worth nothing.
                if let Some(old) = process.link {
                    self.close(node, old);
                    self.lost(node, old);
                }
                let mine = self.greeting(node, conn);
                if let Some(process) = &mut self.nodes[node].process {
                    process.greeting = Some((conn, self.now, Some(theirs)));
                }
                self.send_control(node, Some(conn), &Control::Greeting(Box::new(mine)));
            }
            Control::Greeting(theirs) => {
                if process.greeting.as_ref().is_some_and(|(expected, ..)| *expected == conn) {
                    process.greeting = None;
                    self.send_control(node, Some(conn), &Control::Accepted);
                    self.link_up(node, conn, theirs);
                    let boot = self.nodes[node].boots;
                    let soon = self.rng.range(0, 2_000);
                    self.after(soon, Event::LaneDial(node, boot));
                }
            }
            Control::Accepted => {
                if process.greeting.as_ref().is_some_and(|(expected, ..)| *expected == conn)
                    && let Some((_, _, Some(theirs))) = process.greeting.take()
                {
                    self.link_up(node, conn, theirs);
                }
            }
            _ if process.link != Some(conn) => {}
            message => self.hear(node, message),
        }
    }

    fn hear(&mut self, node: usize, message: Control) {
        let now = self.nodes[node].mono(self.now);
        let Some(process) = &mut self.nodes[node].process else { return };
        let link = process.link;
        match hear(message) {
            Heard::Heartbeat(Control::Ping { number, stalled_ms }) => {
                let noticed = process.detector.alive(stalled_ms, now);
                self.noticed(node, noticed);
                self.send_control(node, link, &Control::Pong { number, stalled_ms: 0 });
            }
            Heard::Heartbeat(Control::Pong { number, stalled_ms }) => {
                let noticed = process.detector.pong(number, stalled_ms, now);
                self.noticed(node, noticed);
            }
            Heard::Arbiter(input) => {
                let noticed = process.detector.alive(0, now);
                self.noticed(node, noticed);
                self.mail(node, Mail::Arbiter(input));
            }
            Heard::Tags(input) => self.mail(node, Mail::Tags(input)),
            Heard::Alarms(input) => self.mail(node, Mail::Alarms(input)),
            Heard::Heartbeat(_) | Heard::License(_) | Heard::Nobody => {}
        }
    }

    fn link_up(&mut self, node: usize, conn: u64, theirs: Box<Greeting>) {
        self.note(|| format!("{}: link {conn} up: {}", self.nodes[node].name, brief(&format!("{:?}", theirs.report))));
        let now = self.nodes[node].mono(self.now);
        let Some(process) = &mut self.nodes[node].process else { return };
        process.link = Some(conn);
        process.lost = false;
        let noticed = process.detector.link_up(now);
        self.mail(node, Mail::ArbiterUp(conn, theirs));
        self.mail(node, Mail::TagsUp(conn));
        self.noticed(node, noticed);
    }

    /// This node's end of a connection is closed.
    fn lost(&mut self, node: usize, conn: u64) {
        let boot = self.nodes[node].boots;
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.greeting.as_ref().is_some_and(|(greeting, ..)| *greeting == conn) {
            process.greeting = None;
            process.lost = true;
        }
        if process.lane == Some(conn) {
            process.lane = None;
            self.note(|| format!("{}: lane {conn} down", self.nodes[node].name));
            self.mail(node, Mail::LaneDown);
            if node == 1 {
                self.after(DIAL_AGAIN_US, Event::LaneDial(node, boot));
            }
        } else if process.link == Some(conn) {
            process.link = None;
            process.lost = true;
            process.detector.link_down();
            self.note(|| format!("{}: link {conn} down", self.nodes[node].name));
            let lane = self.nodes[node].process.as_mut().and_then(|process| process.lane.take());
            if let Some(lane) = lane {
                self.close(node, lane);
                self.mail(node, Mail::LaneDown);
            }
            self.mail(node, Mail::TagsDown);
            self.mail(node, Mail::ArbiterDown(conn));
            let soon = self.rng.range(0, DIAL_AGAIN_US);
            self.after(soon, if node == 1 { Event::Dial(node, boot) } else { Event::Probe(node, boot) });
        }
    }

    pub fn drop_link(&mut self, node: usize) {
        let link = self.nodes[node].process.as_ref().and_then(|process| process.link);
        if let Some(conn) = link {
            self.close(node, conn);
            self.lost(node, conn);
        }
    }

    pub fn close_lane(&mut self, node: usize) {
        let lane = self.nodes[node].process.as_ref().and_then(|process| process.lane);
        if let Some(conn) = lane {
            self.close(node, conn);
            self.lost(node, conn);
        }
    }

    /// The Backup opens the bulk connection of its link.
    pub fn dial_lane(&mut self, node: usize) {
        let boot = self.nodes[node].boots;
        let Some(process) = &self.nodes[node].process else { return };
        let (Some(session), None) = (process.link, process.lane) else { return };
        if self.net.cut || self.nodes[0].process.is_none() {
            return self.after(DIAL_AGAIN_US, Event::LaneDial(node, boot));
        }
        let conn = self.connect(true, session);
        let join = encode_control(&Control::JoinBulk { session }).unwrap();
        self.transmit(conn, 0, Packet::Frame(join));
        if let Some(process) = &mut self.nodes[node].process {
            process.lane = Some(conn);
        }
        self.mail(node, Mail::LaneUp(conn));
    }

    fn lane_frame(&mut self, node: usize, conn: u64, frame: Vec<u8>) {
        let Some(process) = &mut self.nodes[node].process else { return };
        if frame[2] == 1 {
            let session = self.net.conns[&conn].session;
            if process.link != Some(session) {
                return self.close(node, conn);
            }
            let old = process.lane;
            if let Some(old) = old {
                self.close(node, old);
                self.lost(node, old);
            }
            if let Some(process) = &mut self.nodes[node].process {
                process.lane = Some(conn);
            }
            return self.mail(node, Mail::LaneUp(conn));
        }
        if process.lane == Some(conn) {
            debug_assert!(frame.len() >= HEADER_BYTES);
            self.mail(node, Mail::Frame(conn, frame));
        }
    }
}
