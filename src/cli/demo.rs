//! `hotpair demo`: a Master and a Backup as two processes on this machine, with a simulated plant.
//!
//! The demo only starts, shows and stops. A node that is killed stays down until somebody starts it again: that is
//! what there is to see.

mod child;
mod folders;

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use hotpair_core::types::{Mode, Status};
use tokio::signal::unix::{SignalKind, signal};

use self::child::Child;
use self::folders::Folders;
use super::hangup::Hangup;
use super::node_client::NodeClient;
use super::terminal::{self, Paint};
use super::{DemoArgs, Failure, shell_quote};

/// How often the demo looks after its children.
const LOOK: Duration = Duration::from_millis(100);
/// A pair that needs longer to come up is worth a word.
const SLOW_START: Duration = Duration::from_secs(10);
/// A child that has not stopped by itself in this time is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The two ports of HTTP and the one of the link.
#[derive(Clone, Copy, Debug)]
struct Ports {
    master_http: u16,
    backup_http: u16,
    link: u16,
}

pub(super) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let began = Instant::now();
    let ports = free_ports(args.http_port, args.link_port)?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::other(format!("this program's own file cannot be found: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(format!("the demo cannot be started: {error}")))?;
    let folders = Folders::write(args.dir.as_deref(), ports)?;
    let result = runtime.block_on(async {
        let end = end_of_demo(args.duration.map(|seconds| began + Duration::from_secs(seconds)))?;
        Demo::start(program, &folders, ports)?.attend(end).await
    });
    // A node that the user started again still works in the folder.
    match &result {
        Ok(strangers) if *strangers > 0 => terminal::say(&format!("its folder stays: {}", folders.root().display())),
        _ => folders.remove_if_temporary(),
    }
    result.map(drop)
}

struct Demo {
    program: PathBuf,
    master: Child,
    backup: Child,
    paint: Paint,
}

impl Demo {
    fn start(program: PathBuf, folders: &Folders, ports: Ports) -> Result<Self, Failure> {
        let paint = Paint::for_stdout();
        let start = |mode, port| Child::start(&program, mode, folders.config_of(mode), port, paint);
        let (master, backup) = (start(Mode::Master, ports.master_http)?, start(Mode::Backup, ports.backup_http)?);
        Ok(Self { program, master, backup, paint })
    }

    /// Shows the pair until `end`, then stops it. Answers how many nodes go on that the user started by hand.
    async fn attend(mut self, end: impl Future<Output = &'static str>) -> Result<usize, Failure> {
        let outcome = {
            let mut end = std::pin::pin!(end);
            tokio::select! {
                why = &mut end => Ok(why),
                failure = self.watch() => Err(failure),
            }
        };
        match &outcome {
            Ok(why) => self.tell(&format!("{why}: stopping both nodes")),
            Err(_) => self.tell("stopping what still runs"),
        }
        self.stop().await;
        outcome?;
        let mut strangers = 0;
        for node in [&self.master, &self.backup] {
            if answers(node.url()).await {
                strangers += 1;
                let mode = node.mode();
                self.tell(&format!(
                    "the {mode} at {} was started by hand and goes on: stop it where you started it",
                    node.url()
                ));
            }
        }
        self.tell("stopped");
        Ok(strangers)
    }

    /// Tells what happens to the pair; ends only when it can never come up.
    async fn watch(&mut self) -> Failure {
        let began = Instant::now();
        let (mut paired, mut told_slow) = (false, false);
        loop {
            tokio::time::sleep(LOOK).await;
            for ended in [self.master.newly_ended(), self.backup.newly_ended()].into_iter().flatten() {
                if !paired && ended.status.code().is_some() {
                    return Failure::other(format!("the {} did not start; its last lines say why", ended.mode));
                }
                self.tell_restart(ended.mode, ended.status);
            }
            if paired {
                continue;
            }
            match in_sync(self.master.url(), self.backup.url()).await {
                Ok(()) => {
                    paired = true;
                    self.tell_what_to_try(began.elapsed());
                }
                Err(reason) if !told_slow && began.elapsed() > SLOW_START => {
                    told_slow = true;
                    self.tell(&format!(
                        "the pair is not in sync after {} s: {reason}; still waiting",
                        SLOW_START.as_secs()
                    ));
                }
                Err(_) => {}
            }
        }
    }

    /// First the one that does not run: the other then has nobody to hand over to, and ends without a switch.
    async fn stop(&mut self) {
        let master_runs = status_of(self.master.url()).await.is_ok_and(|status| status == Status::Running);
        let (first, second) =
            if master_runs { (&mut self.backup, &mut self.master) } else { (&mut self.master, &mut self.backup) };
        first.stop(STOP_TIMEOUT).await;
        second.stop(STOP_TIMEOUT).await;
    }

    fn tell(&self, line: &str) {
        terminal::say(&format!("{} {line}", self.paint.strong("[demo]")));
    }

    fn tell_restart(&self, mode: Mode, status: ExitStatus) {
        let command = start_again(&self.program, self.node(mode).config());
        self.tell(&format!(
            "the {mode} has ended ({status}). Start it again, in another terminal, with:\n\n    {command}\n"
        ));
    }

    fn tell_what_to_try(&self, took: Duration) {
        let Self { program, master, backup, paint } = self;
        let program_word = shell_quote::path(program);
        let title = paint.good("The pair works: one node is Running, the other stands by in sync");
        let pid_of = |child: &Child| child.pid().map_or_else(|| "ended".to_owned(), |pid| format!("process {pid}"));
        let kill = master.pid().map_or_else(String::new, |pid| format!("kill -9 {pid}"));
        terminal::say(&format!(
            "\n{title} ({:.1} s).\n\n  \
               Master  {}/  {}\n  \
               Backup  {}/  {}\n\n\
             Try, in another terminal:\n  \
               kill the Master           {kill}\n  \
               start it again            {}\n  \
               move Running by hand      press Switch on either page, or: {program_word} switch --url {}\n  \
               both nodes at a glance    {program_word} status --watch --url {}\n  \
               alarms as they come       {program_word} alarms --watch --url {}\n\n\
             Ctrl-C stops both.\n",
            took.as_secs_f64(),
            paint.strong(master.url()),
            pid_of(master),
            paint.strong(backup.url()),
            pid_of(backup),
            start_again(program, master.config()),
            backup.url(),
            backup.url(),
            backup.url(),
        ));
    }

    fn node(&self, mode: Mode) -> &Child {
        if mode == Mode::Master { &self.master } else { &self.backup }
    }
}

/// The command that a user can paste.
fn start_again(program: &Path, config: &Path) -> String {
    format!("{} run --config {}", shell_quote::path(program), shell_quote::path(config))
}

/// Completes when the demo shall end, and says why.
fn end_of_demo(deadline: Option<Instant>) -> Result<impl Future<Output = &'static str>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::other(format!("signals cannot be taken: {error}")));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = Hangup::listen()?;
    Ok(async move {
        let time_is_up = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => "Ctrl-C",
            _ = terminate.recv() => "SIGTERM",
            () = hangup.recv() => "SIGHUP",
            () = time_is_up => "the time is up",
        }
    })
}

/// Whether one of the two runs and the other could take over; else why not.
async fn in_sync(master: &str, backup: &str) -> Result<(), String> {
    let (master, backup) = (master.to_owned(), backup.to_owned());
    asked(move || {
        let one = NodeClient::new(&master).and_then(|node| node.status()).map_err(|failure| failure.to_string())?;
        let other = NodeClient::new(&backup).and_then(|node| node.status()).map_err(|failure| failure.to_string())?;
        let (first, second) = (one.node.status, other.node.status);
        if !matches!((first, second), (Status::Running, Status::Standby) | (Status::Standby, Status::Running)) {
            return Err(format!("the Master is {first}, the Backup {second}"));
        }
        match [&one, &other].into_iter().find(|status| !status.failover_ready) {
            Some(waiting) => Err(waiting.not_ready_reasons.join("; ")),
            None => Ok(()),
        }
    })
    .await
}

async fn status_of(url: &str) -> Result<Status, String> {
    let url = url.to_owned();
    let status = move || NodeClient::new(&url).and_then(|node| node.status()).map(|status| status.node.status);
    asked(move || status().map_err(|failure| failure.to_string())).await
}

async fn answers(url: &str) -> bool {
    status_of(url).await.is_ok()
}

/// Asking blocks; signals must still be heard meanwhile.
async fn asked<T: Send + 'static>(ask: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// # Errors
/// A port is taken, or the ports get in each other's way.
fn free_ports(http: u16, link: u16) -> Result<Ports, Failure> {
    let Some(next) = http.checked_add(1) else {
        return Err(Failure::wrong_input("--http-port 65535 leaves no next port for the Backup; take a lower one"));
    };
    if link == http || link == next {
        return Err(Failure::wrong_input(format!(
            "--link-port {link} is an HTTP port of the demo ({http} and {next}); take another one"
        )));
    }
    for (port, option) in [(http, "--http-port"), (next, "--http-port"), (link, "--link-port")] {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
            let both = if option == "--http-port" { " (the demo takes that one and the next)" } else { "" };
            Failure::other(format!("port {port} cannot be used ({error}); choose another with {option}{both}"))
        })?;
    }
    Ok(Ports { master_http: http, backup_http: next, link })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_option() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let told = free_ports(port, 1).unwrap_err().to_string();
        assert!(told.contains(&port.to_string()) && told.contains("--http-port"), "{told}");
    }

    #[test]
    fn the_ports_must_differ() {
        assert_eq!(free_ports(8066, 8067).unwrap_err().exit_status(), 2);
        assert_eq!(free_ports(8066, 8066).unwrap_err().exit_status(), 2);
    }

    #[test]
    fn the_command_to_start_again_can_be_pasted() {
        let command = start_again(Path::new("/opt/my plant/hotpair"), Path::new("/tmp/x/master/hotpair.toml"));
        assert_eq!(command, "'/opt/my plant/hotpair' run --config /tmp/x/master/hotpair.toml");
    }
}
