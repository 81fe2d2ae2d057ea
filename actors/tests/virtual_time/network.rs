//! Two processes and the cable between them, in memory: what TCP would do when a process dies, a cable is cut, a machine
//! loses its power.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hotpair_actors::connection::{Connection, Door, Network, Pending};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, Sleep, sleep_until};

/// The Master's port.
pub const LINK_PORT: u16 = 8099;
/// The Backup's, which the Master asks whether its process lives.
pub const HTTP_PORT: u16 = 8066;
/// So much may be on its way in one direction of a connection.
const CAPACITY: usize = 256 * 1024;

/// The cable, and what is plugged into it.
#[derive(Default)]
pub struct Cable {
    state: Mutex<State>,
    healed: Notify,
}

#[derive(Default)]
struct State {
    cut: bool,
    delay: Duration,
    /// The Master's process takes connections: into this queue.
    master: Option<mpsc::UnboundedSender<Connection>>,
    /// The Backup's process serves HTTP.
    backup: bool,
    pipes: Vec<Weak<Mutex<Pipe>>>,
}

impl Cable {
    /// Nothing passes, and nobody is told. What is sent meanwhile comes when the cable is whole again.
    pub fn cut(&self) {
        self.set_cut(true);
    }

    pub fn heal(&self) {
        self.set_cut(false);
        self.healed.notify_waiters();
    }

    /// What is sent from now on, over connections made from now on, takes so long.
    pub fn set_delay_ms(&self, ms: u64) {
        self.state.lock().delay = Duration::from_millis(ms);
    }

    /// Every connection is reset, as by a firewall.
    pub fn reset(&self) {
        self.each(Pipe::reset);
    }

    fn set_cut(&self, cut: bool) {
        self.state.lock().cut = cut;
        self.each(|pipe| {
            pipe.held = cut;
            pipe.wake();
        });
    }

    fn each(&self, change: impl Fn(&mut Pipe)) {
        let mut state = self.state.lock();
        state.pipes.retain(|pipe| pipe.strong_count() > 0);
        let pipes: Vec<_> = state.pipes.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        for pipe in pipes {
            change(&mut pipe.lock());
        }
    }

    fn pipe(&self) -> Arc<Mutex<Pipe>> {
        let mut state = self.state.lock();
        let pipe = Arc::new(Mutex::new(Pipe { held: state.cut, delay: state.delay, ..Pipe::default() }));
        state.pipes.push(Arc::downgrade(&pipe));
        pipe
    }

    fn connection(&self, from: SocketAddr, to: SocketAddr) -> (Connection, Connection) {
        let (there, back) = (self.pipe(), self.pipe());
        let near = End { read: back.clone(), write: there.clone(), arrival: None };
        let far = End { read: there, write: back, arrival: None };
        (Connection::of(Box::new(near), from, to), Connection::of(Box::new(far), to, from))
    }
}

/// A process at the Master's end. Dropping it is its death: from then on connections are refused.
pub struct MasterEnd {
    cable: Arc<Cable>,
    /// Each incarnation of the link's actor takes its turn.
    incoming: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Connection>>>,
}

impl MasterEnd {
    pub fn new(cable: &Arc<Cable>) -> Arc<Self> {
        let (door, incoming) = mpsc::unbounded_channel();
        cable.state.lock().master = Some(door);
        Arc::new(Self { cable: cable.clone(), incoming: Arc::new(tokio::sync::Mutex::new(incoming)) })
    }
}

impl Drop for MasterEnd {
    fn drop(&mut self) {
        self.cable.state.lock().master = None;
    }
}

impl Network for MasterEnd {
    fn door(&self) -> io::Result<Option<Box<dyn Door>>> {
        Ok(Some(Box::new(Incoming(self.incoming.clone()))))
    }

    fn addresses<'a>(&'a self, _: &'a str, _: u16) -> Pending<'a, Vec<SocketAddr>> {
        Box::pin(async move { Ok(vec![at(2, HTTP_PORT)]) })
    }

    fn connect(&self, _: SocketAddr) -> Pending<'_, Connection> {
        Box::pin(async move {
            self.cable.whole().await;
            if self.cable.state.lock().backup {
                Ok(self.cable.connection(at(1, 50_000), at(2, HTTP_PORT)).0)
            } else {
                Err(ErrorKind::ConnectionRefused.into())
            }
        })
    }
}

struct Incoming(Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Connection>>>);

impl Door for Incoming {
    fn accept(&mut self) -> Pending<'_, Connection> {
        Box::pin(async move {
            let mut queue = self.0.lock().await;
            queue.recv().await.ok_or_else(|| ErrorKind::BrokenPipe.into())
        })
    }
}

/// A process at the Backup's end. Dropping it is its death.
pub struct BackupEnd(Arc<Cable>);

impl BackupEnd {
    pub fn new(cable: &Arc<Cable>) -> Arc<Self> {
        cable.state.lock().backup = true;
        Arc::new(Self(cable.clone()))
    }
}

impl Drop for BackupEnd {
    fn drop(&mut self) {
        self.0.state.lock().backup = false;
    }
}

impl Network for BackupEnd {
    fn door(&self) -> io::Result<Option<Box<dyn Door>>> {
        Ok(None)
    }

    fn addresses<'a>(&'a self, _: &'a str, _: u16) -> Pending<'a, Vec<SocketAddr>> {
        Box::pin(async move { Ok(vec![at(1, LINK_PORT)]) })
    }

    fn connect(&self, _: SocketAddr) -> Pending<'_, Connection> {
        Box::pin(async move {
            self.0.whole().await;
            let (near, far) = self.0.connection(at(2, 50_000), at(1, LINK_PORT));
            let door = self.0.state.lock().master.clone();
            let taken = door.is_some_and(|door| door.send(far).is_ok());
            if taken { Ok(near) } else { Err(ErrorKind::ConnectionRefused.into()) }
        })
    }
}

impl Cable {
    async fn whole(&self) {
        loop {
            let healed = self.healed.notified();
            if !self.state.lock().cut {
                return;
            }
            healed.await;
        }
    }
}

fn at(host: u8, port: u16) -> SocketAddr {
    ([10, 0, 0, host], port).into()
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    /// What is on its way, and when it arrives. Nothing more: the writer has ended.
    under_way: VecDeque<(Instant, Option<VecDeque<u8>>)>,
    bytes: usize,
    delay: Duration,
    held: bool,
    /// The reader has ended, or the connection was reset.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn reset(&mut self) {
        self.broken = true;
        self.wake();
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn push(&mut self, piece: Option<VecDeque<u8>>) {
        self.under_way.push_back((Instant::now() + self.delay, piece));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

struct End {
    read: Arc<Mutex<Pipe>>,
    write: Arc<Mutex<Pipe>>,
    /// Of what is read next.
    arrival: Option<Pin<Box<Sleep>>>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.write.lock().push(None);
        // Seen by the other side when it writes; not through a cut cable.
        let mut read = self.read.lock();
        read.broken |= !read.held;
        read.wake();
    }
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let pipe = self.read.clone();
        let mut pipe = pipe.lock();
        pipe.reader = Some(cx.waker().clone());
        if pipe.held {
            return Poll::Pending;
        }
        if pipe.broken {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let Some((due, piece)) = pipe.under_way.front_mut() else { return Poll::Pending };
        if *due > Instant::now() {
            let due = *due;
            let arrival = self.arrival.get_or_insert_with(|| Box::pin(sleep_until(due)));
            arrival.as_mut().reset(due);
            std::task::ready!(arrival.as_mut().poll(cx));
        }
        let Some(bytes) = piece else { return Poll::Ready(Ok(())) };
        let (front, _) = bytes.as_slices();
        let count = front.len().min(into.remaining());
        into.put_slice(&front[..count]);
        bytes.drain(..count);
        if bytes.is_empty() {
            pipe.under_way.pop_front();
        }
        pipe.bytes -= count;
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.write.lock();
        if pipe.broken && !pipe.held {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY - pipe.bytes;
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        pipe.bytes += count;
        pipe.push(Some(bytes[..count].iter().copied().collect()));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.lock().push(None);
        Poll::Ready(Ok(()))
    }
}
