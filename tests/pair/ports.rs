//! Ports that a node can have again after it was killed.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Below the range from which the system gives ports to outgoing connections: one of those could hold the port of a
/// killed node when it comes back.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of the loopback address that nobody listens at, never given before by this process.
pub fn free() -> u16 {
    consecutive(1)
}

/// The first of `count` free ports in a row.
pub fn consecutive(count: u16) -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Test programs that run at the same time start looking at different places.
    let offset = (std::process::id().wrapping_mul(97) % u32::from(RANGE.end - RANGE.start)) as u16;
    let candidates = (RANGE.start + offset..RANGE.end - count).chain(RANGE.start..RANGE.start + offset);
    for first in candidates {
        let mut wanted = first..first + count;
        if wanted.all(|port| !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            given.extend(first..first + count);
            return first;
        }
    }
    panic!("no {count} free ports in a row in {RANGE:?}");
}
