//! The network: connections, how long a packet is under way, and what becomes of it when the cable is cut or an end is
//! gone.

use std::collections::BTreeMap;

use hotpair_core::bulk::{Bulk, Incoming, decode};
use hotpair_core::protocol::Control;
use hotpair_core::wire::{HEADER_BYTES, encode_control};

use crate::world::{Event, World};

/// More frames than credit allows would wait on a bulk connection.
const MAX_LANE_PACKETS: usize = 96;

#[derive(Default)]
pub struct Net {
    /// Whether the cable carries nothing to each node, and when that ends.
    cut: [Option<u64>; 2],
    /// A packet takes so much longer, until then.
    pub more: Option<(u64, u64)>,
    /// So many bytes a millisecond, until then.
    pub narrow: Option<(u64, u64)>,
    pub conns: BTreeMap<u64, Conn>,
    next: u64,
    pub lane_packets: usize,
    /// Until then a packet may be under way that took longer than it should.
    pub slow_until: u64,
}

pub struct Conn {
    pub bulk: bool,
    pub session: u64,
    /// Whether each side's end is open.
    pub open: [bool; 2],
    /// When the last packet to each side arrives.
    last: [u64; 2],
    /// When the last packet to each side has left.
    left: [u64; 2],
    /// Packets to each side that wait for the end of a cut.
    held: [Vec<Packet>; 2],
    under_way: [usize; 2],
    /// Those of them that are about alarms: their window counts what they carry.
    about_alarms: [usize; 2],
    broken: bool,
    /// It carries nothing any more, and nobody is told.
    pub stuck: bool,
    /// A closed end does not say so to whoever still sends.
    pub mute: bool,
}

impl Conn {
    pub fn is_sound(&self) -> bool {
        self.open == [true; 2] && !self.broken && !self.stuck
    }
}

impl Net {
    pub fn is_cut(&self) -> bool {
        self.cut.iter().any(Option::is_some)
    }

    /// How much longer than usual a packet may take now.
    pub fn worst_us(&self) -> u64 {
        self.more.map_or(0, |(more, _)| more)
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

/// Not an acknowledgement: of these there is one for each operation of a disk that answers at last, and no credit.
fn is_data(event: &Event, on: u64, side: usize) -> bool {
    let Event::Packet(conn, to, Packet::Frame(frame)) = event else { return false };
    let ack = || matches!(decode(&frame[HEADER_BYTES..]), Ok(Incoming::Message(Bulk::Ack { .. })));
    (*conn, *to) == (on, side) && frame[2] == 2 && !ack()
}

impl World {
    pub fn connect(&mut self, bulk: bool, session: u64) -> u64 {
        self.net.next += 1;
        let conn = Conn {
            bulk,
            session,
            open: [true; 2],
            last: [0; 2],
            left: [0; 2],
            held: [Vec::new(), Vec::new()],
            under_way: [0; 2],
            about_alarms: [0; 2],
            broken: false,
            stuck: false,
            mute: false,
        };
        self.net.conns.retain(|_, conn| conn.open != [false; 2]);
        self.net.conns.insert(self.net.next, conn);
        self.net.next
    }

    pub fn transmit(&mut self, conn: u64, to: usize, packet: Packet) {
        let delay = self.chance.range(self.plan.net_us / 4, self.plan.net_us) + self.net.worst_us();
        let narrow = self.net.narrow;
        let Some(c) = self.net.conns.get_mut(&conn) else { return };
        if c.broken || c.stuck {
            return;
        }
        if self.net.cut[to].is_some() {
            return c.held[to].push(packet);
        }
        if let (Some((bytes_per_ms, _)), Packet::Frame(frame)) = (narrow, &packet) {
            c.left[to] = c.left[to].max(self.now) + frame.len() as u64 * 1000 / bytes_per_ms;
        }
        let at = (c.left[to].max(self.now) + delay).max(c.last[to]);
        c.last[to] = at;
        if !c.bulk {
            for process in self.nodes.iter_mut().filter_map(|node| node.process.as_mut()) {
                process.slowest_us = process.slowest_us.max(at - self.now);
            }
        }
        if at > self.now + self.plan.net_us {
            self.net.slow_until = self.net.slow_until.max(at);
        }
        c.under_way[to] += 1;
        c.about_alarms[to] += usize::from(is_about_alarms(&packet));
        let (bulk, waiting) = (c.bulk, c.under_way[to] - c.about_alarms[to]);
        self.net.lane_packets += usize::from(bulk);
        self.at(at, Event::Packet(conn, to, packet));
        if bulk && waiting > MAX_LANE_PACKETS {
            let waiting = self.queue.values().filter(|event| is_data(event, conn, to)).count();
            self.check(hotpair_core::invariants::bounded("the bulk connection", waiting, MAX_LANE_PACKETS));
        }
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
        self.calm_hears(&frame);
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
        if (c.broken || c.stuck) && !lost {
            return;
        }
        if !c.open[to] {
            if c.open[1 - to] && !c.mute && matches!(packet, Packet::Frame(_)) && self.nodes[to].machine {
                self.transmit(conn, 1 - to, Packet::Closed);
            }
            return;
        }
        match packet {
            Packet::Closed | Packet::Lost => {
                c.open[to] = false;
                self.ended(to, conn);
            }
            Packet::Frame(frame) if c.bulk => self.lane_frame(to, conn, frame),
            Packet::Frame(frame) => self.control_frame(to, conn, &frame),
        }
    }

    /// This side closes its end.
    pub fn close(&mut self, side: usize, conn: u64) {
        if let Some(c) = self.net.conns.get_mut(&conn)
            && c.open[side]
        {
            c.open[side] = false;
            self.transmit(conn, 1 - side, Packet::Closed);
        }
    }

    /// Both ends learn of it, each in its time; what is under way is lost.
    pub fn break_connection(&mut self, conn: u64, late: [u64; 2]) {
        let Some(c) = self.net.conns.get_mut(&conn) else { return };
        c.broken = true;
        self.forget_under_way(conn);
        for (side, late) in late.into_iter().enumerate() {
            self.after(late, Event::Packet(conn, side, Packet::Lost));
        }
    }

    /// From now on it carries nothing.
    pub fn stick_connection(&mut self, conn: u64) {
        let Some(c) = self.net.conns.get_mut(&conn) else { return };
        c.stuck = true;
        self.forget_under_way(conn);
    }

    fn forget_under_way(&mut self, conn: u64) {
        let Some(c) = self.net.conns.get_mut(&conn) else { return };
        c.held = [Vec::new(), Vec::new()];
        if c.bulk {
            let lost = std::mem::take(&mut c.under_way).iter().sum::<usize>();
            self.net.lane_packets = self.net.lane_packets.saturating_sub(lost);
        }
    }

    /// Connections of a kind that both ends hold for good.
    pub fn sound_connections(&self, bulk: bool) -> Vec<u64> {
        self.net.conns.iter().filter(|(_, c)| c.bulk == bulk && c.is_sound()).map(|(id, _)| *id).collect()
    }

    pub fn cut(&mut self, to: Option<usize>, until: u64) {
        for side in (0..2).filter(|side| to.is_none_or(|to| to == *side)) {
            self.net.cut[side] = self.net.cut[side].max(Some(until));
        }
        self.at(until, Event::NetHeals);
    }

    /// What has lasted long enough ends.
    pub fn net_heals(&mut self) {
        let now = self.now;
        self.net.more = self.net.more.filter(|(_, until)| *until > now);
        self.net.narrow = self.net.narrow.filter(|(_, until)| *until > now);
        for side in 0..2 {
            if self.net.cut[side].is_none_or(|until| until > now) {
                continue;
            }
            self.net.cut[side] = None;
            self.note(|| format!("the network carries to the {} again", self.nodes[side].name));
            let held: Vec<_> =
                self.net.conns.iter_mut().map(|(id, conn)| (*id, std::mem::take(&mut conn.held[side]))).collect();
            for (id, packets) in held {
                for packet in packets {
                    self.transmit(id, side, packet);
                }
            }
        }
    }

    pub fn net_heals_at_once(&mut self) {
        let now = self.now;
        for until in self.net.cut.iter_mut().flatten() {
            *until = now;
        }
        for (_, until) in self.net.more.iter_mut().chain(&mut self.net.narrow) {
            *until = now;
        }
        self.net_heals();
    }

    /// The process of this node is gone; so are its ends, and the peer learns of it unless the machine died too.
    pub fn ends_die(&mut self, node: usize, silently: bool) {
        let ids: Vec<_> = self.net.conns.keys().copied().collect();
        for id in ids {
            if silently {
                if let Some(conn) = self.net.conns.get_mut(&id) {
                    conn.open[node] = false;
                    conn.held[1 - node].clear();
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
}
