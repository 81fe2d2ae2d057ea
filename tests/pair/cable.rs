//! The cable between the two nodes, as something that can be cut: a relay that the Backup connects to instead of the
//! Master.
//!
//! What a cut cable does to TCP is silence: connections stay open, nothing comes, nothing is refused. What waits in it
//! comes later, when the cable is whole again, as if it was sent once more.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::watch::Record;

/// How soon a thread that waits for bytes sees that it is to end.
const GLANCE: Duration = Duration::from_millis(20);
/// How soon a connection is accepted.
const ACCEPT: Duration = Duration::from_millis(2);
/// What is on its way in one direction of a connection: so many pieces of so many bytes at most. Whoever sends more
/// must wait.
const PIECES: usize = 64;
const PIECE_BYTES: usize = 16 * 1024;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    Master,
    Backup,
}

/// A relay in front of the Master's port. It ends, with its threads, when it is dropped.
pub struct Cable {
    /// Where the Backup connects.
    pub port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    record: Record,
    master_port: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    to_master_cut: bool,
    to_backup_cut: bool,
    /// Connections are refused.
    refused: bool,
    /// Connections of an earlier number are to be reset.
    generation: u64,
    delay: Duration,
    ended: bool,
    relays: Vec<JoinHandle<()>>,
}

impl Cable {
    /// A whole cable from `port`, which is free, to the Master's port, where nobody needs to listen yet.
    pub fn new(port: u16, master_port: u16, record: Record) -> Self {
        let listener = listen(port).expect("the port is free");
        let shared = Arc::new(Shared { record, master_port, state: Mutex::default(), changed: Condvar::new() });
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&shared, port, Some(listener)))
        };
        Self { port, shared, acceptor: Some(acceptor) }
    }

    /// Nothing passes either way; connections stay open and silent, new ones too.
    pub fn cut(&self) {
        self.shared.record.link_is(false);
        self.shared.change(|state| (state.to_master_cut, state.to_backup_cut) = (true, true));
    }

    /// Nothing passes in this direction.
    pub fn cut_towards(&self, end: Towards) {
        self.shared.record.link_is(false);
        self.shared.change(|state| match end {
            Towards::Master => state.to_master_cut = true,
            Towards::Backup => state.to_backup_cut = true,
        });
    }

    /// Every connection is reset and new ones are refused, as by a device in between.
    pub fn cut_hard(&self) {
        self.shared.record.link_is(false);
        self.shared.change(|state| {
            state.refused = true;
            state.generation += 1;
        });
        let end = Instant::now() + super::TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            assert!(Instant::now() < end, "the cable still takes connections");
            thread::sleep(ACCEPT);
        }
    }

    /// All passes again, and what waited too.
    pub fn heal(&self) {
        self.shared.change(|state| {
            (state.to_master_cut, state.to_backup_cut, state.refused) = (false, false, false);
        });
        self.shared.record.link_is(true);
    }

    /// From now on everything takes so long each way.
    pub fn delay(&self, ms: u64) {
        self.shared.change(|state| state.delay = Duration::from_millis(ms));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.shared.change(|state| state.ended = true);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
        let relays = std::mem::take(&mut self.shared.lock().relays);
        for relay in relays {
            relay.join().ok();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn is_over(&self, generation: u64) -> bool {
        let state = self.lock();
        state.ended || state.generation != generation
    }

    /// Waits until what came at `since` may go on. False: the connection is over.
    fn may_pass(&self, towards: Towards, since: Instant, generation: u64) -> bool {
        let mut state = self.lock();
        loop {
            if state.ended || state.generation != generation {
                return false;
            }
            let cut = match towards {
                Towards::Master => state.to_master_cut,
                Towards::Backup => state.to_backup_cut,
            };
            let left = state.delay.saturating_sub(since.elapsed());
            if !cut && left.is_zero() {
                return true;
            }
            let patience = if cut { GLANCE } else { left };
            state = self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Until the end: a thread for each connection. While connections are refused there is no listener.
fn accept(shared: &Arc<Shared>, port: u16, mut listener: Option<TcpListener>) {
    loop {
        let (refused, ended, generation) = {
            let state = shared.lock();
            (state.refused, state.ended, state.generation)
        };
        if ended {
            return;
        }
        if refused {
            listener = None;
        } else if listener.is_none() {
            listener = listen(port).ok();
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((backup, _))) => {
                let own = Arc::clone(shared);
                let relay = thread::spawn(move || relay(&own, &backup, generation));
                let mut state = shared.lock();
                state.relays.retain(|relay| !relay.is_finished());
                state.relays.push(relay);
            }
            _ => thread::sleep(ACCEPT),
        }
    }
}

/// One connection, to its end. The connection to the Master is made as soon as the cable is whole.
fn relay(shared: &Arc<Shared>, backup: &TcpStream, generation: u64) {
    if make_ready(backup).is_err() {
        return;
    }
    let Some(early) = wait_until_whole(shared, backup, generation) else { return reset(backup) };
    let Ok(master) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.master_port)) else { return reset(backup) };
    if make_ready(&master).is_err() {
        return;
    }
    thread::scope(|scope| {
        scope.spawn(|| pump(shared, (backup, &master), early, Towards::Master, generation));
        pump(shared, (&master, backup), Vec::new(), Towards::Backup, generation);
    });
    if shared.is_over(generation) {
        reset(backup);
        reset(&master);
    }
}

fn make_ready(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(GLANCE))?;
    stream.set_write_timeout(Some(GLANCE))
}

/// What the Backup said meanwhile. None: the connection is over, or the Backup gave it up: nobody ever hears of it.
fn wait_until_whole(shared: &Shared, mut backup: &TcpStream, generation: u64) -> Option<Vec<u8>> {
    let mut early = Vec::new();
    loop {
        {
            let state = shared.lock();
            if state.ended || state.generation != generation {
                return None;
            }
            if !state.to_master_cut && !state.to_backup_cut {
                return Some(early);
            }
        }
        let mut room = [0; 1024];
        match backup.read(&mut room) {
            Ok(0) => return None,
            Ok(length) => early.extend_from_slice(&room[..length]),
            Err(error) if is_timeout(error.kind()) => {}
            Err(_) => return None,
        }
        if early.len() > PIECES * PIECE_BYTES {
            return None;
        }
    }
}

/// The other end will see a reset when the connection is dropped.
fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
}

/// A piece of the stream and when it came.
type Piece = (Instant, Vec<u8>);

/// One direction of a connection, to its end. `early` came before.
fn pump(shared: &Shared, ends: (&TcpStream, &TcpStream), early: Vec<u8>, towards: Towards, generation: u64) {
    let (from, to) = ends;
    let (sender, receiver) = sync_channel(PIECES);
    thread::scope(|scope| {
        scope.spawn(move || take(shared, from, early, &sender, generation));
        if !give(shared, to, &receiver, towards, generation) {
            for stream in [from, to] {
                stream.shutdown(Shutdown::Both).ok();
            }
        }
        // The other thread must not wait for room.
        drop(receiver);
    });
}

/// Takes what one node sends, until that says that there is no more.
fn take(shared: &Shared, mut from: &TcpStream, early: Vec<u8>, sender: &SyncSender<Piece>, generation: u64) {
    let mut room = vec![0; PIECE_BYTES];
    let mut piece = (Instant::now(), early);
    loop {
        while !piece.1.is_empty() {
            match sender.try_send(piece) {
                Ok(()) => {
                    piece = (Instant::now(), Vec::new());
                    break;
                }
                Err(TrySendError::Full(back)) if !shared.is_over(generation) => piece = back,
                Err(_) => return,
            }
            thread::sleep(ACCEPT);
        }
        match from.read(&mut room) {
            Ok(0) => return,
            Ok(length) => piece = (Instant::now(), room[..length].to_vec()),
            Err(error) if is_timeout(error.kind()) && !shared.is_over(generation) => {}
            Err(_) => return,
        }
    }
}

/// Gives it to the other node when the cable lets it pass, at its end the end. False: the connection is broken.
fn give(shared: &Shared, mut to: &TcpStream, pieces: &Receiver<Piece>, towards: Towards, generation: u64) -> bool {
    loop {
        let piece = match pieces.recv_timeout(GLANCE) {
            Ok(piece) => piece,
            Err(RecvTimeoutError::Timeout) if shared.is_over(generation) => return true,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => {
                // The end of the stream takes the cable, too.
                return !shared.may_pass(towards, Instant::now(), generation) || to.shutdown(Shutdown::Write).is_ok();
            }
        };
        if !shared.may_pass(towards, piece.0, generation) {
            return true;
        }
        let mut rest = &piece.1[..];
        while !rest.is_empty() {
            match to.write(rest) {
                Ok(0) => return false,
                Ok(length) => rest = &rest[length..],
                Err(error) if is_timeout(error.kind()) && !shared.is_over(generation) => {}
                Err(_) => return shared.is_over(generation),
            }
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
