//! Faults happen, and end.

use hotpair_core::arbiter::Input;
use hotpair_core::replicator::TagInput;

use crate::fault::{Actor, Fault, Returns};
use crate::link::LinkMail;
use crate::node::{Mail, Torn};
use crate::world::{Event, World};

impl World {
    /// The fault with this place in the schedule happens.
    pub fn fault(&mut self, place: usize) {
        let scheduled = self.schedule.faults[place].clone();
        self.note(|| format!("--- {}", scheduled.fault));
        self.happened[scheduled.kind] += 1;
        match scheduled.fault {
            Fault::Crash { node, lasts, written, returns } => self.goes_down(node, lasts, written, returns, true),
            Fault::PowerOff { node, lasts, written, returns } => self.goes_down(node, lasts, written, returns, false),
            Fault::PowerCut { lasts, written } => {
                self.strike(true);
                for node in 0..2 {
                    if self.nodes[node].process.is_some() {
                        self.nodes[node].returns = Returns::AsItWas;
                        self.down(node, written[node], false);
                        self.after(lasts[node], Event::Boot(node));
                    }
                }
            }
            Fault::CleanStop { node, returns } => {
                // One that is down does not stop: its disk would be lost whenever it goes down next.
                if self.nodes[node].process.is_some() {
                    self.nodes[node].returns = returns;
                }
                self.mail(node, Mail::Arbiter(Input::Shutdown { reason: "maintenance".into() }));
            }
            Fault::Pause { node, lasts } => {
                if self.nodes[node].works() {
                    self.strike(false);
                    self.nodes[node].paused = true;
                    self.after(lasts, Event::Continue(node));
                }
            }
            Fault::Switch { node } => self.press_switch(node),
            Fault::SwitchAtBoth => {
                self.press_switch(0);
                self.press_switch(1);
            }
            Fault::Hold { node, ms } => {
                let hold = Input::Hold { ms, reason: "maintenance".into(), user: "operator".into() };
                self.mail(node, Mail::Arbiter(hold));
            }
            Fault::Faulted { node, lasts } => {
                self.mail(node, Mail::Arbiter(Input::Fault(Some("an actor keeps failing".into()))));
                self.after(lasts, Event::ClearFault(node));
            }
            Fault::ActorKilled { node, actor, lasts } => self.actor_dies(node, actor as usize, lasts),
            Fault::TornBy { node, actor, lasts, written } => {
                if let Some(process) = &mut self.nodes[node].process {
                    process.torn_by_next[actor as usize] = Some(Torn { lasts, written });
                }
            }
            Fault::WallJump { node, by_ms } => self.nodes[node].wall_offset_ms += by_ms,
            Fault::Drift { node, ppm } => self.nodes[node].drift(ppm, self.now),
            other => self.network_or_disk_fails(&other),
        }
    }

    fn network_or_disk_fails(&mut self, fault: &Fault) {
        if !matches!(
            fault,
            Fault::Heal | Fault::SecondConnection | Fault::DiskSlow { .. } | Fault::JournalForgets { .. }
        ) {
            self.strike(false);
        }
        match *fault {
            Fault::Cut { to, lasts } => self.cut(to, self.now + lasts),
            Fault::Heal => self.net_heals_at_once(),
            Fault::Delay { more, lasts } => {
                self.net.more = Some((more, self.now + lasts));
                self.after(lasts, Event::NetHeals);
            }
            Fault::SlowLink { bytes_per_ms, lasts } => {
                self.net.narrow = Some((bytes_per_ms, self.now + lasts));
                self.after(lasts, Event::NetHeals);
            }
            Fault::Reset { bulk, late } => {
                for conn in self.sound_connections(bulk) {
                    self.break_connection(conn, late);
                }
            }
            Fault::Stuck { bulk } => {
                for conn in self.sound_connections(bulk) {
                    self.stick_connection(conn);
                }
            }
            Fault::HalfOpen { node } => {
                let link = self.nodes[node].process.as_ref().and_then(|process| process.link);
                if let Some(conn) = link
                    && let Some(c) = self.net.conns.get_mut(&conn)
                {
                    c.open[node] = false;
                    c.mute = true;
                    self.mail(node, Mail::Link(LinkMail::Ended(conn)));
                }
            }
            Fault::JournalForgets { node, keeps } => self.journal_forgets(node, keeps),
            Fault::SecondConnection => self.greet(1, None),
            Fault::DiskFull { node, lasts } => {
                let until = self.now + lasts;
                let disk = &mut self.nodes[node].disk;
                disk.full = true;
                disk.full_until = disk.full_until.max(until);
                self.after(lasts, Event::DiskWorks(node));
            }
            Fault::DiskSlow { node, more, lasts } => {
                self.nodes[node].disk.slow = Some((more, self.now + lasts));
                self.after(lasts, Event::DiskWorks(node));
            }
            Fault::JournalFails { node, lasts } => {
                let until = self.now + lasts;
                let journal = &mut self.nodes[node].journal;
                journal.fails = true;
                journal.fails_until = journal.fails_until.max(until);
                self.after(lasts, Event::DiskWorks(node));
            }
            _ => {}
        }
    }

    /// What has lasted long enough ends.
    pub fn disk_works(&mut self, node: usize) {
        let (now, quiet) = (self.now, self.quiet_since.is_some());
        let n = &mut self.nodes[node];
        n.disk.full &= !quiet && n.disk.full_until > now;
        n.disk.slow = n.disk.slow.filter(|(_, until)| !quiet && *until > now);
        n.journal.fails &= !quiet && n.journal.fails_until > now;
    }

    fn goes_down(&mut self, node: usize, lasts: u64, written: u64, returns: Returns, refusing: bool) {
        if self.nodes[node].process.is_some() {
            self.strike(false);
            self.nodes[node].returns = returns;
            self.down(node, written, refusing);
            self.after(lasts, Event::Boot(node));
        }
    }

    /// The process ends. Not `refusing`: its machine is gone too.
    pub fn down(&mut self, node: usize, written: u64, refusing: bool) {
        self.note(|| format!("{} is down", self.nodes[node].name));
        self.oracle_down(node);
        let n = &mut self.nodes[node];
        n.disk.crash(written);
        n.journal.crash(written, n.disk.full);
        n.process = None;
        n.paused = false;
        n.stash.clear();
        n.machine = refusing;
        let returns = std::mem::replace(&mut n.returns, Returns::AsItWas);
        if returns == Returns::WithoutDisk {
            self.oracle_loses_disk(node);
        }
        self.nodes[node].change(returns, &self.plan);
        self.ends_die(node, !refusing);
        self.oracle_survives(node);
    }

    pub fn go_on(&mut self, node: usize) {
        if !self.nodes[node].paused {
            return;
        }
        self.note(|| format!("{} goes on", self.nodes[node].name));
        self.nodes[node].paused = false;
        if let Some(process) = &mut self.nodes[node].process {
            process.went_on_at = Some(self.now);
        }
        for (_, at, _, since) in self.load.writes.values_mut() {
            if *at == node {
                *since = self.now;
            }
        }
        for (at, _, since) in self.load.orders.values_mut() {
            if *at == node {
                *since = self.now;
            }
        }
        for asked in self.load.operators.waiting.values_mut().filter(|asked| asked.node == node) {
            asked.since = self.now;
        }
        for event in std::mem::take(&mut self.nodes[node].stash) {
            self.at(self.now, event);
        }
        if let Some(process) = &mut self.nodes[node].process {
            // What arrives from now on stays behind what lay there.
            process.mailbox_until = process.mailbox_until.map(|until| until.max(self.now));
        }
    }

    /// From now on nothing fails.
    pub fn quiet(&mut self) {
        self.note(|| "=== from now on nothing fails".into());
        self.quiet_since = Some(self.now);
        self.net_heals_at_once();
        for node in 0..2 {
            self.disk_works(node);
            self.go_on(node);
            self.boot(node);
            self.mail(node, Mail::Arbiter(Input::Fault(None)));
            self.after(1_000_000, Event::ClearFault(node));
        }
    }
}

/// Actors that panic, and what their supervision makes of it: the mailbox stays, timers are lost.
impl World {
    /// An actor panics in the middle of a step.
    pub fn is_torn(&mut self, node: usize, torn: Torn) {
        self.goes_down(node, torn.lasts, torn.written, Returns::AsItWas, true);
    }

    fn actor_dies(&mut self, node: usize, place: usize, lasts: u64) {
        let until = self.now + lasts;
        let boot = self.nodes[node].boots;
        let Some(process) = &mut self.nodes[node].process else { return };
        process.dead_until[place] = until;
        process.mailbox_until[place] = process.mailbox_until[place].max(until);
        if let Some(timer) = process.timer_at.get_mut(place) {
            *timer = None;
        }
        if place == Actor::Heartbeat as usize {
            process.pings += 1;
        }
        self.at(until, Event::ActorWorks(node, boot, place));
    }

    /// It was started again.
    pub fn actor_works(&mut self, node: usize, place: usize) {
        let boot = self.nodes[node].boots;
        let Some(process) = &self.nodes[node].process else { return };
        let pings = process.pings;
        if process.dead_until[place] > self.now {
            return;
        }
        self.note(|| format!("actor {place} of {} works again", self.nodes[node].name));
        match place {
            0 => self.arbiter_tick(node),
            1 => {
                self.close_lane(node, None);
                self.tags(node, TagInput::LaneDown);
                self.tags(node, TagInput::Tick);
            }
            2 => self.alarms_tick(node),
            3 => self.link_works_again(node),
            _ => self.ping(node, boot, pings),
        }
    }
}
