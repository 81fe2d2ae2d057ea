//! `GET /api/v1/redundancy/stream`: the status as server-sent events, at each change and at least each second, so that
//! a page notices a lost node at once.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use tokio::sync::watch;

use super::Shared;
use super::error::ApiError;
use super::place::Place;
use crate::node::NodeHandle;
use crate::status::NodeStatus;

/// Streams at a time; each keeps a connection.
const MAX_STREAMS: usize = 64;
/// Without a change the status is sent again after this time.
const REPEAT: Duration = Duration::from_secs(1);
/// Changes that follow each other faster than this are sent as one.
const MIN_GAP: Duration = Duration::from_millis(50);

pub(super) async fn stream(shared: web::Data<Shared>) -> Result<HttpResponse, ApiError> {
    let place = Place::take(&shared.streams, MAX_STREAMS).ok_or_else(|| {
        let message = format!("{MAX_STREAMS} event streams are open already: close a page, or poll the status");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    })?;
    let feed = Feed {
        node: shared.node.clone(),
        changes: shared.node.subscribe_status(),
        stop: shared.stop.subscribe(),
        _place: place,
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        // For proxies that would collect the events.
        .insert_header((header::HeaderName::from_static("x-accel-buffering"), "no"))
        .body(EventStream { next: Some(Box::pin(async move { Some((feed.event()?, feed)) })) }))
}

/// What a stream needs to make its next event.
struct Feed {
    node: NodeHandle,
    changes: watch::Receiver<Arc<NodeStatus>>,
    stop: watch::Receiver<bool>,
    _place: Place,
}

impl Feed {
    /// Waits for the next event; none when the server stops.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let Self { changes, stop, .. } = &mut self;
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return None,
            () = tokio::time::sleep(MIN_GAP) => {}
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return None,
            changed = tokio::time::timeout(REPEAT, changes.changed()) => {
                if let Ok(Err(_)) = changed {
                    return None; // the node is gone
                }
            }
        }
        Some((self.event()?, self))
    }

    fn event(&self) -> Option<Bytes> {
        let status = serde_json::to_string(&*self.node.status()).ok()?;
        Some(Bytes::from(format!("event: status\ndata: {status}\n\n")))
    }
}

/// The body of the answer: makes an event only when the connection can take it.
struct EventStream {
    next: Option<Step>,
}

type Step = Pin<Box<dyn Future<Output = Option<(Bytes, Feed)>>>>;

impl MessageBody for EventStream {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let Some(step) = &mut self.next else { return Poll::Ready(None) };
        let made = ready!(step.as_mut().poll(context));
        let (event, feed) = made.unzip();
        self.next = feed.map(|feed| Box::pin(feed.next()) as Step);
        Poll::Ready(event.map(Ok))
    }
}
