//! The first words on a connection, from either side.

use std::io;
use std::time::Duration;

use hotpair_core::greeting::{self, Remark};
use hotpair_core::protocol::{Control, Greeting, PROTOCOL_VERSIONS, Refusal, RefusalCode};
use hotpair_core::types::Mode;
use hotpair_core::wire::{self, Kind, WireError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connection::Connection;
use crate::shared::Shared;

/// What became of a connection.
pub(super) enum Outcome {
    /// The link stands. `received` came behind the greeting.
    Linked { stream: Connection, received: Vec<u8>, greeting: Box<Greeting>, session: u64, remarks: Vec<Remark> },
    /// It is a bulk connection of the present link.
    Lane { stream: Connection, received: Vec<u8> },
    /// It is refused, by one side or the other.
    Refused(Refusal),
    /// It ended before anything was agreed.
    Broken(String),
}

/// A connection with what was read of it.
struct Talk {
    stream: Connection,
    buffer: Vec<u8>,
}

enum TalkError {
    Wire(WireError),
    Io(io::Error),
}

impl Talk {
    async fn read(&mut self) -> Result<Control, TalkError> {
        loop {
            if let Some(frame) = wire::decode(&self.buffer, Kind::Control).map_err(TalkError::Wire)? {
                let message = wire::decode_control(frame.body);
                let bytes = frame.bytes;
                self.buffer.drain(..bytes);
                return message.map_err(TalkError::Wire);
            }
            // The decoder refuses a frame that is longer than it may be: the buffer stays below that.
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await.map_err(TalkError::Io)? {
                0 => return Err(TalkError::Io(io::ErrorKind::UnexpectedEof.into())),
                read => self.buffer.extend_from_slice(&chunk[..read]),
            }
        }
    }

    async fn write(&mut self, message: &Control) -> Result<(), TalkError> {
        let bytes = wire::encode_control(message).map_err(TalkError::Wire)?;
        self.stream.write_all(&bytes).await.map_err(TalkError::Io)
    }

    async fn refuse(mut self, refusal: Refusal) -> Outcome {
        let _ = self.write(&Control::Refused(refusal.clone())).await;
        let _ = self.stream.shutdown().await;
        Outcome::Refused(refusal)
    }
}

/// At the Master: somebody connected.
pub(super) async fn answer(shared: &Shared, stream: Connection, session: u64) -> Outcome {
    let mine = own_greeting(shared, &stream, session);
    let mut talk = Talk { stream, buffer: Vec::new() };
    let theirs = match talk.read().await {
        Ok(Control::Greeting(theirs)) => theirs,
        Ok(Control::JoinBulk { session }) if shared.link.session() == Some(session) => {
            return Outcome::Lane { stream: talk.stream, received: talk.buffer };
        }
        Ok(Control::JoinBulk { session }) => return talk.refuse(Refusal::session(&mine, session)).await,
        Ok(_) => {
            let error = WireError::malformed("the first message is no greeting");
            return talk.refuse(Refusal::not_hotpair(&mine, &error)).await;
        }
        Err(TalkError::Wire(error)) => return talk.refuse(Refusal::not_hotpair(&mine, &error)).await,
        Err(TalkError::Io(error)) => return Outcome::Broken(error.to_string()),
    };
    let agreed = match greeting::check(&mine, &theirs) {
        Ok(agreed) => agreed,
        Err(refusal) => return talk.refuse(refusal).await,
    };
    if shared.link.is_up()
        && let Some(present) = shared.link.greeting()
        && present.node != theirs.node
    {
        return talk.refuse(Refusal::second_backup(&mine, &present, &theirs)).await;
    }
    let result = match talk.write(&Control::Greeting(mine)).await {
        Ok(()) => talk.read().await,
        Err(error) => Err(error),
    };
    match result {
        Ok(Control::Accepted) => Outcome::Linked {
            stream: talk.stream,
            received: talk.buffer,
            greeting: theirs,
            session,
            remarks: agreed.remarks,
        },
        other => unfinished(other),
    }
}

/// At the Backup: the connection to the Master is there.
pub(super) async fn ask(shared: &Shared, stream: Connection) -> Outcome {
    let mine = own_greeting(shared, &stream, 0);
    let mut talk = Talk { stream, buffer: Vec::new() };
    let result = match talk.write(&Control::Greeting(mine.clone())).await {
        Ok(()) => talk.read().await,
        Err(error) => Err(error),
    };
    let theirs = match result {
        Ok(Control::Greeting(theirs)) => theirs,
        Err(TalkError::Wire(error)) => return talk.refuse(Refusal::not_hotpair(&mine, &error)).await,
        other => return unfinished(other),
    };
    match greeting::check(&mine, &theirs) {
        Err(refusal) => talk.refuse(refusal).await,
        Ok(agreed) => match talk.write(&Control::Accepted).await {
            Ok(()) => Outcome::Linked {
                session: theirs.session,
                stream: talk.stream,
                received: talk.buffer,
                greeting: theirs,
                remarks: agreed.remarks,
            },
            Err(error) => unfinished(Err(error)),
        },
    }
}

fn unfinished(result: Result<Control, TalkError>) -> Outcome {
    match result {
        Ok(Control::Refused(refusal)) => Outcome::Refused(refusal),
        Ok(_) => Outcome::Broken("the peer said something else than a greeting".into()),
        Err(TalkError::Wire(error)) => Outcome::Broken(error.to_string()),
        Err(TalkError::Io(error)) => Outcome::Broken(error.to_string()),
    }
}

/// Ends a conversation that takes too long: whoever holds a connection open without a word costs no more than that.
pub(super) async fn within(limit_ms: u64, talk: impl Future<Output = Outcome>) -> Outcome {
    match tokio::time::timeout(Duration::from_millis(limit_ms), talk).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Broken(format!("no greeting within {limit_ms} ms")),
    }
}

pub(super) fn own_greeting(shared: &Shared, stream: &Connection, session: u64) -> Box<Greeting> {
    let settings = &shared.settings;
    let now = shared.clock.now();
    let mut arbiter = shared.arbiter.lock();
    arbiter.hear_tags(shared.facts());
    let report = arbiter.report(now);
    drop(arbiter);
    let local = stream.local().map(|address| address.ip());
    let at_link = |port| local.map(|ip| std::net::SocketAddr::new(ip, port).to_string());
    let at = &settings.http;
    // Where HTTP does not listen on the link's address, a refused connection there proves nothing.
    let covered = at.bind.is_some_and(|bind| bind.is_unspecified() || Some(bind) == local);
    let http = at.advertise.clone().or_else(|| at.port.and_then(at_link)).unwrap_or_default();
    let alive_at = if covered && settings.mode == Mode::Backup { at.port.and_then(at_link) } else { None };
    Box::new(Greeting {
        protocol: PROTOCOL_VERSIONS,
        features: 0,
        version: settings.version.clone(),
        node: settings.node,
        boot: settings.boot,
        name: settings.name.clone(),
        mode: settings.mode,
        recovery: settings.recovery,
        http,
        alive_at: alive_at.unwrap_or_default(),
        project: settings.project.clone(),
        session,
        report,
    })
}

/// Whether both sides would say the same thing again: then it is logged once.
pub(super) fn lasts(refusal: &Refusal) -> bool {
    refusal.code != RefusalCode::Session
}
