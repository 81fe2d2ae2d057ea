//! The bulk connection's tasks, on the data thread.

mod line;
#[cfg(test)]
mod tests;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use hotpair_core::wire::{self, Assembly, Kind, Pieces};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use self::line::Line;
use super::TagReplicator;
use crate::connection::{Detached, ReadHalf, WriteHalf};
use crate::messages::{LaneEnded, LaneFrame};
use crate::shared::Shared;

/// So many frames may wait for the socket: those of a whole exchange of tag lists. Batches are bounded by credit.
const MAX_WAITING: usize = 32 * 1024;
const READ_BYTES: usize = 256 * 1024;
/// A peer that confirms nothing of what it was sent for so long does not do what the protocol says, or is gone.
const CONFIRMS_WITHIN: Duration = Duration::from_secs(10);

/// An open bulk connection. Dropping it closes the connection.
pub(super) struct Lane {
    pub generation: u64,
    out: mpsc::Sender<Vec<u8>>,
    writer: JoinHandle<()>,
    /// Dropped to end the reading.
    _alive: oneshot::Sender<()>,
    /// Dropped to tell whoever made the connection.
    _closed: Option<oneshot::Sender<()>>,
}

impl Lane {
    pub(super) fn open(
        stream: Detached,
        received: Vec<u8>,
        closed: Option<oneshot::Sender<()>>,
        generation: u64,
        owner: Addr<TagReplicator>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let (read, write) = stream.attach()?.into_split();
        let (out, queue) = mpsc::channel(MAX_WAITING);
        let (alive, ended) = oneshot::channel();
        let line = Rc::new(Line::new(shared));
        let (of_writer, told) = (Rc::clone(&line), owner.clone());
        let writer = actix_rt::spawn(async move {
            if let Err(reason) = write_all(write, queue, &of_writer).await {
                told.do_send(LaneEnded { generation, reason });
            }
        });
        actix_rt::spawn(async move {
            let reason = tokio::select! {
                reason = read_all(read, received, generation, &owner, &line) => reason,
                _ = ended => return,
            };
            owner.do_send(LaneEnded { generation, reason });
        });
        Ok(Self { generation, out, writer, _alive: alive, _closed: closed })
    }

    /// For whoever else sends over it.
    pub(super) fn sender(&self) -> mpsc::Sender<Vec<u8>> {
        self.out.clone()
    }

    /// False: the peer does not read.
    pub(super) fn send(&self, frame: Vec<u8>) -> bool {
        self.out.try_send(frame).is_ok()
    }
}

impl Drop for Lane {
    /// A peer that reads nothing would keep the writer, its frames and the socket for ever.
    fn drop(&mut self) {
        self.writer.abort();
    }
}

/// As much as the line carries; between two pieces what this side has received itself. Errors: why no more can be sent.
async fn write_all(mut socket: WriteHalf, mut queue: mpsc::Receiver<Vec<u8>>, line: &Line) -> Result<(), String> {
    let (mut pieces, mut out, mut blocked): (Option<Pieces>, _, _) = (None, Vec::new(), None);
    loop {
        if let Some(total) = line.to_say() {
            socket.write_all(&wire::encode_arrived(total)).await.map_err(|error| error.to_string())?;
        }
        let Some(frame) = &mut pieces else {
            if queue.is_empty() {
                line.nothing_waits();
            }
            tokio::select! {
                () = line.changed() => {}
                frame = queue.recv() => match frame {
                    Some(frame) => pieces = Some(Pieces::of(frame)),
                    None => break,
                }
            }
            continue;
        };
        let room = line.room();
        if room == 0 {
            let since = *blocked.get_or_insert_with(Instant::now);
            let until = line.heard_at().max(since) + CONFIRMS_WITHIN;
            if timeout_at(until, line.changed()).await.is_err() {
                return Err("the peer does not say that anything has arrived of what it is sent".into());
            }
            continue;
        }
        blocked = None;
        let last = frame.next(room, &mut out);
        line.sent(out.len());
        if last {
            pieces = None;
        }
        socket.write_all(&out).await.map_err(|error| error.to_string())?;
    }
    let _ = socket.shutdown().await;
    Ok(())
}

/// One frame at a time: what is not handled yet stays in the socket, and the peer waits.
async fn read_all(
    mut socket: ReadHalf,
    mut buffer: Vec<u8>,
    generation: u64,
    owner: &Addr<TagReplicator>,
    line: &Line,
) -> String {
    let mut assembly = Assembly::default();
    loop {
        let mut used = 0;
        loop {
            let frame = match wire::decode_any(&buffer[used..], &[Kind::Bulk, Kind::Alarms, Kind::Arrived]) {
                Ok(None) => break,
                Ok(Some(frame)) => frame,
                Err(error) => return error.to_string(),
            };
            used += frame.bytes;
            if frame.kind == Kind::Arrived {
                match wire::decode_arrived(frame.body) {
                    Ok(total) => line.arrived(total),
                    Err(error) => return error.to_string(),
                }
                continue;
            }
            line.received(frame.bytes);
            match assembly.take(&frame) {
                Ok(None) => line.hears(),
                Ok(Some((kind, body))) => {
                    // A frame that was lost with a panic must not be passed over by a later one's watermark.
                    if owner.send(LaneFrame { generation, kind, body }).await.is_err() {
                        return "a frame could not be handled".into();
                    }
                }
                Err(error) => return error.to_string(),
            }
        }
        buffer.drain(..used);
        let filled = buffer.len();
        buffer.resize(filled + READ_BYTES, 0);
        match socket.read(&mut buffer[filled..]).await {
            Ok(0) => return "closed by the peer".into(),
            Ok(read) => buffer.truncate(filled + read),
            Err(error) => return error.to_string(),
        }
    }
}
