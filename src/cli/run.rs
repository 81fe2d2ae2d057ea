//! `hotpair run`: one node in the foreground, until a signal or until it must end itself.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};

use hotpair_core::types::Mode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::hangup::Hangup;
use super::{Failure, RunArgs, logging, terminal};
use crate::config::{Config, LogFormat};
use crate::node::{Node, NodeHandle};
use crate::web::{self, WebOptions, WebServer};

pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    let loaded = Config::load(&args.config, args.insecure, std::env::vars_os())
        .map_err(|problems| Failure::wrong_input(problems.to_string()))?;
    logging::start(loaded.config.log)?;
    for warning in loaded.warnings.iter() {
        let warning = warning.to_string();
        tracing::warn!("{}", warning.strip_prefix("warning: ").unwrap_or(&warning));
    }
    let config = loaded.config;
    let system = actix_rt::System::new();
    let result = system.block_on(async {
        // Before the node starts: from then on a signal means a clean stop.
        let mut stop = StopRequests::listen(args.stop_when_stdin_closes)?;
        serve(config, &mut stop).await
    });
    // Dropping it would wait for work that hangs; what must be on disk is there when the node has stopped.
    std::mem::forget(system);
    if result.is_ok() {
        // A failure is told behind the log's last lines, and waits for them itself.
        logging::flush();
    }
    result
}

async fn serve(mut config: Config, stop: &mut StopRequests) -> Result<(), Failure> {
    let listener = http_listener(&mut config)?;
    let node = Node::start(config.clone()).await.map_err(|error| Failure::other(error.to_string()))?;
    introduce(&config, &node);
    let web = match listener {
        None => None,
        Some(listener) => Some(serve_http(&config, &node, listener)?),
    };
    tokio::select! {
        why = stop.next() => {
            tracing::info!("{why}: stopping cleanly");
            tokio::select! {
                () = clean_stop(&node, web) => {}
                why = node.fatal() => return Err(Failure::other(format!("the node ends itself: {why}"))),
                why = stop.next_signal() => {
                    return Err(Failure::other(format!("a second {why}: ended at once, the peer may see a failure")));
                }
            }
            tracing::info!("stopped");
            Ok(())
        }
        why = node.fatal() => Err(Failure::other(format!("the node ends itself: {why}"))),
    }
}

/// HTTP goes on until the node has stopped: it answers what the node still has to say.
async fn clean_stop(node: &NodeHandle, web: Option<WebServer>) {
    node.shutdown().await;
    if let Some(web) = web {
        web.stop().await;
    }
}

/// Bound before the node starts, because the node tells its peer the port; with port 0 it is known only then.
fn http_listener(config: &mut Config) -> Result<Option<TcpListener>, Failure> {
    if !config.http.enabled {
        return Ok(None);
    }
    let address = SocketAddr::new(config.http.bind, config.http.port);
    let listener = TcpListener::bind(address).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "another program has this port: set http.port to a free one",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address: set http.bind to one it has",
            io::ErrorKind::PermissionDenied => "this user may not take it: set http.port to one above 1023",
            _ => "see http.bind and http.port",
        };
        Failure::other(format!("HTTP cannot listen on {address}: {error}; {remedy}"))
    })?;
    if let Ok(bound) = listener.local_addr() {
        config.http.port = bound.port();
    }
    Ok(Some(listener))
}

fn serve_http(config: &Config, node: &NodeHandle, listener: TcpListener) -> Result<WebServer, Failure> {
    let host_names = config.node.public_address.iter().map(|address| host_of(address)).collect();
    web::serve(node.clone(), listener, WebOptions { host_names, ..WebOptions::default() })
        .map_err(|error| Failure::other(format!("HTTP cannot be served: {error}")))
}

/// The host of `host`, `host:port` or `http://host:port/…`.
fn host_of(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host_and_port = rest.split('/').next().unwrap_or(rest);
    match host_and_port.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host.to_owned(),
        _ => host_and_port.to_owned(),
    }
}

/// What a person wants to see first. In a JSON log these are events like all others.
fn introduce(config: &Config, node: &NodeHandle) {
    let mut lines = vec![
        format!("hotpair {}: node {}", env!("CARGO_PKG_VERSION"), config.node.name),
        format!("mode: {}", config.redundancy.mode),
        format!("page and API: {}", http_text(config)),
        format!("link: {}", link_text(config)),
    ];
    lines.extend(node.status().insecure.iter().map(|what| format!("insecure: {what}")));
    for line in lines {
        match config.log.format {
            LogFormat::Text => terminal::say(&line),
            LogFormat::Json => tracing::info!("{line}"),
        }
    }
}

fn http_text(config: &Config) -> String {
    if !config.http.enabled {
        return "none (http.enabled = false)".to_owned();
    }
    format!("http://{}/", SocketAddr::new(config.http.bind, config.http.port))
}

fn link_text(config: &Config) -> String {
    let link = &config.redundancy;
    match link.mode {
        Mode::Independent => "none".to_owned(),
        Mode::Master => format!("listens on {}", SocketAddr::new(link.bind, link.port)),
        Mode::Backup => format!("connects to {}:{}", link.master_host, link.master_port),
    }
}

/// Everything that asks this process to stop.
struct StopRequests {
    terminate: Signal,
    interrupt: Signal,
    hangup: Hangup,
    /// Answers when standard input ends; none when nobody asked to watch it.
    stdin_end: Option<oneshot::Receiver<()>>,
}

impl StopRequests {
    fn listen(watch_stdin: bool) -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::other(format!("signals cannot be taken: {error}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: Hangup::listen()?,
            stdin_end: watch_stdin.then(watch_stdin_end),
        })
    }

    /// Waits for the next request and names it.
    async fn next(&mut self) -> &'static str {
        let stdin_end = async {
            match &mut self.stdin_end {
                // The end of the watching thread, for whatever reason, is the end of the input.
                Some(end) => drop(end.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stdin_end => "end of standard input",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = self.hangup.recv() => "SIGHUP",
        }
    }

    /// Not SIGHUP: a closed terminal may send it twice, from the system and from the shell.
    async fn next_signal(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// A thread, because reading standard input cannot be cancelled; it ends with the process.
fn watch_stdin_end() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut ignored = [0; 256];
        let mut input = io::stdin().lock();
        loop {
            match input.read(&mut ignored) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let _ = ended.send(());
    });
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_public_address() {
        for (address, host) in [
            ("scada.example", "scada.example"),
            ("scada.example:8443", "scada.example"),
            ("http://scada.example:80/page", "scada.example"),
            ("https://[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(host_of(address), host, "{address}");
        }
    }
}
