//! Makes the connection to the peer: the Master accepts, the Backup connects. On the control thread.
//!
//! What stands of a connection is in [`crate::link`]; this actor only makes it, and tells everybody when it comes or goes.

mod complaints;
mod greet;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Supervised, WrapFuture};
use hotpair_core::arbiter::Input;
use hotpair_core::protocol::{Control, Refusal, RefusalCode};
use hotpair_core::replicator::TagInput;
use hotpair_core::types::Mode;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::connection::{Connection, Door, reach};
use crate::directory::names::PEER_LINK;
use crate::messages::{DropLink, Greeted, Happened, LinkChanged, LinkEnded, OpenLane, Probe, TagsHappened, UseLink};
use crate::shared::Shared;
use complaints::{Complaints, Trouble};
use greet::Outcome;

/// So many connections may be at their greeting; the oldest gives way, so that the true peer always gets its turn.
const MAX_GREETING: usize = 64;
/// The first pause of a Backup before it connects again; it doubles up to the last one.
const FIRST_PAUSE_MS: u64 = 2;
/// A returned Master is met within 100 ms.
const LAST_PAUSE_MS: u64 = 64;
/// How often the process of a lost peer is asked whether it lives, and how long its answer may take.
const ASK_ALIVE_EVERY_MS: u64 = 20;
const ASK_ALIVE_WITHIN_MS: u64 = 200;

/// Shell around [`hotpair_core::greeting`] and [`hotpair_core::wire`].
pub struct PeerLink {
    shared: Arc<Shared>,
    sessions: u64,
    /// The peer's address for proofs of death answered once, so that its refusal means something.
    alive_at: Option<SocketAddr>,
    /// The Backup's tasks that connect, of this incarnation.
    connecting: Option<JoinHandle<()>>,
    lane: Option<JoinHandle<()>>,
}

impl PeerLink {
    /// The link of a node.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, sessions: 0, alive_at: None, connecting: None, lane: None }
    }

    /// Numbers that nobody guesses by chance: a bulk connection must name one.
    fn next_session(&mut self) -> u64 {
        self.sessions += 1;
        let mut bits = self.shared.settings.boot.0 ^ self.sessions.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)).max(1)
    }

    fn accept(&mut self, ctx: &mut Context<Self>) {
        let door = match self.shared.network.door() {
            Ok(Some(door)) => door,
            Ok(None) => return,
            Err(error) => {
                tracing::error!("the link's port cannot be used: {error}");
                return;
            }
        };
        let shared = self.shared.clone();
        let me = ctx.address();
        let seed = self.next_session();
        // Bound to this incarnation: a restarted actor accepts anew.
        ctx.spawn(accept_all(shared, door, me, seed).into_actor(self));
    }

    fn announce(&self, up: bool) {
        let directory = &self.shared.directory;
        if let Some(tags) = directory.tag_replicator() {
            tags.do_send(TagsHappened(if up { TagInput::LinkUp } else { TagInput::LinkDown }));
        }
        if let Some(heartbeat) = directory.heartbeat() {
            heartbeat.do_send(LinkChanged { up });
        }
        if let Some(checker) = &*directory.license_checker.read() {
            checker.do_send(LinkChanged { up });
        }
        if !up && let Some(arbiter) = directory.state_arbiter() {
            arbiter.do_send(Happened(Input::LinkDown));
        }
    }

    /// The Backup's endless attempt, and the Master's question whether a lost Backup's process lives.
    fn seek(&mut self, ctx: &mut Context<Self>) {
        if let Some(old) = self.connecting.take() {
            old.abort();
        }
        if *self.shared.exited().borrow() {
            return;
        }
        let shared = self.shared.clone();
        let me = ctx.address();
        match self.shared.settings.mode {
            Mode::Backup => self.connecting = Some(actix_rt::spawn(connect(shared, me))),
            Mode::Master => {
                if let Some(alive_at) = self.alive_at {
                    self.connecting = Some(actix_rt::spawn(watch_for_death(shared, alive_at)));
                }
            }
            Mode::Independent => {}
        }
    }

    /// Whether the peer's address for proofs of death answers while the peer surely lives.
    fn try_alive_at(&mut self, alive_at: &str, ctx: &mut Context<Self>) {
        self.alive_at = None;
        let Ok(alive_at) = alive_at.parse::<SocketAddr>() else { return };
        if self.shared.settings.mode != Mode::Master {
            return;
        }
        let shared = self.shared.clone();
        let attempt =
            async move { asked_alive(&shared, alive_at).await.is_some_and(|c| c.is_ok()).then_some(alive_at) };
        ctx.spawn(attempt.into_actor(self).map(|alive_at, this, _| this.alive_at = alive_at));
    }
}

impl Actor for PeerLink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(generation) = self.shared.link.ended_unheard() {
            ctx.notify(LinkEnded { generation, reason: "it ended while this actor was restarted".into() });
        }
        match self.shared.settings.mode {
            Mode::Master => self.accept(ctx),
            Mode::Backup if !self.shared.link.is_up() => self.seek(ctx),
            Mode::Backup | Mode::Independent => {}
        }
    }
}

impl Supervised for PeerLink {}

impl Drop for PeerLink {
    fn drop(&mut self) {
        for task in [self.connecting.take(), self.lane.take()].into_iter().flatten() {
            task.abort();
        }
    }
}

impl Handler<Greeted> for PeerLink {
    type Result = ();

    fn handle(&mut self, message: Greeted, ctx: &mut Self::Context) {
        let Greeted { stream, received, greeting, session, remarks } = message;
        if *self.shared.exited().borrow() {
            // This node said goodbye: closing the connection says it again.
            return;
        }
        if let Some(task) = self.connecting.take() {
            task.abort();
        }
        if self.shared.link.is_up() {
            // The peer came again before this node noticed that it was gone.
            self.announce(false);
        }
        for remark in &remarks {
            tracing::warn!("{remark}");
        }
        let alive_at = greeting.alive_at.clone();
        tracing::info!(peer = %greeting.node, mode = %greeting.mode, version = greeting.version, "connected to the peer");
        let generation = self.shared.link.take(&self.shared, stream, received, greeting.clone(), session, remarks);
        if let Some(arbiter) = self.shared.directory.state_arbiter() {
            arbiter.do_send(UseLink { generation });
        }
        if let Some(tags) = self.shared.directory.tag_replicator() {
            tags.do_send(UseLink { generation });
        }
        self.announce(true);
        if let Some(arbiter) = self.shared.directory.state_arbiter() {
            arbiter.do_send(Happened(Input::LinkUp(greeting)));
        }
        self.try_alive_at(&alive_at, ctx);
        if self.shared.settings.mode == Mode::Backup {
            if let Some(old) = self.lane.take() {
                old.abort();
            }
            self.lane = Some(actix_rt::spawn(keep_lane(self.shared.clone(), session)));
        }
        self.shared.changed();
    }
}

impl Handler<LinkEnded> for PeerLink {
    type Result = ();

    fn handle(&mut self, LinkEnded { generation, reason }: LinkEnded, ctx: &mut Self::Context) {
        if self.shared.link.ended(generation) {
            tracing::info!("the connection to the peer ended: {reason}");
            self.announce(false);
            self.seek(ctx);
            self.shared.changed();
        }
    }
}

impl Handler<DropLink> for PeerLink {
    type Result = ();

    fn handle(&mut self, _: DropLink, _: &mut Self::Context) {
        self.shared.link.drop_connection();
    }
}

impl Handler<Probe> for PeerLink {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {
        self.shared.directory.answered(PEER_LINK, self.shared.clock.now());
    }
}

async fn accept_all(shared: Arc<Shared>, mut door: Box<dyn Door>, me: Addr<PeerLink>, seed: u64) {
    let mut greeting: Vec<JoinHandle<()>> = Vec::new();
    let mut session = seed;
    let complaints = Arc::new(Mutex::new(Complaints::default()));
    loop {
        let stream = match door.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: those that greet will end soon.
                if let Some(more) = complaints.lock().tell(shared.clock.now(), Trouble::NotAccepted, None) {
                    tracing::warn!("a connection cannot be accepted: {error}{more}");
                }
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if *shared.exited().borrow() {
            // This node said goodbye: whoever comes now is not greeted any more.
            continue;
        }
        greeting.retain(|task| !task.is_finished());
        if greeting.len() >= MAX_GREETING {
            greeting.remove(0).abort();
        }
        session = session.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F).max(1);
        let (shared, me, session, complaints) = (shared.clone(), me.clone(), session, complaints.clone());
        let Some(from) = stream.remote() else { continue };
        greeting.push(actix_rt::spawn(async move {
            let limit = shared.settings.connect_timeout_ms;
            match greet::within(limit, greet::answer(&shared, stream, session)).await {
                Outcome::Linked { stream, received, greeting, session, remarks } => {
                    me.do_send(Greeted { stream, received, greeting, session, remarks });
                }
                Outcome::Lane { stream, received } => open_lane(&shared, stream, received, None),
                Outcome::Refused(refusal) => refused_by_master(&shared, &complaints, from.ip(), refusal),
                Outcome::Broken(reason) => {
                    let more = complaints.lock().tell(shared.clock.now(), Trouble::NoGreeting, Some(from.ip()));
                    if let Some(more) = more {
                        tracing::warn!(%from, "connection without a greeting: {reason}{more}");
                    }
                }
            }
        }));
    }
}

/// At the Master: anybody can come there, as often as he wants.
fn refused_by_master(shared: &Shared, complaints: &Mutex<Complaints>, from: IpAddr, refusal: Refusal) {
    if !greet::lasts(&refusal) {
        tracing::debug!(%from, "connection refused: {}", refusal.reason);
        return;
    }
    let more = complaints.lock().tell(shared.clock.now(), Trouble::Refused(refusal.code), Some(from));
    if let Some(more) = &more {
        tracing::warn!(%from, "connection refused: {}{more}", refusal.reason);
    }
    // While the peer is there, noise of strangers says nothing about the pair; a second Backup does.
    if !shared.link.is_up() || refusal.code != RefusalCode::NotHotpair {
        let code = refusal.code;
        let before = shared.link.set_refused(refusal);
        if more.is_some() || before.is_none_or(|before| before.code != code) {
            shared.changed();
        }
    }
}

/// At the Backup, whose only connection it is.
fn refused_to_backup(shared: &Shared, refusal: &Refusal) {
    if !greet::lasts(refusal) {
        tracing::debug!("connection refused: {}", refusal.reason);
        return;
    }
    if shared.link.set_refused(refusal.clone()).as_ref() != Some(refusal) {
        tracing::warn!("connection refused: {}", refusal.reason);
        shared.changed();
    }
}

/// What a Backup that cannot connect has told already, until the link stands.
#[derive(Default)]
struct Attempts {
    told: Vec<Option<ErrorKind>>,
}

impl Attempts {
    /// `kind`: none for a connection without a greeting.
    fn failed(&mut self, shared: &Shared, kind: Option<ErrorKind>, error: String) {
        if self.told.contains(&kind) {
            tracing::debug!("{error}");
        } else {
            self.told.push(kind);
            tracing::warn!("{error}; trying on");
        }
        if shared.link.set_last_error(error) {
            shared.changed();
        }
    }
}

/// Connects until the link stands.
async fn connect(shared: Arc<Shared>, me: Addr<PeerLink>) {
    let (host, port) = &shared.settings.master;
    let limit = Duration::from_millis(shared.settings.connect_timeout_ms);
    let mut pause = FIRST_PAUSE_MS;
    let was_linked = shared.link.greeting().is_some();
    let mut attempts = Attempts::default();
    shared.link.set_trying(true);
    loop {
        match reach(&*shared.network, host, *port, limit).await {
            Ok(stream) => match greet::within(shared.settings.connect_timeout_ms, greet::ask(&shared, stream)).await {
                Outcome::Linked { stream, received, greeting, session, remarks } => {
                    me.do_send(Greeted { stream, received, greeting, session, remarks });
                    return;
                }
                Outcome::Refused(refusal) => {
                    tell_refusal(&shared, &refusal).await;
                    refused_to_backup(&shared, &refusal);
                    pause = LAST_PAUSE_MS * 8;
                }
                Outcome::Broken(reason) => {
                    attempts.failed(&shared, None, format!("no greeting of the Master at {host}:{port}: {reason}"));
                }
                Outcome::Lane { .. } => {}
            },
            Err(error) => {
                let kind = error.kind();
                attempts.failed(&shared, Some(kind), format!("cannot reach {host}:{port}: {error}"));
                if kind == ErrorKind::ConnectionRefused
                    && was_linked
                    && let Some(arbiter) = shared.directory.state_arbiter()
                {
                    let _ = arbiter.send(Happened(Input::ProvenDead)).await;
                }
            }
        }
        sleep(Duration::from_millis(pause + jitter_ms(&shared, pause))).await;
        pause = (pause * 2).min(LAST_PAUSE_MS);
    }
}

/// A node that refuses lives: nobody is to be replaced while it does.
async fn tell_refusal(shared: &Shared, refusal: &Refusal) {
    let alive = !matches!(refusal.code, RefusalCode::NotHotpair | RefusalCode::Session);
    if let Some(arbiter) = shared.directory.state_arbiter().filter(|_| alive) {
        let _ = arbiter.send(Happened(Input::Refused { reason: refusal.reason.clone() })).await;
    }
}

/// Up to half of `pause`, so that two nodes never stay in step.
fn jitter_ms(shared: &Shared, pause: u64) -> u64 {
    (shared.clock.now_us().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) % (pause / 2 + 1)
}

/// At the Master: a Backup's process whose HTTP port refuses connections is dead.
async fn watch_for_death(shared: Arc<Shared>, alive_at: SocketAddr) {
    loop {
        if let Some(Err(error)) = asked_alive(&shared, alive_at).await
            && error.kind() == ErrorKind::ConnectionRefused
        {
            if let Some(arbiter) = shared.directory.state_arbiter() {
                let _ = arbiter.send(Happened(Input::ProvenDead)).await;
            }
            return;
        }
        sleep(Duration::from_millis(ASK_ALIVE_EVERY_MS)).await;
    }
}

/// Whether a process takes connections at that address; none: it does not say.
async fn asked_alive(shared: &Shared, at: SocketAddr) -> Option<io::Result<Connection>> {
    let limit = Duration::from_millis(ASK_ALIVE_WITHIN_MS);
    tokio::time::timeout(limit, shared.network.connect(at)).await.ok()
}

/// At the Backup: keeps the bulk connection of link `session` up as long as that link stands.
async fn keep_lane(shared: Arc<Shared>, session: u64) {
    let (host, port) = shared.settings.master.clone();
    let limit = Duration::from_millis(shared.settings.connect_timeout_ms);
    let mut pause = FIRST_PAUSE_MS;
    while shared.link.session() == Some(session) {
        if let Ok(mut stream) = reach(&*shared.network, &host, port, limit).await {
            let Ok(join) = hotpair_core::wire::encode_control(&Control::JoinBulk { session }) else { return };
            if stream.write_all(&join).await.is_ok() {
                let (closed, ended) = oneshot::channel();
                let opened = shared.clock.now();
                open_lane(&shared, stream, Vec::new(), Some(closed));
                let _ = ended.await;
                if shared.clock.now().since(opened) > 1000 {
                    pause = FIRST_PAUSE_MS;
                }
            }
        }
        sleep(Duration::from_millis(pause)).await;
        pause = (pause * 2).min(LAST_PAUSE_MS * 8);
    }
}

fn open_lane(shared: &Shared, stream: Connection, received: Vec<u8>, closed: Option<oneshot::Sender<()>>) {
    // It moves to the data thread, where another runtime waits for it.
    match stream.detach() {
        Ok(stream) => {
            if let Some(tags) = shared.directory.tag_replicator() {
                tags.do_send(OpenLane { stream, received, closed });
            }
        }
        Err(error) => tracing::warn!("a bulk connection was lost on its way: {error}"),
    }
}
