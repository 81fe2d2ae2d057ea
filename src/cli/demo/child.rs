//! One node of the demo: a process of its own, its output passed through.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hotpair_core::types::Mode;

use super::super::Failure;
use super::super::terminal::{self, Paint};

const LOOK: Duration = Duration::from_millis(20);
/// How long the last lines of an ended process are waited for; a program it started may hold its output open.
const LAST_LINES: Duration = Duration::from_millis(500);

/// A node process that ends with the demo: it stops cleanly when its standard input closes, however that happens.
pub(super) struct Child {
    mode: Mode,
    config: PathBuf,
    url: String,
    process: process::Child,
    ended: bool,
    output: Vec<JoinHandle<()>>,
}

/// The end of a process, told once.
pub(super) struct Ended {
    pub(super) mode: Mode,
    pub(super) status: ExitStatus,
}

impl Child {
    pub(super) fn start(
        program: &Path,
        mode: Mode,
        config: PathBuf,
        http_port: u16,
        paint: Paint,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&config).arg("--stop-when-stdin-closes");
        // Overrides of a real node's settings in this environment are not meant for the demo.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HOTPAIR__") {
                command.env_remove(name);
            }
        }
        // A group of its own: Ctrl-C goes to the demo alone, which then stops the nodes one after the other.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command
            .spawn()
            .map_err(|error| Failure::other(format!("{} cannot be started: {error}", program.display())))?;
        let prefix = match mode {
            Mode::Backup => paint.calm("[backup]"),
            Mode::Master | Mode::Independent => paint.good("[master]"),
        };
        let mut output = Vec::new();
        output.extend(process.stdout.take().map(|from| pass_through(from, prefix.clone())));
        output.extend(process.stderr.take().map(|from| pass_through(from, prefix)));
        let url = format!("http://127.0.0.1:{http_port}");
        Ok(Self { mode, config, url, process, ended: false, output })
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// Its HTTP address, without a slash at its end.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Its process, unless it has ended.
    pub(super) fn pid(&self) -> Option<u32> {
        (!self.ended).then(|| self.process.id())
    }

    /// Its end, when it has ended since the last call.
    pub(super) fn newly_ended(&mut self) -> Option<Ended> {
        if self.ended {
            return None;
        }
        let status = self.process.try_wait().ok().flatten()?;
        self.ended = true;
        Some(Ended { mode: self.mode, status })
    }

    /// Lets it stop cleanly; kills it when that takes longer than `timeout`.
    pub(super) async fn stop(&mut self, timeout: Duration) {
        drop(self.process.stdin.take());
        let deadline = Instant::now() + timeout;
        while !self.ended && self.newly_ended().is_none() {
            if Instant::now() >= deadline {
                let (mode, limit) = (self.mode, timeout.as_secs());
                terminal::say(&format!("[demo] the {mode} has not stopped in {limit} s and is killed"));
                // It may have ended just now; either way it is gone after this.
                let _ = self.process.kill();
                let _ = self.process.wait();
                self.ended = true;
            }
            tokio::time::sleep(LOOK).await;
        }
        let deadline = Instant::now() + LAST_LINES;
        while self.output.iter().any(|reader| !reader.is_finished()) && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// When the demo fails half-way, its nodes must not stay.
impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn pass_through(from: impl Read + Send + 'static, prefix: String) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(from.read_until(b'\n', &mut line), Ok(1..)) {
            terminal::say(&format!("{prefix} {}", String::from_utf8_lossy(&line).trim_end()));
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn node_that_runs(script: &str) -> (tempfile::TempDir, Child) {
        let folder = tempfile::tempdir().unwrap();
        let (text, program) = (folder.path().join("text"), folder.path().join("node"));
        std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        // By a process of its own: a program that this one has had open for writing cannot be started ("text file
        // busy") while a process that another test starts at that moment still holds a copy of its descriptor.
        let made = Command::new("install").args(["-m", "700"]).args([&text, &program]).status().unwrap();
        assert!(made.success());
        let child = Child::start(&program, Mode::Master, folder.path().join("hotpair.toml"), 1, Paint::PLAIN).unwrap();
        (folder, child)
    }

    #[tokio::test]
    async fn closing_its_input_stops_a_node() {
        let (_folder, mut child) = node_that_runs("cat >/dev/null");
        assert!(child.newly_ended().is_none() && child.pid().is_some());
        child.stop(Duration::from_secs(10)).await;
        assert!(child.process.wait().unwrap().success() && child.pid().is_none());
    }

    #[tokio::test]
    async fn a_node_that_does_not_stop_is_killed() {
        let (_folder, mut child) = node_that_runs("exec sleep 60");
        child.stop(Duration::from_millis(100)).await;
        assert!(child.process.wait().unwrap().code().is_none());
    }
}
