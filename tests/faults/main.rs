//! One fault, and what becomes of the pair: crashes, pauses, a peer lost in the middle of something, disks, clocks.
//! Those that need a mount play in a world of their own, see `tests/pair/world.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod between;
mod clock;
mod disk;
mod hangs;
mod mid_switch;
mod mid_sync;
#[path = "../pair/mod.rs"]
mod pair;
mod pauses;
mod returns;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use pair::{Node, Pair};

/// Writes numbers that only grow, at either node, until told to end, and remembers which are on both.
#[derive(Default)]
struct Writer {
    sent: AtomicU64,
    replicated: AtomicU64,
    ended: AtomicBool,
}

impl Writer {
    fn write_on_and_on(&self, pair: &Pair, path: &str) {
        // A node that was stopped does not answer: that must not stop the writing.
        let clients = [&pair.master, &pair.backup].map(|node| node.client(Duration::from_millis(800)));
        for turn in 0.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
            let items = serde_json::json!([{"key": path, "value": number}]);
            match clients[turn % 2].try_post("/api/v1/tagValues", &[], &items) {
                Ok(reply) if reply.replicated() => self.replicated.store(number, Ordering::Relaxed),
                Ok(reply) => assert!([200, 503, 504].contains(&reply.status), "{reply:?}"),
                // Nobody listens there at the moment.
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// What was said to be on both is there, or something newer.
    #[track_caller]
    fn holds_at(&self, node: &Node, path: &str) {
        let replicated = self.replicated.load(Ordering::Relaxed);
        let found = node.value(path).as_u64().expect("a number");
        let sent = self.sent.load(Ordering::Relaxed);
        assert!((replicated..=sent).contains(&found), "{}: {path} is {found}, {replicated} was on both", node.name);
    }
}
