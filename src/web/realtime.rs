//! `WS /ws/v1/realtimeData`: first all values and alarms that a client asked for, then what changes.
//!
//! Newest value wins: nothing is collected for a client. It is sent what changed since it was last sent something, when
//! it has read that. One that reads nothing, or is not there any more, is cut off.

mod alarm_feed;
mod flow;
mod messages;
mod pace;
mod tag_feed;

use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Closed, ProtocolError, Session};
use tokio::sync::watch;

use self::alarm_feed::AlarmFeed;
use self::flow::Flow;
use self::messages::Request;
use self::pace::Pace;
use self::tag_feed::TagFeed;
use super::Shared;
use super::error::ApiError;
use super::place::Place;
use super::request::Query;
use crate::node::NodeHandle;

/// WebSockets at a time.
const MAX_SOCKETS: usize = 64;
/// Tags that one of them can watch.
const MAX_TAGS: usize = 100_000;
/// The longest message of a client.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// So long a client may take to say goodbye, too.
const GOODBYE: Duration = Duration::from_millis(400);

pub(super) async fn open(
    shared: web::Data<Shared>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    Query::of(&request, &[])?;
    if !request.headers().contains_key(header::UPGRADE) {
        let message = format!("{} is a WebSocket: connect with ws://", request.path());
        return Err(ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message));
    }
    let place = Place::take(&shared.sockets, MAX_SOCKETS).ok_or_else(|| {
        let message = format!("{MAX_SOCKETS} WebSockets are open already: close one, or poll");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    })?;
    let (answer, session, stream) = actix_ws::handle(&request, payload)
        .map_err(|error| ApiError::bad_request(format!("this is no WebSocket handshake: {error}")))?;
    let now = Instant::now();
    let client = Client {
        node: shared.node.clone(),
        session,
        stream: stream
            .max_frame_size(MAX_MESSAGE_BYTES)
            .aggregate_continuations()
            .max_continuation_size(MAX_MESSAGE_BYTES),
        stop: shared.stop.subscribe(),
        flow: Flow::new(now),
        pace: Pace::new(now),
        tags: None,
        alarms: None,
        alarms_next: false,
        _place: place,
    };
    actix_web::rt::spawn(client.serve());
    Ok(answer)
}

/// What a feed has to say at this moment.
enum Step {
    /// A message.
    Send(String),
    /// Nothing yet: it goes on working.
    More,
    /// Nothing before this time; none: before something else happens.
    Wait(Option<Instant>),
}

/// One connection.
struct Client {
    node: NodeHandle,
    session: Session,
    stream: AggregatedMessageStream,
    stop: watch::Receiver<bool>,
    flow: Flow,
    pace: Pace,
    tags: Option<TagFeed>,
    alarms: Option<AlarmFeed>,
    /// Of the two feeds this one has its turn.
    alarms_next: bool,
    _place: Place,
}

/// Why a connection ends.
enum End {
    /// The client is told this.
    Close(CloseReason),
    /// There is nobody to tell.
    Gone,
}

impl Client {
    async fn serve(mut self) {
        let End::Close(reason) = self.converse().await else { return };
        let Self { session, mut stream, .. } = self;
        // The client's own goodbye, or its end of the connection, shows that it has ours.
        let goodbye = async {
            if session.close(Some(reason)).await.is_ok() {
                while let Some(Ok(_)) = stream.recv().await {}
            }
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    async fn converse(&mut self) -> End {
        loop {
            let wake = match self.work().await {
                Ok(wake) => wake,
                Err(end) => return end,
            };
            let ready = self.pace.ready_at() <= Instant::now();
            let heard = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return close(CloseCode::Away, "this node stops"),
                message = self.stream.recv(), if ready => Some(message),
                () = until(wake) => None,
            };
            if let Some(message) = heard
                && let Err(end) = self.hear(message).await
            {
                return end;
            }
        }
    }

    /// Does what is to be done now, a small piece of it, and says when there is more.
    async fn work(&mut self) -> Result<Instant, End> {
        let now = Instant::now();
        if self.flow.is_stuck(now) {
            let patience = flow::PATIENCE.as_secs();
            return Err(close(CloseCode::Policy, &format!("pings were not answered for {patience} s")));
        }
        if self.flow.is_idle(now) {
            self.ping(0).await?;
        }
        let ready = self.pace.ready_at();
        if ready > now {
            return Ok(ready.min(self.flow.deadline()));
        }
        if !self.flow.has_room() {
            return Ok(self.flow.deadline());
        }
        let step = self.step(now);
        if !matches!(step, Ok(Step::Wait(_))) {
            self.pace.worked(now, Instant::now());
        }
        match step {
            Ok(Step::Send(message)) => {
                self.send(message).await?;
                Ok(now)
            }
            Ok(Step::More) => Ok(now),
            Ok(Step::Wait(until)) => Ok(until.map_or(self.flow.deadline(), |until| until.min(self.flow.deadline()))),
            Err(error) => {
                self.tags = None;
                self.complain(&error).await?;
                Ok(now)
            }
        }
    }

    /// The feeds take turns; one that has nothing to do leaves its turn to the other.
    fn step(&mut self, now: Instant) -> Result<Step, ApiError> {
        let clear = self.flow.is_clear();
        let mut wait = None;
        for _ in 0..2 {
            self.alarms_next = !self.alarms_next;
            let step = match (self.alarms_next, &mut self.tags, &mut self.alarms) {
                (false, Some(tags), _) => tags.step(clear, now)?,
                (true, _, Some(alarms)) => alarms.step(clear, now),
                _ => continue,
            };
            match step {
                Step::Wait(until) => wait = [wait, until].into_iter().flatten().min(),
                step => return Ok(step),
            }
        }
        Ok(Step::Wait(wait))
    }

    async fn hear(&mut self, message: Option<Result<AggregatedMessage, ProtocolError>>) -> Result<(), End> {
        let began = Instant::now();
        match message {
            Some(Ok(AggregatedMessage::Text(text))) => match Request::parse(text.as_bytes()) {
                Ok(request) => {
                    self.tags = request.path.map(|paths| TagFeed::new(&self.node, paths, began));
                    self.alarms = request.alarms.then(|| AlarmFeed::new(&self.node, began));
                }
                Err(error) => self.complain(&error).await?,
            },
            Some(Ok(AggregatedMessage::Binary(_))) => {
                self.complain(&ApiError::bad_request("the message is binary: send JSON as text")).await?;
            }
            Some(Ok(AggregatedMessage::Ping(content))) => {
                let pong = self.session.pong(&content);
                in_time(pong).await?;
            }
            Some(Ok(AggregatedMessage::Pong(content))) => self.flow.answered(&content, began),
            Some(Ok(AggregatedMessage::Close(reason))) => {
                return Err(End::Close(reason.unwrap_or(CloseCode::Normal.into())));
            }
            Some(Err(ProtocolError::Overflow)) => {
                let limit = format!("a message may have {MAX_MESSAGE_BYTES} bytes");
                return Err(close(CloseCode::Size, &limit));
            }
            Some(Err(error)) => return Err(close(CloseCode::Protocol, &error.to_string())),
            None => return Err(End::Gone),
        }
        self.pace.worked(began, Instant::now());
        Ok(())
    }

    async fn complain(&mut self, error: &ApiError) -> Result<(), End> {
        let message = serde_json::to_string(&error.body()).map_err(|_| End::Gone)?;
        self.send(message).await
    }

    async fn send(&mut self, message: String) -> Result<(), End> {
        let bytes = message.len();
        in_time(self.session.text(message)).await?;
        self.ping(bytes).await
    }

    /// `bytes`: of the message before it.
    async fn ping(&mut self, bytes: usize) -> Result<(), End> {
        let content = self.flow.sent(bytes, Instant::now());
        in_time(self.session.ping(&content)).await
    }
}

/// A client that takes nothing for so long reads nothing.
async fn in_time(send: impl Future<Output = Result<(), Closed>>) -> Result<(), End> {
    match tokio::time::timeout(flow::PATIENCE, send).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Closed)) => Err(End::Gone),
        Err(_) => Err(close(CloseCode::Policy, "nothing is read at the other end")),
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error: the server is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Others on this thread have their turn in any case.
async fn until(at: Instant) {
    if at <= Instant::now() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep_until(at.into()).await;
    }
}

fn close(code: CloseCode, why: &str) -> End {
    End::Close(CloseReason { code, description: Some(why.to_owned()) })
}
