//! The HTTP server: the API, health, metrics and the page. It runs on threads of its own, so that no request and no
//! browser can slow down what the pair depends on.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};

use actix_web::body::BoxBody;
use actix_web::dev::{ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::KeepAlive;
use actix_web::{App, HttpServer, middleware, web};
use tokio::sync::watch;

use crate::node::NodeHandle;

mod alarms;
mod divergence;
mod error;
mod guard;
mod health;
#[cfg(feature = "fault-injection")]
mod injure;
mod journal;
mod metrics;
mod page;
mod place;
mod realtime;
mod redundancy;
mod request;
mod stream;
mod tags;

/// Connections that one worker thread keeps at a time; more wait to be accepted.
const MAX_CONNECTIONS_PER_WORKER: usize = 512;
/// A client must have sent its request's head within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection is closed after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a stop waits for requests under way; a switchover waits for a stop.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection whose other end takes nothing, or is not there any more, is closed after this time.
const STUCK_TIMEOUT: Duration = Duration::from_secs(15);

/// How to serve.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// Threads that answer requests.
    pub workers: usize,
    /// Names, besides `localhost` and addresses, under which a browser may reach a node that is bound to loopback.
    pub host_names: Vec<String>,
}

impl Default for WebOptions {
    fn default() -> Self {
        Self { workers: 2, host_names: Vec::new() }
    }
}

/// A server at work. Dropping it leaves it at work until the process ends.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    server: ServerHandle,
    shared: Shared,
}

/// What all requests share; cheap to clone.
#[derive(Clone)]
struct Shared {
    node: NodeHandle,
    /// True ends the event streams and WebSockets, which would hold up a stop.
    stop: Arc<watch::Sender<bool>>,
    streams: Arc<AtomicUsize>,
    sockets: Arc<AtomicUsize>,
    in_flight: Arc<AtomicUsize>,
    /// Host names to insist on; none when any will do.
    host_names: Option<Arc<[String]>>,
}

/// Serves this node's HTTP on a bound listener. The error is the operating system's, in words.
pub fn serve(node: NodeHandle, listener: TcpListener, options: WebOptions) -> io::Result<WebServer> {
    let address = listener.local_addr()?;
    // Connections inherit it. Without it a client that reads nothing would keep one, and what waits for it, for ever.
    if let Err(error) = socket2::SockRef::from(&listener).set_tcp_user_timeout(Some(STUCK_TIMEOUT)) {
        tracing::warn!(%error, "clients that take nothing cannot be cut off");
    }
    let shared = Shared::new(node, address.ip().is_loopback().then(|| options.host_names.into()));
    let (started, start) = std::sync::mpsc::channel();
    let of_workers = shared.clone();
    thread::Builder::new().name("web".to_owned()).spawn(move || {
        actix_rt::System::new().block_on(async move {
            let server = HttpServer::new(move || app(of_workers.clone()))
                .workers(options.workers.max(1))
                .worker_max_blocking_threads(2)
                .max_connections(MAX_CONNECTIONS_PER_WORKER)
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(Duration::from_secs(1))
                .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
                .shutdown_timeout(1)
                .disable_signals()
                .listen(listener)
                .map(HttpServer::run);
            match server {
                Ok(server) => {
                    // The receiver waits below; it cannot be gone.
                    let _ = started.send(Ok(server.handle()));
                    if let Err(error) = server.await {
                        tracing::error!(%error, "the HTTP server ended");
                    }
                }
                Err(error) => _ = started.send(Err(error)),
            }
        });
    })?;
    let server = start.recv().map_err(|_| io::Error::other("the HTTP server's thread ended while it started"))??;
    Ok(WebServer { address, server, shared })
}

impl WebServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the event streams and WebSockets, gives requests under way half a second, then closes everything.
    pub async fn stop(self) {
        self.shared.stop.send_replace(true);
        let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
        // Not the server's own graceful stop: it also waits for idle browsers that keep their connection.
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let Shared { in_flight, streams, sockets, .. } = &self.shared;
            let idle = [in_flight, streams, sockets].iter().all(|count| count.load(Ordering::Acquire) == 0);
            if idle || tokio::time::Instant::now() >= deadline {
                break;
            }
        }
        self.server.stop(false).await;
    }
}

impl Shared {
    fn new(node: NodeHandle, host_names: Option<Arc<[String]>>) -> Self {
        let stop = Arc::new(watch::channel(false).0);
        let (streams, sockets, in_flight) = (Arc::default(), Arc::default(), Arc::default());
        Self { node, stop, streams, sockets, in_flight, host_names }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("streams", &self.streams)
            .field("sockets", &self.sockets)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// All that a worker does with a request.
fn app(
    shared: Shared,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new().app_data(web::Data::new(shared)).wrap(middleware::from_fn(guard::guard)).configure(routes)
}

/// The same without a socket, for tests of what comes in: any host name will do.
#[doc(hidden)]
pub fn in_process(
    node: NodeHandle,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    app(Shared::new(node, None))
}

/// Calls that make parts of the node fail.
#[cfg(feature = "fault-injection")]
fn tests(app: &mut web::ServiceConfig) {
    let at = |path: &str, allowed| web::resource(path.to_owned()).default_service(error::method_not_allowed(allowed));
    app.service(at("/api/v1/test/actors", "GET").route(web::get().to(injure::parts)))
        .service(at("/api/v1/test/actors/{name:.+}/{how}", "POST").route(web::post().to(injure::injure)));
}

#[cfg(not(feature = "fault-injection"))]
fn tests(_: &mut web::ServiceConfig) {}

/// Every path that is served; all others are answered with the JSON error `not_found`.
fn routes(app: &mut web::ServiceConfig) {
    let at = |path: &str, allowed| web::resource(path.to_owned()).default_service(error::method_not_allowed(allowed));
    app.service(at("/api/v1/redundancy/status", "GET").route(web::get().to(redundancy::status)))
        .service(at("/api/v1/redundancy/switch", "POST").route(web::post().to(redundancy::switch)))
        .service(
            at("/api/v1/redundancy/hold", "POST, DELETE")
                .route(web::post().to(redundancy::hold))
                .route(web::delete().to(redundancy::release_hold)),
        )
        .service(at("/api/v1/redundancy/clearFault", "POST").route(web::post().to(redundancy::clear_fault)))
        .service(at("/api/v1/redundancy/events", "GET").route(web::get().to(redundancy::events)))
        .service(at("/api/v1/redundancy/actors", "GET").route(web::get().to(redundancy::actors)))
        .service(at("/api/v1/redundancy/divergence", "GET").route(web::get().to(divergence::list)))
        .service(at("/api/v1/redundancy/divergence/{name}", "GET").route(web::get().to(divergence::file)))
        .service(at("/api/v1/redundancy/stream", "GET").route(web::get().to(stream::stream)))
        .service(at("/api/v1/license", "GET").route(web::get().to(redundancy::license)))
        .service(at("/api/v1/tags", "GET").route(web::get().to(tags::browse)))
        .service(
            at("/api/v1/tagValues", "GET, POST").route(web::get().to(tags::read)).route(web::post().to(tags::write)),
        )
        .service(at("/api/v1/alarms", "GET").route(web::get().to(alarms::list)))
        .service(at("/api/v1/alarms/shelved", "GET").route(web::get().to(alarms::shelved)))
        .service(at("/api/v1/alarms/shelve", "POST").route(web::post().to(alarms::shelve)))
        .service(at("/api/v1/alarms/unshelve", "POST").route(web::post().to(alarms::unshelve)))
        .service(at("/api/v1/alarms/{eventId}/ack", "POST").route(web::post().to(alarms::acknowledge)))
        .service(at("/api/v1/alarms/{eventId}/comment", "POST").route(web::post().to(alarms::comment)))
        .service(at("/api/v1/historicalData/alarms", "GET").route(web::get().to(journal::rows)))
        .service(at("/api/v1/historicalData/pagedAlarms", "GET").route(web::get().to(journal::page)))
        .service(at("/ws/v1/realtimeData", "GET").route(web::get().to(realtime::open)))
        .service(at("/health/live", "GET, HEAD").route(web::get().to(health::live)).route(web::head().to(health::live)))
        .service(
            at("/health/ready", "GET, HEAD").route(web::get().to(health::ready)).route(web::head().to(health::ready)),
        )
        .service(
            at("/health/running", "GET, HEAD")
                .route(web::get().to(health::running))
                .route(web::head().to(health::running)),
        )
        .service(at("/metrics", "GET").route(web::get().to(metrics::metrics)))
        .configure(tests)
        .service(at("/", "GET").route(web::get().to(page::index)))
        .service(at("/ui/{file}", "GET").route(web::get().to(page::file)))
        .default_service(web::to(error::not_found));
}
