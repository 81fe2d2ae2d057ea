//! Two machines and what can happen between them: cables, firewalls, slow lines, power, addresses. Each machine is a
//! network namespace; see `tests/pair/site.rs`. Each test plays in a world of its own that is gone when it ends:
//! `tests/pair/world.rs`. No root is needed where users may make namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cut;
mod firewall;
mod moved;
mod one_way;
#[path = "../pair/mod.rs"]
mod pair;
mod power;
mod slow;

use std::thread;
use std::time::Duration;

use pair::node::same;
use pair::project::SETPOINT;
use pair::site::Site;
use pair::{Builder, Node, Pair};

/// A pair on two machines, ready; the site outlives it.
fn two_machines(builder: Builder) -> (Site, Pair) {
    let site = Site::build();
    let pair = builder.machines(site.machines.clone()).start();
    let _ = site.record.set(pair.watch.record());
    (site, pair)
}

/// A write at a node that is alone.
#[track_caller]
fn write_alone(node: &Node, path: &str, value: f64) {
    // Of two changes the newer one by its time survives, and times are milliseconds: they must differ.
    thread::sleep(Duration::from_millis(2));
    let reply = node.write(path, value, None);
    assert!(reply.all_written() && !reply.replicated(), "{} is alone: {reply:?}", node.name);
}

/// A write at the Running node.
#[track_caller]
fn write_at(node: &Node, path: &str, value: f64) {
    let reply = node.write(path, value, None);
    assert!(reply.all_written(), "{}: {reply:?}", node.name);
}

/// Both hold this, and the pair works: a write at each node is on both.
#[track_caller]
fn holds_and_works(pair: &Pair, setpoint: f64) {
    for node in [&pair.master, &pair.backup] {
        assert!(same(&node.value(SETPOINT), &setpoint.into()), "{} has {}", node.name, node.value(SETPOINT));
    }
    for (node, value) in [(&pair.master, setpoint + 0.25), (&pair.backup, setpoint + 0.5)] {
        node.write_replicated(SETPOINT, value);
    }
    assert_eq!(pair.same_values()[SETPOINT].0, setpoint + 0.5);
}
