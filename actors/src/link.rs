//! The connection to the peer, as it is lent to the actors: it outlives the actor that made it.
//!
//! The tasks that read and write a connection are not part of an actor: should PeerLink fail and be started again, the
//! link stands meanwhile and the peer doesn't notice.

use std::sync::Arc;
use std::time::Duration;

use hotpair_core::greeting::Remark;
use hotpair_core::protocol::{Control, Greeting, Refusal};
use hotpair_core::route::{Heard, hear};
use hotpair_core::wire::{self, Kind, WireError};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::connection::{Connection, ReadHalf, WriteHalf};
use crate::messages::{AlarmsHappened, Beat, Happened, LinkEnded, PeerLicense, TagsHappened};
use crate::shared::Shared;

/// So many control messages may wait for the socket. A peer that reads so slowly is dropped.
const MAX_WAITING: usize = 2048;
/// A peer that does not read its goodbye does not get it.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);
/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// The control connection, or none.
#[derive(Default)]
pub struct Link {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    generation: u64,
    up: Option<Up>,
    greeting: Option<Box<Greeting>>,
    address: Option<String>,
    refused: Option<Refusal>,
    last_error: Option<String>,
    remarks: Vec<Remark>,
    trying: bool,
}

struct Up {
    session: u64,
    out: mpsc::Sender<Control>,
    writer: JoinHandle<()>,
    /// Dropped to end the reading.
    alive: oneshot::Sender<()>,
}

impl Up {
    /// Nothing more is to be written. Without this a peer that reads nothing would keep queue and socket for ever.
    fn cut(up: Option<Self>) {
        if let Some(up) = up {
            up.writer.abort();
        }
    }
}

/// What is shown of the link.
#[derive(Clone, Debug, Default)]
pub struct LinkView {
    /// The control connection is up.
    pub up: bool,
    /// A Backup tries to connect.
    pub trying: bool,
    /// The peer's greeting on the present connection, or on the last one.
    pub greeting: Option<Box<Greeting>>,
    /// The peer's address on the present connection, or on the last one.
    pub address: Option<String>,
    /// Why the last connection was refused, by either side; none since one was taken.
    pub refused: Option<Refusal>,
    /// Why a Backup's last attempt to connect did not come to a greeting; none since one did.
    pub last_error: Option<String>,
    /// What does not fit, though the link stands.
    pub remarks: Vec<Remark>,
}

impl Link {
    /// What is to be shown.
    pub fn view(&self) -> LinkView {
        let inner = self.inner.lock();
        LinkView {
            up: inner.up.is_some(),
            trying: inner.trying,
            greeting: inner.greeting.clone(),
            address: inner.address.clone(),
            refused: inner.refused.clone(),
            last_error: inner.last_error.clone(),
            remarks: inner.remarks.clone(),
        }
    }

    /// The peer's greeting on the present connection, or on the last one.
    pub fn greeting(&self) -> Option<Box<Greeting>> {
        self.inner.lock().greeting.clone()
    }

    /// Number of the present connection if its reading has ended. Usually [`LinkEnded`] says so; a PeerLink that was
    /// restarted may have lost it.
    pub(crate) fn ended_unheard(&self) -> Option<u64> {
        let inner = self.inner.lock();
        inner.up.as_ref().filter(|up| up.alive.is_closed()).map(|_| inner.generation)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.inner.lock().up.is_some()
    }

    pub(crate) fn session(&self) -> Option<u64> {
        self.inner.lock().up.as_ref().map(|up| up.session)
    }

    pub(crate) fn set_trying(&self, trying: bool) {
        self.inner.lock().trying = trying;
    }

    /// Answers with the refusal before.
    pub(crate) fn set_refused(&self, refusal: Refusal) -> Option<Refusal> {
        let mut inner = self.inner.lock();
        inner.last_error = None;
        inner.refused.replace(refusal)
    }

    /// True when it is another error than before.
    pub(crate) fn set_last_error(&self, error: String) -> bool {
        let mut inner = self.inner.lock();
        let new = inner.last_error.as_ref() != Some(&error);
        inner.last_error = Some(error);
        new
    }

    /// Queues a message for the peer of link `generation`; none: whichever link stands. Without it the message is
    /// dropped: what it said is over.
    pub(crate) fn send(&self, generation: Option<u64>, message: Control) {
        let mut inner = self.inner.lock();
        if generation.is_some_and(|generation| generation != inner.generation) {
            return;
        }
        // A queue that nobody empties any more belongs to a connection whose end is just being noticed.
        if let Some(up) = &inner.up
            && let Err(TrySendError::Full(_)) = up.out.try_send(message)
        {
            tracing::warn!("the peer does not read what it is sent: the link is dropped");
            Up::cut(inner.up.take());
        }
    }

    /// Closes the connection, after what is queued has been written. To be called where tasks can be spawned.
    pub(crate) fn drop_connection(&self) {
        let up = self.inner.lock().up.take();
        if let Some(Up { out, writer, .. }) = up {
            actix_rt::spawn(write_the_rest(out, writer));
        }
    }

    /// Closes the connection and waits until what was queued has been written.
    pub async fn close(&self) {
        let up = self.inner.lock().up.take();
        if let Some(Up { out, writer, .. }) = up {
            write_the_rest(out, writer).await;
        }
    }

    /// The connection that ended was the present one; false: a newer one stands.
    pub(crate) fn ended(&self, generation: u64) -> bool {
        let mut inner = self.inner.lock();
        if inner.generation != generation {
            return false;
        }
        Up::cut(inner.up.take());
        true
    }

    /// Takes a connection that passed its greeting, starts its tasks, and says which link it is.
    pub(crate) fn take(
        &self,
        shared: &Arc<Shared>,
        stream: Connection,
        received: Vec<u8>,
        greeting: Box<Greeting>,
        session: u64,
        remarks: Vec<Remark>,
    ) -> u64 {
        let address = stream.remote().map(|address| address.to_string());
        let (read, write) = stream.into_split();
        let (out, queue) = mpsc::channel(MAX_WAITING);
        let (alive, ended) = oneshot::channel();
        let mut inner = self.inner.lock();
        inner.generation += 1;
        let generation = inner.generation;
        let writer = actix_rt::spawn(write_all(write, queue));
        Up::cut(inner.up.replace(Up { session, out, writer, alive }));
        inner.greeting = Some(greeting);
        inner.address = address;
        inner.refused = None;
        inner.last_error = None;
        inner.remarks = remarks;
        inner.trying = false;
        drop(inner);
        let shared = shared.clone();
        actix_rt::spawn(async move {
            let reason = tokio::select! {
                reason = read_all(read, received, &shared) => reason,
                _ = ended => "closed by this node".into(),
            };
            if let Some(link) = shared.directory.peer_link() {
                link.do_send(LinkEnded { generation, reason });
            }
        });
        generation
    }
}

/// Writes until the queue is closed. What waits goes in one write.
async fn write_all(mut socket: WriteHalf, mut queue: mpsc::Receiver<Control>) {
    let mut bytes = Vec::with_capacity(1024);
    while let Some(message) = queue.recv().await {
        bytes.clear();
        append(&mut bytes, &message);
        while bytes.len() < READ_BYTES
            && let Ok(message) = queue.try_recv()
        {
            append(&mut bytes, &message);
        }
        if socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = socket.shutdown().await;
}

/// What is queued may still be written, if the peer reads it.
async fn write_the_rest(out: mpsc::Sender<Control>, mut writer: JoinHandle<()>) {
    drop(out);
    if tokio::time::timeout(CLOSE_WITHIN, &mut writer).await.is_err() {
        writer.abort();
    }
}

fn append(bytes: &mut Vec<u8>, message: &Control) {
    if let Err(error) = wire::append_control(bytes, message) {
        tracing::error!("a message cannot be sent to the peer: {error}");
    }
}

/// Reads until the connection ends, and says why it did.
async fn read_all(mut socket: ReadHalf, mut buffer: Vec<u8>, shared: &Arc<Shared>) -> String {
    loop {
        loop {
            let (message, bytes) = match wire::decode(&buffer, Kind::Control) {
                Ok(None) => break,
                Ok(Some(frame)) => (wire::decode_control(frame.body), frame.bytes),
                Err(error) => return error.to_string(),
            };
            buffer.drain(..bytes);
            match message {
                Ok(message) => deliver(message, shared).await,
                Err(WireError::UnknownMessage { .. }) => {}
                Err(error) => return error.to_string(),
            }
        }
        let filled = buffer.len();
        buffer.resize(filled + READ_BYTES, 0);
        match socket.read(&mut buffer[filled..]).await {
            Ok(0) => return "closed by the peer".into(),
            Ok(read) => buffer.truncate(filled + read),
            Err(error) => return error.to_string(),
        }
    }
}

/// Waits until the message is handled, or drops it when there is no room: the peer cannot fill a mailbox.
async fn deliver(message: Control, shared: &Shared) {
    let directory = &shared.directory;
    match hear(message) {
        Heard::Arbiter(input) => {
            if let Some(arbiter) = directory.state_arbiter() {
                let _ = arbiter.send(Happened(input)).await;
            }
        }
        Heard::Tags(input) => {
            if let Some(tags) = directory.tag_replicator() {
                let _ = tags.send(TagsHappened(input)).await;
            }
        }
        Heard::Alarms(input) => {
            if let Some(alarms) = directory.alarm_replicator() {
                let _ = alarms.send(AlarmsHappened(input)).await;
            }
        }
        Heard::Heartbeat(ping) => {
            if let Some(heartbeat) = directory.heartbeat() {
                // Not waited for: one that hangs must not keep the peer's word on the handing over from the arbiter. It
                // has its turn before the next message; of more than its mailbox takes the rest is not answered.
                let _ = heartbeat.try_send(Beat(ping));
                tokio::task::yield_now().await;
            }
        }
        Heard::License(facts) => {
            let checker = directory.license_checker.read().clone();
            if let Some(checker) = checker {
                let _ = checker.try_send(PeerLicense(facts));
            }
        }
        Heard::Nobody => {}
    }
}
