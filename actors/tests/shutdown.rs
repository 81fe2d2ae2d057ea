//! A node that was shut down leaves no thread behind. Alone in its file: it counts the threads of the process.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod pair;

use std::time::{Duration, Instant};

use hotpair_actors::directory::names;
use hotpair_actors::injure::{Injure, injure, living};
use hotpair_core::types::Status;
use pair::{CALM, PATIENCE, Pair};

/// Threads of nodes: their own, and those that actix gives to actors.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).filter(|n| n.starts_with("hp-") || n.starts_with("actix-rt")).collect()
}

#[tokio::test]
async fn no_thread_is_left() {
    assert_eq!(threads(), Vec::<String>::new());
    for _ in 0..3 {
        let mut pair = Pair::ready(CALM).await;
        assert!(threads().len() >= 8);
        assert_eq!(living(&pair.master.shared.directory), names::ALL);
        for name in names::ALL {
            injure(&pair.master.shared.directory, name, Injure::Panic).unwrap();
        }
        pair.until_ready().await;
        pair.master.shut_down().await;
        pair.backup.until("Running", |node| node.view().status == Status::Running).await;
        pair.backup.shut_down().await;
        // The node's own thread has ended by now, those of the actors end by themselves: nothing tells when.
        let deadline = Instant::now() + PATIENCE;
        while !threads().is_empty() {
            assert!(Instant::now() < deadline, "left: {:?}", threads());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for node in [&pair.master, &pair.backup] {
            assert_eq!(living(&node.shared.directory), Vec::<&str>::new(), "actors that outlived their node");
        }
    }
}
